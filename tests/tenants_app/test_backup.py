"""Backups: made while somebody writes, whole or not at all, and put back as they were."""

import json
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from tenants import backup
from tenants.backup import BackupError, Manifest
from tests.harness import ROOT
from tests.tenants_app.databases import environment_of_fresh, manage, python

HOLD = """
import sys, django
django.setup()
from tenants import presence
presence.hold()
print(1, flush=True)
sys.stdin.read()
"""
YESTERDAY = """
import sys, django
django.setup()
from django.conf import settings
from django.core.management import CommandError, call_command
for name in settings.DATABASES:
    call_command("migrate", database=name, verbosity=0)
call_command("person", "add", "dan", "--operator")
call_command("backup", sys.argv[1])
for words in (["backup", sys.argv[1]], ["restore", sys.argv[1]]):
    try:
        call_command(*words)
    except CommandError as error:
        print("refused:", error)
call_command("person", "add", "eve")
"""
TODAY = """
import django
django.setup()
from django.contrib.auth.models import User
from tenants import audit
from tenants.models import AuditEvent
print(list(User.objects.values_list("username", flat=True)), list(audit.verify()))
print(AuditEvent.objects.first().verb)
"""


def silent(part: str, share: float) -> None:
    assert 0.0 <= share <= 1.0, part


@pytest.mark.django_db(transaction=True)
def test_the_plane_is_again_what_it_was_and_what_was_there_is_kept(tmp_path: Path) -> None:
    var = tmp_path / "var"
    environment = environment_of_fresh(var)
    (var / "ensembles" / "main").mkdir(parents=True)
    (var / "ensembles" / "main" / "operator.key").write_text("secret")
    file = tmp_path / "yesterday.zip"
    made = python(environment, "-c", YESTERDAY, str(file))
    assert made.returncode == 0, made.stderr
    assert "100%" in made.stdout
    assert "exists: choose another name" in made.stdout
    assert "refused: this replaces what the plane has now: say --yes" in made.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    assert not [name for name in zipfile.ZipFile(file).namelist() if "key" in name]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as web:
        assert web.stdout is not None
        assert web.stdin is not None
        web.stdout.readline()
        busy = manage(environment, "restore", str(file), "--yes")
        assert (busy.returncode, "stop web and collector first" in busy.stderr) == (1, True)
        web.stdin.close()
    if "DATABASE_URL" not in environment:  # the reason for which people restore
        for name in ("console", "observed"):
            (var / f"{name}.sqlite3").write_bytes(b"\xff" * 10_000)
            for side in ("-wal", "-shm"):
                (var / f"{name}.sqlite3{side}").unlink(missing_ok=True)
    done = manage(environment, "restore", str(file), "--yes")
    assert done.returncode == 0, done.stderr
    assert python(environment, "-c", TODAY).stdout == "['dan'] []\nplane.restored\n"
    kept = [path.name for path in var.glob("before-restore-*/*")]
    wanted = "database.dump" if "DATABASE_URL" in environment else "console.sqlite3"
    assert wanted in kept


