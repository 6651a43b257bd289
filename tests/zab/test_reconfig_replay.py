"""Captured from Apache ZooKeeper 3.9.3: a server joins, observes, votes, and its leader is removed.

Our peer stands in for server 4 of recordings 20 to 24: it gets what the others sent, in time, and
has to say what that server said. Source: zab.md 7.
"""

import json
from pathlib import Path

import pytest

from ensemble.server.membership import members_of
from ensemble.wire import peers
from ensemble.wire.peers import PacketBuffer
from ensemble.wire.txns import read_txn
from ensemble.zab.configuration import Configuration
from ensemble.zab.host import Proposal
from ensemble.zab.leader import Leader
from ensemble.zab.members import parse_members
from ensemble.zab.peer import Peer
from ensemble.zab.timing import Timing
from tests.zab.hosts import TIMING, FakeHost, FakeLink, ack_epoch, describe, info, packet

RECORDINGS = Path(__file__).parents[1] / "data" / "quorum"
NAMES = (
    "20-reconfig-join-as-non-voting-follower",
    "21-reconfig-add-observer",
    "22-reconfig-errors",
    "23-reconfig-promote-observer-to-voter",
    "24-reconfig-remove-leader",
    "25-reconfig-bulk-members",
)
SELF = 4
Unit = dict[str, str]


class Host(FakeHost):
    """Server 4's: transactions are read, a snapshot comes as one piece."""

    def check(self, proposal: Proposal) -> None:
        proposal.members = members_of(proposal.zxid, read_txn(proposal.payload))

    def take_snapshot(self, chunk: bytes) -> bytes | None:
        return b"" if chunk else None


class Stand:
    """Our peer in the place of server 4."""

    def __init__(self, first: bytes) -> None:
        self.host = Host()
        self.configuration = Configuration(parse_members(first), None, True)
        timing = Timing(tick_ms=1_000, init_limit=10, sync_limit=5, features=0)
        self.peer = Peer(self.host, SELF, self.configuration, timing, 0, 0)
        self.links: dict[str, FakeLink] = {}
        self.said: dict[str, list[str]] = {}
        self.theirs: dict[str, list[str]] = {}
        self.peer.start()

    def replay(self, name: str) -> None:
        for unit in json.loads((RECORDINGS / f"{name}.json").read_text()):
            here, there = unit["link"].split("->")
            if str(SELF) not in (here, there):
                continue
            self.pass_time()
            if unit["port"] == "election":
                if here != str(SELF) and unit["what"] == "NOTIFICATION":
                    self.peer.on_notification(int(here), bytes.fromhex(unit["hex"])[4:])
            elif here == str(SELF):
                self.hear(f"{name} {there}", unit)
            else:
                self.tell(f"{name} {here}", unit)

    def pass_time(self) -> None:
        """What the disk is done with, and what has waited for a moment."""
        if self.host.log:
            self.peer.on_logged(self.host.log[-1])
        self.peer.now_ms += 5
        self.peer.on_time()

    def hear(self, talk: str, unit: Unit) -> None:
        """Server 4 said something: so should ours."""
        if unit["what"] in ("FOLLOWERINFO", "OBSERVERINFO"):
            leader = talk.rpartition(" ")[2]
            assert f"connect {leader}" in self.host.read()
            link = self.links[talk] = FakeLink(len(self.links) + 1)
            self.peer.on_connected(link)
        if unit["what"] not in ("TCP-CLOSE", "PING", "OMITTED"):
            self.theirs.setdefault(talk, []).append(unit["hex"])

    def tell(self, talk: str, unit: Unit) -> None:
        link = self.links.get(talk) or self.link_before(talk)
        if link is None or unit["what"] in ("TCP-CLOSE", "OMITTED"):
            return
        self.peer.on_bytes(link, bytes.fromhex(unit["hex"]))
        if unit["what"] == "NEWLEADER" and "install snapshot" in self.host.diary:
            self.host.diary.remove("install snapshot")
            self.peer.on_snapshot_installed()
        self.pass_time()

    def link_before(self, talk: str) -> FakeLink | None:
        """A connection may have begun in the recording before."""
        leader = talk.rpartition(" ")[2]
        before = [known for known in self.links if known.rpartition(" ")[2] == leader]
        if not before:
            return None
        self.links[talk] = self.links[before[-1]]
        return self.links[talk]


