"""Locks on a real node: found in the tree, drawn with who holds and waits, within the wall."""

import asyncio

import pytest
from kazoo.client import KazooClient

from ensemble.client import Client, CreateMode
from tenants import locks
from tenants.models import Ensemble, Tenant
from tests.console.inside.test_sessions_page import id_of, program, token
from tests.console.plane.conftest import Go, text_of
from tests.harness import Node as Server
from tests.observability.index.test_search import fill
from tests.tenants import operator

__all__ = ["program", "token"]
pytestmark = pytest.mark.django_db(databases=["default", "observed"])
ALL = "/ensembles/one/locks"
MINE = "/tenants/shop/locks"
LOCK = "ab" * 16 + "__lock__"


def test_a_lock_shows_its_holder_with_session_and_client_and_who_waits(
    go: Go, program: KazooClient
) -> None:
    program.create(f"/jobs/{LOCK}", b"<i>nextone</i>\xe2\x80\xae", ephemeral=True, sequence=True)
    page = text_of(go("bob", f"{MINE}?again=1"))
    assert "<bdi>/jobs</bdi>" in page
    assert "worker &lt;1&gt;" in page
    assert "&lt;i&gt;nextone&lt;/i&gt;‹U+202E›" in page
    assert page.index("worker &lt;1&gt;") < page.index("1. waits") < page.index("nextone")
    assert f'href="/tenants/shop/sessions/{id_of(program)}"' in page
    assert "prog@shop" in page
    one = text_of(go("bob", f"{MINE}?path=/jobs"))
    assert "All locks" in one
    assert "worker &lt;1&gt;" in one
    whole = text_of(go("olga", f"{ALL}?below=/tenants&again=1"))
    assert "<bdi>/tenants/shop/jobs</bdi>" in whole
    assert text_of(go("ada", f"{ALL}?path=/tenants/shop/jobs")).count("1. waits") == 1


def test_E10_a_tenants_page_reaches_no_lock_outside_of_its_root(
    go: Go, shop: Tenant, registry_node: Server
) -> None:
    async def fill() -> None:
        async with operator(registry_node.address) as client:
            if await client.exists("/elsewhere") is None:
                await client.create("/elsewhere", b"")
            await client.create(f"/elsewhere/{LOCK}", b"outsider", mode=SEQUENTIAL)

    asyncio.run(fill())
    page = text_of(go("alice", f"{MINE}?again=1"))
    assert "No locks, elections or queues found" in page
    for path in ("/elsewhere", "/../../elsewhere", "elsewhere", "/tenants/shop"):
        assert "outsider" not in text_of(go("alice", f"{MINE}?path={path}"))
        assert "outsider" not in text_of(go("alice", f"{MINE}?below={path}"))
    assert "outsider" in text_of(go("olga", f"{ALL}?path=/elsewhere"))
    assert go("alice", f"{MINE}?below=/elsewhere").status_code == 404
    assert go("alice", f"{MINE}?below=elsewhere").status_code == 422


SEQUENTIAL = CreateMode.PERSISTENT_SEQUENTIAL


def test_an_ensemble_that_does_not_answer_says_so(go: Go, nowhere: Ensemble) -> None:
    answer = go("olga", "/ensembles/nowhere/locks")
    assert answer.status_code == 503
    assert "does not answer" in text_of(answer)


def test_a_scan_is_bounded_and_says_how_far_it_came(
    registry_node: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look() -> tuple[locks.Scan, locks.Scan, locks.Recipe | None]:
        async with operator(registry_node.address) as client:
            await fill(client)
            whole = await locks.scan(client, "/many")
            monkeypatch.setattr(locks, "SCANNED_MAX", 5)
            monkeypatch.setattr(locks, "SCAN_AT_ONCE", 5)
            part = await locks.scan(client, "/many")
            return whole, part, await locks.read(client, "/many/n3/queue")

    async def fill(client: Client) -> None:
        await client.create("/many", b"")
        for n in range(8):
            await client.create(f"/many/n{n}", b"")
        await client.create("/many/n3/queue", b"")
        for n in range(locks.PARTICIPANTS_MAX + 5):
            data = b"x" * (locks.VALUE_MAX + 1) if n == 1 else b"%d" % n
            await client.create(f"/many/n3/queue/entry-100-{n:010}", data)

    whole, part, queue = asyncio.run(look())
    assert (whole.paths, whole.looked_at, whole.is_all) == (("/many/n3/queue",), 10, True)
    assert not part.is_all
    assert part.looked_at < 10
    assert queue is not None
    assert queue.count == locks.PARTICIPANTS_MAX + 5
    assert len(queue.participants) == locks.PARTICIPANTS_MAX
    assert [one.says for one in queue.participants[:3]] == ["0", "", "2"]


def test_scans_are_kept_for_each_person_and_so_many_of_them() -> None:
    kept = locks.Scans()
    scan = locks.Scan(("/a",), 1, 0, True, at=2e9, took_s=1.0)
    for n in range(locks.KEPT_MAX + 5):
        kept.put((1, "shop", n, "/"), scan)
    assert kept.get((1, "shop", 4, "/")) is None
    assert kept.get((1, "shop", 5, "/")) is scan
    assert kept.get((1, "shop", 5, "/below")) is None
    old = locks.Scan((), 1, 0, True, at=1.0, took_s=1.0)
    kept.put((2,), old)
    assert kept.get((2,)) is None


def test_what_is_too_deep_for_a_scan_is_found_by_the_index_and_within_the_wall(
    go: Go, program: KazooClient, shop: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(
        (f"/tenants/shop/jobs/{LOCK}0000000000", ""),
        (f"/tenants/other/concealed/{LOCK}0000000000", ""),
        ("/tenants/shop/plain/name", ""),
        ensemble="one",
    )
    monkeypatch.setattr(locks, "SCANNED_MAX", 1)
    monkeypatch.setattr(locks, "SCAN_AT_ONCE", 1)
    page = text_of(go("bob", f"{MINE}?again=1"))
    assert "1 more is known from the search" in page
    assert "worker &lt;1&gt;" in page
    assert "concealed" not in page
    beside = text_of(go("bob", f"{MINE}?again=1&below=/watched"))
    assert "known from the search" not in beside
