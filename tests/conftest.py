"""Fixtures shared by all tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Node
from tests.java import java_classpath

# Servers are started a thousand times: without kept bytecode each start compiles its sources anew,
# which takes twice as long as all the rest of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


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
