"""Limits over several servers: what each may use of a tenant's limit, so that the sum holds.

Connections, watches and rates are enforced where the clients are. A server reports what it uses of
them and the leader answers with allowances; both halves are here, side by side. What has no
allowance is split evenly over the members, so most tenants never need a word.

Never more than the limit: the leader keeps for each server the most that it may still go by
(`held`), and raises one only by what all of them together leave. A smaller allowance makes room
when its server has said that it goes by it. A server whose link is gone keeps what it held until
it surely serves nobody; so does, under a new leader, who has not reported yet.

No clock: time is an argument, in milliseconds.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.spec import NO_LIMIT, OBSERVE, TenantSpec

# Kinds of limits, and places in every list here
CONNECTIONS: Final = 0
WATCHES: Final = 1
REQUESTS: Final = 2
WRITES: Final = 3
BYTES: Final = 4
KINDS: Final = 5
FIRST_RATE: Final = REQUESTS  # from here on what is used can be lowered at once

WHOLE: Final = 100  # percent
UNSURE: Final = 10  # percent of a part, for who cannot know what others go by
BEGIN_MS: Final = 1_000  # so long a new leader waits for somebody who remembers
SHORT_WEIGHT: Final = 4  # of what is free, beside 1 for who has enough
RATE_SPARE: Final = 10  # one part of so many of a rate stays split evenly, for who begins
WORTH_TELLING: Final = 32  # a change of less than one part of so many of a limit is not told alone


def limits_of(spec: TenantSpec) -> list[int]:
    """A tenant's limits of these kinds, NO_LIMIT for none. Mode observe limits nothing."""
    if spec.mode == OBSERVE:
        return [NO_LIMIT] * KINDS
    limits = spec.limits
    return [
        int(limits.connections),
        int(limits.watches),
        int(limits.requests_per_second),
        int(limits.writes_per_second),
        int(limits.bytes_per_second),
    ]


def part_of(limit: i64, members: i64, rank: i64) -> i64:
    """An even part of a limit; the first members have one more where it does not come out even."""
    return limit // members + (1 if rank < limit % members else 0)


@final
class Split:
    """What a server may use of a limit without an allowance: its part of `members`, or so many
    percent of it. A server that stands alone has one part of one. All tenants of a server share it.
    """

    __slots__ = ("members", "percent", "rank", "urgent")

    def __init__(self) -> None:
        self.urgent = False  # some tenant runs short: ask before it is time
        self.members: i64 = 1
        self.rank: i64 = 0
        self.percent: i64 = WHOLE

    def use(self, members: i64, rank: i64, percent: i64) -> None:
        assert members >= 1
        self.members = members
        self.rank = rank
        self.percent = percent

    def part(self, limit: i64) -> i64:
        if self.rank >= self.members:
            return 0  # not among the members that are known here
        return part_of(limit, self.members, self.rank) * self.percent // WHOLE


@final
class Share:
    """What one server may use of one tenant's limits. `allowed` is in force, NO_LIMIT for none.

    `granted`: the leader's allowances; `elsewhere`: what it said that other servers use.
    `use`: what this server uses of counts, and wants of rates, as it was measured last.
    """

    __slots__ = (
        "allowed",
        "elsewhere",
        "granted",
        "is_granted",
        "limits",
        "refused",
        "told",
        "told_short",
        "use",
    )

    def __init__(self) -> None:
        self.limits: list[int] = [NO_LIMIT] * KINDS
        self.allowed: list[int] = [NO_LIMIT] * KINDS
        self.granted: list[int] = [0] * KINDS
        self.is_granted = False
        self.refused = False  # somebody was, for want of room, since the last report
        self.elsewhere: list[int] = [0] * KINDS
        self.use: list[int] = [0] * KINDS
        self.told: list[int] = [0] * KINDS  # the last `use` that was reported
        self.told_short = False

    def settle(self, split: Split) -> bool:
        """Bring `allowed` up to date. Whether it has changed."""
        allowed: list[int] = []
        for kind in range(KINDS):
            limit = self.limits[kind]
            if limit < 0:
                allowed.append(NO_LIMIT)
            elif self.is_granted:
                allowed.append(min(limit, self.granted[kind]))
            else:
                allowed.append(int(split.part(limit)))
        changed = allowed != self.allowed
        self.allowed = allowed
        return changed

    def is_limited(self) -> bool:
        return max(self.limits) >= 0

    def is_short(self) -> bool:
        """Whether half the room that there was at the last report is gone, or all of it."""
        if self.refused:
            return True
        for kind in range(KINDS):
            allowed = self.allowed[kind]
            if allowed >= 0 and allowed < self.limits[kind]:
                used = self.use[kind]
                if used > self.told[kind] and 2 * (allowed - used) < allowed - self.told[kind]:
                    return True
        return False


