"""Figures of real nodes, collected by a real process: counted once, never negative."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Node, RawClient, create_body, text
from tests.observability.planes import Plane
from tests.server.feeds import access, ask
from tests.tenants import make_tenants, present, trusting

READ_OP = 4


@pytest.fixture
def node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    settings = {**access(tmp_path / "access"), **trusting(tmp_path / "keys")}
    return start_node({**settings, "admin.enableServer": "true"})


def work(node: Node, token: bytes, reads: int) -> None:
    """A session of the tenant that reads so often."""
    client = RawClient(node.port)
    client.connect()
    assert present(client, "tenant", token) == 0
    for at in range(reads):
        client.request(at + 1, READ_OP, text("/") + b"\0")
        assert client.reply()[2] == 0
    client.close()


def counted(plane: Plane, resolution: int = 1) -> int:
    """Reads of the tenant in all samples; the class's count, without what opens a session."""
    from observability.samples.totals import decode

    rows = plane.rows(
        f"SELECT shape FROM observability_sample_{resolution} s JOIN observability_series n "
        "ON n.id = s.series WHERE n.kind = 'tenant' AND n.name = 'a'"
    )
    classes = [decode(bytes(row[0])) for row in rows]  # type: ignore[call-overload]
    return sum(found[0].count for found in classes if 0 in found)


def negative(plane: Plane) -> int:
    return len(
        plane.rows(
            "SELECT 1 FROM observability_sample_1 WHERE requests < 0 OR bytes_in < 0 OR busy_us < 0"
        )
    )


def baseline(plane: Plane) -> bool:
    return bool(plane.rows("SELECT 1 FROM observability_baseline"))


async def test_requests_are_counted_once_whoever_is_killed(node: Node, plane: Plane) -> None:
    token = (await make_tenants(node.address, "a"))["a"]
    plane.add([node])
    collector = plane.collect()
    plane.wait(lambda: baseline(plane), "a baseline")
    done = 0
    for _ in range(3):
        work(node, token, 20)
        done += 20
        plane.wait(lambda done=done: counted(plane) == done, f"{done} reads")  # type: ignore[misc]
        collector.kill()
        collector.wait(10)
        work(node, token, 5)  # while nobody collects
        done += 5
        plane.execute("UPDATE observability_lease SET until = 0")
        collector = plane.collect()
        plane.wait(lambda done=done: counted(plane) == done, f"{done} reads")  # type: ignore[misc]
    assert negative(plane) == 0
    spans = plane.rows("SELECT max(span) FROM observability_sample_1")
    assert int(str(spans[0][0])) > 1, "a row after a gap says for how long it stands"


async def test_a_nodes_restart_makes_no_negative_rates(node: Node, plane: Plane) -> None:
    token = (await make_tenants(node.address, "a"))["a"]
    plane.add([node])
    plane.collect()
    plane.wait(lambda: baseline(plane), "a baseline")
    work(node, token, 30)
    plane.wait(lambda: counted(plane) == 30, "30 reads")
    node.kill9()
    node.start()
    work(node, token, 40)
    plane.wait(lambda: counted(plane) == 70, "40 more after the restart")
    assert negative(plane) == 0


async def test_rows_are_rolled_up_and_nodes_tell_of_themselves(node: Node, plane: Plane) -> None:
    token = (await make_tenants(node.address, "a"))["a"]
    client = RawClient(node.port)
    client.connect()
    assert present(client, "tenant", token) == 0
    client.request(1, 1, create_body("/n"))
    assert client.reply()[2] == 0
    plane.add([node])
    plane.collect()
    plane.wait(lambda: plane.rows("SELECT 1 FROM observability_sample_10 WHERE own <> ''"), "tens")
    used = "SELECT znodes, sessions FROM observability_sample_10 s JOIN observability_series n ON "
    rows = plane.rows(f"{used} n.id = s.series WHERE n.name = 'a' ORDER BY at DESC")
    _, (said,) = ask(node.admin_port, "/commands/tenants")
    client.close()
    now = said["tenants"][0]["usage"]  # type: ignore[index]
    assert rows[0] == (now["znodes"], now["sessions"])
    assert rows[0][1] == 1
    own = plane.rows("SELECT own FROM observability_sample_1 WHERE own <> '' LIMIT 1")
    assert '"server_state"' in str(own[0][0])


