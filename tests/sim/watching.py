"""Checker A, rule 6: each armed watch gets exactly its first matching event, before later replies.

A client's trail is read from its beginning: replies arm watches, events use them up, a lost
connection puts them to sleep, setWatches wakes them and gives what was missed (client.md 13).
"""

from dataclasses import dataclass, field

from ensemble.wire import codes
from tests.sim.history import Connected, Event, Expired, History, Lost, Op, Pong, Trail
from tests.sim.model import CHANGED, CHILDREN, CREATED, DELETED, Change, Model

TYPES = {"data": (CREATED, DELETED, CHANGED), "child": (CHILDREN, DELETED)}
Key = tuple[str, bytes]  # (table, path)


@dataclass
class Watcher:
    """One client's watches as its servers should have them."""

    model: Model
    client: int
    armed: dict[Key, int] = field(default_factory=dict)  # -> zxid from which on
    awake: bool = False
    missed: list[Event] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expected(self, key: Key) -> Change | None:
        return self.model.next_change(key[1], TYPES[key[0]], self.armed[key])

    def arm(self, table: str, path: bytes, zxid: int) -> None:
        """One that is armed already stays as it is: the table holds it once."""
        self.armed.setdefault((table, path), zxid)

    def on_zxid(self, zxid: int, what: object) -> None:
        """Something with this zxid has come: every event up to it must be here."""
        if not self.awake:
            return
        for key in list(self.armed):
            change = self.expected(key)
            if change is not None and change.zxid <= zxid:
                self.wrong.append(
                    f"A6: client {self.client} has {what} "
                    f"before the event {change.type} {change.zxid:#x} of its {key[0]} watch "
                    f"on {key[1]!r}"
                )
                del self.armed[key]  # say it once

    def on_event(self, event: Event) -> None:
        if event.zxid == -1:
            self.missed.append(event)
            return
        self.on_zxid(event.zxid - 1, event)
        used = []
        for table in TYPES:
            key = (table, event.path)
            if self.awake and key in self.armed:
                change = self.expected(key)
                if change and (change.zxid, change.type) == (event.zxid, event.type):
                    used.append(key)
        if not used:
            self.wrong.append(
                f"A6: client {self.client} has an event that none is due for: {event}"
            )
        for key in used:
            del self.armed[key]

    def on_reply(self, op: Op) -> None:
        if op.kind == "set_watches":
            self.on_set_watches(op)
        self.on_zxid(op.zxid, op)
        if op.watch:
            if op.kind == "children" and op.error == 0:
                self.arm("child", op.path, op.zxid)
            elif op.error == 0 or (op.kind == "exists" and op.error == codes.NO_NODE):
                self.arm("data", op.path, op.zxid)

    def on_set_watches(self, op: Op) -> None:
        """What was missed must have come, no more and no less; the rest is armed again."""
        due: list[tuple[int, bytes]] = []
        self.armed.clear()
        for name, paths in op.lists.items():
            for path in paths:
                node = self.model.at(path, op.zxid)
                if name == "exist":
                    if node is None:
                        self.arm("data", path, op.zxid)
                    else:
                        due.append((CREATED, path))
                    continue
                changed = node is not None and op.relative_zxid < (
                    node.pzxid if name == "child" else node.mzxid
                )
                if node is None:
                    due.append((DELETED, path))
                elif changed:
                    due.append((CHILDREN if name == "child" else CHANGED, path))
                else:
                    self.arm(name, path, op.zxid)
        came = sorted((event.type, event.path) for event in self.missed)
        if came != sorted(due):
            self.wrong.append(
                f"A6: client {self.client} caught up with {came}, due were {sorted(due)}: {op}"
            )
        self.missed.clear()
        self.awake = True

    def run(self, trail: Trail) -> list[str]:
        for entry in trail.entries:
            if isinstance(entry, Connected):
                if not entry.resumed:
                    self.armed.clear()
                self.missed.clear()
                self.awake = not self.armed  # else setWatches comes first
            elif isinstance(entry, Lost):
                self.awake = False
                for event in self.missed:  # it cut in between: they count as heard
                    for table in TYPES:
                        if event.type in TYPES[table]:
                            self.armed.pop((table, event.path), None)
                self.missed.clear()
            elif isinstance(entry, Expired):
                self.armed.clear()
            elif isinstance(entry, Event):
                self.on_event(entry)
            elif isinstance(entry, Pong):
                self.on_zxid(entry.zxid, entry)
            else:
                self.on_reply(entry)
        return self.wrong


def check_watches(model: Model, history: History) -> list[str]:
    """A6 over all clients."""
    wrong = []
    for trail in history.trails:
        wrong += Watcher(model, trail.client).run(trail)
    return wrong
