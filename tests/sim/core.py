"""Zab alone in the simulation: the machines of `ensemble.zab` around meaningless transactions.

No tree, no clients, no files: a history is a list, a disk a list of what is durable, so that many
thousand elections and synchronizations cost seconds. What must hold is checked while it happens:
one leader an epoch, committed means durable at a quorum and never lost, all histories one.
"""

import hashlib
from collections import deque
from dataclasses import dataclass, field

from ensemble.errors import ProtocolError, StorageError
from ensemble.wire import peers
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Host, Link, Proposal
from ensemble.zab.leader import SERVING
from ensemble.zab.members import Members
from ensemble.zab.peer import Peer
from ensemble.zab.timing import Timing
from tests.sim.machine import Machine
from tests.sim.peered import Peered
from tests.sim.tap import Violation
from tests.storage.simdisk import PowerCut

Record = tuple[int, bytes]
PIECE = 12  # of a record in a snapshot's stream: zxid and length
SNAPSHOT_SYNC_US = 30_000


@dataclass
class Durable:
    """What a server's disk holds: a snapshot, the log behind it, both epochs."""

    snapshot: list[Record] = field(default_factory=list)
    log: list[Record] = field(default_factory=list)
    cached: list[Record] = field(default_factory=list)  # written and not synced
    accepted: int = 0
    current: int = 0

    def end(self) -> int:
        return (self.log or self.snapshot or [(0, b"")])[-1][0]

    def history(self) -> list[Record]:
        return self.snapshot + self.log

    def holds(self, zxid: int) -> bool:
        return any(known == zxid for known, _ in reversed(self.log)) or any(
            known == zxid for known, _ in reversed(self.snapshot)
        )


@dataclass
class Book:
    """What the whole ensemble has promised so far."""

    members: Members
    disks: dict[int, Durable]
    committed: list[Record] = field(default_factory=list)
    contents: dict[int, bytes] = field(default_factory=dict)
    leaders: dict[int, int] = field(default_factory=dict)  # epoch -> server
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def on_proposed(self, zxid: int, payload: bytes) -> None:
        if self.contents.setdefault(zxid, payload) != payload:
            raise Violation(f"I3: two transactions are {zxid:#x}")

    def on_leader(self, sid: int, epoch: int, history: list[Record]) -> None:
        """A leader is established: its history is committed, and holds all that was."""
        if self.leaders.setdefault(epoch, sid) != sid:
            raise Violation(f"I1: servers {self.leaders[epoch]} and {sid} both lead {epoch}")
        if history[: len(self.committed)] != self.committed:
            raise Violation(f"I10: server {sid} leads epoch {epoch} without {self.lacks(history)}")
        self.committed = list(history)
        for zxid, _ in history[-1:]:
            self.check_durable(zxid)

    def lacks(self, history: list[Record]) -> str:
        for at, record in enumerate(self.committed):
            if at >= len(history) or history[at] != record:
                other = f"{history[at][0]:#x}" if at < len(history) else "nothing"
                return f"{record[0]:#x}, it has {other} there"
        return "nothing"

    def on_committed(self, sid: int, place: int, record: Record, by_leader: bool) -> None:
        """A server commits a transaction as its `place`th."""
        if place < len(self.committed):
            if self.committed[place] != record:
                raise Violation(
                    f"I2: server {sid} commits {record[0]:#x} in the place of "
                    f"{self.committed[place][0]:#x}"
                )
            return
        if not by_leader:
            raise Violation(f"I3: server {sid} commits {record[0]:#x} before any leader did")
        if place != len(self.committed):
            raise Violation(f"I5: server {sid} commits {record[0]:#x} as number {place}")
        self.committed.append(record)
        self.check_durable(record[0])

    def on_prefix(self, sid: int, history: list[Record]) -> None:
        """A learner begins to serve: all that it has applied is committed."""
        if history != self.committed[: len(history)]:
            raise Violation(f"I2: server {sid} serves a history that is not the committed one")

    def check_durable(self, zxid: int) -> None:
        """I9: committed means that a quorum's disks hold it."""
        holders = {sid for sid, disk in self.disks.items() if disk.holds(zxid)}
        if not self.members.is_quorum(holders):
            raise Violation(f"I9: {zxid:#x} is committed, durable at {sorted(holders)} only")


