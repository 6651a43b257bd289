"""AdminServer's snapshot and restore, against real nodes: what is restored, and what is refused."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.client import Client
from tests.harness import Node, RawClient, create_body, set_body

ANYBODY = {"Authorization": "ip x"}  # the root is open to all unless its ACL says otherwise
SETTINGS = {"admin.rateLimiterIntervalInMS": 0}


def command(node: Node, name: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.admin_port}/commands/{name}", data=body, headers=ANYBODY
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def restore(node: Node, body: bytes) -> tuple[int, dict[str, object]]:
    status, text = command(node, "restore", body)
    return status, json.loads(text)


@pytest.fixture
def node(start_node: Callable[..., Node]) -> Node:
    return start_node(SETTINGS)


async def test_a_restored_tree_replaces_everything_and_survives_a_restart(node: Node) -> None:
    async with Client(node.address) as client:
        await client.create("/a", b"old")
    _, snapshot = command(node, "snapshot")
    async with Client(node.address) as client:
        await client.set("/a", b"new")
        await client.create("/b", b"later")
        before = await client.exists("/b")
        assert before is not None
    status, answer = restore(node, snapshot)
    assert (status, answer["error"]) == (200, None)
    last_zxid = answer["last_zxid"]
    assert isinstance(last_zxid, int)
    assert last_zxid > before.czxid, "no client has seen more than this server"
    for killed in (False, True):
        async with Client(node.address) as client:
            assert (await client.get("/a"))[0] == b"old"
            assert await client.exists("/b") is None
            await client.create(f"/after-{killed}")
        if killed:
            node.kill9()
        else:
            node.stop()
        node.start()
    async with Client(node.address) as client:
        names = sorted(await client.children("/"))
        assert names == ["a", "after-False", "after-True", "zookeeper"]


async def test_a_snapshot_moves_a_tree_to_another_server(start_node: Callable[..., Node]) -> None:
    one = start_node(SETTINGS, name="one")
    other = start_node(SETTINGS, name="other")
    async with Client(one.address) as client:
        for number in range(300):
            await client.create(f"/n{number}", b"x" * number)
    assert restore(other, command(one, "snapshot")[1])[0] == 200
    async with Client(other.address) as client:
        assert len(await client.children("/")) == 301
        assert (await client.get("/n299"))[0] == b"x" * 299
        stat = await client.exists("/n0")
        await client.create("/next")
        after = await client.exists("/next")
        assert stat is not None
        assert after is not None
        assert after.czxid > stat.czxid


def test_sessions_are_those_of_the_snapshot(node: Node) -> None:
    kept = RawClient(node.port)
    assert kept.connect()
    kept.request(1, 1, create_body("/mine", b"", 1))
    assert kept.reply()[2] == 0
    _, snapshot = command(node, "snapshot")
    gone = RawClient(node.port)
    assert gone.connect()
    gone.request(1, 1, create_body("/its", b"", 1))
    assert gone.reply()[2] == 0
    assert restore(node, snapshot)[0] == 200
    assert kept.read() is None, "every connection is cut"
    assert gone.read() is None
    again = RawClient(node.port)
    assert again.connect(session_id=kept.session_id, password=kept.password)
    again.request(1, 3, b"\0\0\0\5/mine\0")
    assert again.reply()[2] == 0
    again.request(2, 3, b"\0\0\0\4/its\0")
    assert again.reply()[2] == -101
    late = RawClient(node.port)
    assert not late.connect(session_id=gone.session_id, password=gone.password), "expired"
    for client in (kept, gone, again, late):
        client.close()


def test_ephemerals_without_a_session_go(node: Node) -> None:
    owner = RawClient(node.port)
    owner.connect(timeout_ms=4_000)
    owner.request(1, 1, create_body("/e", b"", 1))
    assert owner.reply()[2] == 0
    _, snapshot = command(node, "snapshot")
    owner.request(2, -11)
    assert owner.reply()[2] == 0
    assert restore(node, snapshot)[0] == 200
    watcher = RawClient(node.port)
    watcher.connect()
    watcher.request(1, 3, b"\0\0\0\2/e\1")
    assert watcher.reply()[2] == 0, "its session is back for one timeout"
    xid, _, _, _ = watcher.reply()
    assert xid == -1, "then it expires, and the watch fires"
    watcher.close()
    owner.close()


def test_writes_in_flight_are_answered_or_cut_but_never_half_done(node: Node) -> None:
    _, snapshot = command(node, "snapshot")
    writer = RawClient(node.port)
    writer.connect()
    for xid in range(1, 500):
        writer.request(xid, 1, create_body(f"/w{xid}"))
    assert restore(node, snapshot)[0] == 200
    while writer.read() is not None:
        pass
    reader = RawClient(node.port)
    reader.connect()
    reader.request(1, 8, b"\0\0\0\1/\0")
    assert reader.reply()[3][:4] == b"\0\0\0\1", "only /zookeeper"
    writer.close()
    reader.close()


@pytest.mark.parametrize("harm", ["empty", "text", "short", "flipped", "doubled"])
def test_what_is_no_whole_snapshot_changes_nothing(harm: str, node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    client.request(1, 1, create_body("/kept", b"1"))
    assert client.reply()[2] == 0
    _, good = command(node, "snapshot")
    middle = len(good) // 2
    bad = {
        "empty": b"",
        "text": b"no snapshot at all",
        "short": good[:-20],
        "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "doubled": good[:-27] + good,
    }[harm]
    status, answer = restore(node, bad)
    assert status == 500
    assert "nothing has changed" in str(answer["error"])
    client.request(2, 5, set_body("/kept", b"2"))
    assert client.reply()[2] == 0, "the same session, on the same connection"
    client.close()
    mntr = dict(line.split("\t") for line in node.word("mntr").decode().splitlines())
    assert mntr["zk_restore_error_count"] == "1"


def test_a_disk_that_takes_no_snapshot_leaves_the_old_tree(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    client.request(1, 1, create_body("/kept"))
    zxid = client.reply()[1]
    _, snapshot = command(node, "snapshot")
    # A folder where the file would go: as root, permissions alone would not stop the writer.
    folder: Path = node.folder / "data" / "version-2" / f"snapshot.{zxid + 1:x}.tmp"
    folder.mkdir()
    (folder / "occupied").touch()
    status, answer = restore(node, snapshot)
    assert status == 500
    assert "could not be written" in str(answer["error"])
    client.request(2, 3, b"\0\0\0\5/kept\0")
    assert client.reply()[2] == 0
    client.close()


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"admin.restore.enabled": "false", "admin.snapshot.enabled": "false"}, 503),
        ({"serializeLastProcessedZxid.enabled": "false"}, 500),
    ],
)
def test_switched_off_commands_say_so(
    settings: dict[str, object], status: int, start_node: Callable[..., Node]
) -> None:
    node = start_node({**SETTINGS, **settings})
    assert command(node, "snapshot")[0] == status
    assert command(node, "restore", b"x")[0] == status


def test_both_are_limited_in_rate(start_node: Callable[..., Node]) -> None:
    node = start_node()
    _, snapshot = command(node, "snapshot")
    assert command(node, "snapshot")[0] == 429
    assert restore(node, snapshot)[0] == 200
    assert restore(node, snapshot)[0] == 429
    mntr = dict(line.split("\t") for line in node.word("mntr").decode().splitlines())
    assert mntr["zk_snapshot_rate_limited_count"] == "1"
    assert mntr["zk_restore_rate_limited_count"] == "1"
