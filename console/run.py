"""`python -m console.run`: a node and the console on this machine, stopped together by Ctrl-C.

What `make run` calls. Everything that is kept lies in one folder (`var/`): the node's configuration
and data, the console's database and keys. The first start makes an operator's account and prints
its password once. If either process ends, the other is stopped and the reason printed; nothing is
restarted behind the operator's back.
"""

import argparse
import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

OPERATOR: Final = "admin"
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 15.0
WEBSOCKET_BYTES_MAX: Final = 64 * 1024
LOG_LINES_SHOWN: Final = 15
WORDS: Final = "srvr,mntr,ruok,conf,stat,cons,envi,isro,wchs,dirs"

ZOO_CFG: Final = """\
# Written at the first start; yours to change from then on. Keys as in ZooKeeper's zoo.cfg.
dataDir={data}
clientPort={port}
clientPortAddress=127.0.0.1
tickTime=2000
maxClientCnxns=0
4lw.commands.whitelist={words}
admin.serverAddress=127.0.0.1
admin.serverPort={admin_port}
autopurge.snapRetainCount=5
autopurge.purgeInterval=1
extendedTypesEnabled=true
"""


class StartError(Exception):
    """The start failed; the text says why and what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m console.run", description=__doc__)
    parser.add_argument("--var", default="var", help="folder for everything that is kept")
    for name, port, what in (
        ("client", "2181", "the node's, if it is new"),
        ("admin", "8080", "the node's for its operators, if it is new"),
        ("console", "8000", "of the pages"),
    ):
        variable = f"ENSEMBLE_{name.upper()}_PORT"
        parser.add_argument(
            f"--{name}-port",
            type=port_number,
            default=os.environ.get(variable) or port,
            help=f"{what} ({variable}, else {port})",
        )
    options = parser.parse_args()
    var = Path(options.var).resolve()
    runner = Runner(var, options.client_port, options.admin_port, options.console_port)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, runner.on_signal)
    try:
        runner.start()
        return runner.wait()
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    finally:
        runner.stop()


def port_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: use a number from 1 to 65535")
    return int(text)


class Runner:
    """Two processes: the node and the console."""

    def __init__(self, var: Path, client_port: int, admin_port: int, console_port: int) -> None:
        self.var: Final = var
        self.wanted_client_port: Final = client_port
        self.wanted_admin_port: Final = admin_port
        self.console_port: Final = console_port
        self.processes: Final[dict[str, subprocess.Popen[bytes]]] = {}
        self.stopping = False

    def start(self) -> None:
        began = time.monotonic()
        self.var.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = self.configuration()
        port = int(config["clientPort"])
        for key in ("clientPort", "admin.serverPort"):
            if config.get(key, "").isdigit() and is_taken(int(config[key])):
                raise StartError(
                    f"Port {config[key]} is taken. Stop what listens there, or change {key} "
                    f"in {self.var / 'zoo.cfg'}."
                )
        if is_taken(self.console_port):
            raise StartError(
                f"Port {self.console_port} is taken. Stop what listens there, or choose another "
                "one: make run ARGS='--console-port 8001'."
            )
        self.launch("node", self.node_command(), {})
        environment = {
            "ENSEMBLE_VAR": str(self.var),
            "ENSEMBLE_ZOOKEEPER": f"127.0.0.1:{port}",
            "DJANGO_SETTINGS_MODULE": "console.settings",
        }
        os.environ.update(environment)
        password = self.prepare_console()
        self.launch(
            "console",
            [
                *(sys.executable, "-m", "daphne", "--no-server-name", "--access-log", "/dev/null"),
                *("--websocket-max-frame-size", str(WEBSOCKET_BYTES_MAX)),
                *("--websocket-max-message-size", str(WEBSOCKET_BYTES_MAX)),
                *("-b", "127.0.0.1", "-p", str(self.console_port), "console.asgi:application"),
            ],
            environment,
        )
        self.wait_for("node", port)
        self.wait_for("console", self.console_port)
        print(f"\nEnsemble is ready after {time.monotonic() - began:.1f} s.\n")
        print(f"  ZooKeeper clients   127.0.0.1:{port}")
        print(f"  Console             http://127.0.0.1:{self.console_port}/")
        if config.get("admin.serverPort"):
            admin = f"http://127.0.0.1:{config['admin.serverPort']}"
            print(f"  Node's admin port   {admin}/commands   {admin}/metrics")
        if password:
            print(f"\n  Sign in as {OPERATOR} with {password}")
            print("  This password is shown once. Keep it, or set another one:")
            print(f"  ENSEMBLE_VAR={self.var} python manage.py changepassword {OPERATOR}")
        print(f"\n  Data and logs in {self.var}. Ctrl-C stops both.\n", flush=True)

    # The node

    def configuration(self) -> dict[str, str]:
        """The node's configuration, written at the first start."""
        path = self.var / "zoo.cfg"
        if not path.exists():
            port = free_port(self.wanted_client_port)
            admin_port = free_port(self.wanted_admin_port, besides={port, self.console_port})
            text = ZOO_CFG.format(
                data=self.var / "data", port=port, words=WORDS, admin_port=admin_port
            )
            path.write_text(text)
        lines = [line.strip() for line in path.read_text().splitlines()]
        pairs = [line.split("=", 1) for line in lines if "=" in line and not line.startswith("#")]
        config = {key.strip(): value.strip() for key, value in pairs}
        if not config.get("clientPort", "").isdigit():
            raise StartError(f"{path} has no clientPort, which the console needs.")
        return config

    def node_command(self) -> list[str]:
        digest = self.super_digest()
        return [
            *(sys.executable, "-m", "ensemble.server.main", "server"),
            f"-Dzookeeper.DigestAuthenticationProvider.superDigest={digest}",
            str(self.var / "zoo.cfg"),
        ]

    def super_digest(self) -> str:
        """The console's key to znodes of any ACL; the node gets its digest only."""
        from ensemble.client import digest_id

        path = self.var / "zookeeper.auth"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"digest:super:{secrets.token_urlsafe(32)}")
        _, user, password = path.read_text().strip().split(":", 2)
        return digest_id(user, password).id or ""

    # The console

    def prepare_console(self) -> str:
        """Database, static files, first account; the account's password if it is new."""
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0, interactive=False)
        self.collect_static()
        from django.contrib.auth import get_user_model

        users = get_user_model().objects
        if users.exists():
            return ""
        password = secrets.token_urlsafe(15)
        users.create_superuser(username=OPERATOR, password=password)
        return password

    def collect_static(self) -> None:
        """Gather static files where they have changed since the last start."""
        from django.core.management import call_command

        stamp = self.var / "static.stamp"
        folder = Path(__file__).parent / "static"
        digest = hashlib.sha256()
        for path in (
            *sorted(folder.rglob("*")),
            Path(__file__).parent.parent / "requirements.lock",
        ):
            if path.is_file():
                digest.update(f"{path}{path.stat().st_mtime_ns}{path.stat().st_size}".encode())
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        call_command("collectstatic", verbosity=0, interactive=False, clear=True)
        stamp.write_text(digest.hexdigest())

    # Processes

    def launch(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        log = (self.var / f"{name}.log").open("ab")
        with log:
            self.processes[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                cwd=Path(__file__).parent.parent,
                start_new_session=True,  # Ctrl-C reaches this process alone, which stops both
            )

    def wait_for(self, name: str, port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_taken(port):
            self.check(name)
            if time.monotonic() > deadline:
                raise StartError(f"The {name} did not open port {port}.\n{self.tail(name)}")
            time.sleep(0.05)

    def check(self, name: str) -> None:
        status = self.processes[name].poll()
        if status is not None:
            raise StartError(f"The {name} ended with status {status}.\n{self.tail(name)}")

    def tail(self, name: str) -> str:
        path = self.var / f"{name}.log"
        lines = path.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return "\n".join([f"The last lines of {path}:", *("  " + line for line in lines)])

    def wait(self) -> int:
        """Until Ctrl-C, or until one of the two ends by itself."""
        while not self.stopping:
            for name in self.processes:
                self.check(name)
            time.sleep(0.2)
        return 0

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.stopping:
            self.stopping = True
            return
        for process in self.processes.values():  # asked twice: at once
            process.kill()

    def stop(self) -> None:
        """The console first, so that it closes its session; then the node, which syncs its log."""
        for name in ("console", "node"):
            process = self.processes.get(name)
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                print(f"The {name} did not stop within {STOP_TIMEOUT_S:.0f} s and was killed.")
        if self.stopping:
            print("Stopped.")


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port(wanted: int, besides: frozenset[int] | set[int] = frozenset()) -> int:
    """The wanted port, or the next one that is free."""
    for port in range(wanted, wanted + 100):
        if port not in besides and not is_taken(port):
            return port
    raise StartError(f"No port is free between {wanted} and {wanted + 99}.")


if __name__ == "__main__":
    sys.exit(main())
