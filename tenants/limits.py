"""A tenant's limits as plans and tenants keep them: a number by name, none where it is missing."""

from collections.abc import Mapping
from typing import Final

from django.core.exceptions import ValidationError

from ensemble.admin.draft import LIMIT_NAMES

LIMIT_MAX: Final = (1 << 53) - 1  # what every reader of JSON keeps exact

LIMIT_WORDS: Final = {
    "znodes": "znodes, the root included",
    "bytes": "bytes of all znodes: path, data and ACL",
    "znode_bytes": "bytes of one znode",
    "ephemerals": "ephemeral znodes",
    "watches": "watches",
    "sessions": "sessions",
    "connections": "connections",
    "requests_per_second": "requests a second",
    "writes_per_second": "writes a second",
    "bytes_per_second": "bytes in and out a second",
}
assert set(LIMIT_WORDS) == set(LIMIT_NAMES)


def check_limits(value: object) -> None:
    """A validator of model fields.

    Raises:
        ValidationError: names the key, the value and the bound.
    """
    if not isinstance(value, Mapping):
        raise ValidationError("limits are an object of numbers by name")
    for name, number in value.items():
        if name not in LIMIT_WORDS:
            known = ", ".join(LIMIT_NAMES)
            raise ValidationError(f"there is no limit {str(name)[:40]!r}; there are {known}")
        if type(number) is not int or not 0 <= number <= LIMIT_MAX:
            raise ValidationError(
                f"{name} is {str(number)[:40]}, a number from 0 to {LIMIT_MAX} is wanted"
            )


def check_overrides(value: object) -> None:
    """The same, where null says: no limit, whatever the plan has."""
    if not isinstance(value, Mapping):
        raise ValidationError("overrides are an object of numbers by name")
    check_limits({name: number for name, number in value.items() if number is not None})
    for name in value:
        if name not in LIMIT_WORDS:
            raise ValidationError(f"there is no limit {str(name)[:40]!r}")


def limits_in_force(plan: Mapping[str, int], overrides: Mapping[str, int | None]) -> dict[str, int]:
    """The plan's limits with a tenant's own in their place, in the order of LIMIT_NAMES."""
    merged = {**plan, **overrides}
    return {name: value for name in LIMIT_NAMES if (value := merged.get(name)) is not None}
