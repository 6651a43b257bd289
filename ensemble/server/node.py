"""One server: recovers its data, opens its ports, turns until it is told to stop.

One turn: take all input that is ready, step the core, hand one batch to the log, write once to each
connection. The tree, sessions and watches belong to the loop's thread; the log's process knows
nothing but bytes, and snapshots are written by a forked child.
"""

import asyncio
import gc
import logging
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, final

from ensemble.errors import ConfigError, StorageError
from ensemble.server.admin_open import open_admin_port
from ensemble.server.answers import Answers
from ensemble.server.auth.door import Door
from ensemble.server.auth.passwords import ApachePasswords, Passwords, SecretPasswords, load_secret
from ensemble.server.client_port import ClientPort
from ensemble.server.clock import ServingClock, monotonic_ms, monotonic_us, wall_ms
from ensemble.server.config import Config
from ensemble.server.connection import Connection
from ensemble.server.contracts import SessionRules
from ensemble.server.folder_lock import lock_folder
from ensemble.server.gate import TenantGate
from ensemble.server.local_sessions import LocalTable
from ensemble.server.log_writer import LogWriter
from ensemble.server.membership import Membership, absolute
from ensemble.server.peer_dial import printed
from ensemble.server.pipeline import Pipeline
from ensemble.server.port_limits import port_limits
from ensemble.server.quorum_config import QuorumOptions
from ensemble.server.refusals import RefusalLog
from ensemble.server.replica import Replica
from ensemble.server.shell import ReplicaOptions
from ensemble.server.slow import SlowLog
from ensemble.server.standalone import StandaloneAuthority
from ensemble.server.stats import ServerStats
from ensemble.server.throttle import ConnectionThrottle, throttle_of
from ensemble.server.tls import StoreWatch, certificate_end, server_context, subject_of
from ensemble.server.upkeep import Upkeep
from ensemble.storage.disk import OsDisk
from ensemble.storage.layout import Layout
from ensemble.storage.recovery import RecoveryOptions, recover
from ensemble.storage.txnlog import TxnLog
from ensemble.tenancy.directory import Directory
from ensemble.tree.acl import AclSchemes
from ensemble.tree.prepare import PrepareOptions, Preparer
from ensemble.tree.sessions import SessionTracker
from ensemble.tree.watches import WatchTable
from ensemble.wire import peers
from ensemble.wire.records import Id
from ensemble.zab.configuration import Configuration

# What only some servers need is imported where it is needed: a start is half as long without it.
if TYPE_CHECKING:
    from ensemble.server.admin_port import AdminPort
    from ensemble.server.audit import AuditDesk
    from ensemble.server.journal import Journal
    from ensemble.server.peering import Peering
    from ensemble.server.telemetry import Telemetry

log = logging.getLogger("ensemble.node")

TICKS_PER_SECOND_MAX: Final = 10
TURNS_BEFORE_YIELD_MAX: Final = 16
COLLECT_EVERY_S: Final = 60.0
MODES: Final = ("looking", "follower", "leader", "observer")
STORES_LOOKED_AT_EVERY_MS: Final = 2_000


