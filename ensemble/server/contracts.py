"""What the pipeline asks of its neighbours: who orders writes, who says who somebody is, who notes.

Interfaces only. `standalone` and `replica` order writes, `auth/door` knows identities, `journal`
keeps the audit log.
"""

from typing import Final, Protocol, final

from mypy_extensions import i64, trait

from ensemble.server.connection import Connection, Pending
from ensemble.tenancy.identity import Grant
from ensemble.tenancy.seat import Seat
from ensemble.tree.apply import Applied
from ensemble.tree.prepare import WriteRequest
from ensemble.tree.sessions import Session
from ensemble.wire.jute import Reader
from ensemble.wire.records import Id
from ensemble.wire.txns import Txn, TxnHeader


@trait
class Authority:
    """Who orders writes: this server, alone or as leader, or the leader that it follows."""

    def submit(self, request: WriteRequest) -> i64:
        """Order a write; its zxid, or FORWARDED where the leader will give it one.

        The commit comes back through `Pipeline.on_committed`.

        Raises:
            MarshallingError: the body cannot be decoded; no zxid was used.
            LimitReachedError: refused by this server, as its leader does not know budgets.
        """
        raise NotImplementedError

    def last_proposed(self) -> i64:
        """The highest zxid that was given out, as far as this server knows."""
        raise NotImplementedError

    def sync(self, conn: Connection, xid: i64, reader: Reader) -> bool:
        """A client wants to see all that was written before now.

        True: it does already. False: its answer waits as SYNCING until `Pipeline.on_synced`.
        """
        raise NotImplementedError

    def is_leading(self) -> bool:
        """Whether this server orders writes: it alone lets sessions expire and sweeps."""
        raise NotImplementedError

    def revalidate(self, conn: Connection, session_id: i64, timeout_ms: i64) -> bool:
        """A client comes back with a session whose password is right.

        True: this server can tell whether the session is alive. False: the connection waits, and
        `Pipeline.on_revalidated` follows.
        """
        raise NotImplementedError


@trait
class LocalSessions:
    """Sessions that are this server's own: no transaction opens or closes them (zab.md 6.6)."""

    def open(self, conn: Connection, timeout_ms: i64) -> bool:
        """A client asks for a session. True: it has got a local one."""
        raise NotImplementedError

    def reattach(self, conn: Connection, session_id: i64, timeout_ms: i64) -> bool:
        """A client comes back, its password is right. True: it has been seen to.

        Raises:
            ProtocolError: not here, and nobody can be asked now.
        """
        raise NotImplementedError

    def take(self, conn: Connection, session: Session, xid: i64, op: i64, reader: Reader) -> bool:
        """A request of a local session; renews it. True: it has been answered."""
        raise NotImplementedError

    def is_local(self, session_id: i64) -> bool:
        raise NotImplementedError

    def end(self, session_id: i64) -> bool:
        """Forget a session, whose connection is cut. True: it was a local one."""
        raise NotImplementedError

    def error_of(self, session_id: i64, error: i64) -> i64:
        """What a client of this server hears, instead of what its leader's transaction says."""
        raise NotImplementedError

    def on_session_created(self, session_id: i64) -> None:
        """A createSession is applied."""
        raise NotImplementedError

    def on_serving(self) -> None:
        """Clients are taken again."""
        raise NotImplementedError

    def on_serving_stopped(self) -> None:
        """Every connection has been cut."""
        raise NotImplementedError


@final
class NoLocalSessions(LocalSessions):
    """Every session is everybody's."""

    def open(self, conn: Connection, timeout_ms: i64) -> bool:
        return False

    def reattach(self, conn: Connection, session_id: i64, timeout_ms: i64) -> bool:
        return False

    def take(self, conn: Connection, session: Session, xid: i64, op: i64, reader: Reader) -> bool:
        return False

    def is_local(self, session_id: i64) -> bool:
        return False

    def end(self, session_id: i64) -> bool:
        return False

    def error_of(self, session_id: i64, error: i64) -> i64:
        return error

    def on_session_created(self, session_id: i64) -> None:
        pass

    def on_serving(self) -> None:
        pass

    def on_serving_stopped(self) -> None:
        pass


@trait
class Gate:
    """Tenants at this server: who asks, what the paths mean, what is let in, what it costs.

    A pipeline without a gate serves one tree to everybody. `gate.TenantGate` is the real one.
    """

    def enter(self, conn: Connection, xid: i64, op: i64, reader: Reader) -> bool:
        """A request has come. True: it runs as `conn.seat`, with the tree's own paths in `reader`.

        False: it has been refused and answered. `conn.seat` of a connection without a credential
        may be another one for each request.
        """
        raise NotImplementedError

    def event_frame(
        self, conn: Connection, event: int, path: bytes, zxid: i64, encoded: bytes
    ) -> bytes | None:
        """A watch event as this connection is to see it; None where it must not.

        `encoded`: with the tree's own path, as it is for everybody who has no view.
        """
        raise NotImplementedError

    def on_applied(self, header: TxnHeader, applied: Applied) -> None:
        """A transaction is in the tree: the registry may have changed."""
        raise NotImplementedError

    def on_sent(
        self, conn: Connection, pending: Pending | None, op: i64, error: i64, size: i64
    ) -> None:
        """A reply of `size` bytes stands in `conn.out`; `pending` where the request had to wait.

        Who asked is `pending.seat`, else `conn.seat`.
        """
        raise NotImplementedError

    def on_opened(self, conn: Connection) -> None:
        """A connection has its session."""
        raise NotImplementedError

    def on_removed(self, conn: Connection) -> None:
        """A connection is gone."""
        raise NotImplementedError

    def on_serving(self) -> None:
        """Clients are taken (again), perhaps with another tree."""
        raise NotImplementedError

    def end_turn(self, now_us: i64) -> None:
        """Replies of this turn have gone out."""
        raise NotImplementedError


