"""ZooKeeper's Java client and Curator's recipes against our server; the checks are in Java."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Node

CHECK_TIMEOUT_S = 100.0

CLIENT = [
    "whole-api",
    "multi",
    "standard-watches",
    "persistent-watches",
    "digest-auth",
    "pipelining",
    "reconnect",
]
CURATOR = [
    "mutex",
    "read-write-lock",
    "semaphore",
    "leader-latch",
    "leader-selector",
    "cache",
    "queue",
    "barrier",
    "counter",
    "restart",
]
SERVER_JAAS = (
    'Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_bob="b"; };'
)
CLIENT_JAAS = (
    "Client { org.apache.zookeeper.server.auth.DigestLoginModule required "
    'username="bob" password="b"; };'
)


def check(classpath: str, program: str, name: str, node: Node, flags: tuple[str, ...] = ()) -> None:
    """Run one check; where it says that it is our turn, the server is killed and started again."""
    process = subprocess.Popen(
        ["java", "-Xmx256m", *flags, "-cp", classpath, f"ensemble.{program}", name, node.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if line.strip() == "your turn":
                node.kill9()
                node.start()
                process.stdin.write("\n")
                process.stdin.flush()
        assert process.wait(CHECK_TIMEOUT_S) == 0, "".join(lines)
        assert lines[-1] == f"ok {name}\n"
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    assert "Traceback" not in node.log()


@pytest.mark.parametrize("name", CLIENT)
def test_the_java_client(name: str, classpath: str, start_node: Callable[..., Node]) -> None:
    check(classpath, "ClientChecks", name, start_node({"extendedTypesEnabled": "true"}))


def test_the_java_client_by_sasl(
    classpath: str, start_node: Callable[..., Node], tmp_path: Path
) -> None:
    server, client = tmp_path / "server.conf", tmp_path / "client.conf"
    server.write_text(SERVER_JAAS)
    client.write_text(CLIENT_JAAS)
    node = start_node(
        {"authProvider.sasl": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"},
        {"java.security.auth.login.config": str(server)},
    )
    flags = (f"-Djava.security.auth.login.config={client}",)
    check(classpath, "ClientChecks", "sasl", node, flags)


@pytest.mark.parametrize("name", CURATOR)
def test_curator(name: str, classpath: str, start_node: Callable[..., Node]) -> None:
    check(classpath, "CuratorChecks", name, start_node())
