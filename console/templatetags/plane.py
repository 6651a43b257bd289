"""How values are shown: numbers in groups, bytes in words, texts that hide nothing."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from django import template
from django.utils import timezone
from django.utils.html import format_html

from tenants.limits import LIMIT_WORDS

register = template.Library()

# What would turn, hide or end the text around it: controls, directions, separators, surrogates.
TRICKS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)
STEPS: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
DAY_S: Final = 86_400
SHORT: Final = {
    "znodes": "znodes",
    "bytes": "in all",
    "znode_bytes": "a znode",
    "requests_per_second": "requests/s",
    "writes_per_second": "writes/s",
    "bytes_per_second": "a second",
}
MOMENTS: Final = {
    "day": "%Y-%m-%d",
    "minute": "%Y-%m-%d %H:%M UTC",
    "second": "%Y-%m-%d %H:%M:%S UTC",
}
IN_BYTES: Final = frozenset({"bytes", "znode_bytes", "bytes_per_second"})


@register.filter
def plain(text: object) -> str:
    """A text of somebody else's, with everything that cannot be seen made visible."""
    return TRICKS.sub(lambda found: f"‹U+{ord(found.group()):04X}›", str(text))


@register.filter
def plain_lines(text: object) -> str:
    """The same of a text of several lines, which they stay."""
    return "\n".join(plain(line) for line in str(text).splitlines())


@register.filter
def amount(number: object) -> str:
    """12,345; a dash where there is none."""
    return f"{number:,}" if isinstance(number, int) else "–"


@register.filter
def hexadecimal(number: int) -> str:
    """A zxid as ZooKeeper's tools print it."""
    return f"{number:#x}"


@register.filter
def in_bytes(number: object) -> str:
    """12.3 MiB."""
    if not isinstance(number, int):
        return "–"
    for step, unit in STEPS:
        if number >= step:
            return (
                f"{number / step:.3g} {unit}"
                if number < 999 * step
                else f"{number // step:,} {unit}"
            )
    return f"{number} bytes"


@register.filter
def of_limit(number: object, name: str) -> str:
    """A number as the limit of this name counts."""
    return in_bytes(number) if name in IN_BYTES else amount(number)


@register.filter
def in_words(limits: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Name, number and words of each limit, in their order; `znodes` rather than its definition."""
    return [
        (name, limits[name], SHORT.get(name, words))
        for name, words in LIMIT_WORDS.items()
        if name in limits
    ]


@register.filter
def worded(detail: Mapping[str, object]) -> list[tuple[str, str]]:
    """What a row of the trail tells besides, without what says nothing."""
    return [(key, words) for key, value in detail.items() if (words := in_one_line(value))]


def in_one_line(value: object) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {in_one_line(v) or 'none'}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(in_one_line(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


@register.filter
def moment(at: datetime | None, show: str = "minute") -> str:
    """2026-11-21 15:04 UTC, which the page's script turns into the viewer's zone.

    `show`: minute, second or day (`static/console/times.js`).
    """
    if at is None:
        return ""
    utc = at.astimezone(UTC)
    words = utc.strftime(MOMENTS[show])
    stamp = utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return format_html('<time datetime="{}" data-show="{}">{}</time>', stamp, show, words)


@register.filter
def away(at: datetime | None) -> str:
    """in 3 days, 2 hours ago."""
    if at is None:
        return ""
    seconds = (at - timezone.now()).total_seconds()
    words = span(abs(seconds))
    return f"in {words}" if seconds >= 0 else f"{words} ago"


def span(seconds: float) -> str:
    for step, unit in ((DAY_S, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= step:
            count = int(seconds // step)
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return "a moment"