def test_a_server_of_apaches_gives_its_totals_by_mntr(
    start_node: Callable[..., Node], plane: Plane
) -> None:
    """Of Apache's kind is who is registered so; its mntr has the same names."""
    node = start_node({"admin.enableServer": "false"})
    plane.add([node], kind="apache")
    plane.collect()
    own = "SELECT own FROM observability_sample_1 WHERE own <> ''"
    plane.wait(lambda: len(plane.rows(own)) > 2, "rows")
    assert '"packets_received"' in str(plane.rows(own)[0][0])
    kinds = plane.rows("SELECT DISTINCT kind FROM observability_series")
    assert kinds == [("node",)]


async def test_quiet_tenants_come_without_their_histograms(node: Node) -> None:
    tokens = await make_tenants(node.address, "a", "b")
    work(node, tokens["a"], 3)
    _, (said,) = ask(node.admin_port, "/commands/tenants?histograms=recent")
    by_name = {entry["tenant"]: entry["account"] for entry in said["tenants"]}  # type: ignore[attr-defined]
    assert by_name["a"]["classes"]["read"]["count"] == 3
    assert by_name["a"]["classes"]["read"]["latency"]["buckets"]
    deadline = time.monotonic() + 40  # a window has ten seconds, and two must be over
    while "classes" in by_name["a"] or "classes" in by_name["b"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)
        _, (said,) = ask(node.admin_port, "/commands/tenants?histograms=recent")
        by_name = {entry["tenant"]: entry["account"] for entry in said["tenants"]}  # type: ignore[attr-defined]
    assert by_name["a"]["requests"] >= 3
    assert by_name["a"]["delivery"] == {"count": 0}


@pytest.mark.django_db(databases=["default", "observed"])
def test_hours_are_rolled_up_some_at_a_time_and_also_after_a_restart() -> None:
    """Without a process: the clock of an hour is what is handed in."""
    from observability.collect import lease
    from observability.collect.figures import HOURS_SPREAD, EnsembleFigures
    from observability.samples import table
    from tests.observability.test_totals import account, totals

    names = [f"t{n}" for n in range(2 * HOURS_SPREAD)]
    ids = table.make_series("main", "tenant", names)
    hour = 1_795_000_000 // 3_600 * 3_600
    made = totals(account([5] * 60))
    rows = [
        table.row_of(one, hour + 60 * m + 59, 60, made, {})
        for one in ids.values()
        for m in range(60)
    ]
    table.write(60, rows)
    figures = EnsembleFigures("main")
    figures.series = {("tenant", name): one for name, one in ids.items()}
    figures.checked_at = hour + 3_599

    def rolled() -> int:
        return len(table.ask("SELECT 1 FROM observability_sample_3600"))

    figures.checkpoint(hour + 3_609)
    assert rolled() == 2, "two hundred at once would take seconds"
    figures.checked_at = hour + 3_609
    for later in range(HOURS_SPREAD):
        figures.checkpoint(hour + 3_619 + later)
    assert rolled() == len(names)
    (sample,) = table.read(3_600, ids["t7"], hour, hour + 3_599)
    assert (sample.totals["requests"], sample.span, sample.at) == (3_600, 3_600, hour + 3_599)
    assert figures.hours_due == []

    table.ask("DELETE FROM observability_sample_3600 RETURNING 1")
    table.keep_baselines([("main", "node1", hour + 3_605, 1, b"")])
    again = EnsembleFigures("main")
    again.load(lease.take("test"))
    again.checkpoint(hour + 3_625)
    assert rolled() == 2, "what the one before left undone is done"
