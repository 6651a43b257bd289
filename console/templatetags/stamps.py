"""Times and figures as pages of alerts and of the trail say them."""

from collections.abc import Mapping
from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.templatetags.plane import away, in_one_line, moment, span

register = template.Library()


@register.filter
def stamp(at: datetime | None) -> str:
    """The moment to the second; a dash where there is none."""
    return "–" if at is None else moment(at, "second")


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """12 minutes ago, with the moment behind it."""
    if at is None:
        return "–"
    at = at.astimezone(UTC)
    return format_html(
        '<time class="ago" data-local datetime="{}" title="{} UTC">{}</time>',
        at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        f"{at:%Y-%m-%d %H:%M:%S}",
        away(at),
    )


@register.filter
def seconds(number: int) -> str:
    """5 min, 30 s, 2 h."""
    for step, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if number >= step and number % step == 0:
            return f"{number // step} {unit}"
    return f"{number} s"


@register.filter
def lasting(number: int) -> str:
    """3 minutes."""
    return span(number)


@register.filter
def figure(number: float) -> str:
    """1,000,000; 0.5."""
    return f"{number:,.0f}" if number == int(number) else f"{number:,g}"


@register.filter
def in_words_of(value: object) -> str:
    """A figure of an alert's evidence."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int | float):
        return figure(value)
    return in_one_line(value)[:2_000]


@register.filter
def words_of(text: str) -> list[str]:
    """A list of words, for a loop."""
    return text.split()


@register.filter
def at(values: Mapping[str, str], name: str) -> str:
    """A value by a name that is a variable."""
    return values.get(name, "")
