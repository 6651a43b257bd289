"""Fast leader election: servers exchange votes until a quorum has the same one.

Source: election.md 2 and 3. The choice helps progress only; that two leaders never commit is the
work of the phases behind it. So what arrives late, twice or from another round may cost time here,
and nothing else. No clock and no sockets: the caller brings messages and time, and performs the
effects. Connections, their slot of one and their repeated last message are the caller's, too.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import ConfigError
from ensemble.wire.peers import (
    FOLLOWING,
    LEADING,
    LOOKING,
    NOTIFICATION_VERSION,
    OBSERVING,
    Notification,
)
from ensemble.zab.members import Members, parse_members, text_version
from ensemble.zab.votes import (
    NOBODY,
    Adopt,
    Effect,
    Elected,
    Send,
    Vote,
    agree,
    beats,
    is_same,
    vote_of,
)

__all__ = ["Adopt", "Effect", "Elected", "Election", "Send", "Vote"]

RESEND_MS_MIN: Final = 200  # doubles with each silence, up to
RESEND_MS_MAX: Final = 60_000
FINALIZE_MS: Final = 200  # a quorum waits so long for a better vote
ANSWER_AGAIN_MS: Final = 100  # the same answer to the same question, while looking
ANSWERS_MAX: Final = 1_000  # questions remembered for it
NEVER: Final = 1 << 60
# Nobody counts so far; it would overflow soon after. What claims it is not believed.
ROUND_MAX: Final = 1 << 62
UNKNOWN_ROUND: Final = -1  # of a leader whom a reconfiguration named (zab.md 7)
NO_HISTORY: Final = -1  # the zxid of a server whose database was never initialised


@final
class _Answered:
    """The last answer to one peer while looking, to break a ring of answers to answers."""

    __slots__ = ("answer", "at_ms", "question")

    def __init__(self, question: Notification, answer: Notification, at_ms: i64) -> None:
        self.question: Final = question
        self.answer: Final = answer
        self.at_ms: Final = at_ms


@final
class Election:
    """One server's part in elections: looking for a leader, and answering those who look.

    Order of calls: `look`; then `on_…` until an `Elected` comes; `take_role` if the role is another
    than `state` says; `serve` when it is established; `look` again when it is lost.

    Invariants: `votes` and `_decided` hold voters only, `round` never becomes smaller but by
    following an established leader, and nothing is due (`deadline_ms`) outside of a search.
    """

    __slots__ = (
        "_answered",
        "_decided",
        "_finalize_ms",
        "_gossip",
        "_initial",
        "_members_text",
        "_resend_after_ms",
        "_resend_ms",
        "_unreachable",
        "_voters",
        "deadline_ms",
        "members",
        "pending",
        "resend_ms_max",
        "resend_ms_min",
        "round",
        "sid",
        "state",
        "vote",
        "votes",
    )

    def __init__(
        self,
        sid: i64,
        members: Members,
        gossip: bool = False,
        resend_ms_min: i64 = RESEND_MS_MIN,
        resend_ms_max: i64 = RESEND_MS_MAX,
    ) -> None:
        """`gossip`: adopt newer configurations from messages (zoo.cfg: reconfigEnabled)."""
        self.resend_ms_min: Final = resend_ms_min
        self.resend_ms_max: Final = resend_ms_max
        self.sid: Final = sid
        self._gossip: Final = gossip
        self.state: i64 = LOOKING
        self.round: i64 = 0  # 0: has never looked
        self.vote = Vote(NOBODY, NOBODY, NOBODY, 0)  # the proposal, later the decision
        self._initial = self.vote
        self.votes: dict[int, Notification] = {}  # of this round
        self._decided: dict[int, Notification] = {}  # from those who follow or lead, any round
        self._unreachable: set[int] = set()
        self._answered: dict[int, _Answered] = {}
        self._resend_after_ms: i64 = resend_ms_min
        self._resend_ms: i64 = NEVER
        self._finalize_ms: i64 = NEVER
        self.deadline_ms: i64 = NEVER
        self.members = members
        self.pending: Members | None = None
        self._members_text = members.text()
        self._voters: list[int] = sorted(members.voters)

    def set_members(self, members: Members, pending: Members | None) -> None:
        """Another committed configuration, and the last proposed one if that is newer.

        A search that is going on needs a new `look`: its votes were counted under other rules.
        """
        self.members = members
        newer = pending is not None and pending.version > members.version
        self.pending = pending if newer else None
        self._members_text = members.text()
        voters = set(members.voters)
        if self.pending is not None:
            voters |= self.pending.voters
        self._voters = sorted(voters)
        self._unreachable &= voters
        for sid in list(self.votes):
            if sid not in voters:
                del self.votes[sid]
        for sid in list(self._decided):
            if sid not in voters:
                del self._decided[sid]

    def look(self, zxid: i64, epoch: i64, now_ms: i64) -> list[Effect]:
        """Begin a search. `zxid` is the end of the durable log, `epoch` is currentEpoch.

        What is only accepted or only committed in memory must not be claimed (election.md 3.2).
        """
        self.state = LOOKING
        self.round += 1
        if self.sid in self.members.voters:
            self._initial = Vote(self.sid, zxid, epoch, self.round)
        elif self.sid in self.members.observers:
            self._initial = Vote(NOBODY, NOBODY, NOBODY, self.round)
        else:
            self._initial = Vote(NOBODY, zxid, epoch, self.round)
        self.vote = self._initial
        self.votes.clear()
        self._decided.clear()
        self._answered.clear()
        self._resend_after_ms = self.resend_ms_min
        self._resend_ms = now_ms + self.resend_ms_min
        self._finalize_ms = NEVER
        effects = self._to_all()
        self._settle(effects, now_ms)
        return effects

    def on_notification(self, sender: i64, n: Notification, now_ms: i64) -> list[Effect]:
        """A message from another server, in any state. What cannot be meant is ignored."""
        effects: list[Effect] = []
        if sender == self.sid or self.round == 0 or not UNKNOWN_ROUND <= n.round <= ROUND_MAX:
            return effects
        if self.state == LOOKING:
            newer = self._newer_members(n)
            if newer is not None:
                effects.append(Adopt(newer))
                return effects
        is_voter = sender in self._voters
        # Only who looks is answered. Apache's servers answer those without a vote always, and two
        # that take each other for such would answer each other without end.
        if n.state == LOOKING:
            if not is_voter:
                self._answer(effects, sender, n, self.round, now_ms)
            elif self.state != LOOKING:
                self._answer(effects, sender, n, self.vote.round, now_ms)
            elif n.round < self.round:
                self._answer(effects, sender, n, self.round, now_ms)
        if self.state == LOOKING and is_voter and n.leader == NOBODY and n.round > self.round:
            # An observer that a proposed configuration gives a vote, not knowing of it. It takes
            # over the proposals of its own round only, and may be ahead of everybody.
            self.round = n.round
            self.votes.clear()
            self._propose(effects, self._initial)
            self._settle(effects, now_ms)
        if self.state != LOOKING or not is_voter or n.leader not in self._voters:
            return effects
        if n.state == LOOKING:
            self._on_looking(effects, sender, n, now_ms)
        elif n.state != OBSERVING:
            self._on_decided(effects, sender, n, now_ms)
            if self.state == LOOKING:  # a vote that was counted may have been withdrawn
                self._settle(effects, now_ms)
        return effects

    def on_unreachable(self, sid: i64, now_ms: i64) -> list[Effect]:
        """The election connection to `sid` broke or cannot be made: nobody waits for its vote.

        To be told in every state: it counts in the next search.
        """
        effects: list[Effect] = []
        if sid in self._voters and sid not in self._unreachable:
            self._unreachable.add(sid)
            if self.state == LOOKING and self.round > 0:
                self._settle(effects, now_ms)
        return effects

    def on_reachable(self, sid: i64) -> None:
        """The election connection to `sid` stands."""
        self._unreachable.discard(sid)

    def on_time(self, now_ms: i64) -> list[Effect]:
        """Do what is due. Called at `deadline_ms` or at any other time."""
        effects: list[Effect] = []
        if now_ms >= self._finalize_ms:
            self._finish(effects, self.vote)
        elif now_ms >= self._resend_ms:
            # Messages never make this shorter again: it is for peers that hear nothing.
            self._resend_after_ms = min(2 * self._resend_after_ms, self.resend_ms_max)
            self._resend_ms = now_ms + self._resend_after_ms
            self._set_deadline()
            effects = self._to_all()
        return effects

    def take_role(self, state: i64, vote: Vote) -> None:
        """Leave the search with another role or vote than elected: a designated leader's."""
        assert state in (FOLLOWING, LEADING, OBSERVING)
        self.state = state
        self.vote = vote
        self.round = max(self.round, 1)
        self.votes.clear()
        self._decided.clear()
        self._answered.clear()
        self._resend_ms = NEVER
        self._finalize_ms = NEVER
        self._set_deadline()

    def serve(self, epoch: i64) -> None:
        """The role is established. Zxid and round of the decision are kept (election.md 3.4)."""
        assert self.state != LOOKING
        self.vote = Vote(self.vote.leader, self.vote.zxid, epoch, self.vote.round)

    def _on_looking(self, effects: list[Effect], sender: i64, n: Notification, now_ms: i64) -> None:
        """A voter that looks, too (election.md 3.3)."""
        self._decided.pop(sender, None)  # it looks again: what it said in its role is over
        if self._initial.zxid == NO_HISTORY or n.zxid == NO_HISTORY or n.round < self.round:
            return
        theirs = vote_of(n)
        if n.round > self.round:
            self.round = n.round
            self.votes.clear()
            # Not the proposal: that was made of votes which count no more.
            mine = self._initial
            self._propose(effects, theirs if self._beats(theirs, mine) else mine)
        elif self._beats(theirs, self.vote):
            self._propose(effects, theirs)
        self.votes[sender] = n
        self._settle(effects, now_ms)

    def _on_decided(self, effects: list[Effect], sender: i64, n: Notification, now_ms: i64) -> None:
        """A voter that follows or leads (election.md 3.5).

        To follow a leader that others have, it takes no quorum of what was only proposed: that may
        be this server's own proposal, which came to nothing and which nobody else has heard of.
        """
        self.votes.pop(sender, None)
        if n.round == self.round:
            self.votes[sender] = n
            supporters = {sid for sid, other in self.votes.items() if agree(other, n)}
            if self._is_voting() and agree(self._notification(self.round), n):
                supporters.add(self.sid)
            if self.members.is_quorum(supporters) and self._is_led(self.votes, n):
                self._finish(effects, vote_of(n))
                return
        before = self._decided.get(sender)
        self._decided[sender] = n
        if before is None or not agree(before, n):
            # There is a leader whom the others may follow by now. Who has no vote is told nothing
            # unasked, so ask soon, however long the silence was.
            self._resend_after_ms = self.resend_ms_min
            self._resend_ms = min(self._resend_ms, now_ms + self.resend_ms_min)
        supporters = {sid for sid, other in self._decided.items() if agree(other, n)}
        if self.members.is_quorum(supporters) and self._is_led(self._decided, n):
            if n.round > 0:
                self.round = n.round
            self._finish(effects, vote_of(n))

    def _is_led(self, table: dict[int, Notification], n: Notification) -> bool:
        """Followers alone are not believed: they may not know yet that their leader is gone."""
        if n.leader == self.sid:
            return n.round == self.round
        leader = table.get(n.leader)
        return leader is not None and leader.state == LEADING

    def _settle(self, effects: list[Effect], now_ms: i64) -> None:
        """Does a quorum share the proposal? Then finish, or wait for a better vote.

        Waiting is of no use once every voter has spoken or is out of reach. That is our own rule:
        it saves the 200 ms in the usual failover.
        """
        supporters: set[int] = set()
        vote = self.vote
        for sid, n in self.votes.items():
            if (
                n.leader == vote.leader
                and n.zxid == vote.zxid
                and n.peer_epoch == vote.peer_epoch
                and n.round == self.round
            ):
                supporters.add(sid)
        if self._is_voting() and self._initial.zxid != NO_HISTORY:
            supporters.add(self.sid)
        if not self._is_quorum(supporters):
            self._finalize_ms = NEVER
        elif self._nobody_is_missing(supporters):
            self._finish(effects, vote)
        elif self._finalize_ms == NEVER:
            self._finalize_ms = now_ms + FINALIZE_MS
        self._set_deadline()

    def _nobody_is_missing(self, supporters: set[int]) -> bool:
        for sid in self._voters:
            # A voter without weight cannot be elected, so it has no better vote to offer.
            if sid not in supporters and sid not in self._unreachable and self._weight(sid) != 0:
                return False
        return True

    def _finish(self, effects: list[Effect], vote: Vote) -> None:
        state = FOLLOWING
        if vote.leader == self.sid:
            state = LEADING
        elif self.sid in self.members.observers:
            state = OBSERVING
        self.take_role(state, vote)
        effects.append(Elected(vote))

    def _propose(self, effects: list[Effect], vote: Vote) -> None:
        self.vote = Vote(vote.leader, vote.zxid, vote.peer_epoch, self.round)
        self._finalize_ms = NEVER  # whoever shares this vote waits anew
        effects += self._to_all()

    def _beats(self, a: Vote, b: Vote) -> bool:
        return self._weight(a.leader) != 0 and beats(a, b)

    def _weight(self, sid: i64) -> i64:
        return self.members.weight(sid)

    def _is_voting(self) -> bool:
        return self.sid in self._voters

    def _is_quorum(self, sids: set[int]) -> bool:
        """While a reconfiguration is under way both configurations must agree."""
        if not self.members.is_quorum(sids):
            return False
        return self.pending is None or self.pending.is_quorum(sids)

    def _newer_members(self, n: Notification) -> Members | None:
        text = n.members_text
        if not self._gossip or text is None or text_version(text) <= self.members.version:
            return None
        try:
            return parse_members(text)
        except ConfigError:
            return None  # the rest of the message is of use all the same (election.md 2)

    def _notification(self, round: i64) -> Notification:
        vote = self.vote
        return Notification(
            self.state,
            vote.leader,
            vote.zxid,
            round,
            vote.peer_epoch,
            NOTIFICATION_VERSION,
            self._members_text,
        )

    def _to_all(self) -> list[Effect]:
        """The proposal to every voter. Observers are never addressed, only answered."""
        notification = self._notification(self.round)
        effects: list[Effect] = []
        for sid in self._voters:
            if sid != self.sid:
                effects.append(Send(sid, notification))
        return effects

    def _answer(
        self, effects: list[Effect], sender: i64, n: Notification, round: i64, now_ms: i64
    ) -> None:
        answer = self._notification(round)
        if self.state == LOOKING:
            last = self._answered.get(sender)
            if (
                last is not None
                and now_ms - last.at_ms < ANSWER_AGAIN_MS
                and is_same(last.question, n)
                and is_same(last.answer, answer)
            ):
                return
            if len(self._answered) >= ANSWERS_MAX:
                self._answered.clear()
            self._answered[sender] = _Answered(n, answer, now_ms)
        effects.append(Send(sender, answer))

    def _set_deadline(self) -> None:
        self.deadline_ms = min(self._resend_ms, self._finalize_ms)
