"""Planes for the tests: an empty, migrated database is made once and copied."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.observability.planes import Plane, environment


@pytest.fixture(scope="session")
def empty_plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plane") / "empty"
    code = (
        "import django; django.setup();"
        "from django.core.management import call_command;"
        "call_command('migrate', database='default', verbosity=0);"
        "call_command('migrate', database='observed', verbosity=0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode()
    return folder


@pytest.fixture
def make_plane(tmp_path: Path, empty_plane: Path) -> Iterator[Callable[..., Plane]]:
    made: list[Plane] = []

    def make() -> Plane:
        plane = Plane(tmp_path / f"plane{len(made)}", empty_plane)
        made.append(plane)
        return plane

    yield make
    for plane in made:
        plane.kill9()


@pytest.fixture
def plane(make_plane: Callable[..., Plane]) -> Plane:
    return make_plane()
