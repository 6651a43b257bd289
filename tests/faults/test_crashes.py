"""Crashes, pauses and stops of real processes under load (trust.md F1, F17, F19; I9, I11, I13)."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.client import Client, CreateMode
from tests.faults.workload import Writer, check_all
from tests.harness import Node, RawClient

WRITERS = 6
KILLS = 6


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def log_process(node: Node) -> int:
    """The process that writes the log: the first child."""
    assert node.process is not None
    return min(children_of(node.process.pid))


async def under_load(node: Node, hurt: Callable[[], object]) -> list[Writer]:
    """Run writers while `hurt` does its work in a thread; then check what they know."""
    writers = [Writer(number) for number in range(WRITERS)]
    stop = asyncio.Event()
    tasks = [asyncio.create_task(writer.run(node.address, stop)) for writer in writers]
    try:
        await asyncio.to_thread(hurt)
        await asyncio.sleep(0.5)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    await check_all(node.address, writers)
    return writers


async def test_I9_F1_what_is_acknowledged_survives_kill_9_under_load(node: Node) -> None:
    rng = random.Random(9)

    def hurt() -> None:
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.1, 0.6))
            node.kill9()
            node.start()

    writers = await under_load(node, hurt)
    assert sum(writer.acked for writer in writers) > 200, "there was hardly any load"
    assert all(writer.lost >= 1 for writer in writers)
    for writer in writers:
        assert len(writer.sessions) == 1, "I11: sessions outlive their server"


async def test_I13_ephemerals_stay_with_their_sessions_and_go_with_them(node: Node) -> None:
    left = RawClient(node.port)
    left.connect(timeout_ms=4_000)
    async with Client(node.address, timeout=30.0) as keeper:
        await keeper.create("/kept", b"", mode=CreateMode.EPHEMERAL)
        gone = Client(node.address, timeout=4.0)
        await gone.connect()
        await gone.create("/gone", b"", mode=CreateMode.EPHEMERAL)
        session, password = gone.session_id, gone.session_password
        node.kill9()
        left.close()
        await asyncio.to_thread(node.start)
        await gone.close()  # without a connection it may not reach the server: it expires then
        deadline = time.monotonic() + 20
        while await keeper.exists("/gone") is not None:
            assert time.monotonic() < deadline, "its session is long over"
            await asyncio.sleep(0.1)
        assert await keeper.exists("/kept") is not None
    again = RawClient(node.port)
    assert not again.connect(session_id=session, password=password)
    again.close()


async def test_F19_sigterm_under_load_ends_cleanly_and_loses_nothing(node: Node) -> None:
    def hurt() -> None:
        for _ in range(3):
            time.sleep(0.4)
            assert node.stop() == 0
            node.start()

    writers = await under_load(node, hurt)
    assert all(len(writer.sessions) == 1 for writer in writers)


async def test_I9_when_the_log_process_dies_nothing_more_is_acknowledged(node: Node) -> None:
    async with Client(node.address) as client:
        await client.create("/a", b"before")
        assert node.process is not None
        process = node.process
        os.kill(log_process(node), signal.SIGKILL)
        status = await asyncio.to_thread(process.wait, 15)
    assert status != 0
    assert "the log's process ended" in node.log()
    node.start()
    async with Client(node.address) as client:
        assert (await client.get("/a"))[0] == b"before"


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


async def test_F17_a_paused_server_does_not_expire_who_comes_back_in_time(node: Node) -> None:
    async with Client(node.address, timeout=30.0) as client:
        await client.create("/e", b"", mode=CreateMode.EPHEMERAL)
        session = client.session_id
        assert node.process is not None
        node.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(2.0)
        node.process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 20
        while True:
            try:
                assert await client.exists("/e") is not None
                break
            except Exception:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        assert client.session_id == session


def test_two_servers_do_not_work_on_one_folder(node: Node, start_node: Callable[..., Node]) -> None:
    second = start_node({"dataDir": node.folder / "data"}, name="second", wait=False)
    assert second.process is not None
    assert second.process.wait(30) == 10
    assert "another server is running" in second.log()
    assert b"Mode: standalone" in node.word("srvr")


@pytest.mark.parametrize("turn", range(3))
async def test_sessions_of_a_killed_server_are_taken_up_with_their_passwords(
    turn: int, node: Node
) -> None:
    first = RawClient(node.port)
    assert first.connect(timeout_ms=20_000)
    node.kill9()
    node.start()
    again = RawClient(node.port)
    assert again.connect(session_id=first.session_id, password=first.password)
    assert again.session_id == first.session_id
    thief = RawClient(node.port)
    assert not thief.connect(session_id=first.session_id, password=bytes(16)), "guessed"
    for client in (first, again, thief):
        client.close()
