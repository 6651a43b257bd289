"""Where SQL and the registry say different things, and making them one again, when told which way.

Nothing here happens by itself: who restores a backup, or changes a document by hand, decides.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.utils import timezone

from ensemble.admin.draft import LIMIT_NAMES, Draft
from ensemble.admin.errors import ProvisionError
from ensemble.client import ClientError
from tenants import publication, registry
from tenants.actions.base import action, changed, clean, hold
from tenants.audit import Actor, record
from tenants.documents import digest_of, draft_of
from tenants.errors import ConflictError, InvalidError, UnavailableError
from tenants.keys import NoKeyError
from tenants.models import Credential, CredentialSecret, Ensemble, Plan, Publication, Tenant
from tenants.reach import BusyError, as_plane
from tenants.registry import Standing
from tenants.zk import UnreachableError

TO_REGISTRY: Final = "registry"  # the registry is put right: it gets what SQL says
TO_SQL: Final = "sql"  # SQL is put right: it takes what the registry says

SHOWN_MAX: Final = 20  # differences that are named of one tenant


@dataclass(frozen=True, slots=True)
class Drift:
    """One tenant on which the two do not agree, and not because something is on its way.

    `kind`: `changed` (both have it), `missing` (SQL alone), `unknown` (the registry alone),
    `unreadable` (servers cannot read the document). `differences`: field, SQL's value, the
    registry's; never secrets. `repairs`: the directions that are possible.
    """

    slug: str
    kind: str
    text: str
    differences: tuple[tuple[str, str, str], ...]
    repairs: tuple[str, ...]


def drift(ensemble: Ensemble) -> list[Drift]:
    """Everything that differs, by name.

    Raises:
        UnavailableError: the ensemble cannot be asked now.
    """
    standings = look_at_all(ensemble)
    found: list[Drift] = []
    rows = Publication.objects.filter(tenant__ensemble=ensemble).select_related(
        "tenant", "tenant__plan", "tenant__ensemble"
    )
    rows = rows.prefetch_related("tenant__credentials__secrets")
    known: set[str] = set()
    for row in rows.order_by("tenant__slug", "pk"):
        slug = row.tenant.slug
        is_gone = row.tenant.lifecycle == Tenant.Lifecycle.GONE
        if is_gone and row.status == Publication.Status.APPLIED:
            continue
        known.add(slug)
        if one := compare(row, standings.get(slug)):
            found.append(one)
    found += [
        Drift(
            slug,
            "unreadable" if stands.error else "unknown",
            stands.error or "the registry has it, this console does not know it",
            (),
            () if stands.error else (TO_SQL,),
        )
        for slug, stands in standings.items()
        if slug not in known
    ]
    return sorted(found, key=lambda one: one.slug)


def compare(row: Publication, stands: Standing | None) -> Drift | None:
    """What differs of one tenant; None where it agrees, or is as this plane left it."""
    tenant = row.tenant
    is_gone = tenant.lifecycle == Tenant.Lifecycle.GONE
    draft = draft_of(tenant, tenant.credentials.all())
    if stands is not None and not is_gone and stands.digest == digest_of(draft):
        return None
    text = publication.drift_of(row, stands)
    if not text or (stands is None and is_gone):
        return None
    if stands is None:
        return Drift(tenant.slug, "missing", text, (), (TO_REGISTRY, TO_SQL))
    if stands.draft is None:
        return Drift(tenant.slug, "unreadable", text, (), (TO_REGISTRY,))
    differences = differences_of(draft, stands.draft)
    return Drift(tenant.slug, "changed", text, differences, (TO_REGISTRY, TO_SQL))


def differences_of(wished: Draft, stands: Draft) -> tuple[tuple[str, str, str], ...]:
    """Field, SQL's value, the registry's. Of credentials: the names, and which differ."""
    one, other = flat(wished), flat(stands)
    return tuple(
        (name, one.get(name, ""), other.get(name, ""))
        for name in sorted(one.keys() | other.keys())
        if one.get(name, "") != other.get(name, "")
    )[:SHOWN_MAX]


def flat(draft: Draft) -> dict[str, str]:
    found = {
        "root": draft.root,
        "state": draft.state,
        "mode": draft.mode,
        "weight": str(draft.weight),
        "audit of reads": "yes" if draft.audit_reads else "no",
    }
    found |= {f"limit {name}": str(value) for name, value in draft.limits.items()}
    for credential in draft.credentials:
        ids = ", ".join(secret.hash.hex()[:8] for secret in credential.secrets) or "none"
        found[f"credential {credential.name}"] = (
            f"{credential.role}; {len(credential.subjects)} subjects; secrets: {ids}"
        )
    return found


def repair(actor: Actor, *, ensemble: Ensemble, slug: str, direction: str) -> None:
    """Make the two agree: `registry` is overwritten by SQL, or `sql` by the registry.

    Raises:
        InvalidError: there is no such direction, or not for this tenant.
        ConflictError: there is nothing to repair.
        UnavailableError: the ensemble cannot be asked now.
    """
    if direction not in (TO_REGISTRY, TO_SQL):
        raise InvalidError(
            f"direction: {direction[:40]!r} is none; `registry` writes what SQL says, `sql` takes "
            "what the registry says",
            field="direction",
        )
    found = next((one for one in drift(ensemble) if one.slug == slug), None)
    if found is None:
        raise ConflictError(f"{slug[:70]} of {ensemble.name} agrees: there is nothing to repair")
    if direction not in found.repairs:
        raise InvalidError(
            f"direction: {slug[:70]} ({found.kind}) cannot be repaired towards {direction}; "
            f"possible: {', '.join(found.repairs) or 'by hand only'}",
            field="direction",
        )
    stands = look_at_all(ensemble).get(slug)
    if direction == TO_REGISTRY:
        overwrite(actor, ensemble=ensemble, slug=slug, stands=stands, found=found)
    elif found.kind == "unknown":
        assert stands is not None
        take_in(actor, ensemble=ensemble, stands=stands)
    elif stands is None:
        give_up(actor, ensemble=ensemble, slug=slug)
    else:
        take_over(actor, ensemble=ensemble, stands=stands, found=found)


@action
def overwrite(
    actor: Actor, *, ensemble: Ensemble, slug: str, stands: Standing | None, found: Drift
) -> None:
    """SQL is right: what stands in the registry counts as known, and is published over."""
    tenant = living(ensemble, slug)
    hold(tenant, *Tenant.Lifecycle.values)
    Publication.objects.filter(tenant=tenant).update(
        document_digest="" if stands is None else stands.digest or publication.UNREADABLE,
        intended_digest="",
    )
    note(actor, tenant, TO_REGISTRY, found)
    changed(tenant)


@action
def take_over(actor: Actor, *, ensemble: Ensemble, stands: Standing, found: Drift) -> None:
    """The registry is right: SQL takes limits, mode, state and credentials from it."""
    assert stands.draft is not None
    tenant = living(ensemble, stands.slug)
    hold(tenant, *Tenant.Lifecycle.values)
    if tenant.lifecycle != Tenant.Lifecycle.ALIVE:  # it lives there: so it was not deleted
        tenant.lifecycle = Tenant.Lifecycle.ALIVE
        tenant.deleted_at = tenant.purge_at = None
    take(tenant, stands.draft)
    clean(tenant)
    tenant.save()
    take_credentials(tenant, stands.draft)
    known(tenant, stands)
    note(actor, tenant, TO_SQL, found)
    changed(tenant)


@action
def take_in(actor: Actor, *, ensemble: Ensemble, stands: Standing) -> None:
    """A tenant that the registry alone has: SQL gets it, without members."""
    assert stands.draft is not None
    if Tenant.objects.filter(slug=stands.slug).exclude(lifecycle=Tenant.Lifecycle.GONE).exists():
        raise ConflictError(f"the name {stands.slug} is taken by a tenant of another ensemble")
    plan = Plan.objects.filter(retired=False).first() or Plan.objects.first()
    if plan is None:
        raise ConflictError("there is no plan yet: make one first")
    tenant = Tenant(slug=stands.slug, ensemble=ensemble, plan=plan, adopted=True)
    take(tenant, stands.draft)
    clean(tenant)
    tenant.save(force_insert=True)
    Publication.objects.create(tenant=tenant)
    take_credentials(tenant, stands.draft)
    known(tenant, stands)
    record(actor, "tenant.taken-in", tenant=tenant, detail={"root": tenant.root})
    changed(tenant)


@action
def give_up(actor: Actor, *, ensemble: Ensemble, slug: str) -> None:
    """The registry has lost it, and that is right: the row stays for the trail."""
    tenant = living(ensemble, slug)
    hold(tenant, Tenant.Lifecycle.ALIVE, Tenant.Lifecycle.DELETED)
    now = timezone.now()
    tenant.lifecycle = Tenant.Lifecycle.GONE
    tenant.deleted_at = tenant.deleted_at or now
    tenant.save()
    Credential.objects.filter(tenant=tenant, revoked_at__isnull=True).update(revoked_at=now)
    Publication.objects.filter(tenant=tenant).update(document_digest="", intended_digest="")
    record(actor, "tenant.given-up", tenant=tenant)
    changed(tenant)


def living(ensemble: Ensemble, slug: str) -> Tenant:
    """The tenant's last row: that of a name which was used again is the younger one."""
    found = Tenant.objects.select_related("plan", "ensemble").filter(ensemble=ensemble, slug=slug)
    tenant = found.order_by("-pk").first()
    if tenant is None:
        raise ConflictError(f"{slug[:70]} is not known any more")
    return tenant


