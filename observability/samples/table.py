"""The samples' tables: written, rolled up, pruned. Plain SQL, the same in both databases.

A row holds what was counted in the `span` seconds up to and with second `at`, and what there was at
its end. Rolled up, counts are added and histograms merged, so a minute's row says the same as its
sixty seconds'. Doing it twice changes nothing.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from django.conf import settings
from django.db import connections

from observability.samples.node import USAGE
from observability.samples.totals import COUNTS, ClassTotals, Totals, decode
from observability.store import ALIAS

RESOLUTIONS: Final = (1, 10, 60, 3_600)
KEEP_S: Final[dict[int, int]] = {1: 3_600, 10: 86_400, 60: 30 * 86_400, 3_600: 400 * 86_400}
COLUMNS: Final = ("series", "at", "span", *COUNTS, *USAGE, "shape", "own")
FIRST_COUNT: Final = 3
FIRST_USAGE: Final = FIRST_COUNT + len(COUNTS)
SHAPE: Final = FIRST_USAGE + len(USAGE)
AT_ONCE_MAX: Final = 500  # series in one statement

Row = tuple[Any, ...]


@dataclass(slots=True)
class Sample:
    """A row, read."""

    at: int
    span: int
    totals: Totals
    usage: dict[str, int]
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def began(self) -> int:
        return self.at - self.span + 1


def table(resolution: int) -> str:
    assert resolution in RESOLUTIONS, f"{resolution} is none of {RESOLUTIONS}"
    return f"observability_sample_{resolution}"


def keep_s(resolution: int) -> int:
    """How long samples of this resolution are kept: the setting OBSERVED_KEEP_S, by resolution."""
    kept: dict[int, int] = getattr(settings, "OBSERVED_KEEP_S", KEEP_S)
    return kept[resolution]


def row_of(
    series: int, at: int, span: int, totals: Totals, usage: dict[str, int], own: str = ""
) -> Row:
    amounts = [usage.get(what, 0) for what in USAGE]
    return (series, at, span, *totals.counts, *amounts, totals.encode(), own)


def sample_of(row: Row) -> Sample:
    totals = Totals()
    totals.counts = [int(n) for n in row[FIRST_COUNT:FIRST_USAGE]]
    totals.classes = decode(bytes(row[SHAPE]))
    usage = dict(zip(USAGE, row[FIRST_USAGE:SHAPE], strict=True))
    own = json.loads(row[SHAPE + 1]) if row[SHAPE + 1] else {}
    return Sample(row[1], row[2], totals, usage, own)


def write(resolution: int, rows: Iterable[Row]) -> None:
    """Add rows; one that is there already is replaced."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])
    sql = (
        f"INSERT INTO {table(resolution)} ({', '.join(COLUMNS)}) "
        f"VALUES ({', '.join(['%s'] * len(COLUMNS))}) "
        f"ON CONFLICT (series, at) DO UPDATE SET {changes}"
    )
    with connections[ALIAS].cursor() as cursor:
        cursor.executemany(sql, cast("list[tuple[str, ...]]", list(rows)))


def read(resolution: int, series: int, first: int, last: int) -> list[Sample]:
    """The samples of seconds `first` to `last`, both included, ascending."""
    sql = (
        f"SELECT {', '.join(COLUMNS)} FROM {table(resolution)} "
        "WHERE series = %s AND at >= %s AND at <= %s ORDER BY at"
    )
    return [sample_of(row) for row in ask(sql, (series, first, last))]


def read_many(resolution: int, series: list[int], first: int, last: int) -> dict[int, list[Sample]]:
    """The same of several series at once; those without samples are missing."""
    found: dict[int, list[Sample]] = {}
    for begin in range(0, len(series), AT_ONCE_MAX):
        some = series[begin : begin + AT_ONCE_MAX]
        sql = (
            f"SELECT {', '.join(COLUMNS)} FROM {table(resolution)} "
            f"WHERE series IN ({', '.join(['%s'] * len(some))}) AND at >= %s AND at <= %s "
            "ORDER BY series, at"
        )
        for row in ask(sql, (*some, first, last)):
            found.setdefault(int(row[0]), []).append(sample_of(row))
    return found


def spans(resolution: int, series: int, first: int, last: int) -> list[tuple[int, int]]:
    """(at, span) of the samples, without what they say."""
    sql = (
        f"SELECT at, span FROM {table(resolution)} "
        "WHERE series = %s AND at >= %s AND at <= %s ORDER BY at"
    )
    return [(int(at), int(span)) for at, span in ask(sql, (series, first, last))]


def last_second(series: list[int]) -> int:
    """The newest second of several series; 0 where there is none."""
    newest_of = (ask(f"SELECT MAX(at) FROM {table(1)} WHERE series = %s", (one,)) for one in series)
    return max((int(rows[0][0] or 0) for rows in newest_of), default=0)


def newest(resolution: int, series: int) -> Sample | None:
    sql = (
        f"SELECT {', '.join(COLUMNS)} FROM {table(resolution)} "
        "WHERE series = %s ORDER BY at DESC LIMIT 1"
    )
    rows = ask(sql, (series,))
    return sample_of(rows[0]) if rows else None


