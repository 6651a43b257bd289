"""The stretch of time that an address asks for, and what it is compared with."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

RANGES: Final = {
    "live": 300,
    "15m": 900,
    "1h": 3_600,
    "6h": 6 * 3_600,
    "24h": 86_400,
    "7d": 7 * 86_400,
    "30d": 30 * 86_400,
}
RANGE_WORDS: Final = {"live": "Live", **{name: name for name in RANGES if name != "live"}}
DEFAULT: Final = "1h"
EARLIER: Final = {"1h": 3_600, "1d": 86_400, "1w": 7 * 86_400, "4w": 28 * 86_400}
EARLIER_WORDS: Final = {
    "1h": "an hour before",
    "1d": "a day before",
    "1w": "a week before",
    "4w": "four weeks before",
}
SPAN_MIN_S: Final = 10
SPAN_MAX_S: Final = 400 * 86_400
DIGITS_MAX: Final = 12


class StretchError(ValueError):
    """What is asked for is no time. The text is for people."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """`name`: of RANGES, ending now; empty between two times.

    `earlier`: what it is compared with, of EARLIER or the first second of as long a time; empty:
    nothing. `shift`: how long before that is, s.
    """

    name: str
    since: int
    until: int
    earlier: str = ""
    shift: int = 0

    @property
    def earlier_words(self) -> str:
        """For people, where it is compared with another time."""
        if not self.earlier or self.earlier in EARLIER:
            return EARLIER_WORDS.get(self.earlier, "")
        return f"from {text_of(self.since - self.shift).replace('T', ' ')} UTC on"

    @property
    def earlier_text(self) -> str:
        """As a form's field has it, where it is no name."""
        is_named = not self.earlier or self.earlier in EARLIER
        return "" if is_named else text_of(self.since - self.shift)


def stretch_of(query: Mapping[str, str], now: int | None = None) -> Stretch:
    """Of an address's query: `range`, or `since` and `until`; `earlier`, a name or a time.

    Raises:
        StretchError: they are none; names the value and what is wanted.
    """
    now = int(time.time()) if now is None else now
    name, first, last = ends_of(query, now)
    earlier = query.get("earlier", "")
    return Stretch(name, first, last, earlier, shift_of(earlier, first))


def shift_of(earlier: str, since: int) -> int:
    """How long before `since` that is, s; 0 where nothing is asked for."""
    if not earlier or earlier in EARLIER:
        return EARLIER.get(earlier, 0)
    if not earlier[:1].isdigit():
        names = ", ".join(EARLIER)
        raise StretchError(f"earlier is {earlier[:40]!r}; use one of {names}, or 2026-11-21T15:04")
    shift = since - second_of("earlier", earlier, since)
    if not 0 < shift <= SPAN_MAX_S:
        raise StretchError(
            f"what is compared begins at {earlier[:40]}; use a time before {text_of(since)}, "
            f"by {SPAN_MAX_S // 86_400} days at most"
        )
    return shift


def ends_of(query: Mapping[str, str], now: int) -> tuple[str, int, int]:
    """The name, the first second and the last; without an `earlier`."""
    since, until = query.get("since", ""), query.get("until", "")
    if since or until:
        first = second_of("since", since, now - RANGES[DEFAULT])
        last = min(second_of("until", until, now), now)
        if not SPAN_MIN_S <= last - first <= SPAN_MAX_S:
            raise StretchError(
                f"from {text_of(first)} to {text_of(last)} are {last - first} s; "
                f"use {SPAN_MIN_S} s to {SPAN_MAX_S // 86_400} days, before now"
            )
        return "", first, last
    name = query.get("range", DEFAULT)
    if name not in RANGES:
        raise StretchError(f"range is {name[:40]!r}; use one of {', '.join(RANGES)}")
    return name, now - RANGES[name], now


def second_of(name: str, text: str, default: int) -> int:
    """Seconds since 1970, or 2026-11-21T15:04 in UTC."""
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX:
        return int(text)
    try:
        moment = datetime.fromisoformat(text[:40])
    except ValueError:
        raise StretchError(
            f"{name} is {text[:40]!r}; use 2026-11-21T15:04 (UTC) or seconds since 1970"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return int(moment.timestamp())
    except (OverflowError, ValueError):
        raise StretchError(f"{name} is {text[:40]!r}, which is out of all bounds") from None


def text_of(second: int) -> str:
    """2026-11-21T15:04, as a form's field has it; in UTC."""
    try:
        return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M")
    except (OverflowError, ValueError, OSError):
        return f"{second} s"
