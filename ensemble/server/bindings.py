"""Which session is whose: a tenant's credential was proved, and what follows from it.

A session becomes a tenant's by an ephemeral znode of its own below `/zookeeper/tenants/<slug>`, so
the binding is replicated, moves with the session and ends with it. The reply to the credential
waits for that znode's commit, and nothing more is read from the connection meanwhile: whatever
comes behind the credential runs as the tenant. A session that is bound stays that tenant's; before
its client has presented a credential again, nobody sits on its connection.

When documents change, or a credential's time is over, the connections concerned are given other
seats or cut at once; sessions that have lost their credential are closed at the next tick.
"""

import json
import logging
from typing import Final, final

from librt.strings import BytesWriter
from mypy_extensions import i64

from ensemble.server.connection import CLOSED, DRAINING, OPEN, WAITING, Connection, Pending
from ensemble.server.contracts import Bindings
from ensemble.server.edge_limits import LimitReachedError
from ensemble.server.pipeline import Pipeline
from ensemble.server.share_exchange import is_full
from ensemble.tenancy import spec as specs
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.identity import (
    OPERATOR_SCHEME,
    TENANT_SCHEME,
    Grant,
    prove_subject,
    renewed,
)
from ensemble.tenancy.registry import ROLE_NAMES, binding_path
from ensemble.tenancy.seat import NOBODY, OUTSIDE, Seat, Tenant
from ensemble.tree.acl import SUPER, closed_entries
from ensemble.tree.prepare import WriteRequest
from ensemble.tree.sessions import Session
from ensemble.tree.watches import WatchCount
from ensemble.wire import codes
from ensemble.wire.jute import reader_of
from ensemble.wire.records import Id, write_acl_vector
from ensemble.wire.replies import write_header_only
from ensemble.wire.requests import (
    CreateRequest,
    SetDataRequest,
    write_create,
    write_set_data,
)

log = logging.getLogger("ensemble.auth")

CROWDED: Final = "no room at this server for one more connection"
ENDED_PER_TICK_MAX: Final = 2_000  # sessions closed in one tick; the others in the next ones


