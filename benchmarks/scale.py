"""Many of everything on an ensemble: `python -m benchmarks.scale`, ours beside Apache's.

Sessions that all watch one znode, a thousand connections on each member, five members, and what one
observer more gives to reads. Ensembles run one after the other, not at the same time.
"""

import argparse
import resource
import select
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from benchmarks.load import Load, build_load
from benchmarks.nodes import Cluster, clusters
from benchmarks.report import Report
from benchmarks.servers import apache_libraries

CONNECT: Final = struct.pack(">iiqiqi", 45, 0, 0, 40_000, 0, 16) + bytes(17)
PATH: Final = struct.pack(">i", 7) + b"/fanout"
ACL: Final = struct.pack(">iii", 1, 31, 5) + b"world" + struct.pack(">i", 6) + b"anyone"
OP_CREATE: Final = 1
OP_EXISTS: Final = 3
OP_SET: Final = 5
EVENT_XID: Final = b"\xff\xff\xff\xff"
AT_ONCE: Final = 250  # connections that are being opened: below what a listening socket keeps
ANSWER_TIMEOUT_S: Final = 60.0
CHANGES: Final = 3
SPARE_DESCRIPTORS: Final = 500
CONNECTIONS_PER_NODE: Final = 1_000
OBSERVER_LOADS: Final = [("get", 99, 16), ("mixed", 99, 4), ("set", 99, 16)]


def framed(xid: int, op: int, body: bytes) -> bytes:
    return struct.pack(">iii", 8 + len(body), xid, op) + body


def wait_all(socks: Iterable[socket.socket]) -> list[float]:
    """Until each has something to read, and it is read: when each had."""
    poll = select.epoll()
    waiting = {sock.fileno(): sock for sock in socks}
    for fd in waiting:
        poll.register(fd, select.EPOLLIN)
    times: list[float] = []
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while waiting:
        for fd, _ in poll.poll(1.0, 1_000):
            data = waiting[fd].recv(4_096)
            if not data:
                raise RuntimeError("a server closed a connection")
            times.append(time.monotonic())
            poll.unregister(fd)
            del waiting[fd]
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(waiting)} answers are missing after {ANSWER_TIMEOUT_S} s")
    poll.close()
    return times


class Crowd:
    """Sessions spread over the members, each with a watch on the one znode."""

    def __init__(self, ports: list[int], sessions: int) -> None:
        self.socks: Final[list[socket.socket]] = []
        began = time.monotonic()
        for start in range(0, sessions, AT_ONCE):
            part = []
            for number in range(start, min(sessions, start + AT_ONCE)):
                sock = socket.create_connection(("127.0.0.1", ports[number % len(ports)]))
                sock.sendall(CONNECT)
                part.append(sock)
            wait_all(part)
            self.socks.extend(part)
        self.connect_s: Final = time.monotonic() - began

    def watch(self, xid: int) -> None:
        for sock in self.socks:
            sock.sendall(framed(xid, OP_EXISTS, PATH + b"\x01"))
        wait_all(self.socks)

    def close(self) -> None:
        for sock in self.socks:
            sock.close()


def measure_fanout(cluster: Cluster, sessions: int, report: Report) -> None:
    """One change, an event for every session."""
    ports = cluster.ports
    with socket.create_connection(("127.0.0.1", ports[0])) as writer:
        writer.sendall(CONNECT)
        wait_all([writer])
        body = PATH + struct.pack(">i", 0) + ACL + struct.pack(">i", 0)
        writer.sendall(framed(1, OP_CREATE, body))
        wait_all([writer])
        crowd = Crowd(ports, sessions)
        rounds: list[list[float]] = []
        for change in range(CHANGES):
            crowd.watch(change + 1)
            began = time.monotonic()
            writer.sendall(framed(change + 2, OP_SET, PATH + struct.pack(">ii", 0, -1)))
            times = wait_all(crowd.socks)
            wait_all([writer])
            rounds.append([(at - began) * 1e3 for at in times])
        crowd.close()
    first = statistics.median(min(times) for times in rounds)
    middle = statistics.median(statistics.median(times) for times in rounds)
    last = statistics.median(max(times) for times in rounds)
    report.say(
        f"| {cluster.name}: {sessions:,} sessions, one watch each, one change: events after ms "
        f"| first {first:,.0f} | median {middle:,.0f} | last {last:,.0f} |"
    )
    report.say(
        f"| {cluster.name}: opening {sessions:,} sessions | {sessions / crowd.connect_s:,.0f} /s "
        "| | |"
    )
    report.results[f"fanout-{cluster.name}"] = {
        "sessions": sessions,
        "rounds_ms": [[min(times), statistics.median(times), max(times)] for times in rounds],
        "connect_s": crowd.connect_s,
    }


def measure_load(
    cluster: Cluster,
    load: Load,
    name: str,
    rows: list[tuple[str, int, int]],
    options: argparse.Namespace,
    report: Report,
) -> None:
    for op, connections, window in rows:
        seen = [
            cluster.drive(load, op, connections, window, options.seconds)
            for _ in range(options.rounds)
        ]
        per_s = statistics.median(figures.per_s for figures in seen)
        p50 = statistics.median(figures.p50_us for figures in seen) / 1e3
        p99 = statistics.median(figures.p99_us for figures in seen) / 1e3
        report.say(
            f"| {cluster.name}: {name}, {op} {connections} x {window} "
            f"| {per_s:,.0f} /s | p50 {p50:.2f} ms | p99 {p99:.2f} ms |"
        )
        report.results[f"{name}-{op}-{connections}x{window}-{cluster.name}"] = {
            "per_s": per_s,
            "p50_ms": p50,
            "p99_ms": p99,
        }
        report.keep()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--what", default="fanout,connections,five,observer")
    parser.add_argument("--only", default="", help="ours or apache")
    parser.add_argument("--apache-lib", default="", help="a folder of jars instead of Maven's")
    parser.add_argument("--var", default="var/bench")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < options.sessions + SPARE_DESCRIPTORS:
        parser.error(f"{hard} descriptors at most: --sessions {hard - SPARE_DESCRIPTORS} or fewer")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the servers inherit it
    var = Path(options.var).resolve()
    load = build_load(var)
    if load is None:
        print("the load generator is C: apt-get install gcc", file=sys.stderr)
        return 1
    libraries = apache_libraries(options.apache_lib)
    names = [name for name in options.only.split(",") if name]
    what = options.what.split(",")
    report = Report(var, "scale")
    report.say_where(bool(libraries))
    report.say("| what | | | |")
    report.say("|---|--:|--:|--:|")
    plans = [(3, 0)] if {"fanout", "connections", "observer"} & set(what) else []
    plans += [(3, 1)] if "observer" in what else []
    plans += [(5, 0)] if "five" in what else []
    for nodes, observers in plans:
        for cluster in clusters(var, nodes, libraries, observers, names):
            try:
                cluster.start()
                cluster.warm_up(load)
                name = f"{nodes} nodes" + (f" and {observers} observer" if observers else "")
                if (nodes, observers) == (3, 0):
                    if "fanout" in what:
                        measure_fanout(cluster, options.sessions, report)
                    if "connections" in what:
                        total = nodes * CONNECTIONS_PER_NODE
                        rows = [("get", total, 1), ("set", total, 1), ("mixed", total, 1)]
                        measure_load(cluster, load, name, rows, options, report)
                if "observer" in what or nodes == 5:
                    measure_load(cluster, load, name, OBSERVER_LOADS, options, report)
            finally:
                cluster.stop()
            report.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
