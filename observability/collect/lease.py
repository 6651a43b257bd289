"""One collector at a time: a row that the one at work renews, and another takes when it is over.

Clocks may differ by less than LENGTH_S; it is the term, not the time, that keeps who has lost the
lease from writing (`store.fence`).
"""

import os
import secrets
import socket
import time
from typing import Final

from django.db import transaction
from django.db.models import F

from observability.models import Lease
from observability.store import ALIAS, LEASE

LENGTH_S: Final = 10.0
RENEW_EVERY_S: Final = 2.0


def own_name() -> str:
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(4)}"


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def take(holder: str, length_s: float = LENGTH_S) -> int:
    """The term, if nobody else holds it; 0 otherwise."""
    now_ms = wall_ms()
    with transaction.atomic(using=ALIAS):
        Lease.objects.get_or_create(name=LEASE, defaults={"holder": ""})
        taken = Lease.objects.filter(name=LEASE, until__lt=now_ms).update(
            holder=holder, term=F("term") + 1, until=now_ms + int(length_s * 1_000)
        )
        return Lease.objects.get(name=LEASE).term if taken == 1 else 0


def renew(term: int, length_s: float = LENGTH_S) -> bool:
    """Whether it is still ours."""
    until = wall_ms() + int(length_s * 1_000)
    return Lease.objects.filter(name=LEASE, term=term).update(until=until) == 1


def give_back(term: int) -> None:
    """At an orderly end: the next one need not wait."""
    Lease.objects.filter(name=LEASE, term=term).update(until=0)


def holder() -> Lease | None:
    return Lease.objects.filter(name=LEASE).first()
