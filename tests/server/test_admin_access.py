"""Who may ask the admin port for what: every route with every kind of asker (trust.md E10)."""

import hashlib
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ensemble.errors import ConfigError
from ensemble.server.admin_access import (
    FILE_BYTES_MAX,
    TOKENS_MAX,
    AccessRules,
    Right,
    TokenFile,
    parse_tokens,
)
from ensemble.server.admin_commands import ALIASES, COMMANDS
from ensemble.server.admin_protocol import Need
from ensemble.server.observe_config import AccessOptions
from tests.harness import Node
from tests.ports import free_port
from tests.server.authority import Authority
from tests.server.test_admin_port import ask
from tests.server.test_tls import ask as ask_https
from tests.server.test_tls import https_settings

READ = "read-0123456789abcdefghij"
CONTROL = "control-0123456789abcdefg"
WRONG = "wrong-0123456789abcdefghij"
Start = Callable[..., Node]


def write_tokens(folder: Path) -> dict[str, object]:
    """Settings with a plain token to read, a hashed one to change."""
    (folder / "read").write_text(f"# of the scraper\n{READ}\n")
    hashed = hashlib.sha256(CONTROL.encode()).hexdigest()
    (folder / "control").write_text(f"\nsha256:{hashed}\n")
    return {
        "ensemble.admin.readTokens": folder / "read",
        "ensemble.admin.controlTokens": folder / "control",
    }


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("locked")
    settings = {**write_tokens(folder), "admin.rateLimiterIntervalInMS": 0}
    node = Node(folder / "node", settings, {}, []).start()
    yield node
    node.kill9()


@pytest.fixture(scope="module")
def unlocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("unlocked") / "node", {}, {}, []).start()
    yield node
    node.kill9()


ROUTES = [(f"/commands/{name}", c.need, c.method) for name, c in COMMANDS.items()] + [
    ("/commands", Need.READ, "GET"),
    ("/commands/", Need.READ, "GET"),
    ("/commands/nope", Need.READ, "GET"),
    ("/metrics", Need.READ, "GET"),
    ("/audit", Need.GUARDED_READ, "GET"),
    ("/audit/head", Need.GUARDED_READ, "GET"),
    ("/changes", Need.GUARDED_READ, "GET"),
    *(
        (f"/commands/{alias}", COMMANDS[name].need, COMMANDS[name].method)
        for alias, name in ALIASES.items()
    ),
]
LEVEL = {
    Need.HEALTH: 0,
    Need.READ: 1,
    Need.GUARDED_READ: 1,
    Need.CONTROL: 2,
    Need.GUARDED_CONTROL: 2,
}
ASKERS = {"none": ("", 0), "wrong": (WRONG, 0), "read": (READ, 1), "control": (CONTROL, 2)}


@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize(("path", "need", "method"), ROUTES, ids=[r[0] for r in ROUTES])
def test_E10_every_route_lets_in_those_with_the_right_and_nobody_else(
    path: str, need: Need, method: str, asker: str, locked: Node
) -> None:
    token, level = ASKERS[asker]
    status, text = ask(locked, path, method, bearer(token))
    if level >= LEVEL[need]:
        assert status not in (401, 403)
    else:
        assert status == (403 if level else 401)
        answer = json.loads(text)
        assert set(answer) == {"command", "error"}, "nothing else is told"
        assert "token" in answer["error"]


@pytest.mark.parametrize(("path", "need", "method"), ROUTES, ids=[r[0] for r in ROUTES])
def test_E10_without_tokens_only_what_apache_has_is_open(
    path: str, need: Need, method: str, unlocked: Node
) -> None:
    status, text = ask(unlocked, path, method, bearer(CONTROL))
    if need in (Need.GUARDED_READ, Need.GUARDED_CONTROL):
        assert status == 401
        assert "ensemble.admin.readTokens" in json.loads(text)["error"], "it says what to configure"
    elif path not in (
        "/commands/snapshot",
        "/commands/restore",
        "/commands/snap",
        "/commands/rest",
    ):
        assert status not in (401, 403)


