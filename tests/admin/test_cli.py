"""`ensemble tenant` and `ensemble operator-key` as an operator types them, and the tutorial."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from ensemble.admin.keys import load_key, make_key, save_key
from ensemble.server.main import main
from tests.harness import ROOT, Node, RawClient
from tests.ports import free_port
from tests.tenants import AUTH_FAILED, present

Run = Callable[..., subprocess.CompletedProcess[str]]
TUTORIAL = ROOT / "docs" / "tutorial-tenants.md"


def ensemble(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One command, in this process: starting one for each takes most of the time. The tutorial's
    commands are processes."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(list(arguments))
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "operator.key"
    save_key(make_key("cli-key"), path)
    return path


@pytest.fixture
def served(start_node: Callable[..., Node], tmp_path: Path, key_file: Path) -> Node:
    """A server that trusts the key, without a registry yet."""
    trusted = tmp_path / "operators"
    trusted.write_text(load_key(key_file).line)
    return start_node({"ensemble.operator.keys": trusted})


@pytest.fixture
def run(served: Node, key_file: Path) -> Run:
    """`ensemble tenant` at that server with that key."""

    def tenant(*arguments: str) -> subprocess.CompletedProcess[str]:
        return ensemble(
            "tenant", "-s", served.address, "--key", str(key_file), "--who", "alice", *arguments
        )

    return tenant


def done(run: Run, *arguments: str) -> dict[str, object]:
    """It goes; the JSON that it prints."""
    result = run("--json", *arguments)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def works(node: Node, token: object) -> bool:
    client = RawClient(node.port)
    client.connect()
    error = present(client, "tenant", str(token).encode())
    client.close()
    assert error in (0, AUTH_FAILED)
    return error == 0


def test_a_tenants_life(served: Node, run: Run) -> None:
    assert done(run, "init")["new"] is True
    assert done(run, "init")["new"] is False
    made = done(run, "create", "payments", "--limit", "znodes=1000", "--weight", "7")
    assert made["root"] == "/tenants/payments"
    assert works(served, made["token"])
    shown = done(run, "show", "payments")
    assert (shown["limits"], shown["weight"], shown["mode"]) == ({"znodes": 1000}, 7, "enforce")
    secret = str(made["secret"])
    whole = run("show", "payments").stdout + run("list").stdout + json.dumps(shown)
    assert secret not in whole
    assert "hash" not in whole
    changed = ("--limit", "znodes=none", "--limit", "sessions=5", "--mode", "permissive")
    assert done(run, "set", "payments", *changed)["limits"] == {"sessions": 5}
    added = done(run, "credential", "add", "payments", "reports", "--role", "reader")
    assert works(served, added["token"])
    rotated = done(run, "credential", "rotate", "payments", "app", "--overlap", "0")
    assert works(served, rotated["token"])
    assert not works(served, made["token"])
    done(run, "credential", "revoke", "payments", "reports")
    assert not works(served, added["token"])
    for verb, state in (("suspend", "suspended"), ("drain", "draining"), ("resume", "active")):
        assert done(run, verb, "payments")["state"] == state
        assert state in run("list").stdout
    assert done(run, "delete", "payments")["deleted"] is True
    assert "payments" not in run("list").stdout
    assert not works(served, rotated["token"])


def test_a_tree_that_is_there_is_adopted_and_left(served: Node, run: Run) -> None:
    done(run, "init")
    for path in ("/kafka", "/kafka/brokers"):
        assert ensemble("zk", "-s", served.address, "create", path).returncode == 0
    made = done(run, "adopt", "kafka", "/kafka")
    assert (made["root"], made["mode"]) == ("/kafka", "observe")
    assert works(served, made["token"])
    refused = run("delete", "kafka")
    assert refused.returncode == 1
    assert "/kafka holds 1 znodes" in refused.stderr
    assert done(run, "delete", "kafka", "--keep-data")["deleted"] is True
    assert ensemble("zk", "-s", served.address, "ls", "/kafka").stdout == "brokers\n"
    done(run, "adopt", "kafka", "/kafka", "--credential", "")
    done(run, "delete", "kafka", "--with-data")
    assert "kafka" not in ensemble("zk", "-s", served.address, "ls", "/").stdout


def test_what_cannot_be_done_is_said_in_words(served: Node, run: Run) -> None:
    assert "there is no registry yet" in run("create", "a").stderr
    done(run, "init")
    done(run, "create", "a")
    for arguments, words in (
        (("create", "a"), "there is a tenant a already"),
        (("create", "A"), "a-z 0-9 -"),
        (("create", "b", "--root", "/tenants"), "/tenants exists already"),
        (("create", "b", "--root", "/zookeeper/b"), "lies in /zookeeper"),
        (("create", "b", "--weight", "0"), "weight: 0 is not in 1..10000"),
        (("adopt", "b", "/nowhere"), "/nowhere does not exist"),
        (("show", "b"), "there is no tenant b"),
        (("set", "b", "--weight", "2"), "there is no tenant b"),
        (("delete", "../x"), "cannot be a tenant's name"),
        (("credential", "add", "a", "app"), "rotate it"),
        (("credential", "add", "a", "X"), "credentials[1].name"),
        (("credential", "revoke", "a", "b"), "no credential 'b'; there is: app"),
        (("credential", "rotate", "a", "b"), "no credential 'b'"),
    ):
        refused = run(*arguments)
        assert refused.returncode == 1, arguments
        assert words in refused.stderr, (arguments, refused.stderr)
        assert "Traceback" not in refused.stderr
    for arguments in (
        ("set", "a"),
        ("set", "a", "--limit", "znode=1"),
        ("set", "a", "--limit", "znodes=-1"),
        ("set", "a", "--mode", "open"),
        ("delete", "a", "--with-data", "--keep-data"),
        ("trust", "key", "AAAA"),
        ("fly",),
    ):
        assert run(*arguments).returncode == 2, arguments


def test_a_stranger_and_a_silent_server_are_told_apart(
    served: Node, key_file: Path, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.key"
    new = ensemble("operator-key", "new", "--id", "stranger", "--out", str(stranger))
    assert new.returncode == 0
    assert stranger.stat().st_mode & 0o077 == 0
    line = new.stdout.strip()
    assert re.fullmatch(r"stranger [A-Za-z0-9+/]{43}=", line)
    refused = ensemble("tenant", "-s", served.address, "--key", str(stranger), "list")
    assert refused.returncode == 1
    assert f"does not trust the key stranger: add the line\n  {line}\n" in refused.stderr
    with_key = ("tenant", "-s", served.address, "--key", str(key_file))
    assert ensemble(*with_key, "init").returncode == 0
    assert ensemble(*with_key, "trust", *line.split()).returncode == 0
    assert ensemble("tenant", "-s", served.address, "--key", str(stranger), "list").returncode == 0
    nowhere = f"127.0.0.1:{free_port()}"
    silent = ensemble("tenant", "-s", nowhere, "--key", str(key_file), "list")
    assert silent.returncode == 1
    assert f"no server answers at {nowhere}" in silent.stderr


@pytest.mark.parametrize(
    "content",
    [None, "", "{}", '{"id": "x"}', '{"id": "x", "private": "AAAA"}', "canary", "x" * 9_000],
)
def test_a_key_file_that_is_none_is_named_and_not_shown(
    content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "bad.key"
    if content is not None:
        path.write_text(content)
    refused = ensemble("tenant", "--key", str(path), "list")
    assert refused.returncode == 1
    assert str(path) in refused.stderr
    assert "canary" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_key_is_not_written_over(key_file: Path) -> None:
    before = key_file.read_bytes()
    again = ensemble("operator-key", "new", "--out", str(key_file))
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert key_file.read_bytes() == before
    assert ensemble("operator-key", "new", "--id", "a b", "--out", "x").returncode == 1


def test_the_tutorial_does_what_it_says(served: Node, run: Run, tmp_path: Path) -> None:
    """Its commands, its program, its output."""
    tutorial = TUTORIAL.read_text()
    done(run, "init")
    tokens: dict[str, str] = {}
    commands = re.findall(r"^ensemble tenant --key var/operator.key (create .*)$", tutorial, re.M)
    assert len(commands) == 2
    for line in commands:
        made = done(run, *line.split())
        tokens[str(made["tenant"]).upper()] = str(made["token"])
    program = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", tutorial, re.S)
    assert program is not None
    assert len([line for line in program[1].splitlines() if line]) <= 12
    finished = subprocess.run(
        [sys.executable, "-c", program[1]],
        env={**os.environ, "ZK": served.address, **tokens},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.stdout == program[2], finished.stderr
