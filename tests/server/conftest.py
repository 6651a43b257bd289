"""Fixtures of the server's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import RawClient
from tests.server.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def connect() -> Iterator[Callable[..., RawClient]]:
    """Raw connections with sessions; closed when the test ends."""
    clients: list[RawClient] = []

    def make(port: int, **session: object) -> RawClient:
        client = RawClient(port)
        clients.append(client)
        assert client.connect(**session)  # type: ignore[arg-type]
        return client

    yield make
    for client in clients:
        client.close()
