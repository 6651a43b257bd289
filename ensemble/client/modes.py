"""The kinds of znode that a create can ask for. Source: client.md section 11."""

import enum
from typing import Final

from ensemble.client.errors import BadArgumentsError
from ensemble.wire import codes

TTL_MS_MAX: Final = (1 << 40) - 1


class CreateMode(enum.IntEnum):
    """How long a znode lives, and whether the server adds a number to its name."""

    PERSISTENT = codes.CREATE_PERSISTENT
    EPHEMERAL = codes.CREATE_EPHEMERAL
    """Gone with the session that made it; has no children."""
    PERSISTENT_SEQUENTIAL = codes.CREATE_PERSISTENT_SEQUENTIAL
    EPHEMERAL_SEQUENTIAL = codes.CREATE_EPHEMERAL_SEQUENTIAL
    CONTAINER = codes.CREATE_CONTAINER
    """Goes some time after its last child."""
    PERSISTENT_WITH_TTL = codes.CREATE_PERSISTENT_WITH_TTL
    """Goes when it has no children and was not set for `ttl_ms`; needs extendedTypesEnabled."""
    PERSISTENT_SEQUENTIAL_WITH_TTL = codes.CREATE_PERSISTENT_SEQUENTIAL_WITH_TTL

    @property
    def is_sequential(self) -> bool:
        return self in _SEQUENTIAL

    @property
    def has_ttl(self) -> bool:
        return self >= CreateMode.PERSISTENT_WITH_TTL


_SEQUENTIAL: Final = frozenset(
    {
        CreateMode.PERSISTENT_SEQUENTIAL,
        CreateMode.EPHEMERAL_SEQUENTIAL,
        CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL,
    }
)


def op_of_create(mode: CreateMode, ttl_ms: int | None, with_stat: bool) -> int:
    """The opcode that creates such a znode.

    Raises:
        BadArgumentsError: a ttl without a TTL mode, the other way round, or one out of bounds.
    """
    if mode.has_ttl:
        if ttl_ms is None or not 1 <= ttl_ms <= TTL_MS_MAX:
            raise BadArgumentsError(f"{mode.name} needs a ttl_ms in 1..{TTL_MS_MAX}, got {ttl_ms}")
        return codes.OP_CREATE_TTL
    if ttl_ms is not None:
        raise BadArgumentsError(f"{mode.name} takes no ttl_ms, got {ttl_ms}")
    if mode is CreateMode.CONTAINER:
        return codes.OP_CREATE_CONTAINER
    return codes.OP_CREATE2 if with_stat else codes.OP_CREATE
