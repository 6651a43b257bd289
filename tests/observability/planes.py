"""A plane in a folder of its own, with a real collector process over it."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.harness import ROOT, Node
from tests.server.feeds import CONTROL, READ

WAIT_S = 90.0
URL = "database.url"  # beside a plane whose database is PostgreSQL's
Rows = list[tuple[object, ...]]


def copy_of(url: str) -> str:
    """A database like this one, to which nobody may be connected."""
    name = f"plane_{uuid.uuid4().hex}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as pg:
        pg.execute(f'CREATE DATABASE "{name}" TEMPLATE "{urlsplit(url).path[1:]}"')
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def fresh_url() -> str:
    """An empty database on the server that the tests run on; empty where that is SQLite."""
    if not os.environ.get("DATABASE_URL"):
        return ""
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as pg:
        pg.execute(f'CREATE DATABASE "{name}"')
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


class Plane:
    """The database of a plane and its collectors. Read and prepared by plain SQL."""

    def __init__(self, folder: Path, empty: Path) -> None:
        self.folder = folder
        shutil.copytree(empty, folder)
        self.url = copy_of((empty / URL).read_text()) if (empty / URL).exists() else ""
        self.processes: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **({"DATABASE_URL": self.url} if self.url else {}),
            "ENSEMBLE_VAR": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "PYTHONPATH": str(ROOT),
        }

    def add(self, nodes: list[Node], name: str = "e1", kind: str = "ours") -> None:
        """An ensemble of these nodes, with the tokens of their admin ports."""
        place = self.folder / "ensembles" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "admin.read").write_text(READ)
        (place / "admin.control").write_text(CONTROL)
        hosts = ",".join(node.address for node in nodes)
        made = self.rows(
            "INSERT INTO tenants_ensemble (name, title, kind, hosts, takes_tenants, created_at)"
            " VALUES (?, '', ?, ?, FALSE, '2026-01-01') RETURNING id",
            *(name, kind, hosts),
            database="console",
        )
        for at, node in enumerate(nodes, 1):
            self.execute(
                "INSERT INTO tenants_node (ensemble_id, name, client, admin_url)"
                " VALUES (?, ?, ?, ?)",
                *(made[0][0], f"node{at}", node.address, f"http://127.0.0.1:{node.admin_port}"),
                database="console",
            )

    def collect(self) -> "subprocess.Popen[bytes]":
        """Start a collector."""
        with (self.folder / "collect.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "collect"],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.environment(),
            )
        self.processes.append(process)
        return process

    def kill9(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(10)
        self.processes.clear()

    def rows(self, sql: str, *params: object, database: str = "observed") -> Rows:
        with self.cursor(database) as run:
            return list(run(sql, params).fetchall())

    def execute(self, sql: str, *params: object, database: str = "observed") -> None:
        with self.cursor(database) as run:
            run(sql, params)

    @contextmanager
    def cursor(self, database: str) -> "Iterator[Callable[[str, tuple[object, ...]], Any]]":
        """Runs a statement with `?` for its values, on either kind of database."""
        if self.url:
            with psycopg.connect(self.url) as pg:
                yield lambda sql, params: pg.execute(sql.replace("?", "%s"), params or None)
            return
        db = sqlite3.connect(self.folder / f"{database}.sqlite3", timeout=20)
        try:
            yield db.execute
            db.commit()
        finally:
            db.close()

    def wait(self, holds: Callable[[], object], what: str = "") -> None:
        """Until it is so; the collector's last words if it never is."""
        deadline = time.monotonic() + WAIT_S
        while not holds():
            said = self.log()
            assert time.monotonic() < deadline, f"never: {what}\n{said}"
            time.sleep(0.05)

    def log(self) -> str:
        path = self.folder / "collect.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def created(self) -> list[str]:
        """The paths of all creates of the tests that were collected, in their order."""
        found = self.rows(
            "SELECT path FROM observability_trail WHERE operation = 'create' "
            "AND path LIKE '/n%' AND origin = 'node' ORDER BY id"
        )
        return [str(row[0]) for row in found]
