"""Fixtures shared by all tests."""

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Node
from tests.java import java_classpath
from tests.long import is_long, unknown

# Servers are started a thousand times: without kept bytecode each start compiles its sources anew,
# which takes twice as long as all the rest of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the long ones (`tests/long.py`); where all are there, each line must mean one."""
    for item in items:
        if is_long(item.nodeid):
            item.add_marker(pytest.mark.long)
    if config.args == config.getini("testpaths"):
        gone = unknown([item.nodeid for item in items])
        assert not gone, f"tests/long.py names what is not there: {gone}"


@pytest.fixture(scope="session")
def classpath() -> str:
    """Apache's server, the Java client and what is compiled against them."""
    return java_classpath()


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Start servers of our own; they are killed when the test ends."""
    nodes: list[Node] = []

    def start(
        config: dict[str, object] | None = None,
        properties: dict[str, str] | None = None,
        name: str = "node",
        wrapper: list[str] | None = None,
        wait: bool = True,
    ) -> Node:
        node = Node(tmp_path / name, config or {}, properties or {}, wrapper or [])
        nodes.append(node)
        return node.start(wait)

    yield start
    for node in nodes:
        node.kill9()


@pytest.fixture
def node(start_node: Callable[..., Node]) -> Node:
    """One server with default settings."""
    return start_node()


@pytest.fixture(autouse=True)
def forgetting(request: pytest.FixtureRequest) -> Iterator[None]:
    """The trail refuses to be emptied, which is what ends a test of real transactions."""
    mark = request.node.get_closest_marker("django_db")
    if mark is None or not mark.kwargs.get("transaction"):
        yield
        return
    request.getfixturevalue("transactional_db")
    yield
    from django.db import connection

    triggers = importlib.import_module("tenants.migrations.0002_audit_append_only")
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":  # PostgreSQL truncates, which fires none
            for statement in triggers.BACK["sqlite"]:
                cursor.execute(statement)
            cursor.execute("DELETE FROM tenants_auditevent")
            for statement in triggers.SQLITE:
                cursor.execute(statement)
