"""What the address of an audit page asks for, and addresses that ask for more, less or else.

A search is its address: it can be sent to somebody, saved, and followed with the back button. A
value that is none is named, not dropped: an auditor must not take another search for theirs.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from django.http import QueryDict

from observability.trail import Query, QueryError

WORD_MAX: Final = 150
PATH_MAX: Final = 1_000
WORDS: Final = ("tenant", "person", "operation", "result", "node", "origin", "session", "ensemble")
NAMES: Final = (*WORDS, "path", "failed", "zxid", "since", "until", "span")
SPANS: Final = {
    "1h": (3_600, "the last hour"),
    "24h": (86_400, "the last day"),
    "7d": (7 * 86_400, "the last week"),
    "30d": (30 * 86_400, "the last 30 days"),
}
LABELS: Final = {
    "tenant": "tenant", "person": "who", "operation": "what", "result": "result", "node": "node",
    "origin": "from", "session": "session", "ensemble": "ensemble", "path": "at or below",
    "failed": "", "zxid": "zxid", "since": "from", "until": "before", "span": "",
}  # fmt: skip
ZXID: Final = re.compile(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, by the names of the address. Empty values are left out."""

    values: Mapping[str, str]

    def address(self, **changed: str) -> str:
        """`?...` with some values changed; an empty one is left out, and so is the page."""
        kept = {**self.values, **changed}
        return "?" + urlencode({name: value for name, value in kept.items() if value})

    def less(self, *names: str) -> str:
        return self.address(**dict.fromkeys(names, ""))

    @property
    def chips(self) -> list[tuple[str, str, str]]:
        """What narrows the search: in words, and the address without it."""
        found = []
        for name, value in self.values.items():
            words = value
            if name == "failed":
                words = "refused or failed"
            elif name == "span":
                words = SPANS[value][1] if value in SPANS else value
            found.append((LABELS[name], words, self.less(name)))
        return found

    def query(self) -> Query:
        """Raises QueryError: a value is none, with the name and what to use."""
        words = {name: self.values.get(name, "") for name in WORDS}
        since, until = read_time(self.values, "since"), read_time(self.values, "until")
        span = self.values.get("span", "")
        if span:
            if span not in SPANS:
                raise QueryError(f"span is {span[:20]!r}; use {', '.join(SPANS)}")
            since = int((time.time() - SPANS[span][0]) * 1_000)
        if since is not None and until is not None and since >= until:
            raise QueryError("the time begins when it has ended: exchange from and before")
        zxid = self.values.get("zxid", "")
        if zxid and not ZXID.fullmatch(zxid):
            raise QueryError(f"zxid is {zxid[:40]!r}; use one like 0x700000001")
        return Query(
            **words,
            path=self.values.get("path", ""),
            failed=bool(self.values.get("failed")),
            zxid=min(int(zxid, 0), (1 << 63) - 1) if zxid else None,
            since_ms=since,
            until_ms=until,
        )


def asked_of(data: QueryDict, *, of_tenant: bool) -> Asked:
    """Only names that are known; a tenant's people ask for nothing of other places."""
    found: dict[str, str] = {}
    for name in NAMES:
        value = data.get(name, "").strip().replace("\0", "")
        if value and not (of_tenant and name in ("tenant", "ensemble")):
            found[name] = value[: PATH_MAX if name == "path" else WORD_MAX]
    return Asked(found)


def read_time(values: Mapping[str, str], name: str) -> int | None:
    """Milliseconds since 1970 of 2026-11-21T15:04:05Z; without a zone it is UTC.

    Raises:
        QueryError: it is no time.
    """
    text = values.get(name, "")
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(f"{name} is {text[:40]!r}; use a time like 2026-11-21T15:04") from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    try:
        return round(at.timestamp() * 1_000)
    except (OverflowError, OSError):
        raise QueryError(f"{name} is {text[:40]!r}; use a time like 2026-11-21T15:04") from None


def written(ms: int) -> str:
    """A time for an address."""
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")[:-4] + "Z"
