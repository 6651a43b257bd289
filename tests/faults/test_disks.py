"""Full and failing disks (trust.md F5, F9): no server promises what it cannot keep."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.client import Client, ClientError
from tests.harness import Node
from tests.needs import need

EXIT_STORAGE = 10


async def write_until_it_ends(node: Node, data: bytes) -> int:
    """Writes one after another until the server is gone; how many were acknowledged."""
    acked = 0
    client = Client(node.address, timeout=4.0)
    await client.connect()
    try:
        while True:
            await asyncio.wait_for(client.create(f"/n{acked}", data), 10)
            acked += 1
    except (ClientError, TimeoutError):
        pass
    await client.close()
    return acked


async def count(node: Node) -> int:
    async with Client(node.address) as client:
        names = await client.children("/")
    return len([name for name in names if name.startswith("n")])


async def test_F5_a_failing_sync_stops_the_server_before_it_acknowledges(
    start_node: Callable[..., Node],
) -> None:
    need("strace")
    trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]
    node = start_node(wrapper=[*trace, "-e", "inject=fdatasync:error=EIO:when=20+"])
    acked = await write_until_it_ends(node, b"x")
    assert node.process is not None
    assert await asyncio.to_thread(node.process.wait, 20) == EXIT_STORAGE
    assert "Input/output error" in node.log()
    assert 3 < acked < 40
    node.wrapper = []
    node.start()
    found = await count(node)
    assert acked <= found <= acked + 1, "what was under way may have reached the disk"


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A folder on a file system of 24 MB."""
    need("mount", "umount")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount here")
    return folder


async def test_F9_a_full_disk_stops_the_server_and_room_brings_it_back(
    start_node: Callable[..., Node], small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    try:
        node = start_node({"dataDir": small_disk / "data"})
        ballast.write_bytes(bytes(16 << 20))
        acked = await write_until_it_ends(node, bytes(100_000))
        assert node.process is not None
        assert await asyncio.to_thread(node.process.wait, 20) == EXIT_STORAGE
        assert "No space left" in node.log()
        assert acked > 5
        ballast.unlink()
        node.start()
        found = await count(node)
        assert acked <= found <= acked + 1
        node.kill9()
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", "-l", str(small_disk)], check=False)


async def test_F8_a_lost_snapshot_refuses_the_start(start_node: Callable[..., Node]) -> None:
    node = start_node()
    async with Client(node.address) as client:
        await client.create("/a")
    node.stop()
    log_folder = node.folder / "data" / "version-2"
    for snapshot in log_folder.glob("snapshot.*"):
        snapshot.unlink()
    refused = node.start(wait=False)
    assert refused.process is not None
    assert await asyncio.to_thread(refused.process.wait, 20) == EXIT_STORAGE
    assert "snapshot" in node.log()
    assert not list(log_folder.glob("snapshot.*")), "never an empty tree in place of a lost one"


def test_a_data_folder_that_cannot_be_made_is_named(start_node: Callable[..., Node]) -> None:
    if os.geteuid() == 0 and not shutil.which("chattr"):
        pytest.skip("root may write everywhere")
    node = start_node({"dataDir": "/proc/ensemble"}, wait=False)
    assert node.process is not None
    assert node.process.wait(20) != 0
    assert "/proc/ensemble" in node.log()
