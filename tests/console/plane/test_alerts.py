"""The pages about alerts: what each of the cast sees, does, and is refused."""

import re
import time
from typing import Any

import pytest

from observability.alerts import read
from observability.alerts.evaluate import EVALUATED
from observability.models import Alert, Delivery, Fact
from tenants.models import AlertChannel, AlertNote, AlertRule, AlertSilence, AuditEvent, Tenant
from tests.console.cast import SLUG
from tests.console.plane.conftest import Go, text_of

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
OWN = f"/tenants/{SLUG}/alerts/"
EVIL = "<script>alert(1)</script>\u202e"


def make(rule: str = "quota-full", **more: Any) -> Alert:
    now = time.time_ns() // 1_000_000
    fields: dict[str, Any] = {
        "rule": rule, "ensemble": "main", "tenant": SLUG, "severity": "page", "status": "firing",
        "summary": f"summary of {rule}", "since": now - 60_000, "seen_at": now,
        "fired_at": now - 30_000, "evidence": {"first": {"used": 950, "at": now - 60_000},
        "now": {"used": 990, "limit": 1_000, "at": now}},
    }  # fmt: skip
    return Alert.objects.create(**{**fields, **more})


def awake() -> None:
    Fact.objects.update_or_create(
        pk=EVALUATED, defaults={"at": time.time_ns() // 1_000_000, "value": {}}
    )


def test_operators_and_auditors_see_all_and_members_what_is_theirs(go: Go, tenant: Tenant) -> None:
    awake()
    make()
    make("noisy-neighbour", severity="ticket")
    make("node-gone", tenant="", node="node3", severity="ticket")
    make("quota-near", tenant="orders")
    make("quota-near", status="pending")
    for name in ("olga", "ada"):
        page = text_of(go(name, "/alerts/"))
        for rule in ("quota-full", "noisy-neighbour", "node-gone", "quota-near"):
            assert page.count(f"summary of {rule}") == 1, rule
        assert page.index("quota-full") < page.index("node-gone"), "the weightiest first"
    for name in ("alice", "dan", "bob"):
        page = text_of(go(name, OWN))
        assert "summary of quota-full" in page
        for rule in ("noisy-neighbour", "node-gone", "quota-near"):
            assert f"summary of {rule}" not in page
        assert go(name, "/alerts/").status_code == 403
    assert go("carol", OWN).status_code == 404
    only = text_of(go("ada", "/alerts/?severity=ticket"))
    assert "summary of quota-full" not in only


def test_an_alert_of_who_had_the_name_before_is_nobodys_to_see(go: Go, tenant: Tenant) -> None:
    old = int(tenant.created_at.timestamp() * 1_000) - 1_000
    before = make(status="resolved", seen_at=old, resolved_at=old, since=old, fired_at=old)
    assert "summary of" not in text_of(go("bob", OWN))
    assert go("bob", f"{OWN}of/{before.pk}").status_code == 404
    assert go("ada", f"/alerts/of/{before.pk}").status_code == 200


def test_one_alert_says_why_what_to_do_and_where_to_look(go: Go, tenant: Tenant) -> None:
    alert = make()
    page = text_of(go("olga", f"/alerts/of/{alert.pk}"))
    for words in ("What to do", "Delete what is not needed", "990", f"/tenants/{SLUG}/steer",
                  f"/tenants/{SLUG}/audit?since="):  # fmt: skip
        assert words in page, words
    own = text_of(go("bob", f"{OWN}of/{alert.pk}"))
    assert "What to do" in own
    for words in ("/steer", "I see to it", "/alerts/rules", 'action="/alerts'):
        assert words not in own, words
    hidden = make("noisy-neighbour")
    assert go("bob", f"{OWN}of/{hidden.pk}").status_code == 404
    assert go("olga", "/alerts/of/999999").status_code == 404


def test_somebody_sees_to_it_and_everybody_knows_who(go: Go, tenant: Tenant) -> None:
    awake()
    alert = make()
    assert read.firing_counts(person("bob"))["page"] == 1
    assert go("bob", f"{OWN}of/{alert.pk}/note", {"note": "x"}).status_code == 403
    empty = go("dan", f"{OWN}of/{alert.pk}/note", {"note": " "})
    assert empty.status_code == 422
    done = go("dan", f"{OWN}of/{alert.pk}/note", {"note": f"cleaning up {EVIL}"}, follow=True)
    page = text_of(done)
    assert "cleaning up &lt;script&gt;" in page
    assert "‹U+202E›" in page
    assert "In somebody&#x27;s hands" in text_of(go("ada", "/alerts/")).replace("'", "&#x27;")
    assert read.firing_counts(person("bob"))["page"] == 0
    assert AuditEvent.objects.get(verb="alert.acknowledged").tenant == SLUG
    go("dan", f"{OWN}of/{alert.pk}/note", {"note": "", "how": "back"})
    assert AlertNote.objects.count() == 2
    assert read.firing_counts(person("bob"))["page"] == 1


def person(name: str) -> Any:
    from django.contrib.auth.models import User

    return User.objects.get(username=name)


def test_a_silence_has_an_end_a_reason_and_stays_within_the_tenant(go: Go, tenant: Tenant) -> None:
    awake()
    alert = make()
    new = f"{OWN}silences/new"
    values = {"rule": "quota-full", "hours": "4", "reason": "a load test"}
    assert go("bob", new, values).status_code == 403
    for wrong in ({"reason": ""}, {"hours": "9999"}, {"rule": "node-gone"}, {"rule": "nonsense"}):
        assert go("dan", new, values | wrong).status_code == 422, wrong
    assert not AlertSilence.objects.exists()
    assert "a load test" in text_of(go("dan", new, values | {"tenant": "orders"}, follow=True))
    made = AlertSilence.objects.get()
    assert (made.tenant, made.made_by) == (SLUG, "dan")
    assert "Silenced until" in text_of(go("bob", OWN))
    assert read.firing_counts(person("dan"))["page"] == 0
    assert read.firing_counts(person("olga"))["page"] == 1, "operators go on to see it"
    assert "Silenced until" not in text_of(go("olga", "/alerts/"))
    theirs = AlertSilence.objects.create(
        tenant="orders", reason="r", made_by="x", ends_at=made.ends_at
    )
    assert go("dan", f"{OWN}silences/{theirs.pk}/end", {}).status_code == 404
    go("dan", f"{OWN}silences/{made.pk}/end", {})
    assert "Silenced until" not in text_of(go("bob", f"{OWN}of/{alert.pk}"))
    assert go("olga", "/alerts/silences/new", {"hours": "1", "reason": "all"}).status_code == 422
    assert go("olga", "/alerts/silences/new", {
        "node": "node2", "hours": "1", "reason": "a new disk",
    }).status_code == 302  # fmt: skip
    assert "a new disk" in text_of(go("ada", "/alerts/silences"))
    refused = go("ada", "/alerts/silences/new", {"rule": "drift", "hours": "1", "reason": "x"})
    assert refused.status_code == 403


def test_rules_are_changed_within_their_bounds_by_operators(go: Go, tenant: Tenant) -> None:
    page = text_of(go("ada", "/alerts/rules"))
    assert "EnsembleDiskSlow" in page
    assert 'href="/alerts/rules/sync-slow"' not in page
    assert go("ada", "/alerts/rules/sync-slow").status_code == 403
    assert go("olga", "/alerts/rules/nonsense").status_code == 404
    where = "/alerts/rules/sync-slow"
    for wrong in ({"threshold": "0"}, {"threshold": "nan"}, {"threshold": "x"}, {"hold_s": "-1"},
                  {"hold_s": "100000"}, {"severity": "loud"}):  # fmt: skip
        answer = go("olga", where, {"is_on": "on", **wrong})
        assert answer.status_code == 422, wrong
        assert 'role="alert"' in text_of(answer)
    assert "use 1 to 10000 (ms a sync" in text_of(go("olga", where, {"threshold": "0"}))
    go("olga", where, {"threshold": "250", "hold_s": "", "severity": "page"})
    row = AlertRule.objects.get()
    assert (row.is_on, row.threshold, row.hold_s, row.severity) == (False, 250.0, None, "page")
    page = text_of(go("ada", "/alerts/rules"))
    assert ">off<" in page
    assert "<b>250</b>" in page
    event = AuditEvent.objects.get(verb="alert.rule")
    assert event.detail["after"] == {"on": False, "threshold": 250.0, "severity": "page"}


def test_a_channels_secret_is_shown_once_and_kept_by_nobody_who_reads(
    go: Go, tenant: Tenant
) -> None:
    new = {"name": "pager", "kind": "webhook", "url": "https://hooks.example/T0/secret-path",
           "addresses": "", "severity": "page"}  # fmt: skip
    made = text_of(go("olga", "/alerts/channels/new", new))
    secret = made.split('<code id="secret">')[1].split("<")[0]
    row = AlertChannel.objects.get()
    assert secret not in row.secret
    assert not AuditEvent.objects.filter(detail__icontains=secret).exists()
    page = f"/alerts/channels/{row.pk}"
    assert secret not in text_of(go("olga", page))
    assert "secret-path" in text_of(go("olga", page))
    assert "secret-path" not in text_of(go("ada", page)), "an address may be a secret in itself"
    assert "secret-path" not in text_of(go("ada", "/alerts/channels"))
    again = text_of(go("olga", f"{page}/act", {"how": "secret"}))
    assert again.split('<code id="secret">')[1].split("<")[0] != secret
    go("olga", f"{page}/act", {"how": "test"})
    assert Delivery.objects.get().event == "test"
    go("olga", f"{page}/act", {"how": "off"})
    assert go("olga", f"{page}/act", {"how": "remove", "confirm": "x"}).status_code == 422
    assert go("ada", f"{page}/act", {"how": "remove", "confirm": "pager"}).status_code == 403
    go("olga", f"{page}/act", {"how": "remove", "confirm": "pager"})
    assert not AlertChannel.objects.exists()
    assert "host" in AuditEvent.objects.get(verb="alert.channel_made").detail


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": ""},
        {"url": "ftp://x/y"},
        {"url": "https://user:pass@hooks.example/"},
        {"url": "https://hooks.example:99999/"},
        {"url": "https:///nothing"},
        {"url": "https://hooks.example/\u202ex"},
        {"url": "javascript:alert(1)"},
        {"kind": "mail", "addresses": ""},
        {"kind": "mail", "addresses": "not an address"},
        {"kind": "mail", "addresses": "\n".join(f"a{n}@b.example" for n in range(21))},
        {"name": ""},
        {"severity": "loud"},
    ],
)
def test_a_channel_that_leads_nowhere_is_refused_at_its_field(
    wrong: dict[str, str], go: Go, tenant: Tenant
) -> None:
    new = {"name": "n", "kind": "webhook", "url": "https://hooks.example/", "addresses": "",
           "severity": "page"}  # fmt: skip
    answer = go("alice", f"{OWN}channels/new", new | wrong)
    assert answer.status_code == 422
    assert 'role="alert"' in text_of(answer)
    assert not AlertChannel.objects.exists()


