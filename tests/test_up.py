"""`ensemble up`: one command starts an ensemble and its console and stops all of it. Real ones."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ensemble.up import control
from ensemble.up.control import REQUEST_BYTES_MAX, short_path
from ensemble.up.errors import NotRunningError, RefusedError
from tests.harness import ROOT, Node, RawClient, create_body, text
from tests.ups import Up, is_open, is_running, wait_gone

OP_CREATE, OP_EXISTS, OP_SYNC = 1, 3, 9
EPHEMERAL = 1


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path / "var")
    yield up
    up.clean_up()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ensemble.server.main", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def session(port: int, id: int = 0, password: bytes = b"") -> Iterator[RawClient]:
    """A connection that leaves its session behind."""
    client = RawClient(port)
    try:
        assert client.connect(session_id=id, password=password)
        assert id in (0, client.session_id)
        yield client
    finally:
        client.close()


def create(port: int, path: str, flags: int = 0) -> tuple[int, bytes]:
    """The session that has done it."""
    with session(port) as client:
        client.request(1, OP_CREATE, create_body(path, flags=flags))
        assert client.reply()[2] == 0
        return client.session_id, client.password


def has(client: RawClient, path: str) -> bool:
    """After a sync, so that a follower answers as the leader would."""
    client.request(1, OP_SYNC, text(path))
    client.reply()
    client.request(2, OP_EXISTS, text(path) + b"\0")
    return client.reply()[2] == 0


def admin_status(port: int, name: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/commands/{name}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


# Start and stop


def test_it_starts_and_stops_everything_and_shows_the_first_password_once(up: Up) -> None:
    up.start().wait_ready()
    for sid in (1, 2, 3):
        assert f"127.0.0.1:{up.port('client', sid)}" in up.said
    assert f"http://127.0.0.1:{up.console_port}/" in up.said
    password = re.search(r"Sign in as admin with (\S{20})\n", up.said)
    assert password is not None
    url = f"http://127.0.0.1:{up.console_port}/health"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"ok\n"
    up.wait_said(r"node\d leads, epoch 1, zxid 0x\w+; 3 of 3 nodes serve")
    token = (up.folder / "admin.read").read_text().strip()
    for sid in (1, 2, 3):
        assert admin_status(up.port("admin", sid), "top", token) == 200
        assert admin_status(up.port("admin", sid), "monitor", "") == 401
        assert admin_status(up.port("admin", sid), "stat_reset", token) == 403
    pids = up.children()
    assert len(pids) == 5, "three nodes, the console, the collector"
    assert up.stop() == 0
    assert up.said.endswith("Stopped.\n")
    wait_gone(pids)
    for port in [n.client_port for n in up.files()] + [up.console_port]:
        assert not is_open(port)
    for path in up.folder.rglob("*"):
        if path.is_file():
            assert password.group(1).encode() not in path.read_bytes(), f"the password is in {path}"
    kept = ("console.key", "zookeeper.auth", "ensemble.secret", "node2/data/ensemble.secret")
    for name in (*kept, "admin.read", "admin.control"):
        assert (up.folder / name).stat().st_mode & 0o077 == 0, name
    known = "SELECT name, client, admin_url FROM tenants_node ORDER BY name"
    with contextlib.closing(sqlite3.connect(up.folder / "console.sqlite3")) as console:
        assert console.execute(known).fetchall() == [
            (
                f"node{n}",
                f"127.0.0.1:{up.port('client', n)}",
                f"http://127.0.0.1:{up.port('admin', n)}",
            )
            for n in (1, 2, 3)
        ]
        assert console.execute("SELECT COUNT(*) FROM tenants_plan").fetchone() == (3,)
    for log in up.folder.rglob("*.log"):
        assert "Traceback" not in log.read_text(), log
        assert token not in log.read_text(), log
    assert token not in up.said

    configs = [node.config_path.read_text() for node in up.files()]
    up.start("--console-port", str(up.console_port), ports=False).wait_ready()
    assert "Sign in as" not in up.said
    assert [node.config_path.read_text() for node in up.files()] == configs
    up.ask_to_stop(signal.SIGINT)
    assert up.wait_end() == 0


def test_without_the_console_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys, ensemble.up.cli, ensemble.up.supervisor;"
        "print([m for m in ('django', 'daphne', 'console', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_hanging_node_does_not_hold_up_the_stop_for_ever(up: Up) -> None:
    up.start("--no-console").wait_ready()
    pids = up.children()
    os.kill(up.pid_of("node2/zoo.cfg"), signal.SIGSTOP)
    up.wait_said("node2 does not answer")
    up.ask_to_stop()
    wait_gone([pid for pid in pids if pid != up_pid(up, pids, 2)])
    up.ask_to_stop()  # asked twice: at once
    assert up.wait_end() == 0
    assert "node2 did not stop when asked twice and was killed." in up.said
    wait_gone(pids)


def up_pid(up: Up, pids: list[int], sid: int) -> int:
    return next(
        pid
        for pid in pids
        if is_running(pid) and f"node{sid}/".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def test_when_it_is_killed_itself_nothing_stays_behind(up: Up) -> None:
    up.start().wait_ready()
    pids = up.children()
    assert up.process is not None
    up.process.kill()
    up.process.wait()
    wait_gone(pids)
    up.start("--no-console", ports=False).wait_ready()  # the socket of before is no obstacle
    assert up.stop() == 0


# Nodes that die


def test_a_leader_that_dies_is_replaced_and_started_again_with_growing_pauses(up: Up) -> None:
    up.start("--no-console").wait_ready()
    for epoch, pause_s in ((1, 1), (2, 2)):
        up.wait_said(rf"node\d leads, epoch {epoch}, .*3 of 3 nodes serve")
        name = f"node{up.leader()}"
        if epoch == 2:  # the same node a second time: kill the one that has waited before
            name = re.findall(r"(node\d) was killed by signal 9", up.said)[0]
        os.kill(up.pid_of(f"{name}/zoo.cfg"), signal.SIGKILL)
        up.wait_said(
            f"{name} was killed by signal 9; it is started again in {pause_s} s(.|\n)*"
            r"3 of 3 nodes serve"
        )
    create(up.port("client"), "/after")
    assert up.stop() == 0


def test_the_console_that_dies_is_started_again(up: Up) -> None:
    up.start("--nodes", "1").wait_ready()
    os.kill(up.pid_of("console.asgi"), signal.SIGKILL)
    up.wait_said("console was killed by signal 9; it is started again in 1 s")
    up.wait_nodes(lambda _: is_open(up.console_port))
    assert up.stop() == 0


def test_a_console_that_cannot_start_is_told_with_the_end_of_its_log(up: Up) -> None:
    up.folder.mkdir()
    (up.folder / "console.sqlite3").write_bytes(b"no database" * 1_000)
    assert up.start("--nodes", "1").wait_end() == 1
    assert "The console ended with status 1." in up.said
    assert "file is not a database" in up.said
    assert not is_open(up.port("client"))


def test_a_node_that_cannot_run_is_not_started_again_and_the_others_serve(up: Up) -> None:
    up.start("--no-console").wait_ready()
    config = up.folder / "node2" / "zoo.cfg"
    config.write_text(config.read_text() + "tickTime=soon\n")
    os.kill(up.pid_of("node2/zoo.cfg"), signal.SIGKILL)
    up.wait_said(r"node2 ended with status 2: its configuration. It is not started again")
    assert "'soon' is no number" in up.said
    create(up.port("client", 3), "/two-decide")
    assert up.stop() == 0
    assert up.start("--no-console", ports=False).wait_end() == 1
    assert "The node2 ended with status 2" in up.said
    assert "'soon' is no number" in up.said
    assert not is_open(up.port("client"))


def test_a_session_goes_on_at_another_node_when_its_own_dies(up: Up) -> None:
    up.start("--no-console").wait_ready()
    mine = create(up.port("client", 1), "/mine", EPHEMERAL)
    os.kill(up.pid_of("node1/zoo.cfg"), signal.SIGKILL)
    up.wait_said(r"node[23] leads.*2 of 3 nodes serve|3 of 3 nodes serve(.|\n)*3 of 3 nodes serve")
    with session(up.port("client", 2), *mine) as moved:
        assert has(moved, "/mine")
    assert up.stop() == 0


# Ports and folders


@pytest.mark.parametrize(
    ("kind", "sid", "purpose"),
    [
        ("client", 2, "clients of node2"),
        ("admin", 3, "admin of node3"),
        ("quorum", 1, "quorum of node1"),
        ("election", 3, "election of node3"),
    ],
)
def test_a_port_that_is_taken_is_named_with_its_option(
    kind: str, sid: int, purpose: str, up: Up
) -> None:
    with socket.create_server(("127.0.0.1", up.port(kind, sid))):
        assert up.start().wait_end() == 1
    assert f"Port {up.port(kind, sid)} ({purpose}) is taken" in up.said
    assert f"choose another --{kind}-port" in up.said
    assert not (up.folder / "node1").exists()


def test_the_consoles_port_that_is_taken_is_named(up: Up) -> None:
    with socket.create_server(("127.0.0.1", up.console_port)):
        assert up.start().wait_end() == 1
    assert f"Port {up.console_port} (the console) is taken" in up.said
    assert not is_open(up.port("client"))


def test_a_folder_keeps_its_ports_and_says_where_they_stand(up: Up) -> None:
    up.start("--no-console", "--nodes", "1").wait_ready()
    done = command("up", "--dir", str(up.folder), "--no-console")
    assert done.returncode == 1
    assert "Another `ensemble up` works in" in done.stderr
    assert up.stop() == 0
    for flags, words in (
        (["--client-port", "4000"], f"--client-port is 4000, but {up.folder} exists and has"),
        (["--nodes", "3"], f"{up.folder} holds 1 voter; --nodes 3 is for a new folder"),
    ):
        assert up.start("--no-console", *flags, ports=False).wait_end() == 1
        assert words in up.said
    with socket.create_server(("127.0.0.1", up.port("client"))):
        assert up.start("--no-console", ports=False).wait_end() == 1
    assert f"change it in {up.folder / 'node1' / 'zoo.cfg'}" in up.said


def test_a_node_whose_folder_is_gone_is_missed(up: Up) -> None:
    up.start("--no-console").wait_ready()
    assert up.stop() == 0
    shutil.rmtree(up.folder / "node3")
    assert up.start("--no-console", ports=False).wait_end() == 1
    assert "names server 3, but there is no" in up.said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--client-port", "0"], "'0' is not a port: use a number from 1 to 65535"),
        (["--console-port", "http"], "'http' is not a port"),
        (["--nodes", "2"], "invalid choice: 2 (choose from 1, 3, 5)"),
        (["--client-port", "65535", "--admin-port", "9000"], "Port 65536 (clients of node2)"),
        (["--client-port", "9000", "--admin-port", "9001"], "Port 9001 is wanted twice"),
    ],
)
def test_what_cannot_be_is_refused_with_value_and_bound(
    flags: list[str], words: str, up: Up
) -> None:
    assert up.start("--no-console", *flags, ports=False).wait_end() in (1, 2)
    assert words in up.said


# Members


def test_an_observer_comes_serves_and_goes(up: Up) -> None:
    up.start("--no-console").wait_ready()
    folder = str(up.folder)
    create(up.port("client"), "/before")
    done = command("member", "add", "--dir", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("node4 is a new observer, clients on 127.0.0.1:")
    nodes = up.wait_nodes(lambda nodes: nodes[-1].mode == "observer")
    with session(nodes[-1].client_port) as client:
        assert has(client, "/before")
        create(nodes[-1].client_port, "/through-it")
        assert has(client, "/through-it")
    assert re.search(r"\n  4  observer  runs     observer ", command_list(folder))
    last = (up.folder / "nodes").read_text().splitlines()[3]
    assert last.startswith(f"node4=127.0.0.1:{nodes[-1].client_port}=")
    assert up.stop() == 0

    up.start("--no-console", ports=False).wait_ready()
    up.wait_nodes(lambda nodes: len(nodes) == 4 and nodes[-1].mode == "observer")
    done = command("member", "remove", "4", "--dir", folder)
    assert (done.returncode, done.stdout) == (0, "node4 is removed\n")
    assert not (up.folder / "node4").exists()
    assert len((up.folder / "nodes").read_text().splitlines()) == 3
    assert not is_open(nodes[-1].client_port)
    assert "4  observer" not in command_list(folder)
    for arguments, words in (
        (["remove", "4"], "there is no node 4; the nodes are 1, 2, 3"),
        (["remove", "2"], "node 2 is a voter; only observers can be removed"),
        (["remove", "256"], "'256' is not a node's id: use a number from 1 to 255"),
    ):
        done = command("member", *arguments, "--dir", folder)
        assert done.returncode in (1, 2)
        assert words in done.stderr
    assert up.stop() == 0
    done = command("member", "list", "--dir", folder)
    assert done.returncode == 1
    assert f"no `ensemble up` runs in {folder}" in done.stderr


def command_list(folder: str) -> str:
    return command("member", "list", "--dir", folder).stdout


def test_requests_have_bounds_and_bad_ones_an_answer(up: Up) -> None:
    up.start("--no-console", "--nodes", "1").wait_ready()
    assert (up.folder / "up.sock").stat().st_mode & 0o777 == 0o600
    for raw, words in (
        (b"hello\n", "is not JSON"),
        (b"[" * 1_000 + b"\n", "is not JSON"),
        (b"[]\n", "is not an object"),
        (b"x" * (REQUEST_BYTES_MAX + 1), f"one line of at most {REQUEST_BYTES_MAX} bytes"),
        (b'{"do": "reboot"}\n', "do is 'reboot', one of 'list', 'add', 'remove' is wanted"),
        (b'{"do": "remove"}\n', "id is None, a number from 1 to 255 is wanted"),
        (b'{"do": "remove", "id": true}\n', "id is True, a number from 1 to 255 is wanted"),
        (b'{"do": "remove", "id": 256}\n', "id is 256, a number from 1 to 255 is wanted"),
        (b'{"do": "add"}\n', "an observer needs an ensemble: --nodes 3 or 5"),
    ):
        assert words in json.loads(spoken(up.folder, raw))["error"], raw[:40]
    with pytest.raises(RefusedError, match=f"at most {REQUEST_BYTES_MAX}"):
        control.ask(up.folder, {"do": "x" * REQUEST_BYTES_MAX})
    assert len(control.list_nodes(up.folder)) == 1
    assert up.stop() == 0
    with pytest.raises(NotRunningError, match="no `ensemble up` runs in"):
        control.list_nodes(up.folder)


def spoken(folder: Path, raw: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock, short_path(folder) as path:
        sock.settimeout(20)
        sock.connect(path)
        sock.sendall(raw)
        return control.read_line(sock)


# The folder of a single node, from before


def make_single(up: Up, start_node: Callable[..., Node]) -> tuple[int, bytes]:
    """What `make run` left behind when it started one node: zoo.cfg, data/, a live session."""
    data = up.folder / "data"
    node = start_node({"dataDir": data})
    create(node.port, "/kept")
    alive = create(node.port, "/session", EPHEMERAL)
    assert node.stop() == 0
    (up.folder / "zoo.cfg").write_text(
        f"dataDir={data}\nclientPort={up.port('client')}\ntickTime=1500\nsnapCount=5000\n"
    )
    return alive


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_single_nodes_data_is_kept_by_every_node_and_its_sessions_go_on(
    nodes: int, up: Up, start_node: Callable[..., Node]
) -> None:
    alive = make_single(up, start_node)
    up.start("--no-console", "--nodes", str(nodes)).wait_ready()
    assert f"The single node's data ({up.folder / 'data'}) is node1's now" in up.said
    assert not (up.folder / "data").exists()
    for sid in range(1, nodes + 1):
        with session(up.port("client", sid), *alive) as client:
            assert has(client, "/kept")
            assert has(client, "/session")
        config = (up.folder / f"node{sid}" / "zoo.cfg").read_text()
        assert "tickTime=1500\n" in config
        assert "snapCount=5000\n" in config
    create(up.port("client", nodes), "/new")
    assert (up.folder / "zoo.cfg.single").exists()
    assert up.stop() == 0
    up.start("--no-console", ports=False).wait_ready()
    assert "single node" not in up.said
    assert up.stop() == 0


def test_a_single_node_that_still_runs_keeps_its_data(
    up: Up, start_node: Callable[..., Node]
) -> None:
    make_single(up, start_node)
    other = start_node({"dataDir": up.folder / "data"}, name="other")
    assert up.start("--no-console").wait_end() == 1
    assert f"A server is running on {up.folder / 'data'}: stop it first." in up.said
    assert (up.folder / "data").is_dir()
    assert not (up.folder / "node2").exists()
    assert other.stop() == 0


def test_a_single_node_with_a_log_folder_of_its_own_is_left_alone(up: Up) -> None:
    up.folder.mkdir()
    (up.folder / "zoo.cfg").write_text(
        f"dataDir={up.folder}/data\ndataLogDir={up.folder}/log\nclientPort={up.port('client')}\n"
    )
    assert up.start("--no-console").wait_end() == 1
    assert "a dataLogDir of its own" in up.said
    assert not (up.folder / "node1").exists()
