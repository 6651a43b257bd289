"""Dashboards and slow requests as pages: who sees whose, and what stands there without script."""

import json
import re
import time
from typing import Any

import pytest

from console.charts import ENSEMBLES, TENANTS
from console.views.figures import slow
from observability.samples import table
from tenants.models import Ensemble, Node, Tenant
from tests.console.cast import SLUG, make_tenant
from tests.console.plane.conftest import Go, text_of
from tests.observability.test_dashboards import seconds
from tests.observability.test_objectives import busy, reads

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
TRICK = "\u202e<script>"


@pytest.fixture
def begin(tenant: Tenant) -> int:
    """Thirty seconds were collected, of the cast's tenant and of one node."""
    first = int(time.time()) - 60
    Tenant.objects.update(created_at="2026-01-01T00:00:00Z")
    seconds("node1", first, first + 29)
    seconds(SLUG, first, first + 29, reads=5, kind="tenant")
    return first


def test_the_page_names_its_charts_and_has_a_table_for_who_has_no_script(
    go: Go, begin: int
) -> None:
    page = text_of(go("bob", f"/tenants/{SLUG}/dashboard?since={begin}&until={begin + 30}"))
    for group in TENANTS:
        for chart in group.charts:
            assert f'data-chart="{chart.key}"' in page
    rows = re.findall(r"<tr><th scope=\"row\"><time.*?</tr>", page.split("<noscript>")[1])
    assert rows
    assert '<td class="number">5</td>' in rows[-1]
    assert page.count('aria-current="true"') == 0, "two times are none of the ranges"
    live = text_of(go("bob", f"/tenants/{SLUG}/dashboard?range=live"))
    assert 'data-range="live" aria-current="true"' in live
    config = json.loads(
        live.split('id="dashboard-config" type="application/json">')[1].split("<")[0]
    )
    assert config["subject"] == f"tenant:{SLUG}"
    assert [chart["key"] for chart in config["charts"]] == [
        chart.key for group in TENANTS for chart in group.charts
    ]


def test_figures_are_columns_of_a_stretch_and_of_what_they_are_compared_with(
    go: Go, begin: int, cast: dict[str, Any]
) -> None:
    make_tenant(cast, "orders")
    Tenant.objects.update(created_at="2026-01-01T00:00:00Z")
    seconds("orders", begin, begin + 29, reads=2, kind="tenant")
    where = f"/tenants/{SLUG}/figures?since={begin}&until={begin + 30}"
    found = go("alice", where).json()
    assert found["other"] is None
    assert found["values"]["requests"] == [5.0] * 30
    both = go("alice", f"{where}&with=tenant:orders").json()
    assert both["other"]["values"]["requests"] == [2.0] * 30
    hour_ago = (begin - 3_600) // 10 * 10
    ids = [seconds("node1", hour_ago, hour_ago + 39)]
    ids.append(seconds(SLUG, hour_ago, hour_ago + 39, reads=3, kind="tenant"))
    table.roll_up(10, ids, hour_ago, hour_ago + 39)
    earlier = go("alice", f"{where}&earlier=1h").json()
    assert earlier["shift"] == 3_600
    assert [at - 3_600 for at in earlier["at"]] == earlier["other"]["at"]
    assert set(earlier["other"]["values"]["requests"]) == {3.0}
    assert earlier["step"] == earlier["other"]["step"] == 10, "older samples are coarser"
    at_a_time = go("alice", f"{where}&earlier={begin - 3_600}").json()
    assert at_a_time["other"] == earlier["other"]
    late = go("alice", f"{where}&earlier={begin + 1}")
    assert late.status_code == 422
    assert "use a time before" in late.json()["error"]
    page = text_of(go("alice", f"/tenants/{SLUG}/dashboard?range=1h&earlier=2026-01-02T03:04"))
    assert "from 2026-01-02 03:04 UTC on" in page
    where = f"/tenants/{SLUG}/dashboard?since=2026-01-03T00:00&until=2026-01-04T00:00"
    page = text_of(go("alice", f"{where}&earlier=2026-01-03T01:00"))
    assert page.count("use a time before 2026-01-03T00:00") == 1
    assert 'value="2026-01-04T00:00"' in page, "the times that were asked for stay"
    assert go("alice", f"/tenants/{SLUG}/figures?range=2h").status_code == 422
    assert "range is" in text_of(go("alice", f"/tenants/{SLUG}/dashboard?range=2h"))


