"""The trail as a file: CSV or JSON lines, line by line, without holding it."""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from observability.trail import Line, Query, walk
from tenants.models import Tenant

LINES_MAX: Final = 1_000_000
FORMATS: Final = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
HEAD: Final = (
    *("time", "origin", "ensemble", "node", "seq", "part", "tenant", "principal", "operation"),
    *("within", "path", "result", "zxid", "session", "address", "detail", "hash", "prev"),
)
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for more than text


class Echo:
    """A file for `csv` that hands back what it is given."""

    def write(self, text: str) -> str:
        return text


def lines_of(
    query: Query, *, form: str, tenant: Tenant | None = None, most: int = LINES_MAX
) -> Iterator[bytes]:
    """The file in pieces, newest line first; `form` is of FORMATS."""
    found = walk(query, tenant=tenant, most=most)
    if form == "jsonl":
        for line in found:
            fields = {"time": iso(line.at), **line.fields()}
            yield json.dumps(fields, separators=(",", ":")).encode() + b"\n"
        return
    assert form == "csv", f"{form} is none of {', '.join(FORMATS)}"
    writer = csv.writer(Echo())
    yield str(writer.writerow(HEAD)).encode()
    for line in found:
        yield str(writer.writerow([plain(cell) for cell in cells(line)])).encode()


def cells(line: Line) -> Iterator[str]:
    fields = line.fields()
    fields["time"] = iso(line.at)
    fields["detail"] = json.dumps(line.detail) if line.detail else ""
    for name in HEAD:
        value = fields[name]
        yield "" if value is None else str(value)


def plain(cell: str) -> str:
    """A client chooses paths and names: none of them becomes a formula in a spreadsheet."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def iso(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
