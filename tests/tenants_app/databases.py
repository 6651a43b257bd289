"""A fresh database for processes of their own, of the kind that the tests run on."""

import os
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

from tests.harness import ROOT

PROCESS_S = 100


def environment_of_fresh(folder: Path) -> dict[str, str]:
    """What a process needs to have a database for itself: a folder, or one more on the server."""
    keep = {key: value for key, value in os.environ.items() if not key.startswith("ENSEMBLE_")}
    pure = {"ENSEMBLE_PURE": os.environ["ENSEMBLE_PURE"]} if "ENSEMBLE_PURE" in os.environ else {}
    made = {
        **keep,
        **pure,
        "ENSEMBLE_VAR": str(folder),
        "DJANGO_SETTINGS_MODULE": "console.settings",
    }
    if connection.vendor == "postgresql":
        name = f"fresh_{uuid.uuid4().hex}"
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        made["DATABASE_URL"] = urlunsplit(
            urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}")
        )
    return made


def manage(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """`manage.py` in that environment."""
    return python(environment, str(ROOT / "manage.py"), *words)


def python(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PROCESS_S,
    )
