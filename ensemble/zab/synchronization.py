"""Zab's third phase, the leader's half: how a learner gets the leader's history.

Source: zab.md 4.2. Three ways: DIFF (what it lacks), TRUNC (cut what nobody committed, then what it
lacks), SNAP (the whole tree). SNAP is always right; the others are taken only where the leader can
prove that both histories are one up to the point where they go on.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.wire import peers
from ensemble.zab.host import Host, Proposal

UNKNOWN_ZXID: Final = -1  # in ACKEPOCH: the learner can only take a snapshot


@final
class SyncPlan:
    """`kind` is DIFF, TRUNC or SNAP; `zxid` goes into that packet, `proposals` follow it."""

    __slots__ = ("kind", "proposals", "zxid")

    def __init__(self, kind: i64, zxid: i64, proposals: list[Proposal]) -> None:
        self.kind: Final = kind
        self.zxid: Final = zxid
        self.proposals: Final = proposals


def plan_sync(host: Host, learner_zxid: i64, may_truncate: bool, force_snapshot: bool) -> SyncPlan:
    """How a learner whose history ends at `learner_zxid` is brought to this server's last zxid.

    `may_truncate`: the learner refuses a TRUNC to a zxid that its log does not hold. Apache's
    servers cut behind the next larger record instead and keep it (storage.md 8.2), and nobody but
    they know what their logs hold: they get a snapshot.
    """
    last = host.last_zxid()
    snapshot = SyncPlan(peers.SNAP, last, [])
    if force_snapshot or learner_zxid < 0:
        return snapshot
    if learner_zxid == last:
        return SyncPlan(peers.DIFF, last, [])
    recent = host.recent()
    if learner_zxid > last:
        # It has what no quorum stored; else this server would have it, too.
        if may_truncate and last > 0:
            return SyncPlan(peers.TRUNC, last, [])
        return snapshot
    if not recent or learner_zxid < recent[0].zxid:
        older = host.read_log(learner_zxid, last)
        if older is None:
            return snapshot
        return SyncPlan(peers.DIFF, last, older)
    before: i64 = -1
    start = 0
    while start < len(recent) and recent[start].zxid <= learner_zxid:
        before = recent[start].zxid
        start += 1
    if before == learner_zxid:
        return SyncPlan(peers.DIFF, last, recent[start:])
    if learner_zxid & 0xFFFFFFFF == 0 and learner_zxid >> 32 > before >> 32:
        # An Apache server that followed the leader of this epoch and saw no transaction of it says
        # so: it has what was there when the epoch began.
        return SyncPlan(peers.DIFF, last, recent[start:])
    if may_truncate:
        return SyncPlan(peers.TRUNC, before, recent[start:])
    return snapshot
