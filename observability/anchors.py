"""Whether what was collected is what the ensemble has confirmed: journals against their anchors.

Each node commits the head of its journal to `/zookeeper/audit/<id>` from time to time. A single
server cannot change that; so a line that was collected with another hash, or a journal that ends
before its anchor, was written anew, or its node shows collectors another one than it wrote.
"""

import json
from dataclasses import dataclass
from typing import Final

from django.db import transaction

from ensemble.client import Client
from observability.models import Segment, Trail
from observability.store import ALIAS, add_problem, fence, now

FOLDER: Final = "/zookeeper/audit"
NODES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a quorum has confirmed of a node's journal."""

    node_id: int
    segment: int
    seq: int
    hash: str


async def read_anchors(client: Client) -> list[Anchor]:
    """All that are in the tree; none where no journal was ever anchored."""
    if await client.exists(FOLDER) is None:
        return []
    found = []
    for name in sorted(await client.children(FOLDER))[:NODES_MAX]:
        data, _ = await client.get(f"{FOLDER}/{name}")
        try:
            fields = json.loads(data)
            head = (int(name), int(fields["segment"]), int(fields["seq"]), str(fields["hash"]))
            found.append(Anchor(*head))
        except (ValueError, KeyError, TypeError):
            continue  # its own server says so in its log
    return found


def check(term: int, ensemble: str, node: str, anchor: Anchor) -> str:
    """Compare with what was collected of the node; what is wrong, or empty.

    Not collected yet, or not any more: nothing is said.
    """
    with transaction.atomic(using=ALIAS):
        fence(term)
        newest = Segment.objects.filter(ensemble=ensemble, node=node).order_by("-chain").first()
        if newest is None:
            return ""
        chain = newest.chain
        lines = Trail.objects.filter(
            ensemble=ensemble, node=node, chain=chain, seq=anchor.seq, origin=Trail.Origin.NODE
        )
        line = lines.exclude(hash="").first()
        if line is None:
            return ""
        if line.hash != anchor.hash:
            why = (
                f"line {anchor.seq} was collected with another hash than the one that was "
                f"committed to {FOLDER}/{anchor.node_id}: a fork"
            )
            add_problem((ensemble, node), chain, anchor.seq, why)
            return why
        Segment.objects.filter(
            ensemble=ensemble, node=node, chain=chain, first_seq__lte=anchor.seq
        ).exclude(last_seq__lt=anchor.seq).update(anchor_seq=anchor.seq, anchor_checked_at=now())
    return ""