@final
class Node:
    """A standalone server. `run` returns when `stop` was called, or raises what went wrong."""

    def __init__(self, config: Config) -> None:
        self.config: Final = config
        self.stats: Final = ServerStats()
        self.started_ms: Final = monotonic_ms()
        self.clock: Final = ServingClock()
        self.disk: Final = OsDisk()
        self.layout: Final = Layout(config.storage.data_dir, config.storage.log_dir)
        self.state = peers.LOOKING  # of an ensemble's member
        self.epoch = 0
        self.client_port_number = 0
        self.client_address = ""
        self.secure_port_number = 0
        self.serving = False
        self.replica: Replica | None = None  # a member of an ensemble; None: it stands alone
        self.peering: Peering | None = None
        self.local_sessions: LocalTable | None = None
        self.paused = False  # a restore is taking place: clients wait, time does nothing
        self.trace_mask = 306
        self.digests: Final[deque[tuple[int, int]]] = deque(maxlen=1_024)
        self.admin_port: AdminPort | None = None
        self.telemetry: Telemetry | None = None
        self.upkeep: Final = Upkeep(self)
        self.journal: Journal | None = None
        self.audit: AuditDesk | None = None
        self.throttle: ConnectionThrottle | None = None
        self._started = False
        self._failure: BaseException | None = None
        self._stopped: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._next_collect_s = 0.0
        self._next_stores_ms = 0
        self.stores: StoreWatch | None = None
        self.certificate_end = 0  # of the client port's, seconds since 1970
        self.refusals: Final = RefusalLog(self.stats)

    # Start

    def recover(self) -> None:
        """Load the database and put the parts together; no port is open yet.

        Raises:
            StorageError, ConfigError: with advice; nothing has been changed.
        """
        config = self.config
        storage = config.storage
        began = time.monotonic()
        record_bytes_max = config.ports.frame_bytes_max + config.ports.extra_bytes_max
        options = RecoveryOptions(
            config.tree.extended_types,
            storage.trust_empty,
            storage.autocreate,
            storage.digest_enabled,
        )
        self.layout.make_folders(self.disk)
        self.lock = lock_folder(self.layout.log_folder)
        # Forked while this process is small. The first record of a run begins a new file.
        self.log_writer = LogWriter(
            TxnLog(self.disk, self.layout, storage.prealloc_kb, storage.force_sync),
            self.stats,
            storage.fsync_warning_ms,
        )
        if config.audit.enabled:
            from ensemble.server.audit import AuditDesk

            self.audit = AuditDesk(config)
        gc.disable()  # nothing that is loaded is garbage
        passwords: Passwords = ApachePasswords()
        if config.auth.session_password == "secret":
            passwords = SecretPasswords(load_secret(storage.data_dir))
        with_tls = config.ports.secure_port >= 0 or config.ports.unified
        self.directory = Directory()
        self.door = Door(config.auth, passwords, self.stats, with_tls, self.directory)
        self.schemes = AclSchemes(self.door.schemes, config.tree.skip_acl)
        prepare = PrepareOptions(
            config.tree.extended_types,
            config.tree.enforce_quota,
            config.tree.close_session_txn,
            storage.digest_enabled,
            config.tree.reconfig_enabled,
            record_bytes_max,
            config.ports.frame_bytes_max,
        )
        authority: StandaloneAuthority | Replica
        if config.quorum is None:
            recovered = recover(self.disk, self.layout, options)
            self.tree = recovered.tree
            self.preparer = Preparer(self.tree, self.schemes, prepare)
            authority = StandaloneAuthority(self.tree, self.preparer, self.log_writer)
            notes, fresh, replayed = recovered.notes, recovered.fresh, recovered.txns_replayed
        else:
            replica = self.recover_member(config.quorum, prepare, options)
            authority = replica
            notes, fresh, replayed = replica.notes, replica.fresh, int(replica.txns_replayed)
        self.authority: StandaloneAuthority | Replica = authority
        for note in notes:
            log.warning("%s", note)
        self.stats.recovery_ms.record(int((time.monotonic() - began) * 1_000))
        self.stats.recovered_txns.record(replayed)
        log.info(
            "recovered %d znodes, %d sessions, last zxid %#x in %.2f s (%d transactions replayed)",
            len(self.tree.nodes),
            len(self.tree.sessions),
            self.tree.last_zxid,
            time.monotonic() - began,
            replayed,
        )
        self.tracker = SessionTracker(config.sessions.tick_ms)
        self.watches = WatchTable()
        answers = Answers(self.tree, self.schemes, self.watches, config.ports.watches_max)
        rules = SessionRules(
            first_session_id(config.server_id, wall_ms()),
            config.sessions.timeout_min_ms,
            config.sessions.timeout_max_ms,
        )
        self.pipeline = Pipeline(
            self.tree,
            self.schemes,
            self.tracker,
            self.watches,
            answers,
            authority,
            self.door,
            bool(config.auth.enforce_schemes),
            rules,
            self.stats,
        )
        observe = config.observe
        self.slow = SlowLog(observe.slow_ms * 1_000, observe.slow_max)
        self.gate = TenantGate(self.pipeline, self.directory, self.slow)
        self.gate.wall.closed = config.wall.closed
        self.pipeline.gate = self.gate
        authority.pipeline = self.pipeline
        self.directory.split.use(1, 0, config.wall.share)
        if self.replica is not None:
            self.replica.use_tenants(self.directory, config.wall.share, config.ports.is_fair)
        if config.quorum is not None:
            self.keep_local_sessions(config.quorum)
        self.pipeline.serving = self.replica is None
        if self.journal is not None:
            self.journal.schemes = self.schemes
            self.pipeline.journal = self.journal
        self.authority.log_file.bytes_max = max(0, storage.log_size_kb) << 10
        ports = config.ports
        self.pipeline.large_threshold = ports.large_threshold
        self.pipeline.large_bytes_max = ports.large_bytes_max
        self.throttle = self.pipeline.throttle = throttle_of(config.tokens)
        self.port = ClientPort(
            self.pipeline,
            port_limits(ports),
            self.end_turn,
            self.answer_word,
            self.identify,
            wall_ms,
            self.refusals.note,
            self.wake,
        )
        if self.peering is not None:
            self.peering.attach(self.port.poll, monotonic_ms())
        if self.audit is not None:
            self.audit.attach(self)
        self.upkeep.plan_snapshot()
        self.upkeep.find_last_snapshot()
        if fresh:
            self.upkeep.save_snapshot()
        gc.collect()
        gc.freeze()

    def recover_member(
        self, options: QuorumOptions, prepare: PrepareOptions, recovery: RecoveryOptions
    ) -> Replica:
        """The replica of an ensemble's member, with its tree; see `recover`."""
        from ensemble.server.peering import Peering

        self.peering = Peering(self, options)
        membership = Membership(
            self.disk,
            absolute(options.config_path) if self.config.tree.reconfig_enabled else "",
            options.sid,
            options.members,
            options.standalone_enabled,
        )
        replica = Replica(
            options.sid,
            membership,
            options.timing,
            ReplicaOptions(
                prepare,
                recovery,
                self.config.storage.digest_enabled,
                options.commit_log_count,
                options.local_sessions,
            ),
            self.disk,
            self.layout,
            self.log_writer,
            self.peering,
            self.schemes,
        )
        self.replica = replica
        replica.recover()
        return replica

    def keep_local_sessions(self, options: QuorumOptions) -> None:
        """Where the configuration lets sessions be this server's own, always or while read-only."""
        if options.local_sessions or options.read_only:
            self.local_sessions = LocalTable(
                self.pipeline,
                self.config.sessions.tick_ms,
                options.local_sessions,
                options.local_sessions_upgrade,
            )
            self.pipeline.locals = self.local_sessions

    def begin_sessions(self) -> None:
        """Sessions go on where they were, with a full timeout; ephemerals of the dead ones go."""
        self.set_clocks()
        now_ms = self.pipeline.now_ms
        for session_id, timeout_ms in self.tree.sessions.items():
            self.tracker.add(session_id, timeout_ms, now_ms)
        self.gate.on_serving()
        orphans = self.pipeline.close_orphans()
        if orphans:
            log.warning("closing %d sessions, of which only ephemerals are left", orphans)

    async def run(self) -> None:
        """Serve until `stop`.

        Raises:
            StorageError: the disk failed; nothing was acknowledged that it does not hold.
            OSError: a port cannot be bound.
        """
        self.loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        if self.config.admin.audit:
            from ensemble.server.journal import Journal

            self.journal = Journal(self.config.admin.audit_file, self.config.admin.log_format)
        try:
            await self.serve()
        except BaseException:
            self.tell_journal("serverStart", "failure", not self._started)
            raise

    def tell_journal(
        self,
        operation: str,
        result: Literal["success", "failure", "invoked"],
        due: bool = True,
    ) -> None:
        if self.journal is not None and due:
            self.journal.on_server(operation, result)

    async def serve(self) -> None:
        """Recover, open the ports, turn until `stop`; see `run`."""
        assert self._stopped is not None
        self.recover()
        self.port.poll.watch(self.log_writer.notify_fd, self.on_log_synced)
        ports = self.config.ports
        try:
            context = None
            if ports.secure_port >= 0 or ports.unified:
                context = server_context(self.config.tls)
                self.certificate_end = certificate_end(self.config.tls)
                if ports.reload_certificates:
                    self.stores = StoreWatch(self.config.tls)
            if ports.port >= 0:
                unified = context if ports.unified else None
                host = ports.host or "0.0.0.0"
                self.client_port_number = self.port.listen(host, ports.port, unified, ports.unified)
                self.client_address = printed(host, self.client_port_number)
                log.info("client port %s", self.client_address)
            if ports.secure_port >= 0:
                host = ports.secure_host or "0.0.0.0"
                self.secure_port_number = self.port.listen(host, ports.secure_port, context)
                log.info("secure client port %s:%d", host, self.secure_port_number)
            if self.replica is None:
                self.begin_sessions()
            self.admin_port = await open_admin_port(self)
            if self.config.telemetry.endpoint:
                from ensemble.server.telemetry import open_telemetry

                self.telemetry = open_telemetry(self)
            self._started = True
            if self.peering is None:
                self.serving = True
            else:
                self.set_clocks()
                self.peering.start()
            self.tell_journal("serverStart", "success")
            self.loop.add_reader(self.port.epoll.fileno(), self.turn)
            self.tick()
            await self._stopped.wait()
        finally:
            await self.shut_down()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End `run`; callable from a signal handler of the loop."""
        if self._stopped is not None:
            self._stopped.set()

    def fail(self, failure: BaseException) -> None:
        """Stop serving at once: acknowledge nothing more, close everything (trust.md F5, A18)."""
        if self._failure is None:
            self._failure = failure
            self.serving = False
            log.critical("this server stops: %s", failure)
            self.loop.remove_reader(self.port.epoll.fileno())
            self.stop()

    async def shut_down(self) -> None:
        """Sync what was taken in, close the ports. Sessions stay: their clients come back."""
        self.tell_journal("serverStop", "invoked", self._started)
        self.serving = False
        for timer in (self._timer, self._wake):
            if timer is not None:
                timer.cancel()
        self.loop.remove_reader(self.port.epoll.fileno())
        self.port.stop_listening()
        deadline = time.monotonic() + 5.0
        while (
            self._failure is None and not self.authority.is_idle() and time.monotonic() < deadline
        ):
            self.turn()
            await asyncio.sleep(0.001)
        if self.telemetry is not None:
            await self.telemetry.stop()
        if self.admin_port is not None:
            await self.admin_port.stop()
        if self.peering is not None:
            self.peering.stop()
        self.upkeep.snapshotter.stop()
        self.port.close()
        if self.audit is not None:
            self.audit.stop(self.last_zxid())
        self.log_writer.stop()

    # Turns and ticks

    def set_clocks(self) -> None:
        away_ms = self.clock.away_ms
        now_ms = monotonic_ms()
        self.pipeline.now_us = monotonic_us()
        self.pipeline.now_ms = self.clock.now_ms(now_ms)
        if self.clock.away_ms > away_ms:
            log.warning(
                "this server stood still for %d ms (paused, swapped out or starved): "
                "no session has aged by it",
                self.clock.away_ms - away_ms,
            )
        self.authority.wall_ms = wall_ms()
        if self.peering is not None:
            self.peering.begin_turn(now_ms, int(self.authority.wall_ms))

    def end_turn(self) -> None:
        """After all input of a turn, before clients get their replies."""
        if self.peering is not None:
            self.peering.end_turn()
        else:
            self.authority.end_turn()
        if self.audit is not None:
            self.audit.end_turn(int(self.authority.wall_ms))

    def turn(self) -> None:
        """Serve what is ready, several times over while more keeps coming."""
        try:
            for _ in range(TURNS_BEFORE_YIELD_MAX):
                self.set_clocks()
                if not self.port.on_ready():
                    return
            self.loop.call_soon(self.turn)
        except StorageError as error:
            self.fail(error)
        except Exception as error:
            log.exception(
                "a defect of this server: it stops rather than go on with a doubtful state"
            )
            self.fail(error)

    def on_log_synced(self, events: int = 0) -> None:
        authority = self.authority
        before = self.tree.last_zxid
        authority.on_log_synced()
        zxid = self.tree.last_zxid
        if zxid >> 7 != before >> 7:
            self.digests.append((int(zxid), self.tree.digest))
        if (
            authority.txns_since_snapshot >= authority.snapshot_at
            or authority.log_bytes_since_snapshot >= authority.snapshot_at_bytes
        ):
            self.upkeep.snapshot_due()

    def on_role(self, state: int, epoch: int) -> None:
        """An ensemble's member begins to serve, or (LOOKING) has lost its leader."""
        self.serving = state != peers.LOOKING
        self.state = state
        self.epoch = epoch
        quorum = self.config.quorum
        if state == peers.LEADING and quorum is not None and not quorum.leader_serves:
            self.pipeline.serving = False  # it orders writes and leaves the clients to the others
        if state == peers.LOOKING:
            self.upkeep.forget_reaping()

    def configuration(self) -> Configuration:
        """The members of this server's ensemble."""
        assert self.replica is not None, "it stands alone"
        return self.replica.membership.configuration

    def move_client_port(self, address: str) -> None:
        """Listen for clients where this server's line in the configuration says."""
        if address == self.client_address:
            return
        host, _, port = address.rpartition(":")
        try:
            number = self.port.move(self.client_port_number, host.strip("[]"), int(port))
        except OSError as error:
            log.error(
                "the client port stays at %s, not %s: %s", self.client_address, address, error
            )
            return
        self.client_port_number = number
        self.client_address = address
        log.info("client port %s", address)

    def last_zxid(self) -> int:
        """As words and commands say it: at least where the leader's epoch begins."""
        return max(int(self.tree.last_zxid), int(self.pipeline.epoch_zxid))

    def mode(self) -> str:
        """As `srvr` and `mntr` call it: standalone, leader, follower, observer, read-only."""
        if self.replica is None:
            return "standalone"
        if self.pipeline.read_only:
            return "read-only"
        return MODES[self.state]

    def tick(self) -> None:
        """What time alone brings about: expiry, reaping, idle connections, purging."""
        tick_s = max(1 / TICKS_PER_SECOND_MAX, min(self.config.sessions.tick_ms / 2_000, 0.5))
        self._timer = self.loop.call_later(tick_s, self.tick)
        try:
            self.set_clocks()
            if self.paused:
                return
            now_ms = self.pipeline.now_ms
            if self.serving and self.authority.is_leading():
                self.stats.sessions_expired += self.pipeline.expire_sessions()
            if self.peering is not None:
                self.peering.on_tick()
            self.port.close_idle(now_ms)
            self.gate.on_tick(self.authority.wall_ms)
            self.upkeep.on_tick(int(now_ms), self.serving and self.authority.is_leading())
            if self.audit is not None:
                self.audit.on_tick(int(now_ms))
            self.end_turn()
            self.port.flush()
            self.gate.end_turn(monotonic_us())
            if self.stores is not None and now_ms >= self._next_stores_ms:
                self._next_stores_ms = now_ms + STORES_LOOKED_AT_EVERY_MS
                self.renew_certificates(self.stores)
            if time.monotonic() >= self._next_collect_s:
                # The state has no cycles; what little garbage has some is young.
                self._next_collect_s = time.monotonic() + COLLECT_EVERY_S
                gc.collect(1)
                gc.freeze()
        except StorageError as error:
            self.fail(error)
        except Exception as error:
            log.exception(
                "a defect of this server: it stops rather than go on with a doubtful state"
            )
            self.fail(error)

    def wake(self, after_s: float) -> None:
        """Have a turn then, whether something comes or not."""
        self._wake = self.loop.call_later(after_s, self.on_wake)

    def on_wake(self) -> None:
        self.port.woken()
        self.turn()

    def renew_certificates(self, stores: StoreWatch) -> None:
        """Take new certificates for new connections; bad ones are told, and the old ones stay."""
        if not stores.changed():
            return
        try:
            self.port.renew_context(server_context(self.config.tls))
            self.certificate_end = certificate_end(self.config.tls)
        except ConfigError as error:
            log.error("the new certificates cannot be used, the old ones stay: %s", error)
        else:
            log.info("certificates of %s were loaded again", self.config.tls.key_store)

    # What the port asks

    def answer_word(self, first: bytes, conn: Connection) -> bytes | None:
        """A four-letter word's answer, or None where the bytes are none."""
        from ensemble.server import four_letter

        return four_letter.answer(self, first)

    def identify(self, host: str, sock: ssl.SSLSocket | None) -> list[Id]:
        return self.door.identify(host, None if sock is None else subject_of(sock))

    def uptime_ms(self) -> int:
        return monotonic_ms() - self.started_ms


def first_session_id(server_id: int, now_ms: int) -> int:
    """Server id in the top byte, five bytes of clock, two of counter (client.md 3.4), signed."""
    id = ((now_ms << 24) & 0xFFFFFFFFFFFFFFFF) >> 8
    id |= server_id << 56
    return id - (1 << 64) if id >= 1 << 63 else id
