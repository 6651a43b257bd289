"""Disks that lose or change what was on them: F4, F6, F7 and F8 of trust.md 3.2.

No server can keep a promise with a disk that has forgotten it; what must hold is that the ensemble
does, as long as these things happen to a minority of the voters at a time, and that no server goes
on with data that is not what it wrote. One that refuses its data says so, and its operator does
what the message says: the data are set aside, and the server copies the ensemble's.
"""

import random
from collections.abc import Callable

from ensemble.storage.logreader import LogReader
from ensemble.storage.txnlog import FILE_HEADER_BYTES
from tests.sim.faults import Faults
from tests.sim.machine import LAYOUT, Machine
from tests.storage.simdisk import SECTOR, Inode, SimDisk

DECAYS = (
    "lost_folder",
    "rotten_log",
    "swapped_records",
    "misdirected_block",
    "rotten_snapshot",
    "rotten_snapshots",
    "lying_disk",
)
ADVICE = "data aside"  # what the message of a server says that refuses its data
LOOK_US = 20_000
LIE_US = 1_500_000  # at most so long before the power goes


class Decay(Faults):
    """The faults of every run, and these. `is_serving` says whether a server has the history."""

    is_serving: Callable[[int], bool]

    def arm(self, voters: int, is_serving: Callable[[int], bool]) -> None:
        """Before the run begins."""
        self.voters = voters
        self.is_serving = is_serving
        self.counts: dict[str, int] = {}
        # Whose data are not what they were, until it serves with the ensemble's; for each the files
        # that are damaged.
        self.unsound: dict[int, set[str]] = {}
        self.calm = False  # nothing else may go wrong just now
        for machine in self.machines.values():
            machine.on_refusal = self.refused

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def next(self) -> None:
        if self.calm and not self.over:
            self.world.after(LOOK_US, self.next)
        else:
            super().next()

    # Who may be hurt

    def victim(self) -> Machine | None:
        """Somebody whose data may go: a minority is hurt at a time, and only when every voter has
        a transaction. Before that nobody can tell one that lost its data from a new one."""
        for sid in list(self.unsound):
            self.look_after(sid)
        hurt = sum(1 for sid in self.unsound if sid <= self.voters)
        ends = [self.machines[sid].durable_zxid for sid in range(1, self.voters + 1)]
        if min(ends) == 0:
            return None
        able = [sid for sid in sorted(self.machines) if sid not in self.unsound]
        if hurt >= (self.voters - 1) // 2:
            able = [sid for sid in able if sid > self.voters]
        up = [sid for sid in able if self.machines[sid].is_up]
        return self.machines[self.rng.choice(up)] if up else None

    def look_after(self, sid: int) -> None:
        """Sound again: it serves, and no file that was damaged is there any more."""
        files = self.unsound[sid]
        files.intersection_update(self.machines[sid].disk.files)
        if not files and self.is_serving(sid):
            del self.unsound[sid]
            self.machines[sid].forgetful = False

    def hurt(self, machine: Machine, files: set[str]) -> None:
        self.unsound[machine.sid] = files
        machine.forgetful = True

    # F8

    def lost_folder(self) -> None:
        """The whole disk is gone; the server starts on an empty one."""
        machine = self.victim()
        if machine is None:
            return
        self.count("folder lost")
        machine.kill()
        self.hurt(machine, set())
        machine.disk = SimDisk()
        machine.restart_later(self.a_while(1_000, 2_000_000))

    def refused(self, machine: Machine, error: Exception) -> None:
        """A server does not start, or stops. Its operator does what it says, if it is damaged."""
        if ADVICE not in str(error):
            return
        if machine.sid in self.unsound:
            self.world.note(f"server {machine.sid}: data set aside")
            self.count("refused and set aside")
            self.unsound[machine.sid] = set()
            machine.disk = SimDisk()

    # F6, F7

    def rotten_log(self) -> None:
        self.rot(flip_in_record, "log rotten")

    def swapped_records(self) -> None:
        self.rot(swap_records, "records swapped")

    def misdirected_block(self) -> None:
        self.rot(misdirect_block, "block misdirected")

    def rot(self, change: "Change", what: str) -> None:
        """Something in the middle of a log changes; under a running server or one that is down."""
        machine = self.victim()
        if machine is None:
            return
        down = self.rng.random() < 0.7
        if down:
            machine.kill()
            machine.restart_later(self.a_while(1_000, 500_000))
        disk = machine.disk
        paths = [path for _, path in LAYOUT.logs(disk)]
        self.rng.shuffle(paths)
        for path in paths:
            if change(self.rng, disk.files[path], offsets_of(disk, path)):
                self.count(what)
                self.hurt(machine, {path})
                return

    def rotten_snapshot(self) -> None:
        self.rot_snapshots(1)

    def rotten_snapshots(self) -> None:
        self.rot_snapshots(100)

    def rot_snapshots(self, newest: int) -> None:
        machine = self.victim()
        if machine is None:
            return
        machine.kill()
        machine.restart_later(self.a_while(1_000, 500_000))
        files = [path for _, path in sorted(LAYOUT.snapshots(machine.disk))][-newest:]
        for path in files:
            flip(self.rng, machine.disk.files[path], 0, len(machine.disk.files[path].live))
            self.count("snapshot rotten")
        self.hurt(machine, set(files))

    # F4

    def lying_disk(self) -> None:
        """A disk says that it has synced, and has not; then the power goes.

        What only this disk and another one had acknowledged is then on one disk. No protocol that
        counts acknowledgements saves it if that one is gone, too: so nothing else goes wrong while
        this server comes back.
        """
        machine = self.victim()
        if machine is None or not self.is_calm() or machine.disk.lies:
            return
        machine.disk.lies = True
        self.world.after(self.a_while(20_000, LIE_US), self.truth, machine, machine.life)

    def is_calm(self) -> bool:
        """Everybody serves, and nothing is in the way of it."""
        network = self.network
        return (
            not (network.blocked or network.slow or self.unsound or self.calm or self.over)
            and all(self.is_serving(sid) for sid in self.machines)
            and not any(
                machine.paused
                or machine.habits.slow_sync_us
                or machine.disk.fail_at >= 0
                or machine.disk.cut_at >= 0
                or machine.disk.cut_before
                for machine in self.machines.values()
            )
            and not any(end.cut_after >= 0 for end in network.ends)
        )

    def truth(self, machine: Machine, life: int) -> None:
        """The power goes while all is well otherwise; else the disk writes what it owes."""
        if machine.life != life or not self.is_calm():
            machine.disk.write_back()
            return
        self.count("disk lied")
        self.calm = True
        self.hurt(machine, set())
        machine.end(silent=True)
        self.network.dark.add(machine.sid)
        machine.disk = machine.disk.after_cut(
            self.rng.choice(("all lost", "any subset")), self.rng.randrange(1 << 30)
        )
        # The others have a leader by then, whoever led.
        wait_us = 1_000 * self.plan.tick_ms * self.plan.sync_limit + 500_000
        machine.restart_later(wait_us)
        self.world.after(wait_us + LOOK_US, self.comes_back, machine)

    def comes_back(self, machine: Machine) -> None:
        if not self.over and not self.is_serving(machine.sid):
            self.world.after(LOOK_US, self.comes_back, machine)
            return
        self.calm = False
        if self.is_serving(machine.sid):
            self.look_after(machine.sid)


