"""More known bugs to put back: in the log, on the disk, on the wire, in groups of servers.

As in `bugs`: each replaces what guards against its story by what was there, or is in Apache's
server, without the guard.
"""

from typing import Any

from ensemble.errors import StorageError
from ensemble.server import replica, share_exchange
from ensemble.storage import (
    epochs,
    loghistory,
    recovery,
    redo,
    replacement,
    snapfile,
    truncation,
)
from ensemble.storage.layout import TEMPORARY_SUFFIX
from ensemble.storage.logreader import CLEAN, LogReader
from ensemble.storage.txnlog import TxnLog
from ensemble.tenancy import shares
from ensemble.wire import peers
from ensemble.wire.jute import MarshallingError
from ensemble.zab import (
    broadcast,
    configuration,
    election,
    leader,
    learner,
    learner_link,
    members,
    peer,
)
from tests.sim import core, machine, provoked
from tests.sim.bug import Bug, Patches
from tests.storage.simdisk import PowerCut


def log_outlives_the_role() -> Patches:
    """Nobody waits for the log: what is on its way is written and acknowledged in the next role."""
    return [(core.CoreNode, "log_is_idle", lambda self: True)]


def commit_behind_newleader_lost() -> Patches:
    """As if there were nothing to commit between NEWLEADER and UPTODATE."""
    right = learner.Learner.take_commit

    def take_commit(self: Any, zxid: int) -> None:
        if self.stage == learner.SYNCING:
            right(self, zxid)

    return [(learner.Learner, "take_commit", take_commit)]


def old_log_under_a_snapshot() -> Patches:
    """SNAP leaves the old logs where they are, and a DIFF is served from there unseen."""

    def take_over(disk: Any, layout: Any, zxid: int, compression: str = "") -> str:
        path = layout.snapshot_path(zxid, compression)
        change = redo.Change()
        change.rename(path + TEMPORARY_SUFFIX, path)
        redo.carry_out(disk, layout, change)
        return str(path)

    return [
        (replacement, "take_over", take_over),
        (loghistory, "doubt", lambda before, record, snapshots: ""),
    ]


class Blind:
    """A layout without the snapshots that hold what is to be cut."""

    def __init__(self, layout: Any, zxid: int) -> None:
        self.layout = layout
        self.zxid = zxid

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layout, name)

    def snapshots(self, disk: Any) -> list[tuple[int, str]]:
        return [each for each in self.layout.snapshots(disk) if each[0] <= self.zxid]


def snapshot_of_what_nobody_committed() -> Patches:
    """Who is elected writes a snapshot before anybody follows, and TRUNC leaves it there."""
    right = replica.Replica.listen

    def listen(self: Any) -> None:
        snapfile.save(self.disk, self.layout, self.tree)
        right(self)

    cut = truncation.truncate

    def truncate(disk: Any, layout: Any, zxid: int) -> bool:
        return cut(disk, Blind(layout, zxid), zxid)

    return [(replica.Replica, "listen", listen), (truncation, "truncate", truncate)]


def epoch_of_the_log_ignored() -> Patches:
    """A start is refused where the log is of a later epoch than currentEpoch."""
    right = epochs.load_epochs

    def load_epochs(disk: Any, layout: Any, last_zxid: int) -> Any:
        stored = epochs.load_epoch(disk, layout, epochs.CURRENT)
        if stored is not None and last_zxid >> 32 > stored:
            raise StorageError(f"the log ends in epoch {last_zxid >> 32}, currentEpoch is {stored}")
        return right(disk, layout, last_zxid)

    return [(epochs, "load_epochs", load_epochs)]


def failed_write_passed_over() -> Patches:
    """A batch that cannot be written is dropped unacknowledged; the server goes on with the next.

    Its commits come from the others, and are applied.
    """

    def write(self: Any, life: int, records: bytes, roll: bool) -> None:
        if life != self.machine.life:
            return
        try:
            self.synced = self.write_batch(records, roll)
            self.machine.durable_zxid = self.synced
        except PowerCut as cut:
            self.machine.lose_power(cut)
            return
        except StorageError:
            self.log = TxnLog(self.machine.disk, machine.LAYOUT, 4)
        self.machine.put(self.on_synced)

    return [(machine.SimLog, "write", write)]


def sums_left_out() -> Patches:
    """Packets between servers are taken as they come (trust.md F24)."""
    right = peers.read_learner_info

    def read_learner_info(data: Any, zxid: int) -> Any:
        info = right(data, zxid)
        features = info.features & ~peers.SEALED
        return peers.LearnerInfo(info.sid, info.protocol, info.members_version, features)

    return [(leader, "read_learner_info", read_learner_info)]


def message_that_ends_the_process() -> Patches:
    """A vote that cannot be read is more than a vote that is dropped."""
    right = peer.read_notification

    def read_notification(payload: bytes) -> Any:
        try:
            return right(payload)
        except MarshallingError as error:
            raise IndexError(str(error)) from None

    return [(peer, "read_notification", read_notification)]


def votes_remembered_to_the_letter() -> Patches:
    """Those that have decided must remember the same zxid and round, or they do not count."""

    def agree(a: Any, b: Any) -> bool:
        return bool(a.leader == b.leader and a.zxid == b.zxid and a.round == b.round)

    return [(election, "agree", agree)]


