"""Which sessions are alive, and when each of them expires.

Source: client.md 3.5. The leader, or a standalone server, decides expiry. Instants are rounded up
to ticks, so all sessions of one tick expire together, and renewing a session within a tick costs
one comparison: tens of thousands of idle clients cost a set operation every few seconds each.
No clock here: `now_ms` is a monotonic time in milliseconds, given by the caller.
"""

from typing import Final, final

from mypy_extensions import i64


@final
class Session:
    """One tracked session. `expires_ms` is its bucket: a multiple of the tick."""

    __slots__ = (
        "closing",
        "connection_id",
        "expires_ms",
        "heard",
        "id",
        "is_local",
        "slug",
        "timeout_ms",
    )

    def __init__(self, id: i64, timeout_ms: i64) -> None:
        self.id: Final = id
        self.timeout_ms: i64 = timeout_ms
        self.expires_ms: i64 = 0
        self.closing = False
        self.connection_id: i64 = 0  # 0: no connection at this server
        self.heard = False  # in the tracker's `heard`
        self.is_local = False  # no transaction has opened it, no other server knows it
        self.slug = ""  # the tenant that a local one belongs to: no znode says so


@final
class SessionTracker:
    """Sessions in buckets by the tick in which they expire.

    Invariant: a session is in exactly one bucket, that of its `expires_ms`, until it is closing.
    """

    __slots__ = ("buckets", "gathers", "heard", "next_expiry_ms", "sessions", "tick_ms")

    def __init__(self, tick_ms: i64) -> None:
        assert tick_ms > 0
        self.tick_ms: Final = tick_ms
        self.sessions: dict[int, Session] = {}
        self.buckets: dict[int, set[int]] = {}
        # Everything that expires before this instant has been handed out.
        self.next_expiry_ms: i64 = -1
        # A learner tells its leader from time to time whom it has heard of.
        self.gathers = False
        self.heard: list[Session] = []

    def __len__(self) -> int:
        return len(self.sessions)

    def round_up(self, instant_ms: i64) -> i64:
        """The end of the tick that `instant_ms` falls into: later than it, by a tick at most."""
        return (instant_ms // self.tick_ms + 1) * self.tick_ms

    def get(self, session_id: int) -> Session | None:
        return self.sessions.get(session_id)

    def add(self, session_id: i64, timeout_ms: i64, now_ms: i64) -> Session:
        """Track a session, or give the tracked one a new timeout; either way it is renewed."""
        session = self.sessions.get(session_id)
        if session is None:
            session = Session(session_id, timeout_ms)
            self.sessions[session_id] = session
        else:
            session.timeout_ms = timeout_ms
        self.touch(session, now_ms)
        return session

    def touch(self, session: Session, now_ms: i64) -> None:
        """Renew a session for its timeout. An expiry never moves to an earlier tick."""
        if self.gathers and not session.heard:
            session.heard = True
            self.heard.append(session)
        expires_ms = self.round_up(now_ms + session.timeout_ms)
        if expires_ms <= session.expires_ms or session.closing:
            return
        if session.expires_ms > 0:
            self._leave_bucket(session)
        session.expires_ms = expires_ms
        bucket = self.buckets.get(expires_ms)
        if bucket is None:
            bucket = set()
            self.buckets[expires_ms] = bucket
            if self.next_expiry_ms < 0 or expires_ms < self.next_expiry_ms:
                self.next_expiry_ms = expires_ms
        bucket.add(session.id)

    def expire(self, now_ms: i64) -> list[int]:
        """The sessions whose tick has passed. Each is marked closing and given out once."""
        if self.next_expiry_ms < 0 or now_ms < self.next_expiry_ms:
            return []
        expired: list[int] = []
        for expires_ms in sorted(self.buckets):
            if expires_ms > now_ms:
                break
            for session_id in sorted(self.buckets.pop(expires_ms)):
                self.sessions[session_id].closing = True
                expired.append(session_id)
        self.next_expiry_ms = min(self.buckets) if self.buckets else -1
        return expired

    def set_closing(self, session: Session) -> None:
        """A close is on its way: the session is not renewed and does not expire any more."""
        if not session.closing:
            session.closing = True
            self._leave_bucket(session)

    def remove(self, session_id: int) -> None:
        """The session is closed. Unknown ids are ignored: a close may be applied twice."""
        session = self.sessions.pop(session_id, None)
        if session is not None and not session.closing:
            self._leave_bucket(session)

    def clear(self) -> None:
        """Track nobody."""
        self.sessions.clear()
        self.buckets.clear()
        self.heard = []
        self.next_expiry_ms = -1

    def take_heard(self) -> list[Session]:
        """The sessions that were renewed since the last call."""
        heard = self.heard
        self.heard = []
        for session in heard:
            session.heard = False
        return heard

    def _leave_bucket(self, session: Session) -> None:
        bucket = self.buckets[session.expires_ms]
        bucket.remove(session.id)
        if not bucket:
            del self.buckets[session.expires_ms]
