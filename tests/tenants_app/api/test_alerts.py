"""Alerts over the API: who sees which, sees to them, silences them, and is told where."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from observability.alerts.evaluate import EVALUATED
from observability.models import Delivery, Fact
from tenants.actions import channels as actions
from tenants.actions.alerts import NOTES_MAX
from tenants.alerts.sealing import unseal
from tenants.models import (
    AlertChannel,
    AlertNote,
    AlertRule,
    AlertSilence,
    AuditEvent,
    MemberRole,
    SavedSearch,
    Tenant,
)
from tests.tenants_app.api.conftest import Login, make_alert, make_channel

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
OWN = "tenants/orders/alerts"
HOOK = {"name": "hook", "kind": "webhook", "url": "https://hooks.example.com/in/secret-part"}


def field_of(answer: Any) -> str:
    assert answer.status_code == 400, answer.content
    return str(answer.json()["errors"][0]["field"])


# Alerts


def test_operators_and_auditors_see_all_and_members_what_is_theirs(
    login: Login, tenant: Tenant
) -> None:
    make_alert()
    make_alert("noisy-neighbour", severity="ticket")
    make_alert("node-gone", tenant="", node="node3", severity="ticket")
    make_alert("quota-near", tenant="other")
    make_alert("quota-near", status="pending")
    for name in ("olga", "ada"):
        found = login(name).get("alerts")["results"]
        assert [one["rule"] for one in found] == [
            *("quota-near", "node-gone", "noisy-neighbour", "quota-full"),
        ]
    for name in ("alice", "dan", "bob"):
        (one,) = login(name).get(OWN)["results"]
        assert (one["rule"], one["tenant"], one["status"]) == ("quota-full", "orders", "firing")
    assert [one["rule"] for one in login("ada").get(OWN)["results"]] == [
        *("noisy-neighbour", "quota-full"),
    ]


def test_a_list_is_narrowed_and_goes_on_by_its_cursor(login: Login, tenant: Tenant) -> None:
    now = time.time_ns() // 1_000_000
    for at in range(5):
        make_alert(of=str(at))
    make_alert("node-gone", severity="ticket")
    make_alert("quota-near", status="resolved", resolved_at=now)
    ada = login("ada")
    page = ada.get("alerts", limit=2, rule="quota-full")
    seen = [one["of"] for one in page["results"]]
    while page["next"]:
        page = ada.get(page["next"].partition("/api/v1/")[2])
        seen += [one["of"] for one in page["results"]]
    assert seen == ["4", "3", "2", "1", "0"]
    (over,) = ada.get("alerts", status="resolved")["results"]
    assert (over["rule"], over["resolved_at_ms"]) == ("quota-near", now)
    assert len(ada.get("alerts", severity="ticket")["results"]) == 1
    for query in ("status=pending", "severity=loud", "rule=nonsense", "limit=0", "of=x"):
        assert ada("GET", f"alerts?{query}").status_code == 400, query


def test_an_alert_of_another_and_of_who_had_the_name_before_is_not_there(
    login: Login, tenant: Tenant
) -> None:
    old = int(tenant.created_at.timestamp() * 1_000) - 1_000
    before = make_alert(status="resolved", seen_at=old, resolved_at=old, since=old, fired_at=old)
    others = make_alert(tenant="other")
    operators = make_alert("noisy-neighbour")
    waits = make_alert("quota-near", status="pending")
    for row in (before, others, operators, waits):
        said = login("alice")("GET", f"{OWN}/{row.pk}")
        nothing = login("alice")("GET", f"{OWN}/999999")
        assert (said.status_code, nothing.status_code) == (404, 404)
        assert said.json()["detail"].replace(str(row.pk), "999999") == nothing.json()["detail"]
        assert login("dan")("POST", f"{OWN}/{row.pk}/acknowledge", {"note": "x"}).status_code == 404
    assert login("ada")("GET", f"alerts/{before.pk}").status_code == 200
    assert not AlertNote.objects.exists()


def test_one_says_why_what_to_do_and_whom_was_told(login: Login, tenant: Tenant) -> None:
    alert = make_alert()
    ours, theirs = make_channel(None), make_channel(tenant)
    for at, channel in enumerate((ours, theirs)):
        Delivery.objects.create(
            message=str(at), channel=channel.pk, alert=alert.pk, event="firing", body={},
            made_at=1, next_try_at=1, status="sent", done_at=2, answer=f"answer {at}",
        )  # fmt: skip
    told = login("ada").get(f"alerts/{alert.pk}")
    assert told["latest"]["figures"] == {"used": 990, "limit": 1_000}
    assert told["first"] == {"at_ms": None, "figures": {}}
    assert told["why"]
    assert told["steps"]
    assert [one["answer"] for one in told["told"]] == ["answer 1", "answer 0"]
    own = login("bob").get(f"{OWN}/{alert.pk}")
    assert [one["answer"] for one in own["told"]] == ["answer 1"]


def test_somebody_sees_to_it_and_takes_it_back(login: Login, tenant: Tenant) -> None:
    alert = make_alert()
    bob, dan = login("bob"), login("dan")
    counts = bob.get(f"{OWN}/counts")
    assert (counts["page"], counts["firing"], counts["is_asleep"]) == (1, 1, True)
    assert counts["looked_s_ago"] is None
    Fact.objects.create(pk=EVALUATED, at=time.time_ns() // 1_000_000, value={})
    where = f"{OWN}/{alert.pk}"
    assert bob("POST", f"{where}/acknowledge", {"note": "x"}).status_code == 403
    for wrong in ({}, {"note": " "}, {"note": "x" * 501}, {"note": 5, "by": "me"}):
        assert dan("POST", f"{where}/acknowledge", wrong).status_code == 400, wrong
    done = dan("POST", f"{where}/acknowledge", {"note": "cleaning up"}).json()
    assert (done["acknowledged_by"], done["notes"][0]["note"]) == ("dan", "cleaning up")
    counts = bob.get(f"{OWN}/counts")
    assert (counts["page"], counts["firing"], counts["is_asleep"]) == (0, 1, False)
    assert AuditEvent.objects.get(verb="alert.acknowledged").tenant == "orders"
    done = dan("POST", f"{where}/take-back", {}).json()
    assert (done["acknowledged_by"], len(done["notes"])) == (None, 2)
    assert login("olga")("POST", f"alerts/{alert.pk}/acknowledge", {"note": "x"}).status_code == 200
    AlertNote.objects.bulk_create(
        AlertNote(alert=alert.pk, person="dan", note="x") for _ in range(NOTES_MAX)
    )
    full = dan("POST", f"{where}/acknowledge", {"note": "x"})
    assert (full.status_code, str(NOTES_MAX) in full.json()["detail"]) == (409, True)


# Silences


def test_a_silence_has_an_end_and_a_reason_and_stays_within_the_tenant(
    login: Login, tenant: Tenant
) -> None:
    alert = make_alert()
    dan = login("dan")
    where = f"{OWN}/silences"
    good = {"rule": "quota-full", "hours": 4, "reason": "a load test"}
    far = (timezone.now() + timedelta(days=31)).isoformat()
    past = (timezone.now() - timedelta(days=1)).isoformat()
    wrong: list[tuple[dict[str, object], str]] = [
        ({"reason": ""}, "reason"),
        ({"hours": 721}, "hours"),
        ({"hours": 0}, "hours"),
        ({"ends_at": far}, "ends_at"),
        ({"rule": "node-gone"}, "rule"),
        ({"rule": "nonsense"}, "rule"),
        ({"tenant": "other"}, "tenant"),
        ({"node": "node1"}, "node"),
    ]
    for more, field in wrong:
        assert field_of(dan("POST", where, good | more)) == field, more
    only = {"rule": "quota-full", "reason": "x"}
    assert field_of(dan("POST", where, only)) == "ends_at"
    for end in (far, past):
        assert field_of(dan("POST", where, only | {"ends_at": end})) == "ends_at"
    assert not AlertSilence.objects.exists()
    made = dan("POST", where, good)
    assert made.status_code == 201
    number = made.json()["number"]
    assert (made.json()["tenant"], made.json()["is_own"]) == ("orders", True)
    assert login("bob").get(f"{OWN}/{alert.pk}")["silenced_until"] is not None
    assert login("olga").get(f"alerts/{alert.pk}")["silenced_until"] is None, "operators hear of it"
    theirs = AlertSilence.objects.create(
        tenant="other", reason="r", made_by="x", ends_at=timezone.now() + timedelta(days=1)
    )
    for method in ("GET", "DELETE"):
        assert dan(method, f"{where}/{theirs.pk}").status_code == 404
    assert [one["number"] for one in dan.get(where)["results"]] == [number]
    for _ in range(2):
        assert dan("DELETE", f"{where}/{number}").json()["is_over"]
    assert AuditEvent.objects.filter(verb="alert.silence_ended").count() == 1
    assert dan.get(where)["results"] == []
    assert [one["number"] for one in dan.get(where, over="true")["results"]] == [number]


def test_operators_silence_anything_but_not_everything(login: Login, tenant: Tenant) -> None:
    olga = login("olga")
    nothing = olga("POST", "alerts/silences", {"hours": 1, "reason": "all"})
    assert (nothing.status_code, "say what" in nothing.json()["detail"]) == (400, True)
    end = (timezone.now() + timedelta(hours=2)).isoformat()
    made = olga("POST", "alerts/silences", {"node": "n2", "ends_at": end, "reason": "a new disk"})
    assert (made.status_code, made.json()["is_own"]) == (201, False)
    assert login("ada").get("alerts/silences")["results"][0]["reason"] == "a new disk"
    assert login("alice").get(f"{OWN}/silences")["results"] == []


# Channels


def test_a_channels_secret_is_in_one_answer_and_never_again(login: Login, tenant: Tenant) -> None:
    alice = login("alice")
    where = f"{OWN}/channels"
    made = alice("POST", where, HOOK, Idempotency_Key="once")
    assert made.status_code == 201
    secret, number = made.json()["secret"], made.json()["number"]
    again = alice("POST", where, HOOK, Idempotency_Key="once")
    assert (again.status_code, again.json()["code"]) == (409, "key-secret")
    assert "X-Holds-Secret" not in made.headers
    row = AlertChannel.objects.get()
    assert (row.tenant, unseal(row.secret)) == (tenant, secret)
    assert secret not in row.secret
    renewed = alice("POST", f"{where}/{number}/secret", {}, Idempotency_Key="twice").json()
    assert renewed["secret"] != secret
    assert unseal(AlertChannel.objects.get().secret) == renewed["secret"]
    repeated = alice("POST", f"{where}/{number}/secret", {}, Idempotency_Key="twice")
    assert repeated.json()["code"] == "key-secret"
    for path in (where, f"{where}/{number}", f"{where}/{number}/log"):
        text = alice("GET", path).content.decode()
        assert renewed["secret"] not in text
        assert row.secret not in text
    assert not AuditEvent.objects.filter(detail__icontains="secret-part").exists()


def test_an_address_is_whole_for_those_who_may_change_it(login: Login, tenant: Tenant) -> None:
    ours, theirs = make_channel(None), make_channel(tenant)
    (seen,) = login("olga").get("alerts/channels")["results"]
    assert seen["leads_to"] == HOOK["url"]
    for caller in (login("ada"), login("olga", role=MemberRole.VIEWER)):
        for found in (caller.get("alerts/channels")["results"][0],
                      caller.get(f"alerts/channels/{ours.pk}")):  # fmt: skip
            assert found["leads_to"] == "hooks.example.com, …"
    assert login("alice").get(f"{OWN}/channels/{theirs.pk}")["leads_to"] == HOOK["url"]
    for name in ("bob", "dan", "ada"):
        assert login(name)("GET", f"{OWN}/channels").status_code == 403
    # The plane's are not a tenant's, and the other way round.
    assert login("alice")("GET", f"{OWN}/channels/{ours.pk}").status_code == 404
    assert login("olga")("DELETE", f"alerts/channels/{theirs.pk}").status_code == 404


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "name"),
        ({**HOOK, "kind": "pigeon"}, "kind"),
        ({"name": "a", "kind": "webhook"}, "url"),
        ({**HOOK, "url": "ftp://example.com"}, "url"),
        ({**HOOK, "url": "https://me:pw@example.com/"}, "url"),
        ({**HOOK, "url": "https://example.com/" + "x" * 1_000}, "url"),
        ({**HOOK, "addresses": ["a@example.org"]}, "addresses"),
        ({"name": "a", "kind": "mail"}, "addresses"),
        ({"name": "a", "kind": "mail", "addresses": []}, "addresses"),
        ({"name": "a", "kind": "mail", "addresses": ["nobody"]}, "addresses"),
        ({"name": "a", "kind": "mail", "addresses": ["a@example.org"] * 21}, "addresses"),
        ({**HOOK, "severity": "loud"}, "severity"),
        ({**HOOK, "of_tenant": "nowhere"}, "of_tenant"),
    ],
)
def test_a_channel_that_leads_nowhere_is_refused_by_its_field(
    login: Login, tenant: Tenant, values: dict[str, object], field: str
) -> None:
    assert field_of(login("olga")("POST", "alerts/channels", values)) == field
    assert not AlertChannel.objects.exists()


def test_a_channel_is_switched_tested_read_and_removed(login: Login, tenant: Tenant) -> None:
    olga = login("olga")
    mail = {"name": "night", "kind": "mail", "addresses": ["a@example.org"], "of_tenant": "orders"}
    made = olga("POST", "alerts/channels", mail).json()
    assert (made["secret"], made["leads_to"], made["of_tenant"]) == (
        *(None, "a@example.org", "orders"),
    )
    where = f"alerts/channels/{made['number']}"
    assert field_of(olga("PATCH", where, {})) == "is_on"
    assert olga("PATCH", where, {"is_on": False}).json()["is_on"] is False
    no_secret = olga("POST", f"{where}/secret", {})
    assert (no_secret.status_code, "mail" in no_secret.json()["detail"]) == (400, True)
    for _ in range(5):
        test = olga("POST", f"{where}/test", {})
        assert (test.status_code, test.json()["event"]) == (202, "test")
    assert olga("POST", f"{where}/test", {}).status_code == 409
    assert olga("POST", f"{where}/test", {"to": "me"}).status_code == 400
    log = olga.get(f"{where}/log", limit=2)
    assert [one["status"] for one in log["results"]] == ["waiting", "waiting"]
    assert log["next"]
    assert olga("DELETE", where).status_code == 204
    assert olga("GET", f"{where}/log").status_code == 404


def test_so_many_channels_are_kept(
    login: Login, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "CHANNELS_MAX", 1)
    olga = login("olga")
    assert olga("POST", "alerts/channels", HOOK).status_code == 201
    answer = olga("POST", "alerts/channels", {**HOOK, "name": "second"})
    assert (answer.status_code, answer.json()["code"]) == (409, "limit")
    assert login("alice")("POST", f"{OWN}/channels", HOOK).status_code == 201, "its own bound"


# Rules


def test_rules_are_read_with_their_bounds_and_set_within_them(login: Login, db: None) -> None:
    olga, ada = login("olga"), login("ada")
    rules = {one["name"]: one for one in ada.get("alerts/rules")["results"]}
    rule = rules["sync-slow"]
    assert (rule["is_changed"], rule["in_force"]["threshold"]) == (False, rule["bound"]["default"])
    low, high = rule["bound"]["low"], rule["bound"]["high"]
    where = "alerts/rules/sync-slow"
    for wrong, field in (
        ({"threshold": high + 1}, "threshold"),
        ({"threshold": low - 1}, "threshold"),
        ({"hold_s": -1}, "hold_s"),
        ({"hold_s": 86_401}, "hold_s"),
        ({"severity": "loud"}, "severity"),
        ({"is_on": "perhaps"}, "is_on"),
        ({"loud": True}, "loud"),
    ):
        assert field_of(olga("PUT", where, wrong)) == field, wrong
    refused = olga("PUT", where, {"threshold": high + 1}).json()["detail"]
    assert f"{high:g}" in refused
    changed = olga("PUT", where, {"threshold": high, "severity": "note"}).json()
    assert changed["in_force"] == {**rule["in_force"], "threshold": high, "severity": "note"}
    assert (changed["is_changed"], changed["changed_by"]) == (True, "olga")
    assert olga("PUT", where, {"is_on": False}).json()["in_force"] == {
        **rule["in_force"],
        "is_on": False,
    }
    assert AlertRule.objects.count() == 1
    unbound = next(name for name, one in rules.items() if one["bound"] is None)
    assert field_of(olga("PUT", f"alerts/rules/{unbound}", {"threshold": 1})) == "threshold"
    for method, body in (("GET", None), ("PUT", {})):
        assert olga(method, "alerts/rules/nonsense", body).status_code == 404
    assert ada("PUT", where, {}).status_code == 403


# Saved searches


def test_a_search_is_kept_as_the_page_keeps_it_and_is_ones_own(
    login: Login, tenant: Tenant
) -> None:
    bob, ada = login("bob"), login("ada")
    mine = {"name": "refused", "tenant": "orders", "query": "?path=/a&failed=1"}
    made = bob("POST", "searches", mine)
    assert (made.status_code, made.json()["query"]) == (201, "path=%2Fa&failed=1")
    assert bob("POST", "searches", {**mine, "query": "person=dan"}).status_code == 201
    (kept,) = bob.get("searches")["results"]
    assert (kept["query"], kept["tenant"]) == ("person=dan", "orders")
    where = f"searches/{kept['number']}"
    assert bob.get(where) == kept
    assert ada("GET", where).status_code == ada("DELETE", where).status_code == 404
    assert ada.get("searches")["results"] == []
    for wrong in ({"query": "colour=red"}, {"query": "tenant=other"}, {"query": "zxid=x"},
                  {"query": "since=yesterday"}, {"query": "x" * 2_001}):  # fmt: skip
        assert field_of(bob("POST", "searches", mine | wrong)) == "query", wrong
    assert field_of(bob("POST", "searches", {"query": "path=/a"})) == "name"
    assert bob("POST", "searches", {"name": "all"}).status_code == 403
    assert bob("POST", "searches", {"name": "x", "tenant": "nowhere"}).status_code == 404
    assert login("carol")("POST", "searches", mine).status_code == 404
    assert ada("POST", "searches", {"name": "all", "query": "tenant=orders"}).status_code == 201
    assert bob("DELETE", where).status_code == 204
    assert not SavedSearch.objects.filter(user__username="bob").exists()


def test_E10_a_token_of_one_tenant_sees_the_searches_of_that_one(
    login: Login, tenant: Tenant, people: dict[str, Any]
) -> None:
    for of in ("orders", "other", ""):
        SavedSearch.objects.create(user=people["alice"], tenant=of, name="mine", query="")
    caller = login("alice", tenant=tenant)
    assert [one["tenant"] for one in caller.get("searches")["results"]] == ["orders"]
    other = SavedSearch.objects.get(tenant="other")
    assert caller("GET", f"searches/{other.pk}").status_code == 404
