"""Puts a backup in the place of what is there, which is kept beside it."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections, transaction

from tenants import audit, presence
from tenants.backup import DUMP, KEYS, BackupError, Say, dump, postgres_program, unpack

SIDE_FILES: Final = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Restored:
    made_at: str  # the backup
    kept: Path  # what was there before
    keys: int


def restore(source: Path, say: Say, *, with_keys: bool = False) -> Restored:
    """Replace the databases; and the keys, where they are in it and wanted.

    Everything is checked before anything is changed. What the ensembles have is not touched: where
    it differs from the older rows now, the reconciler shows it.

    Raises:
        BackupError: not this file; nothing was changed.
        RunningError: the plane runs.
    """
    var = Path(settings.VAR)
    with tempfile.TemporaryDirectory(prefix="restore-", dir=var) as folder:
        work = Path(folder)
        manifest = unpack(source, work, say)
        lock = presence.take_alone()
        try:
            kept = var / f"before-restore-{manifest.made_at[:19].replace(':', '')}-{os.getpid()}"
            kept.mkdir(mode=0o700)
            for alias in settings.DATABASES:
                connections[alias].close()
            if manifest.vendor == "postgresql":
                dump(kept / DUMP, say)
                words = ["--clean", "--if-exists", "--no-owner", "--single-transaction"]
                database = str(connection.settings_dict["NAME"])
                postgres_program("pg_restore", *words, "-d", database, str(work / DUMP))
            else:
                replace_files(work, kept)
            keys = replace_keys(work, var, kept) if with_keys else 0
            for alias in settings.DATABASES:
                call_command("migrate", database=alias, verbosity=0, interactive=False)
            with transaction.atomic():
                detail: dict[str, object] = {"made_at": manifest.made_at, "keys": keys}
                audit.record(audit.Actor(None, "command"), "plane.restored", detail=detail)
        except OSError as error:
            raise BackupError(f"stopped half-way: {error}; what was there is in {kept}") from error
        finally:
            os.close(lock)
    return Restored(manifest.made_at, kept, keys)


def replace_files(work: Path, kept: Path) -> None:
    """SQLite's files, each with what belongs to it. A part that is missing stays as it is."""
    for alias in settings.DATABASES:
        there = Path(str(connections[alias].settings_dict["NAME"]))
        if not (work / there.name).exists():
            continue
        for suffix in ("", *SIDE_FILES):
            path = there.with_name(there.name + suffix)
            if path.exists():
                path.rename(kept / path.name)
        shutil.move(work / there.name, there)


def replace_keys(work: Path, var: Path, kept: Path) -> int:
    count = 0
    for path in sorted((work / KEYS).rglob("*")):
        if not path.is_file():
            continue
        name = path.relative_to(work / KEYS)
        target = var / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.exists():
            (kept / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            target.rename(kept / name)
        path.chmod(0o600)
        shutil.move(path, target)
        count += 1
    return count
