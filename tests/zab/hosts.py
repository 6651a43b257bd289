"""A host for Zab's state machines that keeps a diary: what was asked of it, in which order."""

from librt.strings import BytesWriter

from ensemble.wire import peers
from ensemble.wire.peers import (
    LearnerInfo,
    Packet,
    PacketBuffer,
    encode_learner_info,
    write_packet,
)
from ensemble.wire.records import Id
from ensemble.zab.host import Host, Link, Proposal
from ensemble.zab.members import Members, parse_members
from ensemble.zab.timing import Timing

TIMING = Timing(tick_ms=1_000, init_limit=10, sync_limit=5)


def members(count: int = 3, observers: tuple[int, ...] = (), extra: str = "") -> Members:
    """Servers 1 to `count` vote, `observers` do not."""
    lines = [f"server.{n}=h{n}:1:2:participant" for n in range(1, count + 1)]
    lines += [f"server.{n}=h{n}:1:2:observer" for n in observers]
    return parse_members("\n".join([*lines, *extra.split(), "version=0"]).encode())


def zxid(epoch: int, counter: int) -> int:
    return epoch << 32 | counter


class FakeLink(Link):
    """Keeps what was written; `take` gives it as packets."""

    def __init__(self, id: int) -> None:
        super().__init__(id)
        self.closed = ""
        self.sealed_from = -1  # of `out`: the tests read what lies behind in the open

    def seal(self) -> None:
        self.sealed_from = len(self.out)

    def close(self, reason: str) -> None:
        self.closed = reason

    def take(self) -> list[Packet]:
        buffer = PacketBuffer()
        buffer.feed(self.out.getvalue())
        self.out.truncate(0)
        packets = []
        while (packet := buffer.next_packet()) is not None:
            packets.append(packet)
        assert buffer.pending() == 0
        return packets

    def said(self) -> list[str]:
        return [describe(packet) for packet in self.take()]


def describe(packet: Packet) -> str:
    if packet.zxid == -1:
        return peers.name_of(packet.type)
    return f"{peers.name_of(packet.type)} {packet.zxid >> 32}:{packet.zxid & 0xFFFFFFFF}"


def packet(type: int, zxid: int, data: bytes | None = None) -> bytes:
    out = BytesWriter()
    write_packet(out, type, zxid, data)
    return out.getvalue()


def info(sid: int, accepted: int, type: int = peers.FOLLOWER_INFO, features: int = 0) -> bytes:
    info = LearnerInfo(sid, peers.PROTOCOL_VERSION, 0, features)
    return packet(type, accepted << 32, encode_learner_info(info, accepted << 32))


def ack_epoch(last: int, epoch: int) -> bytes:
    return packet(peers.ACK_EPOCH, last, (epoch & 0xFFFFFFFF).to_bytes(4, "big"))


class FakeHost(Host):
    """`diary` has one line for each call that matters; `log` what is on the disk."""

    def __init__(self, history: list[int] | None = None) -> None:
        self.diary: list[str] = []
        self.tree: list[int] = list(history or [])
        self.log: list[int] = list(history or [])
        self.recent_from = 0
        self.disk_history: list[int] | None = None
        self.can_truncate = True
        self.idle = True
        self.alive = {7}
        self.stream_rest: bytes | None = None

    def note(self, what: str) -> None:
        self.diary.append(what)

    def read(self) -> list[str]:
        diary = self.diary
        self.diary = []
        return diary

    def send_notification(self, sid: int, frame: bytes) -> None: ...

    def connect(self, sid: int) -> None:
        self.note(f"connect {sid}")

    def listen(self) -> None:
        self.note("listen")

    def stop_listening(self) -> None:
        self.note("stop listening")

    def save_accepted_epoch(self, epoch: int) -> None:
        self.note(f"acceptedEpoch {epoch}")

    def save_current_epoch(self, epoch: int) -> None:
        self.note(f"currentEpoch {epoch}")

    def append(self, zxid: int, payload: bytes) -> None:
        self.note(f"append {zxid >> 32}:{zxid & 0xFFFFFFFF}")
        self.log.append(zxid)

    def log_is_idle(self) -> bool:
        return self.idle

    def truncate(self, zxid: int, reload: bool) -> bool:
        self.note(f"truncate {zxid >> 32}:{zxid & 0xFFFFFFFF}{' and reload' if reload else ''}")
        if self.can_truncate:
            self.log = [each for each in self.log if each <= zxid]
            self.tree = [each for each in self.tree if each <= zxid]
        return self.can_truncate

    def begin_snapshot(self, zxid: int) -> None:
        self.note(f"snapshot begins {zxid >> 32}:{zxid & 0xFFFFFFFF}")
        self.tree = [zxid]

    def take_snapshot(self, chunk: bytes) -> bytes | None:
        end = chunk.find(b"END")
        return None if end < 0 else chunk[end + 3 :]

    def install_snapshot(self) -> None:
        self.note("install snapshot")

    def reload(self) -> None:
        self.note("reload")
        self.tree = list(self.log)

    def check(self, proposal: Proposal) -> None: ...

    def apply(self, proposal: Proposal) -> None:
        self.note(f"apply {proposal.zxid >> 32}:{proposal.zxid & 0xFFFFFFFF}")
        self.tree.append(proposal.zxid)

    def commit(self, proposal: Proposal) -> None:
        self.note(f"commit {proposal.zxid >> 32}:{proposal.zxid & 0xFFFFFFFF}")
        self.tree.append(proposal.zxid)

    def last_zxid(self) -> int:
        return self.tree[-1] if self.tree else 0

    def recent(self) -> list[Proposal]:
        return [Proposal(each, b"%d" % each) for each in self.tree if each >= self.recent_from]

    def read_log(self, after: int, up_to: int) -> list[Proposal] | None:
        if self.disk_history is None or after not in self.disk_history:
            return None
        return [Proposal(each, b"") for each in self.disk_history if after < each <= up_to]

    def send_snapshot(self, link: Link) -> None:
        self.note(f"send snapshot to {link.id}")

    def begin_serving(self, state: int, epoch: int) -> None:
        self.note(f"serve {peers.STATE_NAMES[state]} {epoch}")

    def stop_serving(self, reason: str) -> None:
        self.note("stop serving")

    def on_request(self, sid: int, data: bytes, ids: list[Id] | None) -> None:
        self.note(f"request of {sid}")

    def on_revalidate(self, sid: int, session_id: int, timeout_ms: int) -> bool:
        return session_id in self.alive

    def on_revalidated(self, session_id: int, valid: bool) -> None:
        self.note(f"session {session_id} {'lives' if valid else 'is over'}")

    def on_touches(self, data: bytes) -> None:
        self.note(f"{len(data) // 12} touches")

    def take_touches(self) -> bytes:
        return bytes(12)

    def on_synced(self, session_id: int) -> None:
        self.note("synced")

    def propose_members(self, members: Members | None) -> None:
        self.note("propose nothing" if members is None else f"propose members {members.version:x}")

    def use_members(self, members: Members) -> None:
        self.note(f"use members {members.version:x}")

    def report(self, text: str) -> None: ...
