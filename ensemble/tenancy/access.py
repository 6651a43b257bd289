"""What each opcode needs and where its paths are: a row for each; without a row it is refused."""

from typing import Final

from mypy_extensions import i64

from ensemble.wire import codes

# What a request asks of who sends it
UNKNOWN: Final = 0  # no row: refused
FREE: Final = 1  # whoever is connected: it names no path and keeps a session alive, or ends it
READ: Final = 2
WRITE: Final = 3
OPERATE: Final = 4  # what concerns the ensemble: no business of a tenant's

# Where its paths are
NO_PATH: Final = 0
NODE: Final = 1  # the first field; empty is the root
TEXT: Final = 2  # the first field; a name for a watch, or an echo: looked up nowhere
CREATE: Final = 3
DELETE: Final = 4
CHANGE: Final = 5  # setData, setACL: the first field
PARTS: Final = 6
READ_PARTS: Final = 7
WATCHES: Final = 8

ROWS: Final[dict[int, tuple[int, int]]] = {
    codes.OP_AUTH: (FREE, NO_PATH),
    codes.OP_SASL: (FREE, NO_PATH),
    codes.OP_PING: (FREE, NO_PATH),
    codes.OP_CLOSE_SESSION: (FREE, NO_PATH),
    codes.OP_EXISTS: (READ, NODE),
    codes.OP_GET_DATA: (READ, NODE),
    codes.OP_GET_ACL: (READ, NODE),
    codes.OP_GET_CHILDREN: (READ, NODE),
    codes.OP_GET_CHILDREN2: (READ, NODE),
    codes.OP_GET_ALL_CHILDREN_NUMBER: (READ, NODE),
    codes.OP_SYNC: (READ, TEXT),
    codes.OP_ADD_WATCH: (READ, TEXT),
    codes.OP_CHECK_WATCHES: (READ, TEXT),
    codes.OP_REMOVE_WATCHES: (READ, TEXT),
    codes.OP_SET_WATCHES: (READ, WATCHES),
    codes.OP_SET_WATCHES2: (READ, WATCHES),
    codes.OP_MULTI_READ: (READ, READ_PARTS),
    codes.OP_GET_EPHEMERALS: (READ, NO_PATH),  # a prefix, of what is shown: see `Answers`
    codes.OP_WHO_AM_I: (READ, NO_PATH),
    codes.OP_CREATE: (WRITE, CREATE),
    codes.OP_CREATE2: (WRITE, CREATE),
    codes.OP_CREATE_CONTAINER: (WRITE, CREATE),
    codes.OP_CREATE_TTL: (WRITE, CREATE),
    codes.OP_DELETE: (WRITE, DELETE),
    codes.OP_SET_DATA: (WRITE, CHANGE),
    codes.OP_SET_ACL: (WRITE, CHANGE),
    codes.OP_MULTI: (WRITE, PARTS),
    codes.OP_RECONFIG: (OPERATE, NO_PATH),
}

OPS_MAX: Final = 128


def _column(index: int) -> bytes:
    """One byte for each opcode from 0 on: looked up for every request."""
    column = bytearray(OPS_MAX)
    for op, row in ROWS.items():
        if op >= 0:
            column[op] = row[index]
    return bytes(column)


_NEEDS: Final = _column(0)
_SHAPES: Final = _column(1)


def need_of(op: i64) -> i64:
    """What an opcode needs; UNKNOWN where it has no row."""
    if 0 <= op < OPS_MAX:
        return _NEEDS[op]
    return FREE if op == codes.OP_CLOSE_SESSION else UNKNOWN


def shape_of(op: i64) -> i64:
    """Where the paths of an opcode are."""
    return _SHAPES[op] if 0 <= op < OPS_MAX else NO_PATH
