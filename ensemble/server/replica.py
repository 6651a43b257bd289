"""A member of an ensemble without its sockets: tree, log and clients around Zab's state machine.

To Zab it is the host, to the pipeline the authority that orders writes. Whatever touches the world
outside goes through `Shell` and `LogPort`, so a simulation runs exactly this (docs/simulation.md).

The order of a turn: inputs (bytes of peers and clients, what the disk has finished), `on_time`,
`end_turn`; then the shell writes once to every link and connection.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.server.committing import commit_prepared
from ensemble.server.connection import WAITING, Connection
from ensemble.server.decoding import decode
from ensemble.server.digest_guard import DigestGuard
from ensemble.server.log_batch import LogBatch, LogFileSize
from ensemble.server.log_port import LogPort
from ensemble.server.membership import Membership, members_of, show_members
from ensemble.server.ordering import Ordering
from ensemble.server.shell import ReplicaOptions, Shell
from ensemble.storage import epochs, loghistory, truncation
from ensemble.storage.disk import Disk
from ensemble.storage.layout import Layout
from ensemble.storage.recovery import recover
from ensemble.tree.acl import AclSchemes
from ensemble.tree.apply import apply
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import signed64
from ensemble.tree.prepare import Prepared, Preparer
from ensemble.tree.snapshot_stream import StreamReader
from ensemble.wire import codes, peers
from ensemble.wire.txns import DIGEST_VERSION, ErrorTxn, LoggedTxn, TxnHeader
from ensemble.wire.zxid import format_zxid
from ensemble.zab.host import Link, Proposal
from ensemble.zab.members import Members
from ensemble.zab.peer import Peer
from ensemble.zab.recents import Recents
from ensemble.zab.timing import Timing

DISK_DIFF_BYTES_MAX: Final = 64 << 20  # of a DIFF from the log files; more is sent as a snapshot


@final
class Replica(Ordering):
    """See above. `recover`, then hand `pipeline` over, then `start`."""

    def __init__(
        self,
        sid: i64,
        membership: Membership,
        timing: Timing,
        options: ReplicaOptions,
        disk: Disk,
        layout: Layout,
        log: LogPort,
        shell: Shell,
        schemes: AclSchemes,
    ) -> None:
        super().__init__(sid, options, schemes)
        self.membership: Final = membership
        self.timing: Final = timing
        self.disk: Final = disk
        self.layout: Final = layout
        self.log: Final = log
        self.shell: Final = shell
        self.fresh = False
        self.notes: list[str] = []
        self.txns_replayed: i64 = 0
        self.batch = LogBatch()
        self.recents: Final = Recents(options.commit_log_count)
        self.receiver: StreamReader | None = None
        self.receiving_zxid: i64 = 0
        self.txns_since_snapshot: i64 = 0
        self.log_bytes_since_snapshot: i64 = 0
        self.log_file: Final = LogFileSize()
        self.snapshot_at: i64 = 1 << 62
        self.snapshot_at_bytes: i64 = 1 << 62
        self.guard: Final = DigestGuard()

    # Start

    def recover(self) -> None:
        """Load the database and the epochs; nobody is served yet.

        Raises:
            StorageError: with advice; nothing has been changed.
        """
        self.load_tree()
        self.membership.replica = self
        stored = epochs.load_epochs(self.disk, self.layout, int(self.tree.last_zxid))
        self.peer = Peer(
            self,
            self.sid,
            self.membership.configuration,
            self.timing,
            stored.accepted,
            stored.current,
        )

    def load_tree(self) -> None:
        recovered = recover(self.disk, self.layout, self.options.recovery)
        self.fresh = recovered.fresh
        self.notes = recovered.notes
        self.txns_replayed = recovered.txns_replayed
        self.use_tree(recovered.tree)
        for zxid, payload in recovered.recent:
            self.recents.append(Proposal(zxid, payload))

    def use_tree(self, tree: DataTree) -> None:
        """Everything that holds the tree gets this one; nobody is being served."""
        self.tree = tree
        self.preparer = Preparer(tree, self.schemes, self.options.prepare)
        self.preparer.reconfigurer = self.membership
        self.recents.clear()
        pipeline = self.pipeline
        if pipeline is not None:
            pipeline.tree = tree
            pipeline.answers.tree = tree
        self.shell.on_tree(tree)

    def start(self, now_ms: i64) -> None:
        """Look for a leader."""
        peer = self.get_peer()
        peer.now_ms = now_ms
        peer.start()

    # A turn

    def set_time(self, now_ms: i64, wall_ms: i64) -> None:
        """At the begin of a turn: a monotonic time for Zab, and what transactions carry."""
        self.get_peer().now_ms = now_ms
        self.wall_ms = wall_ms

    def on_time(self) -> None:
        self.get_peer().on_time()

    def end_turn(self) -> None:
        """Hand what was logged in this turn to the disk, unless a batch is on its way."""
        self.take_turns()
        self.share()
        self.get_peer().end_turn()
        if self.batch.count > 0 and not self.log.busy:
            self.log_bytes_since_snapshot += len(self.batch.records)
            self.log_file.add(self.batch)
            self.log.submit(self.batch)
            self.batch = LogBatch()

    def on_log_synced(self) -> None:
        """The disk has another batch.

        Raises:
            StorageError: the disk failed: this server stops (trust.md F5, A18).
        """
        if not self.log.busy:
            return
        zxid = self.log.take_synced()
        peer = self.get_peer()
        peer.on_logged(zxid)
        if self.log_is_idle():
            peer.on_log_idle()

    def is_idle(self) -> bool:
        return self.log_is_idle()

    def on_snapshot_installed(self) -> None:
        self.get_peer().on_snapshot_installed()

    # Host: the network

    def send_notification(self, sid: i64, frame: bytes) -> None:
        self.shell.send_notification(sid, frame)

    def connect(self, sid: i64) -> None:
        self.shell.connect(sid)

    def listen(self) -> None:
        self.shell.listen()

    def stop_listening(self) -> None:
        self.shell.stop_listening()

    def report(self, text: str) -> None:
        self.shell.report(text)

    # Host: what is durable

    def save_accepted_epoch(self, epoch: i64) -> None:
        epochs.save_epoch(self.disk, self.layout, epochs.ACCEPTED, int(epoch))

    def save_current_epoch(self, epoch: i64) -> None:
        epochs.save_epoch(self.disk, self.layout, epochs.CURRENT, int(epoch))

    def append(self, zxid: i64, payload: bytes) -> None:
        self.batch.append(zxid, payload)

    def log_is_idle(self) -> bool:
        return self.batch.count == 0 and not self.log.busy

    def truncate(self, zxid: i64, reload: bool) -> bool:
        assert self.log_is_idle()
        self.log.end_file()
        if not truncation.truncate(self.disk, self.layout, int(zxid)):
            return False
        if reload:
            self.load_tree()
            assert self.tree.last_zxid == zxid, f"{self.tree.last_zxid:#x}, cut at {zxid:#x}"
        return True

    def reload(self) -> None:
        assert self.log_is_idle()
        self.log.end_file()
        self.load_tree()

    def begin_snapshot(self, zxid: i64) -> None:
        recovery = self.options.recovery
        self.receiver = StreamReader(recovery.extended_types, recovery.digest_enabled)
        self.receiving_zxid = zxid

    def take_snapshot(self, chunk: bytes) -> bytes | None:
        receiver = self.receiver
        assert receiver is not None
        rest = receiver.feed(chunk)
        if rest is None:
            return None
        snapshot = receiver.finish(int(self.receiving_zxid))
        self.receiver = None
        self.use_tree(snapshot.tree)
        self.guard.tree_received()
        znodes = len(self.tree.nodes)
        self.report(f"took a snapshot of {format_zxid(self.receiving_zxid)}: {znodes} znodes")
        return rest

    def install_snapshot(self) -> None:
        assert self.log_is_idle()
        self.log.end_file()
        self.shell.install_snapshot(self.tree)

    # Host: the tree

    def check(self, proposal: Proposal) -> None:
        proposal.members = members_of(proposal.zxid, decode(proposal))

    def apply(self, proposal: Proposal) -> None:
        decoded = proposal.decoded
        if isinstance(decoded, Prepared):
            header, txn = decoded.header, decoded.txn
        else:
            logged = decoded if isinstance(decoded, LoggedTxn) else decode(proposal)
            header, txn = logged.header, logged.txn
        applied = apply(self.tree, header, txn)
        pipeline = self.pipeline
        if pipeline is not None and pipeline.audit is not None:
            # Asked for here under the leader before, perhaps: its client was cut meanwhile.
            pipeline.audit.on_unasked(header, applied.error, applied)
        self.recents.append(proposal)

    def commit(self, proposal: Proposal) -> None:
        decoded = proposal.decoded
        if isinstance(decoded, Prepared):
            self.commit_own(decoded)
        else:
            assert isinstance(decoded, LoggedTxn)
            self.commit_learned(decoded)
            feed = self.get_pipeline().feed
            if feed is not None:
                feed.on_committed(proposal.zxid, proposal.payload)
        self.recents.append(proposal)
        self.txns_since_snapshot += 1
        if (
            self.txns_since_snapshot >= self.snapshot_at
            or self.log_bytes_since_snapshot >= self.snapshot_at_bytes
        ):
            self.shell.snapshot_due()

    def commit_own(self, prepared: Prepared) -> None:
        """Leader: a transaction that was prepared here."""
        header = prepared.header
        if header.type == codes.OP_CLOSE_SESSION:
            self.owners.on_closed(header.session_id)
        self.turns.on_committed(header.zxid)
        if not self.forwarded.is_empty():
            self.find_asker(header)
        commit_prepared(self.get_pipeline(), self.tree, self.preparer, prepared)

    def commit_learned(self, logged: LoggedTxn) -> None:
        """Learner: a transaction of the leader's."""
        header = logged.header
        txn = logged.txn
        pipeline = self.get_pipeline()
        applied = apply(self.tree, header, txn)
        if (
            logged.has_digest
            and logged.digest_version == DIGEST_VERSION
            and self.options.digest_enabled
        ):
            self.check_digest(header, signed64(self.tree.digest) == logged.digest)
        error: i64 = 0
        if isinstance(txn, ErrorTxn):
            error = pipeline.locals.error_of(header.session_id, txn.err)
        self.find_asker(header)
        journal = pipeline.journal
        if journal is not None:
            journal.on_committed(header, int(error), txn, applied)
        pipeline.on_committed(header, error, applied)

    def check_digest(self, header: TxnHeader, same: bool) -> None:
        """A tree that is not what the leader has (trust.md I12, B10): take the leader's."""
        reason = self.guard.look(header.zxid, same)
        if reason:
            learner = self.get_peer().learner
            assert learner is not None
            learner.needs_snapshot = True
            learner.fail(reason)

    def last_zxid(self) -> i64:
        return self.tree.last_zxid

    def recent(self) -> list[Proposal]:
        return list(self.recents.proposals)

    def read_log(self, after: i64, up_to: i64) -> list[Proposal] | None:
        found = loghistory.read_after(
            self.disk, self.layout, int(after), int(up_to), DISK_DIFF_BYTES_MAX
        )
        if found is None:
            return None
        return [Proposal(zxid, payload) for zxid, payload in found]

    def send_snapshot(self, link: Link) -> None:
        self.shell.send_snapshot(link, self.tree)

    # Host: serving

    def begin_serving(self, state: i64, epoch: i64) -> None:
        pipeline = self.get_pipeline()
        show_members(self.tree, self.membership.configuration.members, self.wall_ms)
        self.preparer.discard()
        self.forget_clients()
        learner = self.get_peer().learner
        self.edge.is_due = learner is not None and learner.features & peers.BUDGETS == 0
        # The leader is told only of sessions whose clients were heard: a learner that comes and
        # goes must not keep alive those whose clients are gone.
        pipeline.tracker.gathers = False
        pipeline.begin_serving(epoch << 32)
        pipeline.tracker.gathers = state != peers.LEADING
        self.state = state
        self.get_peer().on_served(epoch)
        self.begin_sharing()
        self.report(
            f"{peers.STATE_NAMES[int(state)]} in epoch {epoch}, "
            f"at {format_zxid(self.tree.last_zxid)}"
        )
        self.shell.on_serving(state, epoch)
        if state == peers.LEADING:
            pipeline.close_orphans()

    def stop_serving(self, reason: str) -> None:
        self.state = peers.LOOKING
        self.shares.end(self.get_peer().now_ms)
        self.get_pipeline().stop_serving(reason)
        self.preparer.discard()
        self.forget_clients()
        self.receiver = None
        self.shell.on_serving(peers.LOOKING, 0)

    def end_search(self, took_ms: i64) -> None:
        self.shell.on_elected(took_ms)
        pipeline = self.get_pipeline()
        if pipeline.read_only:
            pipeline.stop_serving("a leader is found: this server is not read-only any more")
            self.shell.on_serving(peers.LOOKING, 0)

    def on_revalidated(self, session_id: i64, valid: bool) -> None:
        for conn in self.revalidating:
            if conn.session_id == session_id:
                self.revalidating.remove(conn)
                pipeline = self.get_pipeline()
                if conn.state == WAITING:
                    pipeline.on_revalidated(conn, session_id, conn.connect_timeout_ms, valid)
                return

    def propose_members(self, members: Members | None) -> None:
        self.membership.save_proposed(members)
        self.shell.on_members(self.membership.configuration)

    def use_members(self, members: Members) -> None:
        self.membership.save_committed(members)
        self.shell.on_members(self.membership.configuration)
        self.report(f"configuration {members.version:#x} is in force")

    # Authority: what this server's clients ask for

    def revalidate(self, conn: Connection, session_id: i64, timeout_ms: i64) -> bool:
        if self.state == peers.LEADING:
            self.take_before(session_id)
            if session_id in self.tree.sessions:
                self.owners.by_session[int(session_id)] = int(self.sid)
            return True
        conn.session_id = session_id
        self.get_pipeline().stats.revalidations += 1
        self.revalidating.append(conn)
        learner = self.get_peer().learner
        assert learner is not None
        learner.revalidate(session_id, timeout_ms)
        return False
