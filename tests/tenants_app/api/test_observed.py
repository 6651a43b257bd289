"""What was collected, over the API: each sees what it may, in its own words."""

import csv
import io
import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User

from observability.changes import ChangeReader, Policy, Stretch
from observability.models import Lease
from observability.revisions import stored_by_tenant, write
from observability.roots import Roots
from observability.samples import table
from observability.samples.totals import Totals
from observability.store import LEASE, source_of
from tenants.models import Tenant
from tests.observability.index.test_search import fill
from tests.observability.people import NOON_MS, add, entry
from tests.observability.test_history import line
from tests.tenants_app.api.conftest import Login

pytestmark = pytest.mark.django_db(databases=["default", "observed"])


@pytest.fixture(autouse=True)
def old(tenant: Tenant) -> None:
    """A tenant's people see nothing of the time before it was made."""
    Tenant.objects.filter(pk=tenant.pk).update(created_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def rows() -> None:
    """Twelve lines of `orders`, and one of another tenant."""
    for at in range(12):
        add(replace(entry(at), tenant="orders", path=f"/tenants/orders/n{at}"))
    add(replace(entry(20), tenant="other", path="/tenants/other/x", result="NoAuth"))


@pytest.mark.usefixtures("rows")
def test_a_member_searches_the_trail_of_the_tenant_and_sees_its_own_paths(login: Login) -> None:
    bob = login("bob")
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        more = {"cursor": cursor} if cursor else {}
        page = bob.get("tenants/orders/audit", limit=5, **more)
        seen += [line["path"] for line in page["results"]]
        cursor = page["cursor"]
    assert seen == [f"/n{at}" for at in reversed(range(12))]
    found = bob.get("tenants/orders/audit", path="/n3")["results"]
    assert [(line["path"], line["zxid"], line["at"]) for line in found] == [
        ("/n3", "0x4", NOON_MS + 3_000)
    ]
    facets = bob.get("tenants/orders/audit/facets")
    assert facets["counts"]["operation"] == [["create", 12]]
    assert bob("GET", "audit").status_code == 403
    unknown = bob("GET", "tenants/orders/audit?tenant=other")
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (400, "tenant")


@pytest.mark.usefixtures("rows")
def test_an_auditor_searches_everything(login: Login) -> None:
    ada = login("ada")
    assert len(ada.get("audit", limit=100)["results"]) == 13
    found = ada.get("audit", failed="true")["results"]
    assert [line["path"] for line in found] == ["/tenants/other/x"]
    assert len(ada.get("audit", zxid="0x4")["results"]) == 1
    assert ada.get("audit/facets")["counts"]["tenant"][0] == ["orders", 12]
    for query in ("zxid=4", "cursor=x", "limit=0", "since_ms=yesterday"):
        assert ada("GET", f"audit?{query}").status_code == 400, query


@pytest.mark.usefixtures("rows")
def test_a_search_is_given_as_a_file(login: Login) -> None:
    bob, ada = login("bob"), login("ada")
    answer = bob("GET", "tenants/orders/audit/export?form=csv&path=/n1")
    text = b"".join(answer.streaming_content).decode()
    assert [row["path"] for row in csv.DictReader(io.StringIO(text))] == ["/n1"]
    answer = ada("GET", "audit/export")
    assert answer["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert len(lines) == 13
    assert ada("GET", "audit/export?form=xls").status_code == 400


def test_usage_and_figures_are_those_of_the_collector(
    login: Login, tenant: Tenant, people: dict[str, User]
) -> None:
    bob, ada = login("bob"), login("ada")
    assert bob.get("tenants/orders/usage")["at"] == 0
    one = table.make_series("main", "tenant", ["orders"])["orders"]
    now = int(time.time())
    table.write(1, [table.row_of(one, now - 3, 1, Totals(), {"znodes": 3})])
    usage = bob.get("tenants/orders/usage")
    assert (usage["used"]["znodes"], usage["limits"]["znodes"]) == (3, 9)
    assert usage["shares"]["znodes"] == pytest.approx(1 / 3)
    points = bob.get("tenants/orders/metrics", since=now - 60, until=now)["points"]
    assert [point["usage"]["znodes"] for point in points] == [3]
    assert ada.get("ensembles/main/top", by="requests")["results"] == []
    tenant.ensemble.nodes.create(name="node1", client="127.0.0.1:1")
    assert ada.get("ensembles/main/nodes/node1/metrics")["points"] == []
    assert ada("GET", "ensembles/main/nodes/node9/metrics").status_code == 404


def test_a_znodes_past_is_told_in_the_tenants_words(login: Login, tenant: Tenant) -> None:
    Lease.objects.create(name=LEASE, holder="test", term=1)
    reader = ChangeReader(stored_by_tenant("main"))
    reader.roots = Roots({"/tenants/orders": "orders"})
    reader.policies = {"orders": Policy(root="/tenants/orders")}
    stretch = Stretch()
    for raw in (
        line(1, "create", "/tenants/orders/a", b"one", version=0),
        line(2, "setData", "/tenants/orders/a", b"\xff\x00", version=1),
        line(3, "delete", "/tenants/orders/a"),
        line(4, "create", "/elsewhere", b"x", version=0),
    ):
        reader.read(raw, stretch)
    write(1, source_of("changes", "main", ""), stretch, reader.stored)
    bob, ada = login("bob"), login("ada")
    found = bob.get("tenants/orders/history", path="/a", values="true")["results"]
    assert [(c["operation"], c["encoding"], c["value"], c["zxid"]) for c in found] == [
        ("delete", None, None, "0x3"),
        ("setData", "base64", "/wA=", "0x2"),
        ("create", "text", "one", "0x1"),
    ]
    page = bob.get("tenants/orders/history", path="/a", limit=2)
    assert [c["value"] for c in page["results"]] == [None, None]
    rest = bob.get("tenants/orders/history", path="/a", limit=2, cursor=page["cursor"])
    assert ([c["zxid"] for c in rest["results"]], rest["cursor"]) == (["0x1"], None)
    assert bob.get("tenants/orders/history/at", path="/a", zxid="0x1")["value"] == "one"
    assert bob.get("tenants/orders/history/at", path="/a", at_ms=NOON_MS + 9_000)["is_delete"]
    assert bob("GET", "tenants/orders/history/at?path=/a&at_ms=5").status_code == 404
    for query in ("path=/a", "path=/a&zxid=0x1&at_ms=5", "path=a&zxid=0x1", "path=/a&zxid=1"):
        assert bob("GET", f"tenants/orders/history/at?{query}").status_code == 400, query
    times = {"since_ms": NOON_MS, "until_ms": NOON_MS + 9_000}
    (changed,) = bob.get("tenants/orders/history/changed", **times)["results"]
    assert (changed["path"], changed["times"], changed["last_zxid"]) == ("/a", 3, "0x3")
    assert bob.get("tenants/orders/history", path="/elsewhere")["results"] == []
    assert bob("GET", "ensembles/main/history?path=/elsewhere").status_code == 403
    whole = ada.get("ensembles/main/history", path="/elsewhere", values="true")["results"]
    assert [c["value"] for c in whole] == ["x"]
    assert bob("GET", "tenants/orders/history?path=/a&cursor=x").status_code == 400


def test_a_search_answers_within_what_somebody_sees(login: Login, tenant: Tenant) -> None:
    fill(
        ("/tenants/orders/config", "the needle is here"),
        ("/tenants/orders/needle", ""),
        ("/tenants/other/needle", "theirs"),
    )
    bob, ada, olga = login("bob"), login("ada"), login("olga")
    found = bob.get("tenants/orders/search", q="needle", limit=1)
    assert (found["total"], found["is_all"], found["tenants"]) == (2, True, [])
    rest = bob.get("tenants/orders/search", q="needle", limit=1, cursor=found["cursor"])
    assert [one["path"] for one in found["results"] + rest["results"]] == ["/needle", "/config"]
    assert rest["results"][0]["snippet"] == "the needle is here"
    assert found["index"]["is_complete"] is False
    assert ada.get("tenants/orders/search", q="needle")["total"] == 2
    assert olga.get("ensembles/main/search", q="needle")["total"] == 3
    assert ada.get("ensembles/main/search", q="needle")["total"] == 3
    assert bob("GET", "ensembles/main/search?q=needle").status_code == 403
    for query in ("", "?q=", "?q=size:big", "?q=a&cursor=x", "?q=a&limit=0", "?q=%2F%28%2F"):
        answer = bob("GET", f"tenants/orders/search{query}")
        assert answer.status_code == 400, query
    assert "size:>10k" in str(bob("GET", "tenants/orders/search?q=size:big").json())


def test_whether_something_is_collected_and_sound_is_told(login: Login, tenant: Tenant) -> None:
    ada = login("ada")
    assert ada.get("ensembles/main/collected") == {"is_alive": False, "follows": []}
    source_of("journal", "main", "node1")
    (follow,) = ada.get("ensembles/main/collected")["follows"]
    assert (follow["kind"], follow["node"]) == ("journal", "node1")
    assert ada.get("audit/verdicts") == {"results": []}


def test_objectives_are_set_by_owners_and_read_with_their_budgets(login: Login) -> None:
    alice, bob = login("alice"), login("bob")
    found = bob.get("tenants/orders/objectives")
    assert found["own"] == {}
    assert found["in_force"]["availability"] == 99.9
    assert [one["kind"] for one in found["budgets"]] == ["availability", "latency"]
    assert found["budgets"][0]["burn_1h"] is None
    where = "tenants/orders/objectives"
    assert bob("PUT", where, {"days": 7}).status_code == 403
    assert alice("PUT", where, {"days": 0}).status_code == 400
    assert alice("PUT", where, {"speed": 1}).status_code == 400
    assert alice("PUT", where, {"days": 7}).json()["in_force"]["days"] == 7
    olga = login("olga")
    plan = Tenant.objects.get().plan.name
    assert olga("PUT", f"plans/{plan}/objectives", {"latency_ms": 50}).json()["own"] == {
        "latency_ms": 50
    }
    assert bob.get(where)["in_force"] == {**found["in_force"], "days": 7, "latency_ms": 50}
    named = login("ada").get("ensembles/main/neighbours")
    assert named["results"] == []
    assert "40%" in named["rule"]
