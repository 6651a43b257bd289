"""The network: connections as two FIFOs of bytes, and the election messages' slots of one.

TCP's promises hold and no others: bytes come in order and unchanged, in pieces of any size, after
any delay, or the connection ends. A blocked direction holds what is on its way until it is freed or
the connection has ended; the other end may hear of an end late or never (trust.md F11-F15).
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.sim.world import World

CONNECT_TIMEOUT_US = 1_000_000
REFUSED_AFTER_US = 200
REDIAL_US = 300_000

Place = int | str  # a server's id, a client's name


@dataclass
class Pace:
    """How long things take on the way, in microseconds."""

    least_us: int = 100
    jitter_us: int = 300
    spike_us: int = 0  # now and then this much more
    spike_odds: float = 0.0
    pieces: bool = True  # whether writes arrive in pieces

    def delay(self, rng: random.Random) -> int:
        delay = self.least_us + int(rng.random() * self.jitter_us)
        if self.spike_odds and rng.random() < self.spike_odds:
            delay += int(rng.random() * self.spike_us)
        return delay


class End:
    """One end of a connection. `owner` sets the callbacks; none of them comes after `close`."""

    def __init__(self, network: "Network", here: Place, there: Place) -> None:
        self.network = network
        self.here = here
        self.there = there
        self.other: End | None = None
        self.is_open = True
        self.on_bytes: Callable[[bytes], None] = ignore
        self.on_closed: Callable[[str], None] = ignore
        self.flying: deque[bytes | None] = deque()  # towards the other end; None: the end of it
        self.arrival_us = 0  # of the last piece that was sent
        self.cut_after = -1  # so many bytes more, then the connection breaks
        self.flip_after = -1  # so many bytes more, then a bit is another one than it was

    def send(self, data: bytes) -> None:
        """Bytes on their way to the other end."""
        if not self.is_open or not data:
            return
        if 0 <= self.flip_after < len(data):
            data = self.network.flipped(data, self.flip_after)
            self.network.world.note(f"flip {self.here}->{self.there}")
            self.flip_after = -1
        elif self.flip_after > 0:
            self.flip_after -= len(data)
        if 0 <= self.cut_after < len(data):
            data = data[: self.cut_after]
            self.cut_after = 0
            if data:
                self.fly(data)
            self.network.world.note(f"cut {self.here}->{self.there} mid-message")
            self.break_off("cut")
            return
        if self.cut_after > 0:
            self.cut_after -= len(data)
        rng = self.network.rng
        if self.network.pace.pieces and len(data) > 1 and rng.random() < 0.05:
            at = rng.randrange(1, len(data))
            self.fly(data[:at])
            data = data[at:]
        self.fly(data)

    def fly(self, piece: bytes | None) -> None:
        network = self.network
        world = network.world
        self.flying.append(piece)
        self.arrival_us = max(self.arrival_us, world.now_us + network.delay(self.here, self.there))
        world.after(self.arrival_us - world.now_us, self.land)

    def land(self) -> None:
        """The oldest piece arrives, unless the way is blocked: then it waits for `freed`."""
        if not self.flying:
            return
        if (self.here, self.there) in self.network.blocked:
            self.network.held.setdefault((self.here, self.there), []).append(self)
            return
        piece = self.flying.popleft()
        other = self.other
        assert other is not None
        world = self.network.world
        if not other.is_open:
            if piece is not None and self.there not in self.network.dark:
                world.after(self.network.delay(self.there, self.here), self.fail, "reset")
            return
        if piece is None:
            world.note(f"end {self.here}->{self.there}")
            other.is_open = False
            self.network.forget(other)
            other.on_closed("the other end closed the connection")
        else:
            world.note(f"{self.here}->{self.there} {len(piece)}", piece)
            other.on_bytes(piece)

    def close(self) -> None:
        """End it from here, in order: what was sent still arrives."""
        if self.is_open:
            self.is_open = False
            self.network.forget(self)
            self.fly(None)

    def vanish(self) -> None:
        """The machine is without power: the other end hears nothing."""
        self.is_open = False
        self.network.forget(self)
        self.flying.clear()

    def break_off(self, reason: str) -> None:
        """Both ends see an error, each after a while."""
        other = self.other
        assert other is not None
        for end in (self, other):
            end.network.world.after(end.network.delay(end.there, end.here), end.fail, reason)

    def fail(self, reason: str) -> None:
        if self.is_open:
            self.is_open = False
            self.flying.clear()
            self.network.forget(self)
            self.on_closed(reason)


def ignore(*_: Any) -> None:
    """Nobody listens."""


class Network:
    """Who can reach whom, and every connection that is open."""

    def __init__(self, world: World, pace: Pace) -> None:
        self.world = world
        self.pace = pace
        self.rng = world.random("network")
        self.blocked: set[tuple[Place, Place]] = set()
        self.held: dict[tuple[Place, Place], list[End]] = {}
        self.slow: dict[Place, int] = {}  # more delay to and from a place
        self.dark: set[Place] = set()  # machines without power: nothing answers there
        self.acceptors: dict[tuple[Place, str], Callable[[End], None]] = {}
        self.ends: dict[End, None] = {}
        self.elections = Elections(self)
        self.flips = 0

    def delay(self, here: Place, there: Place) -> int:
        delay = self.pace.delay(self.rng)
        if self.slow:
            delay += self.slow.get(here, 0) + self.slow.get(there, 0)
        return delay

    def flipped(self, data: bytes, at: int) -> bytes:
        """A bit changes on the way, and TCP's sum does not show it (F24)."""
        self.flips += 1
        return data[:at] + bytes([data[at] ^ 1 << self.rng.randrange(8)]) + data[at + 1 :]

    def listen(self, place: Place, port: str, accept: Callable[[End], None]) -> None:
        self.acceptors[place, port] = accept

    def stop_listening(self, place: Place, port: str) -> None:
        self.acceptors.pop((place, port), None)

    def connect(
        self,
        here: Place,
        there: Place,
        port: str,
        on_open: Callable[[End], None],
        on_failed: Callable[[str], None],
        timeout_us: int = CONNECT_TIMEOUT_US,
    ) -> None:
        """A new connection, or the reason why there is none."""
        self.world.after(
            self.delay(here, there),
            self.arrive,
            here,
            there,
            port,
            on_open,
            on_failed,
            self.world.now_us + timeout_us,
        )

    def arrive(
        self,
        here: Place,
        there: Place,
        port: str,
        on_open: Callable[[End], None],
        on_failed: Callable[[str], None],
        until_us: int,
    ) -> None:
        world = self.world
        if (here, there) in self.blocked or (there, here) in self.blocked:
            if world.now_us >= until_us:
                on_failed("timed out")
            else:
                again = (here, there, port, on_open, on_failed, until_us)
                world.after(100_000, self.arrive, *again)
            return
        accept = self.acceptors.get((there, port))
        if accept is None:
            if there in self.dark and world.now_us < until_us:
                world.after(100_000, self.arrive, here, there, port, on_open, on_failed, until_us)
                return
            world.after(REFUSED_AFTER_US, on_failed, "connection refused")
            return
        ours, theirs = End(self, here, there), End(self, there, here)
        ours.other, theirs.other = theirs, ours
        self.ends[ours] = None
        self.ends[theirs] = None
        world.note(f"connect {here}->{there} {port}")
        accept(theirs)
        world.after(self.delay(there, here), self.opened, ours, on_open)

    def opened(self, end: End, on_open: Callable[[End], None]) -> None:
        # What the other end sent meanwhile is still behind this in time: `open` comes first.
        on_open(end)

    def forget(self, end: End) -> None:
        self.ends.pop(end, None)

    def of(self, place: Place) -> list[End]:
        """The open ends at a place."""
        return [end for end in self.ends if end.here == place]

    def block(self, here: Place, there: Place) -> None:
        """Nothing passes in this direction until `free`."""
        self.blocked.add((here, there))

    def free(self, here: Place, there: Place) -> None:
        self.blocked.discard((here, there))
        held = self.held.pop((here, there), [])
        # In order: each piece takes its delay again, and FIFO holds by the time of sending.
        for end in held:
            end.arrival_us = max(end.arrival_us, self.world.now_us + self.delay(here, there))
            self.world.after(end.arrival_us - self.world.now_us, end.land)
        self.elections.freed(here, there)

    def free_all(self) -> None:
        for here, there in sorted(self.blocked, key=str):
            self.free(here, there)
        self.slow.clear()


