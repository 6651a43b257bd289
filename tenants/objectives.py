"""What a tenant is promised: how many requests succeed, how fast; defaults, the plan's, its own.

`availability`: percent of requests that the server does not fail. `latency`: percent of requests of
class `latency_of` that take `latency_ms` at most. Both over `days`.
"""

from collections.abc import Mapping
from typing import Final

from django.core.exceptions import ValidationError

OBJECTIVE_WORDS: Final = {
    "availability": "percent of requests without an error of the server's",
    "latency": "percent of these requests that are fast enough",
    "latency_ms": "fast enough: ms at most",
    "latency_of": "which requests have to be fast",
    "days": "over so many days",
}
CLASSES: Final = ("read", "write", "multi")
DEFAULTS: Final[dict[str, float | int | str]] = {
    "availability": 99.9,
    "latency": 99.0,
    "latency_ms": 10,
    "latency_of": "read",
    "days": 30,
}
PERCENT_LEAST: Final = 50.0
PERCENT_MOST: Final = 99.999  # at 100 there is no budget, and one error is an infinite burn
BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "availability": (PERCENT_LEAST, PERCENT_MOST),
    "latency": (PERCENT_LEAST, PERCENT_MOST),
    "latency_ms": (1, 60_000),
    "days": (1, 90),
}
WHOLE: Final = ("latency_ms", "days")


def check_objectives(value: object) -> None:
    """A validator of model fields.

    Raises:
        ValidationError: names the key, the value and the bound.
    """
    if not isinstance(value, Mapping):
        raise ValidationError("objectives are an object by name")
    for name, wanted in value.items():
        if name == "latency_of":
            if wanted not in CLASSES:
                raise ValidationError(
                    f"latency_of is {str(wanted)[:40]!r}; use one of {', '.join(CLASSES)}"
                )
            continue
        if name not in BOUNDS:
            known = ", ".join(OBJECTIVE_WORDS)
            raise ValidationError(f"there is no objective {str(name)[:40]!r}; there are {known}")
        low, high = BOUNDS[name]
        is_number = type(wanted) is int or (type(wanted) is float and name not in WHOLE)
        if not is_number or not low <= wanted <= high:
            raise ValidationError(
                f"{name} is {str(wanted)[:40]}; a{' whole' if name in WHOLE else ''} number "
                f"from {low:g} to {high:g} is wanted"
            )


def objectives_in_force(
    plan: Mapping[str, float | int | str], own: Mapping[str, float | int | str]
) -> dict[str, float | int | str]:
    """The defaults, the plan's in their place, and a tenant's own in those'."""
    merged = {**DEFAULTS, **plan, **own}
    return {name: merged[name] for name in DEFAULTS}