def test_whose_figures_somebody_may_compare_with_is_whose_they_may_see(
    go: Go, begin: int, cast: dict[str, Any]
) -> None:
    stranger = Tenant.objects.create(
        slug="stranger", ensemble=Ensemble.objects.get(), plan=Tenant.objects.get().plan, root="/s"
    )
    where = f"/tenants/{SLUG}/figures?range=1h&with="
    assert go("alice", f"{where}tenant:stranger").status_code == 404
    assert go("alice", f"{where}tenant:nobody").status_code == 404
    assert go("alice", f"{where}ensemble:main").status_code == 403
    assert go("alice", f"{where}what").status_code == 404
    assert go("ada", f"{where}tenant:stranger").status_code == 200
    page = text_of(go("alice", f"/tenants/{SLUG}/dashboard?with=tenant:stranger"))
    assert stranger.slug not in page.split("<main")[1]


def test_an_ensembles_dashboard_is_of_all_nodes_or_of_one(go: Go, begin: int) -> None:
    page = text_of(go("ada", "/ensembles/main/dashboard"))
    assert all(f'data-chart="{c.key}"' in page for group in ENSEMBLES for c in group.charts)
    assert "?node=node1" in page
    one = text_of(go("ada", "/ensembles/main/dashboard?node=node1"))
    assert "node:main:node1" in one
    found = go("ada", f"/ensembles/main/figures?since={begin}&until={begin + 30}&node=node1").json()
    assert found["values"]["connections"] == [3] * 30
    assert go("ada", "/ensembles/main/dashboard?node=nowhere").status_code == 404
    assert go("ada", "/ensembles/other/dashboard").status_code == 404
    for where in ("dashboard", "figures", "slow"):
        assert go("alice", f"/ensembles/main/{where}").status_code == 403
        assert go("carol", f"/tenants/{SLUG}/{where}").status_code == 404


def entry(tenant: str, path: str, ms: float = 150.0, **more: Any) -> dict[str, Any]:
    return {
        "number": 1, "time_ms": int(time.time() * 1_000) - 1_000, "op": "getData", "total_ms": ms,
        "queue_ms": 1.0, "commit_ms": 2.0, "reply_ms": 3.0, "error": 0, "path": path,
        "tenant": tenant, "principal": "app@x", "session": "0x1", "address": "10.0.0.9:1", **more,
    }  # fmt: skip


