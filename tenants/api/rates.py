"""How fast one caller may ask: a token bucket per token, session's person or address.

The bucket is a row that all web processes share. A process takes LEASE requests out of it at once
and spends them from memory, so that reading costs no write for most requests.
"""

import threading
import time
from collections import OrderedDict
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction

from tenants.models.api import ApiBucket

LEASE: Final = 20
CALLERS_MAX: Final = 10_000  # leases that a process remembers
KEEP_S: Final = 3_600.0  # a bucket that was not asked for so long is full and can go
SWEEP_EVERY: Final = 500  # leases


class Rates:
    """One process's leases."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._leases: Final[OrderedDict[str, int]] = OrderedDict()
        self._leased = 0

    def take(self, caller: str, now: float) -> float:
        """Spend one request; 0, or the seconds to wait until there is one."""
        with self._lock:
            left = self._leases.get(caller, 0)
            if left > 0:
                self._leases[caller] = left - 1
                self._leases.move_to_end(caller)
                return 0.0
        got, wait_s = lease(caller, now)
        if got == 0:
            return wait_s
        with self._lock:
            self._leases[caller] = self._leases.get(caller, 0) + got - 1
            while len(self._leases) > CALLERS_MAX:
                self._leases.popitem(last=False)
            self._leased += 1
            is_time = self._leased % SWEEP_EVERY == 0
        if is_time:
            ApiBucket.objects.filter(at__lt=now - KEEP_S).delete()
        return 0.0

    def forget(self) -> None:
        """For tests."""
        with self._lock:
            self._leases.clear()


def lease(caller: str, now: float) -> tuple[int, float]:
    """Up to LEASE requests out of the shared bucket; with none, the seconds until there is one."""
    rate, burst = float(settings.API_RATE_PER_SECOND), float(settings.API_BURST)
    with transaction.atomic():
        bucket = ApiBucket.objects.select_for_update().filter(caller=caller).first()
        if bucket is None:
            got = min(LEASE, int(burst))
            try:
                with transaction.atomic():
                    ApiBucket.objects.create(caller=caller, left=burst - got, at=now)
                return got, 0.0
            except IntegrityError:  # another process was faster
                bucket = ApiBucket.objects.select_for_update().get(caller=caller)
        filled = min(burst, bucket.left + max(0.0, now - bucket.at) * rate)
        got = min(LEASE, int(filled))
        if got == 0:
            return 0, (1.0 - filled) / rate
        ApiBucket.objects.filter(caller=caller).update(left=filled - got, at=now)
        return got, 0.0


rates: Final = Rates()


def take(caller: str) -> float:
    """Spend one request of this process's leases; the seconds to wait where there is none."""
    return rates.take(caller, time.time())
