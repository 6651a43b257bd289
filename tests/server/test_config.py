"""The configuration as an operator meets it: a wrong value names key, value and bound."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.server.config import Config, load_config
from tests.harness import ROOT, Node, RawClient

EXIT_CONFIG = 2
EXIT_DATA_DIR = 3


def refuse(tmp_path: Path, lines: str, *flags: str) -> str:
    """Start with these lines; what is said where the start is refused."""
    config = tmp_path / "zoo.cfg"
    config.write_text(lines)
    done = subprocess.run(
        [sys.executable, "-m", "ensemble.server.main", "server", *flags, str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == EXIT_CONFIG, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def read(tmp_path: Path, lines: str, properties: dict[str, str] | None = None) -> Config:
    """The configuration with these lines."""
    path = tmp_path / "zoo.cfg"
    path.write_text(f"dataDir={tmp_path / 'data'}\nclientPort=0\n{lines}\n")
    return load_config([str(path)], properties or {})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("clientPort=abc", ["clientPort", "abc"]),
        ("clientPort=70000", ["clientPort", "70000"]),
        ("tickTime=0", ["tickTime", "0"]),
        ("maxClientCnxns=-1", ["maxClientCnxns", "-1"]),
        ("minSessionTimeout=9000\nmaxSessionTimeout=8000", ["SessionTimeout", "9000", "8000"]),
        ("extendedTypesEnabled=maybe", ["extendedTypesEnabled", "maybe"]),
        ("snapshot.trust.empty=2", ["snapshot.trust.empty", "2"]),
    ],
)
def test_a_wrong_value_refuses_the_start(line: str, words: list[str], tmp_path: Path) -> None:
    base = {"dataDir": str(tmp_path / "data"), "clientPort": "0", "admin.enableServer": "false"}
    kept = [f"{k}={v}" for k, v in base.items() if not line.startswith(k + "=")]
    said = refuse(tmp_path, "\n".join([*kept, line]) + "\n")
    for word in words:
        assert word in said


def test_without_a_data_folder_there_is_no_start(tmp_path: Path) -> None:
    assert "dataDir" in refuse(tmp_path, "clientPort=0\n")


def test_without_a_file_the_path_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ensemble.server.main", "server", str(tmp_path / "none.cfg")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == EXIT_CONFIG
    assert "none.cfg" in done.stderr


def test_unknown_keys_are_named_and_do_no_harm(start_node: Callable[..., Node]) -> None:
    node = start_node({"snapCuont": 5})
    assert "snapCuont" in node.log()


@pytest.mark.parametrize(
    "line",
    [
        "ssl.keyStore.password=canary",
        "ssl.keyStore.password: canary",
        "ssl.keyStore.password canary",
        "ssl.keyStore.password=\\\n    canary",
        "ssl.keyStore.passw\\u006frd=canary",
        "# ssl.keyStore.password=canary",
        "DigestAuthenticationProvider.superDigest=super:canary",
    ],
)
def test_E7_secrets_are_masked_however_they_are_written(line: str, tmp_path: Path) -> None:
    config = read(tmp_path, line + "\nsnapCount=7", {"zookeeper.ssl.trustStore.password": "canary"})
    assert "canary" not in config.masked_text()
    assert "snapCount=7" in config.masked_text()
    assert "canary" not in str(config.system_properties)


def test_limits_of_connections_hold(start_node: Callable[..., Node]) -> None:
    node = start_node({"maxClientCnxns": 3})
    clients = [RawClient(node.port) for _ in range(3)]
    assert all(client.connect() for client in clients)
    fourth = RawClient(node.port)
    assert fourth.read() is None, "closed without a byte"
    deadline = time.monotonic() + 5
    while "too many connections from 127.0.0.1: 3" not in node.log():
        assert time.monotonic() < deadline, node.log()
        time.sleep(0.01)
    for client in (*clients, fourth):
        client.close()


def test_a_connection_watches_so_many_paths_and_no_more(start_node: Callable[..., Node]) -> None:
    node = start_node({"ensemble.watchesPerConnectionMax": 2})
    client = RawClient(node.port)
    client.connect()
    errors = []
    for xid, path in enumerate((b"/a", b"/b", b"/c"), 1):
        client.request(xid, 3, b"\0\0\0\2" + path + b"\1")
        errors.append(client.reply()[2])
    assert errors == [-101, -101, -125], "the third is over the limit"
    client.close()


def test_session_timeouts_are_held_within_their_bounds(start_node: Callable[..., Node]) -> None:
    node = start_node({"minSessionTimeout": 5_000, "maxSessionTimeout": 9_000})
    for wanted, given in ((1, 5_000), (7_000, 7_000), (1 << 30, 9_000)):
        client = RawClient(node.port)
        client.connect(timeout_ms=wanted)
        line = next(x for x in node.word("cons").decode().splitlines() if "sid=0x" in x)
        assert f"to={given}," in line
        client.close()
        node.stop()
        node.start()


def test_a_start_takes_well_under_a_second(start_node: Callable[..., Node]) -> None:
    """Of a processor: how busy the machine is besides must not decide (0.3 s on an idle one)."""
    node = start_node()
    assert node.process is not None
    stat = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    spent_s = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    assert spent_s < 1.0


def test_version_says_what_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ensemble.server.main", "version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0
    assert "speaks ZooKeeper 3.9" in done.stdout


def test_folders_are_not_made_where_that_is_forbidden(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    settings: dict[str, object] = {"datadir.autocreate": "false", "dataLogDir": tmp_path / "logs"}
    node = start_node(settings, wait=False)
    for folder in (tmp_path / "node" / "data", tmp_path / "logs"):
        assert node.process is not None
        assert node.process.wait(20) == EXIT_DATA_DIR
        assert f"{folder}/version-2 is missing, datadir.autocreate=false" in node.log()
        assert not folder.exists()
        (folder / "version-2").mkdir(parents=True)
        node.start(wait=False)
    node.wait_ready()


def test_refusals_are_counted_where_they_are_too_many_for_the_log(
    start_node: Callable[..., Node],
) -> None:
    node = start_node({"maxClientCnxns": 1, "4lw.commands.whitelist": "*"})
    kept = RawClient(node.port)
    assert kept.connect()

    def knock() -> None:
        refused = RawClient(node.port)
        assert refused.read() is None
        refused.close()

    deadline = time.monotonic() + 15
    while "more connections in that second" not in node.log():
        assert time.monotonic() < deadline
        knock()
    lines = node.log_path.read_text().splitlines()
    sums = [line for line in lines if "more connections in that second" in line]
    assert re.search(r"closed [1-9]\d* more connections in that second", sums[0])
    told = [line for line in lines[: lines.index(sums[0])] if "too many connections" in line]
    assert 20 <= len(told) <= 40, "twenty in each of the two seconds at most"
    kept.close()