def roll_up(resolution: int, series: Iterable[int], first: int, last: int) -> None:
    """Make the rows of a resolution for windows that end within `first` to `last`.

    A window of 10 ends with second 9 of ten; its row stands at that second.
    """
    finer = RESOLUTIONS[RESOLUTIONS.index(resolution) - 1]
    begin = first // resolution * resolution
    rows: list[Row] = []
    for one in series:
        windows: dict[int, list[Sample]] = {}
        for sample in read(finer, one, begin, last):
            windows.setdefault(sample.at // resolution, []).append(sample)
        for window, samples in windows.items():
            end = (window + 1) * resolution - 1
            if first <= end <= last:
                rows.append(merged(one, end, samples))
    if rows:
        write(resolution, rows)


def merged(series: int, at: int, samples: list[Sample]) -> Row:
    totals = Totals()
    for sample in samples:
        totals.add(sample.totals)
    began = min(sample.began for sample in samples)
    latest = samples[-1]
    own = json.dumps(latest.own, separators=(",", ":")) if latest.own else ""
    return row_of(series, at, at - began + 1, totals, latest.usage, own)


def prune(series: Iterable[int], now_s: int) -> int:
    """Remove what is older than its resolution is kept; how many rows went."""
    gone = 0
    with connections[ALIAS].cursor() as cursor:
        for resolution in RESOLUTIONS:
            sql = f"DELETE FROM {table(resolution)} WHERE series = %s AND at < %s"
            for one in series:
                cursor.execute(sql, (one, now_s - keep_s(resolution)))
                gone += cursor.rowcount
    return gone


def forget_after(series: Iterable[int], at: int) -> None:
    """Remove everything behind second `at`: it will be counted once more, from a baseline."""
    with connections[ALIAS].cursor() as cursor:
        for resolution in RESOLUTIONS:
            for one in series:
                cursor.execute(
                    f"DELETE FROM {table(resolution)} WHERE series = %s AND at > %s", (one, at)
                )


# Series


def series_ids(ensemble: str, kind: str) -> dict[str, int]:
    """Numbers of the series of an ensemble by name; `kind`: tenant or node."""
    sql = "SELECT name, id FROM observability_series WHERE ensemble = %s AND kind = %s"
    return {str(name): int(one) for name, one in ask(sql, (ensemble, kind))}


def ids_of(ensemble: str, kind: str, names: list[str]) -> dict[str, int]:
    """The same of some names only."""
    found: dict[str, int] = {}
    for begin in range(0, len(names), AT_ONCE_MAX):
        some = names[begin : begin + AT_ONCE_MAX]
        sql = (
            "SELECT name, id FROM observability_series WHERE ensemble = %s AND kind = %s "
            f"AND name IN ({', '.join(['%s'] * len(some))})"
        )
        rows = ask(sql, (ensemble, kind, *some))
        found |= {str(name): int(one) for name, one in rows}
    return found


def make_series(ensemble: str, kind: str, names: Iterable[str]) -> dict[str, int]:
    with connections[ALIAS].cursor() as cursor:
        cursor.executemany(
            "INSERT INTO observability_series (ensemble, kind, name) VALUES (%s, %s, %s) "
            "ON CONFLICT (ensemble, kind, name) DO NOTHING",
            [(ensemble, kind, name) for name in names],
        )
    return series_ids(ensemble, kind)


def ask(sql: str, params: tuple[Any, ...] = ()) -> list[Row]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[Row] = cursor.fetchall()
        return rows


# Baselines


def encode_account(name: str, totals: Totals) -> bytes:
    """One tenant's figures since a node's start."""
    shape = totals.encode()
    head = json.dumps([name, totals.counts, len(shape)], separators=(",", ":")).encode()
    return head + b"\n" + shape


def encode_accounts(accounts: dict[str, Totals]) -> bytes:
    """All of a node."""
    return b"".join([encode_account(name, totals) for name, totals in accounts.items()])


def decode_accounts(raw: bytes) -> dict[str, Totals]:
    accounts: dict[str, Totals] = {}
    at = 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        name, counts, size = json.loads(raw[at:end])
        totals = accounts[name] = Totals()
        totals.counts = counts
        shape: dict[int, ClassTotals] = decode(raw[end + 1 : end + 1 + size])
        totals.classes = shape
        at = end + 1 + size
    return accounts


def keep_baselines(rows: list[Row]) -> None:
    """(ensemble, node, at, uptime_ms, accounts) of each node, in the place of those before."""
    with connections[ALIAS].cursor() as cursor:
        cursor.executemany(
            "INSERT INTO observability_baseline (ensemble, node, at, uptime_ms, accounts) "
            "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (ensemble, node) DO UPDATE SET "
            "at = excluded.at, uptime_ms = excluded.uptime_ms, accounts = excluded.accounts",
            cast("list[tuple[str, ...]]", rows),
        )
