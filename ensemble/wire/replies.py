"""What the server sends: the ConnectResponse, replies, watch events.

Source: client.md sections 3.2, 4, 12, 13.2. The server writes whole frames into a connection's
buffer; the client reads them back.
"""

from typing import Final, final

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64

from ensemble.wire import codes
from ensemble.wire.framing import begin_frame, end_frame
from ensemble.wire.jute import Reader, write_bool, write_buffer, write_int, write_long

REPLY_HEADER_BYTES: Final = 16
NO_PASSWORD: Final = bytes(16)


@final
class ConnectResponse:
    """`timeout_ms` 0 and session 0: the session is not valid. `read_only` None: not written."""

    __slots__ = ("password", "read_only", "session_id", "timeout_ms")

    def __init__(
        self, timeout_ms: i64, session_id: i64, password: bytes, read_only: bool | None
    ) -> None:
        self.timeout_ms: Final = timeout_ms
        self.session_id: Final = session_id
        self.password: Final = password
        self.read_only: Final = read_only


def read_connect_response(reader: Reader) -> ConnectResponse:
    reader.read_int()
    timeout_ms = reader.read_int()
    session_id = reader.read_long()
    password = reader.read_buffer()
    read_only: bool | None = None
    if reader.remaining() > 0:
        read_only = reader.read_bool()
    return ConnectResponse(timeout_ms, session_id, password or b"", read_only)


def write_connect_response(out: BytesWriter, response: ConnectResponse) -> None:
    """A whole frame."""
    start = begin_frame(out)
    write_int(out, 0)
    write_int(out, response.timeout_ms)
    write_long(out, response.session_id)
    write_buffer(out, response.password)
    if response.read_only is not None:
        write_bool(out, response.read_only)
    end_frame(out, start)


def write_header_only(out: BytesWriter, xid: i64, zxid: i64, err: i64) -> None:
    """A whole frame without a body: errors, deletes, pings, auth."""
    write_i32_be(out, REPLY_HEADER_BYTES)
    write_int(out, xid)
    write_i64_be(out, zxid)
    write_int(out, err)


def begin_reply(out: BytesWriter, xid: i64, zxid: i64, err: i64) -> i64:
    """A reply's frame and header; after the body call `framing.end_frame` with what this gives."""
    start = begin_frame(out)
    write_int(out, xid)
    write_i64_be(out, zxid)
    write_int(out, err)
    return start


def write_watch_event(out: BytesWriter, zxid: i64, event: int, path: bytes) -> None:
    """A whole frame. `zxid` is that of the change, -1 for catch-up events of setWatches."""
    size = len(path)
    write_i32_be(out, REPLY_HEADER_BYTES + 12 + size)
    write_i32_be(out, codes.XID_NOTIFICATION)
    write_i64_be(out, zxid)
    write_i32_be(out, 0)
    write_int(out, event)
    write_i32_be(out, codes.STATE_SYNC_CONNECTED)
    write_i32_be(out, size)
    out.write(path)


@final
class ReplyHeader:
    __slots__ = ("err", "xid", "zxid")

    def __init__(self, xid: i64, zxid: i64, err: i64) -> None:
        self.xid: Final = xid
        self.zxid: Final = zxid
        self.err: Final = err


def read_reply_header(reader: Reader) -> ReplyHeader:
    xid = reader.read_int()
    zxid = reader.read_long()
    return ReplyHeader(xid, zxid, reader.read_int())


@final
class WatcherEvent:
    __slots__ = ("path", "state", "type")

    def __init__(self, type: i64, state: i64, path: bytes) -> None:
        self.type: Final = type
        self.state: Final = state
        self.path: Final = path


def read_watcher_event(reader: Reader) -> WatcherEvent:
    type = reader.read_int()
    state = reader.read_int()
    return WatcherEvent(type, state, reader.read_path())
