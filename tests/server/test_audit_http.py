"""The audit journal over HTTP and on the command line."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.server.audit_chain import segment_name, segments
from ensemble.server.audit_cli import main
from ensemble.server.audit_pages import NEAR_BYTES, read_cursor, read_page
from tests.harness import Node, RawClient, create_body
from tests.server.audits import JOURNAL, entries, folder_of, make_journal, told, wait_for
from tests.server.feeds import CONTROL, access, ask
from tests.tenants import KEY, make_tenants, tenant_client, trusting


@pytest.fixture
def node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    settings = {**JOURNAL, **access(tmp_path / "access"), **trusting(tmp_path / "keys")}
    settings["admin.enableServer"] = "true"
    return start_node({**settings, "ensemble.audit.anchorMs": 200, "tickTime": 400})


def fill(node: Node, count: int) -> None:
    client = RawClient(node.port)
    client.connect()
    for at in range(count):
        client.request(at + 1, 1, create_body(f"/n{at}"))
        client.reply()
    client.close()


def test_pages_follow_one_another_without_loss_or_double(node: Node) -> None:
    fill(node, 50)
    told(folder_of(node), 50)
    got = []
    cursor = ""
    while True:
        status, found = ask(node.admin_port, f"/audit?after={cursor}&limit=7")
        assert status == 200
        cursor = str(found[-1]["cursor"])
        got += found[:-1]
        assert len(found) <= 8
        if not found[-1]["more"]:
            break
    assert [e["seq"] for e in got] == list(range(1, len(got) + 1))
    assert sum(str(e.get("path", "")).startswith("/n") for e in got) == 50
    status, found = ask(node.admin_port, f"/audit?after={cursor}")
    assert status == 200


async def test_a_page_of_one_tenant_holds_nothing_of_others(node: Node) -> None:
    tokens = await make_tenants(node.address, "payments", "orders")
    for slug, token in tokens.items():
        async with tenant_client(node.address, token) as client:
            # A name that looks like a member of another tenant's line.
            await client.create('/x","tenant":"payments", y')
            await client.create(f"/{slug}")
    await asyncio.to_thread(told, folder_of(node), 6)
    status, found = await asyncio.to_thread(ask, node.admin_port, "/audit?tenant=payments")
    assert status == 200
    assert {e["tenant"] for e in found[:-1]} == {"payments"}
    assert "/tenants/payments/payments" in [e.get("path") for e in found[:-1]]


@pytest.mark.parametrize(
    "query", ["after=x", "after=1", "after=1:", "after=-1:0", "limit=0", "limit=10001", "limit=x"]
)
def test_a_parameter_that_cannot_be_is_named(node: Node, query: str) -> None:
    status, said = ask(node.admin_port, f"/audit?{query}")
    assert status == 400
    name, _, value = query.partition("=")
    assert name in str(said[0]["error"])
    assert value in str(said[0]["error"])


def test_a_token_is_needed_also_where_none_is_configured(
    node: Node, start_node: Callable[..., Node]
) -> None:
    other = start_node({**JOURNAL, "admin.enableServer": "true"}, name="open")
    for path in ("/audit", "/audit/head"):
        assert ask(node.admin_port, path, "")[0] == 401
        assert ask(other.admin_port, path, "")[0] == 401


def test_commands_that_change_and_refusals_of_the_admin_port_are_told(node: Node) -> None:
    assert ask(node.admin_port, "/commands/monitor", "")[0] == 401
    assert ask(node.admin_port, "/commands/stat_reset")[0] == 403
    assert ask(node.admin_port, "/commands/stat_reset", CONTROL)[0] == 200
    assert ask(node.admin_port, "/changes?values=1", CONTROL)[0] == 200
    found = wait_for(
        folder_of(node),
        lambda lines: sum(e["operation"] == "command" for e in lines) >= 4,
    )
    commands = [entry for entry in found if entry["operation"] == "command"]
    assert [(e["command"], e["status"], e["result"], e["address"]) for e in commands] == [
        ("monitor", 401, "refused", "127.0.0.1"),
        ("stat_reset", 403, "refused", "127.0.0.1"),
        ("stat_reset", 200, "Ok", "127.0.0.1"),
        ("changes with values", 200, "Ok", "127.0.0.1"),
    ]


def test_a_server_without_a_journal_says_so(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = start_node(access(tmp_path / "access"))
    for path in ("/audit", "/audit/head"):
        status, said = ask(node.admin_port, path)
        assert status == 404
        assert "ensemble.audit.journal=on" in str(said[0]["error"])


def test_a_cursor_that_is_older_than_what_is_kept_hears_from_where_it_goes_on(
    tmp_path: Path,
) -> None:
    make_journal(tmp_path, 200, 6_000, 18_000)
    oldest = segments(str(tmp_path))[0]
    page = read_page(str(tmp_path), *read_cursor("1:5"), 10, "")
    assert page.gone
    again = read_page(str(tmp_path), *read_cursor(page.cursor), 10, "")
    assert not again.gone
    assert json.loads(again.lines[0])["segment"] == oldest
    everything = read_page(str(tmp_path), 0, 0, 10_000, "")
    assert not everything.gone


def test_a_torn_line_is_not_served(tmp_path: Path) -> None:
    make_journal(tmp_path, 5)
    path = tmp_path / segment_name(1)
    path.write_bytes(path.read_bytes()[:-3])
    page = read_page(str(tmp_path), 0, 0, 100, "")
    assert [json.loads(raw)["seq"] for raw in page.lines] == [1, 2, 3, 4, 5, 6]


def wait_anchored(node: Node) -> int:
    deadline = time.monotonic() + 15
    while True:
        _, head = ask(node.admin_port, "/audit/head")
        anchored = int(str(head[0]["anchored_seq"]))
        if anchored > 0:
            return anchored
        assert time.monotonic() < deadline
        time.sleep(0.05)


def verify(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["verify", *arguments])
    return code, capsys.readouterr().out


def test_verify_compares_with_what_is_committed_in_the_tree(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(node, 20)
    told(folder_of(node), 20)
    anchored = wait_anchored(node)
    monkeypatch.setenv("ENSEMBLE_AUTH", "operator:" + KEY.sign("alice").decode())
    folder = str(folder_of(node))
    code, said = verify(capsys, folder, "--server", node.address)
    assert code == 0, said
    assert f"/zookeeper/audit/1 at {node.address}: line " in said
    assert "is as it was committed" in said
    assert anchored <= len(entries(folder_of(node)))
    anew = tmp_path / "anew"
    make_journal(anew, 40)
    code, said = verify(capsys, str(anew), "--server", node.address, "--node", "1")
    assert code == 1
    assert "written anew since" in said
    short = tmp_path / "short"
    shutil.copytree(folder, short)
    first = short / segment_name(1)
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:2]))
    code, said = verify(capsys, str(short), "--server", node.address)
    assert code == 1
    assert "cut off" in said
    monkeypatch.setenv("ENSEMBLE_AUTH", "")
    assert verify(capsys, folder, "--server", node.address)[0] == 3


def test_verify_names_what_is_wrong_and_a_folder_without_a_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(capsys, str(tmp_path))[0] == 3
    make_journal(tmp_path, 5)
    code, said = verify(capsys, str(tmp_path))
    assert code == 0
    assert "lines 1 to 7" in said
    path = tmp_path / segment_name(1)
    path.write_bytes(path.read_bytes().replace(b"/n3", b"/m3"))
    code, said = verify(capsys, str(tmp_path))
    assert code == 1
    assert f"WRONG: {segment_name(1)}:5: its hash is not that of its content" in said


def test_show_prints_what_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_journal(tmp_path, 20)

    def shown(*arguments: str) -> list[object]:
        assert main(["show", str(tmp_path), *arguments]) == 0
        return [json.loads(line).get("path") for line in capsys.readouterr().out.splitlines()]

    assert len(shown("--tenant", "payments")) == 20
    assert shown("--tenant", "orders") == []
    assert shown("--path", "/n3") == ["/n3"]
    assert shown("--who", "app@payments", "--path", "/n1") == ["/n1"]
    assert shown("--since", "1h") == [None]
    assert len(shown("--since", "1970-01-01T00:00:00")) == 22
    assert shown("--refused") == []
    for since in ("yesterday", "5", "99999999d", ""):
        code = main(["show", str(tmp_path), "--since", since])
        assert code == (2 if since else 0)
        capsys.readouterr()


def test_a_page_begins_behind_its_cursor_wherever_that_is_in_a_long_segment(tmp_path: Path) -> None:
    make_journal(tmp_path, 3_000, segment_bytes=1 << 24)
    (path,) = tmp_path.glob("audit-*.jsonl")
    assert path.stat().st_size > 8 * NEAR_BYTES, "else nothing is searched"
    raw = path.read_bytes().splitlines(keepends=True)
    for seq in [*range(0, 3_000, 61), 2_999, 3_000, 3_001]:
        page = read_page(str(tmp_path), 1, seq, 2, "")
        assert page.lines == raw[seq : seq + 2]
    with path.open("ab") as file:
        file.write(b'{"seq":3004,"torn')
    assert read_page(str(tmp_path), 1, 2_990, 100, "").lines == raw[2_990:]