@trait
class Bindings:
    """Whose sessions are. `bindings.TenantBindings` is the real one."""

    def take(self, conn: Connection, grant: Grant, xid: i64, op: i64, reply: bytes) -> None:
        """A connection has proved a credential: seat it and send `reply`, or refuse it.

        Where the session has to be bound first, reply and seat wait for the commit, and nothing
        is read meanwhile: the last of `conn.pending` has `op` OP_AUTH or OP_SASL until then.
        """
        raise NotImplementedError

    def begin(self, conn: Connection, session: Session) -> bool:
        """A session has got its connection, and nothing is said yet.

        True: a certificate decides whose it is. `Pipeline.welcome` follows once that is written,
        or it has been refused. False: go on.
        """
        raise NotImplementedError

    def on_bound(self, conn: Connection, pending: Pending, error: i64) -> None:
        """What `take`, `begin` or `on_upgraded` has written is applied, or refused."""
        raise NotImplementedError

    def on_upgraded(self, conn: Connection, session: Session) -> None:
        """The createSession of a local session is on its way: its binding follows."""
        raise NotImplementedError


@trait
class Audit:
    """What the audit journal wants to hear of; `audit_tap.AuditTap` is the real one.

    A server without a journal has none, so that it costs one question.
    """

    def on_committed(
        self, conn: Connection, pending: Pending, header: TxnHeader, error: i64, applied: Applied
    ) -> None:
        """A write of a client that is here, whatever came of it. Before its reply is written."""
        raise NotImplementedError

    def on_unasked(self, header: TxnHeader, error: i64, applied: Applied) -> None:
        """A transaction that no connection here waits for. Its client may just have gone."""
        raise NotImplementedError

    def on_session_opened(self, conn: Connection, header: TxnHeader) -> None:
        """A createSession that was asked for here."""
        raise NotImplementedError

    def on_session_closed(
        self, conn: Connection | None, header: TxnHeader, applied: Applied
    ) -> None:
        """A closeSession; `conn` is the session's connection, if it is here."""
        raise NotImplementedError

    def on_left(self, conn: Connection) -> None:
        """A connection goes, and what it waits for still stands in `conn.pending`."""
        raise NotImplementedError

    def on_serving(self) -> None:
        """Clients are taken (again): nothing from before is under way any more."""
        raise NotImplementedError

    def on_read(
        self, conn: Connection, op: i64, error: i64, body: Reader, seat: Seat, ids: list[Id]
    ) -> None:
        """A read is answered; `body` stands at its beginning."""
        raise NotImplementedError

    def on_refused(self, conn: Connection, op: i64, error: i64, body: Reader | None) -> None:
        """A request that was refused before it was looked at."""
        raise NotImplementedError

    def on_auth(self, conn: Connection, op: i64, scheme: bytes, error: i64, zxid: i64) -> None:
        """An identity was presented: taken (0) or refused. `zxid`: of the session's binding."""
        raise NotImplementedError

    def on_reattach_refused(self, conn: Connection, session_id: i64) -> None:
        """A client came back to a session with a wrong password."""
        raise NotImplementedError


class Feed(Protocol):
    """Somebody reads the change feed (`feed.FeedHub`); else the pipeline has none.

    The hub is interpreted and does not inherit: interpreted classes cannot, from compiled ones like
    this.
    """

    def on_committed(self, zxid: i64, payload: bytes) -> None:
        """A transaction is applied, as the log has it."""
        ...

    def on_serving(self) -> None:
        """Clients are taken (again), perhaps with another tree."""
        ...


class Door(Protocol):
    """Identity: what auth packets, SASL tokens and session passwords are worth."""

    def on_auth(self, conn: Connection, reader: Reader) -> int:
        """Take an auth packet: 0, or the error to reply before closing.

        May replace `conn.ids`. Sets `conn.wanted` where a tenant's or operator's credential was
        proved: the caller takes it out.
        """
        ...

    def on_sasl(self, conn: Connection, reader: Reader) -> tuple[int, bytes | None, bool]:
        """Take a SASL token: error, the token to send back, whether to close afterwards.

        Sets `conn.wanted` as `on_auth` does.
        """
        ...

    def may_run(self, conn: Connection, op: int) -> bool:
        """Whether enforced authentication lets this connection ask for `op`."""
        ...

    def new_password(self, session_id: int) -> bytes: ...

    def password_matches(self, session_id: int, password: bytes | None) -> bool: ...


class Journal(Protocol):
    """The audit log. Both are called for writes in the order of their zxids."""

    def on_proposed(self, zxid: int, conn: Connection, op: int, body: Reader) -> None: ...

    def on_committed(self, header: TxnHeader, error: int, txn: Txn, applied: Applied) -> None: ...


class Throttle(Protocol):
    """How fast sessions may be opened."""

    def admits(self, now_ms: int) -> bool: ...

    def deficit(self) -> int: ...


@final
class SessionRules:
    """Bounds on session timeouts in milliseconds, and the first session id to give out."""

    __slots__ = ("next_id", "timeout_max_ms", "timeout_min_ms")

    def __init__(self, next_id: i64, timeout_min_ms: i64, timeout_max_ms: i64) -> None:
        self.next_id: i64 = next_id
        self.timeout_min_ms: Final = timeout_min_ms
        self.timeout_max_ms: Final = timeout_max_ms

    def take_id(self) -> i64:
        """The id of a new session."""
        session_id = self.next_id
        self.next_id += 1
        return session_id
