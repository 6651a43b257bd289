"""Who works with the database at present: what must not be pulled away from under them.

Each process of the plane holds a shared lock on a file beside the database while it lives; what
replaces the database takes it alone. The collector's lease says the same across machines.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

LOCK: Final = "plane.lock"
LEASE_TABLE: Final = "observability_lease"

_held: list[int] = []  # open for as long as the process lives; the system lets go of the lock


class RunningError(Exception):
    """The plane runs. The text says what of it, and what to do."""


def hold() -> None:
    """Say that this process works with the database, until its end.

    Raises:
        RunningError: the database is being replaced.
    """
    at_work = "a restore is at work: start again when it has ended"
    _held.append(locked(fcntl.LOCK_SH, at_work))


def take_alone() -> int:
    """The lock for us alone; close it to let go.

    Raises:
        RunningError: somebody works with the database.
    """
    running = f"a process of the plane works with {settings.VAR}: stop web and collector first"
    descriptor = locked(fcntl.LOCK_EX, running)
    try:
        check_others()
    except RunningError:
        os.close(descriptor)
        raise
    return descriptor


def locked(how: int, refusal: str) -> int:
    """The lock's file, locked in this way at once.

    Raises:
        RunningError: others hold it; says the refusal.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(Path(settings.VAR) / LOCK, flags, 0o600)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RunningError(refusal) from None
    return descriptor


def check_others() -> None:
    """Those on other machines: a collector by its lease, and on PostgreSQL whoever is connected.

    Raises:
        RunningError: somebody is there.
    """
    connection = connections[settings.OBSERVED_DATABASE]
    holder = collector(connection)
    if holder:
        raise RunningError(f"the collector {holder} is at work: stop it first")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            others = cursor.fetchone()[0]
        if others:
            raise RunningError(f"{others} others are connected to the database: stop them first")


def collector(connection: BaseDatabaseWrapper) -> str:
    """Who holds the lease; nobody where SQLite's file is too damaged to say."""
    try:
        if LEASE_TABLE not in connection.introspection.table_names():
            return ""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT holder FROM {LEASE_TABLE} WHERE until > %s",  # noqa: S608 a constant
                [time.time_ns() // 1_000_000],
            )
            found = cursor.fetchone()
    except DatabaseError:
        if connection.vendor != "sqlite":
            raise
        return ""
    return str(found[0]) if found else ""
