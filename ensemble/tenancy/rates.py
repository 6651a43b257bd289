"""How much a tenant may ask for in a second: token buckets for requests, writes and bytes.

A bucket holds a tenth of a second's worth and one token, so a tenant's requests may come in bursts
of that size, and no time lets more through than its worth and one burst. What does not
pass is not counted: it waits, and asks again. Bytes are paid afterwards: a request passes while
anything is left, and what it took more than that is missing until it has come back. So a request
that is larger than the bucket passes, and the rate holds over time.

No clock: time is an argument, in microseconds.
"""

from typing import Final, final

from librt.strings import read_i32_be
from mypy_extensions import i64

from ensemble.tenancy.spec import NO_LIMIT
from ensemble.wire import codes

TOKEN: Final = 1_000_000  # parts of a token: a rate of one a second fills one each microsecond
RATE_MAX: Final = 1_000_000_000_000  # a second; more is as good as no limit
BURSTS_PER_SECOND: Final = 10
DEBT_MAX: Final = 1 << 61
REQUEST_HEAD_BYTES: Final = 8
MULTI_HEAD_BYTES: Final = 9  # opcode, whether it is the end, an error


@final
class Bucket:
    """Tokens of one kind. `rate` NO_LIMIT: none is ever missing; 0: there are none."""

    __slots__ = ("burst", "filled_us", "level", "rate", "taken")

    def __init__(self) -> None:
        self.rate: i64 = NO_LIMIT
        self.burst: i64 = 0  # in parts, as `level`
        self.level: i64 = 0
        self.filled_us: i64 = 0
        self.taken: i64 = 0  # tokens since the start, while there was a limit

    def use(self, rate: i64) -> None:
        """Another rate holds. What is in the bucket stays, as far as it fits; a new one is full."""
        if rate > RATE_MAX:
            rate = RATE_MAX
        if rate < 0:
            rate = NO_LIMIT
        if rate == self.rate:
            return
        fresh = self.rate == NO_LIMIT
        self.rate = rate
        if rate <= 0:
            self.burst = 0
            self.level = 0
            return
        self.burst = rate * (TOKEN // BURSTS_PER_SECOND) + TOKEN
        if fresh or self.level > self.burst:
            self.level = self.burst

    def fill(self, now_us: i64) -> None:
        """Time has passed. A clock that goes back adds nothing."""
        gap_us = now_us - self.filled_us
        if gap_us <= 0:
            return
        self.filled_us = now_us
        if self.rate <= 0:
            return
        missing = self.burst - self.level
        # Asked this way round, as the product of a long gap and a high rate fits into no integer.
        if gap_us > missing // self.rate:
            self.level = self.burst
        else:
            self.level += gap_us * self.rate

    def has(self, least: i64) -> bool:
        """Whether `least` parts of a token are left."""
        return self.rate < 0 or self.level >= least

    def take(self, tokens: i64) -> None:
        if self.rate >= 0:
            if tokens > RATE_MAX:
                tokens = RATE_MAX
            self.taken += tokens
            self.level -= tokens * TOKEN
            if self.level < -DEBT_MAX:
                self.level = -DEBT_MAX


@final
class Rates:
    """A tenant's rates at one server. `is_limited` False: nothing is ever held."""

    __slots__ = ("bytes", "filled_us", "is_limited", "requests", "writes")

    def __init__(self) -> None:
        self.requests: Final = Bucket()
        self.writes: Final = Bucket()
        self.bytes: Final = Bucket()
        self.filled_us: i64 = 0
        self.is_limited = False

    def use(self, requests_per_second: i64, writes_per_second: i64, bytes_per_second: i64) -> None:
        """Other limits hold here; NO_LIMIT for none."""
        self.requests.use(requests_per_second)
        self.writes.use(writes_per_second)
        self.bytes.use(bytes_per_second)
        self.is_limited = self.requests.rate >= 0 or self.writes.rate >= 0 or self.bytes.rate >= 0

    def fill(self, now_us: i64) -> None:
        """Time has passed, as all requests of a turn see it: the second one has nothing to do."""
        if now_us != self.filled_us:
            self.filled_us = now_us
            self.requests.fill(now_us)
            self.writes.fill(now_us)
            self.bytes.fill(now_us)

    def admits(self, now_us: i64, writes: i64, size: i64) -> bool:
        """Whether a request of `size` bytes with so many writes passes now.

        If so it has taken its tokens; else it has taken none.
        """
        if not self.is_limited:
            return True
        self.fill(now_us)
        if not self.requests.has(TOKEN) or not self.bytes.has(1):
            return False
        if writes > 0 and not self.writes.has(TOKEN):
            return False
        self.requests.take(1)
        if writes > 0:
            self.writes.take(writes)
        self.bytes.take(size)
        return True

    def may_admit(self, now_us: i64, is_write: bool) -> bool:
        """Whether a request would pass now. Takes nothing."""
        self.fill(now_us)
        return (
            self.requests.has(TOKEN)
            and self.bytes.has(1)
            and not (is_write and not self.writes.has(TOKEN))
        )

    def sent(self, size: i64) -> None:
        """A reply of so many bytes went out; they count, too."""
        if self.bytes.rate >= 0:
            self.bytes.take(size)


def operations_in(buf: bytes, start: i64, end: i64) -> i64:
    """How many operations a multi asks for, at least 1; what cannot be read counts as one more.

    `buf[start:end]`: its frame. Only lengths are looked at: whether it is valid is not said here.
    """
    at = start + REQUEST_HEAD_BYTES
    count: i64 = 0
    while at + MULTI_HEAD_BYTES <= end:
        op = i64(read_i32_be(buf, at))
        if buf[at + 4] != 0:
            break
        count += 1
        at = _skip(buf, at + MULTI_HEAD_BYTES, end)  # a path
        if op == codes.OP_DELETE or op == codes.OP_CHECK:
            at += 4
        elif op == codes.OP_SET_DATA:
            at = _skip(buf, at, end) + 4
        elif op == codes.OP_CREATE or op == codes.OP_CREATE2 or op == codes.OP_CREATE_CONTAINER:
            at = _skip_acl(buf, _skip(buf, at, end), end) + 4
        elif op == codes.OP_CREATE_TTL:
            at = _skip_acl(buf, _skip(buf, at, end), end) + 12
        else:
            break
    return count if count > 0 else 1


def _skip(buf: bytes, at: i64, end: i64) -> i64:
    """Behind a string or buffer; `end` where it does not fit."""
    if at + 4 > end:
        return end
    length = i64(read_i32_be(buf, at))
    if length < 0:
        length = 0  # null
    at += 4 + length
    return at if at < end else end


def _skip_acl(buf: bytes, at: i64, end: i64) -> i64:
    """Behind a list of ACL entries; `end` where it does not fit."""
    if at + 4 > end:
        return end
    left = i64(read_i32_be(buf, at))
    at += 4
    while left > 0 and at < end:
        at = _skip(buf, _skip(buf, at + 4, end), end)
        left -= 1
    return at if at < end else end
