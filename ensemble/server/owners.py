"""A leader's memory of which server each session was last heard at (zab.md 6.2).

A request of a session through another server than its owner's means that the client has moved. What
is not in here is a session's first request under this leader, and the place to tell a session of
the ensemble from a local one (zab.md 6.6), which only the server that its client is at knows.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.server.contracts import LocalSessions
from ensemble.tree.pending import PendingChanges
from ensemble.tree.prepare import WriteRequest

CLOSED_KEPT_MAX: Final = 10_000


@final
class Owners:
    """See above. `by_session` holds sessions of the ensemble only, and those that are being opened.

    `closed`, oldest first: sessions that have ended lately. A request that was under way meanwhile
    must not pass for one of a local session.
    """

    __slots__ = ("by_session", "closed", "local_sessions", "sid")

    def __init__(self, sid: i64, local_sessions: bool) -> None:
        self.sid: Final = sid
        self.local_sessions: Final = local_sessions
        self.by_session: Final[dict[int, int]] = {}
        self.closed: Final[dict[int, None]] = {}

    def begin(
        self, request: WriteRequest, sid: i64, pending: PendingChanges, local_here: LocalSessions
    ) -> WriteRequest:
        """A session without an owner asks through server `sid`: the request as it may ask it.

        A session of the ensemble belongs to `sid` from now on. One that nobody knows is a local one
        of that server, unless it is this server that has given its id away, or it was closed. What
        is neither goes on unchanged: preparing refuses it.
        """
        session_id = request.session_id
        if pending.is_alive(session_id):
            self.by_session[int(session_id)] = int(sid)
            return request
        if not self.local_sessions or int(session_id) in self.closed:
            return request
        if sid == self.sid:
            is_local = local_here.is_local(session_id)
        else:
            is_local = (session_id >> 56) & 0xFF != self.sid & 0xFF
        if not is_local:
            return request
        return WriteRequest(session_id, request.cxid, request.op, request.body, request.ids, False)

    def on_closed(self, session_id: i64) -> None:
        self.by_session.pop(int(session_id), None)
        if self.local_sessions:
            self.closed[int(session_id)] = None
            if len(self.closed) > CLOSED_KEPT_MAX:
                del self.closed[next(iter(self.closed))]

    def clear(self) -> None:
        self.by_session.clear()
        self.closed.clear()
