"""Alert rules and dashboards: they parse, they fire, and every name in them is a real server's."""

import asyncio
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ensemble.client import NoNodeError
from tests.deploy.queries import metrics_in
from tests.ensembles import Ensemble, ours
from tests.harness import ROOT
from tests.needs import need
from tests.ports import free_ports
from tests.tenants import make_tenants, tenant_client, trusting

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
SCRAPED_WITHIN_S = 60.0


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> list[tuple[str, str]]:
    found = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            found += [(f"{path.stem}: {panel['title']}", t["expr"]) for t in panel["targets"]]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                series = re.match(r"label_values\((.*), \w+\)", variable["query"]["query"])
                assert series is not None
                found.append((f"{path.stem}: {variable['name']}", series[1]))
    return found


def test_names_are_found_in_expressions() -> None:
    text = 'sum by (a, b) (rate(x_total{j="y"}[5m])) / on (c) (p:q > 0.5) and z unless on () w'
    assert metrics_in(text) == {"x_total", "p:q", "z", "w"}


def test_every_alert_says_whom_it_wakes_and_what_to_do() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 25
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]


def test_dashboards_have_panels_that_do_not_overlap() -> None:
    assert len(DASHBOARDS) == 2
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        taken: set[tuple[int, int]] = set()
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_promtool_takes_the_rules_and_they_fire_when_they_should(tmp_path: Path) -> None:
    need("promtool")
    checked = subprocess.run(
        ["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    cases = yaml.safe_load((ROOT / "tests" / "deploy" / "rules_test.yaml").read_text())
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({**cases, "rule_files": [str(RULES)]}))
    tested = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "test.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


# --- with real servers


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """Three servers of ours with admin ports, and a tenant that has done something of each kind."""
    folder = Path(tmp_path_factory.mktemp("nodes"))
    with Ensemble(folder, [ours()] * 3, trusting(folder / "keys")) as ensemble:
        for member, port in zip(ensemble.all, free_ports(3), strict=True):
            member.config["admin.enableServer"] = "true"
            member.config["admin.serverPort"] = port
            member.config["admin.serverAddress"] = "127.0.0.1"
        ensemble.start().wait_serving()
        asyncio.run(work(ensemble.address))
        yield ensemble


async def work(address: str) -> None:
    limits = {"znodes": 100, "requests_per_second": 1_000}
    tokens = await make_tenants(address, "pay", limits=limits)
    async with tenant_client(address, tokens["pay"]) as client:
        await client.create("/a", b"x")
        await client.get("/a")
        with pytest.raises(NoNodeError):
            await client.get("/none")


def admin_of(member: Any) -> str:
    return f"127.0.0.1:{member.config['admin.serverPort']}"


def names_at(url: str) -> set[str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return set(re.findall(r"^([a-zA-Z_:][\w:]*)[ {]", text, re.MULTILINE))


@pytest.mark.django_db(databases=["default", "observed"])
def test_every_metric_in_rules_and_dashboards_exists_at_a_real_server(nodes: Ensemble) -> None:
    from console.plane_metrics import exposition
    from observability.models import Source

    Source.objects.create(ensemble="main", node="n1", kind="metrics", looked_at="2026-01-01T00:00Z")
    plane = set(re.findall(r"^# TYPE (\S+)", exposition().decode(), re.MULTILINE))
    known = {"up"} | plane | {rule["record"] for rule in rules() if "record" in rule}
    for member in nodes.all:
        known |= names_at(f"http://{admin_of(member)}/metrics")
    wrong = {
        (where, name)
        for where, expression in expressions()
        for name in metrics_in(expression)
        if name not in known
    }
    assert len(expressions()) > 60
    assert not wrong


def test_prometheus_scrapes_our_servers_and_evaluates_the_rules(
    nodes: Ensemble, tmp_path: Path
) -> None:
    need("prometheus")
    (port,) = free_ports(1)
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(RULES)]
    ensemble, plane = config["scrape_configs"]
    assert (ensemble["job_name"], plane["job_name"]) == ("ensemble", "ensemble-plane")
    del ensemble["authorization"]  # these servers ask for no token
    ensemble["static_configs"][0]["targets"] = [admin_of(member) for member in nodes.all]
    config["scrape_configs"] = [ensemble]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={tmp_path / 'prometheus.yaml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        up = until(
            port, "up", lambda found: len(found) == 3 and all(v == 1 for v in found.values())
        )
        assert len(up) == 3
        usage = until(port, "ensemble:tenant_usage:ratio", bool)
        assert any("znodes" in labels for labels in usage)
        leaders = until(port, "leader_uptime", lambda found: len(found) == 1)
        assert len(leaders) == 1
        said = ask(port, "rules")["groups"]
        states = {
            rule["name"]: (rule["health"], rule.get("lastError", ""))
            for group in said
            for rule in group["rules"]
        }
        assert len(states) == len(rules())
        assert not {name: state for name, state in states.items() if state[0] == "err"}
    finally:
        process.terminate()
        process.wait(20)


def ask(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10) as answer:
        return json.load(answer)["data"]


def until(port: int, query: str, good: Any) -> dict[str, float]:
    """What a query answers, once it is good."""
    deadline = time.monotonic() + SCRAPED_WITHIN_S
    found: dict[str, float] = {}
    while time.monotonic() < deadline:
        try:
            result = ask(port, f"query?query={query}")["result"]
        except OSError:
            result = []
        found = {str(sorted(r["metric"].items())): float(r["value"][1]) for r in result}
        if good(found):
            return found
        time.sleep(0.2)
    raise AssertionError(f"{query}: {found} after {SCRAPED_WITHIN_S} s")