def test_owners_have_channels_of_their_own_and_nobody_elses(go: Go, tenant: Tenant) -> None:
    new = {"name": "team", "kind": "mail", "addresses": "a@b.example", "severity": "ticket"}
    for name in ("dan", "bob", "ada"):
        assert go(name, f"{OWN}channels/new", new).status_code == 403
    assert go("alice", f"{OWN}channels/new", new).status_code == 200
    own = AlertChannel.objects.get()
    assert own.tenant == tenant
    planes = AlertChannel.objects.create(
        name="ops", kind="webhook", url="https://x.example/", made_by="olga"
    )
    assert go("alice", f"{OWN}channels/{planes.pk}").status_code == 404
    assert go("alice", f"{OWN}channels/{planes.pk}/act", {"how": "off"}).status_code == 404
    assert go("olga", f"/alerts/channels/{own.pk}").status_code == 404
    alert = make()
    for channel in (own, planes):
        Delivery.objects.create(
            message=str(channel.pk), channel=channel.pk, alert=alert.pk, event="firing", body={},
            status="sent", made_at=1, next_try_at=1,
        )  # fmt: skip
    assert "<bdi>ops</bdi>" not in text_of(go("alice", f"{OWN}of/{alert.pk}"))
    assert "<bdi>ops</bdi>" in text_of(go("ada", f"/alerts/of/{alert.pk}"))


