"""Members that change while they serve: real processes, clients that write all the time.

Source: zab.md 7, client.md 11; trust.md A16, A17, F20. The many orders in which things can go wrong
are tried in simulation (`tests/sim/reconfigured.py`).
"""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.client import (
    BadArgumentsError,
    BadVersionError,
    Client,
    ClientError,
    NoAuthError,
    WatchEvent,
)
from ensemble.client.errors import MarshallingFailedError, NewConfigNoQuorumError
from tests.ensembles import Member
from tests.ports import free_ports
from tests.server.reconfig_steps import (
    CONFIG,
    ROUNDS_MAX,
    SETTINGS,
    SUPER,
    Members,
    all_show,
    changed,
    line,
    operator,
    shown,
    until_it,
)
from tests.subject import subject


@pytest.fixture
def ensemble(tmp_path: Path) -> Iterator[Members]:
    software = subject(f"-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER}")
    with Members(tmp_path, [software] * 3, SETTINGS) as members:
        members.start()
        members.wait_serving()
        yield members


class Load:
    """Writes one after the other, through whichever server; what was acknowledged has to stay."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.acknowledged: list[int] = []
        self.stopped = False

    async def run(self) -> None:
        for number in range(ROUNDS_MAX):
            if self.stopped:
                return
            with contextlib.suppress(ClientError):
                await self.client.create(f"/load/{number}", b"%d" % number)
                self.acknowledged.append(number)

    async def check(self, member: Member) -> None:
        async with Client(member.address, timeout=10.0) as client:
            await client.sync("/")
            there = {int(name) for name in await client.children("/load")}
        missing = set(self.acknowledged) - there
        assert not missing, f"acknowledged and lost at server {member.sid}: {sorted(missing)}"
        assert len(self.acknowledged) > 20


async def grow_shrink_and_move(ensemble: Members) -> None:
    three = ensemble.all
    async with operator(*three) as client, Client(ensemble.address, timeout=10.0) as writer:
        await client.create("/load", b"")
        load = Load(writer)
        writing = asyncio.create_task(load.run())
        fourth = ensemble.add_new(is_observer=True)
        await until_it(lambda: fourth.mode() in ("follower", "observer"))
        text = await changed(client, joining=line(fourth, "observer"))
        assert f"server.4=127.0.0.1:{fourth.quorum_port}" in text
        await until_it(lambda: fourth.mode() == "observer")
        text = await changed(client, joining=line(fourth))
        await until_it(lambda: fourth.mode() == "follower")
        leader = await asyncio.to_thread(ensemble.settled)
        text = await changed(client, leaving=str(leader.sid))
        assert f"server.{leader.sid}=" not in text
        assert await asyncio.to_thread(ensemble.settled) is not leader
        assert leader.mode() == "follower", "removed, and still a learner"
        await all_show(ensemble, text)
        text = await changed(client, joining=line(leader))
        assert f"server.{leader.sid}=" in text
        await all_show(ensemble, text)
        load.stopped = True
        await writing
        for member in ensemble.all:
            await load.check(member)


def test_members_come_and_go_under_load_and_nothing_acknowledged_is_lost(
    ensemble: Members,
) -> None:
    """F20: an observer joins and gets a vote, the leader is removed and comes back."""
    asyncio.run(asyncio.wait_for(grow_shrink_and_move(ensemble), 120.0))


async def watch_and_restart(ensemble: Members) -> None:
    async with operator(*ensemble.all) as client:
        seen: asyncio.Queue[WatchEvent] = asyncio.Queue()
        await client.get(CONFIG, watch=seen.put_nowait)
        fourth = ensemble.add_new(is_observer=True)
        await until_it(lambda: fourth.mode() == "follower")
        text = await changed(client, joining=line(fourth))
        assert (await asyncio.wait_for(seen.get(), 10.0)).path == CONFIG
    # Killed, all of them: the files beside zoo.cfg say who they are.
    ensemble.kill()
    ensemble.start()
    ensemble.settled()
    for member in ensemble.all:
        assert await shown(member) == text
        config = (member.folder / "zoo.cfg").read_text()
        assert "server.1" not in config
        assert "dynamicConfigFile=" in config
        assert "server.1" in (member.folder / "zoo.cfg.bak").read_text()


def test_a_watch_tells_of_it_and_a_restart_finds_the_new_members(ensemble: Members) -> None:
    """A17: the configuration is part of the replicated state."""
    asyncio.run(asyncio.wait_for(watch_and_restart(ensemble), 120.0))


async def move_a_client_port(ensemble: Members) -> None:
    leader = ensemble.settled()
    moving = next(member for member in ensemble.all if member is not leader)
    old = moving.address
    [port] = free_ports(1)
    async with operator(leader) as client, Client(old, timeout=10.0) as there:
        text = await changed(client, joining=line(moving, client_port=port))
        moving.client_port = port
        await until_it(lambda: moving.mode() == "follower")
        await there.create("/still-connected", b"")
        await all_show(ensemble, text)
        with pytest.raises((ClientError, TimeoutError, OSError)):
            async with asyncio.timeout(2.0), Client(old, timeout=10.0):
                raise AssertionError("the old port is still open")


def test_a_servers_client_port_moves_with_its_line_and_connections_stay(ensemble: Members) -> None:
    asyncio.run(asyncio.wait_for(move_a_client_port(ensemble), 120.0))


async def refusals(ensemble: Members) -> None:
    one = ensemble[1]
    async with Client(ensemble.address, timeout=10.0) as stranger:
        with pytest.raises(NoAuthError):
            await stranger.reconfig(leaving="3")
    async with operator(*ensemble.all) as client:
        before = await client.get(CONFIG)
        version = before[1].mzxid
        with pytest.raises(BadArgumentsError):
            await client.reconfig(joining="junk")
        with pytest.raises(BadArgumentsError):
            await client.reconfig(joining="server.4=127.0.0.1:1:2")
        with pytest.raises(MarshallingFailedError):
            await client.reconfig(leaving="x")
        with pytest.raises(BadVersionError):
            await client.reconfig(leaving="1", config_version=12_345)
        with pytest.raises(BadArgumentsError):
            await client.reconfig(members="garbage")
        with pytest.raises(BadArgumentsError):
            await client.reconfig(leaving="1,2,3")
        far = ",".join(f"server.{n}=127.0.0.1:{n}:{n + 10};{n + 20}" for n in (7, 8))
        with pytest.raises(NewConfigNoQuorumError):
            await client.reconfig(members=f"{line(one)},{far}")
        assert await client.get(CONFIG) == before
        data, stat = await client.reconfig(config_version=version)
        assert stat.mzxid > version, "nothing asked for: the same members, a new version"
        assert data.endswith(b"version=%x" % stat.mzxid)


def test_what_cannot_be_is_refused_as_apaches_server_does(ensemble: Members) -> None:
    """client.md 11, [31] of the captures."""
    asyncio.run(asyncio.wait_for(refusals(ensemble), 60.0))
