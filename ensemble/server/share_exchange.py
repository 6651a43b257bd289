"""Shares of tenants' limits between this server and its leader, or its learners.

Every 250 ms, and at once when a tenant runs short, a server says what its tenants use and gets
allowances (`tenancy.shares` has the rules). The leader's own clients go through the same book. An
answer is acknowledged with the next report; one that takes something away, at once.

Under a leader that knows nothing of it (Apache's), and where a server stands alone, a configured
part of each limit is this server's: `ensemble.tenancy.share`, in percent.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.directory import Directory
from ensemble.tenancy.seat import Tenant
from ensemble.tenancy.shares import (
    BYTES,
    CONNECTIONS,
    FIRST_RATE,
    KINDS,
    REQUESTS,
    WATCHES,
    WHOLE,
    WRITES,
    Book,
    Claim,
    Grant,
    limits_of,
)
from ensemble.tenancy.spec import NO_LIMIT
from ensemble.wire.shares import TENANTS_MAX, Row, SharesPacket, encode_shares, read_shares

REPORT_MS: Final = 250
KEEP_TICKS: Final = 2  # allowances are kept beyond a role, and when a leader is silent
WAIT_TICKS: Final = 4  # a leader counts with what servers may go by that it cannot ask
URGENT_MS: Final = 10  # between two reports, however short a tenant runs
REPORT_HEAD: Final = 2
ANSWER_HEAD: Final = 4
BUSY_PERCENT: Final = 90  # of its share of a rate: a tenant that takes more wants more than it has
NEVER: Final = 1 << 62


@final
class ShareExchange:
    """One server's half of the exchange, and the book while it leads.

    `begin` and `end` with each role, `end_turn` in each turn; `outgoing` are packets to be sent,
    by server, the leader's own number for a learner's report.
    """

    __slots__ = (
        "answered",
        "applied",
        "book",
        "directory",
        "fresh",
        "heard_ms",
        "is_exchanging",
        "keep_ms",
        "kept_until_ms",
        "leader",
        "measured_ms",
        "next_ms",
        "outgoing",
        "percent",
        "sid",
        "stood_still",
        "takings",
        "told_first",
        "turned_ms",
    )

    def __init__(self, sid: i64, directory: Directory, percent: i64) -> None:
        self.sid: Final[i64] = sid
        self.directory: Directory = directory
        self.percent: i64 = percent  # where nobody else has a say
        self.keep_ms: i64 = 0
        self.kept_until_ms: i64 = 0
        self.heard_ms: i64 = 0
        self.is_exchanging = False
        self.fresh = True  # goes by no allowance
        self.answered = False  # by this leader
        self.told_first = False  # the first report under this leader is out
        self.applied: i64 = 0
        self.leader: i64 = -1
        self.book: Book | None = None
        self.next_ms: i64 = NEVER
        self.turned_ms: i64 = 0  # the last turn
        self.stood_still = False  # in this role, for so long that it may have been given up
        self.measured_ms: i64 = 0
        self.outgoing: list[tuple[int, bytes]] = []
        self.takings: Final[dict[str, list[int]]] = {}  # tenants' counters at the last measurement
        directory.split.use(1, 0, percent)

    def use_tenants(self, directory: Directory, percent: i64) -> None:
        """The tenants that this server knows; before it has a role."""
        self.directory = directory
        self.percent = percent
        directory.split.use(1, 0, percent)

    # Roles

    def begin(
        self,
        leader: i64,
        members: list[int],
        knows_shares: bool,
        tick_ms: i64,
        now_ms: i64,
    ) -> None:
        """A role begins: `leader` has the book, this server perhaps.

        Args:
            members: over whom limits are split, this server among them or not.
            knows_shares: whether the leader does.
        """
        self.leader = leader
        self.keep_ms = tick_ms * KEEP_TICKS
        self.heard_ms = now_ms
        self.is_exchanging = knows_shares
        self.fresh = not knows_shares or now_ms >= self.kept_until_ms
        self.told_first = False
        self.answered = False
        self.applied = 0
        self.turned_ms = now_ms
        self.stood_still = False
        self.measured_ms = now_ms
        self.takings.clear()
        split = self.directory.split
        if not knows_shares:
            split.use(1, 0, self.percent)
            self.next_ms = NEVER
        else:
            rank = members.index(int(self.sid)) if int(self.sid) in members else len(members)
            split.use(max(1, len(members)), rank, 0 if self.fresh else WHOLE)
            self.next_ms = now_ms
            if leader == self.sid:
                self.book = Book(members, tick_ms * WAIT_TICKS, now_ms)
        for tenant in self.directory.by_slug.values():
            if self.fresh:
                tenant.share.is_granted = False
            tenant.settle()

    def end(self, now_ms: i64) -> None:
        """The role is over, and clients are cut. What was allowed is kept for a while."""
        if self.answered:
            self.answered = False  # a role that ends before it has served prolongs nothing
            # A tenth of an even part is no memory: whoever had it asks anew. Nor is what others
            # may have been given since, while this server stood still.
            self.note_turn(now_ms)
            keeps = self.directory.split.percent == WHOLE and not self.stood_still
            self.kept_until_ms = now_ms + self.keep_ms if keeps else 0
        self.is_exchanging = False
        self.book = None
        self.next_ms = NEVER
        self.outgoing.clear()

    # Turns

    def deadline_ms(self) -> i64:
        """When `end_turn` is to be called at the latest."""
        return NEVER if self.directory.is_empty and self.told_first else self.next_ms

    def end_turn(self, now_ms: i64) -> None:
        """Report if it is time, or if somebody runs short."""
        if not self.is_exchanging:
            return
        self.note_turn(now_ms)
        split = self.directory.split
        if now_ms < self.next_ms and not (
            split.urgent and now_ms >= self.next_ms - REPORT_MS + URGENT_MS
        ):
            return
        split.urgent = False
        self.next_ms = now_ms + REPORT_MS
        self.forget_gone()
        if now_ms >= self.heard_ms + self.keep_ms and self.leader != self.sid:
            self.fall_back()
        self.measure(now_ms)
        self.report(self.claims(), now_ms)
        book = self.book
        if book is not None:
            book.look(now_ms)
            self.answer(now_ms)

    def note_turn(self, now_ms: i64) -> None:
        """There is a turn at least with every report, unless the whole process stands still."""
        if now_ms > self.turned_ms + REPORT_MS + self.keep_ms:
            self.stood_still = True
        self.turned_ms = now_ms

    def fall_back(self) -> None:
        """The leader is silent though its link lives: no more than an even part, and no more than
        was allowed last."""
        split = self.directory.split
        for tenant in self.directory.by_slug.values():
            share = tenant.share
            if share.is_granted:
                for kind in range(KINDS):
                    if share.limits[kind] >= 0:
                        part = int(split.part(share.limits[kind]))
                        share.granted[kind] = min(share.granted[kind], part)
                tenant.settle()

    def measure(self, now_ms: i64) -> None:
        """What is in use now, and what is wanted a second."""
        span_ms = now_ms - self.measured_ms
        counts_rates = span_ms >= REPORT_MS // 2
        if counts_rates:
            self.measured_ms = now_ms
        for slug, tenant in self.directory.by_slug.items():
            if not tenant.share.is_limited():
                continue
            use = counted(tenant)
            if counts_rates:
                rates = tenant.rates
                taken = [int(rates.requests.taken), int(rates.writes.taken), int(rates.bytes.taken)]
                before = self.takings.get(slug, taken)
                self.takings[slug] = taken
                waits = len(tenant.flow.held) > 0
                for at in range(KINDS - FIRST_RATE):
                    kind = FIRST_RATE + at
                    rate = (taken[at] - before[at]) * 1_000 // int(span_ms)
                    allowed = tenant.share.allowed[kind]
                    # What is held up cannot be counted: who has next to all of it wants twice.
                    if allowed >= 0 and (waits or rate * 100 >= allowed * BUSY_PERCENT):
                        rate = max(2 * max(rate, allowed), 1) if rate > 0 or waits else 0
                    use[kind] = rate
            tenant.share.use = use

    def claims(self) -> list[Claim]:
        """What has to be said: what has changed, and first of all what this server goes by."""
        claims: list[Claim] = []
        for slug, tenant in self.directory.by_slug.items():
            share = tenant.share
            if not share.is_limited() or len(claims) >= TENANTS_MAX:
                continue
            short = share.is_short()
            first = not self.told_first and share.is_granted
            # That it is not short any more has to be said, too: what is free goes to who is.
            if first or short or share.told_short or share.use != share.told:
                share.told = share.use
                share.told_short = short
                share.refused = False
                allowed = list(share.allowed) if share.is_granted else [NO_LIMIT] * KINDS
                claims.append(Claim(slug, short, list(share.use), allowed))
        return claims

    def report(self, claims: list[Claim], now_ms: i64) -> None:
        book = self.book
        if book is not None:
            self.take(self.sid, self.applied, self.fresh, claims, now_ms)
        else:
            rows: list[Row] = []
            for claim in claims:
                rows.append(Row(claim.slug, claim.is_short, claim.use, claim.allowed))
            head = [int(self.applied), 1 if self.fresh else 0]
            data = encode_shares(SharesPacket(head, rows))
            self.outgoing.append((int(self.leader), data))
        self.told_first = True

    # The leader

    def on_report(self, sid: i64, data: bytes, now_ms: i64) -> None:
        """A learner reports.

        Raises:
            ProtocolError: it cannot be read.
        """
        packet = read_shares(data, REPORT_HEAD, KINDS)
        claims: list[Claim] = []
        for row in packet.rows:
            claims.append(Claim(row.slug, row.flag, row.first, row.second))
        if self.book is not None:
            self.take(sid, packet.head[0], packet.head[1] != 0, claims, now_ms)
            self.answer(now_ms)

    def take(
        self, sid: i64, applied: i64, is_fresh: bool, claims: list[Claim], now_ms: i64
    ) -> None:
        book = self.book
        assert book is not None
        limits: dict[str, list[int]] = {}
        for claim in claims:
            tenant = self.directory.by_slug.get(claim.slug)
            if tenant is not None:
                limits[claim.slug] = limits_of(tenant.spec)
        book.on_report(sid, applied, is_fresh, claims, limits, now_ms)

    def answer(self, now_ms: i64) -> None:
        """Tell everybody who is to be told; the own share at once, which may free some more."""
        book = self.book
        assert book is not None
        own = int(self.sid)
        while own in book.due:
            grants = book.grants_for(own)
            claims = self.use(grants, book.messages[own], book.percent_for(own), now_ms)
            self.take(self.sid, self.applied, False, claims, now_ms)
            if not book.due[own]:
                del book.due[own]  # that it was heard needs no answer
        for sid in list(book.due):
            rows: list[Row] = []
            for grant in book.grants_for(sid):
                if len(rows) < TENANTS_MAX:
                    rows.append(Row(grant.slug, False, grant.granted, grant.elsewhere))
            members = book.members
            rank = members.index(sid) if sid in members else len(members)
            head = [book.messages[sid], len(members), rank, book.percent_for(sid)]
            self.outgoing.append((sid, encode_shares(SharesPacket(head, rows))))

    def on_learner(self, sid: i64, knows_shares: bool) -> None:
        """A learner is here. Its first report makes it known if it knows of shares."""
        if self.book is not None and not knows_shares:
            self.book.on_other(sid)

    def on_left(self, sid: i64, now_ms: i64) -> None:
        if self.book is not None:
            self.book.on_left(sid, now_ms)
            gone = int(sid)
            self.outgoing = [packet for packet in self.outgoing if packet[0] != gone]

    def forget_gone(self) -> None:
        """Tenants that are no more, and limits that have changed."""
        known = self.directory.by_slug
        for slug in list(self.takings):
            if slug not in known:
                del self.takings[slug]
        book = self.book
        if book is not None:
            for slug in list(book.ledgers):
                tenant = known.get(slug)
                if tenant is None:
                    book.forget(slug)
                else:
                    book.use_limits(slug, tenant.share.limits)

    # The learner

    def on_answer(self, data: bytes, now_ms: i64) -> None:
        """The leader allows.

        Raises:
            ProtocolError: it cannot be read.
        """
        packet = read_shares(data, ANSWER_HEAD, KINDS)
        grants: list[Grant] = []
        for row in packet.rows:
            grants.append(Grant(row.slug, row.first, row.second))
        message, members, rank, percent = packet.head
        self.directory.split.members = max(1, members)
        self.directory.split.rank = max(0, rank)
        claims = self.use(grants, message, percent, now_ms)
        if claims:
            self.report(claims, now_ms)  # somebody else waits for what was taken away here

    def use(self, grants: list[Grant], message: i64, percent: i64, now_ms: i64) -> list[Claim]:
        """Go by what the leader allows. What there is to say of tenants that have less now."""
        self.applied = message
        self.fresh = False
        self.answered = True
        self.heard_ms = now_ms
        split = self.directory.split
        if split.percent != percent:
            split.percent = percent
            for tenant in self.directory.by_slug.values():
                tenant.settle()
        claims: list[Claim] = []
        for grant in grants:
            known = self.directory.by_slug.get(grant.slug)
            if known is None:
                continue
            share = known.share
            before = share.allowed
            share.granted = grant.granted
            share.elsewhere = grant.elsewhere
            share.is_granted = True
            known.settle()
            for kind in range(KINDS):
                if share.allowed[kind] < before[kind]:
                    # With what is used by now: it may be more than the leader knew.
                    share.use = share.told = counted(known)
                    share.told_short = False
                    claims.append(Claim(grant.slug, False, list(share.use), list(share.allowed)))
                    break
        return claims


def counted(tenant: Tenant) -> list[int]:
    """What a tenant uses here now; rates as they were measured last."""
    use = list(tenant.share.use)
    use[CONNECTIONS] = int(tenant.connections + tenant.joining)
    use[WATCHES] = int(tenant.watches)
    return use


def is_full(tenant: Tenant) -> bool:
    """Whether a tenant has all the connections that it may have anywhere, as far as is known.

    What others have is told with an allowance only. Who is full because of them asks for one: else
    it would never hear that a place has come free.
    """
    share = tenant.share
    limit = share.limits[CONNECTIONS]
    here = tenant.connections + tenant.joining
    if limit < 0 or here + share.elsewhere[CONNECTIONS] < limit:
        return False
    if here < limit:
        share.refused = True
        tenant.split.urgent = True
    return True


assert (REQUESTS, WRITES, BYTES) == (FIRST_RATE, FIRST_RATE + 1, FIRST_RATE + 2)