def test_E10_no_route_is_missing_from_this_walk() -> None:
    folder = Path(__file__).parent.parent.parent / "ensemble" / "server"
    added = [
        found
        for path in folder.glob("*.py")
        for found in re.findall(r"router\.add_\w+\(\s*(.+?)[,)]", path.read_text())
    ]
    assert len(added) >= 8
    fixed = {text.strip('"') for text in added if text.startswith('"')}
    assert fixed <= {path for path, _, _ in ROUTES}
    assert set(added) - {f'"{path}"' for path in fixed} == {"url", 'url + "/"', 'url + "/{name}"'}


def test_E10_what_changes_something_needs_control() -> None:
    changing = {"restore", "snapshot", "stat_reset", "connection_stat_reset", "set_trace_mask"}
    assert changing | {"observer_connection_stat_reset"} <= {
        name for name, c in COMMANDS.items() if LEVEL[c.need] == 2
    }
    assert {name for name, c in COMMANDS.items() if c.need is Need.HEALTH} == {
        "ruok",
        "is_read_only",
    }
    assert not [n for n, c in COMMANDS.items() if c.method == "POST" and LEVEL[c.need] < 2]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {READ}",
        f"Bearer {READ[:-1]}",
        f"Bearer {READ}x",
        f"Bearer {READ.upper()}",
        f"Bearer {READ} {READ}",
        "Bearer sha256:" + hashlib.sha256(CONTROL.encode()).hexdigest(),
        "Bearer " + hashlib.sha256(CONTROL.encode()).hexdigest(),
        "Bearer " + "é" * 30,
        "Bearer " + "x" * 6_000,
        "digest super:admin",
    ],
)
def test_a_header_that_is_not_quite_a_token_is_none(header: str, locked: Node) -> None:
    status, _ = ask(
        locked, "/commands/monitor", headers={"Authorization": header} if header else {}
    )
    assert status == 401


def test_refusals_name_the_scheme_and_are_counted(locked: Node) -> None:
    def failures() -> int:
        return int(
            json.loads(ask(locked, "/commands/monitor", headers=bearer(READ))[1])[
                "auth_failed_count"
            ]
        )

    before = failures()
    ask(locked, "/commands/monitor", headers=bearer(WRONG))
    ask(locked, "/commands/monitor")
    assert failures() == before + 1, "who shows nothing has not failed"


def test_tokens_are_exchanged_without_a_restart(tmp_path: Path, start_node: Start) -> None:
    node = start_node(write_tokens(tmp_path))
    path = tmp_path / "read"
    new = "new-0123456789abcdefghij"

    def may(token: str) -> bool:
        return ask(node, "/commands/monitor", headers=bearer(token))[0] == 200

    path.write_text(f"{READ}\n{new}\n")
    assert may(READ), "both count while they are exchanged"
    assert may(new)
    path.write_text(f"{new}\n")
    assert not may(READ)
    assert may(new)
    path.write_text(f"short\n{new}\n")
    assert may(new), "the line that is right counts"
    assert "line 1: a token of 5 characters" in node.log()
    path.unlink()
    assert not may(new), "what cannot be read lets nobody in"
    assert may(CONTROL), "the other file is another matter"
    assert new not in node.log(), "tokens are not logged"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no token"),
        ("# a comment\n\n", "holds no token"),
        ("short\n", "line 1: a token of 5 characters, 20 at least are expected"),
        ("sha256:abc\n", "line 1: sha256: and 64 hex digits are expected"),
        (f"{READ}\nwith a blank in the middle\n", "line 2: a token is of printable ASCII"),
        ("é" * 30, "line 1: a token is of printable ASCII"),
        ("x" * (FILE_BYTES_MAX + 1), f"is longer than {FILE_BYTES_MAX} bytes"),
        ("".join(f"{READ}{n}\n" for n in range(TOKENS_MAX + 1)), f"more than {TOKENS_MAX} tokens"),
    ],
)
def test_a_token_file_that_cannot_be_refuses_the_start(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "tokens"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"ensemble\.admin\.readTokens") as refused:
        AccessRules(AccessOptions(read_tokens=str(path)))
    assert message in str(refused.value)
    assert READ not in str(refused.value)


