"""Copies of the plane's databases in one file, made while it runs; and the way back.

The file is a zip: `manifest.json` (format, kind of database, schema, a sum for each part), and the
parts: SQLite's files, or one dump of PostgreSQL. Keys of ensembles are in it only when asked for:
without them, who finds the file can sign in nowhere.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Final

from django.conf import settings
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MANIFEST_MAX: Final = 1 << 20
DUMP: Final = "database.dump"
KEYS: Final = "keys/"
CHUNK: Final = 1 << 20
LOOK_EVERY_S: Final = 0.2
DUMP_S: Final = 24 * 3_600
KEY_FILES: Final = ("console.key", "zookeeper.auth")
POSTGRES: Final = Path("/usr/lib/postgresql")

Say = Callable[[str, float], None]  # of a part, how much of it is done (0 to 1)


class BackupError(Exception):
    """Not done, and nothing changed. The text names what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    made_at: str
    vendor: str
    migrations: dict[str, list[str]]  # by app
    sums: dict[str, str]  # SHA-256 by part


def make(target: Path, say: Say, *, with_keys: bool = False, overwrite: bool = False) -> Manifest:
    """Copy all databases into one file. Who writes meanwhile goes on.

    Raises:
        BackupError: the file exists, a copy is damaged, or a program is missing.
    """
    if target.exists() and not overwrite:
        raise BackupError(f"{target} exists: choose another name, or say --overwrite")
    if not target.parent.is_dir():
        raise BackupError(f"there is no folder {target.parent}: make it first")
    work = target.with_name(target.name + ".parts")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        parts = list(copies(work, say))
        if with_keys:
            parts += list(key_files())
        manifest = Manifest(
            made_at=timezone.now().isoformat(timespec="seconds"),
            vendor=connection.vendor,
            migrations=applied(),
            sums={name: sum_of(path) for name, path in parts},
        )
        pack(target, manifest, parts, say)
    except OSError as error:
        raise BackupError(f"{target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def copies(work: Path, say: Say) -> Iterator[tuple[str, Path]]:
    """A copy of each database, checked."""
    if connection.vendor == "postgresql":
        dump(work / DUMP, say)
        yield DUMP, work / DUMP
        return
    for alias in settings.DATABASES:
        if connections[alias].vendor != "sqlite":
            continue
        source = Path(str(connections[alias].settings_dict["NAME"]))
        vacuum_into(source, work / source.name, say)
        check_sqlite(work / source.name)
        yield source.name, work / source.name


def vacuum_into(source: Path, target: Path, say: Say) -> None:
    """SQLite's own copy: one read transaction, no writer waits for it."""
    failed: list[Exception] = []

    def work() -> None:
        try:
            database = sqlite3.connect(source, timeout=60)
            try:
                database.execute("VACUUM INTO ?", [str(target)])
            finally:
                database.close()
        except sqlite3.Error as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="backup")
    thread.start()
    size = max(1, source.stat().st_size)
    while thread.is_alive():
        thread.join(LOOK_EVERY_S)
        say(source.name, min(1.0, target.stat().st_size / size if target.exists() else 0.0))
    if failed:
        raise BackupError(f"{source}: {failed[0]}")
    say(source.name, 1.0)


def check_sqlite(path: Path) -> None:
    """Raises BackupError: it is no database, or a damaged one."""
    try:
        database = sqlite3.connect(path)
        try:
            found = database.execute("PRAGMA quick_check").fetchone()[0]
        finally:
            database.close()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise BackupError(f"{path.name} is damaged: {found}")


def dump(target: Path, say: Say) -> None:
    say(DUMP, 0.0)
    postgres_program("pg_dump", "-Fc", "--no-owner", "-f", str(target))
    say(DUMP, 1.0)


def postgres_program(name: str, *words: str) -> None:
    """Run one of PostgreSQL's programs at our database.

    Raises:
        BackupError: it is not installed, or it failed.
    """
    found = shutil.which(name) or newest(name)
    if found is None:
        raise BackupError(f"{name} is not installed: it comes with Debian's postgresql-client")
    values = connection.settings_dict
    environment = {**os.environ, "PGDATABASE": str(values["NAME"])}
    for key, variable in (
        ("HOST", "PGHOST"),
        ("PORT", "PGPORT"),
        ("USER", "PGUSER"),
        ("PASSWORD", "PGPASSWORD"),
    ):
        if values.get(key):
            environment[variable] = str(values[key])
    done = subprocess.run(
        [found, *words], env=environment, capture_output=True, text=True, timeout=DUMP_S
    )
    if done.returncode:
        raise BackupError(f"{name} failed: {done.stderr.strip()[-500:]}")


