"""A PostgreSQL of Debian's for the length of one command: `python -m tests.postgres COMMAND ...`.

The command finds its address in DATABASE_URL. The server is made anew in a folder of its own, is
reached by a socket in it alone, keeps nothing and syncs nothing. It does not run as root: where we
are root, as `postgres`.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

BINARIES = Path("/usr/lib/postgresql")
START_S = 60
COMMAND_S = 1_800
FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB"]


def binaries() -> Path | None:
    """The newest version's folder, if one is installed."""
    found = sorted(BINARIES.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


def as_owner(command: list[str], owner: str) -> list[str]:
    return ["runuser", "-u", owner, "--", *command] if owner else command


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server that is there meanwhile.

    Raises:
        FileNotFoundError: none is installed.
    """
    place = binaries()
    if place is None:
        raise FileNotFoundError("no PostgreSQL here; `sh tests/needs.sh test` brings it")
    owner = "postgres" if os.geteuid() == 0 else ""
    folder = Path(tempfile.mkdtemp(prefix="ensemble-pg-"))
    data, log = folder / "data", folder / "log"
    try:
        if owner:
            account = pwd.getpwnam(owner)
            os.chown(folder, account.pw_uid, account.pw_gid)
        run(as_owner([str(place / "initdb"), "-A", "trust", "-U", "ensemble", str(data)], owner))
        options = " ".join(f"-c {word}" for word in [*FAST, "max_connections=60"])
        control = as_owner(
            [str(place / "pg_ctl"), "-D", str(data), "-w", "-t", str(START_S)], owner
        )
        run(
            [
                *control,
                "-l",
                str(log),
                "-o",
                f"-k {folder} -c listen_addresses='' {options}",
                "start",
            ]
        )
        try:
            yield f"postgres://ensemble@{quote(str(folder), safe='')}/postgres"
        finally:
            run([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=2 * START_S, cwd=tempfile.gettempdir()
    )
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")


def main() -> int:
    with postgres() as url:
        environment = {**os.environ, "DATABASE_URL": url}
        return subprocess.run(sys.argv[1:], env=environment, timeout=COMMAND_S).returncode


if __name__ == "__main__":
    sys.exit(main())
