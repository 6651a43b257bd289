"""Every ensemble at a glance: what its nodes are, what is wrong in words, and what to do about it.

All of it is from what the collector wrote. The worst comes first.
"""

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from django.db.models import Count, Q

from observability import health, nodes
from observability.models import Segment, Source
from observability.nodes import NodeNow
from tenants.models import Ensemble

FRESH_S: Final = 1.0
LAG_S_MAX: Final = 5  # a member that is further behind than that is named
SYNC_MS_MAX: Final = 100.0
DISK_SHARE_MIN: Final = 0.1  # of a small disk; of a large one
DISK_BYTES_ENOUGH: Final = 10 << 30  # is enough, whatever share of it that is,
DISK_SHARE_LEAST: Final = 0.02  # unless it is next to nothing
CERTIFICATE_DAYS_MIN: Final = 21
CERTIFICATE_DAYS_LEAST: Final = 3
BEHIND_MS_MAX: Final = 10_000  # of the audit trail and the history, behind what happens
OUTSTANDING_MAX: Final = 500
FILES_SHARE_MAX: Final = 0.8
ENSEMBLES_MAX: Final = 100
SPARK_HEIGHT: Final = 18
VOTING: Final = ("leader", "follower")

BAD: Final = "bad"
WARN: Final = "warn"
GOOD: Final = "good"
UNKNOWN: Final = "none"
BROKEN_MAX: Final = 3  # chains that are named
WORDS: Final = {
    BAD: "needs you now",
    WARN: "look at it",
    GOOD: "well",
    UNKNOWN: "not known",
}
WEIGHT: Final = {BAD: 0, WARN: 1, UNKNOWN: 2, GOOD: 3}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong, and what to do. `nodes`: with whom; empty: with the ensemble."""

    kind: str
    text: str
    advice: str
    nodes: tuple[str, ...] = ()
    since: datetime | None = None

    @property
    def sentence(self) -> str:
        return f"{', '.join(self.nodes)}: {self.text}" if self.nodes else self.text


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node's line."""

    name: str
    kind: str
    role: str
    now: NodeNow
    spark: str
    free_share: int | None
    free_bytes: int | None
    seen: datetime | None

    @property
    def connections(self) -> int | None:
        return self.now.number("num_alive_connections")

    @property
    def outstanding(self) -> int | None:
        return self.now.number("outstanding_requests")

    @property
    def version(self) -> str:
        return str(self.now.own.get("version", "")).split("-", 1)[0].split(",", 1)[0]

    @property
    def p50_ms(self) -> float | None:
        return None if self.now.p50_us is None else self.now.p50_us / 1_000

    @property
    def p99_ms(self) -> float | None:
        return None if self.now.p99_us is None else self.now.p99_us / 1_000


