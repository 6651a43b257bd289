"""Planes for the tests: an empty, migrated database is made once and copied."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.observability.planes import URL, Plane, fresh_url


@pytest.fixture(scope="session")
def empty_plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plane") / "empty"
    code = (
        "import django; django.setup();"
        "from django.core.management import call_command;"
        "from django.conf import settings;"
        "[call_command('migrate', database=name, verbosity=0) for name in settings.DATABASES]"
    )
    url = fresh_url()
    environment = {
        **os.environ,
        **({"DATABASE_URL": url} if url else {}),
        "ENSEMBLE_VAR": str(folder),
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, timeout=100
    )
    assert done.returncode == 0, done.stderr.decode()
    if url:
        (folder / URL).write_text(url)
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
