"""How long writes stop when the leader is killed: `python -m benchmarks.failover --kills 100`.

Clients on all members write at a steady pace. The leader gets SIGKILL; for each client the time
counts from there until the reply to the first write that it sent after the kill. A client that
loses its connection tries the members in turn, with short random pauses, and takes its session
with it. Apache's ensemble is treated the same way, after ours.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import signal
import struct
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.nodes import Cluster, clusters
from benchmarks.report import Report
from benchmarks.servers import apache_libraries

SESSION_TIMEOUT_MS: Final = 20_000
CONNECT_TIMEOUT_S: Final = 0.5
REPLY_TIMEOUT_S: Final = 10.0  # half the session's timeout: a member that hangs is left
RETRY_S: Final = (0.005, 0.025)
OUTAGE_MAX_S: Final = 60.0
SETTLE_S: Final = (1.0, 2.0)  # between a full ensemble and the next kill
OP_CREATE: Final = 1
OP_SET: Final = 5
NODE_EXISTS: Final = -110
ACL: Final = struct.pack(">iii", 1, 31, 5) + b"world" + struct.pack(">i", 6) + b"anyone"


class Lost(Exception):
    """The connection is gone, or the answer says that the request failed."""


@dataclass
class Writer:
    """One client: a session, and a write every `every_s` in a znode of its own."""

    number: int
    ports: list[int]  # its home first
    every_s: float
    rng: random.Random
    session: int = 0
    password: bytes = bytes(16)
    acked: int = 0
    expired: int = 0
    at_port: int = 0  # where it is connected, 0: nowhere
    since: float = 0.0  # of the kill
    took_s: float = -1.0  # from `since` to the reply to the first write sent after it
    goes_home: bool = False  # leave for the first of the ports

    @property
    def path(self) -> bytes:
        return f"/failover-{self.number}".encode()

    async def run(self) -> None:
        tried = 0
        while True:
            if self.goes_home:
                tried, self.goes_home = 0, False
            port = self.ports[tried % len(self.ports)]
            tried += 1
            with contextlib.suppress(OSError, TimeoutError, Lost, asyncio.IncompleteReadError):
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    await self.stay(port, reader, writer)
                finally:
                    self.at_port = 0
                    writer.close()
            await asyncio.sleep(self.rng.uniform(*RETRY_S))

    async def stay(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Attach the session, then write until the connection breaks."""
        hello = struct.pack(">iqiqi", 0, 0, SESSION_TIMEOUT_MS, self.session, 16)
        writer.write(framed(hello + self.password + b"\0"))
        answer = await read_frame(reader)
        _, timeout_ms, session, size = struct.unpack_from(">iiqi", answer)
        if timeout_ms == 0:
            self.expired += 1
            self.session, self.password = 0, bytes(16)
            return
        self.session, self.password = session, answer[20 : 20 + size]
        self.at_port = port
        if self.acked == 0:
            body = put(self.path) + put(b"0") + ACL + struct.pack(">i", 0)
            await self.call(reader, writer, 1, OP_CREATE, body)
        for xid in itertools.count(2):
            sent_at = time.monotonic()
            body = put(self.path) + put(bytes(100)) + struct.pack(">i", -1)
            await self.call(reader, writer, xid, OP_SET, body)
            self.acked += 1
            if self.goes_home and port != self.ports[0]:
                return
            self.goes_home = False
            if self.took_s < 0 and sent_at >= self.since:
                self.took_s = time.monotonic() - self.since
            await asyncio.sleep(max(0.0, sent_at + self.every_s - time.monotonic()))

    async def call(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        xid: int,
        op: int,
        body: bytes,
    ) -> None:
        writer.write(framed(struct.pack(">ii", xid, op) + body))
        answer = await read_frame(reader)
        replied, _, err = struct.unpack_from(">iqi", answer)
        if replied != xid or err not in (0, NODE_EXISTS):
            raise Lost(f"xid {replied} for {xid}, error {err}")


