"""Tries at passwords and codes, counted in the database: for all web processes, and after restarts.

A try is counted and committed before it is looked at, and taken back if it was right: tries at once
in several processes cannot slip past each other. Where it cannot be counted, nobody is let in.

What is counted lies in so many places for addresses and for accounts, chosen by a keyed hash: the
table is bounded whatever is typed, names are not in it (people type their password there), and an
account that does not exist is counted as one that does. Two accounts at one place share a lock: of
65,536 that is rare, and without the key nobody can aim at it.
"""

import hashlib
import hmac
import ipaddress
import logging
import threading
import time
import unicodedata
from dataclasses import dataclass
from typing import Final

from allauth.account.adapter import get_adapter
from allauth.core.exceptions import ImmediateHttpResponse
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest

from console.trail import note_lockout
from console.views.errors import page
from console.who import address_of
from tenants.models import SignInTries

log = logging.getLogger("console")

PLACES: Final = 65_536  # of each kind
IPV6_PREFIX: Final = 64  # who has an address has all of these
SWEEP_EVERY_S: Final = 60.0
SWEEP_ROWS_MAX: Final = 10_000
RETRY_AFTER_S: Final = 30
LOCK_WAIT_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So many wrong ones in a time."""

    kind: str
    most: int
    window_s: float


ADDRESS: Final = Limit("a", 10, 60.0)
PASSWORD: Final = Limit("p", 5, 300.0)  # by name
CODE: Final = Limit("c", 5, 300.0)  # of second factors, by person


@dataclass(frozen=True, slots=True)
class Try:
    """One that was counted."""

    at: float
    places: tuple[str, ...]

    def take_back(self) -> None:
        """It was right. If that cannot be written it goes on counting, which locks no door open."""
        try:
            with transaction.atomic(durable=True):
                wait_no_longer()
                for place in self.places:
                    row = SignInTries.objects.select_for_update().filter(place=place).first()
                    if row is not None and self.at in row.times:
                        row.times.remove(self.at)
                        row.save(update_fields=["times"]) if row.times else row.delete()
        except DatabaseError as error:
            log.warning("a right password goes on counting as a wrong one: %s", error)


def count(request: HttpRequest, limit: Limit, who: str, name: str) -> Try:
    """Count a try, before it is looked at.

    Raises:
        ValidationError: there were too many; the form says so.
        ImmediateHttpResponse: it cannot be counted now; the page that says so.
    """
    address = address_of(request)
    try:
        made = begin(network_of(address), limit, who, time.time())
        sweeper.sweep(time.time())
    except DatabaseError as error:
        log.error("a sign-in was refused, as it could not be counted: %s", error)
        text = (
            "The console's database does not answer, so wrong passwords cannot be counted and "
            "nobody is let in. Nothing is wrong with yours: try again in half a minute."
        )
        answer = page(request, 503, "Nobody can sign in now", text)
        answer["Retry-After"] = str(RETRY_AFTER_S)
        raise ImmediateHttpResponse(answer) from error
    if made is None:
        note_lockout(request, name)
        raise get_adapter(request).validation_error("too_many_login_attempts")
    return made


def begin(address: str, limit: Limit, who: str, now: float) -> Try | None:
    """Count it for the address, then for the account; None where one of them is full.

    At a locked account it counts for the address all the same. Always in this order: so nobody
    waits for a row in a circle.
    """
    at_address, at_account = place_of(ADDRESS, address), place_of(limit, who)
    with transaction.atomic(durable=True):
        wait_no_longer()
        if not add(at_address, ADDRESS, now) or not add(at_account, limit, now):
            return None
    return Try(now, (at_address, at_account))


def wait_no_longer() -> None:
    """SQLite's `timeout` bounds each wait for a lock; PostgreSQL would wait for ever."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")


def add(place: str, limit: Limit, now: float) -> bool:
    """Whether there was room. The row is ours until the transaction ends."""
    until = now + limit.window_s
    SignInTries.objects.bulk_create(
        [SignInTries(place=place, times=[], until=until)],
        update_conflicts=True,
        unique_fields=["place"],
        update_fields=["until"],
    )
    row = SignInTries.objects.get(place=place)
    # One from the future was written by a clock that has been put right since.
    live = [at for at in row.times if abs(now - at) < limit.window_s]
    has_room = len(live) < limit.most
    row.times = [*live, now] if has_room else live
    row.save(update_fields=["times"])
    return has_room


def place_of(limit: Limit, who: str) -> str:
    key = b"ensemble console, tries to sign in:" + settings.SECRET_KEY.encode()
    digest = hmac.digest(key, f"{limit.kind}:{who}".encode(), hashlib.sha256)
    return f"{limit.kind}{int.from_bytes(digest[:4]) % PLACES}"


def folded(name: str) -> str:
    """One spelling for all that could mean the same account."""
    return unicodedata.normalize("NFKC", name.lower()).upper().casefold()


def network_of(address: str) -> str:
    """An IPv4 address; of IPv6 the network, as its addresses cost nothing."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.IPv6Network((parsed, IPV6_PREFIX), strict=False).network_address)


class Sweeper:
    """Removes rows whose tries count no more, now and then, beside the tries."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._next = 0.0

    def sweep(self, now: float) -> int:
        """How many rows went."""
        with self._lock:
            if now < self._next:
                return 0
            self._next = now + SWEEP_EVERY_S
        return sweep(now)


def sweep(now: float) -> int:
    """Rows that somebody has in hand are left alone."""
    skips = connection.features.has_select_for_update_skip_locked
    with transaction.atomic(durable=True):
        old = SignInTries.objects.select_for_update(skip_locked=skips).filter(until__lt=now)
        places = list(old.order_by("until").values_list("place", flat=True)[:SWEEP_ROWS_MAX])
        return SignInTries.objects.filter(place__in=places).delete()[0]


sweeper: Final = Sweeper()
