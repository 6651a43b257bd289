"""What kind of request an opcode asks for (client.md section 5)."""

from mypy_extensions import i64

from ensemble.wire import codes


def is_write(op: i64) -> bool:
    """Whether an opcode asks for a transaction. 20 and -10 are no client's business."""
    return (
        op == codes.OP_SET_DATA
        or op == codes.OP_CREATE
        or op == codes.OP_DELETE
        or op == codes.OP_CREATE2
        or op == codes.OP_MULTI
        or op == codes.OP_SET_ACL
        or op == codes.OP_CLOSE_SESSION
        or op == codes.OP_CREATE_CONTAINER
        or op == codes.OP_CREATE_TTL
        or op == codes.OP_RECONFIG
    )


def is_read(op: i64) -> bool:
    """Whether `Answers` knows the opcode."""
    return (
        op == codes.OP_GET_DATA
        or op == codes.OP_EXISTS
        or op == codes.OP_PING
        or op == codes.OP_GET_CHILDREN
        or op == codes.OP_GET_CHILDREN2
        or op == codes.OP_GET_ACL
        or op == codes.OP_SYNC
        or op == codes.OP_SET_WATCHES
        or op == codes.OP_SET_WATCHES2
        or op == codes.OP_ADD_WATCH
        or op == codes.OP_CHECK_WATCHES
        or op == codes.OP_REMOVE_WATCHES
        or op == codes.OP_MULTI_READ
        or op == codes.OP_GET_EPHEMERALS
        or op == codes.OP_GET_ALL_CHILDREN_NUMBER
        or op == codes.OP_WHO_AM_I
    )
