"""What was collected, over the API: each sees what it may, in its own words."""

import csv
import io
import json
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User

from observability.samples import table
from observability.samples.totals import Totals
from tenants.models import Tenant
from tests.observability.people import NOON_MS, add, entry
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
    wrong = bob("GET", f"tenants/orders/metrics?since={now}&until={now - 5}")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid")
    assert ada.get("ensembles/main/top", by="requests")["results"] == []
    tenant.ensemble.nodes.create(name="node1", client="127.0.0.1:1")
    assert ada.get("ensembles/main/nodes/node1/metrics")["points"] == []
    assert ada("GET", "ensembles/main/nodes/node9/metrics").status_code == 404