Change = Callable[[random.Random, Inode, list[int]], bool]


def offsets_of(disk: SimDisk, path: str) -> list[int]:
    """Where the records of a log begin, and where the last one ends."""
    reader = LogReader(disk, path)
    found = []
    try:
        while (record := reader.next_record()) is not None:
            found.append(record.offset)
            end = record.offset + 13 + len(record.payload)
    finally:
        reader.close()
    return [*found, end] if found else []


def put(inode: Inode, at: int, data: bytes) -> None:
    """At rest: on the platter and, when it is read again, in the cache."""
    inode.live[at : at + len(data)] = data
    stable = bytearray(inode.stable)
    if at + len(data) <= len(stable):
        stable[at : at + len(data)] = data
    inode.stable = bytes(stable)


def flip(rng: random.Random, inode: Inode, begin: int, end: int) -> None:
    at = rng.randrange(begin, end)
    put(inode, at, bytes([inode.live[at] ^ 1 << rng.randrange(8)]))


def flip_in_record(rng: random.Random, inode: Inode, offsets: list[int]) -> bool:
    """Not in the last one: that it is damaged looks like a write that was torn (trust.md F3)."""
    if len(offsets) < 3:
        return False
    flip(rng, inode, FILE_HEADER_BYTES, offsets[-2])
    return True


def swap_records(rng: random.Random, inode: Inode, offsets: list[int]) -> bool:
    if len(offsets) < 4:
        return False
    first = rng.randrange(len(offsets) - 3)
    a, b, c = offsets[first : first + 3]
    data = bytes(inode.live)
    put(inode, a, data[b:c] + data[a:b])
    return True


def misdirect_block(rng: random.Random, inode: Inode, offsets: list[int]) -> bool:
    """A block of the file is written where another one belongs."""
    blocks = (offsets[-2] if len(offsets) > 2 else 0) // SECTOR
    if blocks < 2:
        return False
    here, there = rng.sample(range(blocks), 2)
    data = bytes(inode.live)
    if data[here * SECTOR : (here + 1) * SECTOR] == data[there * SECTOR : (there + 1) * SECTOR]:
        return False
    put(inode, there * SECTOR, data[here * SECTOR : (here + 1) * SECTOR])
    return True
