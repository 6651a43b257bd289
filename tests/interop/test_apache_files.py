"""Apache's server and tools on our files, and our server on theirs: the formats are the same."""

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from ensemble.client import Acl, Client, CreateMode, Id, Stat, digest_id, walk
from tests.harness import Node
from tests.interop.apache import ApacheNode, run_tool

T = TypeVar("T")
SNAPSHOT_TIMEOUT_S = 10.0
Contents = dict[str, tuple[bytes, tuple[int, ...], str]]


def do(address: str, work: Callable[[Client], Awaitable[T]]) -> T:
    async def session() -> T:
        async with Client(address, auth=[("digest", b"super:secret")]) as client:
            return await work(client)

    return asyncio.run(session())


async def write_some(client: Client, seed: int) -> None:
    """Every kind of transaction, in a random order."""
    rng = random.Random(seed)
    top = f"/run-{seed}"
    await client.create(top, b"top")
    for number in range(120):
        path = f"{top}/n{rng.randrange(20)}"
        kind = rng.randrange(7)
        try:
            if kind == 0:
                await client.create(path, rng.randbytes(rng.randrange(300)))
            elif kind == 1:
                await client.set(path, rng.randbytes(rng.randrange(300)))
            elif kind == 2:
                await client.delete(path)
            elif kind == 3:
                await client.create(f"{path}-", None, mode=CreateMode.PERSISTENT_SEQUENTIAL)
            elif kind == 4:
                acl = [Acl(31, Id("world", "anyone")), Acl(3, digest_id("ann", str(number)))]
                await client.set_acl(path, acl)
            elif kind == 5:
                await client.transaction().create(f"{path}-m").set(path, b"multi").commit()
            else:
                await client.create(f"{path}-c", b"", mode=CreateMode.CONTAINER)
        except Exception as error:
            assert type(error).__module__ == "ensemble.client.errors", error
    await client.create_with_stat(f"{top}/stat", b"")
    await client.create(f"{top}/ttl", b"", mode=CreateMode.PERSISTENT_WITH_TTL, ttl_ms=3_600_000)
    await client.create(f"{top}/ephemeral", b"", mode=CreateMode.EPHEMERAL)


def fields(stat: Stat) -> tuple[int, ...]:
    return (
        *(stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime, stat.version),
        *(stat.cversion, stat.aversion, stat.ephemeral_owner, stat.data_bytes, stat.num_children),
    )


async def read_all(client: Client) -> Contents:
    """Every znode with data, stat and ACL, but for what a server writes by itself."""
    contents: Contents = {}
    async for path in walk(client, "/"):
        if path.startswith("/zookeeper"):
            continue
        data, stat = await client.get(path)
        acl, _ = await client.get_acl(path)
        shown = sorted(f"{entry.perms}:{entry.id.scheme}:{entry.id.id}" for entry in acl)
        contents[path] = (data or b"", fields(stat), " ".join(shown))
    root = contents.pop("/")
    contents["/"] = (root[0], root[1][:2], root[2])  # its children come and go with /zookeeper
    return contents


@pytest.mark.parametrize("snapshots", ["", "gz", "snappy"])
def test_B1_data_goes_to_apaches_server_and_back_without_a_difference(
    snapshots: str, classpath: str, start_node: Callable[..., Node], tmp_path: Path
) -> None:
    """Both are killed with the log as it is, and each starts on what the other left."""
    compression = {"zookeeper.snapshot.compression.method": snapshots} if snapshots else {}
    ours = start_node({"extendedTypesEnabled": "true", "snapCount": 60}, compression)
    flags = ("-Dzookeeper.snapCount=60", *(f"-D{k}={v}" for k, v in compression.items()))
    apache = ApacheNode(tmp_path / "apache", tmp_path / "node" / "data", classpath, flags)
    before: Contents = {}
    try:
        for turn in range(2):
            do(ours.address, lambda client, turn=turn: write_some(client, turn * 2))
            before = do(ours.address, read_all)
            ours.kill9()
            apache.start()
            assert do(apache.address, read_all) == before
            do(apache.address, lambda client, turn=turn: write_some(client, turn * 2 + 1))
            before = do(apache.address, read_all)
            apache.kill9()
            ours.start()
            assert do(ours.address, read_all) == before
    finally:
        apache.kill9()
    assert len(before) > 50


def test_apaches_tools_read_our_log_and_our_snapshot(
    classpath: str, start_node: Callable[..., Node]
) -> None:
    node = start_node({"extendedTypesEnabled": "true", "snapCount": 60})
    do(node.address, lambda client: write_some(client, 7))
    folder = node.folder / "data" / "version-2"
    deadline = time.monotonic() + SNAPSHOT_TIMEOUT_S  # a stop gives up a snapshot being written
    while len(list(folder.glob("snapshot.*"))) < 2:
        assert time.monotonic() < deadline, f"no second snapshot:\n{node.log()}"
        time.sleep(0.02)
    node.stop()
    toolkit = "org.apache.zookeeper.server.persistence.TxnLogToolkit"
    dumped = "".join(run_tool(classpath, toolkit, "-d", str(log)) for log in folder.glob("log.*"))
    kinds = set(re.findall(r"zxid 0x[0-9a-f]+ (\w+)", dumped))
    wanted = {"createSession", "create", "create2", "createTTL", "createContainer"}
    wanted |= {"setData", "delete", "setACL", "multi", "error", "closeSession"}
    assert kinds >= wanted, f"missing {wanted - kinds} of {kinds}: {dumped[-3000:]}"
    assert "CRC ERROR" not in dumped
    # The first snapshot, of an empty tree, would prove little.
    snapshot = max(folder.glob("snapshot.*"), key=lambda path: int(path.suffix[1:], 16))
    printed = run_tool(classpath, "org.apache.zookeeper.server.SnapshotFormatter", str(snapshot))
    assert "/run-7/n" in printed, f"no znode of ours in {snapshot.name}: {printed[-3000:]}"