class Elections:
    """Election messages: a slot of one for each pair, kept until it can be sent (election.md 1).

    A connection comes up when somebody has something to say, and then both ends send their last
    message again. What replaces an unsent message is all that the other end gets.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.hosts: dict[int, ElectionHost] = {}
        self.up: set[tuple[int, int]] = set()  # smaller id first
        self.slots: dict[tuple[int, int], bytes] = {}
        self.last: dict[tuple[int, int], bytes] = {}
        self.flying: dict[tuple[int, int], int] = {}  # what is on its way, by a number
        self.sent = 0
        self.dialling: set[tuple[int, int]] = set()
        self.to_flip = 0  # so many of the next messages arrive with a bit changed

    def start(self, sid: int, host: "ElectionHost") -> None:
        self.hosts[sid] = host

    def stop(self, sid: int, silent: bool) -> None:
        """The process is gone; `silent`: with its machine, nobody hears of it."""
        self.hosts.pop(sid, None)
        for key in [key for key in self.up if sid in key]:
            other = key[0] if key[1] == sid else key[1]
            self.up.discard(key)
            self.flying.pop((sid, other), None)
            self.flying.pop((other, sid), None)
            if not silent:
                self.network.world.after(
                    self.network.delay(sid, other), self.tell_unreachable, other, sid
                )
        for pair in [pair for pair in self.slots if pair[0] == sid]:
            del self.slots[pair]
        for pair in [pair for pair in self.last if pair[0] == sid]:
            del self.last[pair]

    def tell_unreachable(self, sid: int, other: int) -> None:
        host = self.hosts.get(sid)
        if host is not None and pair_of(sid, other) not in self.up:
            host.on_unreachable(other)

    def send(self, sid: int, other: int, frame: bytes) -> None:
        """Put a message into the slot; it replaces one that has not left."""
        self.slots[sid, other] = frame
        if pair_of(sid, other) in self.up:
            self.pump(sid, other)
        else:
            self.dial(sid, other)

    def dial(self, sid: int, other: int) -> None:
        if (sid, other) not in self.dialling:
            self.dialling.add((sid, other))
            delay = self.network.delay(sid, other) + self.network.delay(other, sid)
            until_us = self.network.world.now_us + CONNECT_TIMEOUT_US
            self.network.world.after(delay, self.dialled, sid, other, until_us)

    def dialled(self, sid: int, other: int, until_us: int) -> None:
        world = self.network.world
        blocked = self.network.blocked
        pair = pair_of(sid, other)
        if sid not in self.hosts or pair in self.up:
            self.dialling.discard((sid, other))
            return
        if (sid, other) in blocked or (other, sid) in blocked:
            if world.now_us < until_us:
                world.after(100_000, self.dialled, sid, other, until_us)
                return
        elif other in self.hosts:
            self.dialling.discard((sid, other))
            self.up.add(pair)
            world.note(f"election {sid}-{other} up")
            for here, there in ((sid, other), (other, sid)):
                if (here, there) in self.last:
                    self.slots.setdefault((here, there), self.last[here, there])
                self.hosts[here].on_reachable(there)
                self.pump(here, there)
            return
        self.hosts[sid].on_unreachable(other)
        if (sid, other) in self.slots:
            world.after(REDIAL_US, self.dialled, sid, other, world.now_us + CONNECT_TIMEOUT_US)
        else:
            self.dialling.discard((sid, other))

    def pump(self, sid: int, other: int) -> None:
        if (sid, other) in self.slots and (sid, other) not in self.flying:
            self.sent += 1
            self.flying[sid, other] = self.sent
            frame = self.slots.pop((sid, other))
            self.last[sid, other] = frame
            delay = self.network.delay(sid, other)
            self.network.world.after(delay, self.land, sid, other, frame, self.sent)

    def land(self, sid: int, other: int, frame: bytes, number: int) -> None:
        if self.flying.get((sid, other)) != number:
            return  # that connection is gone
        if (sid, other) in self.network.blocked:
            self.network.world.after(50_000, self.land, sid, other, frame, number)
            return
        del self.flying[sid, other]
        host = self.hosts.get(other)
        if host is not None:
            if self.to_flip > 0:
                self.to_flip -= 1
                frame = self.network.flipped(frame, self.network.rng.randrange(4, len(frame)))
            self.network.world.note(f"election {sid}->{other}", frame)
            host.on_notification(sid, frame)
        self.pump(sid, other)

    def freed(self, here: Place, there: Place) -> None:
        """Messages look by themselves whether their way is free again."""


class ElectionHost:
    """Who takes a server's election messages."""

    def on_notification(self, sid: int, frame: bytes) -> None:
        raise NotImplementedError

    def on_unreachable(self, sid: int) -> None:
        raise NotImplementedError

    def on_reachable(self, sid: int) -> None:
        raise NotImplementedError


def pair_of(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)