@dataclass(slots=True)
class EnsembleRow:
    """One ensemble's card."""

    ensemble: Ensemble
    kind: str = GOOD
    word: str = ""
    quorum: str = ""
    nodes: list[NodeRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    requests: float = 0.0
    connections: int = 0
    sessions: int | None = None
    epoch: int | None = None
    znodes: int | None = None
    heard: int = 0  # nodes that answer
    behind_s: float = 0.0  # of the trail and the history


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole page. `collector`: what is wrong with it, empty where it works."""

    rows: list[EnsembleRow]
    collector: str
    nodes: int
    requests: float

    @property
    def wrong(self) -> int:
        return sum(row.kind in (BAD, WARN) for row in self.rows)


class Last:
    """The last overview of this process: many who look at the same second share one."""

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._found: Overview | None = None
        self._at = 0.0

    def get(self) -> Overview:
        with self._lock:  # who comes meanwhile waits for it rather than making another one
            if self._found is None or time.monotonic() >= self._at + FRESH_S:
                self._found = overview()
                self._at = time.monotonic()
            return self._found

    def clear(self) -> None:
        with self._lock:
            self._found = None


last: Final = Last()


def overview() -> Overview:
    """Everything that is registered."""
    collector = health.collector()
    found = list(
        Ensemble.objects.prefetch_related("nodes").annotate(
            tenants_count=Count("tenants", filter=~Q(tenants__lifecycle="gone"), distinct=True),
            failed=Count("tenants", filter=Q(tenants__publication__status="failed"), distinct=True),
        )[:ENSEMBLES_MAX]
    )
    figures = nodes.now(one.name for one in found)
    sources: dict[tuple[str, str], Source] = {}
    trails: dict[str, list[Source]] = {}
    for source in Source.objects.exclude(ensemble=""):
        if source.kind == Source.Kind.METRICS:
            sources[source.ensemble, source.node] = source
        else:
            trails.setdefault(source.ensemble, []).append(source)
    rows = [row_of(one, figures, sources, is_known=collector.is_alive) for one in found]
    broken: dict[str, list[Segment]] = {}
    for segment in Segment.objects.filter(problems__gt=0).order_by("node", "segment"):
        broken.setdefault(segment.ensemble, []).append(segment)
    for row in rows:
        chains = chain_problems(broken.get(row.ensemble.name, []))
        followed = trails.get(row.ensemble.name, []) if collector.is_alive else []
        judge(row, [*trail_problems(row, followed), *chains])
    rows.sort(key=lambda row: (WEIGHT[row.kind], row.ensemble.name))
    return Overview(
        rows,
        collector_problem(collector),
        sum(len(row.nodes) for row in rows),
        sum(row.requests for row in rows),
    )


def collector_problem(collector: health.Collector) -> str:
    if collector.is_alive:
        return ""
    if not collector.holder:
        return "No collector has ever run here, so nothing is known: start manage.py collect."
    return (
        f"The collector ({collector.holder}) has stopped: what you see is what it saw last. "
        "Start manage.py collect."
    )


def row_of(
    ensemble: Ensemble,
    figures: dict[tuple[str, str], NodeNow],
    sources: dict[tuple[str, str], Source],
    *,
    is_known: bool,
) -> EnsembleRow:
    """One ensemble. `is_known` False: nobody collects, so nothing is said to be down."""
    name = ensemble.name
    row = EnsembleRow(ensemble)
    for node in ensemble.nodes.all():
        now = figures.get((name, node.name)) or NodeNow(name, node.name, 0, is_fresh=False)
        source = sources.get((name, node.name))
        now = as_known(now, source)
        found = problems_of(now, source) if is_known else []
        row.problems += found
        row.nodes.append(node_row(now, found, is_known=is_known))
        row.requests += now.requests
        row.connections += (now.number("num_alive_connections") or 0) if now.is_fresh else 0
    row.nodes.sort(key=lambda one: (WEIGHT[one.kind], one.name))
    fresh = [one.now for one in row.nodes if one.now.is_fresh]
    leader = next((now for now in fresh if now.role in ("leader", "standalone")), None)
    if leader is not None:
        row.sessions = leader.number("global_sessions")
        row.znodes = leader.number("znode_count")
        row.epoch = None if leader.zxid is None else leader.zxid >> 32
    if is_known and row.nodes:
        judge_quorum(row, fresh)
    failed: int = getattr(ensemble, "failed", 0)
    if failed:
        verb = "tenant is" if failed == 1 else "tenants are"
        row.problems.append(
            Problem(
                WARN,
                f"{failed} {verb} not in force as the database has it.",
                "Open the ensemble, compare registry and database, and say which side is right.",
            )
        )
    row.heard = len(fresh)
    return row


def judge(row: EnsembleRow, more: list[Problem]) -> None:
    """The verdict, once everything that is wrong is known."""
    row.problems = together(row.problems + more)
    row.kind = row.problems[0].kind if row.problems else GOOD if row.heard else UNKNOWN
    row.word = WORDS[row.kind]


def trail_problems(row: EnsembleRow, sources: list[Source]) -> list[Problem]:
    """What of the audit trail and the history does not come, or comes late."""
    found = []
    row.behind_s = max((one.behind for one in sources), default=0) / 1_000
    silent = {one.name for one in row.nodes if not one.now.is_fresh}
    for one in sources:
        if one.node in silent:
            continue  # that it is gone is said already
        what = "the audit trail" if one.kind == Source.Kind.JOURNAL else "the history of znodes"
        names = (one.node,) if one.node else ()
        if one.problem:
            text = f"nothing comes of {what}: {one.problem}"
            advice = "Nothing is lost while its journal keeps it; see Audit."
            found.append(Problem(WARN, text, advice, names, one.problem_since))
        elif one.behind > BEHIND_MS_MAX:
            text = f"{what} is {one.behind / 1_000:.0f} s behind."
            advice = "The collector is busy, or the database slow; it catches up by itself."
            found.append(Problem(WARN, text, advice, names))
    return found


def chain_problems(broken: list[Segment]) -> list[Problem]:
    """Journals whose lines do not hold each other: somebody may have edited the trail."""
    return [
        Problem(
            BAD,
            f"the chain of its journal is broken: {one.first_problem}",
            "Keep the journal's files as they are, and see Audit for where.",
            (one.node,),
        )
        for one in broken[:BROKEN_MAX]
    ]


def as_known(now: NodeNow, source: Source | None) -> NodeNow:
    """The collector hears at once that a node is gone; its last sample is fresh for a while."""
    if source is not None and source.problem and now.is_fresh:
        return replace(now, is_fresh=False)
    return now


def together(problems: list[Problem]) -> list[Problem]:
    """The worst first; what is the same with several nodes is said once."""
    found: dict[tuple[str, str, str], Problem] = {}
    for one in sorted(problems, key=lambda one: WEIGHT[one.kind]):
        key = (one.kind, one.text, one.advice)
        known = found.get(key)
        found[key] = one if known is None else replace(known, nodes=known.nodes + one.nodes)
    return list(found.values())


def judge_quorum(row: EnsembleRow, fresh: list[NodeNow]) -> None:
    """How many of how many, and how many may still fail."""
    if any(now.role == "standalone" for now in fresh):
        row.quorum = "one server by itself: if it fails, nobody serves"
        return
    sizes = [size for now in fresh if (size := now.number("quorum_size"))]
    size = max(sizes, default=len(row.nodes))
    voting = sum(now.role in VOTING for now in fresh)
    majority = size // 2 + 1
    spare = voting - majority
    row.quorum = f"{voting} of {size} voters serve"
    if voting < majority or not any(now.role == "leader" for now in fresh):
        row.quorum += ", writes wait"
        row.problems.append(
            Problem(
                BAD,
                f"No quorum: {voting} of {size} voters serve, {majority} are needed. Writes wait.",
                "Start the servers that are down; nothing that was acknowledged is lost.",
            )
        )
    elif voting < size and spare == 0:
        row.quorum += ", none more may fail"
        row.problems.append(
            Problem(
                BAD,
                f"{voting} of {size} voters serve: if one more fails, writes stop.",
                "Bring the missing servers back before anything else.",
            )
        )
    else:
        row.quorum += f", {spare} may fail"


def problems_of(now: NodeNow, source: Source | None) -> list[Problem]:
    """What is wrong with one node."""
    name = now.node
    if not now.is_fresh:
        since = source.problem_since if source is not None and source.problem else None
        why = source.problem if source is not None else ""
        if since is None and now.at:
            since = datetime.fromtimestamp(now.at, UTC)
        text = "does not answer." if why or now.at else "was never heard of."
        advice = (
            f"{why}. Start it; if it ends again, its log says why."
            if why
            else "Is its admin port registered, and does it run?"
        )
        return [Problem(BAD, text, advice, (name,), since)]
    found: list[Problem] = []
    if now.role in ("looking", "read-only"):
        found.append(
            Problem(
                BAD,
                "finds no leader.",
                "Can it reach the others' quorum and election ports?",
                (name,),
            )
        )
    if now.behind_s is not None and now.behind_s > LAG_S_MAX:
        at_least = "more than " if now.behind_s >= nodes.TREND_S - 1 else ""
        found.append(
            Problem(
                WARN,
                f"{now.behind:,} transactions behind its leader, for {at_least}{now.behind_s} s.",
                "Look at its disk and processor, and at the network between the two.",
                (name,),
            )
        )
    if now.sync_ms is not None and now.sync_ms > SYNC_MS_MAX:
        found.append(
            Problem(
                WARN,
                f"{now.sync_ms:.0f} ms to sync its log.",
                "Its disk is slow or shared: dataLogDir belongs on a disk of its own.",
                (name,),
            )
        )
    found += disk_problems(now) + certificate_problems(now)
    outstanding = now.number("outstanding_requests") or 0
    if outstanding > OUTSTANDING_MAX:
        found.append(
            Problem(
                WARN,
                f"{outstanding:,} requests wait.",
                "See which session asks so much (Sessions, by queue), and throttle its tenant.",
                (name,),
            )
        )
    files = now.number("open_file_descriptor_count") or 0
    allowed = now.number("max_file_descriptor_count") or 0
    if allowed and files > FILES_SHARE_MAX * allowed:
        found.append(
            Problem(
                WARN,
                f"{files:,} of {allowed:,} files are open.",
                "Raise its limit (ulimit -n), or find who opens so many connections.",
                (name,),
            )
        )
    return found


def certificate_problems(now: NodeNow) -> list[Problem]:
    end = now.number("client_certificate_end")
    if not end:
        return []
    days = (end - now.at) / 86_400
    if days > CERTIFICATE_DAYS_MIN:
        return []
    kind = BAD if days < CERTIFICATE_DAYS_LEAST else WARN
    text = f"its certificate ends in {days:.0f} days." if days > 0 else "its certificate is over."
    return [
        Problem(
            kind,
            text,
            "Put a new one over the old (client.certReload), or restart it with the new one.",
            (now.node,),
        )
    ]


def disk_problems(now: NodeNow) -> list[Problem]:
    free, share = room_of(now)
    if free is None or share is None:
        return []
    if share >= DISK_SHARE_LEAST and (share >= DISK_SHARE_MIN or free >= DISK_BYTES_ENOUGH):
        return []
    kind = BAD if share < DISK_SHARE_LEAST or free < DISK_BYTES_ENOUGH // 10 else WARN
    return [
        Problem(
            kind,
            f"{free / (1 << 30):.1f} GiB of disk are left, {share:.0%}.",
            "Without room it stops: make some, or set autopurge.purgeInterval.",
            (now.node,),
        )
    ]


def room_of(now: NodeNow) -> tuple[int | None, float | None]:
    """Bytes and share that are free, on the fuller of its two disks."""
    found: list[tuple[float, int]] = []
    for disk in ("datadir", "logdir"):
        free, size = now.number(f"{disk}_free_bytes"), now.number(f"{disk}_disk_bytes")
        if free is not None and size:
            found.append((free / size, free))
    if not found:
        return None, None
    share, free = min(found)
    return free, share


def node_row(now: NodeNow, problems: list[Problem], *, is_known: bool) -> NodeRow:
    kind = min((one.kind for one in problems), key=WEIGHT.__getitem__, default=GOOD)
    if not now.is_fresh:
        kind = BAD if is_known else UNKNOWN
    free, share = room_of(now) if now.is_fresh else (None, None)
    role = now.role if now.is_fresh else "down" if is_known else "not known"
    return NodeRow(
        now.node,
        kind,
        role,
        now,
        spark_of(now.trend),
        None if share is None else round(100 * share),
        free,
        datetime.fromtimestamp(now.at, UTC) if now.at else None,
    )


def spark_of(trend: tuple[float, ...]) -> str:
    """The points of a small line, a pixel a second; empty where nothing happened."""
    most = max(trend, default=0.0)
    if most <= 0:
        return ""
    height = SPARK_HEIGHT - 2
    return " ".join(f"{at},{1 + height * (1 - one / most):.1f}" for at, one in enumerate(trend))
