"""The browsers and the real node of the plane's tests, with a token that may end sessions."""

from pathlib import Path

import pytest

from console import overview
from tenants import locks, sessions
from tests.console.plane.conftest import go, home, nowhere, one, patient, shop, three_plans
from tests.server.feeds import CONTROL
from tests.tenants_app.conftest import registry_node

__all__ = ["go", "home", "nowhere", "one", "patient", "registry_node", "shop", "three_plans"]


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """What a test before has asked for is asked for again."""
    sessions.listings.clear()
    locks.scans.clear()
    overview.last.clear()


@pytest.fixture
def may_end(home: Path) -> None:
    """The plane has the token that may change."""
    (home / "ensembles" / "one" / "admin.control").write_text(CONTROL)
