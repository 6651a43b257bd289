"""Rounds over a database: what is written, what is told, what a restart and a lost lease leave."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from observability.alerts import read
from observability.alerts.evaluate import EVALUATED, KEEP_MS, Evaluator
from observability.models import Alert, Delivery, Fact, Lease
from observability.store import LEASE, LeaseLostError, note, source_of
from tenants.actions import alerts as actions
from tenants.actions import channels
from tenants.audit import PLANE
from tenants.models import AlertSilence, Ensemble, Node, Publication, Tenant
from tests.observability.alerts.pictures import write_node, write_tenant
from tests.observability.people import make_tenant

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
STEP_MS = 60_000


@pytest.fixture
def payments(db: None) -> Tenant:
    """A tenant of an ensemble of one node that answers."""
    Lease.objects.create(name=LEASE, holder="test", term=1)
    made = make_tenant()
    Node.objects.create(
        ensemble=made.ensemble, name="node1", client="127.0.0.1:1", admin_url="http://127.0.0.1:2"
    )
    write_node("node1", server_state="standalone", outstanding_requests=5)
    return made


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def rounds(*ahead_ms: int, evaluator: Evaluator | None = None) -> Evaluator:
    """Looks at these times from now on."""
    found = evaluator or Evaluator(1)
    begin = now_ms()
    for ahead in ahead_ms:
        found.round(begin + ahead)
    return found


def states(**asked: Any) -> list[tuple[str, str]]:
    rows = Alert.objects.filter(**asked).order_by("rule", "pk")
    return [(row.rule, row.status) for row in rows]


def test_a_plane_where_all_is_well_has_no_alert_and_says_when_it_was_looked_at(
    payments: Tenant,
) -> None:
    assert read.asleep_s() is None
    rounds(0)
    assert states() == []
    assert read.asleep_s() is not None
    assert Fact.objects.get(pk=EVALUATED).value["rules"] > 20


def test_a_node_that_is_gone_fires_with_evidence_and_a_restart_loses_nothing(
    payments: Tenant,
) -> None:
    source = source_of("metrics", "main", "node2")
    node = Node.objects.create(
        ensemble=payments.ensemble, name="node2", client="127.0.0.1:3", admin_url="http://x:1"
    )
    note(1, source, "connection refused")
    rounds(0)
    assert states(rule="node-gone") == [("node-gone", "pending")]
    rounds(30_000, 61_000)  # another process: it knows what the one before has written
    alert = Alert.objects.get(rule="node-gone")
    assert alert.status == "firing"
    assert alert.evidence["now"]["problem"] == "connection refused"
    node.delete()
    rounds(65_000, 96_000)
    assert states(rule="node-gone") == [("node-gone", "resolved")]


def test_who_has_lost_the_lease_writes_nothing(payments: Tenant) -> None:
    write_tenant("payments", {"znodes": 2_000})
    Lease.objects.update(term=2)
    with pytest.raises(LeaseLostError):
        rounds(0)
    assert not Alert.objects.exists()
    assert not Fact.objects.exists()


def test_what_was_pending_before_a_sleep_has_to_hold_anew_and_the_sleep_is_told(
    payments: Tenant,
) -> None:
    full(payments)
    rounds(0)
    assert ("quota-full", "pending") in states()
    rounds(300_000)
    assert ("quota-full", "pending") in states(), "nobody saw whether it held in between"
    asleep = Alert.objects.get(rule="collector-stopped")
    assert asleep.status == "firing"
    assert asleep.evidence["now"]["seconds"] == 300


def full(tenant: Tenant) -> None:
    tenant.plan.limits = {"znodes": 1_000}
    tenant.plan.save()
    write_tenant(tenant.slug, {"znodes": 990})


def test_a_rule_is_changed_within_bounds_and_switched_off(payments: Tenant) -> None:
    full(payments)
    set_rule = {"name": "quota-full", "threshold": None, "hold_s": 0, "severity": "ticket"}
    actions.set_rule(PLANE, is_on=True, **set_rule)  # type: ignore[arg-type]
    rounds(0)
    alert = Alert.objects.get(rule="quota-full")
    assert (alert.status, alert.severity, alert.of) == ("firing", "ticket", "znodes")
    actions.set_rule(PLANE, is_on=False, **set_rule)  # type: ignore[arg-type]
    rounds(20_000)
    assert states(rule="quota-full") == [("quota-full", "resolved")]


def test_a_rule_whose_look_fails_holds_up_no_other_one(
    payments: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from observability.alerts.checks import CHECKS

    full(payments)
    actions.set_rule(PLANE, name="quota-full", is_on=True, threshold=None, hold_s=0)
    rounds(0)

    def broken(*args: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setitem(CHECKS, "quota-full", broken)
    monkeypatch.setitem(CHECKS, "many-znodes", broken)
    rounds(300_000, 360_000)
    assert states(rule="quota-full") == [("quota-full", "firing")], "that is no good news"
    assert ("collector-stopped", "firing") in states()


# Who is told


def fire_quota(payments: Tenant) -> Evaluator:
    full(payments)
    actions.set_rule(PLANE, name="quota-full", is_on=True, threshold=None, hold_s=0)
    return rounds(0)


def hook(**more: Any) -> Any:
    values = {"name": "hook", "kind": "webhook", "url": "https://hooks.example/x", **more}
    return channels.make(PLANE, **values)[0]


def told() -> list[tuple[int, str]]:
    rows = Delivery.objects.order_by("pk")
    return [(row.channel, f"{row.event} {row.body['rule']}") for row in rows]


def test_channels_are_told_once_that_it_fires_and_once_that_it_is_over(payments: Tenant) -> None:
    everything = hook(severity="note")
    hook(name="off").delete()
    evaluator = fire_quota(payments)
    rounds(5_000, 20_000, evaluator=evaluator)
    assert told() == [(everything.pk, "firing quota-full")]
    message = Delivery.objects.get()
    assert message.body["id"] == message.message
    assert message.body["summary"] == "payments uses 99 % of its znodes: 990 of 1,000"
    assert message.body["steps"]
    write_tenant("payments", {"znodes": 10})
    rounds(40_000, 80_000, evaluator=evaluator)
    assert told()[1:] == [(everything.pk, "resolved quota-full")]
    assert Delivery.objects.last().body["resolved_at"].endswith("Z")  # type: ignore[union-attr]


def test_channels_choose_by_severity_and_tenant_and_a_tenants_own_see_no_other(
    payments: Tenant,
) -> None:
    orders = make_tenant("orders", root="/tenants/orders")
    wanted = [
        hook(name="pages", severity="page"),
        hook(name="of it", of_tenant="payments"),
        hook(name="its own", tenant=payments),
    ]
    hook(name="of another", of_tenant="orders")
    hook(name="another's", tenant=orders)
    gone = make_tenant("gone", root="/tenants/gone", lifecycle="gone")
    hook(name="of one that is gone", tenant=gone)
    fire_quota(payments)
    assert sorted(channel for channel, _ in told()) == [one.pk for one in wanted]


def test_a_tenants_channel_is_not_told_what_is_for_operators(payments: Tenant) -> None:
    own = hook(tenant=payments, severity="note")
    everything = hook(name="all", severity="note")
    Publication.objects.create(tenant=payments, status="failed", tries=3)
    actions.set_rule(PLANE, name="publication-stuck", is_on=True, threshold=None, hold_s=0)
    rounds(0)
    assert states() == [("publication-stuck", "firing")]
    assert told() == [(everything.pk, "firing publication-stuck")]
    assert own.pk not in dict(told())


def test_nobody_is_told_of_what_is_silenced_until_the_silence_is_over(payments: Tenant) -> None:
    channel = hook()
    until = datetime.now(UTC) + timedelta(hours=1)
    actions.silence(PLANE, rule="quota-full", tenant=payments, reason="a test", ends_at=until)
    actions.silence(PLANE, tenant="orders", reason="of another", ends_at=until)
    evaluator = fire_quota(payments)
    assert told() == []
    assert states(status="firing") == [("quota-full", "firing")], "it is shown all the same"
    AlertSilence.objects.update(ends_at=datetime.now(UTC))
    rounds(20_000, evaluator=evaluator)
    assert told() == [(channel.pk, "firing quota-full")]


def test_alerts_are_kept_for_ninety_days(payments: Tenant) -> None:
    old = now_ms() - KEEP_MS - 1_000
    for at, rule in ((old, "node-gone"), (old + 3_600_000, "drift")):
        Alert.objects.create(
            rule=rule, severity="page", status="resolved", summary="x", since=at, seen_at=at,
            fired_at=at, resolved_at=at,
        )  # fmt: skip
        Delivery.objects.create(
            message=rule, channel=1, event="firing", body={}, status="sent", made_at=at,
            next_try_at=at,
        )  # fmt: skip
    rounds(0)
    assert states() == [("drift", "resolved")]
    assert Delivery.objects.get().message == "drift"


def test_an_ensemble_of_apache_is_looked_at_like_ours(payments: Tenant) -> None:
    apache = Ensemble.objects.create(
        name="old", kind="apache", hosts="127.0.0.1:5", takes_tenants=False
    )
    Node.objects.create(ensemble=apache, name="zk1", client="127.0.0.1:5")
    note(1, source_of("metrics", "old", "zk1"), "does not answer mntr")
    rounds(0, 30_000, 61_000)
    firing = Alert.objects.filter(status="firing").values_list("rule", "ensemble")
    assert sorted(firing) == [("node-gone", "old"), ("quorum-lost", "old")]
