"""Looks at ensembles and nodes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from observability.alerts.checks import Found, Subject, check
from observability.alerts.picture import Picture, Seen
from observability.nodes import zxid_of
from tenants.alerts.rule import Rule

LEADS: Final = ("leader", "standalone")
DAY_S: Final = 86_400
ZXID_BITS: Final = 32  # of the counter within an epoch


def voters(nodes: list[Seen]) -> list[Seen]:
    """Those that vote, as far as they have ever said so; who never spoke counts."""
    return [one for one in nodes if one.is_configured and state_of(one) != "observer"]


def state_of(node: Seen) -> str:
    return str((node.own or node.last).get("server_state", ""))


def majority(nodes: list[Seen]) -> int:
    """By the ensemble's own word, else by those that the plane knows."""
    said = [int(size) for one in nodes if (size := one.number("quorum_size"))]
    return (max(said) if said else len(voters(nodes))) // 2 + 1


def that_speak(picture: Picture, found: Found) -> Iterator[tuple[Seen, Subject]]:
    """Each node that has figures now; of the others nothing can be said."""
    for node in picture.nodes:
        subject = Subject(node.ensemble, node.node)
        if node.own is None:
            found.blind.add(subject)
        else:
            yield node, subject


@check("quorum-lost")
def quorum_lost(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for ensemble, nodes in picture.ensembles.items():
        mine = voters(nodes)
        if not mine:
            continue
        if any(state_of(one) in LEADS for one in mine if one.own is not None):
            continue
        if any(one.own is None and not one.problem for one in mine):
            found.blind.add(Subject(ensemble))
            continue
        alive = [one.node for one in mine if one.own is not None]
        gone = {one.node: one.problem for one in mine if one.own is None}
        say = (
            f"{ensemble}: {len(alive)} of {len(mine)} voters answer, and none of them leads"
            if alive
            else f"{ensemble}: none of its {len(mine)} voters answers"
        )
        needed = majority(nodes)
        found.add(Subject(ensemble), say, None, answer=alive, needed=needed, gone=gone)
    return found


@check("quorum-at-risk")
def quorum_at_risk(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for ensemble, nodes in picture.ensembles.items():
        mine = voters(nodes)
        if len(mine) < 2:
            continue
        alive = [one for one in mine if one.own is not None]
        gone = {one.node: one.problem for one in mine if one.is_gone}
        if len(alive) + len(gone) < len(mine):
            found.blind.add(Subject(ensemble))
        elif gone and len(alive) == majority(nodes):
            say = f"{ensemble}: {len(alive)} of {len(mine)} voters are left, {len(alive)} needed"
            names = [one.node for one in alive]
            found.add(Subject(ensemble), say, None, answer=names, gone=gone)
    return found


@check("node-gone")
def node_gone(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for node in picture.nodes:
        if node.own is not None or not node.is_configured:
            continue
        subject = Subject(node.ensemble, node.node)
        if node.problem:
            say = f"{node.ensemble}/{node.node} does not answer"
            found.add(subject, say, node.problem_since, problem=node.problem)
        else:
            found.blind.add(subject)
    return found


@check("node-behind")
def node_behind(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for nodes in picture.ensembles.values():
        leader = next((one for one in nodes if one.own and state_of(one) in LEADS), None)
        head = None if leader is None else zxid_of(leader.own or {})
        for node in nodes:
            subject = Subject(node.ensemble, node.node)
            if node is leader:
                continue
            zxid = zxid_of(node.own or {})
            if head is None or zxid is None:
                found.blind.add(subject)
                continue
            # Of another epoch it is not known how many are missing: it is being synchronised.
            behind = head - zxid if head >> ZXID_BITS == zxid >> ZXID_BITS else None
            if behind is not None and behind > value:
                say = f"{node.ensemble}/{node.node} is {behind:,} transactions behind"
                evidence = {"zxid": f"{zxid:#x}", "leader": f"{head:#x}", "behind": behind}
                found.add(subject, say, None, **evidence)
    return found


@check("sync-slow")
def sync_slow(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for node in picture.nodes:
        subject = Subject(node.ensemble, node.node)
        syncs, spent = node.gained("cnt_fsynctime", 300), node.gained("sum_fsynctime", 300)
        if syncs is None or spent is None:
            found.blind.add(subject)
        elif syncs and spent / syncs > value:
            each = spent / syncs
            say = f"{node.ensemble}/{node.node}: a sync takes {each:,.0f} ms on average"
            found.add(subject, say, None, ms=round(each, 1), syncs=int(syncs), seconds=300)
    return found


def growing(name: str, figure: str, words: str) -> None:
    """A rule on how much a counter grows in ten minutes."""

    @check(name)
    def grows(rule: Rule, value: float, picture: Picture) -> Found:
        found = Found()
        for node in picture.nodes:
            subject = Subject(node.ensemble, node.node)
            gained = node.gained(figure, 600)
            if gained is None:
                if node.own is None or figure in node.own:
                    found.blind.add(subject)
            elif gained > value:
                say = f"{node.ensemble}/{node.node}: {gained:,.0f} {words} in ten minutes"
                found.add(subject, say, None, figure=figure, count=int(gained), seconds=600)
        return found


growing("sync-stalls", "fsync_threshold_exceed_count", "syncs over the threshold")
growing("journal-loses", "audit_missing", "lines of the journal were lost")


def gauge(name: str, figure: str, words: str) -> None:
    """A rule on one figure of a node. Who has no such figure is none of its business."""

    @check(name)
    def is_over(rule: Rule, value: float, picture: Picture) -> Found:
        assert rule.bound is not None
        found = Found()
        for node, subject in that_speak(picture, found):
            amount = node.number(figure)
            if amount is not None and rule.bound.is_over(amount, value):
                say = f"{node.ensemble}/{node.node}: {words.format(amount)}"
                found.add(subject, say, None, **{figure: amount, "bound": value})
        return found


gauge("requests-pile-up", "outstanding_requests", "{:,.0f} requests wait")
gauge("many-znodes", "znode_count", "{:,.0f} znodes")
gauge("much-data", "approximate_data_size", "{:,.0f} bytes of data")


@check("clock-apart")
def clock_apart(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for node, subject in that_speak(picture, found):
        apart = node.number("clock_ahead_ms")
        if apart is not None and abs(apart) > value:
            way = "ahead of" if apart > 0 else "behind"
            say = f"{node.ensemble}/{node.node} is {abs(apart) / 1_000:,.1f} s {way} the plane"
            found.add(subject, say, None, clock_ahead_ms=apart)
    return found


@check("certificate-ends")
def certificate_ends(rule: Rule, value: float, picture: Picture) -> Found:
    """Of the client port, as far as a node says when; what has ended still counts."""
    found = Found()
    for node, subject in that_speak(picture, found):
        end = node.number("client_certificate_end")
        if end is not None and end - picture.now_s < value * DAY_S:
            days = (end - picture.now_s) / DAY_S
            when = f"ends in {days:.0f} days" if days > 0 else "has ended"
            until = datetime.fromtimestamp(end, UTC).isoformat()
            say = f"{node.ensemble}/{node.node}: its certificate {when}"
            found.add(subject, say, None, until=until)
    return found


@check("files-run-out")
def files_run_out(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for node, subject in that_speak(picture, found):
        used = node.number("open_file_descriptor_count")
        most = node.number("max_file_descriptor_count")
        if used is not None and most and 100 * used / most > value:
            say = (
                f"{node.ensemble}/{node.node}: {100 * used / most:.0f} % of its open files are used"
            )
            found.add(subject, say, None, used=used, most=most)
    return found


@check("disk-full")
def disk_full(rule: Rule, value: float, picture: Picture) -> Found:
    """The disk of the snapshots and that of the log, which may be one."""
    found = Found()
    for node, _ in that_speak(picture, found):
        seen: set[tuple[float | None, float | None]] = set()
        for of in ("datadir", "logdir"):
            free, whole = node.number(f"{of}_free_bytes"), node.number(f"{of}_disk_bytes")
            if (free, whole) in seen:
                continue  # one disk, asked at one moment: one alert
            seen.add((free, whole))
            if free is not None and whole and 100 * free / whole < value:
                percent = 100 * free / whole
                say = f"{node.ensemble}/{node.node}: {percent:.1f} % of the disk of {of} is free"
                subject = Subject(node.ensemble, node.node, of=of)
                found.add(subject, say, None, free_bytes=free, disk_bytes=whole)
    return found


@check("trees-differ")
def trees_differ(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    for node, subject in that_speak(picture, found):
        count = node.number("digest_mismatches_count")
        if count:
            say = f"{node.ensemble}/{node.node}: its tree differs from the leader's"
            found.add(subject, say, None, digest_mismatches_count=int(count))
    return found
