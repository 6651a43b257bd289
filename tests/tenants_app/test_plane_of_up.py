"""What `ensemble up` runs: a tenant is in force on all its nodes, also as they come and go."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.up import control
from tests.tenants import tenant_client
from tests.tenants_app.planes import WITHIN_S, Plane
from tests.ups import Up


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path / "var")
    yield up
    up.clean_up()


MAKE = """
from tenants.actions import credentials
tenant = tenants.create(PLANE, slug=SLUG, plan=Plan.objects.get(name="small"), owner=None)
made = credentials.create(PLANE, tenant=tenant, name="app", role="writer")
row = tenant.publication
tell(status=row.status, error=row.error, nodes=row.nodes, token=made.token)
"""
NODES = """
tell(nodes=sorted(Ensemble.objects.get(name="main").nodes.values_list("name", flat=True)))
"""


def test_a_tenant_is_in_force_on_all_nodes_as_they_come_and_go(up: Up) -> None:
    up.start().wait_ready()
    up.wait_said("A tenant, its credential is shown once")
    plane = Plane(
        up.folder,
        {
            "ENSEMBLE_OPERATOR_KEY": str(up.folder / "operator.key"),
            "ENSEMBLE_ADMIN_TOKEN": str(up.folder / "admin.read"),
        },
    )
    told = plane.run(MAKE.replace("SLUG", '"first"'))
    assert (told["status"], told["error"]) == ("applied", "")
    assert told["nodes"] == {"node1": 1, "node2": 1, "node3": 1}

    async def write() -> bytes:
        async with tenant_client(up.address, str(told["token"]).encode()) as client:
            await client.create("/x", b"1")
            return (await client.get("/x"))[0]

    assert asyncio.run(write()) == b"1"

    control.add_observer(up.folder)
    up.wait_nodes(lambda nodes: len(nodes) == 4 and nodes[-1].mode == "observer")
    wait_known(plane, "node1", "node2", "node3", "node4")
    told = plane.run(MAKE.replace("SLUG", '"second"'))
    assert (told["status"], told["error"]) == ("applied", "")
    assert told["nodes"] == {"node1": 1, "node2": 1, "node3": 1, "node4": 1}

    control.remove_observer(up.folder, 4)
    wait_known(plane, "node1", "node2", "node3")
    told = plane.run(MAKE.replace("SLUG", '"third"'))
    assert (told["status"], told["nodes"]) == ("applied", {"node1": 1, "node2": 1, "node3": 1})


def wait_known(plane: Plane, *names: str) -> None:
    """Until the collector has told the plane of these nodes."""
    deadline = time.monotonic() + WITHIN_S
    while (known := plane.run(NODES)["nodes"]) != list(names):
        assert time.monotonic() < deadline, known
