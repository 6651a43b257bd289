"""A real collector keeps the index of a real node: filled once, then by the change feed."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.admin.keys import save_key
from ensemble.client import Client
from tests.harness import Node
from tests.observability.planes import Plane
from tests.server.feeds import access
from tests.tenants import KEY, operator, trusting

ZNODES = 700  # more than one transaction of a fill


@pytest.fixture
def node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    config = {**access(tmp_path / "access"), **trusting(tmp_path / "keys"), "tickTime": 400}
    return start_node(config)


def add(plane: Plane, node: Node, kind: str = "ours") -> None:
    plane.add([node], kind=kind)
    save_key(KEY, plane.folder / "ensembles" / "e1" / "operator.key")


def found(plane: Plane) -> dict[str, str]:
    rows = plane.rows("SELECT path, text FROM observability_znode WHERE NOT is_gone")
    return {str(path): str(text) for path, text in rows}


async def make(node: Node) -> None:
    async with operator(node.address) as client:
        await client.create("/a", b"root")
        for first in range(0, ZNODES, 100):
            await asyncio.gather(
                *(client.create(f"/a/n{n:03}", b"%d" % n) for n in range(first, first + 100))
            )
        await client.create("/a/n005/deep", b"down there")
        await client.create("/keep", b"1")


def change(node: Node) -> None:
    async def work(client: Client) -> None:
        await client.set("/keep", b"2")
        await client.create("/late", b"late")
        await client.delete("/a/n001")

    async def run() -> None:
        async with operator(node.address) as client:
            await work(client)

    asyncio.run(run())


def test_a_fill_that_is_killed_goes_on_and_the_feed_keeps_it(node: Node, plane: Plane) -> None:
    asyncio.run(make(node))
    add(plane, node)
    collector = plane.collect()
    plane.wait(lambda: found(plane), "the first znodes")
    collector.kill()
    collector.wait(10)
    change(node)
    plane.execute("UPDATE observability_lease SET until = 0")
    plane.collect()
    plane.wait(lambda: '"phase": "idle"' in state(plane) and found(plane).get("/late"), "the end")
    whole = {f"/a/n{n:03}": str(n) for n in range(ZNODES)}
    del whole["/a/n001"]
    whole |= {"/": "", "/a": "root", "/a/n005/deep": "down there", "/keep": "2", "/late": "late"}
    assert found(plane) == whole
    assert '"fill": 1' in state(plane), "it was not begun anew"


def test_an_ensemble_without_a_feed_is_read_and_says_so(node: Node, plane: Plane) -> None:
    asyncio.run(make(node))
    add(plane, node, kind="apache")
    plane.collect()
    plane.wait(lambda: '"phase": "idle", "least": 1' in state(plane), "the end of the fill")
    assert found(plane)["/a/n005/deep"] == "down there"


def test_without_a_key_the_reason_is_told(node: Node, plane: Plane) -> None:
    plane.add([node])
    plane.collect()
    plane.wait(lambda: "operator.key" in problem(plane), "the problem")


def state(plane: Plane) -> str:
    rows = plane.rows("SELECT state FROM observability_source WHERE kind = 'index'")
    return str(rows[0][0]) if rows else ""


def problem(plane: Plane) -> str:
    rows = plane.rows("SELECT problem FROM observability_source WHERE kind = 'index'")
    return str(rows[0][0]) if rows else ""
