"""Looks at tenants: limits, rates, what the ensemble knows of them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from observability.alerts.burning import Burning
from observability.alerts.checks import Found, Subject, check
from observability.alerts.picture import Picture
from tenants.alerts.rule import Rule
from tenants.models import CredentialSecret, Publication, Tenant

ROWS_MAX: Final = 1_000
BEYOND: Final = 1e9  # percent: whatever is used


def alive(picture: Picture) -> list[Tenant]:
    life = Tenant.Lifecycle.ALIVE
    return [tenant for tenant in picture.tenants.values() if tenant.lifecycle == life]


def of(tenant: Tenant, what: str = "") -> Subject:
    return Subject(tenant.ensemble.name, tenant=tenant.slug, of=what)


def quota(picture: Picture, low: float, high: float) -> Found:
    """Limits of which between `low` and `high` percent are used."""
    found = Found()
    for tenant in alive(picture):
        used = picture.usage.get(tenant.slug)
        if used is None:
            found.blind.add(of(tenant))
            continue
        for what, limit in tenant.limits.items():
            if what not in used or not limit:
                continue
            percent = 100 * used[what] / limit
            if low < percent <= high:
                say = (
                    f"{tenant.slug} uses {percent:.0f} % of its {what}: {used[what]:,} of {limit:,}"
                )
                evidence = {"used": used[what], "limit": limit}
                found.add(of(tenant, what), say, None, **evidence)
    return found


@check("quota-near")
def quota_near(rule: Rule, value: float, picture: Picture) -> Found:
    return quota(picture, value, picture.values.get("quota-full", BEYOND))


@check("quota-full")
def quota_full(rule: Rule, value: float, picture: Picture) -> Found:
    # At 100 % of 100 it is full, too: the bound itself counts where it cannot be exceeded.
    return quota(picture, min(value, 99.99), BEYOND)


def rate(name: str, what: str, words: str, scale: float = 1.0) -> None:
    """A rule on one rate of a tenant."""

    @check(name)
    def is_over(rule: Rule, value: float, picture: Picture) -> Found:
        found = Found()
        for tenant in alive(picture):
            rates = picture.rates.get(tenant.ensemble.name)
            if rates is None:
                found.blind.add(of(tenant))
                continue
            amount = rates.get(tenant.slug, {}).get(what, 0.0) * scale
            if amount > value:
                say = f"{tenant.slug} {words.format(amount)}"
                found.add(
                    of(tenant),
                    say,
                    None,
                    rate=round(amount, 2),
                    requests=round(rates[tenant.slug].get("requests", 0.0), 1),
                )
        return found


rate("tenant-throttled", "throttled", "is refused {:,.1f} requests a second: over its rates")
rate("tenant-held", "held_ms", "waits {:,.1f} s a second for its rates, all requests together",
     0.001)  # fmt: skip
rate("watch-storm", "events", "is sent {:,.0f} watch events a second")


@check("budget-burns")
def budget_burns(rule: Rule, value: float, picture: Picture) -> Found:
    """Over an hour, and still in the last five minutes."""
    return burning(value, picture, lambda one: (one.burn_1h, one.burn_5m), "an hour")


@check("budget-leaks")
def budget_leaks(rule: Rule, value: float, picture: Picture) -> Found:
    """Over six hours, and still in the last one."""
    return burning(value, picture, lambda one: (one.burn_6h, one.burn_1h), "six hours")


def burning(
    value: float,
    picture: Picture,
    windows: Callable[[Burning], tuple[float | None, float | None]],
    words: str,
) -> Found:
    found = Found()
    for ensemble, rates in picture.rates.items():
        if rates is None:
            found.blind.add(Subject(ensemble))
    for slug, one in picture.burning.items():
        tenant = picture.tenants.get(slug)
        longer, shorter = windows(one)
        if tenant is None or longer is None or longer <= value:
            continue
        if shorter is None:  # nobody asks any more: whether it would fail is not known
            found.blind.add(of(tenant))
        elif shorter > value:
            say = f"{slug} spends its error budget {longer:,.1f} times as fast as it may ({words})"
            burns = {"5m": one.burn_5m, "1h": one.burn_1h, "6h": one.burn_6h}
            shown = {name: round(burn, 2) for name, burn in burns.items() if burn is not None}
            found.add(of(tenant), say, None, promised=one.objective.words, burn=shown)
    return found


@check("noisy-neighbour")
def noisy_neighbour(rule: Rule, value: float, picture: Picture) -> Found:
    """As the dashboards name them (`observability.neighbours`): with whom they slow."""
    found = Found()
    for ensemble, named in picture.neighbours.items():
        if picture.rates.get(ensemble) is None:
            found.blind.add(Subject(ensemble))
            continue
        for one in named:
            if one.percent <= value:
                continue
            slow = ", ".join([victim.tenant for victim in one.victims][:3])
            say = f"{one.tenant} takes {one.percent} % of the work in {ensemble}"
            say += f" with {one.requests_per_s:,.0f} requests a second, while {slow} became slow"
            usual = {
                victim.tenant: f"{victim.kind} p99 {victim.usual_ms:g} to {victim.now_ms:g} ms"
                for victim in one.victims
            }
            busy = round(1_000 * one.busy)
            found.add(
                Subject(ensemble, tenant=one.tenant), say, None,
                percent=one.percent, busy_ms_per_s=busy, slowed=usual,
            )  # fmt: skip
    return found


@check("publication-stuck")
def publication_stuck(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    before = datetime.fromtimestamp(picture.now_s - value, UTC)
    # `changed_at` moves with every try: what has been tried is judged by its failures.
    waiting = Publication.objects.exclude(status=Publication.Status.APPLIED)
    for row in waiting.select_related("tenant", "tenant__ensemble").order_by("pk")[:ROWS_MAX]:
        if row.tries < 3 and row.changed_at > before:
            continue
        say = f"{row.tenant.slug}: a change is not in force ({row.get_status_display()})"
        evidence = {"error": row.error[:300], "tries": row.tries, "nodes": row.nodes}
        found.add(of(row.tenant), say, None, **evidence)
    return found


@check("drift")
def drift(rule: Rule, value: float, picture: Picture) -> Found:
    """What the look at registries has found (`facts`), as far as it is not too old."""
    found = Found()
    for ensemble in picture.kinds:
        fact = picture.facts.get(f"drift {ensemble}")
        if fact is None:
            found.blind.add(Subject(ensemble))
            continue
        if not fact.value.get("is_known"):
            found.blind.add(Subject(ensemble))
            continue
        for one in fact.value.get("drifts", []):
            slug, kind, text = (str(one.get(name, "")) for name in ("slug", "kind", "text"))
            say = f"{ensemble}/{slug}: {text}"
            found.add(Subject(ensemble, tenant=slug), say, None, kind=kind)
    return found


@check("secret-ends")
def secret_ends(rule: Rule, value: float, picture: Picture) -> Found:
    found = Found()
    now = datetime.fromtimestamp(picture.now_s, UTC)
    ending = CredentialSecret.objects.filter(
        until__gt=now, until__lte=now + timedelta(days=value), credential__revoked_at=None
    ).select_related("credential__tenant__ensemble")
    for secret in ending.order_by("until")[:ROWS_MAX]:
        credential = secret.credential
        assert secret.until is not None
        say = f"A secret of {credential} ends at {secret.until:%Y-%m-%d %H:%M} UTC"
        what = f"{credential.name} {secret.pk}"
        found.add(of(credential.tenant, what), say, None, until=secret.until.isoformat())
    return found
