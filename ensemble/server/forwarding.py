"""What a learner's server remembers of the requests that it has sent to its leader.

Source: zab.md 6.1. The leader takes a link's requests in order and makes one transaction of each,
so answers come in the order of the questions: a transaction answers the oldest one, or is none of
ours. Reading the session and the cxid alone would not do, since a client that reconnects may begin
to count anew.
"""

from collections import deque
from typing import Final, final

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64, mypyc_attr

from ensemble.errors import ProtocolError
from ensemble.server.edge_limits import Claim
from ensemble.tree.prepare import WriteRequest
from ensemble.tree.sessions import Session
from ensemble.wire.jute import Reader
from ensemble.wire.records import Id

REQUEST_HEAD_BYTES: Final = 16  # session, cxid, opcode
TOUCH_BYTES: Final = 12  # session, timeout


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class Forwarded:
    """One request that went to the leader; `connection_id` 0 where no connection waits for it.

    `claim`: what it may add to budgets that the leader does not know.
    """

    __slots__ = ("body", "claim", "connection_id", "cxid", "op", "session_id")

    def __init__(
        self,
        session_id: i64,
        cxid: i64,
        op: i64,
        connection_id: i64,
        body: Reader,
        claim: Claim | None,
    ) -> None:
        self.op: Final = op
        self.body: Final = body
        self.session_id: Final = session_id
        self.cxid: Final = cxid
        self.connection_id: Final = connection_id
        self.claim: Final = claim


@final
class ForwardedQueue:
    """Requests without an answer, oldest first. Bounded by what connections may have pending."""

    __slots__ = ("queue",)

    def __init__(self) -> None:
        self.queue: Final[deque[Forwarded]] = deque()

    def append(self, forwarded: Forwarded) -> None:
        self.queue.append(forwarded)

    def match(self, session_id: i64, cxid: i64) -> Forwarded | None:
        """A transaction has come: the request that it answers, None if it was not asked here."""
        queue = self.queue
        if not queue:
            return None
        first = queue[0]
        if first.session_id != session_id or first.cxid != cxid:
            return None
        return queue.popleft()

    def clear(self) -> None:
        self.queue.clear()


def encode_forwarded(session_id: i64, cxid: i64, op: i64, body: Reader) -> bytes:
    """The data of a REQUEST packet: who, which request, and its body as the client sent it."""
    out = BytesWriter()
    write_i64_be(out, session_id)
    write_i32_be(out, int(cxid))
    write_i32_be(out, int(op))
    out.write(body.buf[body.at : body.end])
    return out.getvalue()


def read_forwarded(data: bytes, ids: list[Id]) -> WriteRequest | None:
    """A request out of a REQUEST packet with its identities; None if it is too short for one."""
    if len(data) < REQUEST_HEAD_BYTES:
        return None
    reader = Reader(data, 0, len(data))
    session_id = reader.read_long()
    cxid = reader.read_int()
    op = reader.read_int()
    return WriteRequest(session_id, cxid, op, reader, ids)


def encode_touches(sessions: list[Session]) -> bytes:
    """What a PING's answer carries: sessions whose clients were heard of, with their timeouts."""
    out = BytesWriter()
    for session in sessions:
        write_i64_be(out, session.id)
        write_i32_be(out, int(session.timeout_ms))
    return out.getvalue()


def read_touches(data: bytes) -> list[tuple[int, int]]:
    """Session ids and timeouts out of a PING's answer.

    Raises:
        ProtocolError: it ends in the middle of one.
    """
    if len(data) % TOUCH_BYTES != 0:
        raise ProtocolError(f"sessions in a PING: {len(data)} bytes, {TOUCH_BYTES} are one")
    reader = Reader(data, 0, len(data))
    found: list[tuple[int, int]] = []
    while reader.remaining() > 0:
        session_id = reader.read_long()
        found.append((session_id, reader.read_int()))
    return found
