"""Which charts a dashboard has: titles, units, and the columns that each one draws.

The names of columns are those of `observability.dashboards`. Pages, the table without script, and
the charts' own tables all read this one list.
"""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Chart:
    """`columns`: (name, label) of each line; `prefix`: lines for all columns that begin so."""

    key: str
    title: str
    unit: str  # per_s, ms, ms_per_s, bytes, bytes_per_s, count
    columns: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    hint: str = ""
    blank: str = ""  # what is said where there is nothing to draw

    def fields(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "title": self.title,
            "unit": self.unit,
            "columns": [list(pair) for pair in self.columns],
            "prefix": self.prefix,
            "blank": self.blank,
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Charts that belong together."""

    title: str
    charts: tuple[Chart, ...]


UNITS: Final = {
    "per_s": "a second",
    "ms": "milliseconds",
    "ms_per_s": "ms a second",
    "bytes": "bytes",
    "bytes_per_s": "bytes a second",
    "count": "",
}


def quantiles(kind: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"{kind}.{word}", word) for word in ("p50", "p95", "p99"))


TRAFFIC: Final = Group(
    "Traffic",
    (
        Chart(
            "requests",
            "Requests",
            "per_s",
            (
                ("read.rate", "reads"),
                ("write.rate", "writes"),
                ("multi.rate", "multi"),
                ("watch.rate", "watches set"),
                ("sync.rate", "sync"),
                ("session.rate", "sessions ended"),
                ("ping.rate", "pings"),
                ("other.rate", "other"),
            ),
            blank="No request in this time.",
        ),
        Chart("traffic", "Bytes", "bytes_per_s", (("bytes_in", "in"), ("bytes_out", "out"))),
        Chart(
            "busy",
            "Thread time",
            "ms_per_s",
            (("busy_ms", "of the nodes' threads"),),
            hint="a node has 1,000",
        ),
    ),
)
LATENCY: Final = Group(
    "Latency",
    (
        Chart("read", "Reads", "ms", quantiles("read"), blank="No read in this time."),
        Chart("write", "Writes", "ms", quantiles("write"), blank="No write in this time."),
        Chart("multi", "Multi", "ms", quantiles("multi"), blank="No multi in this time."),
        Chart(
            "others",
            "Other requests, p99",
            "ms",
            (
                ("sync.p99", "sync"),
                ("watch.p99", "watches set"),
                ("session.p99", "sessions ended"),
                ("auth.p99", "signing in"),
                ("ping.p99", "pings"),
            ),
            blank="None in this time.",
        ),
        Chart(
            "delivery",
            "Watch events",
            "ms",
            quantiles("delivery"),
            hint="from the commit to the socket",
            blank="No watch fired in this time.",
        ),
    ),
)
TROUBLE: Final = Group(
    "Errors and waiting",
    (
        Chart(
            "errors",
            "Errors by code",
            "per_s",
            prefix="code.",
            blank="No request failed in this time.",
        ),
        Chart(
            "held",
            "Held and throttled",
            "per_s",
            (("held", "made to wait by a rate"), ("throttled", "refused: ThrottledOp")),
        ),
        Chart(
            "waited",
            "Waiting for a rate",
            "ms_per_s",
            (("held_ms", "waited, all requests together"),),
        ),
    ),
)
HELD: Final = Group(
    "What is there",
    (
        Chart(
            "sessions",
            "Sessions",
            "count",
            (("sessions", "sessions"), ("connections", "connections")),
        ),
        Chart("watches", "Watches", "count", (("watches", "watches"),)),
        Chart("events", "Watch events sent", "per_s", (("events", "events"),)),
        Chart("znodes", "Znodes", "count", (("znodes", "znodes"), ("ephemerals", "ephemerals"))),
        Chart("stored", "Stored", "bytes", (("bytes", "paths, data and ACLs"),)),
    ),
)
OF_NODES: Final = Group(
    "The nodes themselves",
    (
        Chart("outstanding", "Requests under way", "count", (("outstanding", "requests"),)),
        Chart("fsync", "Syncing the log, p99", "ms", (("fsync_p99", "p99 since the start"),)),
        Chart("average", "Latency on average", "ms", (("latency_avg", "since the start"),)),
        Chart("descriptors", "Open descriptors", "count", (("descriptors", "descriptors"),)),
    ),
)
TENANTS: Final = (TRAFFIC, LATENCY, TROUBLE, HELD)
ENSEMBLES: Final = (TRAFFIC, LATENCY, TROUBLE, HELD, OF_NODES)

# The table without script: what matters most, in few columns.
PLAIN: Final = (
    ("requests", "requests/s"),
    ("read.p99", "reads p99, ms"),
    ("write.p99", "writes p99, ms"),
    ("errors", "errors/s"),
    ("held", "held/s"),
    ("throttled", "throttled/s"),
    ("sessions", "sessions"),
    ("znodes", "znodes"),
)
