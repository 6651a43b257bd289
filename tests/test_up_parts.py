"""`ensemble up`, the parts that need no processes: its folder, what it carries over, its words."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.server.properties import parse_properties
from ensemble.up import carry, control, folder, ports, status
from ensemble.up.errors import NotRunningError, StartError
from ensemble.up.folder import NodeFiles
from ensemble.up.ports import Ports
from ensemble.up.process import PAUSE_FIRST_S, PAUSE_MAX_S, Process
from ensemble.up.status import NodeStatus, summarize
from tests.ports import free_port

SECRET = bytes(32)


def make_all(var: Path, nodes: int) -> list[NodeFiles]:
    planned = folder.planned(var, nodes, Ports())
    for node in reversed(planned):
        folder.make(node, planned, SECRET, {})
    return planned


# The folder


@pytest.mark.parametrize("nodes", folder.SIZES)
def test_what_is_made_is_what_is_found(nodes: int, tmp_path: Path) -> None:
    planned = make_all(tmp_path / "var", nodes)
    assert folder.load(tmp_path / "var") == planned
    assert [node.client_port for node in planned] == [2181 + at for at in range(nodes)]
    keys = folder.read_keys(planned[0].config_path)
    servers = [key for key in keys if key.startswith("server.")]
    assert len(servers) == (0 if nodes == 1 else nodes), "one node stands alone"
    assert keys["ensemble.sessionPassword"] == "secret"
    assert keys["clientPortAddress"] == keys["admin.serverAddress"] == "127.0.0.1"


def test_any_folder_can_be_named_in_a_configuration(tmp_path: Path) -> None:
    var = tmp_path / "ü \\ =:# ✓"
    (node,) = make_all(var, 1)
    assert folder.load(var) == [node]
    assert parse_properties(node.config_path.read_bytes(), "")["dataDir"] == str(node.data_dir)
    with pytest.raises(StartError, match=r"which zoo\.cfg cannot name"):
        folder.escaped("/data/\N{SNAKE}")


def test_a_node_is_there_when_its_configuration_is(tmp_path: Path) -> None:
    nodes = make_all(tmp_path, 3)
    nodes[2].config_path.unlink()
    (tmp_path / "node0").mkdir()
    (tmp_path / "node01").mkdir()
    (tmp_path / "nodes").mkdir()
    assert [node.sid for node in folder.load(tmp_path)] == [1, 2]
    folder.discard(nodes[1])
    assert [node.sid for node in folder.load(tmp_path)] == [1]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("clientPort=2181", "clientPort=0", "clientPort=0 is not a port from 1 to 65535"),
        ("clientPort=2181", "clientPort=65536", "clientPort=65536 is not a port"),
        ("clientPort=2181", "", "has no clientPort"),
        ("dataDir=", "dateDir=", "has no dataDir"),
        ("server.1=", "server.9=", "but no server.1, its own"),
        ("server.1=127.0.0.1:2888:3888", "server.1=here", "server.1"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_with_file_and_reason(
    old: str, new: str, words: str, tmp_path: Path
) -> None:
    path = make_all(tmp_path, 3)[0].config_path
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(StartError) as refused:
        folder.load(tmp_path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_folder_with_the_id_of_another_is_refused(tmp_path: Path) -> None:
    nodes = make_all(tmp_path, 3)
    (nodes[1].data_dir / "myid").write_text("3\n")
    with pytest.raises(StartError, match=r"myid holds '3'; in .*node2 it must be 2"):
        folder.load(tmp_path)


@pytest.mark.parametrize("text", ["", "digest:", "digest:super", "sasl:super:x", "digest::x"])
def test_a_damaged_credential_is_not_passed_on(text: str, tmp_path: Path) -> None:
    (tmp_path / "zookeeper.auth").write_text(text)
    with pytest.raises(StartError, match="does not hold digest:user:password"):
        folder.kept_credential(tmp_path)


def test_the_tokens_of_the_admin_ports_are_made_once_and_are_nobody_elses(tmp_path: Path) -> None:
    made = {key: path.read_text() for key, path in folder.kept_tokens(tmp_path).items()}
    assert set(made) == {"ensemble.admin.readTokens", "ensemble.admin.controlTokens"}
    assert len(set(made.values())) == 2
    assert all(len(token.strip()) >= 40 for token in made.values())
    assert {k: p.read_text() for k, p in folder.kept_tokens(tmp_path).items()} == made
    for path in folder.kept_tokens(tmp_path).values():
        assert path.stat().st_mode & 0o077 == 0


def test_a_damaged_secret_is_not_passed_on(tmp_path: Path) -> None:
    secret = folder.kept_secret(tmp_path)
    assert folder.kept_secret(tmp_path) == secret
    (tmp_path / "ensemble.secret").write_bytes(secret[:-1])
    with pytest.raises(StartError, match="holds 31 bytes, 32 are expected"):
        folder.kept_secret(tmp_path)


def test_what_an_observer_takes_over_is_nobodys_own(tmp_path: Path) -> None:
    node = make_all(tmp_path, 3)[0]
    with node.config_path.open("a") as file:
        file.write("secureClientPort=2281\nsnapCount=7\n")
    kept = folder.kept_settings(node)
    assert kept["snapCount"] == "7"
    for key in ("dataDir", "clientPort", "admin.serverPort", "server.1", "secureClientPort"):
        assert key not in kept


# The data of a single node


@pytest.fixture
def single(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "version-2").mkdir(parents=True)
    (data / "version-2" / "log.1").write_bytes(b"transactions")
    (data / "ensemble.secret").write_bytes(bytes(range(32)))
    (tmp_path / "zoo.cfg").write_text(f"dataDir={data}\nclientPort=2190\nsnapCount=7\n")
    return tmp_path


def carried(var: Path, nodes: int = 3) -> list[NodeFiles]:
    planned = folder.planned(var, nodes, Ports(client=carry.client_port(var)))
    said: list[str] = []
    assert carry.carry_over(var, planned, said.append)["snapCount"] == "7"
    assert len(said) <= 1
    return planned


def holds_all(node: NodeFiles) -> bool:
    path = node.data_dir / "version-2" / "log.1"
    return path.is_file() and path.read_bytes() == b"transactions"


def test_every_voter_gets_all_of_it_and_the_secret_of_its_sessions(single: Path) -> None:
    nodes = carried(single)
    assert all(holds_all(node) for node in nodes)
    assert [node.client_port for node in nodes] == [2190, 2191, 2192]
    assert folder.kept_secret(single) == bytes(range(32))
    assert not (single / "data").exists()
    carry.finish(single)
    assert (single / carry.BEFORE).is_file()
    assert not carry.is_single(single)


@pytest.mark.parametrize("after", ["the first copy", "the copies", "the move"])
def test_an_interruption_loses_nothing_and_the_next_start_goes_on(
    after: str, single: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(Exception):
        pass

    def cut(*_: object) -> None:
        raise PowerCut

    def cut_copy(source: Path, target: Path) -> None:
        target.mkdir()
        (target / "half").touch()
        raise PowerCut

    with monkeypatch.context() as patch:
        if after == "the first copy":
            patch.setattr(shutil, "copytree", cut_copy)
        elif after == "the copies":
            patch.setattr(carry.os, "sync", cut)
        else:
            patch.setattr(carry, "put_file", cut)
        with pytest.raises(PowerCut):
            carried(single)
    nodes = carried(single)
    assert all(holds_all(node) for node in nodes)
    assert not list(single.rglob("half"))
    assert folder.kept_secret(single) == bytes(range(32))


def test_copies_that_do_not_fit_are_not_begun(
    single: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1 << 20))
    with pytest.raises(StartError, match=r"2 copies of .* MB, 1 MB are free.*--nodes 1"):
        carried(single)
    assert (single / "data" / "version-2" / "log.1").is_file()
    assert holds_all(carried(single, nodes=1)[0]), "one node needs no copy"


@pytest.mark.parametrize("key", ["secureClientPort", "metricsProvider.httpPort"])
def test_a_port_that_several_nodes_cannot_share_is_named(key: str, single: Path) -> None:
    with (single / "zoo.cfg").open("a") as file:
        file.write(f"{key}=2281\n")
    with pytest.raises(StartError, match=f"{key}=2281, which several nodes"):
        carried(single)
    assert carried(single, nodes=1)


def test_a_single_node_that_never_ran_has_nothing_to_keep(single: Path) -> None:
    shutil.rmtree(single / "data")
    carried(single)
    assert not (single / "node2" / "data").exists()


# Ports, processes, words


def test_a_port_that_nobody_may_have_is_not_called_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert ports.why_not(free_port_number()) == "cannot be used (Permission denied)"


def free_port_number() -> int:
    return 2181


def test_the_search_for_a_free_port_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "why_not", lambda port: "is taken")
    with pytest.raises(StartError, match="No port is free between 65500 and 65535"):
        ports.next_free(65_500, set())
    port = free_port()
    monkeypatch.setattr(ports, "why_not", lambda port: "")
    assert ports.next_free(port, {port, port + 1}) == port + 2


def test_pauses_grow_to_a_bound_and_begin_anew_after_a_steady_minute(tmp_path: Path) -> None:
    process = Process("node1", [], tmp_path / "log", {})
    process.began_s = float("inf")
    pauses = [process.wait_to_restart() for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pauses[-1] == PAUSE_MAX_S
    process.began_s = 0.0
    assert process.wait_to_restart() == PAUSE_FIRST_S


def test_the_end_of_a_log_is_found_however_long_it_is(tmp_path: Path) -> None:
    process = Process("node1", [], tmp_path / "log", {})
    assert process.last_words() == ""
    process.log_path.write_text("x" * 100_000 + "\none\ntwo\n")
    assert process.last_words(2) == "one\ntwo"


def test_a_log_does_not_steer_the_terminal(tmp_path: Path) -> None:
    process = Process("node1", [], tmp_path / "log", {})
    process.log_path.write_bytes(b"\x1b[2J\x07gone \xff\n")
    assert process.last_words() == "?[2J?gone \ufffd"


SRVR = "Zookeeper version: 3.9.3\nConnections: {}\nZxid: {}\nMode: {}\nNode count: 5\n"


def test_srvr_is_read_as_ours_and_apaches_say_it() -> None:
    assert status.read_srvr(SRVR.format(3, "0x200000007", "leader")) == NodeStatus(
        "leader", 0x200000007, 2
    )
    text = "This ZooKeeper instance is not currently serving requests\n"
    assert status.read_srvr(text) == NodeStatus(status.LOOKING)
    assert not status.read_srvr(SRVR.format("many", "0x0", "leader")).serves


@pytest.mark.parametrize(
    ("modes", "line"),
    [
        (
            ("follower", "leader", "follower"),
            "node2 leads, epoch 3, zxid 0x300000001; 3 of 3 nodes serve; 3 clients",
        ),
        (
            ("silent", "leader", "looking"),
            "node2 leads, epoch 3, zxid 0x300000001; 1 of 3 nodes serve; 3 clients; "
            "node1 does not answer; node3 has no leader",
        ),
        (
            ("looking", "looking", "silent"),
            "no leader: writes wait; 0 of 3 nodes serve; 3 clients; "
            "node1 has no leader; node2 has no leader; node3 does not answer",
        ),
    ],
)
def test_one_line_says_how_it_stands(modes: tuple[str, ...], line: str, tmp_path: Path) -> None:
    nodes = make_all(tmp_path, 3)
    for node in nodes:
        (node.data_dir / "version-2").mkdir()
        (node.data_dir / "version-2" / "currentEpoch").write_text("3")
    found = {at + 1: NodeStatus(mode, 0x300000001, 1) for at, mode in enumerate(modes)}
    assert summarize(nodes, found).line() == line


def test_only_another_standing_is_news_at_once(tmp_path: Path) -> None:
    nodes = make_all(tmp_path, 1)
    before = summarize(nodes, {1: NodeStatus("standalone", 5, 1)})
    after = summarize(nodes, {1: NodeStatus("standalone", 6, 2)})
    assert before.line() == "node1 stands alone, zxid 0x5; 1 of 1 nodes serve; 1 client"
    assert before.standing() == after.standing()
    assert summarize(nodes, {}).standing() != before.standing()


@pytest.mark.parametrize("answer", [None, [], {"id": 1}, {"surprise": 1}])
def test_an_answer_of_another_version_is_not_taken_for_nothing(
    answer: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake: Callable[..., object] = lambda *_: {"node": answer}  # noqa: E731
    monkeypatch.setattr(control, "ask", fake)
    with pytest.raises(NotRunningError, match="is not understood"):
        control.add_observer(tmp_path)