class CoreNode(Peered, Host):
    """One server: a peer, its list of transactions, its disk."""

    def __init__(
        self, machine: Machine, book: Book, timing: Timing, recent_max: int, disk_diff_odds: float
    ) -> None:
        Peered.__init__(self, machine)
        self.book = book
        self.timing = timing
        self.recent_max = recent_max
        self.disk_diff_odds = disk_diff_odds
        self.disk = book.disks[machine.sid]
        self.tree: list[Record] = []
        self.gathering: list[Record] = []
        self.log_busy = False
        self.was_idle = True
        self.incoming = b""
        self.is_serving = False
        self.state = 0
        self.syncs: deque[int] = deque()
        self.roles = 0  # counts them: what one began ends with it

    def start(self) -> None:
        disk = self.disk
        if disk.cached:
            kept = self.machine.rng.randrange(len(disk.cached) + 1)
            disk.log += disk.cached[:kept]
            disk.cached = []
        self.tree = disk.history()
        self.peer = Peer(
            self,
            self.machine.sid,
            Configuration(self.book.members, None, False),
            self.timing,
            disk.accepted,
            disk.current,
        )
        self.set_clocks()
        self.machine.network.elections.start(self.machine.sid, self)
        self.peer.start()

    def get_peer(self) -> Peer:
        return self.peer

    def set_clocks(self) -> None:
        self.peer.now_ms = self.machine.clock.monotonic_ms()

    # The loop

    def on_time(self) -> None:
        self.set_clocks()
        self.peer.on_time()

    def end_turn(self) -> None:
        self.set_clocks()
        self.peer.end_turn()
        if self.gathering and not self.log_busy:
            self.log_busy = True
            batch, self.gathering = self.gathering, []
            habits = self.machine.habits
            delay = habits.sync_us + int(habits.sync_jitter_us * self.machine.rng.random())
            delay += int(habits.slow_sync_us * self.machine.rng.random())
            self.disk.cached += batch
            self.world.after(delay, self.synced, self.machine.life, batch)
        self.flush_links()
        self.deadline_ms = int(self.peer.deadline_ms())

    def synced(self, life: int, batch: list[Record]) -> None:
        """The log's process is done with a batch."""
        if life != self.machine.life:
            return
        try:
            self.effect("append")
        except PowerCut as cut:
            self.machine.lose_power(cut)
            return
        except StorageError as error:
            self.machine.stopped_by(error)
            return
        self.disk.log += batch
        del self.disk.cached[: len(batch)]
        self.machine.put(self.logged, batch[-1][0])

    def logged(self, zxid: int) -> None:
        self.set_clocks()
        self.log_busy = False
        self.peer.on_logged(zxid)
        if not self.gathering:
            self.peer.on_log_idle()

    # The disk

    def effect(self, what: str) -> None:
        self.machine.disk.effect(what)

    def save_accepted_epoch(self, epoch: int) -> None:
        self.effect(f"save accepted epoch {epoch}")
        assert epoch >= self.disk.accepted
        self.disk.accepted = int(epoch)

    def save_current_epoch(self, epoch: int) -> None:
        self.effect(f"save current epoch {epoch}")
        if not self.disk.current <= epoch <= self.disk.accepted:
            raise Violation(f"currentEpoch {epoch} after {self.disk.current}, {self.disk.accepted}")
        self.disk.current = int(epoch)

    def append(self, zxid: int, payload: bytes) -> None:
        self.gathering.append((int(zxid), payload))

    def log_is_idle(self) -> bool:
        return not self.log_busy and not self.gathering

    def truncate(self, zxid: int, reload: bool) -> bool:
        self.book.count("TRUNC")
        assert self.log_is_idle()
        disk = self.disk
        if disk.snapshot and zxid == disk.snapshot[-1][0]:
            self.effect("truncate")
            disk.log = []
        elif any(known == zxid for known, _ in disk.log):
            self.effect("truncate")
            disk.log = [record for record in disk.log if record[0] <= zxid]
        else:
            return False
        if reload:
            self.tree = disk.history()
        elif self.tree != disk.history()[: len(self.tree)]:
            raise Violation(f"I2: the tree of server {self.machine.sid} holds what was cut")
        return True

    def begin_snapshot(self, zxid: int) -> None:
        self.book.count("SNAP")
        self.incoming = b""
        self.tree = []

    def take_snapshot(self, chunk: bytes) -> bytes | None:
        self.incoming += chunk
        at = 0
        records = []
        while True:
            if len(self.incoming) < at + PIECE:
                return None
            zxid = int.from_bytes(self.incoming[at : at + 8], "big")
            size = int.from_bytes(self.incoming[at + 8 : at + PIECE], "big")
            at += PIECE
            if zxid == 0:
                break
            if len(self.incoming) < at + size:
                return None
            records.append((zxid, self.incoming[at : at + size]))
            at += size
        self.tree = records
        return self.incoming[at:]

    def install_snapshot(self) -> None:
        assert self.log_is_idle()
        delay = self.machine.rng.randrange(SNAPSHOT_SYNC_US)
        self.world.after(delay, self.installed, self.machine.life, self.roles, list(self.tree))

    def installed(self, life: int, role: int, tree: list[Record]) -> None:
        if life != self.machine.life or role != self.roles:
            return
        try:
            self.effect("install")
        except PowerCut as cut:
            self.machine.lose_power(cut)
            return
        except StorageError as error:
            self.machine.stopped_by(error)
            return
        self.disk.snapshot = tree
        self.disk.log = []
        self.machine.put(self.call, lambda: self.peer.on_snapshot_installed())

    def reload(self) -> None:
        self.tree = self.disk.history()

    # The tree

    def check(self, proposal: Proposal) -> None:
        """They have no meaning."""

    def apply(self, proposal: Proposal) -> None:
        if not self.tree or proposal.zxid > self.tree[-1][0]:
            self.tree.append((int(proposal.zxid), proposal.payload))

    def commit(self, proposal: Proposal) -> None:
        record = (int(proposal.zxid), proposal.payload)
        if self.tree and record[0] <= self.tree[-1][0]:
            raise Violation(f"I5: server {self.machine.sid} commits {record[0]:#x} again")
        leads = self.peer.leader is not None
        self.book.on_committed(self.machine.sid, len(self.tree), record, leads)
        self.tree.append(record)

    # For those who are behind

    def last_zxid(self) -> int:
        return self.tree[-1][0] if self.tree else 0

    def recent(self) -> list[Proposal]:
        if not self.recent_max:
            return []
        return [Proposal(zxid, payload) for zxid, payload in self.tree[-self.recent_max :]]

    def read_log(self, after: int, up_to: int) -> list[Proposal] | None:
        """The log behind the last snapshot; it begins where the snapshot ends."""
        if self.machine.rng.random() >= self.disk_diff_odds:
            return None
        disk = self.disk
        base = disk.snapshot[-1][0] if disk.snapshot else 0
        if after != base and not any(zxid == after for zxid, _ in disk.log):
            return None
        found = [Proposal(zxid, payload) for zxid, payload in disk.log if after < zxid <= up_to]
        if not found or found[-1].zxid != up_to:
            return None  # the tree is ahead of the disk
        self.book.count("DIFF from disk")
        return found

    def send_snapshot(self, link: Link) -> None:
        for zxid, payload in self.tree:
            link.out.write(zxid.to_bytes(8, "big") + len(payload).to_bytes(4, "big") + payload)
        link.out.write(bytes(PIECE))

    # Serving

    def begin_serving(self, state: int, epoch: int) -> None:
        self.is_serving = True
        self.state = int(state)
        self.peer.on_served(epoch)
        self.book.count(f"serving as {peers.STATE_NAMES[int(state)]}")
        if state == peers.LEADING:
            self.book.on_leader(self.machine.sid, int(epoch), self.tree)
        else:
            self.book.on_prefix(self.machine.sid, self.tree)

    def stop_serving(self, reason: str) -> None:
        self.roles += 1
        self.is_serving = False
        self.syncs.clear()

    def on_request(self, sid: int, data: bytes, ids: object) -> None:
        if data == b"sync":
            leader = self.peer.leader
            assert leader is not None
            leader.sync(sid, 0)
        else:
            self.propose(data)

    def on_revalidate(self, sid: int, session_id: int, timeout_ms: int) -> bool:
        return True

    def on_revalidated(self, session_id: int, valid: bool) -> None:
        pass

    def on_touches(self, data: bytes) -> None:
        pass

    def take_touches(self) -> bytes:
        return b""

    def on_synced(self, session_id: int) -> None:
        """A5: this server has everything that was committed when the sync was asked for."""
        self.book.count("sync")
        if not self.syncs:
            raise ProtocolError("a SYNC that nobody asked for")
        wanted = self.syncs.popleft()
        if len(self.tree) < wanted:
            raise Violation(f"A5: server {self.machine.sid} has {len(self.tree)} of {wanted}")

    def propose_members(self, members: Members | None) -> None:
        raise AssertionError("the members do not change here")

    def use_members(self, members: Members) -> None:
        raise AssertionError("the members do not change here")

    def report(self, text: str) -> None:
        self.world.tell(lambda: f"server {self.machine.sid}: {text}")

    # What a client would do

    def propose(self, payload: bytes) -> None:
        leader = self.peer.leader
        if leader is None or leader.phase != SERVING or leader.resigned:
            return
        zxid = int(self.peer.next_zxid())
        self.book.on_proposed(zxid, payload)
        self.peer.propose(Proposal(zxid, payload))
        self.peer.check_roles()

    def ask(self, payload: bytes) -> None:
        """A write, or b"sync", of a client of this server."""
        self.set_clocks()
        if not self.is_serving:
            return
        if payload == b"sync":
            self.syncs.append(len(self.book.committed))
        learner = self.peer.learner
        if learner is not None:
            learner.forward(payload, b"\xff\xff\xff\xff")
        elif payload == b"sync":
            self.peer.sync(0)
        else:
            self.propose(payload)


def digest_of(history: list[Record]) -> str:
    """A short name for a history."""
    text = hashlib.blake2b(digest_size=4)
    for zxid, payload in history:
        text.update(b"%d %d " % (zxid, len(payload)) + payload)
    return text.hexdigest()
