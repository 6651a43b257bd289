"""A node, a console over it, and people with roles."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.test import Client as Browser

from ensemble.client import Client
from tenants import reach
from tenants.models import Tenant
from tests.console.cast import PASSWORD, browser_of, make_cast, make_person, make_tenant
from tests.harness import Node
from tests.needs import need

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium

    from tests.console.browsing import Running

T = TypeVar("T")
__all__ = ["PASSWORD"]
Do = Callable[[Callable[[Client], Awaitable[T]]], T]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Running]":
    """The whole product with one node, for a file's tests in a browser."""
    from tests.console import browsing  # skips where there is no browser's driver

    need("chromium")
    with browsing.product(Path(tmp_path_factory.mktemp("var")), "--nodes", "1") as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Chromium]":
    """Of a module only: its driver has an event loop on the tests' own thread."""
    from tests.console import browsing

    need("chromium")
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(
        Path(tmp_path_factory.mktemp("node")), {"extendedTypesEnabled": "true"}, {}, []
    ).start()
    yield node
    node.kill9()


@pytest.fixture
def zookeeper(shared_node: Node, settings: object) -> Iterator[Node]:
    """The console looks at this node."""
    settings.ZOOKEEPER_HOSTS = shared_node.address  # type: ignore[attr-defined]
    reach.stop()
    yield shared_node
    reach.stop()


@pytest.fixture
def do(zookeeper: Node) -> Do[object]:
    """Do something with a ZooKeeper client of one's own."""

    def run(work: Callable[[Client], Awaitable[T]]) -> T:
        async def session() -> T:
            async with Client(zookeeper.address) as client:
                return await work(client)

        return asyncio.run(session())

    return run  # type: ignore[return-value]


@pytest.fixture
def operator(db: None) -> Browser:
    """A browser of somebody who may read and write everything."""
    return browser_of({"olga": make_person("olga")}, "olga")


@pytest.fixture
def auditor(db: None) -> Browser:
    """A browser of somebody who may read everything."""
    return browser_of({"ada": make_person("ada")}, "ada")


@pytest.fixture
def cast(db: None) -> dict[str, AbstractBaseUser]:
    """Everybody, by name: see `tests.console.cast`."""
    return make_cast()


@pytest.fixture
def tenant(cast: dict[str, AbstractBaseUser]) -> Tenant:
    """The cast's tenant."""
    return make_tenant(cast)