def test_a_token_file_that_is_not_there_refuses_the_start(
    tmp_path: Path, start_node: Start
) -> None:
    node = start_node({"ensemble.admin.controlTokens": tmp_path / "none"}, wait=False)
    assert node.process is not None
    assert node.process.wait(20) == 2
    assert "ensemble.admin.controlTokens" in node.log()
    assert "No such file" in node.log()


def test_as_many_tokens_as_the_bound_says_count(tmp_path: Path) -> None:
    text = "".join(f"{READ}{n}\n" for n in range(TOKENS_MAX))
    hashes, wrong = parse_tokens(text, "file")
    assert (len(hashes), wrong) == (TOKENS_MAX, [])


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(READ)
    file = TokenFile(str(path), "key")
    seen = os.stat(path)
    path.write_text(WRONG[: len(READ)])
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert file.holds(hashlib.sha256(READ.encode()).digest()), "inode, size and time are the same"


def test_the_right_to_change_includes_that_to_read() -> None:
    assert Right.NONE < Right.READ < Right.CONTROL


def test_a_certificate_can_stand_in_for_a_token(
    authority: Authority, tmp_path: Path, start_node: Start
) -> None:
    """Subjects are compared as a whole: CN=reader of another organisation is nobody."""
    node = start_node(
        {
            **https_settings(authority, need=False),
            **write_tokens(tmp_path),
            "ensemble.admin.readSubjects": "CN=reader,O=Acme; CN=other,O=Acme",
            "ensemble.admin.controlSubjects": "CN=keeper,O=Acme",
        }
    )
    contexts = {
        name: authority.context(authority.issue(name)[0])
        for name in ("reader", "other", "keeper", "reader2")
    }
    nobody = authority.context(None)
    assert ask_https(node, contexts["reader"], "monitor")[0] == 200
    assert ask_https(node, contexts["other"], "monitor")[0] == 200
    assert ask_https(node, contexts["keeper"], "monitor")[0] == 200
    assert ask_https(node, contexts["reader2"], "monitor")[0] == 401
    assert ask_https(node, nobody, "monitor")[0] == 401
    assert ask_https(node, nobody, "ruok")[0] == 200
    assert ask_https(node, nobody, "monitor", f"Bearer {READ}")[0] == 200
    assert ask_https(node, contexts["reader"], "stat_reset")[0] == 403
    assert ask_https(node, contexts["keeper"], "stat_reset")[0] == 200
    assert ask_https(node, contexts["reader"], "stat_reset", f"Bearer {CONTROL}")[0] == 200


def test_subjects_without_tls_refuse_the_start(start_node: Start) -> None:
    node = start_node({"ensemble.admin.readSubjects": "CN=reader"}, wait=False)
    assert node.process is not None
    assert node.process.wait(20) == 2
    assert "admin.forceHttps" in node.log()


def test_E10_control_stands_for_the_identity_that_a_snapshot_needs(locked: Node) -> None:
    """One Authorization header cannot hold both, and control is the stronger one."""
    status, text = ask(locked, "/commands/snapshot", headers=bearer(CONTROL))
    assert (status, text[:4]) == (200, "ZKSN")
    assert ask(locked, "/commands/snapshot", headers={"Authorization": "ip x"})[0] == 401


def test_the_port_for_metrics_alone_asks_for_the_same(tmp_path: Path, start_node: Start) -> None:
    port = free_port()
    provider = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
    start_node(
        {
            **write_tokens(tmp_path),
            "metricsProvider.className": provider,
            "metricsProvider.httpPort": port,
        }
    )

    def status(token: str) -> int:
        url = f"http://127.0.0.1:{port}/metrics"
        request = urllib.request.Request(url, headers=bearer(token))
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert [status(token) for token in ("", WRONG, READ, CONTROL)] == [401, 401, 200, 200]
