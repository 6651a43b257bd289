"""A plane in a folder of its own, with a real collector process over it."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.harness import ROOT, Node
from tests.server.feeds import CONTROL, READ

WAIT_S = 40.0
Rows = list[tuple[object, ...]]


def environment(folder: Path) -> dict[str, str]:
    """SQLite in this folder, whatever the other tests run on: it is read by plain SQL."""
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return {
        **kept,
        "ENSEMBLE_VAR": str(folder),
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "PYTHONPATH": str(ROOT),
    }


class Plane:
    """The database of a plane and its collectors. Read and prepared by plain SQL."""

    def __init__(self, folder: Path, empty: Path) -> None:
        self.folder = folder
        shutil.copytree(empty, folder)
        self.processes: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        return environment(self.folder)

    def add(self, nodes: list[Node], name: str = "e1", kind: str = "ours") -> None:
        """An ensemble of these nodes, with the tokens of their admin ports."""
        place = self.folder / "ensembles" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "admin.read").write_text(READ)
        (place / "admin.control").write_text(CONTROL)
        hosts = ",".join(node.address for node in nodes)
        with sqlite3.connect(self.folder / "console.sqlite3", timeout=20) as db:
            cursor = db.execute(
                "INSERT INTO tenants_ensemble (name, title, kind, hosts, takes_tenants, created_at)"
                " VALUES (?, '', ?, ?, 0, '2026-01-01')",
                (name, kind, hosts),
            )
            for at, node in enumerate(nodes, 1):
                db.execute(
                    "INSERT INTO tenants_node (ensemble_id, name, client, admin_url)"
                    " VALUES (?, ?, ?, ?)",
                    (
                        cursor.lastrowid,
                        f"node{at}",
                        node.address,
                        f"http://127.0.0.1:{node.admin_port}",
                    ),
                )
        db.close()

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
        db = sqlite3.connect(self.folder / f"{database}.sqlite3", timeout=20)
        try:
            return db.execute(sql, params).fetchall()
        finally:
            db.close()

    def execute(self, sql: str, *params: object, database: str = "observed") -> None:
        db = sqlite3.connect(self.folder / f"{database}.sqlite3", timeout=20)
        try:
            db.execute(sql, params)
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
