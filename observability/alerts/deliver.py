"""Sends what waits in the outbox: webhooks one by one, mail in groups. At least once, with an id.

A message that was not taken is tried again after RETRY_S, each time twice as long, TRIES_MAX times;
then it is given up, and the log says why. Who is killed between sending and writing sends it once
more: who receives it knows it by its id.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction

from observability.alerts.smtp import Backend, refusals, words_of
from observability.alerts.webhook import Network, RefusedError, allowed_networks, post
from observability.collect.db import Db
from observability.models import Delivery
from observability.store import ALIAS, fence
from tenants.alerts.sealing import SealError, unseal
from tenants.models import AlertChannel, Tenant

log = logging.getLogger("observability.alerts")

CHANNELS_AT_ONCE_MAX: Final = 200  # in a round
AT_ONCE_MAX: Final = 10  # messages of one channel in a round
TURN_S: Final = 5.0  # then a channel has to wait for the next round, as the others do
TRIES_MAX: Final = 8  # over about an hour and a half
RETRY_MS: Final = 20_000
RETRY_MAX_MS: Final = 3_600_000
GROUP_MS: Final = 10_000  # a mail waits so long for others of the same channel
STALE_MS: Final = 86_400_000  # after a long sleep, or in a database that was restored
MAIL_TIMEOUT_S: Final = 15
ANSWER_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Parcel:
    """Messages that go together: one to a webhook, some in a mail."""

    channel: AlertChannel | None  # None: it is not sent, and `why`
    messages: tuple[Delivery, ...]
    why: str = ""


def due(now: int) -> list[Parcel]:
    """What is to be sent now, the oldest first."""
    waiting = Delivery.objects.filter(status=Delivery.Status.WAITING, next_try_at__lte=now)
    wanted = list(
        waiting.order_by("channel")
        .values_list("channel", flat=True)
        .distinct()[:CHANNELS_AT_ONCE_MAX]
    )
    rows = [
        row
        for channel in wanted
        for row in waiting.filter(channel=channel).order_by("pk")[:AT_ONCE_MAX]
    ]
    channels = AlertChannel.objects.select_related("tenant").in_bulk(wanted)
    parcels: list[Parcel] = []
    mails: dict[int, list[Delivery]] = {}
    for row in rows:
        channel = channels.get(row.channel)
        if channel is None or not may_send(channel, row):
            parcels.append(Parcel(None, (row,), "the channel is switched off or gone"))
        elif now - row.made_at > STALE_MS:
            parcels.append(Parcel(None, (row,), "older than a day: nobody was at work to send it"))
        elif channel.kind == AlertChannel.Kind.MAIL:
            mails.setdefault(row.channel, []).append(row)
        else:
            parcels.append(Parcel(channel, (row,)))
    for pk, group in mails.items():
        is_test = any(row.event == Delivery.Event.TEST for row in group)
        if is_test or now - group[0].made_at >= GROUP_MS:
            parcels.append(Parcel(channels[pk], tuple(group)))
    return parcels


def may_send(channel: AlertChannel, row: Delivery) -> bool:
    gone = channel.tenant is not None and channel.tenant.lifecycle == Tenant.Lifecycle.GONE
    return not gone and (channel.is_on or row.event == Delivery.Event.TEST)


async def send(parcel: Parcel) -> str:
    """What the other end said.

    Raises:
        RefusedError: it was not taken.
    """
    channel = parcel.channel
    if channel is None:
        raise RefusedError(parcel.why, is_final=True)
    if channel.kind == AlertChannel.Kind.MAIL:
        return await asyncio.to_thread(mail, channel, parcel.messages)
    try:
        secret = unseal(channel.secret)
    except SealError as error:
        raise RefusedError(str(error), is_final=True) from None
    # Tenants' people choose these addresses: what is ours alone is not reached for them.
    networks: list[Network] = [] if channel.tenant_id is not None else allowed_networks()
    return await post(channel.url, parcel.messages[0].body, secret, networks)


def mail(channel: AlertChannel, messages: tuple[Delivery, ...]) -> str:
    """One plain text for all of them."""
    if not settings.EMAIL_HOST:
        raise RefusedError("no mail server is set: ENSEMBLE_MAIL_HOST", is_final=True)
    bodies = [row.body for row in messages]
    first = bodies[0]
    more = f" and {len(bodies) - 1} more" if len(bodies) > 1 else ""
    subject = f"[{first['severity']}] {first['event']}: {first['summary']}"
    letter = EmailMessage(
        " ".join(subject.split())[:180] + more,
        "\n\n".join(text_of(body) for body in bodies),
        to=channel.addresses,
        headers={"Auto-Submitted": "auto-generated", "Ensemble-Message": str(first["id"])},
    )
    link = get_connection(timeout=MAIL_TIMEOUT_S)
    try:
        refused = (
            link.deliver(letter) if isinstance(link, Backend) else link.send_messages([letter])
        )
    except Exception as error:  # smtplib's, the socket's, the backend's own
        raise RefusedError(f"the mail was not taken: {words_of(error)}") from None
    count = len(channel.addresses)
    if isinstance(refused, dict) and refused:  # not again: the others would get it twice
        return f"handed over to {count - len(refused)} of {count} addresses; {refusals(refused)}"
    return f"handed over to {count} addresses"


def text_of(body: dict[str, object]) -> str:
    """An alert as a mail says it."""
    lines = [f"{body['event']}: {body['summary']}"]
    for name in ("severity", "ensemble", "node", "tenant", "since", "resolved_at"):
        if body.get(name):
            lines.append(f"  {name.replace('_', ' ')}: {body[name]}")
    if body["event"] == Delivery.Event.FIRING:
        lines += ["", str(body.get("why", ""))]
        steps = body.get("steps")
        lines += [f"  - {step}" for step in steps] if isinstance(steps, list) else []
    lines.append(f"  (message {body['id']})")
    return "\n".join(lines)


def settle(term: int, parcel: Parcel, answer: str, error: RefusedError | None, now: int) -> None:
    """Write down how it went.

    Raises:
        LeaseLostError: another collector sees to it now.
    """
    with transaction.atomic(using=ALIAS):
        fence(term)
        for row in parcel.messages:
            row.tries += 1
            row.answer = (answer if error is None else str(error))[:ANSWER_MAX]
            if error is None:
                row.status, row.done_at = Delivery.Status.SENT, now
            elif error.is_final or row.tries >= TRIES_MAX:
                row.status, row.done_at = Delivery.Status.GIVEN_UP, now
            else:
                row.next_try_at = now + min(RETRY_MAX_MS, RETRY_MS << (row.tries - 1))
            row.save(update_fields=["tries", "answer", "status", "done_at", "next_try_at"])
            if error is not None and not error.is_final:  # the others of this channel wait, too
                Delivery.objects.filter(
                    channel=row.channel,
                    status=Delivery.Status.WAITING,
                    next_try_at__lt=row.next_try_at,
                ).update(next_try_at=row.next_try_at)


async def round_of(db: Db, term: int) -> int:
    """Send what is due, one channel beside the other; how many parcels there were.

    Raises:
        LeaseLostError: another collector sees to it now.
    """
    parcels = await db.run(due, time.time_ns() // 1_000_000)
    by_channel: dict[int, list[Parcel]] = {}
    for parcel in parcels:
        by_channel.setdefault(parcel.messages[0].channel, []).append(parcel)
    await asyncio.gather(*(in_turn(db, term, mine) for mine in by_channel.values()))
    return len(parcels)


async def in_turn(db: Db, term: int, parcels: list[Parcel]) -> None:
    """One channel's, in their order; where one fails, the others wait for the next round."""
    began = time.monotonic()
    for parcel in parcels:
        answer, error = "", None
        try:
            answer = await send(parcel)
        except RefusedError as refused:
            error = refused
            log.warning("channel %d: %s", parcel.messages[0].channel, refused)
        await db.run(settle, term, parcel, answer, error, time.time_ns() // 1_000_000)
        is_over = time.monotonic() - began > TURN_S
        if is_over or (error is not None and not error.is_final):
            return
