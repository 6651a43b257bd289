"""Requests of an ensemble's member: asked of the leader, or ordered as the leader.

The first of two layers of one object: `Ordering`, then `replica.Replica`. Both halves of the
conversation are here, so that they are read side by side: a learner remembers what it has asked
(`forwarding`), the leader takes turns where tenants compete (`turns`), checks a session's owner
and proposes.
"""

from collections import deque
from typing import Final

from mypy_extensions import i64

from ensemble.errors import ProtocolError
from ensemble.server.connection import FORWARDED, OPEN, Connection
from ensemble.server.contracts import Authority
from ensemble.server.edge_limits import Claim, EdgeLimits
from ensemble.server.forwarding import (
    Forwarded,
    ForwardedQueue,
    SyncQueue,
    encode_forwarded,
    encode_touches,
    read_forwarded,
    read_touches,
)
from ensemble.server.membership import members_in
from ensemble.server.operations import is_write
from ensemble.server.owners import Owners
from ensemble.server.pipeline import Pipeline
from ensemble.server.share_exchange import ShareExchange
from ensemble.server.shell import ReplicaOptions
from ensemble.server.turns import LeaderTurns
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.shares import WHOLE
from ensemble.tree.acl import AclSchemes
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import Preparer, WriteRequest
from ensemble.wire import codes, peers
from ensemble.wire.jute import MarshallingError, Reader
from ensemble.wire.peers import encode_ids, write_packet
from ensemble.wire.records import Id
from ensemble.wire.txns import TxnHeader
from ensemble.zab.host import Host, Proposal
from ensemble.zab.learner_link import FOLLOWING
from ensemble.zab.peer import Peer


