"""Rows of the trail: made of a journal's line, of an action of the plane, of the collector's word.

What a node says is not trusted to be short or printable: every text has a bound.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ensemble.tenancy.journal_line import Line
from observability.roots import Roots
from tenants.models import AuditEvent

COLUMNS: Final = (
    *("at", "origin", "ensemble", "node", "chain", "seq", "part", "tenant", "is_foreign"),
    *("principal", "person", "operation", "within", "path", "is_asked", "result", "zxid"),
    *("session", "address", "detail", "hash", "prev"),
)
PATH_MAX: Final = 600
DETAIL_MAX: Final = 8_000
OPERATOR: Final = "operator:"
DETAILS: Final = (
    *("scheme", "command", "status", "reason", "missing", "n_to", "zxid_to", "run", "continued"),
)
ZXID_MAX: Final = (1 << 63) - 1
BINDINGS: Final = "/zookeeper/tenants/"  # below it the znodes by which sessions are tenants'

Row = tuple[object, ...]


@dataclass(slots=True)
class Entry:
    """A row before it is one."""

    at: int
    origin: str
    ensemble: str
    node: str = ""
    chain: int = 1
    seq: int | None = None
    part: int = 0
    tenant: str = ""
    is_foreign: bool = False
    principal: str = ""
    operation: str = ""
    within: str = ""
    path: str = ""
    is_asked: bool = False
    result: str = ""
    zxid: int | None = None
    session: str = ""
    address: str = ""
    detail: str = ""
    hash: str = ""
    prev: str = ""

    def row(self) -> Row:
        """In the order of COLUMNS, each within its bounds."""
        detail = self.detail
        if len(self.path) > PATH_MAX:
            detail = json.dumps({"path": self.path, "more": detail})
        detail = clean(detail, DETAIL_MAX)
        principal = clean(self.principal, 500)
        return (
            self.at,
            self.origin,
            clean(self.ensemble, 63),
            clean(self.node, 100),
            self.chain,
            self.seq,
            self.part,
            clean(self.tenant, 63),
            self.is_foreign,
            principal,
            principal.removeprefix(OPERATOR),
            clean(self.operation, 60),
            clean(self.within, 20),
            clean(self.path, PATH_MAX),
            self.is_asked,
            clean(self.result, 40),
            self.zxid,
            clean(self.session, 20),
            clean(self.address, 60),
            detail,
            clean(self.hash, 64),
            clean(self.prev, 64),
        )


def clean(text: str, most: int) -> str:
    """What both databases take: no NUL, no half of a surrogate pair, not too long."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= most else text[:most]


def ms_of(text: str) -> int:
    """2026-11-21T11:54:40.147Z in ms since 1970.

    Raises:
        ValueError: it is no such time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no zone")
    return round(moment.timestamp() * 1_000)


def zxid_of(text: str) -> int | None:
    """0x4c as a number; None where it is none."""
    try:
        zxid = int(text, 16)
    except ValueError:
        return None
    return zxid if 0 <= zxid <= ZXID_MAX else None


def of_line(
    line: Line, ensemble: str, node: str, chain: int, roots: Roots, now_ms: int
) -> Iterator[Entry]:
    """The rows of a sound line; none for the first line of a segment."""
    operation = line.text("operation")
    if operation == "segment":
        return
    try:
        at = ms_of(line.text("time"))
    except ValueError:
        at = now_ms
    details = {name: line.fields[name] for name in DETAILS if name in line.fields}
    asked = line.text("asked")
    path = asked or line.text("path")
    tenant = line.text("tenant")
    whole = Entry(
        at=at,
        origin="node",
        ensemble=ensemble,
        node=node,
        chain=chain,
        seq=line.number("seq"),
        tenant=tenant or roots.tenant_of(path),
        is_foreign=not tenant,
        principal=line.text("principal"),
        operation=operation,
        path=path,
        is_asked=bool(asked),
        result=line.text("result"),
        zxid=zxid_of(line.text("zxid")),
        session=line.text("session"),
        address=line.text("address"),
        detail=json.dumps(details) if details else "",
        hash=line.hash,
        prev=line.prev,
    )
    parts, is_asked = parts_of(line)
    if not line.fields.get("continued") or not parts:
        yield whole
    for part, (inner, inner_path) in enumerate(parts, 1):
        if operation == "closeSession" and inner_path.startswith(BINDINGS):
            continue  # that it was a tenant's ends with a session: nobody has deleted anything
        yield Entry(
            at=at,
            origin="node",
            ensemble=ensemble,
            node=node,
            chain=chain,
            seq=whole.seq,
            part=part,
            tenant=tenant or roots.tenant_of(inner_path),
            is_foreign=not tenant,
            principal=whole.principal,
            operation=inner,
            within=operation,
            path=inner_path,
            is_asked=is_asked,
            result=whole.result,
            zxid=whole.zxid,
            session=whole.session,
            address=whole.address,
        )


def parts_of(line: Line) -> tuple[list[tuple[str, str]], bool]:
    """(operation, path) of each part, and whether the paths are as the client wrote them."""
    for name in ("paths", "asked_paths"):
        listed = line.fields.get(name)
        if isinstance(listed, list):
            return [
                (str(part.get("operation", "")), str(part.get("path", "")))
                for part in listed
                if isinstance(part, dict)
            ], name == "asked_paths"
    return [], False


def of_broken(line: Line, ensemble: str, node: str, chain: int, seq: int, now_ms: int) -> Entry:
    """A line that is not what its hash says: that it was there, and what is wrong with it."""
    return of_collector(ensemble, node, chain, now_ms, "broken", "broken", line.why, seq=seq)


def of_gap(ensemble: str, node: str, chain: int, reason: str, now_ms: int) -> Entry:
    """Something is missing in what was collected, and why."""
    return of_collector(ensemble, node, chain, now_ms, "gap", "missing", reason)


def of_collector(
    ensemble: str,
    node: str,
    chain: int,
    now_ms: int,
    operation: str,
    result: str,
    reason: str,
    seq: int | None = None,
) -> Entry:
    """What the collector itself has to say about a chain."""
    return Entry(
        at=now_ms,
        origin="collector",
        ensemble=ensemble,
        node=node,
        chain=chain,
        seq=seq,
        operation=operation,
        result=result,
        detail=json.dumps({"reason": reason}),
    )


def of_event(event: AuditEvent) -> Entry:
    """An action of the plane."""
    at = event.at if event.at.tzinfo is not None else event.at.replace(tzinfo=UTC)
    details: dict[str, object] = {"via": event.via}
    if event.detail:
        details["detail"] = event.detail
    return Entry(
        at=round(at.timestamp() * 1_000),
        origin="plane",
        ensemble=event.ensemble,
        seq=event.seq,
        tenant=event.tenant,
        is_foreign=True,
        principal=event.actor or ("plane" if event.via == "plane" else ""),
        operation=event.verb,
        path=event.target,
        result="Ok" if event.result == "ok" else event.result,
        address=event.address,
        detail=json.dumps(details),
        hash=event.hash,
        prev=event.previous,
    )
