"""The parts of an audit page: timeline, facets, and a line in words."""

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from django.urls import reverse

from console import formats
from observability import history
from observability.asked import Asked, written
from observability.history import HistoryError
from observability.timeline import Timeline
from observability.trail import Facets, Line
from tenants.models import Tenant

WIDTH: Final = 1_000  # of the timeline's drawing, in its own units
HEIGHT: Final = 72
GAP: Final = 1.5
FACET_NAMES: Final = {
    "principal": ("person", "Who"),
    "operation": ("operation", "What"),
    "result": ("result", "Result"),
    "tenant": ("tenant", "Tenant"),
    "node": ("node", "Node"),
}
SHOWN_BYTES_MAX: Final = 20_000  # of one value
DIFF_LINES_MAX: Final = 300
VERBS: Final = {
    "create": "created",
    "create2": "created",
    "createContainer": "created the container",
    "createTTL": "created, with a time to live,",
    "delete": "deleted",
    "deleteContainer": "deleted the container",
    "setData": "changed the data of",
    "setACL": "changed the ACL of",
    "getData": "read",
    "getChildren": "listed",
    "closeSession": "ended its session",
    "createSession": "began a session",
    "auth": "signed in",
    "multi": "changed several at once",
}
CHANGES: Final = frozenset(
    {"create", "create2", "createContainer", "createTTL", "delete", "deleteContainer", "setData",
     "setACL"}
)  # fmt: skip


def at_of(ms: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A bar as it is drawn, and the search that it leads to. The numbers are text for SVG."""

    x: str
    y: str
    width: str
    height: str
    count: int
    is_more: bool
    since: datetime | None
    until: datetime | None
    address: str


def drawn(found: Timeline, asked: Asked) -> list[Drawn]:
    most = found.most or 1
    step = WIDTH / max(1, len(found.bars))
    bars = []
    for at, bar in enumerate(found.bars):
        # A single line among thousands is seen, too.
        height = max(3.0, HEIGHT * bar.count / most) if bar.count else 0.0
        times = {"since": written(bar.since_ms), "until": written(bar.until_ms), "span": ""}
        bars.append(
            Drawn(
                f"{at * step:.1f}", f"{HEIGHT - height:.1f}", f"{max(1.0, step - GAP):.1f}",
                f"{height:.1f}", bar.count, bar.is_more, at_of(bar.since_ms), at_of(bar.until_ms),
                asked.address(**times),
            )
        )  # fmt: skip
    return bars


@dataclass(frozen=True, slots=True)
class Facet:
    """One name with its values: value, how often, the address that narrows to it or opens again."""

    label: str
    values: list[tuple[str, int, str, bool]]


def facets_of(found: Facets, asked: Asked, *, of_tenant: bool) -> list[Facet]:
    listed = []
    for name, (asks, label) in FACET_NAMES.items():
        if of_tenant and name == "tenant":
            continue
        values = []
        for value, count in found.counts.get(name, []):
            is_on = asked.values.get(asks, "").removeprefix("operator:") == value.removeprefix(
                "operator:"
            )
            address = asked.less(asks) if is_on else asked.address(**{asks: value})
            values.append((value, count, address, is_on))
        if values:
            listed.append(Facet(label, values))
    return listed


def sentence(line: Line) -> tuple[str, str, str]:
    """Who, did what, to what."""
    who = line.principal or ("the collector" if line.origin == "collector" else "somebody")
    did = VERBS.get(line.operation, line.operation)
    if line.result not in ("Ok", "ok", ""):
        did = f"was refused ({line.result}): {line.operation}"
    return who, did, line.path


def znode_links(
    line: Line, tenant: Tenant | None, *, reads: bool, may_revert: bool
) -> list[tuple[str, str]]:
    """Ways to the znode that a line is about: its revision, where it is taken back, too."""
    if line.origin != "node" or not line.path.startswith("/") or line.is_asked or tenant is None:
        return []
    asked = {} if line.zxid is None else {"zxid": f"{line.zxid:#x}"}
    znode = reverse("tenant-znode", kwargs={"slug": tenant.slug, "name": line.path[1:]})
    past = reverse("tenant-history", args=[tenant.slug])
    found = [("Its history", f"{past}?{urlencode({'path': line.path, **asked})}")]
    if reads:
        words = "Revert it" if may_revert else "The znode"
        found.insert(0, (words, f"{znode}?{urlencode(asked)}" if asked else znode))
    return found


@dataclass(frozen=True, slots=True)
class Diff:
    """What a line changed of a value. `why`: why there is nothing to show."""

    lines: list[tuple[str, str]]
    why: str = ""
    is_cut: bool = False


def diff_of(line: Line, tenant: Tenant, *, sees_closed: bool) -> Diff | None:
    """The value that a line wrote, beside the one before; None where a line writes none."""
    if line.zxid is None or line.operation not in CHANGES or line.result != "Ok" or line.is_asked:
        return None
    try:
        after, before = (
            history.value_at(line.path, tenant=tenant, zxid=zxid, sees_closed=sees_closed)
            for zxid in (line.zxid, line.zxid - 1)
        )
    except HistoryError:
        return None
    if after is None or after.zxid != line.zxid:
        return Diff([], "the collector has no revision of it")
    if after.why or (before is not None and before.why):
        why = after.why or (before.why if before is not None else "")
        return Diff([], history.words(why))
    old = text_of(None if before is None else before.value)
    new = text_of(after.value)
    compared = difflib.ndiff(old, new)
    kinds = {"-": "gone", "+": "new", " ": ""}
    lines = [(kinds[one[0]], one[2:]) for one in compared if one[0] in kinds]
    return Diff(lines[:DIFF_LINES_MAX], "", len(lines) > DIFF_LINES_MAX)


def text_of(value: bytes | None) -> list[str]:
    return [] if value is None else formats.show(value[:SHOWN_BYTES_MAX]).text.splitlines()


def fields_of(line: Line) -> list[tuple[str, object]]:
    """All that a line says, in the order of a reader's questions."""
    fields = line.fields()
    detail = fields.pop("detail")
    order = (
        *("principal", "operation", "within", "path", "result", "tenant", "zxid", "session"),
        *("address", "origin", "ensemble", "node", "chain", "seq", "part"),
    )
    found: list[tuple[str, object]]
    found = [(name, str(fields[name])) for name in order if fields[name] not in ("", None)]
    found += [(str(name), value) for name, value in detail.items()]
    return found
