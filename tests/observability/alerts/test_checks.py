"""What each rule sees in a picture, and what it says where it sees nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from observability.alerts.checks import Subject
from observability.alerts.picture import Seen
from observability.models import Fact, Segment, Source
from observability.neighbours import Neighbour, Victim
from tenants.audit import PLANE, record
from tenants.models import Credential, CredentialSecret, Publication
from tests.observability.alerts.pictures import NOW_S, picture, says, see, seen, silent
from tests.observability.people import make_tenant

LEADER = {"server_state": "leader", "quorum_size": 3}
FOLLOWER = {"server_state": "follower", "quorum_size": 3}
DB = pytest.mark.django_db(databases=["default", "observed"])


def three(*states: str) -> list[Seen]:
    """leader, follower, gone, silent, observer."""
    known = {"leader": LEADER, "follower": FOLLOWER, "observer": {"server_state": "observer"}}
    found = []
    for at, state in enumerate(states, 1):
        name = f"node{at}"
        if state == "gone":
            found.append(seen(name, "connection refused", **FOLLOWER))
        elif state == "silent":
            found.append(silent(name))
        else:
            found.append(seen(name, "", **known[state]))
    return found


@pytest.mark.parametrize(
    ("states", "lost", "at_risk", "blind"),
    [
        (["leader", "follower", "follower"], False, False, False),
        (["leader", "follower", "gone"], False, True, False),
        (["leader", "follower", "silent"], False, False, True),
        (["follower", "gone", "gone"], True, False, False),
        (["gone", "gone", "gone"], True, False, False),
        (["follower", "follower", "follower"], True, False, False),
        (["follower", "silent", "gone"], False, False, True),
        (["leader", "follower", "follower", "observer"], False, False, False),
    ],
)
def test_a_quorum_is_lost_at_risk_or_nothing_is_known_of_it(
    states: list[str], lost: bool, at_risk: bool, blind: bool
) -> None:
    painted = picture(*three(*states))
    assert bool(says("quorum-lost", painted)) is lost
    assert bool(says("quorum-at-risk", painted)) is at_risk
    one, other = see("quorum-lost", painted), see("quorum-at-risk", painted)
    assert bool(one.blind or other.blind) is blind


def test_one_node_alone_is_its_own_quorum_and_an_ensemble_without_nodes_has_none() -> None:
    assert says("quorum-lost", picture(seen(server_state="standalone"))) == []
    assert says("quorum-lost", picture(seen(problem="refused", server_state="standalone")))
    assert says("quorum-lost", picture()) == []


def test_a_node_that_does_not_answer_is_gone_since_it_last_did() -> None:
    (finding,) = see("node-gone", picture(seen(problem="connection refused"))).findings
    assert finding.since_s == NOW_S - 100
    assert finding.evidence == {"problem": "connection refused"}
    assert see("node-gone", picture(silent())).blind == {Subject("main", "node1")}
    unasked = silent()
    unasked.is_configured = False
    assert not see("node-gone", picture(unasked)).blind


def test_a_node_is_behind_by_transactions_of_the_same_epoch() -> None:
    head = (7 << 32) + 50_000
    leader = seen("node1", "", last_zxid=f"{head:#x}", **LEADER)
    near = seen("node2", "", last_zxid=f"{head - 10_000:#x}", **FOLLOWER)
    far = seen("node3", "", last_zxid=f"{head - 10_001:#x}", **FOLLOWER)
    old = seen("node4", "", last_zxid=f"{(6 << 32) + 9:#x}", **FOLLOWER)
    assert says("node-behind", picture(leader, near, far, old)) == [
        "main/node3 is 10,001 transactions behind"
    ]
    assert see("node-behind", picture(near, far)).blind, "nobody leads: behind whom?"


def test_a_sync_is_slow_by_what_was_spent_in_five_minutes_not_since_the_start() -> None:
    node = seen(uptime=9_000_000, cnt_fsynctime=1_000_100, sum_fsynctime=30_000)
    assert see("sync-slow", picture(node)).blind, "there is nothing to compare with yet"
    node.past[300] = {"uptime": 8_700_000, "cnt_fsynctime": 1_000_000, "sum_fsynctime": 10_000}
    assert says("sync-slow", picture(node)) == ["main/node1: a sync takes 200 ms on average"]
    node.past[300]["sum_fsynctime"] = 25_000
    assert says("sync-slow", picture(node)) == []
    restarted = seen(uptime=1_000, cnt_fsynctime=10, sum_fsynctime=9_000)
    restarted.past[300] = {"uptime": 8_700_000, "cnt_fsynctime": 5, "sum_fsynctime": 10}
    assert says("sync-slow", picture(restarted)) == ["main/node1: a sync takes 900 ms on average"]


@pytest.mark.parametrize(
    ("rule", "fine", "wrong"),
    [
        ("requests-pile-up", {"outstanding_requests": 100}, {"outstanding_requests": 101}),
        ("many-znodes", {"znode_count": 1_000_000}, {"znode_count": 1_000_001}),
        ("much-data", {"approximate_data_size": 5}, {"approximate_data_size": 1 << 31}),
        ("clock-apart", {"clock_ahead_ms": -2_000}, {"clock_ahead_ms": -2_001}),
        (
            "certificate-ends",
            {"client_certificate_end": int(NOW_S) + 14 * 86_400},
            {"client_certificate_end": int(NOW_S) + 14 * 86_400 - 1},
        ),
        ("trees-differ", {"digest_mismatches_count": 0}, {"digest_mismatches_count": 1}),
        (
            "files-run-out",
            {"open_file_descriptor_count": 85, "max_file_descriptor_count": 100},
            {"open_file_descriptor_count": 86, "max_file_descriptor_count": 100},
        ),
        (
            "disk-full",
            {"logdir_free_bytes": 10, "logdir_disk_bytes": 100},
            {"logdir_free_bytes": 9, "logdir_disk_bytes": 100},
        ),
    ],
)
def test_a_figure_of_a_node_is_over_its_bound(
    rule: str, fine: dict[str, int], wrong: dict[str, int]
) -> None:
    assert says(rule, picture(seen(**fine))) == []
    assert len(says(rule, picture(seen(**wrong)))) == 1
    assert see(rule, picture(silent())).blind
    nothing = see(rule, picture(seen(server_state="leader")))
    assert not nothing.findings, "a server that has no such figure is none of its business"
    hostile = dict.fromkeys(wrong, "\u202ex")
    assert says(rule, picture(seen(**hostile))) == []


@pytest.mark.parametrize(
    ("rule", "figure", "most"),
    [("sync-stalls", "fsync_threshold_exceed_count", 5), ("journal-loses", "audit_missing", 0)],
)
def test_a_counter_grows_too_fast(rule: str, figure: str, most: int) -> None:
    node = seen(uptime=9_000_000, **{figure: 40 + most})
    node.past[600] = {"uptime": 8_000_000, figure: 40}
    assert says(rule, picture(node)) == []
    node.past[600][figure] = 39
    assert len(says(rule, picture(node))) == 1
    node.past.clear()
    assert see(rule, picture(node)).blind


# The plane


def test_a_time_without_a_collector_is_told_afterwards() -> None:
    assert says("collector-stopped", picture(asleep_s=120.0)) == []
    (finding,) = see("collector-stopped", picture(asleep_s=121.0)).findings
    assert finding.since_s == NOW_S - 121


def test_sources_are_silent_or_behind() -> None:
    since = datetime.fromtimestamp(NOW_S - 121, UTC)
    journal = Source(ensemble="main", node="node1", kind="journal", behind=31_000)
    assert says("collector-behind", picture(sources=[journal])) == [
        "journal main node1: 31.0 s behind"
    ]
    journal.problem, journal.problem_since = "status 403", since
    painted = picture(sources=[journal])
    assert says("source-silent", painted) == [
        "The audit journal of a node (main/node1) has not come for 121 s"
    ]
    assert see("collector-behind", painted).blind, "how far behind it is nobody knows"
    gone = Source(ensemble="gone", node="n", kind="journal", problem="x", problem_since=since)
    assert says("source-silent", picture(sources=[gone])) == []


def test_a_chain_that_broke_names_journal_and_line() -> None:
    broken = Segment(
        ensemble="main", node="node2", problems=1, first_problem_seq=77, first_problem="was changed"
    )
    own = Segment(problems=2, first_problem_seq=3, first_problem="rows 1 to 2 are missing")
    assert says("chain-broken", picture(segments=[broken, own])) == [
        "main/node2: line 77: was changed",
        "the console's own trail: line 3: rows 1 to 2 are missing",
    ]


@DB
def test_actions_of_weight_are_shown_for_an_hour_each_once() -> None:
    payments = make_tenant()
    record(PLANE, "tenant.deleted", tenant=payments)
    record(PLANE, "tenant.described", tenant=payments)
    record(PLANE, "person.created", target="eve", detail={"operator": True})
    record(PLANE, "person.created", target="bob", detail={"operator": False})
    now = datetime.now(UTC).timestamp()
    found = see("weighty-action", picture(now_s=now))
    assert sorted(one.summary for one in found.findings) == [
        "the plane: person.created eve",
        "the plane: tenant.deleted payments",
    ]
    assert len({one.subject for one in found.findings}) == 2
    assert says("weighty-action", picture(now_s=now + 3_700)) == []
    assert len(says("weighty-action", picture(now_s=now + 3_700, asleep_s=600.0))) == 2


# Tenants


@DB
def test_limits_are_near_or_full_and_never_both() -> None:
    payments = make_tenant()
    payments.plan.limits = {"znodes": 1_000, "bytes": 0}
    both = {"tenants": {"payments": payments}, "values": {"quota-full": 95.0}}
    for used, near, full in [(800, 0, 0), (801, 1, 0), (950, 1, 0), (951, 0, 1), (1_200, 0, 1)]:
        painted = picture(usage={"payments": {"znodes": used, "bytes": 5}}, **both)
        assert len(says("quota-near", painted)) == near, used
        assert len(says("quota-full", painted)) == full, used
    (finding,) = see("quota-full", painted).findings
    assert finding.subject == Subject("main", tenant="payments", of="znodes")
    assert see("quota-near", picture(**both)).blind == {Subject("main", tenant="payments")}
    both["values"] = {}
    painted = picture(usage={"payments": {"znodes": 990}}, **both)
    assert len(says("quota-near", painted)) == 1, "the other rule is off: this one says it"


@DB
@pytest.mark.parametrize(
    ("rule", "what", "most"),
    [("tenant-throttled", "throttled", 1), ("tenant-held", "held_ms", 5_000),
     ("watch-storm", "events", 2_000)],
)  # fmt: skip
def test_a_tenants_rate_is_over_its_bound(rule: str, what: str, most: float) -> None:
    tenants = {"payments": make_tenant()}
    for rate, count in ((most, 0), (most * 1.01, 1)):
        rates = {"main": {"payments": {what: rate, "requests": 10.0}}}
        assert len(says(rule, picture(tenants=tenants, rates=rates))) == count
    assert see(rule, picture(tenants=tenants, rates={"main": None})).blind


def test_a_neighbour_is_noisy_while_others_become_slow() -> None:
    victim = Victim("orders", "read", 1_000, 9_000, 500, 0)
    named = [Neighbour("payments", "main", 0, 0.71, 0.5, 912.0, 0, [victim])]
    painted = picture(neighbours={"main": named})
    assert says("noisy-neighbour", painted) == [
        "payments takes 71 % of the work in main with 912 requests a second, "
        "while orders became slow"
    ]
    (finding,) = see("noisy-neighbour", painted).findings
    assert finding.evidence["slowed"] == {"orders": "read p99 1 to 9 ms"}
    assert says("noisy-neighbour", painted, 71.0) == []
    assert see("noisy-neighbour", picture(neighbours={"main": []}, rates={"main": None})).blind


@DB
def test_a_change_that_does_not_get_there_and_a_secret_that_ends_are_named() -> None:
    payments = make_tenant()
    row = Publication.objects.create(tenant=payments, status="failed", tries=3, error="refused")
    now = row.changed_at.timestamp()
    assert says("publication-stuck", picture(now_s=now)) == [
        "payments: a change is not in force (failed; tried again)"
    ]
    Publication.objects.update(status="pending", tries=0)
    assert says("publication-stuck", picture(now_s=now + 200)) == []
    assert len(says("publication-stuck", picture(now_s=now + 301))) == 1
    Publication.objects.update(status="applied")
    assert says("publication-stuck", picture(now_s=now + 999)) == []

    app = Credential.objects.create(tenant=payments, name="app", role="writer")
    ends = datetime.fromtimestamp(now, UTC) + timedelta(days=7)
    CredentialSecret.objects.create(credential=app, hash="a", until=ends)
    assert says("secret-ends", picture(now_s=now - 5)) == []
    assert len(says("secret-ends", picture(now_s=now + 5))) == 1
    assert says("secret-ends", picture(now_s=now + 8 * 86_400)) == [], "it has ended"


def test_a_drift_is_what_the_last_look_at_the_registry_found() -> None:
    fact = Fact(name="drift main", at=0, value={
        "is_known": True, "drifts": [{"slug": "shop", "kind": "changed", "text": "limits differ"}],
    })  # fmt: skip
    assert says("drift", picture(facts={"drift main": fact})) == ["main/shop: limits differ"]
    fact.value = {"is_known": False, "why": "the ensemble cannot be asked"}
    assert see("drift", picture(facts={"drift main": fact})).blind
    assert see("drift", picture()).blind
