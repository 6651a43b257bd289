"""A machine: a disk that outlives processes, clocks that err, and the process that runs on it.

The process is a `Program`; the machine brings it its input in turns, as an event loop does, stops
it at any effect on the disk, and starts it again on what the disk then holds. A pause holds its
turns; a machine without power answers nothing.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ensemble.errors import ConfigError, StorageError
from ensemble.server.log_batch import LogBatch
from ensemble.server.log_port import LogPort
from ensemble.storage.layout import Layout
from ensemble.storage.txnlog import TxnLog
from ensemble.wire.jute import reader_of
from tests.sim.network import Network
from tests.sim.world import World
from tests.storage.simdisk import Fate, PowerCut, SimDisk

LAYOUT = Layout("/srv/data")
NEVER_MS = 1 << 61
FATES: tuple[Fate, ...] = ("all lost", "any subset", "any subset", "all kept")
INBOX_MAX = 100_000  # inputs of one process that wait for their turn


@dataclass
class Habits:
    """How fast a machine is, in microseconds."""

    turn_us: int = 100  # from an input to the turn that takes it
    sync_us: int = 1_000
    sync_jitter_us: int = 2_000
    slow_sync_us: int = 0  # on top, while the disk is slow


class Clock:
    """A machine's own time: it starts anywhere, runs a little too fast or slow, and may jump."""

    def __init__(self, world: World, offset_ms: int, drift: float) -> None:
        self.world = world
        self.offset_ms = offset_ms
        self.drift = drift
        self.wall_jump_ms = 0

    def monotonic_ms(self) -> int:
        return self.offset_ms + int(self.world.now_us * (1 + self.drift)) // 1_000

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + self.world.now_us // 1_000 + self.wall_jump_ms

    def us_until(self, instant_ms: int) -> int:
        return max(0, int((instant_ms - self.monotonic_ms()) * 1_000 / (1 + self.drift)) + 500)


class Program:
    """A process. Each method is called inside a turn; an exception ends the process."""

    deadline_ms = NEVER_MS

    def start(self) -> None:
        raise NotImplementedError

    def on_time(self) -> None:
        raise NotImplementedError

    def end_turn(self) -> None:
        raise NotImplementedError


