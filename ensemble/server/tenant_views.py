"""What each tenant costs and has left, for the admin plane: `/commands/tenants`, `tenant`, `top`.

Figures are this server's and cumulative since its start: who wants a rate takes differences, who
wants the ensemble's adds up its servers'. Histograms are given by bucket, so that they can be
added, too.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ensemble.server.admin_protocol import BadQuery, JsonObject, number
from ensemble.server.clock import monotonic_ms
from ensemble.server.costs import (
    ORDERS,
    OUTSIDE,
    Spent,
    accounts,
    limits_of,
    usage_of,
)
from ensemble.server.paging import LIMIT_MAX, Page, next_keys, shown
from ensemble.tenancy.accounting import CLASS_NAMES, CLASSES, Account, Figures
from ensemble.tenancy.histogram import PER_POWER, SIZE, Histogram
from ensemble.tenancy.seat import Tenant
from ensemble.wire import codes

if TYPE_CHECKING:
    from ensemble.server.admin_port import AdminPort
    from ensemble.server.node import Node

ERRORS_MAX: Final = 100  # of documents that are not in force, as they are listed
QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999))
MODES: Final = ("observe", "permissive", "enforce")
STATES: Final = ("active", "suspended", "draining")
# Fields


def spent_fields(spent: Spent) -> JsonObject:
    return {
        "busy_ms": spent.busy_us / 1_000,
        "requests": spent.requests,
        "bytes_in": spent.bytes_in,
        "bytes_out": spent.bytes_out,
        "errors": spent.errors,
        "throttled": spent.throttled,
    }


def histogram_fields(histogram: Histogram, buckets: bool) -> JsonObject:
    """In microseconds. A bucket: its number and how many; see docs/tenancy.md."""
    fields: JsonObject = {
        "count": int(histogram.count),
        "sum_us": int(histogram.sum),
        "max_us": int(histogram.max),
        **{f"{name}_us": histogram.quantile(q) for name, q in QUANTILES},
    }
    if buckets:
        fields["buckets"] = histogram.sparse()
    return fields


def figures_fields(figures: Figures, buckets: bool) -> JsonObject:
    return {
        "count": int(figures.count),
        "errors": int(figures.errors),
        "throttled": int(figures.throttled),
        "errors_by_code": {
            codes.name_of_error(code): times
            for code, times in sorted(figures.errors_by_code.items())
        },
        "bytes_in": int(figures.bytes_in),
        "bytes_out": int(figures.bytes_out),
        "latency": histogram_fields(figures.latency, buckets),
    }


def account_fields(account: Account, buckets: bool) -> JsonObject:
    return {
        **spent_fields(Spent(account)),
        "opened": int(account.opened),
        "held": int(account.held),
        "held_ms": int(account.held_us) / 1_000,
        "delivery": histogram_fields(account.delivery, buckets),
        "event_bytes": int(account.event_bytes),
        "classes": {
            CLASS_NAMES[kind]: figures_fields(figures, buckets)
            for kind in range(CLASSES)
            if (figures := account.by_class[kind]) is not None
        },
    }


def brief_fields(account: Account) -> JsonObject:
    """What tells whether anything was added since."""
    return {
        **spent_fields(Spent(account)),
        "opened": int(account.opened),
        "held": int(account.held),
        "delivery": {"count": int(account.delivery.count)},
    }


def tenant_fields(node: "Node", tenant: Tenant) -> JsonObject:
    spec = tenant.spec
    return {
        "tenant": spec.slug,
        "root": shown(spec.root),
        "state": STATES[spec.state],
        "mode": MODES[spec.mode],
        "weight": int(spec.weight),
        "version": int(spec.version),
        "usage": usage_of(node, tenant),
        "limits": limits_of(tenant),
        "error": node.directory.errors.get(spec.slug),
    }


def spent_lately(node: "Node", name: str) -> JsonObject:
    return spent_fields(node.upkeep.window.last.get(name, Spent()))


# Commands


async def tenants(port: "AdminPort", request: web.Request) -> JsonObject:
    """All tenants in order of their names; `histograms=true` for the classes with their buckets.

    `histograms=recent`: of those alone that did something in the last ten seconds. Who asks every
    second misses nothing, and the quiet ones, which are most, cost no look at their buckets.
    """
    node = port.node
    page = Page(request)
    wanted = request.query.get("histograms", "false").lower()
    whole = wanted == "true"
    by_slug = node.directory.by_slug
    names = [slug.encode() for slug in by_slug]
    slugs, more = await next_keys(names, page.after_path(), page.limit)
    entries: list[JsonObject] = []
    for at, raw in enumerate(slugs):
        tenant = by_slug.get(raw.decode())
        if tenant is None:
            continue  # removed while others were looked for
        entry = tenant_fields(node, tenant)
        account = tenant.account
        if whole or (wanted == "recent" and node.upkeep.window.is_recent(raw.decode(), account)):
            entry["account"] = account_fields(account, buckets=True)
        else:
            entry["account"] = brief_fields(account)
        entry["lately"] = spent_lately(node, tenant.spec.slug)
        entries.append(entry)
        await breathe(at, every=4 if whole else 64)
    return {
        "server_id": node.config.server_id,
        "now_ms": monotonic_ms() - node.started_ms,
        "window_ms": node.upkeep.window.length_ms,
        "tenants": entries,
        "outside": account_fields(node.gate.meter.outside, wanted in ("true", "recent")),
        "not_in_force": len(node.directory.errors),
        "errors": dict(sorted(node.directory.errors.items())[:ERRORS_MAX]),
        "next": slugs[-1].decode() if more else None,
    }


async def breathe(at: int, every: int) -> None:
    """Let the others have their turn after so many entries."""
    if at % every == every - 1:
        await asyncio.sleep(0)


async def tenant(port: "AdminPort", request: web.Request) -> JsonObject:
    """All of one tenant: `slug=`; `_none` for what belongs to none."""
    node = port.node
    slug = request.query.get("slug", "")
    if slug == OUTSIDE:
        found: JsonObject = {"tenant": OUTSIDE}
        account = node.gate.meter.outside
    else:
        known = node.directory.by_slug.get(slug)
        if known is None:
            raise BadQuery(f"slug={slug[:70]}: there is no such tenant here")
        found = tenant_fields(node, known)
        account = known.account
    return {
        **found,
        "server_id": node.config.server_id,
        "now_ms": monotonic_ms() - node.started_ms,
        "account": account_fields(account, buckets=True),
        "lately": spent_lately(node, slug),
        "buckets_per_power": PER_POWER,
        "buckets": SIZE,
    }


async def top(port: "AdminPort", request: web.Request) -> JsonObject:
    """Who costs most: `by=` busy (default), bytes, requests, errors, throttled.

    Of the last window, or with `since=start` of all.
    """
    node = port.node
    limit = number(request, "limit", 20, 1, LIMIT_MAX)
    by = request.query.get("by", "busy")
    order = ORDERS.get(by)
    if order is None:
        raise BadQuery(f"by={by[:40]}: one of {', '.join(ORDERS)} is expected")
    since = request.query.get("since", "window")
    if since not in ("window", "start"):
        raise BadQuery(f"since={since[:40]}: window or start is expected")
    found = dict(node.upkeep.window.last)
    if since == "start":
        found = {name: Spent(account) for name, account in accounts(node)}
    ranked = sorted(found.items(), key=lambda item: (-order(item[1]), item[0]))
    total_us = sum(spent.busy_us for spent in found.values())
    return {
        "by": by,
        "since": since,
        "window_ms": node.upkeep.window.length_ms,
        "tenants": [
            {
                "tenant": name,
                **spent_fields(spent),
                "busy_share": spent.busy_us / total_us if total_us else 0.0,
            }
            for name, spent in ranked[:limit]
        ],
    }
