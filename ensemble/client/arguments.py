"""Numbers that go into a request: checked here, because on the wire they would wrap around.

A version of 2**32 - 1 would arrive as -1, any version, and a compare-and-set would overwrite.
"""

from typing import Final

from ensemble.client.errors import BadArgumentsError
from ensemble.wire import codes

INT_MIN: Final = -(2**31)
INT_MAX: Final = 2**31 - 1
LONG_MIN: Final = -(2**63)
LONG_MAX: Final = 2**63 - 1


def check_version(version: int, path: str) -> int:
    """The version itself, if it fits. Counters wrap, so that all 32 bits can be one.

    Raises:
        BadArgumentsError: names the version and the bounds.
    """
    if not INT_MIN <= version <= INT_MAX:
        raise BadArgumentsError(f"version {version} is not in {INT_MIN}..{INT_MAX}", path=path)
    return version


def check_config_version(version: int) -> int:
    """A zxid, or -1: any."""
    if not LONG_MIN <= version <= LONG_MAX:
        raise BadArgumentsError(f"config_version {version} is not in {LONG_MIN}..{LONG_MAX}")
    return version


def check_permissions(perms: int) -> int:
    """A set of cdrwa."""
    if not 0 <= perms <= codes.PERM_ALL:
        raise BadArgumentsError(f"permissions {perms} are not in 0..{codes.PERM_ALL}")
    return perms


def check_at_least(name: str, value: int, least: int) -> int:
    """A bound that was given by name."""
    if value < least:
        raise BadArgumentsError(f"{name} is {value}, at least {least} is needed")
    return value
