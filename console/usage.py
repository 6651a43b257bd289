"""What tenants use against their limits, as the nodes say it at this moment.

The nodes are asked over their admin ports; what none of them says, and rates, the collector knows.
Connections and watches are each node's own and are added up, the rest is the ensemble's.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from observability import series
from observability.forecast import Forecast
from tenants import keys
from tenants.limits import LIMIT_WORDS
from tenants.models import Node, Tenant

ASK_TIMEOUT_S: Final = 1.0
ANSWER_BYTES_MAX: Final = 4 << 20
ASKING_MAX: Final = 8
OF_EACH_NODE: Final = ("connections", "watches")
NEARLY: Final = 80  # percent
FULL: Final = 100
RATES: Final = frozenset(name for name in LIMIT_WORDS if name.endswith("_per_second"))

SILENT_S: Final = 10.0  # a node that does not answer is left alone for so long
SILENT_MAX: Final = 1_000  # that are remembered
# Pages ask every few seconds: a node that hangs must not hold all threads of the console.
_silent_until: Final[dict[str, float]] = {}

log = logging.getLogger("console.usage")


@dataclass(frozen=True, slots=True)
class Meter:
    """One limit and what is used of it; `used` None: nobody has said it yet."""

    name: str
    words: str
    limit: int | None
    used: int | None
    forecast: str = ""  # when it will be full, where that can be said

    @property
    def percent(self) -> int | None:
        if self.limit is None or self.used is None:
            return None
        return 100 if not self.limit else min(999, self.used * 100 // self.limit)

    @property
    def kind(self) -> str:
        percent = self.percent
        if percent is None or percent < NEARLY:
            return "good"
        return "warn" if percent < FULL else "bad"


def meters(
    tenant: Tenant, used: Mapping[str, int], forecasts: Mapping[str, Forecast] | None = None
) -> list[Meter]:
    """All limits of a tenant, in their order, with what is used of them."""
    limits = tenant.limits
    words_of = {name: found.words for name, found in (forecasts or {}).items()}
    return [
        Meter(name, words, limits.get(name), used.get(name), words_of.get(name, ""))
        for name, words in LIMIT_WORDS.items()
    ]


def usage_of(tenant: Tenant) -> dict[str, int]:
    """What a tenant uses now, by the limit's name; empty where nobody knows it."""
    lately = series.usage(tenant)
    known = asked_usage(tenant) or lately.used
    requests = lately.rates.get("requests")
    if requests is None:
        return known
    traffic = lately.rates["bytes_in"] + lately.rates["bytes_out"]
    return {**known, "requests_per_second": int(requests), "bytes_per_second": int(traffic)}


def asked_usage(tenant: Tenant) -> dict[str, int]:
    """What the nodes say; empty where none of them does."""
    nodes = list(Node.objects.filter(ensemble=tenant.ensemble).exclude(admin_url=""))
    if not nodes:
        return {}
    token = keys.keys_of(tenant.ensemble).token()
    query = urlencode({"slug": tenant.slug})
    with ThreadPoolExecutor(min(ASKING_MAX, len(nodes))) as pool:
        answers = pool.map(lambda node: ask(node, f"/commands/tenant?{query}", token), nodes)
        return added(answer.get("usage") for answer in answers)


def added(usages: Iterable[Any]) -> dict[str, int]:
    """Several nodes' words on one tenant, together."""
    total: dict[str, int] = {}
    for usage in usages:
        if not isinstance(usage, dict):
            continue
        for name, value in usage.items():
            if name not in LIMIT_WORDS or type(value) is not int:
                continue
            of_each = name in OF_EACH_NODE
            before = total.get(name, 0)
            total[name] = before + value if of_each else max(before, value)
    return total


def ask(node: Node, path: str, token: str) -> dict[str, Any]:
    """A command's answer; empty where the node does not give any."""
    if time.monotonic() < _silent_until.get(node.admin_url, 0.0):
        return {}
    request = Request(node.admin_url.rstrip("/") + path)  # noqa: S310 an operator registered it
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urlopen(request, timeout=ASK_TIMEOUT_S) as answer:  # noqa: S310
            found = json.loads(answer.read(ANSWER_BYTES_MAX))
    except HTTPError as error:
        log.info("%s does not tell what tenants use: %s", node.admin_url, error)
        error.close()
        return {}
    except (URLError, OSError, ValueError) as error:
        if len(_silent_until) >= SILENT_MAX:
            _silent_until.clear()
        _silent_until[node.admin_url] = time.monotonic() + SILENT_S
        log.info("%s does not tell what tenants use: %s", node.admin_url, error)
        return {}
    return found if isinstance(found, dict) else {}
