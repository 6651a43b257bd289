"""What kind of request an opcode asks for (client.md section 5)."""

from typing import Final

from mypy_extensions import i64

from ensemble.wire import codes

WRITES: Final = (  # 20 and -10 are no client's business
    codes.OP_SET_DATA,
    codes.OP_CREATE,
    codes.OP_DELETE,
    codes.OP_CREATE2,
    codes.OP_MULTI,
    codes.OP_SET_ACL,
    codes.OP_CREATE_CONTAINER,
    codes.OP_CREATE_TTL,
    codes.OP_RECONFIG,
)
READS: Final = (
    codes.OP_GET_DATA,
    codes.OP_EXISTS,
    codes.OP_PING,
    codes.OP_GET_CHILDREN,
    codes.OP_GET_CHILDREN2,
    codes.OP_GET_ACL,
    codes.OP_SYNC,
    codes.OP_SET_WATCHES,
    codes.OP_SET_WATCHES2,
    codes.OP_ADD_WATCH,
    codes.OP_CHECK_WATCHES,
    codes.OP_REMOVE_WATCHES,
    codes.OP_MULTI_READ,
    codes.OP_GET_EPHEMERALS,
    codes.OP_GET_ALL_CHILDREN_NUMBER,
    codes.OP_WHO_AM_I,
)
# What keeps a session alive, or ends it: never held up by a rate, nor by a turn.
EXEMPT: Final = (
    codes.OP_PING,
    codes.OP_AUTH,
    codes.OP_SASL,
    codes.OP_SET_WATCHES,
    codes.OP_SET_WATCHES2,
)

OPS_MAX: Final = 128
WRITE: Final = 1
READ: Final = 2
IS_EXEMPT: Final = 4


def _kinds() -> bytes:
    """A byte for each opcode from 0 on: asked several times for every request."""
    kinds = bytearray(OPS_MAX)
    for bit, ops in ((WRITE, WRITES), (READ, READS), (IS_EXEMPT, EXEMPT)):
        for op in ops:
            kinds[op] |= bit
    return bytes(kinds)


_KINDS: Final = _kinds()


def kind_of(op: i64) -> i64:
    """The bits of an opcode; 0 of an unknown one."""
    if 0 <= op < OPS_MAX:
        return _KINDS[op]
    return WRITE | IS_EXEMPT if op == codes.OP_CLOSE_SESSION else 0


def is_write(op: i64) -> bool:
    """Whether an opcode asks for a transaction."""
    return kind_of(op) & WRITE != 0


def is_read(op: i64) -> bool:
    """Whether `Answers` knows the opcode."""
    return kind_of(op) & READ != 0


def is_exempt(op: i64) -> bool:
    """What costs no tokens and never waits for any: it keeps sessions alive or ends them."""
    return kind_of(op) & IS_EXEMPT != 0