def take(tenant: Tenant, draft: Draft) -> None:
    """What a document says, in a row: limits as overrides of the plan."""
    tenant.root = draft.root
    tenant.mode = draft.mode
    tenant.state = draft.state
    tenant.audit_reads = draft.audit_reads
    tenant.weight = None if draft.weight == tenant.plan.weight else draft.weight
    tenant.throttle, tenant.throttle_until, tenant.throttle_reason = {}, None, ""
    tenant.overrides = {
        name: draft.limits.get(name)
        for name in LIMIT_NAMES
        if draft.limits.get(name) != tenant.plan.limits.get(name)
    }


def take_credentials(tenant: Tenant, draft: Draft) -> None:
    """Exactly the credentials of a document."""
    now = timezone.now()
    names = [credential.name for credential in draft.credentials]
    kept = Credential.objects.filter(tenant=tenant, revoked_at__isnull=True)
    kept.exclude(name__in=names).update(revoked_at=now)
    for credential in draft.credentials:
        sasl = any(secret.digest_md5 for secret in credential.secrets)
        row, _ = Credential.objects.update_or_create(
            tenant=tenant,
            name=credential.name,
            revoked_at=None,
            defaults={"role": credential.role, "subjects": credential.subjects, "sasl": sasl},
        )
        row.secrets.all().delete()
        for secret in credential.secrets:
            CredentialSecret.objects.create(
                credential=row,
                hash=secret.hash.hex(),
                digest_md5=secret.digest_md5.hex(),
                until=datetime.fromtimestamp(secret.until_ms / 1_000, UTC)
                if secret.until_ms
                else None,
            )


def known(tenant: Tenant, stands: Standing) -> None:
    """What stands in the registry counts as written by this plane."""
    Publication.objects.filter(tenant=tenant).update(
        document_digest=stands.digest, document_version=stands.version, intended_digest=""
    )


def note(actor: Actor, tenant: Tenant, direction: str, found: Drift) -> None:
    detail: dict[str, object] = {
        "direction": direction,
        "kind": found.kind,
        "fields": [name for name, _, _ in found.differences],
    }
    record(actor, "tenant.repaired", tenant=tenant, detail=detail)


def look_at_all(ensemble: Ensemble) -> dict[str, Standing]:
    """Raises UnavailableError."""
    if ensemble.kind == Ensemble.Kind.APACHE:
        return {}
    try:
        return as_plane(ensemble).run(registry.look_at_all)
    except (UnreachableError, BusyError, NoKeyError, ProvisionError, ClientError) as error:
        raise UnavailableError(f"{ensemble.name} cannot be asked now: {error}") from None
