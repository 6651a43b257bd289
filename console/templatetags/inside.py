"""How figures of nodes and sessions are shown: rates, times that passed, links within a scope."""

from datetime import UTC, datetime

from django import template
from django.utils import timezone

from console.templatetags.plane import span

register = template.Library()


@register.filter
def rate(number: object) -> str:
    """12,345; 12.3; 0."""
    if not isinstance(number, int | float):
        return "–"
    if 0 < number < 99.95:
        return f"{number:.1f}"
    return f"{number:,.0f}"


@register.filter
def millis(number: object) -> str:
    """Milliseconds with three digits at most: 0.42, 12.3, 1,240."""
    if not isinstance(number, int | float):
        return "–"
    if number < 10:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 100 else f"{number:,.0f}"


@register.filter
def lasting(ms: object) -> str:
    """3 minutes, from milliseconds."""
    return span(ms / 1_000) if isinstance(ms, int | float) and ms >= 0 else "–"


@register.filter
def passed(at: datetime | None) -> str:
    """3 minutes, since then."""
    return "" if at is None else span(max(0.0, (timezone.now() - at).total_seconds()))


@register.filter
def from_ms(ms: object) -> datetime | None:
    """A moment out of milliseconds since 1970."""
    if not isinstance(ms, int | float) or not 0 < ms < 1e14:
        return None
    return datetime.fromtimestamp(ms / 1_000, UTC)
