"""Fixtures of the server's tests."""

from pathlib import Path

import pytest

from tests.server.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)
