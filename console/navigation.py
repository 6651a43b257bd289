"""The pages that stand in the rail and in the command palette, and the tabs of a tenant.

Who may open one is not said here but in `access.ROUTES`: an entry whose route somebody may not open
is not shown to them. Pages of one ensemble lead to the one that is looked at, else to the first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.urls import reverse

from tenants.access import PLANE, Standing


@dataclass(frozen=True, slots=True)
class Entry:
    """A page. `own`: beginnings of the route names that belong to it, for the mark in the rail.

    `key`: the letter behind `g`. `words`: what people look for when they mean it.
    `is_of_ensemble`: its address names one.
    """

    route: str
    label: str
    icon: str  # of heroicons
    own: tuple[str, ...]
    key: str = ""
    words: str = ""
    is_of_ensemble: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as somebody sees it."""

    entry: Entry
    url: str


@dataclass(frozen=True, slots=True)
class Section:
    label: str
    links: tuple[Link, ...]
    in_rail: bool


@dataclass(frozen=True, slots=True)
class Tab:
    """A page of one tenant; `right` in it, and whether a deleted one has it."""

    route: str
    label: str
    tabs: tuple[str, ...]
    right: str
    is_kept: bool = True


HERE: Final = "You"  # the section that stands in the palette only
SECTIONS: Final[tuple[tuple[str, tuple[Entry, ...]], ...]] = (
    (
        "Watch",
        (
            Entry("overview", "Overview", "home", ("overview", "node"), "o", "health quorum nodes"),
            Entry(
                "ensemble-dashboard",
                "Dashboard",
                "presentation-chart-line",
                ("ensemble-dashboard", "ensemble-slow"),
                "d",
                "latency throughput charts figures noisy neighbour",
                is_of_ensemble=True,
            ),
            Entry("alerts", "Alerts", "bell-alert", ("alert",), "b", "rules silences channels"),
        ),
    ),
    (
        "Data",
        (
            Entry("znode", "Znodes", "folder", ("znode",), "z", "tree browse edit data"),
            Entry("search", "Search", "magnifying-glass", ("search",), "s", "find path value"),
            Entry(
                "sessions",
                "Sessions",
                "signal",
                ("session",),
                "n",
                "connections clients watches ephemerals close",
                is_of_ensemble=True,
            ),
            Entry(
                "locks",
                "Locks",
                "lock-closed",
                ("locks",),
                "l",
                "elections leaders queues barriers recipes",
                is_of_ensemble=True,
            ),
            Entry(
                "jobs",
                "Jobs",
                "queue-list",
                ("job",),
                "j",
                "import export duplicate move restore undo as it was",
            ),
        ),
    ),
    (
        "Tenants",
        (
            Entry(
                "tenants",
                "Tenants",
                "squares-2x2",
                ("tenant", "credential", "invitation"),
                "t",
                "namespaces usage quota",
            ),
            Entry("requests", "Requests", "inbox-arrow-down", ("request",), "r", "approve wishes"),
            Entry("plans", "Plans", "scale", ("plan",), "p", "limits"),
        ),
    ),
    (
        "Plane",
        (
            Entry(
                "plane-audit",
                "Audit",
                "finger-print",
                ("plane-audit", "saved-search"),
                "a",
                "who did what trail chain verdict",
            ),
            Entry("ensembles", "Ensembles", "circle-stack", ("ensemble",), "e", "register drift"),
            Entry("members", "Members", "server-stack", ("member",), "m", "observers nodes add"),
            Entry("people", "People", "users", ("people", "person"), "u", "accounts operators"),
        ),
    ),
    (
        HERE,
        (
            Entry("tenant-new", "New tenant", "plus-circle", (), words="make create"),
            Entry("tokens", "API tokens", "key", ("token",), words="curl automation"),
            Entry("mfa_index", "Your account", "user-circle", ("mfa",), words="two-factor"),
            Entry("api-docs", "API reference", "book-open", ("api-docs",), words="rest openapi"),
        ),
    ),
)

TABS: Final = (
    Tab("tenant", "Overview", ("overview",), "tenant.read"),
    Tab("tenant-dashboard", "Dashboard", ("dashboard", "slow"), "tenant.usage"),
    Tab("tenant-znode", "Znodes", ("znodes",), "znode.read", is_kept=False),
    Tab("tenant-search", "Search", ("search",), "tenant.history", is_kept=False),
    Tab("tenant-sessions", "Sessions", ("sessions", "session"), "session.read", is_kept=False),
    Tab("tenant-locks", "Locks", ("locks",), "znode.read", is_kept=False),
    Tab("tenant-credentials", "Credentials", ("credentials", "secret"), "credential.read"),
    Tab("tenant-members", "Members", ("members",), "member.read"),
    Tab("tenant-history", "History", ("history",), "tenant.history"),
    Tab("tenant-audit", "Audit", ("audit",), "tenant.audit"),
    Tab("tenant-alerts", "Alerts", ("alerts",), "tenant.alerts"),
    Tab("tenant-settings", "Settings", ("settings",), "tenant.read"),
    Tab("tenant-steer", "Operate", ("steer",), "tenant.state"),
)


def sections_for(
    standing: Standing, routes: Mapping[str, Standing | str], ensembles: Sequence[str], at: str = ""
) -> list[Section]:
    """What somebody of this standing may open, by section; sections with nothing are left out.

    Args:
        ensembles: the names of those that are registered.
        at: the ensemble that the page is about, if any.
    """
    ensemble = at if at in ensembles else next(iter(ensembles), "")
    named = {"ensemble": ensemble}
    found = []
    for label, entries in SECTIONS:
        links = tuple(
            Link(entry, reverse(entry.route, kwargs=named if entry.is_of_ensemble else None))
            for entry in entries
            if is_open(entry.route, standing, routes) and (ensemble or not entry.is_of_ensemble)
        )
        if links:
            found.append(Section(label, links, label != HERE))
    return found


def is_open(route: str, standing: Standing, routes: Mapping[str, Standing | str]) -> bool:
    needed = routes[route]
    least = needed if isinstance(needed, Standing) else PLANE[needed]
    # The start page leads those to their tenants who have nothing to do with whole ensembles.
    return standing >= (Standing.AUDITOR if route == "overview" else least)


def current(sections: Iterable[Section], route: str) -> str:
    """The route of the entry that a page belongs to: the one with the longest beginning."""
    best, longest = "", 0
    for section in sections:
        for link in section.links:
            for own in link.entry.own:
                if route.startswith(own) and len(own) > longest:
                    best, longest = link.entry.route, len(own)
    return best


def tabs_for(rights: Iterable[str], *, is_alive: bool) -> list[Tab]:
    """A tenant's tabs for somebody who holds these rights in it."""
    held = set(rights)
    return [tab for tab in TABS if tab.right in held and (is_alive or tab.is_kept)]