def test_where_nobody_looks_at_the_rules_the_page_says_so_and_it_counts(
    go: Go, tenant: Tenant
) -> None:
    assert "No rule has been looked at yet" in text_of(go("ada", "/alerts/"))
    awake()
    page = text_of(go("ada", "/alerts/"))
    assert "Nothing fires" in page
    assert read.firing_counts(person("ada")) == {"page": 0, "ticket": 0, "note": 0}
    Fact.objects.update(at=time.time_ns() // 1_000_000 - 600_000)
    page = text_of(go("ada", "/alerts/"))
    assert "Nobody looks at the rules" in page
    assert "Nothing fires" not in page, "missing figures are no good news"
    assert read.firing_counts(person("ada"))["page"] == 1
    assert read.firing_counts(person("bob"))["page"] == 0, "it is not theirs to solve"


def test_hostile_words_do_nothing_and_many_alerts_are_paged(go: Go, tenant: Tenant) -> None:
    make(summary=EVIL, of=EVIL, node=EVIL, evidence={"now": {EVIL: EVIL, "at": 1}})
    AlertSilence.objects.create(
        tenant=SLUG, reason=EVIL, made_by=EVIL, ends_at="2099-01-01T00:00:00Z"
    )
    now = time.time_ns() // 1_000_000
    for n in range(70):
        make("quota-near", status="resolved", of=f"n{n}", resolved_at=now)
    for where in ("/alerts/", f"/alerts/of/{Alert.objects.order_by('pk')[0].pk}",
                  "/alerts/silences"):  # fmt: skip
        page = text_of(go("olga", where))
        assert "<script>alert" not in page
        # A field of a form shows what is kept, as it is; elsewhere nothing turns the text.
        assert "\u202e" not in re.sub("<input[^>]*>", "", page)
    first = text_of(go("ada", "/alerts/"))
    assert first.count("summary of quota-near") == 30
    older = first.split('rel="next" href="')[1].split('"')[0]
    assert text_of(go("ada", f"/alerts/{older}")).count("summary of quota-near") == 30
    for nonsense in ("?before=x", "?before=-1", "?severity=x"):
        assert go("ada", f"/alerts/{nonsense}").status_code == 200