class Ordering(Host, Authority):
    """See the module. `recover` of `Replica` makes `peer`; the server hands `pipeline` over."""

    def __init__(self, sid: i64, options: ReplicaOptions, schemes: AclSchemes) -> None:
        self.sid: Final = sid
        self.options: Final = options
        self.schemes: Final = schemes
        recovery = options.recovery
        self.tree: DataTree = DataTree(recovery.extended_types, recovery.digest_enabled)
        self.preparer: Preparer = Preparer(self.tree, schemes, options.prepare)
        self.pipeline: Pipeline | None = None
        self.peer: Peer | None = None
        self.state: i64 = peers.LOOKING  # LEADING, FOLLOWING, OBSERVING only while serving
        self.wall_ms: i64 = 0
        self.forwarded: Final = ForwardedQueue()
        self.edge: Final = EdgeLimits(schemes)  # where the leader knows no budgets
        self.syncs: Final = SyncQueue()
        self.revalidating: Final[deque[Connection]] = deque()
        self.owners: Final = Owners(sid, options.local_sessions)  # leader
        self.turns: Final = LeaderTurns(Directory())  # leader
        self.shares: Final = ShareExchange(sid, self.turns.directory, WHOLE)

    def get_peer(self) -> Peer:
        peer = self.peer
        assert peer is not None, "recover() comes first"
        return peer

    def get_pipeline(self) -> Pipeline:
        pipeline = self.pipeline
        assert pipeline is not None
        return pipeline

    def forget_clients(self) -> None:
        self.forwarded.clear()
        self.edge.clear()
        self.syncs.clear()
        self.revalidating.clear()
        self.owners.clear()
        self.turns.clear()

    # Authority: what this server's clients ask for

    def submit(self, request: WriteRequest) -> i64:
        if self.state != peers.LEADING:
            claim: Claim | None = None
            if self.edge.is_due and not self.tree.budgets.is_empty:
                claim = self.edge.claim(self.tree, request)
            self.remember(request, claim)
            op = request.op
            data = encode_forwarded(request.session_id, request.cxid, op, request.body)
            ids = None if op == codes.OP_CREATE_SESSION else request.ids
            self.forward(data, encode_ids(ids))
            return FORWARDED
        if not self.is_open():
            return FORWARDED
        turns = self.turns
        if turns.is_idle():
            return self.order(request, self.sid)
        if self.options.local_sessions:
            request = self.as_local(request)
        flow = turns.admit(request, self.sid, False, self.get_pipeline().now_us)
        if flow is None:
            self.remember(request)
            return FORWARDED
        zxid = self.order(request, self.sid)
        turns.on_ordered(flow, zxid)
        return zxid

    def as_local(self, request: WriteRequest) -> WriteRequest:
        """A local session of this server may have ended when its request's turn comes: it is one
        now, which is what counts."""
        session_id = request.session_id
        if int(session_id) in self.owners.by_session or not self.get_pipeline().locals.is_local(
            session_id
        ):
            return request
        return WriteRequest(session_id, request.cxid, request.op, request.body, request.ids, False)

    def remember(self, request: WriteRequest, claim: Claim | None = None) -> None:
        """A request of this server's client is on its way: who waits for its transaction."""
        connection_id: i64 = 0
        session_id = int(request.session_id)
        conn = self.get_pipeline().session_connections.get(session_id)
        if conn is not None:
            connection_id = conn.id
        if request.op == codes.OP_CREATE_SESSION:
            connection_id = 0  # its answer is the session's, not that of a request
        body = request.body
        kept = Reader(body.buf, body.at, body.end)
        self.forwarded.append(
            Forwarded(
                session_id,
                request.cxid,
                request.op,
                connection_id,
                kept,
                self.known_proposed(),
                claim,
            )
        )

    def known_proposed(self) -> i64:
        """The last proposal that is known here: what is asked for now comes behind it."""
        if self.state == peers.LEADING:
            return self.get_peer().next_zxid() - 1
        learner = self.get_peer().learner
        return 0 if learner is None else learner.last_zxid

    def forward(self, data: bytes, encoded_ids: bytes) -> None:
        learner = self.get_peer().learner
        assert learner is not None
        learner.forward(data, encoded_ids)

    def find_asker(self, header: TxnHeader) -> None:
        """Give the request that this transaction answers its zxid, if it was asked here."""
        forwarded = self.forwarded.match(header.session_id, header.cxid, header.zxid)
        if forwarded is None:
            return
        if forwarded.claim is not None:
            self.edge.release(forwarded.claim)
        if forwarded.connection_id == 0:
            return
        pipeline = self.get_pipeline()
        conn = pipeline.connections.get(int(forwarded.connection_id))
        if conn is not None:
            pipeline.on_ordered(conn, forwarded.op, header.zxid, forwarded.body)
            first = conn.pending.first
            if first is not None and first.zxid == FORWARDED:
                first.zxid = header.zxid

    def sync(self, conn: Connection, xid: i64, reader: Reader) -> bool:
        session_id = conn.session_id
        self.syncs.append(int(session_id), int(conn.id))
        if self.state != peers.LEADING:
            data = encode_forwarded(session_id, xid, codes.OP_SYNC, reader)
            self.forward(data, encode_ids(conn.ids))
        elif int(session_id) in self.turns.by_session:  # behind its own writes that wait
            request = WriteRequest(session_id, xid, codes.OP_SYNC, reader, conn.ids)
            self.turns.admit(request, self.sid, False, self.get_pipeline().now_us)
        else:
            self.get_peer().sync(session_id)
        return False

    def on_synced(self, session_id: i64) -> None:
        connection_id = self.syncs.take(int(session_id))
        pipeline = self.get_pipeline()
        conn = pipeline.connections.get(connection_id)
        if conn is not None:
            pipeline.on_synced(conn)

    def last_proposed(self) -> i64:
        if self.state == peers.LEADING:
            return self.get_peer().next_zxid() - 1
        return self.tree.last_zxid

    # Leader: what learners forward, and turns

    def on_request(self, sid: i64, data: bytes, ids: list[Id] | None) -> None:
        request = read_forwarded(data, ids if ids is not None else [])
        if request is None:
            raise ProtocolError(f"a REQUEST of {len(data)} bytes")
        pipeline = self.get_pipeline()
        if request.op != codes.OP_SYNC:
            session = pipeline.tracker.get(int(request.session_id))
            if session is not None:
                pipeline.tracker.touch(session, pipeline.now_ms)
        turns = self.turns
        if turns.is_idle():
            self.take(request, sid)
            return
        leader = self.get_peer().leader
        assert leader is not None
        learner = leader.by_sid.get(int(sid))
        in_order = learner is None or learner.features & peers.TURNS == 0
        flow = turns.admit(request, sid, in_order, pipeline.now_us)
        if flow is not None:
            zxid = self.take(request, sid)
            if zxid > 0:
                turns.on_ordered(flow, zxid)

    def take_turns(self) -> None:
        """At the end of a turn: order what waits, as far as there is room."""
        turns = self.turns
        now_us = self.get_pipeline().now_us
        while turns.waiting > 0 and self.state == peers.LEADING and self.is_open():
            waiting = turns.next(now_us)
            if waiting is None:
                break
            zxid = self.take(waiting.request, waiting.sid)
            if zxid > 0:
                turns.on_ordered(waiting.flow, zxid)
        turns.end_turn(now_us)

    def take_before(self, session_id: i64) -> None:
        """A client has come with a session from elsewhere: order what it asked for there."""
        turns = self.turns
        while int(session_id) in turns.by_session and self.is_open():
            waiting = turns.next_before(session_id)
            if waiting is None:
                break
            zxid = self.take(waiting.request, waiting.sid)
            if zxid > 0:
                turns.on_ordered(waiting.flow, zxid)

    def take(self, request: WriteRequest, sid: i64) -> i64:
        """Order a request whose turn it is, whatever is wrong with it. Its zxid, 0 for a sync."""
        op = request.op
        if op == codes.OP_SYNC:
            leader = self.get_peer().leader
            assert leader is not None
            leader.sync(sid, request.session_id)
            return 0
        if not is_write(op) and op != codes.OP_CREATE_SESSION:
            return self.refuse(request, codes.UNIMPLEMENTED)
        try:
            zxid = self.order(request, sid)
        except MarshallingError:
            zxid = self.refuse(request, codes.MARSHALLING_ERROR)
        if op == codes.OP_CLOSE_SESSION:
            tracker = self.get_pipeline().tracker
            session = tracker.get(int(request.session_id))
            if session is not None:
                tracker.set_closing(session)
        return zxid

    def order(self, request: WriteRequest, sid: i64) -> i64:
        """Give a request its place. `sid`: the server that the client is connected to."""
        session_id = int(request.session_id)
        if request.op == codes.OP_CREATE_SESSION:
            self.owners.by_session[session_id] = int(sid)
        elif request.cxid != 0 or request.op != codes.OP_CLOSE_SESSION:
            owner = self.owners.by_session.get(session_id)
            if owner is None:
                request = self.owners.begin(
                    request, sid, self.preparer.pending, self.get_pipeline().locals
                )
            elif owner != sid:
                return self.refuse(request, codes.SESSION_MOVED)
        peer = self.get_peer()
        zxid = peer.next_zxid()
        prepared = self.preparer.prepare(request, zxid, self.wall_ms)
        proposal = Proposal(zxid, prepared.payload, prepared)
        if prepared.header.type == codes.OP_RECONFIG:
            proposal.members = members_in(prepared.txn)
        peer.propose(proposal)
        return zxid

    def refuse(self, request: WriteRequest, code: int) -> i64:
        """An error takes its place in the order, too."""
        peer = self.get_peer()
        zxid = peer.next_zxid()
        prepared = self.preparer.refuse(request, zxid, self.wall_ms, code)
        peer.propose(Proposal(zxid, prepared.payload, prepared))
        return zxid

    def is_open(self) -> bool:
        """Whether requests are ordered. Not behind a change that makes another lead."""
        leader = self.get_peer().leader
        return leader is not None and leader.is_open

    def is_leading(self) -> bool:
        """Whether this server orders writes: it alone lets sessions expire and sweeps."""
        return self.state == peers.LEADING

    def on_learner_left(self, sid: i64) -> None:
        self.turns.forget(sid)
        self.shares.on_left(sid, self.get_peer().now_ms)

    # Shares of tenants' limits

    def use_tenants(self, directory: Directory, percent: i64, takes_turns: bool) -> None:
        """The tenants that this server knows; before it serves anybody.

        Args:
            percent: of their limits, this server's where no leader of ours divides them.
            takes_turns: whether they take turns where this server leads.
        """
        self.turns.directory = directory
        self.turns.is_on = takes_turns
        self.shares.use_tenants(directory, percent)

    def begin_sharing(self) -> None:
        """A role begins."""
        peer = self.get_peer()
        leader_sid = self.sid
        knows_shares = True
        learner = peer.learner
        if learner is not None:
            leader_sid = learner.leader_sid
            knows_shares = learner.features & peers.SHARING != 0
        members = sorted(peer.configuration.members.servers)
        self.shares.begin(leader_sid, members, knows_shares, peer.timing.tick_ms, peer.now_ms)
        leader = peer.leader
        if leader is not None:
            for other in leader.by_sid.values():
                if other.stage == FOLLOWING:
                    self.on_learner(other.sid, other.features)

    def on_learner(self, sid: i64, features: i64) -> None:
        self.shares.on_learner(sid, features & peers.SHARING != 0)

    def on_shares(self, sid: i64, data: bytes) -> None:
        if self.state == peers.LEADING:
            self.shares.on_report(sid, data, self.get_peer().now_ms)
        else:
            self.shares.on_answer(data, self.get_peer().now_ms)

    def share(self) -> None:
        """At the end of a turn: report what is due, send what there is to say."""
        shares = self.shares
        peer = self.get_peer()
        shares.end_turn(peer.now_ms)
        if not shares.outgoing:
            return
        learner = peer.learner
        leader = peer.leader
        for sid, data in shares.outgoing:
            if leader is not None:
                other = leader.by_sid.get(sid)
                if other is not None and other.stage == FOLLOWING:
                    write_packet(other.link.out, peers.SHARES, -1, data)
            elif learner is not None and learner.link is not None:
                write_packet(learner.link.out, peers.SHARES, -1, data)
        shares.outgoing.clear()

    def deadline_ms(self) -> i64:
        """When `on_time` or `end_turn` is to be called at the latest."""
        deadline = self.get_peer().deadline_ms()
        shares = self.shares.deadline_ms()
        return shares if shares < deadline else deadline

    # Leader: sessions at learners

    def on_revalidate(self, sid: i64, session_id: i64, timeout_ms: i64) -> bool:
        self.take_before(session_id)
        pipeline = self.get_pipeline()
        session = pipeline.tracker.get(int(session_id))
        if session is None:
            # A local one may be on its way to become everybody's, ahead of its client's move.
            if not self.preparer.pending.is_alive(session_id):
                return False
        elif session.closing:
            return False
        old = pipeline.session_connections.get(int(session_id))
        if old is not None and old.state == OPEN:
            pipeline.cut(old, "its session moved to another server")
        self.renew(int(session_id), timeout_ms)
        self.owners.by_session[int(session_id)] = int(sid)
        return True

    def renew(self, session_id: int, timeout_ms: i64) -> None:
        tracker = self.get_pipeline().tracker
        session = tracker.get(session_id)
        if session is not None and timeout_ms > 0:
            session.timeout_ms = timeout_ms
            tracker.touch(session, self.get_pipeline().now_ms)

    def on_touches(self, data: bytes) -> None:
        for session_id, timeout_ms in read_touches(data):
            self.renew(session_id, timeout_ms)

    def take_touches(self) -> bytes:
        return encode_touches(self.get_pipeline().tracker.take_heard())