@final
class Entry:
    """One server in a ledger. `granted` is what it was told last, in message number `message`."""

    __slots__ = ("granted", "held", "is_short", "message", "use")

    def __init__(self, held: list[int]) -> None:
        self.held: Final = list(held)  # the most that it may go by now
        self.granted: list[int] = list(held)
        self.use: list[int] = [0] * KINDS
        self.is_short = False
        self.message: i64 = 0


@final
class Ledger:
    """One tenant's limits at the leader: who holds how much of them.

    What all hold together of a kind is raised up to its limit and no further. It is above where a
    document has lowered the limit, or where watches were registered again after a reconnect.
    """

    __slots__ = ("by_sid", "limits")

    def __init__(self, limits: list[int]) -> None:
        self.limits: list[int] = limits
        self.by_sid: Final[dict[int, Entry]] = {}

    def total(self, kind: int) -> int:
        total = 0
        for entry in self.by_sid.values():
            total += entry.held[kind]
        return total

    def used_elsewhere(self, sid: int) -> list[int]:
        """What servers other than `sid` use, as far as they have said."""
        used = [0] * KINDS
        for other, entry in self.by_sid.items():
            if other != sid:
                for kind in range(KINDS):
                    used[kind] += entry.use[kind]
        return used

    def plan(self, live: list[int]) -> list[int]:
        """Grant anew to the servers in `live`; who has to be told."""
        targets: dict[int, list[int]] = {}
        shortage = False
        for sid in live:
            targets[sid] = []
            shortage = shortage or self.by_sid[sid].is_short
        for kind in range(KINDS):
            parts = self._targets(kind, live)
            for at in range(len(live)):
                targets[live[at]].append(parts[at])
        told: list[int] = []
        for first in (True, False):
            for sid in live:
                entry = self.by_sid[sid]
                if entry.is_short == first and self._differs(entry, targets[sid], shortage):
                    granted = self._raise(entry, targets[sid])
                    if entry.message == 0 or granted != entry.granted:
                        entry.granted = granted
                        told.append(sid)
        return told

    def _raise(self, entry: Entry, targets: list[int]) -> list[int]:
        """As much of `targets` as all together leave; who is given less holds on until he says."""
        granted: list[int] = []
        for kind in range(KINDS):
            target = targets[kind]
            held = entry.held[kind]
            left = self.limits[kind] - self.total(kind)
            if target > held:
                target = held + max(0, min(target - held, left))
                entry.held[kind] = target
            elif left < 0:  # they hold too much together: nobody gets more than he was told
                target = min(target, entry.granted[kind])
            granted.append(target)
        return granted

    def _differs(self, entry: Entry, targets: list[int], shortage: bool) -> bool:
        if entry.message == 0:
            return True
        for kind in range(KINDS):
            change = abs(targets[kind] - entry.granted[kind])
            if change > 0 and (shortage or change * WORTH_TELLING >= self.limits[kind]):
                return True
        return False

    def _targets(self, kind: int, live: list[int]) -> list[int]:
        """What each of `live` should have of one kind, what the others hold being theirs."""
        limit = self.limits[kind]
        if limit < 0:
            return [0] * len(live)
        room = limit
        for sid, entry in self.by_sid.items():
            if sid not in live:
                room -= entry.held[kind]
        room = max(0, room)
        if kind >= FIRST_RATE:
            wants: list[int] = []
            for sid in live:
                wants.append(self.by_sid[sid].use[kind])
            return split_rate(room, wants)
        return self._split_count(kind, room, live)

    def _split_count(self, kind: int, room: int, live: list[int]) -> list[int]:
        """What each uses, and its part of what is free: more for who runs short."""
        free = room
        weight = 0
        for sid in live:
            free -= self.by_sid[sid].use[kind]
            weight += SHORT_WEIGHT if self.by_sid[sid].is_short else 1
        free = max(0, free)
        targets: list[int] = []
        spare = free
        for sid in live:
            entry = self.by_sid[sid]
            part = free * (SHORT_WEIGHT if entry.is_short else 1) // weight
            spare -= part
            targets.append(entry.use[kind] + part)
        for first in (True, False):
            for at in range(len(live)):
                if spare > 0 and self.by_sid[live[at]].is_short == first:
                    targets[at] += 1
                    spare -= 1
        return targets


