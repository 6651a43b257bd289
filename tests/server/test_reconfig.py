"""Members that change while they serve: real processes, clients that write all the time.

Source: zab.md 7, client.md 11; trust.md A16, A17, F20. The many orders in which things can go wrong
are tried in simulation (`tests/sim/reconfigured.py`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from ensemble.client import (
    BadArgumentsError,
    BadVersionError,
    Client,
    ClientError,
    ConnectionLossError,
    NoAuthError,
    WatchEvent,
)
from ensemble.client.errors import MarshallingFailedError, NewConfigNoQuorumError
from tests.ensembles import Ensemble, Member, free_ports
from tests.server.starting import until
from tests.subject import subject

SUPER = "super:lK75jTNcA+U9vtVEw5vB51mj/w4="  # super:secret
SETTINGS: dict[str, object] = {
    "tickTime": 1_000,
    "reconfigEnabled": "true",
    "standaloneEnabled": "false",
}
CONFIG = "/zookeeper/config"
ROUNDS_MAX = 2_000


class Members(Ensemble):
    """An ensemble whose configuration files belong to the servers once they have started."""

    def add_new(self, is_observer: bool = False) -> Member:
        """One more, started: it knows the others, they do not know it yet."""
        member = self.add(next(iter(self.members.values())).software, is_observer)
        self.start(member.sid)
        return member

    def start(self, *sids: int) -> "Members":
        for sid in sids or self.members:
            member = self.members[sid]
            written = member.folder / "zoo.cfg"
            if written.exists():
                member.keep_config = True
            member.start(self.all)
        return self

    def modes(self) -> dict[int, str]:
        return {member.sid: member.mode() for member in self.running}

    def settled(self) -> Member:
        """Everybody serves, and one leads."""

        def all_serve() -> bool:
            modes = list(self.modes().values())
            return all(modes) and modes.count("leader") == 1

        until(all_serve)
        leader = self.leader()
        assert leader is not None
        return leader


async def until_it(condition: Callable[[], bool]) -> None:
    """Wait beside the clients, which go on."""
    await asyncio.to_thread(until, condition)


def line(member: Member, role: str = "participant", client_port: int = 0) -> str:
    return (
        f"server.{member.sid}=127.0.0.1:{member.quorum_port}:{member.election_port}:{role}"
        f";127.0.0.1:{client_port or member.client_port}"
    )


@pytest.fixture
def ensemble(tmp_path: Path) -> Iterator[Members]:
    software = subject(f"-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER}")
    with Members(tmp_path, [software] * 3, SETTINGS) as members:
        members.start()
        members.wait_serving()
        yield members


@contextlib.asynccontextmanager
async def operator(*members: Member) -> AsyncIterator[Client]:
    address = ",".join(member.address for member in members)
    async with Client(address, timeout=10.0) as client:
        await client.add_auth("digest", b"super:secret")
        yield client


async def shown(member: Member) -> str:
    """What this server says that the configuration is."""
    async with Client(member.address, timeout=10.0) as client:
        data, stat = await client.get(CONFIG)
        text = data.decode()
        assert stat.version == -1
        assert text.endswith(f"version={stat.mzxid:x}")
        return text


async def all_show(ensemble: Members, text: str) -> None:
    """A17: every server goes by the same configuration."""
    for member in ensemble.running:
        for _ in range(ROUNDS_MAX):
            if (found := await shown(member)) == text:
                break
            await asyncio.sleep(0.02)
        else:
            raise AssertionError(f"server {member.sid} shows {found}, not {text}")


async def changed(client: Client, joining: str | None = None, leaving: str | None = None) -> str:
    """A reconfiguration that has to succeed; an answer may be lost with the connection."""
    try:
        data, _ = await client.reconfig(joining=joining, leaving=leaving)
    except ConnectionLossError:
        data = b""
    for _ in range(ROUNDS_MAX):
        if data:
            break
        await asyncio.sleep(0.02)
        with contextlib.suppress(ConnectionLossError):
            data, _ = await client.config()
    return data.decode()


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