@pytest.fixture
def make_backup(tmp_path: Path) -> Callable[..., Path]:
    """A small file as `make` writes it, with something about it changed."""

    def make(
        vendor: str = "", unknown: str = "", data: bytes | None = None, sum_of: str = ""
    ) -> Path:
        part = tmp_path / "console.sqlite3"
        database = sqlite3.connect(part)
        database.execute("CREATE TABLE IF NOT EXISTS t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [["x" * 4_000]] * 50)
        database.commit()
        database.close()
        if data is not None:
            part.write_bytes(data)
        manifest = Manifest(
            made_at="2026-11-20T03:00:00+00:00",
            vendor=vendor or connection.vendor,
            migrations={"tenants": ["0001_initial", *([unknown] if unknown else [])]},
            sums={part.name: sum_of or backup.sum_of(part)},
        )
        backup.pack(tmp_path / "b.zip", manifest, [(part.name, part)], silent)
        return tmp_path / "b.zip"

    return make


def refused(file: Path, tmp_path: Path) -> str:
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    with pytest.raises(BackupError) as error:
        backup.unpack(file, work, silent)
    return str(error.value)


def test_a_file_as_it_was_made_is_taken(make_backup: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    assert backup.unpack(make_backup(), tmp_path / "work", silent).sums
    assert (tmp_path / "work" / "console.sqlite3").exists()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"vendor": "oracle"}, "is of oracle, DATABASE_URL says"),
        ({"unknown": "0999_later"}, "does not know (tenants.0999_later)"),
        ({"sum_of": "0" * 64}, "is damaged: console.sqlite3 has another sum"),
        ({"data": b"SQLite format 3\0" + b"\xff" * 5_000}, "is damaged"),
        ({"data": b"hello"}, "console.sqlite3 is damaged: file is not a database"),
    ],
)
def test_what_is_no_backup_of_ours_is_refused(
    changed: dict[str, object], words: str, make_backup: Callable[..., Path], tmp_path: Path
) -> None:
    assert words in refused(make_backup(**changed), tmp_path)


def test_a_file_that_was_damaged_is_never_taken(
    make_backup: Callable[..., Path], tmp_path: Path
) -> None:
    """A byte turned over at each of many places: refused wherever it matters."""
    file = make_backup()
    good = file.read_bytes()
    with zipfile.ZipFile(file) as opened:
        info = opened.getinfo("console.sqlite3")
        start, length = info.header_offset + 80, info.compress_size
    for place in range(start, start + length - 80, max(1, length // 20)):
        bad = bytearray(good)
        bad[place] ^= 0xFF
        file.write_bytes(bad)
        assert "damaged" in (said := refused(file, tmp_path)) or "cannot be read" in said
    for size in (0, 1, len(good) // 2, len(good) - 1):
        file.write_bytes(good[:size])
        assert "b.zip cannot be read" in refused(file, tmp_path)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("{}", "is no backup of the plane: 'format'"),
        ("[]", "is no backup of the plane"),
        ("nonsense", "is no backup of the plane"),
        ('{"format": 2}', "has format 2; this version reads 1"),
        ('{"format": 1, "made_at": "x"}', "is no backup of the plane"),
        (None, "is no backup of the plane"),
    ],
)
def test_a_zip_of_somebody_else_is_refused(
    manifest: str | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "other.zip"
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("manifest.json" if manifest is not None else "x", manifest or "")
    assert words in refused(file, tmp_path)


def test_a_part_that_would_lie_outside_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sly.zip"
    said = {
        "format": 1,
        "made_at": "2026-11-20T03:00:00+00:00",
        "vendor": connection.vendor,
        "migrations": {},
        "sums": {"../outside": "0" * 64},
    }
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("manifest.json", json.dumps(said))
        opened.writestr("../outside", "x")
    assert "outside itself" in refused(file, tmp_path)
    assert not (tmp_path / "outside").exists()


def test_there_is_no_such_file(tmp_path: Path) -> None:
    assert "there is no file" in refused(tmp_path / "none.zip", tmp_path)


def test_a_copy_is_made_while_somebody_writes(tmp_path: Path) -> None:
    source, target = tmp_path / "a.sqlite3", tmp_path / "b.sqlite3"
    writer = sqlite3.connect(source, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t (x)")
    writer.execute("INSERT INTO t VALUES (1)")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO t VALUES (2)")
    backup.vacuum_into(source, target, silent)
    writer.execute("COMMIT")
    backup.check_sqlite(target)
    assert sqlite3.connect(target).execute("SELECT x FROM t").fetchall() == [(1,)]


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup.shutil, "which", lambda name: None)
    monkeypatch.setattr(backup, "POSTGRES", Path("nowhere"))
    with pytest.raises(BackupError, match=r"pg_dump is not installed.*postgresql-client"):
        backup.postgres_program("pg_dump")


def test_the_target_must_be_possible(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="there is no folder"):
        backup.make(tmp_path / "no" / "b.zip", silent)
