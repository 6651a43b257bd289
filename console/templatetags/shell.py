"""Icons. The library reads and writes the picture anew each time; a page has fifty of them."""

from functools import lru_cache
from typing import Any, Final

from django import template
from heroicons.templatetags.heroicons import heroicon_outline

register = template.Library()

KEPT: Final = 200  # more than there are names in our templates


@register.simple_tag
@lru_cache(KEPT)
def icon(name: str, css_class: str = "") -> str:
    """One of heroicons' outlines, hidden from those who listen: words beside it say what it is."""
    extra: dict[str, Any] = {"class": css_class} if css_class else {}
    return heroicon_outline(name, **extra)