def newest(name: str) -> str | None:
    found = sorted(POSTGRES.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return str(found[-1]) if found else None


def key_files() -> Iterator[tuple[str, Path]]:
    """What opens sessions and ensembles; made only when it was asked for."""
    var = Path(settings.VAR)
    for path in (*(var / name for name in KEY_FILES), *sorted(var.glob("ensembles/*/*"))):
        if path.is_file():
            yield f"{KEYS}{path.relative_to(var)}", path


def applied() -> dict[str, list[str]]:
    """The schema: what migrations the databases have."""
    found: dict[str, list[str]] = {}
    for alias in {"default", settings.OBSERVED_DATABASE}:
        for app, name in MigrationRecorder(connections[alias]).applied_migrations():
            found[app] = sorted({*found.get(app, []), name})
    return found


def sum_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack(target: Path, manifest: Manifest, parts: list[tuple[str, Path]], say: Say) -> None:
    """All into one file, which is there whole or not at all."""
    beside = target.with_name(target.name + ".part")
    text = {
        "format": FORMAT,
        "made_at": manifest.made_at,
        "vendor": manifest.vendor,
        "migrations": manifest.migrations,
        "sums": manifest.sums,
    }
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w+b") as raw:
            with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
                file.writestr(MANIFEST, json.dumps(text, indent=1))
                for name, path in parts:
                    with path.open("rb") as source, file.open(name, "w", force_zip64=True) as to:
                        copy(source, to, path.stat().st_size, f"packing {name}", say)
            raw.flush()
            os.fsync(raw.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def copy(source: IO[bytes], target: IO[bytes], size: int, name: str, say: Say) -> None:
    done = 0
    while chunk := source.read(CHUNK):
        target.write(chunk)
        done += len(chunk)
        say(name, min(1.0, done / max(1, size)))


def read_manifest(file: zipfile.ZipFile, name: str) -> Manifest:
    """Raises BackupError: it is none of ours, or a newer one's."""
    try:
        info = file.getinfo(MANIFEST)
        if info.file_size > MANIFEST_MAX:
            raise BackupError(f"{name}: {MANIFEST} has {info.file_size} bytes, over {MANIFEST_MAX}")
        said = json.loads(file.read(MANIFEST))
        if said["format"] != FORMAT:
            raise BackupError(f"{name} has format {said['format']!r}; this version reads {FORMAT}")
        return Manifest(
            made_at=datetime.fromisoformat(said["made_at"]).isoformat(),
            vendor=str(said["vendor"]),
            migrations={str(app): [str(n) for n in v] for app, v in said["migrations"].items()},
            sums={str(part): str(digest) for part, digest in said["sums"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise BackupError(f"{name} is no backup of the plane: {error}") from None


def check_manifest(manifest: Manifest, name: str) -> None:
    """Raises BackupError: it is another kind of database's, or a newer version's."""
    if manifest.vendor != connection.vendor:
        raise BackupError(
            f"{name} is of {manifest.vendor}, DATABASE_URL says {connection.vendor}: use the same"
        )
    known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    unknown = sorted(
        f"{app}.{migration}"
        for app, names in manifest.migrations.items()
        for migration in names
        if (app, migration) not in known
    )
    if unknown:
        raise BackupError(
            f"{name} has a schema that this version does not know ({', '.join(unknown[:3])}):"
            " restore it with the version that made it"
        )


def unpack(source: Path, work: Path, say: Say) -> Manifest:
    """All parts into a folder, each compared with its sum.

    Raises:
        BackupError: it is no backup, damaged, or of another schema. Nothing has been changed.
    """
    try:
        with zipfile.ZipFile(source) as file:
            manifest = read_manifest(file, source.name)
            check_manifest(manifest, source.name)
            parts = {info.filename for info in file.infolist()} - {MANIFEST}
            if parts != set(manifest.sums):
                raise BackupError(f"{source.name} does not hold what its manifest says")
            for part in sorted(parts):
                target = (work / part).resolve()
                if not target.is_relative_to(work.resolve()):
                    raise BackupError(f"{source.name} names a part {part[:100]!r} outside itself")
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with file.open(part) as packed, target.open("wb") as to:
                    copy(packed, to, file.getinfo(part).file_size, f"reading {part}", say)
                if sum_of(target) != manifest.sums[part]:
                    raise BackupError(f"{source.name} is damaged: {part} has another sum")
                if target.suffix == ".sqlite3":
                    check_sqlite(target)
    except FileNotFoundError:
        raise BackupError(f"there is no file {source}") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError) as error:
        raise BackupError(f"{source.name} cannot be read: {error}") from None
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise BackupError(f"{source.name} is damaged: {error}") from None
        raise
    return manifest
