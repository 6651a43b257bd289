"""The two configurations that a server goes by: the committed one, and what is proposed after it.

Source: zab.md 7, election.md 3. A proposed configuration may be committed without this server
knowing it. So from the moment that it is seen until it is committed or overtaken, nothing is
decided without quorums of both.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.zab.host import Host
from ensemble.zab.members import Members

COUNTER_MASK: Final = 0xFFFFFFFF


@final
class Configuration:
    """Shared by the roles of one server. `enabled`: zoo.cfg's reconfigEnabled.

    Invariant: `proposed`, if there is one, is later than `members`.
    """

    __slots__ = ("changed", "enabled", "members", "proposed")

    def __init__(self, members: Members, proposed: Members | None, enabled: bool) -> None:
        newer = proposed is not None and proposed.version > members.version
        self.members: Members = members
        self.proposed: Members | None = proposed if newer else None
        self.enabled: Final = enabled
        self.changed = False  # since the election was told

    def latest(self) -> Members:
        """What this server has seen last, committed or not."""
        return self.members if self.proposed is None else self.proposed

    def is_quorum(self, sids: set[int]) -> bool:
        """Do these servers decide, whichever of the two configurations is in force?"""
        if not self.members.is_quorum(sids):
            return False
        return self.proposed is None or self.proposed.is_quorum(sids)

    def is_voter(self, sid: i64) -> bool:
        """Does this server's voice count in one of them?"""
        if int(sid) in self.members.voters:
            return True
        return self.proposed is not None and int(sid) in self.proposed.voters

    def propose(self, host: Host, members: Members | None) -> None:
        """Remember what was proposed, durably; None, or nothing later: there is nothing."""
        if members is not None and members.version <= self.members.version:
            members = None
        known = self.proposed
        if members is None and known is None:
            return
        if members is not None and known is not None and members.version == known.version:
            return
        self.proposed = members
        self.changed = True
        host.propose_members(members)

    def drop_unlogged(self, host: Host, last_zxid: i64, epoch: i64) -> None:
        """To lead with a history to `last_zxid`: forget a proposal that it lacks.

        It was heard of in this epoch and never logged, so it was not committed. One of an earlier
        epoch may have been completed without its transaction (zab.md 7, step 8): it stays.
        """
        proposed = self.proposed
        if proposed is None or proposed.version & COUNTER_MASK == 0:
            return
        if proposed.version > last_zxid and proposed.version >> 32 == epoch:
            host.report(f"the proposed configuration {proposed.version:#x} was never logged")
            self.propose(host, None)

    def commit(self, host: Host, members: Members) -> bool:
        """Go by these members from now on. False where they are known, or are of the past."""
        if members.version <= self.members.version:
            return False
        self.members = members
        if self.proposed is not None and self.proposed.version <= members.version:
            self.proposed = None
        self.changed = True
        host.use_members(members)
        return True
