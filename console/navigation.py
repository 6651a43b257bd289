"""The pages that stand in the rail and in the command palette, and a tenant's tabs.

Who may open one is not said here but in `access.ROUTES`: an entry whose route somebody may not open
is not shown to them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tenants.access import PLANE, RIGHTS, Standing


@dataclass(frozen=True, slots=True)
class Entry:
    """A page. `own`: beginnings of the route names that belong to it, for the mark in the rail.

    `key`: the letter behind `g`. `words`: what people look for when they mean it.
    """

    route: str
    label: str
    icon: str  # of heroicons
    own: tuple[str, ...]
    key: str = ""
    words: str = ""
    is_account: bool = False  # reached by the name on the top right, not in the rail


@dataclass(frozen=True, slots=True)
class Tab:
    """A page of one tenant; `right` in it, and whether a deleted one has it."""

    route: str
    label: str
    tabs: tuple[str, ...]
    right: str
    is_kept: bool = True


SECTIONS: Final[tuple[tuple[str, tuple[Entry, ...]], ...]] = (
    (
        "Ensembles",
        (
            Entry("overview", "Overview", "home", ("overview",), "o", "health quorum nodes start"),
            Entry("znode", "Znodes", "folder", ("znode",), "z", "tree browse edit data"),
            Entry("members", "Members", "server-stack", ("member",), "m", "observers nodes add"),
            Entry(
                "ensembles", "Ensembles", "circle-stack", ("ensemble",), "e", "register drift keys"
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
        "Trust",
        (
            Entry(
                "plane-audit",
                "Audit",
                "finger-print",
                ("plane-audit",),
                "a",
                "who did what trail chain verdict",
            ),
            Entry("people", "People", "users", ("people", "person"), "u", "accounts operators"),
        ),
    ),
    (
        "You",
        (
            Entry("tenant-new", "New tenant", "plus-circle", (), "", "make create", True),
            Entry("tokens", "API tokens", "key", ("token",), "", "curl automation", True),
            Entry("mfa_index", "Your account", "user-circle", ("mfa",), "", "two-factor", True),
            Entry(
                "api-docs", "API reference", "book-open", ("api-docs",), "", "rest openapi", True
            ),
        ),
    ),
)

TABS: Final = (
    Tab("tenant", "Overview", ("overview",), "tenant.read"),
    Tab("tenant-znode", "Znodes", ("znodes",), "znode.read", is_kept=False),
    Tab("tenant-credentials", "Credentials", ("credentials", "secret"), "credential.read"),
    Tab("tenant-members", "Members", ("members",), "member.read"),
    Tab("tenant-settings", "Settings", ("settings",), "tenant.read"),
    Tab("tenant-history", "History", ("history",), "tenant.history"),
    Tab("tenant-audit", "Audit", ("audit",), "tenant.audit"),
    Tab("tenant-steer", "Operate", ("steer",), "tenant.state"),
)


@dataclass(frozen=True, slots=True)
class Section:
    label: str
    entries: tuple[Entry, ...]


def sections_for(standing: Standing, routes: Mapping[str, Standing | str]) -> list[Section]:
    """What somebody of this standing may open, by section; sections with nothing are left out."""
    found = []
    for label, entries in SECTIONS:
        open_to = tuple(entry for entry in entries if is_open(entry.route, standing, routes))
        if open_to:
            found.append(Section(label, open_to))
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
        for entry in section.entries:
            for own in entry.own:
                if route.startswith(own) and len(own) > longest:
                    best, longest = entry.route, len(own)
    return best


def tabs_for(rights: Iterable[str], *, is_alive: bool) -> list[Tab]:
    """A tenant's tabs for somebody who holds these rights in it."""
    held = set(rights)
    assert all(tab.right in RIGHTS for tab in TABS)
    return [tab for tab in TABS if tab.right in held and (is_alive or tab.is_kept)]