class Machine:
    """One server of the ensemble, with whatever happens to it."""

    def __init__(
        self, sid: int, world: World, network: Network, clock: Clock, habits: Habits
    ) -> None:
        self.sid = sid
        self.world = world
        self.network = network
        self.clock = clock
        self.habits = habits
        self.disk = SimDisk()
        self.rng = world.random(f"machine {sid}")
        self.make: Callable[[Machine], Program] | None = None
        self.program: Program | None = None
        self.life = 0
        self.paused = False
        self.paused_us = self.woke_us = 0
        self.inbox: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self.turn_is_due = False
        self.timer_ms = NEVER_MS
        self.failures: list[str] = []  # why processes ended by themselves
        self.restart_us = 200_000
        self.on_defect: Callable[[str], None] = lambda text: None
        self.on_refusal: Callable[[Machine, Exception], None] = lambda machine, error: None
        self.forgetful = False  # its disk does not hold any more what it held (`decay`)
        self.durable_zxid = 0  # the end of the history on the platter

    @property
    def is_up(self) -> bool:
        return self.program is not None

    # Processes begin and end

    def start(self) -> None:
        """A new process, on what the disk holds."""
        if self.program is not None:
            return
        assert self.make is not None
        self.life += 1
        self.paused = False
        self.network.dark.discard(self.sid)
        self.world.note(f"server {self.sid} starts")
        self.program = self.make(self)
        self.put(self.program.start)

    def kill(self) -> None:
        """The process is gone, what it wrote is in the page cache still (kill -9)."""
        self.end(silent=False)
        if self.disk.lies:
            self.disk.write_back()
        self.disk = self.disk.after_kill()

    def cut_power(self) -> None:
        """The machine is gone, with everything that is not on the platter."""
        self.end(silent=True)
        if self.disk.lies:
            self.disk.write_back()  # it lies to nobody who looks: see `decay.lying_disk`
        fate = self.rng.choice(FATES)
        self.disk = self.disk.after_cut(fate, self.rng.randrange(1 << 30))
        self.network.dark.add(self.sid)

    def lose_power(self, cut: PowerCut) -> None:
        """It went right before an effect on the disk; it comes back."""
        self.world.note(f"server {self.sid} loses power before: {cut}")
        self.cut_power()
        self.restart_later(self.restart_us)

    def end(self, silent: bool) -> None:
        self.life += 1
        self.program = None
        self.inbox.clear()
        self.turn_is_due = False
        self.timer_ms = NEVER_MS
        self.network.elections.stop(self.sid, silent)
        for port in ("client", "quorum"):
            self.network.stop_listening(self.sid, port)
        for end in self.network.of(self.sid):
            if silent:
                end.vanish()
            else:
                end.close()

    def restart_later(self, delay_us: int) -> None:
        self.world.after(delay_us, self.start)

    # Turns

    def put(self, call: Callable[..., None], *args: object) -> None:
        """Input for the process: taken in its next turn."""
        if self.program is None:
            return
        assert len(self.inbox) < INBOX_MAX, f"server {self.sid} does not get on"
        self.inbox.append((call, args))
        self.due()

    def due(self) -> None:
        if not self.turn_is_due and not self.paused:
            self.turn_is_due = True
            delay = 1 + int(self.habits.turn_us * (0.5 + self.rng.random()))
            self.world.after(delay, self.turn, self.life)

    def turn(self, life: int) -> None:
        """Everything that waits, then what the process does at the end of a turn."""
        if life != self.life or self.paused:
            return
        self.turn_is_due = False
        program = self.program
        assert program is not None
        try:
            while self.inbox and self.life == life:
                call, args = self.inbox.popleft()
                call(*args)
            if program.deadline_ms <= self.clock.monotonic_ms():
                program.on_time()
            program.end_turn()
            self.set_timer(program.deadline_ms)
        except PowerCut as cut:
            self.lose_power(cut)
        except (StorageError, ConfigError) as error:
            self.stopped_by(error)
        except Exception as error:
            self.on_defect(f"server {self.sid}: {type(error).__name__}: {error}")
            raise

    def stopped_by(self, error: Exception) -> None:
        """It fails and stops, as it should (trust.md F5, I19). Somebody starts it again."""
        self.failures.append(str(error))
        self.world.note(f"server {self.sid} stops: {error}")
        self.kill()
        self.disk.full = False
        self.disk.fail_at = -1
        self.on_refusal(self, error)
        self.restart_later(self.restart_us)

    def set_timer(self, deadline_ms: int) -> None:
        if deadline_ms >= NEVER_MS or deadline_ms == self.timer_ms:
            return
        self.timer_ms = deadline_ms
        self.world.after(self.clock.us_until(deadline_ms), self.on_timer, self.life, deadline_ms)

    def on_timer(self, life: int, deadline_ms: int) -> None:
        if life == self.life and deadline_ms == self.timer_ms:
            self.timer_ms = NEVER_MS
            self.due()

    def pause(self) -> None:
        self.paused = True
        self.paused_us = self.world.now_us
        self.world.note(f"server {self.sid} is paused")

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.woke_us = self.world.now_us
            self.turn_is_due = False
            self.world.note(f"server {self.sid} goes on")
            if self.program is not None:
                self.due()

    def stood_still_us(self, lately_us: int) -> int:
        """For how long it has stood still until now, or until some moment lately."""
        if self.paused:
            return self.world.now_us - self.paused_us
        woke_lately = self.world.now_us < self.woke_us + lately_us
        return self.woke_us - self.paused_us if woke_lately else 0


class SimLog(LogPort):
    """The log's process: writes and syncs a batch after a while, then says so.

    It is a process of its own: a pause of the server does not stop it, a crash does.
    """

    def __init__(self, machine: Machine, on_synced: Callable[[], None], prealloc_kb: int) -> None:
        self.machine = machine
        self.on_synced = on_synced
        self.log = TxnLog(machine.disk, LAYOUT, prealloc_kb)
        super().__init__()
        self.synced = 0
        self.batches: deque[bytes] = deque()
        self.failure: StorageError | None = None

    def submit(self, batch: LogBatch) -> None:
        assert not self.busy, "one batch at a time"
        self.busy = True
        habits = self.machine.habits
        delay = habits.sync_us + int(habits.sync_jitter_us * self.machine.rng.random())
        delay += int(habits.slow_sync_us * self.machine.rng.random())
        self.machine.world.after(
            delay, self.write, self.machine.life, batch.records.getvalue(), batch.roll
        )

    def write(self, life: int, records: bytes, roll: bool) -> None:
        machine = self.machine
        if life != machine.life:
            return
        try:
            self.synced = self.write_batch(records, roll)
            machine.durable_zxid = self.synced
        except PowerCut as cut:
            machine.lose_power(cut)
            return
        except StorageError as error:
            self.failure = error
        machine.put(self.on_synced)

    def write_batch(self, records: bytes, roll: bool) -> int:
        if roll:
            self.log.roll()
        reader = reader_of(records)
        zxid = 0
        while reader.remaining():
            zxid = int(reader.read_long())
            payload = reader.read_buffer()
            assert payload is not None
            self.log.append(zxid, payload)
        self.log.flush()
        return zxid

    def take_synced(self) -> int:
        """See `log_writer.LogWriter`.

        Raises:
            StorageError: the batch failed.
        """
        if self.failure is not None:
            raise self.failure
        self.busy = False
        return self.synced

    def end_file(self) -> None:
        """See `LogPort`."""
        assert not self.busy
        if self.failure is not None:
            raise self.failure
        self.log.roll()
