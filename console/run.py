"""`python -m console.run`: the console alone. `ensemble up` starts it beside the nodes.

Makes ready what is its own (database, plans, the ensemble that `ensemble up` runs, static files,
the first operator, whose password it prints once) and becomes Daphne, under the same process id.
Everything that is kept lies in one folder.
"""

import argparse
import gzip
import hashlib
import os
import secrets
import sys
from pathlib import Path
from typing import Final

OPERATOR: Final = "admin"
WEBSOCKET_BYTES_MAX: Final = 64 * 1024
PORT_MAX: Final = 65_535
PACKED: Final = frozenset({".js", ".css", ".svg"})
PACKED_BYTES_LEAST: Final = 2_048


def main() -> int:
    options = parser().parse_args()
    var = Path(options.var).resolve()
    os.environ["ENSEMBLE_VAR"] = str(var)
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
    if options.zookeeper:
        os.environ["ENSEMBLE_ZOOKEEPER"] = options.zookeeper
    password = prepare(var)
    if password:
        print(f"\n  Sign in as {OPERATOR} with {password}")
        print("  This password is shown once. Keep it, or set another one:")
        print(f"  ENSEMBLE_VAR={var} python manage.py changepassword {OPERATOR}", flush=True)
    os.dup2(2, 1)  # what Daphne prints belongs to the log
    serve(options.bind, options.port)
    return 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m console.run", description=__doc__)
    made.add_argument("--var", default=os.environ.get("ENSEMBLE_VAR") or "var", help="its folder")
    made.add_argument(
        "--port",
        type=port_number,
        default=os.environ.get("ENSEMBLE_CONSOLE_PORT") or "8000",
        help="of the pages (ENSEMBLE_CONSOLE_PORT, else 8000)",
    )
    made.add_argument(
        "--bind",
        default=os.environ.get("ENSEMBLE_CONSOLE_BIND") or "127.0.0.1",
        help="the address to listen at (ENSEMBLE_CONSOLE_BIND, else loopback); TLS is a proxy's",
    )
    made.add_argument(
        "--zookeeper", default="", help="host:port,... to look at (ENSEMBLE_ZOOKEEPER)"
    )
    return made


def port_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= PORT_MAX:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port: use a number from 1 to {PORT_MAX}"
        )
    return int(text)


def serve(bind: str, port: int) -> None:
    """Become Daphne."""
    command = [
        *(sys.executable, "-m", "daphne", "--no-server-name", "--access-log", "/dev/null"),
        *("--websocket-max-frame-size", str(WEBSOCKET_BYTES_MAX)),
        *("--websocket-max-message-size", str(WEBSOCKET_BYTES_MAX)),
        *("-b", bind, "-p", str(port), "console.asgi:application"),
    ]
    os.execv(sys.executable, command)  # noqa: S606 no shell is wanted


def lay_out(var: Path) -> None:
    """Tables and static files."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    for database in settings.DATABASES:
        call_command("migrate", database=database, verbosity=0, interactive=False)
    collect_static(var)


def prepare(var: Path) -> str:
    """All that, first rows and account; the account's password if it is new."""
    lay_out(var)
    from tenants.actions import ensembles, plans

    plans.create_defaults()
    ensembles.register_main()
    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    if users.exists():
        return ""
    password = secrets.token_urlsafe(15)
    users.create_superuser(username=OPERATOR, password=password)
    return password


def collect_static(var: Path) -> None:
    """Gather static files where they have changed since the last start."""
    from django.core.management import call_command

    stamp = var / "static.stamp"
    folder = Path(__file__).parent / "static"
    digest = hashlib.sha256()
    for path in (*sorted(folder.rglob("*")), Path(__file__).parent.parent / "requirements.lock"):
        if path.is_file():
            digest.update(f"{path}{path.stat().st_mtime_ns}{path.stat().st_size}".encode())
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    call_command("collectstatic", verbosity=0, interactive=False, clear=True)
    compress(var / "static")
    stamp.write_text(digest.hexdigest())


def compress(folder: Path) -> None:
    """A packed copy beside each larger text, for browsers that take it: a third of the bytes."""
    for path in folder.rglob("*"):
        if path.suffix in PACKED and path.stat().st_size >= PACKED_BYTES_LEAST:
            packed = gzip.compress(path.read_bytes(), mtime=0)
            path.with_name(f"{path.name}.gz").write_bytes(packed)


if __name__ == "__main__":
    sys.exit(main())