def framed(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


def put(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(REPLY_TIMEOUT_S):
        size = struct.unpack(">i", await reader.readexactly(4))[0]
        return await reader.readexactly(size)


@dataclass
class Outages:
    """Milliseconds without writes, a kill and a client each."""

    stayed: list[float] = field(default_factory=list)  # clients of the survivors
    moved: list[float] = field(default_factory=list)  # clients of the killed one
    worst: list[float] = field(
        default_factory=list
    )  # the slowest of the survivors' clients, a kill
    expired: int = 0


async def measure(cluster: Cluster, options: argparse.Namespace, report: Report) -> Outages:
    rng = random.Random(options.seed)
    members, outages = cluster.ensemble, Outages()
    writers = []
    for number in range(options.clients):
        home = number % len(cluster.ports)
        ports = cluster.ports[home:] + cluster.ports[:home]
        writers.append(Writer(number, ports, options.every_ms / 1e3, random.Random(number)))
    tasks = [asyncio.create_task(writer.run()) for writer in writers]
    try:
        for _ in range(options.kills):
            for writer in writers:
                writer.goes_home = True
            begin(writers)
            await wait_all_write(writers)
            await asyncio.sleep(rng.uniform(*SETTLE_S))
            leader = await asyncio.to_thread(members.wait_serving)
            stayed = [w for w in writers if w.at_port not in (0, leader.client_port)]
            assert leader.process is not None
            begin(writers)
            os.kill(leader.process.pid, signal.SIGKILL)
            await wait_all_write(writers)
            for writer in writers:
                place = outages.stayed if writer in stayed else outages.moved
                place.append(writer.took_s * 1e3)
            outages.worst.append(max(writer.took_s for writer in stayed) * 1e3)
            report.results[cluster.name] = asdict(outages)
            report.keep()  # a long run may be cut
            leader.kill9()
            leader.start(members.all)
            await asyncio.to_thread(members.wait_serving)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    outages.expired = sum(writer.expired for writer in writers)
    return outages


def begin(writers: list[Writer]) -> None:
    """From here the time counts."""
    now = time.monotonic()
    for writer in writers:
        writer.since, writer.took_s = now, -1.0


async def wait_all_write(writers: list[Writer]) -> None:
    """Until each has had the reply to a write that it sent after `begin`."""
    while missing := [writer.number for writer in writers if writer.took_s < 0]:
        if time.monotonic() - writers[0].since > OUTAGE_MAX_S:
            raise RuntimeError(f"no write of clients {missing} within {OUTAGE_MAX_S} s")
        await asyncio.sleep(0.01)


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--clients", type=int, default=30)
    parser.add_argument("--every-ms", type=float, default=10.0, help="a client's pace of writes")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="ours or apache")
    parser.add_argument("--apache-lib", default="", help="a folder of jars instead of Maven's")
    parser.add_argument("--var", default="var/bench")
    options = parser.parse_args()
    libraries = apache_libraries(options.apache_lib)
    report = Report(Path(options.var).resolve(), "failover")
    report.say_where(bool(libraries))
    report.say("| ms from kill -9 of the leader to a client's write | p50 | p99 | worst | kills |")
    report.say("|---|--:|--:|--:|--:|")
    names = [name for name in options.only.split(",") if name]
    for cluster in clusters(report.var, options.nodes, libraries, names=names):
        try:
            cluster.start()
            outages = asyncio.run(measure(cluster, options, report))
        finally:
            cluster.stop()
        rows = {
            "clients of the survivors": outages.stayed,
            "clients of the killed": outages.moved,
            "the slowest survivor's client": outages.worst,
        }
        for name, values in rows.items():
            cells = [quantile(values, 0.5), quantile(values, 0.99), max(values)]
            numbers = " | ".join(f"{cell:,.0f}" for cell in cells)
            report.say(f"| {cluster.name}: {name} | {numbers} | {options.kills} |")
        report.results[cluster.name] = asdict(outages)
        if outages.expired:
            report.say(f"\n{cluster.name}: {outages.expired} sessions expired\n")
        report.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
