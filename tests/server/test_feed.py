"""The change feed: what was committed, all of it, once, in order, whoever leads meanwhile."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ensemble.server.feed import RING_BYTES_MAX
from ensemble.server.feed_lines import is_open
from ensemble.wire.records import Acl, Id
from tests.ensembles import Ensemble, ours
from tests.harness import OPEN_ACL, Node, RawClient, create_body, set_body, text
from tests.ports import free_port
from tests.server.feeds import CONTROL, Entry, Stream, access, ask
from tests.tenants import make_tenants, present, tenant_client, trusting

CANARY = b"canary-41f0"
WRITES_MAX = 100_000


@pytest.fixture
def node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    return start_node({**access(tmp_path / "access"), **trusting(tmp_path / "keys")})


@pytest.fixture
def client(node: Node) -> Iterator[RawClient]:
    client = RawClient(node.port)
    client.connect()
    yield client
    client.close()


def write(client: RawClient, xid: int, op: int, body: bytes) -> str:
    client.request(xid, op, body)
    return hex(client.reply()[1])


def brief(entries: list[Entry]) -> list[tuple[object, object]]:
    return [(e["operation"], e.get("path")) for e in entries if "operation" in e]


@pytest.mark.parametrize(
    ("acl", "is_told"),
    [
        ([], True),
        ([Acl(31, Id("world", "anyone"))], True),
        ([Acl(31, Id("auth", "")), Acl(1, Id("world", "anyone"))], True),
        ([Acl(30, Id("world", "anyone"))], False),
        ([Acl(31, Id("digest", "me:x"))], False),
        ([Acl(1, Id("world", "me"))], False),
    ],
)
def test_what_not_everybody_may_read_is_told_as_closed(acl: list[Acl], is_told: bool) -> None:
    assert is_open(acl) is is_told


def test_everything_that_was_committed_comes_decoded_and_in_order(
    node: Node, client: RawClient
) -> None:
    part = struct.pack(">ibi", 1, 0, -1) + create_body("/m", b"12345")
    zxids = [
        write(client, 1, 1, create_body("/a", CANARY)),
        write(client, 2, 5, set_body("/a", CANARY * 2)),
        write(client, 3, 7, text("/a") + OPEN_ACL + struct.pack(">i", -1)),
        write(client, 4, 1, create_body("/e", flags=1)),
        write(client, 5, 5, set_body("/none", b"")),
        write(client, 6, 14, part + struct.pack(">ibi", -1, 1, -1)),
        write(client, 7, 2, text("/a") + struct.pack(">i", -1)),
        write(client, 8, -11, b""),
    ]
    status, found = ask(node.admin_port, "/changes?from=0")
    assert status == 200
    assert [e["zxid"] for e in found[1:-1]] == zxids
    assert found[-1] == {"cursor": zxids[-1]}
    session = hex(client.session_id & (1 << 64) - 1)
    assert {e["session"] for e in found[:-1]} == {session}
    for entry in found[:-1]:
        for key in ("time", "zxid", "session"):
            entry.pop(key)
    assert found[:-1] == [
        {"operation": "createSession", "timeout_ms": 30_000},
        {"operation": "create", "path": "/a", "version": 0, "bytes": len(CANARY)},
        {"operation": "setData", "path": "/a", "version": 1, "bytes": 2 * len(CANARY)},
        {"operation": "setACL", "path": "/a", "acl_version": 1},
        {"operation": "create", "path": "/e", "version": 0, "ephemeral": True, "bytes": 0},
        {"operation": "error", "result": "NoNode"},
        {
            "operation": "multi",
            "parts": [{"operation": "create", "path": "/m", "version": 0, "bytes": 5}],
        },
        {"operation": "delete", "path": "/a"},
        {"operation": "closeSession", "paths": ["/e"]},
    ]


def test_values_and_acls_come_for_those_alone_who_may_change(node: Node, client: RawClient) -> None:
    write(client, 1, 1, create_body("/a", b"value"))
    acl = struct.pack(">ii", 1, 1 | 16) + text("digest") + text("ann:aGFzaA==")
    write(client, 2, 7, text("/a") + acl + struct.pack(">i", -1))
    status, _ = ask(node.admin_port, "/changes?from=0&values=1")
    assert status == 403
    status, found = ask(node.admin_port, "/changes?from=0")
    assert not any("acl" in line or "value" in line for line in found)
    assert found[2]["closed"] is True
    status, found = ask(node.admin_port, "/changes?from=0&values=1", CONTROL)
    assert status == 200
    assert found[1]["value"] == "dmFsdWU="
    assert found[1]["acl"] == ["world:anyone:cdrwa"]
    assert found[2]["acl"] == ["digest:ann:aGFzaA==:ra"]


def test_without_a_token_nobody_reads_it(node: Node, start_node: Callable[..., Node]) -> None:
    assert ask(node.admin_port, "/changes?from=0", "")[0] == 401
    assert ask(node.admin_port, "/changes?from=0", "wrong-token-of-somebody")[0] == 401
    other = start_node(name="open")
    status, said = ask(other.admin_port, "/changes?from=0", "")
    assert status == 401
    assert "needs a token" in str(said[0]["error"])


@pytest.mark.parametrize("begin", ["x", "-1", "0x", "1_0", "0x10000000000000000", "9" * 19, "1.5"])
def test_a_zxid_that_is_none_is_said_so(node: Node, begin: str) -> None:
    status, said = ask(node.admin_port, f"/changes?from={begin}")
    assert status == 400
    assert begin[:40] in str(said[0]["error"])


def test_who_follows_gets_what_comes_and_who_comes_back_goes_on(
    node: Node, client: RawClient
) -> None:
    """Resumes after a cut without loss or double, wherever it was cut."""
    expected = []
    position = ""
    got: list[tuple[object, object]] = []
    for round in range(4):
        if round == 0:
            stream = Stream(node.admin_port)
        else:
            stream = Stream(node.admin_port, position)
        for at in range(25):
            zxid = write(client, at + 1, 1, create_body(f"/r{round}-{at}"))
            expected.append((zxid, f"/r{round}-{at}"))
        wanted = 17 if round < 3 else len(expected) - len(got)
        for entry in stream.changes(wanted):
            got.append((entry["zxid"], entry["path"]))
            position = str(entry["zxid"])
        stream.close()
    assert got == expected


def test_a_stream_without_news_says_from_time_to_time_that_it_lives(
    node: Node, client: RawClient
) -> None:
    zxid = write(client, 1, 1, create_body("/a"))
    stream = Stream(node.admin_port)
    assert stream.line()["cursor"] == zxid
    write(client, 2, 1, create_body("/b"))
    assert stream.change()["path"] == "/b"
    stream.close()


def test_who_is_behind_reads_from_many_log_files_and_across_restarts(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    settings = {**access(tmp_path / "access"), "snapCount": 60, "preAllocSize": 4}
    node = start_node(settings)
    expected = []
    for round in range(3):
        client = RawClient(node.port)
        client.connect()
        for at in range(100):
            expected.append((write(client, at + 1, 1, create_body(f"/r{round}-{at}")), at))
        client.close()
        node.stop()
        node.start()
    logs = list((node.folder / "data" / "version-2").glob("log.*"))
    assert len(logs) > 3
    status, found = ask(node.admin_port, "/changes?from=0")
    assert status == 200
    created = [e for e in found if e.get("operation") == "create"]
    assert [e["zxid"] for e in created] == [zxid for zxid, _ in expected]
    middle = expected[150][0]
    status, rest = ask(node.admin_port, f"/changes?from={middle}")
    assert [e["zxid"] for e in rest if e.get("operation") == "create"] == [
        zxid for zxid, _ in expected[151:]
    ]


def test_more_than_the_ring_holds_comes_from_the_files_to_a_reader_that_is_slow(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = start_node({**access(tmp_path / "access"), "preAllocSize": 1024})
    client = RawClient(node.port, 60)
    client.connect()
    write(client, 1, 1, create_body("/a"))
    stream = Stream(node.admin_port)
    payload = b"x" * 200_000
    count = RING_BYTES_MAX // len(payload) * 2
    zxids = []
    for at in range(count):
        zxids.append(write(client, at + 2, 5, set_body("/a", payload)))
    assert [entry["zxid"] for entry in stream.changes(count)] == zxids
    stream.close()
    client.close()


def test_history_that_was_purged_is_gone_and_the_answer_says_from_where_it_goes_on(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = start_node({**access(tmp_path / "access"), "snapCount": 20, "preAllocSize": 4})
    client = RawClient(node.port)
    client.connect()
    folder = node.folder / "data" / "version-2"
    at = 0
    while len(list(folder.glob("log.*"))) <= 4:  # a new one with each snapshot, which takes a while
        assert at < WRITES_MAX
        write(client, at + 1, 1, create_body(f"/n{at}"))
        at += 1
    client.close()
    node.stop()
    logs = sorted(folder.glob("log.*"), key=lambda path: int(path.name[4:], 16))
    first = int(logs[2].name[4:], 16)
    for path in [*logs[:2], *folder.glob("snapshot.*")]:
        name = path.name.partition(".")[2]
        # A snapshot that the stop has cut short is a .tmp.
        if path in logs[:2] or name.endswith(".tmp") or int(name, 16) < first:
            path.unlink()
    node.start()
    status, said = ask(node.admin_port, "/changes?from=0x5")
    assert status == 410
    oldest = str(said[0]["oldest"])
    assert int(oldest, 16) in (first - 1, first)
    status, found = ask(node.admin_port, f"/changes?from={oldest}")
    assert status == 200
    zxids = [int(str(e["zxid"]), 16) for e in found if "zxid" in e]
    assert zxids == list(range(int(oldest, 16) + 1, zxids[-1] + 1))


async def test_a_tenant_is_told_of_its_own_tree_in_its_own_words_and_of_nothing_else(
    node: Node,
) -> None:
    tokens = await make_tenants(node.address, "payments", "orders")
    sessions = {}
    for slug, other in (("payments", "orders"), ("orders", "payments")):
        async with tenant_client(node.address, tokens[slug]) as client:
            sessions[slug] = hex(client.session_id & (1 << 64) - 1)
            await client.create("/same", slug.encode())
            await client.set("/same", other.encode())
            await client.create(f"/only-{slug}")
            deal = client.transaction()
            deal.create("/x")
            deal.delete("/x")
            await deal.commit()
    status, found = ask(node.admin_port, "/changes?from=0&tenant=payments")
    assert status == 200
    text_of_all = str(found)
    assert "orders" not in text_of_all
    assert "/tenants" not in text_of_all
    assert sessions["orders"] not in text_of_all
    changes = [e for e in found if "operation" in e]
    mine = [e for e in changes if e.get("session") == sessions["payments"]]
    assert brief(mine) == [
        ("create", "/same"),
        ("setData", "/same"),
        ("create", "/only-payments"),
        ("multi", None),
        ("closeSession", None),
    ]
    assert {e["principal"] for e in mine} == {"app@payments"}
    assert mine[3]["parts"] == [
        {"operation": "create", "path": "/x", "version": 0, "bytes": 0},
        {"operation": "delete", "path": "/x"},
    ]
    status, whole = ask(node.admin_port, "/changes?from=0")
    shown = [e for e in whole if e.get("path") == "/tenants/payments/only-payments"]
    assert [(e["principal"], e["tenant"]) for e in shown] == [("app@payments", "payments")]
    assert ask(node.admin_port, "/changes?tenant=nobody")[0] == 404


async def test_a_session_that_was_bound_before_the_stream_begins_has_its_principal(
    node: Node,
) -> None:
    tokens = await make_tenants(node.address, "payments")
    client = RawClient(node.port)
    client.connect()
    assert present(client, "tenant", tokens["payments"]) == 0
    stream = Stream(node.admin_port, query="&tenant=payments")
    write(client, 1, 1, create_body("/late"))
    entry = stream.change()
    assert (entry["path"], entry["principal"]) == ("/late", "app@payments")
    stream.close()
    client.close()


def test_every_node_tells_the_same_and_goes_on_under_another_leader(tmp_path: Path) -> None:
    ensemble = Ensemble(tmp_path, [ours(), ours(), ours()], access(tmp_path / "access"))
    ports = {}
    for member in ensemble.all:
        ports[member.sid] = free_port()
        member.config["admin.enableServer"] = "true"
        member.config["admin.serverPort"] = ports[member.sid]
    with ensemble.start():
        leader = ensemble.wait_serving()
        follower = next(member for member in ensemble.all if member is not leader)
        stream = Stream(ports[follower.sid], "0")
        expected = []
        for round, member in enumerate((leader, follower)):
            client = RawClient(member.client_port)
            client.connect()
            for at in range(30):
                path = f"/r{round}-{at}"
                expected.append((write(client, at + 1, 1, create_body(path)), path))
            client.close()
        leader.kill9()
        new = ensemble.wait_serving()
        client = RawClient(new.client_port)
        client.connect()
        for at in range(30):
            expected.append((write(client, at + 1, 1, create_body(f"/after-{at}")), f"/after-{at}"))
        client.close()
        got: list[tuple[object, object]] = []
        while len(got) < len(expected):
            entry = stream.change()
            if entry["operation"] == "create":
                got.append((entry["zxid"], entry["path"]))
        assert got == expected
        stream.close()
        leader.start(ensemble.all)
        ensemble.wait_serving()
        for member in ensemble.all:
            status, found = ask(ports[member.sid], f"/changes?from={expected[-31][0]}")
            assert status == 200
            assert [(e["zxid"], e["path"]) for e in found if e.get("operation") == "create"] == (
                expected[-30:]
            )
