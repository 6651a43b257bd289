"""Servers for the client's tests: ours, and Apache's where Java and Maven are.

A test that takes `place` runs on both, in a chroot of its own on a server that all share; what it
asserts is then known of both. Tests that restart a server start their own.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Node, RawClient, create_body
from tests.interop.apache import ApacheNode

SETTINGS: dict[str, object] = {"extendedTypesEnabled": "true"}
OP_CREATE = 1

_numbers = itertools.count()


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Our server, for tests that leave it alone."""
    node = Node(tmp_path_factory.mktemp("ours"), SETTINGS, {}, [])
    yield node.start()
    node.kill9()


@pytest.fixture(scope="session")
def apache(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ApacheNode]:
    """Apache's server, for tests that leave it alone."""
    node = apache_node(tmp_path_factory.mktemp("apache"), request)
    yield node.start()
    node.kill9()


def apache_node(folder: Path, request: pytest.FixtureRequest) -> ApacheNode:
    """One that is not started yet; skips the test where Java is missing."""
    if os.environ.get("ENSEMBLE_PURE"):
        pytest.skip("Apache's server is the same, interpreted or compiled: once is enough")
    return ApacheNode(folder, folder / "data", request.getfixturevalue("classpath"))


@pytest.fixture(params=["ours", "apache"])
def server(request: pytest.FixtureRequest) -> Node | ApacheNode:
    """Each of the two, shared."""
    found: Node | ApacheNode = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def place(server: Node | ApacheNode) -> str:
    """`host:port/chroot`, an empty one."""
    name = f"/t{next(_numbers)}"
    raw = RawClient(server.port)
    assert raw.connect()
    raw.request(1, OP_CREATE, create_body(name))
    assert raw.reply()[2] == 0
    raw.close()
    return f"{server.address}{name}"


@pytest.fixture(params=["ours", "apache"])
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node | ApacheNode]:
    """Each of the two, for a test that kills and starts it."""
    if request.param == "ours":
        node: Node | ApacheNode = Node(tmp_path / "ours", SETTINGS, {}, [])
    else:
        node = apache_node(tmp_path / "apache", request)
    yield node.start()
    node.kill9()
