"""What the tests of changing members share: an ensemble that keeps its files, an operator."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from ensemble.client import Client, ConnectionLossError
from tests.ensembles import Ensemble, Member
from tests.server.starting import until

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