def empty_server_counts() -> Patches:
    """A server that has lost its data promises and elects like any other (trust.md F8)."""
    return [(learner_link.LearnerLink, "may_have_forgotten", lambda self, leaders_zxid: False)]


def log_ends_where_it_is_damaged() -> Patches:
    """Damage is taken for the end of the file."""

    def stop_at_damage(self: Any, why: str, size: int) -> None:
        self.stop(CLEAN, self.base + self.at, "")

    return [(LogReader, "stop_at_damage", stop_at_damage)]


def page_cache_counts() -> Patches:
    """A start goes by what it reads, whether the platter has it or only the page cache."""
    return [
        (recovery, "renew_names", lambda disk, layout: None),
        (recovery, "renew_end", lambda disk, walk: None),
    ]


def memory_without_end() -> Patches:
    """What was allowed is remembered anew at the end of every role, of those in vain, too."""

    def end(self: Any, now_ms: int) -> None:
        answered = self.answered
        self.turned_ms = now_ms  # else it would pass for having stood still meanwhile
        right(self, now_ms)
        self.answered = answered

    right = share_exchange.ShareExchange.end
    return [(share_exchange.ShareExchange, "end", end)]


def raised_beyond_what_is_left() -> Patches:
    """A leader allows what a server wants, whatever the others still go by."""

    def raise_(self: Any, entry: Any, targets: list[int]) -> list[int]:
        entry.held[:] = [max(a, b) for a, b in zip(entry.held, targets, strict=True)]
        return targets

    return [(shares.Ledger, "_raise", raise_)]


def groups_left_out() -> Patches:
    """A majority of all voters commits, whatever their groups and weights."""

    def stored_by(self: Any, members: Any) -> int:
        acks = sorted((self.acked.get(sid, 0) for sid in members.voters), reverse=True)
        return int(acks[len(acks) // 2])

    return [(broadcast.Broadcast, "stored_by", stored_by)]


def weights_left_out() -> Patches:
    """Every vote weighs the same where a leader is elected and followed."""
    right = members.Members.is_quorum

    def is_quorum(self: Any, sids: set[int]) -> bool:
        if not self.hierarchical:
            return right(self, sids)
        return members.Members(self.version, self.servers, self.groups, {}).is_quorum(sids)

    def without(self: Any, sids: set[int]) -> bool:
        kept = self.members
        return is_quorum(kept, sids)

    return [(configuration.Configuration, "is_quorum", without)]


BUGS = [
    Bug(
        "the log outlives the role",
        "ZOOKEEPER-4712, 4541",
        "what a role has logged is on its way while the next one begins",
        log_outlives_the_role,
        "core",
    ),
    Bug(
        "a commit behind NEWLEADER is lost",
        "ZOOKEEPER-4394",
        "what is proposed before NEWLEADER and committed behind it",
        commit_behind_newleader_lost,
        "core",
        provoked.broken_synchronizations,
    ),
    Bug(
        "old logs under a snapshot",
        "ZOOKEEPER-2846",
        "a DIFF from a log with records that nobody committed and a hole",
        old_log_under_a_snapshot,
        "ensemble",
    ),
    Bug(
        "a snapshot before the quorum",
        "ZOOKEEPER-1549",
        "what nobody committed comes back from a snapshot",
        snapshot_of_what_nobody_committed,
        "ensemble",
    ),
    Bug(
        "the epoch of the log ignored",
        "ZOOKEEPER-2354",
        "a crash between history and currentEpoch, and the server does not start again",
        epoch_of_the_log_ignored,
        "ensemble",
    ),
    Bug(
        "a failed write passed over",
        "ZOOKEEPER-4882",
        "a server goes on with a hole in its log",
        failed_write_passed_over,
        "ensemble",
    ),
    Bug(
        "votes remembered to the letter",
        "ZOOKEEPER-1818, 1732",
        "a server that returns finds no leader in what the others remember",
        votes_remembered_to_the_letter,
        "core",
    ),
    Bug(
        "a message ends the process",
        "ZOOKEEPER-3769",
        "a malformed vote",
        message_that_ends_the_process,
        "wire",
    ),
    Bug("sums left out", "trust.md F24", "a bit changes in a proposal", sums_left_out, "wire"),
    Bug(
        "an empty server counts",
        "trust.md F8",
        "servers that have lost their data elect one that is behind",
        empty_server_counts,
        "decay",
    ),
    Bug(
        "a log ends where it is damaged",
        "trust.md F6, B2",
        "history becomes shorter without a word",
        log_ends_where_it_is_damaged,
        "decay",
    ),
    Bug(
        "the page cache counts",
        "trust.md F1, F5",
        "what a killed process or a failed sync left is voted with, and then the power goes",
        page_cache_counts,
        "ensemble",
        provoked.kills_before_power_cuts,
    ),
    Bug(
        "more than is left",
        "trust.md I18",
        "a share is raised before another server has said that it goes by less",
        raised_beyond_what_is_left,
        "walled",
    ),
    Bug(
        "memory of shares without end",
        "trust.md I18",
        "a server comes back with a share that is others' by then",
        memory_without_end,
        "walled",
    ),
    Bug(
        "groups left out",
        "election.md 5",
        "a majority commits that is no quorum",
        groups_left_out,
        "core-groups",
    ),
    Bug(
        "weights left out",
        "election.md 5",
        "a leader is followed by a quorum of another configuration",
        weights_left_out,
        "core-groups",
    ),
]