@final
class Claim:
    """What a server reports of one tenant."""

    __slots__ = ("allowed", "is_short", "slug", "use")

    def __init__(self, slug: str, is_short: bool, use: list[int], allowed: list[int]) -> None:
        self.slug: Final = slug
        self.is_short: Final = is_short
        self.use: Final = use
        self.allowed: Final = allowed  # what it goes by now, NO_LIMIT where that is no allowance


@final
class Grant:
    """What the leader allows a server of one tenant's limits."""

    __slots__ = ("elsewhere", "granted", "slug")

    def __init__(self, slug: str, granted: list[int], elsewhere: list[int]) -> None:
        self.slug: Final = slug
        self.granted: Final = granted
        self.elsewhere: Final = elsewhere


@final
class Book:
    """The leader's ledgers. `on_report` whatever a server says, then `grants_for` each in `due`.

    `members`: the servers that limits are split over, in the order of their ranks. Until all of
    them have reported, or those that have not surely serve nobody, nothing is raised: they may go
    by what an earlier leader allowed them.
    """

    __slots__ = (
        "begun_ms",
        "due",
        "fresh",
        "gone",
        "ledgers",
        "live",
        "members",
        "messages",
        "others",
        "remembers",
        "sure",
        "unacked",
        "wait_ms",
    )

    def __init__(self, members: list[int], wait_ms: i64, now_ms: i64) -> None:
        self.members: Final = members
        self.wait_ms: Final[i64] = wait_ms
        self.begun_ms: Final[i64] = now_ms
        self.sure = False
        self.remembers = False  # somebody goes by an earlier leader's allowances
        self.ledgers: Final[dict[str, Ledger]] = {}
        self.live: Final[list[int]] = []  # who reports
        self.others: Final[set[int]] = set()  # who is here and does not
        self.gone: Final[dict[int, int]] = {}  # whose link ended: until when it may serve yet
        self.messages: Final[dict[int, int]] = {}  # to each server: how many
        self.due: Final[dict[int, dict[str, None]]] = {}  # whom to tell of which tenants
        self.unacked: Final[dict[int, dict[str, None]]] = {}  # who may not go by which ones yet
        self.fresh: Final[set[int]] = set()  # who began with nothing while it was not sure

    def on_report(
        self,
        sid: i64,
        applied: i64,
        is_fresh: bool,
        claims: list[Claim],
        limits: dict[str, list[int]],
        now_ms: i64,
    ) -> None:
        """A server says what it uses.

        Args:
            applied: the last message that it goes by.
            is_fresh: it goes by no allowance. What it says first has all that it goes by.
            limits: of the tenants in `claims`; one that is not in here is not known.
        """
        here = int(sid)
        is_first = here not in self.live
        dirty: dict[str, None] = {}
        self.due.setdefault(here, {})
        if is_first:
            self._join(here, is_fresh)
            for slug in self.ledgers:
                dirty[slug] = None
        for slug in self._acknowledge(here, applied):
            dirty[slug] = None
        for claim in claims:
            wanted = limits.get(claim.slug)
            if wanted is not None:
                self._take(here, claim, wanted, is_first)
                dirty[claim.slug] = None
        if not self.look(now_ms):
            self._plan(dirty)

    def _join(self, sid: int, is_fresh: bool) -> None:
        self.live.append(sid)
        self.live.sort()
        self.gone.pop(sid, None)
        self.others.discard(sid)
        self.messages[sid] = 0
        self.unacked[sid] = {}
        if not is_fresh:
            self.remembers = True
        elif not self.sure:
            self.fresh.add(sid)
        for ledger in self.ledgers.values():
            old = ledger.by_sid.get(sid)
            if old is None or (is_fresh and self.sure):
                ledger.by_sid[sid] = Entry([0] * KINDS)
            elif is_fresh and sid in self.members:
                ledger.by_sid[sid] = Entry(self._even(ledger.limits, self.members.index(sid)))
            else:
                old.message = 0

    def _acknowledge(self, sid: int, applied: i64) -> list[str]:
        """The server goes by all up to a message: what it held more than that is free."""
        unacked = self.unacked[sid]
        freed: list[str] = []
        for slug in list(unacked):
            ledger = self.ledgers.get(slug)
            if ledger is None:
                del unacked[slug]
                continue
            entry = ledger.by_sid[sid]
            if entry.message <= applied:
                del unacked[slug]
                self._hold(entry)
                freed.append(slug)
        return freed

    def _hold(self, entry: Entry) -> None:
        for kind in range(KINDS):
            used = entry.use[kind] if kind < FIRST_RATE else 0
            entry.held[kind] = max(entry.granted[kind], used)

    def _take(self, sid: int, claim: Claim, limits: list[int], is_first: bool) -> None:
        ledger = self.ledgers.get(claim.slug)
        if ledger is None:
            ledger = self._open(claim.slug, limits)
        ledger.limits = limits
        entry = ledger.by_sid[sid]
        entry.use = claim.use
        entry.is_short = claim.is_short
        if is_first:
            for kind in range(KINDS):
                if claim.allowed[kind] >= 0:
                    entry.held[kind] = claim.allowed[kind]
                    entry.granted[kind] = claim.allowed[kind]
        if entry.message > 0 and claim.slug not in self.unacked[sid]:
            self._hold(entry)
        else:
            for kind in range(FIRST_RATE):
                entry.held[kind] = max(entry.held[kind], claim.use[kind])
        if claim.is_short and entry.message > 0:
            self.due.setdefault(sid, {})[claim.slug] = None  # at least what the others use

    def _open(self, slug: str, limits: list[int]) -> Ledger:
        """A tenant of which nobody has spoken: each member that may serve has its even part."""
        ledger = Ledger(limits)
        self.ledgers[slug] = ledger
        for rank in range(len(self.members)):
            sid = self.members[rank]
            even = [0] * KINDS
            if not self.sure or sid in self.live or sid in self.gone:
                even = self._even(limits, rank)
            ledger.by_sid[sid] = Entry(even)
        for sid in self.live:
            if sid not in ledger.by_sid:
                ledger.by_sid[sid] = Entry([0] * KINDS)
        return ledger

    def _even(self, limits: list[int], rank: int) -> list[int]:
        """What a member goes by to whom nothing is granted."""
        percent = self.percent_for(self.members[rank])
        even: list[int] = []
        for limit in limits:
            part = part_of(limit, len(self.members), rank) if limit > 0 else 0
            even.append(int(part * percent // WHOLE))
        return even

    def look(self, now_ms: i64) -> bool:
        """Time has passed: what those hold who cannot serve any more is free.

        True: that was so, and everything has been planned anew.
        """
        changed = False
        if not self.sure:
            here = True
            for sid in self.members:
                here = here and (sid in self.live or sid in self.others)
            if here or now_ms >= self.begun_ms + self.wait_ms:
                self.sure = changed = True
        for sid, until_ms in list(self.gone.items()):
            if now_ms >= until_ms:
                del self.gone[sid]
                changed = True
        if self.fresh and self.begins(now_ms):
            begun = list(self.fresh)
            self.fresh.clear()
            for sid in begun:
                self.due.setdefault(sid, {})
                if not self.sure and sid in self.members:
                    self._widen(sid)
        if not changed or not self.sure:
            return False
        dirty: dict[str, None] = {}
        for slug, ledger in self.ledgers.items():
            dirty[slug] = None
            for sid in list(ledger.by_sid):
                if sid not in self.live and sid not in self.gone:
                    ledger.by_sid[sid] = Entry([0] * KINDS)
        self._plan(dirty)
        return True

    def _widen(self, sid: int) -> None:
        """A server that had a tenth of its even parts has all of them now."""
        for ledger in self.ledgers.values():
            held = ledger.by_sid[sid].held
            even = self._even(ledger.limits, self.members.index(sid))
            for kind in range(KINDS):
                held[kind] = max(held[kind], even[kind])

    def begins(self, now_ms: i64) -> bool:
        """Whether even parts are free to use: it is sure who goes by what, or nobody remembers."""
        return self.sure or (not self.remembers and now_ms >= self.begun_ms + BEGIN_MS)

    def percent_for(self, sid: int) -> int:
        """How much of its even part a server may use of what it has no allowance for."""
        return UNSURE if sid in self.fresh else WHOLE

    def _plan(self, dirty: dict[str, None]) -> None:
        if not self.sure:
            return
        for slug in dirty:
            ledger = self.ledgers[slug]
            for sid in ledger.plan(self.live):
                ledger.by_sid[sid].message = self.messages[sid] + 1
                self.unacked[sid][slug] = None
                self.due.setdefault(sid, {})[slug] = None

    def grants_for(self, sid: int) -> list[Grant]:
        """What to tell a server that is in `due`; it counts as told, in `messages[sid]`."""
        grants: list[Grant] = []
        for slug in self.due.pop(sid):
            ledger = self.ledgers.get(slug)
            if ledger is not None and ledger.by_sid[sid].message > 0:
                granted = ledger.by_sid[sid].granted
                grants.append(Grant(slug, list(granted), ledger.used_elsewhere(sid)))
        self.messages[sid] += 1
        return grants

    def on_other(self, sid: i64) -> None:
        """A learner is here that knows nothing of shares: tenants' limits do not hold there."""
        self.others.add(int(sid))

    def on_left(self, sid: i64, now_ms: i64) -> None:
        """A server's link has ended. It may serve until it notices."""
        here = int(sid)
        self.others.discard(here)
        self.due.pop(here, None)
        self.fresh.discard(here)
        if here in self.live:
            self.live.remove(here)
            self.gone[here] = int(now_ms + self.wait_ms)

    def use_limits(self, slug: str, limits: list[int]) -> None:
        """A document may have changed."""
        ledger = self.ledgers[slug]
        if ledger.limits != limits:
            ledger.limits = limits
            self._plan({slug: None})

    def forget(self, slug: str) -> None:
        """A tenant that is no more."""
        self.ledgers.pop(slug, None)


def split_rate(limit: int, wants: list[int]) -> list[int]:
    """Max-min fair: nobody gets more than he wants before all have as much; the rest evenly."""
    count = len(wants)
    base = limit // RATE_SPARE // count
    shares = [base] * count
    left = limit - base * count
    order = sorted(range(count), key=wants.__getitem__)
    for done in range(count):
        at = order[done]
        part = left // (count - done)
        more = max(0, min(wants[at] - base, part))
        shares[at] += more
        left -= more
    for at in range(count):
        part = left // (count - at)
        shares[at] += part
        left -= part
    return shares
