"""Which way a learner is brought up to date: DIFF, TRUNC or SNAP (zab.md 4.2)."""

from ensemble.wire import peers
from ensemble.zab.synchronization import SyncPlan, plan_sync
from tests.zab.hosts import FakeHost, zxid

HISTORY = [zxid(1, n) for n in range(1, 6)] + [zxid(2, 1), zxid(2, 2)]


def plan(last: int, host: FakeHost | None = None, exact: bool = True) -> str:
    return shown(plan_sync(host or FakeHost(HISTORY), last, exact, False))


def shown(plan: SyncPlan) -> str:
    sent = " ".join(f"{p.zxid >> 32}:{p.zxid & 0xFF}" for p in plan.proposals)
    kind = peers.name_of(plan.kind)
    return f"{kind} {plan.zxid >> 32}:{plan.zxid & 0xFF} | {sent}".rstrip(" |")


def test_who_has_everything_gets_nothing() -> None:
    assert plan(zxid(2, 2)) == "DIFF 2:2"


def test_who_is_behind_gets_what_is_missing_across_epochs() -> None:
    assert plan(zxid(1, 4)) == "DIFF 2:2 | 1:5 2:1 2:2"


def test_an_empty_learner_gets_a_snapshot() -> None:
    assert plan(0) == "SNAP 2:2"
    assert plan(0, FakeHost([])) == "DIFF 0:0"


def test_a_tail_that_nobody_committed_is_cut() -> None:
    """ZOOKEEPER-1549's harmless side: a former leader returns with records of its own."""
    assert plan(zxid(1, 7)) == "TRUNC 1:5 | 2:1 2:2"
    assert plan(zxid(2, 9)) == "TRUNC 2:2"


def test_only_servers_that_refuse_an_inexact_cut_are_told_to_cut() -> None:
    """Storage.md 8.2: Apache's keep a record too many where the exact one is missing."""
    assert plan(zxid(1, 7), exact=False) == "SNAP 2:2"
    assert plan(zxid(2, 9), exact=False) == "SNAP 2:2"


def test_an_epoch_that_apaches_server_saw_begin_is_no_tail() -> None:
    """Its last zxid may be the epoch's beginning, which is no transaction."""
    assert plan(zxid(2, 0), exact=False) == "DIFF 2:2 | 2:1 2:2"


def test_who_can_only_take_a_snapshot_gets_one() -> None:
    assert plan(-1) == "SNAP 2:2"
    host = FakeHost(HISTORY)
    assert plan_sync(host, zxid(2, 2), True, force_snapshot=True).kind == peers.SNAP


def test_2418_4925_a_diff_from_the_log_needs_proof() -> None:
    """Older than what is in memory: from the disk if that proves it, else the whole tree."""
    host = FakeHost(HISTORY)
    host.recent_from = zxid(2, 1)
    assert plan(zxid(1, 3), host) == "SNAP 2:2"
    host.disk_history = HISTORY
    assert plan(zxid(1, 3), host) == "DIFF 2:2 | 1:4 1:5 2:1 2:2"
    host.disk_history = HISTORY[4:]
    assert plan(zxid(1, 3), host) == "SNAP 2:2"
