"""Budgets in a run: which subtrees have one, and that they held at every zxid (trust.md I18).

The limits are drawn for each seed, so small that they are met. Judged is the log: its model says
what a subtree held before each transaction, so that a limit that was passed shows, and likewise a
request that was refused although there was room.
"""

import random
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from ensemble.tree.budget import BudgetLimits
from ensemble.tree.datatree import DataTree
from ensemble.wire import codes
from tests.recount import recount, used
from tests.sim.history import READS, Op
from tests.sim.model import Model, Node
from tests.sim.requests import OPEN

SEQUENCE_BYTES = 10


@dataclass(frozen=True)
class Allowance:
    """What a subtree may hold; -1: as much as it likes."""

    root: bytes
    znodes: int = -1
    size: int = -1
    ephemerals: int = -1

    def has(self, path: bytes) -> bool:
        return path == self.root or path.startswith(self.root + b"/")

    def weight(self, path: bytes, data: bytes | None) -> int:
        return (len(path) - len(self.root) or 1) + len(data or b"") + len(OPEN)

    def exceeded(self, usage: tuple[int, int, int]) -> bool:
        limits = (self.znodes, self.size, self.ephemerals)
        return any(0 <= limit < have for have, limit in zip(usage, limits, strict=True))


def allowances_of(seed: int) -> tuple[Allowance, ...]:
    """Half of the seeds have some: sequences and ephemerals of the workload meet them."""
    rng = random.Random(f"{seed}/budgets")
    if rng.random() < 0.5:
        return ()
    sequences = Allowance(
        b"/s", rng.choice((-1, 6, 20)), rng.choice((-1, 700, 2_000)), rng.choice((-1, 5))
    )
    ephemerals = Allowance(b"/e", rng.choice((-1, 3)), ephemerals=rng.choice((1, 2, 3)))
    return (sequences, ephemerals)


def allow(tree: DataTree, allowances: Iterable[Allowance]) -> None:
    """What a server does when it begins to serve, with whatever tree it has by then."""
    for one in allowances:
        limits = BudgetLimits(one.znodes, one.size, -1, one.ephemerals)
        tree.budgets.put(one.root.decode(), one.root, limits)


@dataclass
class Usage:
    """What a subtree held at every zxid, as the log makes it."""

    zxids: list[int] = field(default_factory=list)
    sums: list[tuple[int, int, int]] = field(default_factory=list)

    def at(self, zxid: int) -> tuple[int, int, int]:
        found = bisect_right(self.zxids, zxid)
        return self.sums[found - 1] if found else (0, 0, 0)


def usage_of(model: Model, one: Allowance) -> Usage:
    changes: dict[int, list[int]] = {}
    for path, versions in model.versions.items():
        if not one.has(path):
            continue
        before: Node | None = None
        for zxid, node in versions:
            change = changes.setdefault(zxid, [0, 0, 0])
            for sign, of in ((-1, before), (1, node)):
                if of is not None:
                    change[0] += sign
                    change[1] += sign * one.weight(path, of.data)
                    change[2] += sign * (of.owner != 0)
            before = node
    usage = Usage()
    znodes = size = ephemerals = 0
    for zxid in sorted(changes):
        more = changes[zxid]
        znodes, size, ephemerals = znodes + more[0], size + more[1], ephemerals + more[2]
        usage.zxids.append(zxid)
        usage.sums.append((znodes, size, ephemerals))
    return usage


def check_allowances(model: Model, ops: Iterable[Op], allowances: Iterable[Allowance]) -> list[str]:
    """I18: no limit is passed at any zxid, and nothing is refused that has room."""
    wrong = []
    usages = [(one, usage_of(model, one)) for one in allowances]
    for one, usage in usages:
        wrong += [
            f"I18: {one} has used {sums} at {zxid:#x}"
            for zxid, sums in zip(usage.zxids, usage.sums, strict=True)
            if one.exceeded(sums)
        ]
    for op in ops:
        if not op.is_done or op.error != codes.QUOTA_EXCEEDED or op.kind in READS:
            continue  # of reads: see `witness.check_reads`
        found = [(one, usage) for one, usage in usages if one.has(op.path)]
        if op.kind != "create" or not found:
            wrong.append(f"I18: refused without a limit: {op}")
            continue
        one, usage = found[0]
        znodes, size, ephemerals = usage.at(op.zxid - 1)
        path = op.path + b"0" * (SEQUENCE_BYTES * op.sequential)
        after = (znodes + 1, size + one.weight(path, op.data), ephemerals + op.ephemeral)
        if not one.exceeded(after):
            wrong.append(f"I18: refused at {(znodes, size, ephemerals)} of {one}: {op}")
    return wrong


def check_usage(sid: int, tree: DataTree) -> list[str]:
    """What a server has counted is what a recount of its tree finds."""
    return [
        f"I18: server {sid} has counted {used(budget)} at {budget.root!r}, "
        f"there is {recount(tree, budget)}"
        for budget in tree.budgets.by_name.values()
        if used(budget) != recount(tree, budget)
    ]
