"""The load generator `load.c` as a function: built once, run on one or several servers.

`neighbour.c` is built here, too; `neighbour` runs it.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parent / "load.c"
NEIGHBOUR_SOURCE: Final = Path(__file__).parent / "neighbour.c"
PAYLOAD_BYTES: Final = 100
KEYS: Final = 1_000
CONNECT_TIMEOUT_S: Final = 120  # for the connections and the keys, before the load begins


@dataclass
class Seen:
    """What one run of the generator saw."""

    ops: int
    per_s: float
    p50_us: float
    p99_us: float


@dataclass
class Load:
    """The built generator."""

    program: Path

    def run(
        self,
        ports: list[int],
        op: str,
        connections: int,
        window: int,
        seconds: float,
        warmup_s: float,
        keys: int = KEYS,
        auth: str = "",
    ) -> Seen:
        """Connections take the ports in turn, each with `window` requests outstanding.

        `auth`: "scheme credential", which every connection presents first.

        Raises:
            RuntimeError: the generator's message: a lost connection, an error in a reply.
        """
        threads = 1 if connections == 1 else 2
        numbers = (connections, window, seconds, warmup_s, threads, PAYLOAD_BYTES, keys)
        done = subprocess.run(
            [str(self.program), ",".join(str(port) for port in ports), op]
            + [str(number) for number in numbers],
            capture_output=True,
            text=True,
            timeout=seconds + warmup_s + CONNECT_TIMEOUT_S,
            env={**os.environ, "LOAD_AUTH": auth} if auth else None,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{op} on {ports}: {done.stderr}")
        seen = json.loads(done.stdout)
        if seen["ops"] == 0:
            raise RuntimeError(f"{op} on {ports}: no request was answered")
        return Seen(seen["ops"], seen["ops"] / seconds, seen["p50_us"], seen["p99_us"])


def build_load(folder: Path) -> Load | None:
    """Compile the generator into `folder`; None without a C compiler."""
    program = build(SOURCE, folder)
    return None if program is None else Load(program)


def build_neighbour(folder: Path) -> Path | None:
    """The same with the generator for `neighbour`."""
    return build(NEIGHBOUR_SOURCE, folder)


def build(source: Path, folder: Path) -> Path | None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / source.stem
    subprocess.run([compiler, "-O2", "-pthread", "-o", str(program), str(source)], check=True)
    return program
