"""Telling people: signed, bounded, at least once, and never into a network that is not theirs."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from django.core import mail
from django.test import override_settings

from observability.alerts import deliver, outbox
from observability.alerts.deliver import TRIES_MAX, due, settle
from observability.alerts.webhook import (
    DEADLINE_S,
    RefusedError,
    allowed_networks,
    may_reach,
    post,
)
from observability.models import Delivery, Lease
from observability.store import LEASE, LeaseLostError
from tenants.actions import channels
from tenants.alerts.sealing import unseal
from tenants.audit import PLANE
from tenants.errors import LimitError
from tenants.models import AlertChannel
from tests.observability.people import make_tenant

HERE = ["127.0.0.0/8"]
DB = pytest.mark.django_db(databases=["default", "observed"])
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def with_hook(answer: Answer, work: Callable[[str], Awaitable[Any]]) -> Any:
    """Do something with the address of a server that answers so."""

    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        try:
            return await work(f"http://127.0.0.1:{port}/hook")
        finally:
            await runner.cleanup()

    return asyncio.run(run())


@override_settings(ALERT_NETWORKS=HERE)
def test_a_webhook_is_signed_over_time_and_body() -> None:
    seen: dict[str, Any] = {}

    async def answer(request: web.Request) -> web.Response:
        seen["body"] = await request.read()
        seen["signature"] = request.headers["Ensemble-Signature"]
        seen["message"] = request.headers["Ensemble-Message"]
        return web.Response(text="thanks")

    body = {"id": "7", "summary": "payments uses 99 %"}
    said = with_hook(answer, lambda url: post(url, body, "secret", allowed_networks()))
    assert said == "200 thanks"
    assert json.loads(seen["body"]) == body
    assert seen["message"] == "7"
    at, signed = (part.split("=")[1] for part in seen["signature"].split(","))
    assert abs(int(at) - time.time()) < 60
    mac = hmac.new(b"secret", at.encode() + b"." + seen["body"], hashlib.sha256).hexdigest()
    assert hmac.compare_digest(mac, signed)


@override_settings(ALERT_NETWORKS=HERE)
@pytest.mark.parametrize(
    ("status", "words"),
    [(500, "500 broken"), (404, "404 broken"), (302, "redirects are not followed")],
)
def test_what_is_not_taken_says_why(status: int, words: str) -> None:
    followed = []

    async def answer(request: web.Request) -> web.Response:
        followed.append(request.path)
        return web.Response(status=status, text="broken", headers={"Location": "/elsewhere"})

    with pytest.raises(RefusedError, match=words):
        with_hook(answer, lambda url: post(url, {"id": "1"}, "s", allowed_networks()))
    assert followed == ["/hook"]


@override_settings(ALERT_NETWORKS=HERE)
def test_an_answer_without_end_is_read_to_its_bound() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    began = time.monotonic()
    said = with_hook(answer, lambda url: post(url, {"id": "1"}, "s", allowed_networks()))
    assert len(said) <= 300
    assert time.monotonic() - began < DEADLINE_S


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "::",
        "255.255.255.255", "nonsense", "2130706433",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_internet_are_not_reached(address: str) -> None:
    assert not may_reach(address, [])


def test_addresses_of_the_internet_and_of_networks_that_were_allowed_are() -> None:
    assert may_reach("93.184.215.14", [])
    assert may_reach("2606:2800:21f::1", [])
    assert may_reach("64:ff9b::5db8:d70e", [])
    with override_settings(ALERT_NETWORKS=["10.1.0.0/16"]):
        assert may_reach("10.1.2.3", allowed_networks())
        assert not may_reach("10.2.2.3", allowed_networks())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_our_own_machine_is_not_reached_by_figures_nor_by_name(host: str) -> None:
    reached = []

    async def answer(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response()

    async def knock(url: str) -> None:
        await post(url.replace("127.0.0.1", host), {"id": "1"}, "s", [])

    with pytest.raises(RefusedError):
        with_hook(answer, knock)
    assert not reached


# The outbox


@pytest.fixture
def hook(db: None) -> AlertChannel:
    Lease.objects.create(name=LEASE, holder="test", term=1)
    return make(name="hook")


def make(**more: Any) -> AlertChannel:
    values = {"name": "n", "kind": "webhook", "url": "https://hooks.example/x", **more}
    return channels.make(PLANE, **values)[0]


@DB
def test_what_is_not_taken_is_tried_again_ever_later_and_given_up_in_the_end(
    hook: AlertChannel,
) -> None:
    row = outbox.test(hook)
    other = outbox.test(hook)
    now = row.next_try_at
    waits = []
    for _ in range(TRIES_MAX):
        parcel = due(now)[0]
        assert parcel.messages[0].pk == row.pk
        settle(1, parcel, "", RefusedError("500"), now)
        row.refresh_from_db()
        other.refresh_from_db()
        if row.status == "waiting":
            assert other.next_try_at >= row.next_try_at, "the others of the channel wait, too"
            assert due(row.next_try_at - 1) == []
            waits.append(row.next_try_at - now)
            now = row.next_try_at
    assert row.status == "given-up"
    assert row.answer == "500"
    assert waits == [20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000]
    assert due(now + 10_000_000)[0].messages[0].pk == other.pk


@DB
def test_a_message_is_sent_once_and_who_has_lost_the_lease_does_not_write(
    hook: AlertChannel,
) -> None:
    row = outbox.test(hook)
    (parcel,) = due(now_ms())
    with pytest.raises(LeaseLostError):
        settle(2, parcel, "200", None, now_ms())
    assert due(now_ms()), "nothing was written: it is sent once more, with the same id"
    settle(1, parcel, "200", None, now_ms())
    assert due(now_ms() + 10_000_000) == []
    row.refresh_from_db()
    assert (row.status, row.answer, row.tries) == ("sent", "200", 1)


@DB
def test_one_channel_that_has_much_to_say_leaves_room_for_the_others(hook: AlertChannel) -> None:
    quiet = make(name="quiet")
    for _ in range(50):
        outbox.test(hook)
    outbox.test(quiet)
    of = [parcel.messages[0].channel for parcel in due(now_ms())]
    assert of.count(hook.pk) == deliver.AT_ONCE_MAX
    assert of.count(quiet.pk) == 1


@DB
def test_messages_that_wait_are_bounded_and_the_rest_says_so(
    hook: AlertChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "WAITING_MAX", 3)
    made = [outbox.test(hook) for _ in range(5)]
    assert [row.status for row in made] == ["waiting"] * 3 + ["given-up"] * 2
    assert made[-1].answer == "3 messages wait already"


@DB
def test_tests_are_bounded_so_that_nobody_sends_through_us(
    hook: AlertChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(outbox.TESTS_A_MINUTE_MAX):
        outbox.ask_for_test(hook)
    with pytest.raises(LimitError, match="in a minute"):
        outbox.ask_for_test(hook)
    Delivery.objects.update(made_at=now_ms() - 61_000)
    outbox.ask_for_test(hook)


@DB
def test_channels_that_are_off_or_gone_are_not_used_any_more(hook: AlertChannel) -> None:
    gone = make(name="gone", tenant=make_tenant("gone", root="/tenants/gone", lifecycle="gone"))
    off = make(name="off")
    outbox.test(gone)
    outbox.test(hook)
    Delivery.objects.update(event="firing")
    AlertChannel.objects.filter(pk__in=(off.pk, hook.pk)).update(is_on=False)
    outbox.test(off)
    sent = {parcel.messages[0].channel: parcel.channel is not None for parcel in due(now_ms())}
    assert sent == {gone.pk: False, hook.pk: False, off.pk: True}
    with pytest.raises(RefusedError, match="switched off or gone") as refused:
        asyncio.run(deliver.send(deliver.Parcel(None, ())))
    assert refused.value.is_final


@DB
@override_settings(ALERT_NETWORKS=HERE)
def test_networks_that_are_allowed_are_operators_alone(hook: AlertChannel) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="taken")

    async def send_both(url: str) -> list[str]:
        said = []
        for channel in (hook, own):
            channel.url = url
            parcel = deliver.Parcel(channel, tuple(rows[channel.pk]))
            try:
                said.append(await deliver.send(parcel))
            except RefusedError as error:
                said.append(str(error))
        return said

    own = make(name="own", tenant=make_tenant())
    rows = {channel.pk: [outbox.test(channel)] for channel in (hook, own)}
    taken, refused = with_hook(answer, send_both)
    assert taken == "200 taken"
    assert "private network" in refused


@DB
def test_a_secret_that_was_kept_under_another_key_signs_nothing(hook: AlertChannel) -> None:
    assert len(unseal(hook.secret)) > 30
    outbox.test(hook)
    (parcel,) = due(now_ms())
    with override_settings(SECRET_KEY="another"):
        with pytest.raises(RefusedError, match="give it a new secret") as refused:
            asyncio.run(deliver.send(parcel))
    assert refused.value.is_final


@DB
@override_settings(EMAIL_HOST="mail.example")
def test_mail_is_plain_text_grouped_and_has_no_header_of_somebody_else(hook: AlertChannel) -> None:
    letters = make(name="mail", kind="mail", addresses=["a@b.example", "c@d.example"])
    rows = [outbox.test(letters) for _ in range(3)]
    Delivery.objects.filter(channel=letters.pk).update(event="firing")
    evil = {**rows[0].body, "summary": "bad\nBcc: eve@x.example", "why": "w", "steps": ["do it"]}
    Delivery.objects.filter(pk=rows[0].pk).update(body={**evil, "event": "firing"})
    assert due(now_ms()) == [], "they wait a moment for others"
    (parcel,) = due(now_ms() + deliver.GROUP_MS)
    said = deliver.mail(letters, parcel.messages)
    assert said == "handed over to 2 addresses"
    (letter,) = mail.outbox
    assert letter.to == ["a@b.example", "c@d.example"]
    assert letter.subject == "[note] firing: bad Bcc: eve@x.example and 2 more"
    assert letter.body.count("(message ") == 3
    assert "  - do it" in letter.body
    assert "Bcc" not in letter.message()


@DB
@override_settings(EMAIL_HOST="")
def test_mail_without_a_server_says_what_to_set(hook: AlertChannel) -> None:
    letters = make(name="mail", kind="mail", addresses=["a@b.example"])
    outbox.test(letters)
    (parcel,) = due(now_ms())
    with pytest.raises(RefusedError, match="ENSEMBLE_MAIL_HOST"):
        asyncio.run(deliver.send(parcel))
