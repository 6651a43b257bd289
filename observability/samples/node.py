"""One node's figures from look to look: differences, also across restarts of either side.

That a node was restarted shows by its own clock: since its start less time has passed than since
the look before. What it counts then is new as a whole, so no rate is ever negative.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from observability.samples.totals import FigureError, Totals, of_account

SLACK_MS: Final = 50
OUTSIDE: Final = "_none"
USAGE: Final = ("znodes", "bytes", "ephemerals", "sessions", "connections", "watches")
ADDED: Final = ("connections", "watches")  # each node has its own; the others are everybody's


@dataclass(slots=True)
class Look:
    """What one node said at once: figures since its start, and what tenants have now."""

    asked_s: float  # monotonic, before the first page
    answered_s: float
    uptime_ms: int
    accounts: dict[str, Totals]
    usage: dict[str, dict[str, int]]
    own: dict[str, Any] = field(default_factory=dict)  # the node's: mntr's names
    has_tenants: bool = True  # False: one of Apache's, whose one account is the node's


@dataclass(slots=True)
class Gain:
    """What a look adds to the one before. `is_first`: it says nothing, there is none before."""

    accounts: dict[str, Totals] = field(default_factory=dict)
    is_first: bool = False
    is_restart: bool = False


class NodeFigures:
    """The last look at a node, which differences are taken against."""

    def __init__(self) -> None:
        self.answered_s: float | None = None  # None: from another collector, before its end
        self.uptime_ms = -1
        self.before: dict[str, Totals] = {}
        self.latest: Look | None = None

    def take(self, look: Look) -> Gain:
        """The difference to the look before, which `look` replaces."""
        gain = Gain(is_first=self.uptime_ms < 0)
        gain.is_restart = not gain.is_first and self.was_restarted(look)
        if gain.is_restart:
            self.before = {}
        if not gain.is_first:
            for name, totals in look.accounts.items():
                more = totals.since(self.before.get(name))
                if not more.is_nothing:
                    gain.accounts[name] = more
        self.before = look.accounts
        self.uptime_ms = look.uptime_ms
        self.answered_s = look.answered_s
        self.latest = look
        return gain

    def was_restarted(self, look: Look) -> bool:
        passed_ms = look.uptime_ms - self.uptime_ms
        if passed_ms < 0:
            return True
        if self.answered_s is None:
            return False  # then figures that have become less show it
        return passed_ms < (look.asked_s - self.answered_s) * 1_000 - SLACK_MS


def read_pages(
    pages: list[dict[str, Any]], before: dict[str, Totals]
) -> tuple[int, dict[str, Totals], dict[str, dict[str, int]]]:
    """Uptime, accounts and usage by tenant of the pages of `/commands/tenants`.

    `before`: the accounts of the look before; who has done nothing since has the same object.

    Raises:
        FigureError: they are not what is expected.
    """
    accounts: dict[str, Totals] = {}
    usage: dict[str, dict[str, int]] = {}
    try:
        uptime_ms = int(pages[0]["now_ms"])
        for page in pages:
            for entry in page["tenants"]:
                name = str(entry["tenant"])
                accounts[name] = of_account(entry["account"], before.get(name))
                usage[name] = {what: int(entry["usage"].get(what, 0)) for what in USAGE}
        accounts[OUTSIDE] = of_account(pages[-1]["outside"], before.get(OUTSIDE))
    except FigureError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FigureError(f"/commands/tenants answers something else: {error!r}") from None
    return uptime_ms, accounts, usage


def together(usages: list[dict[str, int]]) -> dict[str, int]:
    """What a tenant has in the ensemble, of what each node says."""
    found = dict(usages[0])
    for usage in usages[1:]:
        for what, amount in usage.items():
            if what in ADDED:
                found[what] += amount
            elif amount > found[what]:
                found[what] = amount
    return found
