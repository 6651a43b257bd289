"""What was counted for somebody: by class of operation, with histograms that can be added up.

A node's figures are cumulative since its start. `since` makes a difference of two, `add` a sum of
several nodes or of a longer time, `encode` a few bytes. No database and no clock here.
"""

from collections.abc import Iterator
from typing import Any, Final

from ensemble.client import ERROR_NAMES
from ensemble.tenancy.histogram import SIZE, bucket_top

# In this order in the bytes that are kept: new ones come at the end.
CLASS_NAMES: Final = (
    *("read", "write", "multi", "watch", "sync", "session", "auth", "ping", "other", "delivery"),
)
DELIVERY: Final = CLASS_NAMES.index("delivery")
COUNTS: Final = (
    *("requests", "errors", "throttled", "held", "held_ms", "bytes_in", "bytes_out", "busy_us"),
    *("opened", "events"),
)
FORMAT: Final = 1
FORMAT_WITH_CODES: Final = 2  # where an error occurred: each class has its errors by code
CODES: Final = {name: code for code, name in ERROR_NAMES.items()}
CODES_MAX: Final = 64  # of one class; what a node says is not trusted to be short
CODE_DIGITS_MAX: Final = 11
NUMBER_MAX: Final = (1 << 63) - 1
BYTE_MAX: Final = 127


class FigureError(ValueError):
    """What a node says is none of the figures that are expected."""


class MoreNeededError(FigureError):
    """Something was added longer ago than the node tells of: all has to be asked for."""


class ClassTotals:
    """One class of operations. `buckets`: of the histogram, by number; `codes`: errors by code."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "codes", "count", "errors", "max_us", "sum_us")

    def __init__(self) -> None:
        self.count = 0
        self.errors = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.sum_us = 0
        self.max_us = 0  # of all time where it is cumulative, so a difference has an upper bound
        self.buckets: dict[int, int] = {}
        self.codes: dict[int, int] = {}

    def add(self, other: "ClassTotals") -> None:
        self.count += other.count
        self.errors += other.errors
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.sum_us += other.sum_us
        self.max_us = max(self.max_us, other.max_us)
        buckets = self.buckets
        for index, times in other.buckets.items():
            buckets[index] = buckets.get(index, 0) + times
        for code, times in other.codes.items():
            self.codes[code] = self.codes.get(code, 0) + times

    def since(self, before: "ClassTotals") -> "ClassTotals":
        found = ClassTotals()
        found.count = self.count - before.count
        found.errors = self.errors - before.errors
        found.bytes_in = self.bytes_in - before.bytes_in
        found.bytes_out = self.bytes_out - before.bytes_out
        found.sum_us = self.sum_us - before.sum_us
        old = before.buckets
        for index, times in self.buckets.items():
            more = times - old.get(index, 0)
            if more:
                found.buckets[index] = more
        for code, times in self.codes.items():
            more = times - before.codes.get(code, 0)
            if more > 0:
                found.codes[code] = more
        top = max(found.buckets, default=-1)
        found.max_us = min(self.max_us, int(bucket_top(top))) if top >= 0 else 0
        return found

    def within(self, us: int) -> int:
        """How many took no longer, as exactly as buckets tell: an eighth of a power of two."""
        return sum(times for index, times in self.buckets.items() if int(bucket_top(index)) <= us)

    def quantile(self, share: float) -> int:
        """Microseconds that a share of all did not exceed; 0 where there is nothing."""
        count = sum(self.buckets.values())
        seen = 0
        for index in sorted(self.buckets):
            seen += self.buckets[index]
            if seen >= share * count:
                return min(int(bucket_top(index)), self.max_us)
        return self.max_us


class Totals:
    """All classes, and what belongs to none."""

    __slots__ = ("classes", "counts", "mark")

    def __init__(self) -> None:
        self.counts = [0] * len(COUNTS)
        self.classes: dict[int, ClassTotals] = {}
        self.mark: tuple[object, ...] = ()  # see `of_account`

    def __getitem__(self, name: str) -> int:
        return self.counts[COUNTS.index(name)]

    def add(self, other: "Totals") -> None:
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        for kind, theirs in other.classes.items():
            ours = self.classes.get(kind)
            if ours is None:
                ours = self.classes[kind] = ClassTotals()
            ours.add(theirs)

    def has_begun_anew(self, before: "Totals") -> bool:
        """Whether this one cannot go on from `before`: something has become less."""
        if any(a < b for a, b in zip(self.counts, before.counts, strict=True)):
            return True
        for kind, old in before.classes.items():
            new = self.classes.get(kind)
            if new is None or new.count < old.count or new.sum_us < old.sum_us:
                return True
            if any(new.buckets.get(index, 0) < times for index, times in old.buckets.items()):
                return True
        return False

    def since(self, before: "Totals | None") -> "Totals":
        """What was added since; all of it where the account has begun anew."""
        if before is self:
            return Totals()
        if before is None or self.has_begun_anew(before):
            return self
        found = Totals()
        found.counts = [a - b for a, b in zip(self.counts, before.counts, strict=True)]
        for kind, new in self.classes.items():
            old = before.classes.get(kind)
            if old is None:
                found.classes[kind] = new
            elif new.count != old.count or new.errors != old.errors:
                found.classes[kind] = new.since(old)
        return found

    @property
    def is_nothing(self) -> bool:
        return not any(self.counts)

    def encode(self) -> bytes:
        """The classes alone: the counts have columns of their own."""
        has_codes = any(totals.codes for totals in self.classes.values())
        numbers = [FORMAT_WITH_CODES if has_codes else FORMAT, len(self.classes)]
        for kind, totals in sorted(self.classes.items()):
            numbers += (kind, totals.count, totals.errors, totals.bytes_in, totals.bytes_out)
            numbers += (totals.sum_us, totals.max_us, len(totals.buckets))
            last = 0
            for index in sorted(totals.buckets):
                numbers += (index - last, totals.buckets[index])
                last = index
            if has_codes:
                numbers.append(len(totals.codes))
                for code in sorted(totals.codes):
                    # Most are negative: what is kept is not.
                    numbers += (-2 * code if code <= 0 else 2 * code - 1, totals.codes[code])
        return pack(numbers)


def decode(raw: bytes) -> dict[int, ClassTotals]:
    """The classes in `Totals.encode`'s bytes.

    Raises:
        FigureError: they are none.
    """
    numbers = unpack(raw)
    try:
        form = next(numbers)
        if form not in (FORMAT, FORMAT_WITH_CODES):
            raise FigureError(f"figures begin with {raw[:1]!r}, format 1 or 2 is expected")
        classes: dict[int, ClassTotals] = {}
        for _ in range(next(numbers)):
            totals = classes[next(numbers)] = ClassTotals()
            totals.count = next(numbers)
            totals.errors = next(numbers)
            totals.bytes_in = next(numbers)
            totals.bytes_out = next(numbers)
            totals.sum_us = next(numbers)
            totals.max_us = next(numbers)
            index = 0
            for _ in range(next(numbers)):
                index += next(numbers)
                totals.buckets[index] = next(numbers)
            if form == FORMAT_WITH_CODES:
                for _ in range(next(numbers)):
                    code = next(numbers)
                    totals.codes[(code + 1) // 2 if code % 2 else -(code // 2)] = next(numbers)
        return classes
    except StopIteration:
        raise FigureError(f"figures of {len(raw)} bytes end too early") from None


def pack(numbers: list[int]) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follows."""
    if max(numbers) <= BYTE_MAX:
        return bytes(numbers)
    out = bytearray()
    for number in numbers:
        while number > BYTE_MAX:
            out.append(number & BYTE_MAX | 128)
            number >>= 7
        out.append(number)
    return bytes(out)


