"""What the node hands to the audit's process: small binary records, several to a message.

A message is the wall clock in ms, then records. A record has a number of
its own, rising by one: whoever reads can tell what is missing. Values are not in here: only who,
which operation, which paths, and what came of it.
"""

from typing import Final, final

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64

from ensemble.wire.jute import Reader, write_buffer

# What is told beside the operations of clients, as negative opcodes that the protocol has not
START: Final = -1_001  # this run begins; the record's zxid is the tree's last
STOP: Final = -1_002
# Records were dropped: its number is that of the first, `address` that of the last as text,
# `principal` says why, `zxid` and `session_id` are the first and the last transaction among them.
GAP: Final = -1_003
REATTACH: Final = -1_004  # a client comes back to a session, with a wrong password
COMMAND: Final = -1_005  # of the admin port

UNKNOWN: Final = 1  # in place of an error: nobody can say any more what came of it

# Flags of a record
ASKED: Final = 1  # paths as the client wrote them: refused before they meant anything
CONTINUED: Final = 2  # more paths of the record before

PATH_BYTES_MAX: Final = 4_096  # of one path; a longer one is cut, its length stays
PARTS_BYTES_MAX: Final = 24_576  # of one record; what has more paths becomes several
MESSAGE_HEADER_BYTES: Final = 8


@final
class Part:
    """One operation of a record. `size`: of the whole path, where `path` is only its beginning."""

    __slots__ = ("op", "path", "size")

    def __init__(self, op: i64, path: bytes, size: i64) -> None:
        self.op: Final[i64] = op
        self.path: Final = path
        self.size: Final[i64] = size


@final
class Record:
    """One record, read back."""

    __slots__ = (
        "address",
        "error",
        "flags",
        "number",
        "op",
        "parts",
        "principal",
        "session_id",
        "tenant",
        "time_ms",
        "zxid",
    )

    def __init__(
        self,
        number: i64,
        op: i64,
        flags: i64,
        error: i64,
        zxid: i64,
        session_id: i64,
        time_ms: i64,
        address: bytes,
        tenant: bytes,
        principal: bytes,
        parts: list[Part],
    ) -> None:
        self.number: Final[i64] = number
        self.op: Final[i64] = op
        self.flags: Final[i64] = flags
        self.error: Final[i64] = error
        self.zxid: Final[i64] = zxid
        self.session_id: Final[i64] = session_id
        self.time_ms: Final[i64] = time_ms
        self.address: Final = address
        self.tenant: Final = tenant
        self.principal: Final = principal
        self.parts: Final = parts


def encode_actor(address: bytes, tenant: bytes, principal: bytes) -> bytes:
    """Who asks, as every record of theirs carries it."""
    out = BytesWriter()
    write_buffer(out, address)
    write_buffer(out, tenant)
    write_buffer(out, principal)
    return out.getvalue()


NOBODY: Final = encode_actor(b"", b"", b"")


def write_record(
    out: BytesWriter,
    number: i64,
    op: i64,
    flags: i64,
    error: i64,
    zxid: i64,
    session_id: i64,
    time_ms: i64,
    actor: bytes,
) -> None:
    """The head of a record; `write_part` as often as the count that follows says."""
    write_i64_be(out, number)
    write_i32_be(out, int(op))
    write_i32_be(out, int(flags))
    write_i32_be(out, int(error))
    write_i64_be(out, zxid)
    write_i64_be(out, session_id)
    write_i64_be(out, time_ms)
    out.write(actor)


def write_part(out: BytesWriter, op: i64, path: bytes) -> None:
    size = len(path)
    write_i32_be(out, int(op))
    write_i32_be(out, size)
    if size > PATH_BYTES_MAX:
        path = path[:PATH_BYTES_MAX]
    write_i32_be(out, len(path))
    out.write(path)


def write_message_header(out: BytesWriter, wall_ms: i64) -> None:
    write_i64_be(out, wall_ms)


def read_message(message: bytes) -> list[Record]:
    """Every record of a message; one that gives no time gets the message's."""
    reader = Reader(message, 0, len(message))
    wall_ms = reader.read_long()
    records: list[Record] = []
    while reader.remaining() > 0:
        number = reader.read_long()
        op = reader.read_int()
        flags = reader.read_int()
        error = reader.read_int()
        zxid = reader.read_long()
        session_id = reader.read_long()
        time_ms = reader.read_long()
        address = reader.read_buffer()
        tenant = reader.read_buffer()
        principal = reader.read_buffer()
        count = reader.read_int()
        parts: list[Part] = []
        while count > 0:
            count -= 1
            part_op = reader.read_int()
            size = reader.read_int()
            parts.append(Part(part_op, reader.read_path(), size))
        records.append(
            Record(
                number,
                op,
                flags,
                error,
                zxid,
                session_id,
                wall_ms if time_ms == 0 else time_ms,
                address or b"",
                tenant or b"",
                principal or b"",
                parts,
            )
        )
    return records