@final
class TenantBindings(Bindings):
    """One server's; see `contracts.Bindings`.

    Invariants:
      - `conn.grant` is what `conn.seat` and the last of `conn.ids` were made of;
      - `conn.wanted` is set exactly while a binding of the connection is being written;
      - `timed` holds the connections whose grant has an end.
    """

    __slots__ = ("directory", "ending", "pipeline", "sweep_due", "timed", "wall_ms")

    def __init__(self, pipeline: Pipeline, directory: Directory) -> None:
        self.pipeline: Final = pipeline
        self.directory: Final = directory
        self.timed: Final[dict[int, Connection]] = {}
        self.ending: Final[dict[int, str]] = {}  # sessions to be closed, and why
        self.sweep_due = False
        self.wall_ms: i64 = 0

    # A credential was proved

    def take(self, conn: Connection, grant: Grant, xid: i64, op: i64, reply: bytes) -> None:
        pipeline = self.pipeline
        session = conn.session
        assert session is not None, "credentials come on open connections"
        why = self.objection(conn, grant, session)
        if not why and self.is_crowded(conn, grant):
            pipeline.cut(conn, f"{CROWDED}: tenant {grant.slug}")
        elif why:
            self.turn_away(conn, why)
            pipeline.refuse(conn, xid, op, 0, codes.AUTH_FAILED)
            pipeline.drain_after_pending(conn, "authentication failed")
        elif self.needs_write(grant, session):
            self.want(conn, grant)
            self.write(conn, grant, session, xid, op, reply)
        else:
            self.seat(conn, grant)
            pipeline.reply_in_turn(conn, xid, op, reply)

    def begin(self, conn: Connection, session: Session) -> bool:
        if not self.directory.subjects:
            return False
        for held in conn.ids:
            if held.scheme == "x509" and held.id is not None:
                grant = prove_subject(self.directory, held.id)
                if grant is not None:
                    return self.begin_as(conn, session, grant)
        return False

    def begin_as(self, conn: Connection, session: Session, grant: Grant) -> bool:
        """A session opens on a connection whose certificate is a tenant's. True: it waits."""
        pipeline = self.pipeline
        why = self.objection(conn, grant, session)
        if not why and self.is_crowded(conn, grant):
            # Its session is nobody's yet, and nobody else could present a certificate for it.
            pipeline.cut(conn, f"{CROWDED}: tenant {grant.slug}")
            return True
        if why:
            self.turn_away(conn, why)
            self.ending_unless_bound(session, why)
            pipeline.refuse_session(conn, why)
            return True
        if self.needs_write(grant, session):
            conn.state = WAITING
            self.want(conn, grant)
            self.write(conn, grant, session, 0, codes.OP_CREATE_SESSION, None)
            return True
        self.seat(conn, grant)
        return False

    def objection(self, conn: Connection, grant: Grant, session: Session) -> str:
        """Why a proved credential is no good here and now; empty if it is."""
        directory = self.directory
        holder = self.holder_of(session)
        if holder and holder != grant.slug:
            whom = grant.slug if grant.slug else "an operator"
            return f"the session belongs to tenant {holder}, not to {whom}"
        if not grant.slug:
            return ""
        if conn.seat.is_operator:
            return f"the connection is an operator's: tenant {grant.slug} needs one of its own"
        tenant = directory.by_slug.get(grant.slug)
        if tenant is None:
            return f"tenant {grant.slug} is not known here"
        if not holder and tenant.spec.state == specs.DRAINING:
            return f"tenant {grant.slug} is draining: it takes no new sessions"
        if not grant.is_operator() and not self.sits_with(conn, tenant) and is_full(tenant):
            limit = tenant.spec.limits.connections
            return f"tenant {grant.slug} has {limit} connections, that is its limit"
        return ""

    def sits_with(self, conn: Connection, tenant: Tenant) -> bool:
        """Whether a connection is the tenant's already, and counts as one."""
        return conn.seat.view is not None and conn.seat.tenant is tenant

    def is_crowded(self, conn: Connection, grant: Grant) -> bool:
        """Whether this server has no room for one more connection of the tenant, though its limit
        leaves some. The client may try elsewhere, or here again in a moment: more was asked for.
        """
        tenant = self.directory.by_slug.get(grant.slug)
        if tenant is None or grant.is_operator() or self.sits_with(conn, tenant):
            return False
        return not tenant.may_connect()

    def holder_of(self, session: Session) -> str:
        """The tenant that a session belongs to; empty for none."""
        if session.is_local:
            return session.slug
        binding = self.directory.bindings.get(int(session.id))
        return "" if binding is None else binding.slug

    def want(self, conn: Connection, grant: Grant | None) -> None:
        """A binding is being written, or (None) not any more. Meanwhile it has its place already:
        of a hundred connections that come at once no more pass than the limit says."""
        old = conn.wanted
        if old is not None:
            tenant = self.directory.by_slug.get(old.slug)
            if tenant is not None and tenant.joining > 0:
                tenant.joining -= 1
        conn.wanted = grant
        if grant is not None:
            tenant = self.directory.by_slug.get(grant.slug)
            if tenant is not None:
                tenant.joining += 1

    def needs_write(self, grant: Grant, session: Session) -> bool:
        """Whether the tree has to say whose the session is, or whose it is now."""
        if not grant.slug:
            return False
        if session.is_local:
            session.slug = grant.slug
            return False
        binding = self.directory.bindings.get(int(session.id))
        return binding is None or binding.principal != grant.principal()

    def write(
        self,
        conn: Connection,
        grant: Grant,
        session: Session,
        xid: i64,
        op: i64,
        reply: bytes | None,
    ) -> None:
        """Ask for the binding, in the session's own name; `on_bound` follows."""
        pipeline = self.pipeline
        path = binding_path(grant.slug, session.id)
        data = json.dumps({"who": grant.principal(), "role": ROLE_NAMES[int(grant.role)]}).encode()
        out = BytesWriter()
        write_op: i64 = codes.OP_CREATE
        if int(session.id) in self.directory.bindings:
            write_op = codes.OP_SET_DATA
            write_set_data(out, SetDataRequest(path, data, codes.VERSION_ANY))
        else:
            acl = BytesWriter()
            write_acl_vector(acl, closed_entries())
            raw = acl.getvalue()
            request = CreateRequest(path, data, raw, codes.CREATE_EPHEMERAL, -1)
            write_create(out, request, codes.OP_CREATE)
        body = out.getvalue()
        ids = [*conn.ids, Id(SUPER, "")]
        try:
            zxid = pipeline.authority.submit(
                WriteRequest(session.id, xid, write_op, reader_of(body), ids)
            )
        except LimitReachedError as error:  # in front of a leader that knows no limits
            self.on_no_room(conn, grant, session, xid, op, str(error))
            return
        pipeline.outstanding += 1
        conn.pending.append(
            Pending(xid, op, zxid, reply, None, conn.ids, conn.seat, pipeline.now_us)
        )

    def on_no_room(
        self, conn: Connection, grant: Grant, session: Session, xid: i64, op: i64, text: str
    ) -> None:
        """The tenant has as many sessions as it may."""
        pipeline = self.pipeline
        was_wanted = conn.wanted is not None
        self.want(conn, None)
        why = f"its session cannot be bound to tenant {grant.slug}: {text}"
        self.turn_away(conn, why)
        if op != codes.OP_CREATE_SESSION:
            pipeline.refuse(conn, xid, op, 0, codes.AUTH_FAILED)
            pipeline.drain_after_pending(conn, "authentication failed")
            return
        self.ending[int(session.id)] = why
        if was_wanted:
            pipeline.refuse_session(conn, why)
        else:
            pipeline.cut(conn, why)

    def on_bound(self, conn: Connection, pending: Pending, error: i64) -> None:
        pipeline = self.pipeline
        grant = conn.wanted
        self.want(conn, None)
        session = conn.session
        assert session is not None
        if grant is None:
            if error != 0:  # a local session that became everybody's, and may not be the tenant's
                self.ending[int(session.id)] = f"it could not be bound to its tenant: {error}"
                pipeline.cut(conn, "its session could not be bound to its tenant")
            return
        binding = self.directory.bindings.get(int(session.id))
        is_bound = binding is not None and binding.slug == grant.slug
        now = renewed(self.directory, grant, self.wall_ms)
        if now is not None and is_bound and (error == 0 or error == codes.NODE_EXISTS):
            self.seat(conn, now)
            if pending.op == codes.OP_CREATE_SESSION:
                pipeline.welcome(conn, session)
            else:
                assert pending.reply is not None
                conn.out.write(pending.reply)
                pipeline.sent(conn, pending.op, 0, len(pending.reply), pending)
                pipeline.touch_dirty(conn)
            return
        why = f"its session cannot be bound to tenant {grant.slug}: {refusal_name(error)}"
        self.turn_away(conn, why)
        if pending.op == codes.OP_CREATE_SESSION:
            self.ending_unless_bound(session, why)
            pipeline.refuse_session(conn, why)
            return
        begin = len(conn.out)
        write_header_only(conn.out, pending.xid, 0, codes.AUTH_FAILED)
        size = len(conn.out) - begin
        pipeline.sent(conn, pending.op, codes.AUTH_FAILED, size, pending)
        pipeline.drain_after_pending(conn, "authentication failed")

    def turn_away(self, conn: Connection, why: str) -> None:
        self.pipeline.stats.auth_failures += 1
        if self.pipeline.audit is not None:
            self.pipeline.audit.on_auth(conn, codes.OP_AUTH, b"tenant", codes.AUTH_FAILED, 0)
        log.warning("auth refused from %s: %s", conn.peer_host, why)

    def ending_unless_bound(self, session: Session, why: str) -> None:
        """A session that was opened for a certificate that is of no use is nobody's."""
        if not self.holder_of(session):
            self.ending[int(session.id)] = why

    def on_upgraded(self, conn: Connection, session: Session) -> None:
        grant = conn.grant
        if grant is not None and grant.slug:
            self.write(conn, grant, session, 0, codes.OP_CREATE_SESSION, None)

    # Seats

    def seat(self, conn: Connection, grant: Grant) -> None:
        """A connection is whose its grant says, with what belongs to it."""
        held = self.ids_without_grant(conn)
        if not grant.slug or grant.is_operator():
            held.append(Id(OPERATOR_SCHEME, grant.name))
        else:
            held.append(Id(TENANT_SCHEME, grant.principal()))
        if grant.role == specs.ADMIN:
            held.append(Id(SUPER, ""))
        conn.ids = held
        conn.grant = grant
        if grant.slug:
            tenant = self.directory.by_slug[grant.slug]
            self.move(conn, tenant.seat_of(grant.principal(), grant.role))
        else:
            self.move(conn, Seat(None, None, grant.role, grant.name, True))
        if grant.until_ms > 0:
            self.timed[int(conn.id)] = conn
        else:
            self.timed.pop(int(conn.id), None)

    def ids_without_grant(self, conn: Connection) -> list[Id]:
        """A new list: requests that came before keep the old one."""
        grant = conn.grant
        if grant is None:
            return list(conn.ids)
        left: list[Id] = []
        is_super = grant.role == specs.ADMIN
        for held in conn.ids:
            if held.scheme == TENANT_SCHEME or held.scheme == OPERATOR_SCHEME:
                continue
            if is_super and held.scheme == SUPER and held.id == "":
                is_super = False
                continue
            left.append(held)
        return left

    def move(self, conn: Connection, seat: Seat) -> None:
        """Another seat; a tenant's connections are those that sit within its view."""
        old = conn.seat
        if old.view is not None and old.tenant is not None:
            old.tenant.connections -= 1
        watching: WatchCount | None = None
        if seat.view is not None and seat.tenant is not None:
            seat.tenant.connections += 1
            watching = seat.tenant.watching
        if old.tenant is not seat.tenant or old.view is not seat.view:
            self.pipeline.watches.count_in(conn.id, watching)
        conn.seat = seat

    def on_opened(self, conn: Connection) -> None:
        """A session has a connection (again): nobody's until a credential comes."""
        session = conn.session
        if conn.grant is None and session is not None:
            self.seat_nobody(conn, session)

    def seat_nobody(self, conn: Connection, session: Session) -> None:
        holder = self.holder_of(session)
        if not holder:
            return
        tenant = self.directory.by_slug.get(holder)
        if tenant is None:
            # A document that is there, but in error here, may be in force at other servers.
            if holder not in self.directory.documents:
                self.ending[int(session.id)] = f"tenant {holder} is gone"
            self.pipeline.cut(conn, f"tenant {holder} is not known here")
        else:
            self.move(conn, tenant.seat_of("", NOBODY))

    def on_removed(self, conn: Connection) -> None:
        self.timed.pop(int(conn.id), None)
        self.want(conn, None)
        self.move(conn, OUTSIDE)

    # Documents and time

    def on_serving(self) -> None:
        """Another tree, perhaps another leader."""
        self.sweep_due = True

    def on_newly_bound(self) -> None:
        """Sessions were bound; one that is here already without its client's asking is nobody's."""
        for session_id in self.directory.newly_bound:
            conn = self.pipeline.session_connections.get(session_id)
            if conn is None or conn.state != OPEN:
                continue
            if conn.grant is None and conn.wanted is None and conn.session is not None:
                self.seat_nobody(conn, conn.session)

    def on_documents(self) -> None:
        """Documents have changed: roles and views of now; who has lost its credential goes."""
        self.sweep_due = True
        for conn in list(self.pipeline.connections.values()):
            if conn.state == CLOSED or conn.state == DRAINING:
                continue
            if conn.grant is not None:
                self.look_at(conn, conn.grant)
            elif conn.seat.view is not None and conn.session is not None:
                self.seat_nobody(conn, conn.session)

    def look_at(self, conn: Connection, grant: Grant) -> None:
        """Whether a connection may go on as it is."""
        now = renewed(self.directory, grant, self.wall_ms)
        if now is None:
            self.end(conn, grant)
        elif now is not grant or conn.seat.view is not self.view_of(now):
            self.seat(conn, now)

    def view_of(self, grant: Grant) -> object | None:
        tenant = self.directory.by_slug.get(grant.slug)
        return None if tenant is None else tenant.view

    def end(self, conn: Connection, grant: Grant) -> None:
        """A credential is gone or its time is over. Of an operator only the connection goes."""
        who = grant.principal()
        why = "the assertion" if grant.is_operator() else "the credential"
        log.info("%s of %s is not valid any more: connection of %s", why, who, conn.peer_host)
        if not grant.is_operator():
            self.ending[int(conn.session_id)] = f"the credential of {who} is not valid any more"
        self.pipeline.cut(conn, f"{why} of {who} is not valid any more")

    def on_tick(self, wall_ms: i64) -> None:
        """Time has passed: who has outlived its credential goes, and sessions that have lost it."""
        self.wall_ms = wall_ms
        for conn in list(self.timed.values()):
            grant = conn.grant
            if grant is not None and 0 < grant.until_ms <= wall_ms:
                self.timed.pop(int(conn.id), None)
                self.end(conn, grant)
        pipeline = self.pipeline
        if not pipeline.serving:
            return
        if self.sweep_due and pipeline.authority.is_leading():
            self.sweep_due = False
            self.sweep()
        if self.ending:
            self.close_sessions()

    def sweep(self) -> None:
        """The leader: sessions whose credential is gone, also where no client is connected now.

        Not where a document is in error: who restarts must not end what goes on elsewhere.
        """
        directory = self.directory
        for binding in directory.bindings.values():
            if binding.slug in directory.errors:
                continue
            name, at, _ = binding.principal.partition("@")
            is_gone = binding.slug not in directory.documents
            if not is_gone and at:
                is_gone = directory.credential(binding.slug, name) is None
            if is_gone:
                self.ending[int(binding.session_id)] = f"{binding.principal} is gone"

    def close_sessions(self) -> None:
        """End what has to end, so many in one tick."""
        pipeline = self.pipeline
        count = 0
        for session_id in list(self.ending):
            if count >= ENDED_PER_TICK_MAX:
                return
            why = self.ending.pop(session_id)
            session = pipeline.tracker.get(session_id)
            if pipeline.locals.end(session_id):
                count += 1
            elif session is not None and not session.closing and not pipeline.read_only:
                log.info("closing session 0x%x: %s", session_id & 0xFFFFFFFFFFFFFFFF, why)
                pipeline.tracker.set_closing(session)
                pipeline.close_session(session_id)
                count += 1


def refusal_name(error: i64) -> str:
    """An error's name for the log."""
    if error == 0:
        return "another tenant came first, or the credential has gone meanwhile"
    return codes.name_of_error(int(error))
