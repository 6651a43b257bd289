"""Crashes, pauses and stops of real processes under load (trust.md F1, F17, F19; I9, I11, I13)."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from ensemble.client import Client, CreateMode
from tests.faults.workload import kill_log_process, log_process, under_load
from tests.harness import Node, RawClient

EXIT_STORAGE = 10
KILLS = 6


@pytest.mark.parametrize("victim", ["server", "log process", "both"])
async def test_I9_F1_what_is_acknowledged_survives_kill_9_under_load(
    victim: str, node: Node
) -> None:
    rng = random.Random(9)

    def hurt() -> None:
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.1, 0.6))
            if victim == "log process":
                assert kill_log_process(node) == EXIT_STORAGE, node.log()
            elif victim == "both":
                os.kill(log_process(node), signal.SIGKILL)
            node.kill9()
            node.start()

    writers = await under_load(node, hurt)
    assert sum(writer.acked for writer in writers) > 200, "there was hardly any load"
    assert all(writer.lost >= 1 for writer in writers)


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

    await under_load(node, hurt)


async def test_I9_when_the_log_process_dies_nothing_more_is_acknowledged(node: Node) -> None:
    async with Client(node.address) as client:
        await client.create("/a", b"before")
        assert await asyncio.to_thread(kill_log_process, node) == EXIT_STORAGE
    assert "the log's process ended" in node.log()
    node.start()
    async with Client(node.address) as client:
        assert (await client.get("/a"))[0] == b"before"


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
