"""What a leader knows of each learner, and of the syncs that learners have asked for."""

from typing import Final, final

from mypy_extensions import i64

from ensemble.wire import peers
from ensemble.wire.peers import PacketBuffer, write_packet
from ensemble.wire.sealing import Unsealer
from ensemble.zab.host import Link, Proposal
from ensemble.zab.timing import Timing

# Where a learner's connection is
CONNECTED: Final = 0  # its FOLLOWERINFO is awaited
INTRODUCED: Final = 1  # LEADERINFO goes out once the epoch is fixed; then its ACKEPOCH is awaited
PROMISED: Final = 2  # waits until the epoch is established
SYNCING: Final = 3  # has the history on its way; its ACK of NEWLEADER is awaited
FOLLOWING: Final = 4


@final
class LearnerLink:
    """One learner as its leader sees it."""

    __slots__ = (
        "ack_due_ms",
        "acked",
        "epoch",
        "features",
        "heard_ms",
        "is_observer",
        "last_zxid",
        "link",
        "packets",
        "pings_answered",
        "pings_sent",
        "sent",
        "sid",
        "stage",
        "unsealer",
    )

    def __init__(self, link: Link, data_bytes_max: int, now_ms: i64) -> None:
        self.link: Final = link
        self.packets: Final = PacketBuffer(data_bytes_max)
        self.unsealer: Unsealer | None = None
        self.stage: i64 = CONNECTED
        self.sid: i64 = -1
        self.is_observer = False
        self.features: i64 = 0
        self.epoch: i64 = 0  # its currentEpoch, -1: it had promised this epoch before
        self.last_zxid: i64 = 0
        self.heard_ms: i64 = now_ms
        self.sent: i64 = 0  # the last proposal that was sent to it
        self.acked: i64 = 0
        self.ack_due_ms: i64 = 0  # by when its next ack must have come; 0: none is due
        self.pings_sent: i64 = 0
        self.pings_answered: i64 = 0

    def feed(self, data: bytes) -> None:
        """Bytes that it has sent.

        Raises:
            ProtocolError: they were changed on the way.
        """
        unsealer = self.unsealer
        self.packets.feed(data if unsealer is None else unsealer.feed(data))

    def seal(self) -> None:
        """From here on, both ways: LEADERINFO is the last packet in the open."""
        if self.features & peers.SEALED != 0:
            self.link.seal()
            self.unsealer = Unsealer()

    def is_live(self) -> bool:
        """Whether it takes part in broadcast: proposals and commits go to it."""
        return self.stage >= SYNCING

    def may_have_forgotten(self, leaders_zxid: i64) -> bool:
        """Whether it is empty, but may once have stored what its leader lacks (trust.md F8).

        There is a transaction of an ensemble's epoch, so a quorum has stored that epoch, and none
        of it is empty that still has its data. Without such a transaction the ensemble may be a new
        one, perhaps around the data of a server that stood alone.
        """
        return self.epoch == 0 and self.last_zxid == 0 and leaders_zxid >> 32 > 0

    def overdue(self, now_ms: i64, timing: Timing, serving: bool) -> str:
        """Why it has to be cut, for its silence or a missing acknowledgement; empty: it has not."""
        limit = timing.sync_ms() if self.stage == FOLLOWING and serving else timing.init_ms()
        if now_ms - self.heard_ms > limit and self.stage != PROMISED:
            return f"silent for {now_ms - self.heard_ms} ms"
        if 0 < self.ack_due_ms <= now_ms:
            return f"no acknowledgement within {timing.sync_ms()} ms"
        return ""

    def send_synced(self, session_id: i64) -> None:
        """A sync has happened; whose, for those that do not take the oldest."""
        if self.features & peers.TURNS == 0:
            write_packet(self.link.out, peers.SYNC, 0)
        else:
            data = int(session_id).to_bytes(8, "big", signed=True)
            write_packet(self.link.out, peers.SYNC, 0, data)

    def send_activation(self, proposal: Proposal, leader: i64) -> None:
        """A reconfiguration is committed, and `leader` leads from here on."""
        designated = int(leader).to_bytes(8, "big")
        out = self.link.out
        if self.is_observer:
            data = designated + proposal.payload
            write_packet(out, peers.INFORM_AND_ACTIVATE, proposal.zxid, data)
        else:
            write_packet(out, peers.COMMIT_AND_ACTIVATE, proposal.zxid, designated)


@final
class PendingSync:
    """A client's sync: answered when `zxid` is committed and a quorum has confirmed the leader.

    `session_id`: the client's. `pings`: for each learner, how many PINGs it must have answered (all
    sent after the sync came).
    """

    __slots__ = ("pings", "session_id", "sid", "zxid")

    def __init__(self, sid: i64, session_id: i64, zxid: i64) -> None:
        self.sid: Final = sid
        self.session_id: Final = session_id
        self.zxid: Final = zxid
        self.pings: Final[dict[int, int]] = {}

    def note_pings(self, learners: dict[int, LearnerLink]) -> None:
        """The sync has come: whose word from now on would confirm it."""
        for learner in learners.values():
            if learner.stage == FOLLOWING and not learner.is_observer:
                self.pings[int(learner.sid)] = int(learner.pings_sent) + 1

    def confirmed_by(self, learners: dict[int, LearnerLink]) -> set[int]:
        """Who has answered a PING that was sent after it came."""
        confirmed: set[int] = set()
        for sid, wanted in self.pings.items():
            learner = learners.get(sid)
            if learner is not None and learner.pings_answered >= wanted:
                confirmed.add(sid)
        return confirmed
