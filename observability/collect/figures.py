"""One ensemble's figures, second by second: nodes are asked, differences summed, rows written.

Every ten seconds a checkpoint: in one transaction the second's rows, the rows rolled up, and the
baselines, which are what each node had counted until then. A collector that begins removes what
lies behind the last checkpoint and goes on from its baselines, so that everything is counted once
whenever the one before was killed; its first row then stands for more than a second (`span`).
"""

import json
from typing import Final

from django.db import transaction

from observability.samples import table
from observability.samples.node import Look, NodeFigures, together
from observability.samples.table import Row
from observability.samples.totals import Totals
from observability.store import ALIAS, fence

CHECKPOINT_S: Final = 10
SERIES_MAX: Final = 20_000  # of an ensemble; further tenants have none
WHOLE_EVERY_S: Final = 60  # then everybody has a row, also who does nothing
OWN_BYTES_MAX: Final = 8_000
PRUNE_EVERY_S: Final = 600
HOUR_S: Final = 3_600
HOURS_SPREAD: Final = 60  # checkpoints over which an hour is rolled up: all at once takes seconds


class EnsembleFigures:
    """What has been counted and is not written yet; nodes' baselines."""

    def __init__(self, ensemble: str) -> None:
        self.ensemble: Final = ensemble
        self.nodes: dict[str, NodeFigures] = {}
        self.pending: dict[tuple[str, str], Totals] = {}  # by kind and name
        self.series: dict[tuple[str, str], int] = {}
        self.usage: dict[str, dict[str, int]] = {}  # as it was written last, by tenant
        self.written_at = 0
        self.checked_at = 0  # of the last checkpoint
        self.touched: set[int] | None = None  # have rows since the last checkpoint; None: unknown
        self.encoded: dict[str, dict[str, tuple[Totals, bytes]]] = {}  # the last baselines
        self.restarts = 0
        self.hours_due: list[
            tuple[int, int]
        ] = []  # (series, the hour's last second), the last first

    # In the SQL thread

    def load(self, term: int) -> None:
        """Begin where the last checkpoint is."""
        with transaction.atomic(using=ALIAS):
            fence(term)
            for kind in ("tenant", "node"):
                found = table.series_ids(self.ensemble, kind)
                self.series |= {(kind, name): one for name, one in found.items()}
            rows = table.ask(
                "SELECT node, at, uptime_ms, accounts FROM observability_baseline "
                "WHERE ensemble = %s",
                (self.ensemble,),
            )
            for node, at, uptime_ms, accounts in rows:
                figures = self.nodes[str(node)] = NodeFigures()
                figures.uptime_ms = uptime_ms
                figures.before = table.decode_accounts(bytes(accounts))
                self.checked_at = max(self.checked_at, at)
            self.written_at = self.checked_at
            if self.checked_at:
                table.forget_after(self.series.values(), self.checked_at)
                # The one before may have ended within its hour, or before that was rolled up.
                end = self.checked_at // HOUR_S * HOUR_S - 1
                self.hours_due = [(one, end) for one in self.series.values()]

    def save(self, term: int, at: int) -> None:
        """Write the second `at`; a checkpoint where one is due."""
        with transaction.atomic(using=ALIAS):  # of its own: numbers that were given stay
            fence(term)
            self.name_series()
        usage = self.usage_now()
        with transaction.atomic(using=ALIAS):
            fence(term)
            rows = self.rows(at, usage)
            table.write(1, rows)
            if at // CHECKPOINT_S != self.checked_at // CHECKPOINT_S:
                self.checkpoint(at)
        if at // CHECKPOINT_S != self.checked_at // CHECKPOINT_S:
            self.checked_at = at
            self.touched = {int(row[0]) for row in rows}
        elif self.touched is not None:
            self.touched.update(int(row[0]) for row in rows)
        self.pending.clear()
        self.usage = usage
        self.written_at = at

    def name_series(self) -> None:
        """Give a number to who has none yet."""
        for kind, names in (("tenant", self.tenant_names()), ("node", set(self.nodes))):
            fresh = [name for name in names if (kind, name) not in self.series]
            if fresh and len(self.series) + len(fresh) <= SERIES_MAX:
                found = table.make_series(self.ensemble, kind, fresh)
                self.series |= {(kind, name): one for name, one in found.items()}

    def tenant_names(self) -> set[str]:
        found: set[str] = set()
        for figures in self.nodes.values():
            if figures.latest is not None and figures.latest.has_tenants:
                found.update(figures.latest.accounts)
        return found

    def rows(self, at: int, usage: dict[str, dict[str, int]]) -> list[Row]:
        span = at - self.written_at if self.written_at else 1
        whole = at // WHOLE_EVERY_S != self.written_at // WHOLE_EVERY_S
        nothing = Totals()
        rows: list[Row] = []
        for (kind, name), one in self.series.items():
            totals = self.pending.get((kind, name))
            if kind == "node":
                figures = self.nodes.get(name)
                if figures is None or figures.latest is None:
                    if totals is not None:
                        rows.append(table.row_of(one, at, span, totals, {}))
                    continue
                own = json.dumps(figures.latest.own, separators=(",", ":"))
                if len(own) > OWN_BYTES_MAX:
                    own = ""
                rows.append(table.row_of(one, at, span, totals or nothing, {}, own))
                continue
            now = usage.get(name, {})
            if totals is None and (not now or (now == self.usage.get(name) and not whole)):
                continue
            rows.append(table.row_of(one, at, span, totals or nothing, now))
        return rows

    def usage_now(self) -> dict[str, dict[str, int]]:
        by_tenant: dict[str, list[dict[str, int]]] = {}
        for figures in self.nodes.values():
            if figures.latest is not None:
                for name, usage in figures.latest.usage.items():
                    by_tenant.setdefault(name, []).append(usage)
        return {name: together(usages) for name, usages in by_tenant.items()}

    def checkpoint(self, at: int) -> None:
        """Roll up what has ended, and keep what the next collector goes on from."""
        every = list(self.series.values())
        since = self.checked_at + 1 if self.checked_at else at
        touched = every if self.touched is None else self.touched
        table.roll_up(10, touched, since, at)
        if self.checked_at // 60 != at // 60:
            table.roll_up(60, every, since, at)
        if self.checked_at and self.checked_at // HOUR_S != at // HOUR_S:
            end = (self.checked_at // HOUR_S + 1) * HOUR_S - 1
            self.hours_due = [(one, end) for one in every] + self.hours_due
        self.roll_up_hours()
        if self.checked_at // PRUNE_EVERY_S != at // PRUNE_EVERY_S:
            table.prune(every, at)
        rows = [
            (self.ensemble, name, at, figures.uptime_ms, self.encode(name, figures.before))
            for name, figures in self.nodes.items()
            if figures.uptime_ms >= 0
        ]
        table.keep_baselines(rows)

    def roll_up_hours(self) -> None:
        """Some of the hours that are due; the whole of it is done in ten minutes."""
        for _ in range(-(-max(len(self.series), len(self.hours_due)) // HOURS_SPREAD)):
            if not self.hours_due:
                return
            one, end = self.hours_due.pop()
            table.roll_up(HOUR_S, [one], end - HOUR_S + 1, end)

    def encode(self, node: str, accounts: dict[str, Totals]) -> bytes:
        """A node's baseline; of who did nothing since the last one it is at hand."""
        last = self.encoded.get(node, {})
        made: dict[str, tuple[Totals, bytes]] = {}
        for name, totals in accounts.items():
            kept = last.get(name)
            if kept is None or kept[0] is not totals:
                kept = (totals, table.encode_account(name, totals))
            made[name] = kept
        self.encoded[node] = made
        return b"".join([encoded for _, encoded in made.values()])

    # In the loop

    def take(self, node: str, look: Look) -> None:
        """Add a look at a node to what is to be written."""
        figures = self.nodes.setdefault(node, NodeFigures())
        gain = figures.take(look)
        self.restarts += gain.is_restart
        own = Totals()
        for name, totals in gain.accounts.items():
            own.add(totals)
            if not look.has_tenants:
                continue
            pending = self.pending.setdefault(("tenant", name), Totals())
            pending.add(totals)
        if not own.is_nothing:
            self.pending.setdefault(("node", node), Totals()).add(own)

    def miss(self, node: str) -> None:
        """It does not answer: what it said of itself before is not so any more."""
        if node in self.nodes:
            self.nodes[node].latest = None
