"""What a server remembers of the requests of its clients that wait for the leader's answer.

Source: zab.md 6.1. The leader keeps the order of each session's requests and makes one transaction
of each, so a session's answers come in the order of its questions: a transaction answers the oldest
one of its session, or is none of ours. Reading the session and the cxid alone would not do, since a
client that reconnects may begin to count anew. And no answer is older than its question: what was
proposed before a request went out was somebody else's, though session and cxid be the same.
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

    `after`: its transaction comes behind this zxid. `claim`: what it may add to budgets that the
    leader does not know.
    """

    __slots__ = ("after", "body", "claim", "connection_id", "cxid", "op", "session_id")

    def __init__(
        self,
        session_id: i64,
        cxid: i64,
        op: i64,
        connection_id: i64,
        body: Reader,
        after: i64,
        claim: Claim | None = None,
    ) -> None:
        self.op: Final = op
        self.body: Final = body
        self.session_id: Final = session_id
        self.cxid: Final = cxid
        self.connection_id: Final = connection_id
        self.after: Final = after
        self.claim: Final = claim


@final
class ForwardedQueue:
    """Requests without an answer, oldest first within each session.

    Answers of different sessions may overtake each other where the leader takes turns. Bounded by
    what connections may have pending. A session with one request has no queue of its own.
    """

    __slots__ = ("first", "more")

    def __init__(self) -> None:
        self.first: Final[dict[int, Forwarded]] = {}
        self.more: Final[dict[int, deque[Forwarded]]] = {}  # behind the first; never empty

    def is_empty(self) -> bool:
        return not self.first

    def append(self, forwarded: Forwarded) -> None:
        session_id = int(forwarded.session_id)
        if session_id not in self.first:
            self.first[session_id] = forwarded
            return
        more = self.more.get(session_id)
        if more is None:
            more = deque()
            self.more[session_id] = more
        more.append(forwarded)

    def match(self, session_id: i64, cxid: i64, zxid: i64) -> Forwarded | None:
        """A transaction has come: the request that it answers, None if it was not asked here."""
        key = int(session_id)
        first = self.first.get(key)
        if first is None or first.cxid != cxid or zxid <= first.after:
            return None
        more = self.more.get(key)
        if more is None:
            del self.first[key]
        else:
            self.first[key] = more.popleft()
            if not more:
                del self.more[key]
        return first

    def clear(self) -> None:
        self.first.clear()
        self.more.clear()


@final
class SyncQueue:
    """Connections that wait for a sync, oldest first, each with its session."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: Final[deque[tuple[int, int]]] = deque()

    def append(self, session_id: int, connection_id: int) -> None:
        self.waiting.append((session_id, connection_id))

    def take(self, session_id: int) -> int:
        """Whose sync has happened: the oldest of a session, or of all for 0; 0 if nobody waits.

        A leader that says no session (Apache's) answers in order. Seldom does one overtake many.
        """
        waiting = self.waiting
        for at in range(len(waiting)):
            entry = waiting[at]
            if session_id == 0 or entry[0] == session_id:
                del waiting[at]
                return entry[1]
        return 0

    def clear(self) -> None:
        self.waiting.clear()


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
