"""What the nodes say of themselves, and the line in which people read it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ensemble.client.errors import ClientError
from ensemble.client.four_letter import four_letter
from ensemble.up.folder import NodeFiles
from ensemble.up.ports import HOST

ANSWER_WITHIN_S: Final = 1.0
ANSWER_BYTES_MAX: Final = 65_536
SERVING: Final = frozenset({"standalone", "leader", "follower", "observer"})
SILENT: Final = "silent"  # it does not answer
LOOKING: Final = "looking"  # it answers, and has no leader


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One answer to `srvr`; `clients` are connections besides the one that asked."""

    mode: str
    zxid: int = 0
    clients: int = 0

    @property
    def serves(self) -> bool:
        return self.mode in SERVING


async def look(nodes: Iterable[NodeFiles]) -> dict[int, NodeStatus]:
    """Ask all nodes at once; takes a second at most."""
    asked = list(nodes)
    answers = await asyncio.gather(*(look_at(node.client_port) for node in asked))
    return {node.sid: answer for node, answer in zip(asked, answers, strict=True)}


async def look_at(port: int) -> NodeStatus:
    try:
        text = await four_letter(
            HOST, port, "srvr", within=ANSWER_WITHIN_S, answer_bytes_max=ANSWER_BYTES_MAX
        )
    except ClientError:
        return NodeStatus(SILENT)
    return read_srvr(text)


def read_srvr(text: str) -> NodeStatus:
    """An answer to `srvr`, ours or Apache's."""
    said = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    try:
        zxid = int(said.get("Zxid", "0x0"), 16)
        clients = max(0, int(said.get("Connections", "1")) - 1)
    except ValueError:
        return NodeStatus(SILENT)
    return NodeStatus(said.get("Mode", LOOKING), zxid, clients)


def current_epoch(node: NodeFiles) -> int:
    """The epoch that a member has on its disk: its zxid tells it after the first write only."""
    try:
        return int(Path(node.data_dir, "version-2", "currentEpoch").read_text().strip())
    except (OSError, ValueError):
        return 0


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole ensemble. What is printed is compared without the zxid, which always moves."""

    leader: str
    epoch: int
    troubles: tuple[str, ...]
    serving: int
    nodes: int
    clients: int
    zxid: int

    def standing(self) -> tuple[str, int, tuple[str, ...], int, int]:
        """A change of this is news at once."""
        return self.leader, self.epoch, self.troubles, self.serving, self.nodes

    def line(self) -> str:
        parts = [f"{self.serving} of {self.nodes} nodes serve"]
        if self.leader:
            epoch = f", epoch {self.epoch}" if self.epoch else ""
            head = f"{self.leader}{epoch}, zxid {self.zxid:#x}"
        else:
            head = "no leader: writes wait"
        parts.append(f"{self.clients} client{'' if self.clients == 1 else 's'}")
        return "; ".join([head, *parts, *self.troubles])


def summarize(nodes: list[NodeFiles], found: dict[int, NodeStatus]) -> Summary:
    leader = ""
    epoch = 0
    troubles: list[str] = []
    for node in nodes:
        status = found.get(node.sid, NodeStatus(SILENT))
        if status.mode == "leader":
            leader, epoch = f"{node.name} leads", current_epoch(node)
        elif status.mode == "standalone":
            leader = f"{node.name} stands alone"
        elif status.mode == SILENT:
            troubles.append(f"{node.name} does not answer")
        elif not status.serves:
            troubles.append(f"{node.name} has no leader")
    known = [found[node.sid] for node in nodes if node.sid in found]
    return Summary(
        leader,
        epoch,
        tuple(troubles),
        sum(status.serves for status in known),
        len(nodes),
        sum(status.clients for status in known),
        max((status.zxid for status in known), default=0),
    )
