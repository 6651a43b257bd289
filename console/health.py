"""What servers say of themselves: `srvr`, which every server answers, and `mntr`, if it may."""

import asyncio
from dataclasses import dataclass
from typing import Final

from console.zk import Bridge
from ensemble.client import ClientError, four_letter
from ensemble.client.hosts import parse_hosts

WORD_TIMEOUT_S: Final = 2.0

# What `srvr` says; a server answers it whatever its whitelist is. `mntr` knows more.
FROM_SRVR: Final = {
    "Mode": "zk_server_state",
    "Zxid": "Zxid",
    "Outstanding": "zk_outstanding_requests",
    "Connections": "zk_num_alive_connections",
    "Node count": "zk_znode_count",
    "Zookeeper version": "zk_version",
}


@dataclass(frozen=True)
class NodeHealth:
    """What a server says of itself; `problem` where it does not say anything."""

    host: str
    problem: str
    numbers: dict[str, str]

    @property
    def mode(self) -> str:
        return self.numbers.get("zk_server_state", "")

    @property
    def clients(self) -> str:
        """Connections besides the one that has asked."""
        count = self.numbers.get("zk_num_alive_connections", "")
        return f"{max(0, int(count) - 1):,}" if count.isdigit() else ""


async def ask(host: str, port: int) -> NodeHealth:
    """What one server says of itself, as name and value."""
    name = f"{host}:{port}"
    try:  # one after the other: so there is one connection of ours among those it counts
        srvr = await four_letter(host, port, "srvr", within=WORD_TIMEOUT_S)
        mntr = await four_letter(host, port, "mntr", within=WORD_TIMEOUT_S)
    except ClientError as error:
        return NodeHealth(name, f"does not answer: {error}", {})
    numbers = {}
    for line in srvr.splitlines():
        key, _, value = line.partition(": ")
        if key in FROM_SRVR:
            numbers[FROM_SRVR[key]] = value
        elif key == "Latency min/avg/max" and value.count("/") == 2:
            _, numbers["zk_avg_latency"], numbers["zk_max_latency"] = value.split("/")
    if "zk_server_state" not in numbers:
        return NodeHealth(name, srvr.strip()[:200] or "an empty answer to srvr", {})
    numbers |= dict(line.split("\t", 1) for line in mntr.splitlines() if "\t" in line)
    return NodeHealth(name, "", numbers)


async def _ask_all(hosts: str) -> list[NodeHealth]:
    servers, _ = parse_hosts(hosts)
    return list(await asyncio.gather(*(ask(server.name, server.port) for server in servers)))


def ask_all(bridge: Bridge, hosts: str) -> list[NodeHealth]:
    """All servers of a connection string, asked at once, in its order. From a thread."""
    future = asyncio.run_coroutine_threadsafe(_ask_all(hosts), bridge.loop)
    return future.result(WORD_TIMEOUT_S * 3)


def readable(value: str) -> str:
    """Large numbers in groups; a version without the day of its making."""
    return f"{int(value):,}" if value.isdigit() else value.split(", built on", 1)[0]