def test_slow_requests_are_a_tenants_own_in_its_own_paths(
    go: Go, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    Node.objects.create(
        ensemble=tenant.ensemble, name="node1", client="127.0.0.1:1", admin_url="http://127.0.0.1:1"
    )
    Node.objects.create(
        ensemble=tenant.ensemble, name="node2", client="127.0.0.1:2", admin_url="http://127.0.0.1:2"
    )
    Tenant.objects.update(created_at="2026-01-01T00:00:00Z")
    said = [
        entry(SLUG, f"/tenants/{SLUG}/own"),
        entry(SLUG, f"/tenants/{SLUG}/{TRICK}", principal=TRICK),
        entry(SLUG, "/tenants/payments-too/elsewhere"),
        entry("orders", "/tenants/orders/theirs"),
        entry(SLUG, f"/tenants/{SLUG}/old", time_ms=1_000),
        "nonsense",
        {"tenant": SLUG},
        entry(SLUG, "/x", time_ms=1e300),
    ]
    asked: list[str] = []

    def ask(node: Node, path: str, token: str) -> dict[str, Any]:
        asked.append(path)
        return {"requests": said, "threshold_ms": 100.0} if node.name == "node1" else {}

    monkeypatch.setattr(slow, "ask", ask)
    page = text_of(go("bob", f"/tenants/{SLUG}/slow"))
    assert all(f"tenant={SLUG}" in path for path in asked)
    assert "<bdi>/own</bdi>" in page
    assert "‹U+202E›&lt;script&gt;" in page
    for hidden in ("theirs", "elsewhere", "/old", "10.0.0.9", "payments-too"):
        assert hidden not in page, hidden
    assert "node2 did not say" in page
    assert "from 100 ms on" in page
    everybody = text_of(go("ada", "/ensembles/main/slow"))
    assert "/tenants/orders/theirs" in everybody


def test_without_an_admin_port_the_page_says_what_it_takes(go: Go, tenant: Tenant) -> None:
    assert "it takes an admin port" in text_of(go("bob", f"/tenants/{SLUG}/slow"))


def test_a_page_with_many_names_to_compare_with_offers_some(go: Go, tenant: Tenant) -> None:
    Tenant.objects.bulk_create(
        Tenant(slug=f"t-{n:04}", ensemble=tenant.ensemble, plan=tenant.plan, root=f"/tenants/t-{n}")
        for n in range(300)
    )
    page = text_of(go("olga", f"/tenants/{SLUG}/dashboard"))
    assert page.count('value="tenant:t-') == 200
    assert table.series_ids("main", "tenant") == {}


def test_owners_set_objectives_and_see_their_budget(go: Go, begin: int) -> None:
    where = f"/tenants/{SLUG}/objective"
    assert go("bob", where, {"days": "7"}).status_code == 403
    wrong = go("alice", where, {"availability": "100", "latency_ms": "20"})
    assert wrong.status_code == 422
    assert "availability is 100" in text_of(wrong)
    assert 'value="20"' in text_of(wrong), "what was typed is not lost"
    done = go("alice", where, {"availability": "99.5", "latency_ms": "20", "latency_of": ""})
    assert done.status_code == 302
    assert Tenant.objects.get().objectives == {"availability": 99.5, "latency_ms": 20}
    table.roll_up(10, table.series_ids("main", "tenant").values(), begin, begin + 40)
    page = text_of(go("bob", f"/tenants/{SLUG}/dashboard"))
    assert "99.5 % of requests without an error" in page
    assert "99 % of reads within 20 ms" in page
    assert "<b>100 %</b> of " in page
    assert "100 % of the error budget left" in page


def test_operators_set_a_plans_objectives(go: Go, begin: int) -> None:
    assert go("olga", "/plans/of/cast/objective", {"days": "0"}).status_code == 422
    assert go("olga", "/plans/of/cast/objective", {"days": "7"}).status_code == 302
    assert "server&#x27;s, 7 days" in text_of(go("bob", f"/tenants/{SLUG}/dashboard"))


def test_noisy_neighbours_stand_where_operators_look_and_nowhere_else(
    go: Go, tenant: Tenant
) -> None:
    now = int(time.time()) // 10 * 10
    # The windows end with the newest whole ten seconds, whichever that is when pages are made.
    for later in (0, 10, 20):
        busy("loud", now + later, 700, reads(50), reads(5_000))
        busy(SLUG, now + later, 20, reads(100), reads(50, slow=10))
    Tenant.objects.create(slug="loud", ensemble=tenant.ensemble, plan=tenant.plan, root="/loud")
    for where in ("/tenants/", "/ensembles/main/dashboard"):
        page = text_of(go("olga", where))
        assert "<b>loud</b> may be a noisy neighbour" in page, where
        assert "/tenants/loud/steer" in page
        assert "/tenants/loud/steer" not in text_of(go("ada", where))
    assert "noisy neighbour" not in text_of(go("alice", "/tenants/"))
    costly = text_of(go("ada", "/ensembles/main/dashboard"))
    assert costly.index('dashboard?range=live">loud<') < costly.index(
        f'dashboard?range=live">{SLUG}<'
    )