def unpack(raw: bytes) -> Iterator[int]:
    if raw.isascii():
        return iter(raw)
    return unpack_long(raw)


def unpack_long(raw: bytes) -> Iterator[int]:
    number = 0
    shift = 0
    for byte in raw:
        if byte > BYTE_MAX:
            number |= (byte & BYTE_MAX) << shift
            shift += 7
        else:
            yield number | byte << shift
            number = shift = 0


# What a node says (docs/tenancy.md, "What a tenant costs")


def of_account(account: dict[str, Any], before: Totals | None = None) -> Totals:
    """An account of `/commands/tenants?histograms=true`; `before` itself where nothing was added.

    Most tenants are quiet most of the time: of these no more is looked at than what tells so.

    Raises:
        FigureError: a figure is missing, negative or no number.
    """
    try:
        delivery = account["delivery"]
        mark = (
            *(account["requests"], account["busy_ms"], account["held"], account["opened"]),
            *(account["errors"], account["bytes_out"], delivery["count"]),
        )
        if before is not None and before.mark == mark:
            return before
        if "classes" not in account:
            raise MoreNeededError("an account has changed and comes without its classes")
        found = Totals()
        found.mark = mark
        found.counts = [
            number(account["requests"]),
            number(account["errors"]),
            number(account["throttled"]),
            number(account["held"]),
            number(account["held_ms"]),
            number(account["bytes_in"]),
            number(account["bytes_out"]),
            number(account["busy_ms"] * 1_000),
            number(account["opened"]),
            number(delivery["count"]),
        ]
        for name, fields in account["classes"].items():
            if name not in CLASS_NAMES:
                continue  # of a newer server: in the sums, not in the classes
            totals = found.classes[CLASS_NAMES.index(name)] = ClassTotals()
            totals.count = number(fields["count"])
            totals.errors = number(fields["errors"])
            totals.bytes_in = number(fields["bytes_in"])
            totals.bytes_out = number(fields["bytes_out"])
            take_histogram(totals, fields["latency"])
            if totals.errors:  # an older server does not tell them by code
                take_codes(totals, fields.get("errors_by_code", {}))
        if delivery["count"]:
            totals = found.classes[DELIVERY] = ClassTotals()
            totals.count = number(delivery["count"])
            take_histogram(totals, delivery)
    except (KeyError, TypeError, AttributeError) as error:
        raise FigureError(f"an account without what is expected: {error!r}") from None
    return found


def take_histogram(totals: ClassTotals, fields: dict[str, Any]) -> None:
    totals.sum_us = number(fields["sum_us"])
    totals.max_us = number(fields["max_us"])
    for index, times in fields["buckets"]:
        if not 0 <= index < SIZE:
            raise FigureError(f"bucket {index} of a histogram; 0 to {SIZE - 1} is expected")
        totals.buckets[index] = number(times)


def take_codes(totals: ClassTotals, by_name: dict[str, Any]) -> None:
    for name, times in list(by_name.items())[:CODES_MAX]:
        code = CODES.get(name)
        if code is None:
            text = str(name).removeprefix("error")
            if not text.removeprefix("-").isdecimal() or len(text) > CODE_DIGITS_MAX:
                continue
            code = int(text)
        totals.codes[code] = totals.codes.get(code, 0) + number(times)


def number(value: object) -> int:
    if isinstance(value, int | float) and 0 <= value <= NUMBER_MAX:
        return int(value)
    raise FigureError(f"{value!r} is no count: a number from 0 on is expected")