def spoken(link: FakeLink) -> list[str]:
    """Everything but answers to PINGs, of which the recordings hold a few only."""
    buffer = PacketBuffer()
    buffer.feed(link.out.getvalue())
    found = []
    while (packet := buffer.next_packet()) is not None:
        if packet.type != peers.PING:
            found.append(describe(packet))
    return found


def written(units: list[str]) -> list[str]:
    link = FakeLink(0)
    for unit in units:
        link.out.write(bytes.fromhex(unit))
    return spoken(link)


def test_a_server_joins_is_promoted_and_goes_to_the_next_leader_as_apaches_does() -> None:
    units = json.loads((RECORDINGS / f"{NAMES[0]}.json").read_text())
    first = next(u for u in units if u["what"] == "NOTIFICATION" and u["link"].startswith("4->"))
    stand = Stand(first["fields"]["config"].encode())
    versions = []
    for name in NAMES:
        stand.replay(name)
        versions.append(f"{stand.configuration.members.version:x}")
    assert versions == [
        "100000000",
        "100000002",
        "100000002",
        "100000005",
        "100000007",
        "200000003",
    ]
    ours: list[str] = []
    for link in dict.fromkeys(stand.links.values()):
        ours += spoken(link)
    theirs = written([unit for units in stand.theirs.values() for unit in units])
    assert len(theirs) > 15
    assert sorted(ours) == sorted(theirs)
    infos = [unit for units in stand.theirs.values() for unit in units if unit[:8] == "0000000b"]
    sent = b"".join(link.out.getvalue() for link in stand.links.values())
    for unit in infos:
        assert bytes.fromhex(unit) in sent, "the version it goes by is in FOLLOWERINFO"


def units_of(number: int, what: str, link: str) -> list[bytes]:
    name = next(name for name in NAMES if name.startswith(str(number)))
    units = json.loads((RECORDINGS / f"{name}.json").read_text())
    return [bytes.fromhex(u["hex"]) for u in units if u["what"] == what and u["link"] == link]


def payload_of(unit: bytes) -> bytes:
    """A PROPOSAL's: behind type, zxid and length, before the authinfo."""
    return unit[16:-4]


@pytest.mark.parametrize(
    ("number", "told", "by", "before"),
    [
        (21, "COMMITANDACTIVATE", "3->4", peers.FOLLOWER_INFO),
        (23, "COMMITANDACTIVATE", "3->1", peers.OBSERVER_INFO),
        (23, "INFORMANDACTIVATE", "3->4", peers.OBSERVER_INFO),
        (24, "COMMITANDACTIVATE", "3->4", peers.FOLLOWER_INFO),
    ],
)
def test_a_reconfiguration_leaves_our_leader_as_it_left_apaches(
    number: int, told: str, by: str, before: int
) -> None:
    """Our leader stands in for server 3, and is asked for the captured transaction."""
    [proposed] = [u for u in units_of(number, "PROPOSAL", "3->1") if b"/zookeeper/config" in u]
    zxid = int.from_bytes(proposed[4:12], "big")
    text = units_of(number, "NEWLEADER", "3->4") if number != 24 else []
    old = parse_members(payload_of(text[-1])) if text else None
    first = b"".join(b"server.%d=127.0.0.1:2280%d:2281%d\n" % (n, n, n) for n in (1, 2, 3))
    members = parse_members(first + b"version=100000000")
    assert old is None or old.version == zxid
    host = Host([zxid - 1])
    leader = Leader(host, 3, Configuration(members, None, True), TIMING, 0, 0, zxid - 1, 0)
    links = {1: FakeLink(1), 2: FakeLink(2), 4: FakeLink(4)}
    for sid, link in links.items():
        leader.on_accepted(link, 0)
        leader.on_bytes(link, info(sid, 0, before if sid == 4 else peers.FOLLOWER_INFO), 0)
    for link in links.values():
        leader.on_bytes(link, ack_epoch(zxid - 1, 0), 0)
        leader.on_bytes(link, packet(peers.ACK, 1 << 32), 0)
    while leader.next_zxid() < zxid:
        leader.propose(Proposal(leader.next_zxid(), b""), 0)
    proposal = Proposal(zxid, payload_of(proposed))
    host.check(proposal)
    leader.propose(proposal, 0)
    leader.on_logged(zxid, 0)
    for sid in (1, 2, 4):
        leader.on_bytes(links[sid], packet(peers.ACK, zxid), 0)
    [activation] = units_of(number, told, by)
    assert activation in links[int(by[-1])].out.getvalue()
    assert proposed in links[1].out.getvalue()
