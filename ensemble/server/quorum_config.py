"""The ensemble's part of the configuration: who its members are, and the limits of Zab.

Source: admin.md section 5, election.md 5, zab.md 2.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ensemble.errors import ConfigError
from ensemble.zab.members import Members, parse_members
from ensemble.zab.timing import Timing

if TYPE_CHECKING:
    from ensemble.server.config import Keys

MEMBER_KEYS: Final = ("server.", "group.", "weight.")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumOptions:
    """What a member of an ensemble needs to know beside what every server does."""

    members: Members
    timing: Timing
    connect_ms: int = 5_000
    listen_everywhere: bool = False
    commit_log_count: int = 500


def quorum(keys: "Keys", sid: int, tick_ms: int) -> QuorumOptions | None:
    """None: this server stands alone, as with Apache's: no server lines, or a single voter.

    Raises:
        ConfigError: the key, its value and the reason.
    """
    lines = []
    for prefix in MEMBER_KEYS:
        lines += [f"{prefix}{rest}={value}" for rest, value in keys.with_prefix(prefix).items()]
    if not lines:
        return None
    members = parse_members("\n".join([*lines, "version=0"]).encode())
    alone = len(members.voters) == 1 and not members.observers
    if alone and keys.flag("standaloneEnabled", True):
        return None
    if sid not in members.servers:
        raise ConfigError(f"this server is {sid}, known are {sorted(members.servers)}", "myid")
    frame = keys.number("jute.maxbuffer", 0xFFFFF, 1, (1 << 30) - 1)
    extra = max(1_024, keys.number("jute.maxbuffer.extrasize", frame, 0, 1 << 30))
    timing = Timing(
        tick_ms,
        keys.number("initLimit", 10, 1, 1 << 20),
        keys.number("syncLimit", 5, 1, 1 << 20),
        frame + extra,
        keys.flag("forceSnapshotSync", False),
    )
    return QuorumOptions(
        members=members,
        timing=timing,
        connect_ms=keys.number("cnxTimeout", 5_000, 1),
        listen_everywhere=keys.flag("quorumListenOnAllIPs", False),
        commit_log_count=max(500, keys.number("commitLogCount", 500, 1)),
    )
