"""What servers say of themselves: `srvr`, which every server answers, and `mntr`, if it may."""

import asyncio
import weakref
from dataclasses import dataclass
from typing import Final

from ensemble.client import ClientError, four_letter
from ensemble.client.hosts import parse_hosts
from tenants.zk import Bridge

WORD_TIMEOUT_S: Final = 2.0
FRESH_S: Final = 1.0  # so long an answer serves all pages
PATIENCE_S: Final = 0.3  # where there is an older answer, a page waits no longer for the next
KEPT_MAX: Final = 16  # lists of servers

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


class Rounds:
    """The last answers of each list of servers, on the bridge's loop.

    A server that hangs takes its time to be given up; the pages, which ask every few seconds, share
    one round of questions and take the last answers meanwhile. Otherwise a few open pages would
    hold all threads of the console, at the very moment when somebody looks at what is wrong.
    """

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, list[NodeHealth]]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def of(self, hosts: str) -> list[NodeHealth]:
        now_s = asyncio.get_running_loop().time()
        known = self._answers.get(hosts)
        if known is not None and now_s < known[0] + FRESH_S:
            return known[1]
        asking = self._asking.get(hosts)
        if asking is None:
            asking = self._asking[hosts] = asyncio.create_task(self._ask(hosts))
        await asyncio.wait([asking], timeout=None if known is None else PATIENCE_S)
        if asking.done():
            asking.result()
        known = self._answers.get(hosts, known)
        assert known is not None
        return known[1]

    async def _ask(self, hosts: str) -> None:
        try:
            servers, _ = parse_hosts(hosts)
            answers = await asyncio.gather(*(ask(host.name, host.port) for host in servers))
            self._answers.pop(hosts, None)
            self._answers[hosts] = (asyncio.get_running_loop().time(), answers)
            while len(self._answers) > KEPT_MAX:
                del self._answers[next(iter(self._answers))]
        finally:
            del self._asking[hosts]


_rounds: Final[weakref.WeakKeyDictionary[Bridge, Rounds]] = weakref.WeakKeyDictionary()


def ask_all(bridge: Bridge, hosts: str) -> list[NodeHealth]:
    """All servers of a connection string, asked at once, in its order. From a thread."""
    rounds = _rounds.setdefault(bridge, Rounds())
    future = asyncio.run_coroutine_threadsafe(rounds.of(hosts), bridge.loop)
    return future.result(WORD_TIMEOUT_S * 3)


def readable(value: str) -> str:
    """Large numbers in groups; a version without the day of its making."""
    return f"{int(value):,}" if value.isdigit() else value.split(", built on", 1)[0]
