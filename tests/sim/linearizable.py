"""Checker B: Wing and Gong's search as Lowe bettered it, znode by znode, without trusting a zxid.

It knows requests, answers and times only. A request without an answer may take effect at any later
time or never. At most ten clients per znode: beyond that the search does not end in time, and then
it says so (`Undecided`) rather than pass.
"""

from dataclasses import dataclass

from ensemble.wire import codes
from tests.sim.history import History, Op

STEPS_MAX = 2_000_000
CLIENTS_MAX = 10

State = tuple[int, bytes | None] | None  # (version, data), or None where there is no node


class Undecided(Exception):
    """The test asks for too much concurrency on one znode."""


@dataclass(slots=True)
class Call:
    """A request on one znode. `end_us` None: it never returned."""

    op: Op
    start_us: int
    end_us: int | None


class Mark:
    """A call's begin or its end, in a list that calls are taken out of and put back into."""

    __slots__ = ("call", "end", "next", "number", "previous")

    def __init__(self, call: Call | None, number: int) -> None:
        self.call = call  # None: the head, or an end
        self.number = number
        self.end: Mark | None = None
        self.previous: Mark | None = None
        self.next: Mark | None = None


def step(state: State, op: Op) -> tuple[bool, State]:
    """Whether the answer fits the state, and the state after it. Unanswered: what it would do."""
    error = op.error if op.is_done else None
    if op.kind == "create":
        if state is not None:
            return error in (None, codes.NODE_EXISTS), state
        return error in (None, 0), (0, op.data)
    if op.kind in ("get", "exists"):
        if state is None:
            return error == codes.NO_NODE, state
        fits = error == 0 and op.stat is not None and op.stat[4] == state[0]
        return fits and (op.kind == "exists" or op.value == state[1]), state
    if state is None:
        return error in (None, codes.NO_NODE), state
    if op.version not in (-1, state[0]):
        return error in (None, codes.BAD_VERSION), state
    if op.kind == "delete":
        return error in (None, 0), None
    after = (state[0] + 1, op.data)
    fits = error is None or (error == 0 and op.stat is not None and op.stat[4] == after[0])
    return fits, after


def is_linearizable(calls: list[Call], initial: State = None) -> bool:
    """Whether some order of the calls that respects real time explains every answer.

    Raises:
        Undecided: after STEPS_MAX steps.
    """
    head = Mark(None, -1)
    events: list[tuple[int, int, int, Mark]] = []
    for number, call in enumerate(calls):
        begin, end = Mark(call, number), Mark(None, number)
        begin.end = end
        events.append((call.start_us, 0, number, begin))
        # An end at the time of a begin comes after it: they overlap.
        events.append((1 << 62 if call.end_us is None else call.end_us, 1, number, end))
    events.sort(key=lambda event: event[:3])
    tail = head
    for *_, placed in events:
        tail.next, placed.previous = placed, tail
        tail = placed
    left = sum(call.end_us is not None for call in calls)
    state = initial
    done = 0
    seen: set[tuple[int, State]] = set()
    stack: list[tuple[Mark, State]] = []
    mark: Mark | None = head.next
    steps = 0
    while left:
        steps += 1
        if steps > STEPS_MAX:
            raise Undecided(f"{len(calls)} calls")
        assert mark is not None
        if mark.call is not None:
            fits, after = step(state, mark.call.op)
            bit = 1 << mark.number
            if fits and (done | bit, after) not in seen:
                seen.add((done | bit, after))
                stack.append((mark, state))
                state, done = after, done | bit
                left -= mark.call.end_us is not None
                lift(mark)
                mark = head.next
            else:
                mark = mark.next
            continue
        # The end of a call that has no place so far: one of the choices before it was wrong.
        if not stack:
            return False
        last, state = stack.pop()
        assert last.call is not None
        done &= ~(1 << last.number)
        left += last.call.end_us is not None
        unlift(last)
        mark = last.next
    return True


def lift(mark: Mark) -> None:
    """Take a call out of the list."""
    assert mark.previous is not None
    assert mark.end is not None
    mark.previous.next = mark.next
    if mark.next is not None:
        mark.next.previous = mark.previous
    end = mark.end
    assert end.previous is not None
    end.previous.next = end.next
    if end.next is not None:
        end.next.previous = end.previous


def unlift(mark: Mark) -> None:
    """Put it back: the reverse, in the reverse order."""
    end = mark.end
    assert end is not None
    assert end.previous is not None
    assert mark.previous is not None
    end.previous.next = end
    if end.next is not None:
        end.next.previous = end
    mark.previous.next = mark
    if mark.next is not None:
        mark.next.previous = mark


def calls_of(history: History, prefix: bytes) -> dict[bytes, list[Call]]:
    """The calls below a path, by znode: writes, and reads that directly follow the client's sync.

    Such a read counts from the moment at which its sync was sent.
    """
    found: dict[bytes, list[Call]] = {}
    synced: dict[int, Op] = {}
    for op in history.ops:
        if op.kind == "sync":
            synced[op.client] = op
            continue
        before = synced.pop(op.client, None)
        if not op.path.startswith(prefix):
            continue
        end = op.done_us if op.is_done else None
        if op.kind in ("create", "set", "delete"):
            if op.is_done and op.error in (codes.SESSION_EXPIRED, codes.SESSION_MOVED):
                continue  # refused before it was looked at
            if op.kind == "create" and op.is_done and op.error == codes.NO_NODE:
                continue  # no parent yet: not a matter of this znode
            found.setdefault(op.path, []).append(Call(op, op.sent_us, end))
        elif op.kind in ("get", "exists") and before is not None and op.is_done:
            if op.error == codes.QUOTA_EXCEEDED:
                continue  # it would have watched
            if before.is_done and before.server == op.server and before.session == op.session:
                found.setdefault(op.path, []).append(Call(op, before.sent_us, end))
    return found


def check_linearizable(history: History, prefix: bytes) -> list[str]:
    """Every znode below `prefix` behaves like one register."""
    wrong = []
    for path, calls in sorted(calls_of(history, prefix).items()):
        clients = {call.op.client for call in calls}
        assert len(clients) <= CLIENTS_MAX, f"{len(clients)} clients on {path!r}"
        try:
            if not is_linearizable(calls):
                wrong.append(f"B: {len(calls)} calls on {path!r} have no order that explains them")
        except Undecided as error:
            wrong.append(f"B: undecided on {path!r}: {error}")
    return wrong
