"""Servers that stand still, and clocks that jump (trust.md F16, F17, I13).

What was not heard while the server stood still is not held against its clients: their pings wait in
the sockets' buffers. Apache's server expires all sessions then; ours goes on where it stopped.
"""

import asyncio
import os
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ensemble.client import Client, CreateMode
from tests.faults.workload import log_process, under_load
from tests.harness import Node, RawClient, create_body, text
from tests.needs import need

QUICK: dict[str, object] = {"tickTime": 500, "minSessionTimeout": 1_000}
PING = struct.pack(">ii", -2, 11)
EPHEMERAL = 1
HOUR_S = 3_600
CLOCK_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The wall clock, and with it everything that Python asks of it, plus the seconds in a file. */
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, at);
    const char *path = getenv("CLOCK_OFFSET_FILE");
    if (id == CLOCK_REALTIME && path != NULL) {
        FILE *file = fopen(path, "r");
        long offset = 0;
        if (file != NULL) {
            if (fscanf(file, "%ld", &offset) == 1) at->tv_sec += offset;
            fclose(file);
        }
    }
    return status;
}
"""


async def test_F17_a_paused_log_process_delays_writes_and_not_reads(node: Node) -> None:
    async with Client(node.address) as client, Client(node.address) as reader:
        await client.create("/a", b"0")
        pid = log_process(node)
        os.kill(pid, signal.SIGSTOP)
        try:
            write = client.set("/a", b"1")
            for _ in range(5):
                await asyncio.sleep(0.1)
                assert (await asyncio.wait_for(reader.get("/a"), 5))[0] == b"0"
            assert not write.done(), "not on the disk, so not acknowledged"
        finally:
            os.kill(pid, signal.SIGCONT)
        assert (await asyncio.wait_for(write, 10)).version == 1


async def test_F17_pauses_under_load_lose_nothing(node: Node) -> None:
    def hurt() -> None:
        assert node.process is not None
        for pid in (node.process.pid, log_process(node)):
            time.sleep(0.3)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(1.5)
            os.kill(pid, signal.SIGCONT)

    writers = await under_load(node, hurt)
    assert sum(writer.acked for writer in writers) > 200, "there was hardly any load"


def test_I9_F17_the_folder_is_free_only_when_a_paused_log_process_has_ended(node: Node) -> None:
    """The server is killed while its log process is paused: a successor waits for that one."""
    client = RawClient(node.port)
    client.connect()
    client.request(1, 1, create_body("/kept", b"x"))
    assert client.reply()[2] == 0
    pid = log_process(node)
    os.kill(pid, signal.SIGSTOP)
    try:
        client.request(2, 1, create_body("/unknown", b"x"))
        node.kill9()
        node.start(wait=False)
        time.sleep(1.0)
        assert "recovered" not in node.log().rpartition("client port")[2], "the folder is in use"
    finally:
        os.kill(pid, signal.SIGCONT)
    node.wait_ready()
    again = RawClient(node.port)
    assert again.connect(session_id=client.session_id, password=client.password)
    again.request(1, 4, text("/kept") + b"\0")
    assert again.reply()[2] == 0
    for each in (client, again):
        each.close()


def test_I13_F17_a_pause_longer_than_all_timeouts_expires_nobody_who_pinged(
    start_node: Callable[..., Node],
) -> None:
    node = start_node(QUICK)
    present, gone = [RawClient(node.port) for _ in range(30)], RawClient(node.port)
    for number, client in enumerate([*present, gone]):
        assert client.connect(timeout_ms=2_000)
        client.request(1, 1, create_body(f"/e{number}", flags=EPHEMERAL))
        assert client.reply()[2] == 0
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(10):
            time.sleep(0.5)
            for client in present:
                client.send(PING)
    finally:
        node.process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 10
    while True:
        for client in present:
            client.request(7, 3, text("/e30") + b"\0")
            while (reply := client.reply())[0] != 7:
                assert reply[0] == -2
        if reply[2] == -101:
            break
        assert time.monotonic() < deadline, "who did not ping expires after the pause"
        time.sleep(0.1)
    present[0].request(8, 8, text("/") + b"\0")
    assert struct.unpack_from(">i", present[0].reply()[3])[0] == len(present) + 1
    assert "this server stood still for" in node.log()
    for client in [*present, gone]:
        client.close()


def wall_clock(folder: Path) -> tuple[list[str], Path]:
    """A wrapper whose wall clock is off by the seconds in a file, and that file."""
    need("cc")
    source, library, offset = folder / "clock.c", folder / "clock.so", folder / "offset"
    source.write_text(CLOCK_SOURCE)
    command = ["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    offset.write_text("0")
    return ["env", f"LD_PRELOAD={library}", f"CLOCK_OFFSET_FILE={offset}"], offset


async def test_I13_F16_a_wall_clock_that_jumps_expires_nobody(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    wrapper, offset = wall_clock(tmp_path)
    node = start_node(QUICK, wrapper=wrapper)
    async with Client(node.address, timeout=4.0) as client:
        await client.create("/e", b"", mode=CreateMode.EPHEMERAL)
        session = client.session_id
        times = []
        for seconds in (0, HOUR_S, -HOUR_S, 0):
            offset.write_text(str(seconds))
            stat = await client.set("/e", b"x")
            times.append((stat.mtime - time.time() * 1_000) / 1_000)
            await asyncio.sleep(1.0)
            assert await client.exists("/e") is not None
        assert [round(seconds / HOUR_S) for seconds in times] == [0, 1, -1, 0], "it did jump"
        assert client.session_id == session
        offset.write_text(str(-HOUR_S))
        node.kill9()
        await asyncio.to_thread(node.start)
        kept = await asyncio.wait_for(client.set("/e", b"y"), 10)
        assert kept.version == len(times) + 1, "I11: also when a server starts in its own past"
        assert client.session_id == session
