"""Credentials: made, rotated, revoked. A secret is given back once; hashes of it are kept."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from django.utils import timezone

from ensemble.admin import provision
from ensemble.admin.errors import ProvisionError
from ensemble.admin.provision import NewSecret
from ensemble.client import ClientError
from ensemble.tenancy.registry import CREDENTIALS_MAX, SECRETS_MAX, TopSpec
from tenants.actions.base import action, changed, clean, hold, person_of
from tenants.audit import Actor, record
from tenants.documents import ms_of
from tenants.errors import ConflictError, InvalidError, LimitError, UnavailableError
from tenants.keys import NoKeyError
from tenants.models import Credential, CredentialSecret, Ensemble, Tenant
from tenants.publication import no_key
from tenants.reach import BusyError, as_plane
from tenants.zk import UnreachableError

log = logging.getLogger("tenants.actions")

OVERLAP_MAX: Final = timedelta(days=30)
EXPIRES_MAX: Final = timedelta(days=3_650)


def create(
    actor: Actor,
    *,
    tenant: Tenant,
    name: str,
    role: str,
    subjects: Sequence[str] = (),
    sasl: bool = True,
    expires_at: datetime | None = None,
) -> NewSecret:
    """A new way in, with its first secret.

    Raises:
        UnavailableError: the ensemble, whose key hashes secrets, cannot be reached.
    """
    check_expiry(expires_at)
    return _create(
        actor,
        tenant=tenant,
        top=registry_of(tenant.ensemble),
        name=name,
        role=role,
        subjects=subjects,
        sasl=sasl,
        expires_at=expires_at,
    )


@action
def _create(
    actor: Actor,
    *,
    tenant: Tenant,
    top: TopSpec,
    name: str,
    role: str,
    subjects: Sequence[str],
    sasl: bool,
    expires_at: datetime | None,
) -> NewSecret:
    hold(tenant)
    alive = Credential.objects.filter(tenant=tenant, revoked_at__isnull=True)
    if alive.filter(name=name).exists():
        raise ConflictError(
            f"{tenant.slug} has a credential {name[:70]} already: rotate it, or choose "
            "another name",
            field="name",
        )
    if alive.count() >= CREDENTIALS_MAX:
        raise LimitError(f"{tenant.slug} has {CREDENTIALS_MAX} credentials: revoke some first")
    check_subjects(tenant, subjects, None)
    credential = Credential(
        tenant=tenant,
        name=name,
        role=role,
        subjects=list(subjects),
        sasl=sasl,
        created_by=person_of(actor),
    )
    clean(credential)
    credential.save(force_insert=True)
    made = provision.make_secret(tenant.slug, name)
    keep(credential, top, made, expires_at)
    detail: dict[str, object] = {
        "role": role,
        "subjects": list(subjects),
        "expires_at": None if expires_at is None else expires_at.isoformat(),
    }
    record(actor, "credential.created", tenant=tenant, target=name, detail=detail)
    changed(tenant)
    return made


def rotate(
    actor: Actor,
    *,
    credential: Credential,
    overlap: timedelta = timedelta(),
    expires_at: datetime | None = None,
) -> NewSecret:
    """A further secret; those before are void after the overlap, at once where it is none."""
    if not timedelta() <= overlap <= OVERLAP_MAX:
        raise InvalidError(
            f"overlap: {overlap} is not within 0 and {OVERLAP_MAX.days} days", field="overlap"
        )
    check_expiry(expires_at)
    return _rotate(
        actor,
        credential=credential,
        top=registry_of(credential.tenant.ensemble),
        overlap=overlap,
        expires_at=expires_at,
    )


@action
def _rotate(
    actor: Actor,
    *,
    credential: Credential,
    top: TopSpec,
    overlap: timedelta,
    expires_at: datetime | None,
) -> NewSecret:
    tenant = hold_both(credential)
    now = timezone.now()
    credential.secrets.filter(until__lte=now).delete()
    if overlap:
        ends = now + overlap
        if (left := credential.secrets.count()) >= SECRETS_MAX:
            raise LimitError(
                f"{credential.name} has {left} secrets that are still valid, at most "
                f"{SECRETS_MAX}: "
                "rotate without overlap, or when one has run out",
                field="overlap",
            )
        credential.secrets.filter(Q(until__isnull=True) | Q(until__gt=ends)).update(until=ends)
    else:
        credential.secrets.all().delete()
    made = provision.make_secret(tenant.slug, credential.name)
    keep(credential, top, made, expires_at)
    detail: dict[str, object] = {
        "overlap_s": int(overlap.total_seconds()),
        "expires_at": None if expires_at is None else expires_at.isoformat(),
    }
    record(actor, "credential.rotated", tenant=tenant, target=credential.name, detail=detail)
    changed(tenant)
    return made


@action
def revoke(actor: Actor, *, credential: Credential) -> Credential:
    """Void at once; its sessions end within a second of the nodes' hearing of it."""
    tenant = hold_both(credential)
    credential.revoked_at = timezone.now()
    credential.save(update_fields=["revoked_at"])
    credential.secrets.all().delete()
    record(actor, "credential.revoked", tenant=tenant, target=credential.name)
    changed(tenant)
    return credential


@action
def set_subjects(actor: Actor, *, credential: Credential, subjects: Sequence[str]) -> Credential:
    """The TLS client certificates that are this credential."""
    tenant = hold_both(credential)
    check_subjects(tenant, subjects, credential)
    before = list(credential.subjects)
    if before == list(subjects):
        return credential
    credential.subjects = list(subjects)
    clean(credential)
    credential.save(update_fields=["subjects"])
    detail: dict[str, object] = {"before": before, "after": list(subjects)}
    record(actor, "credential.subjects", tenant=tenant, target=credential.name, detail=detail)
    changed(tenant)
    return credential


def registry_of(ensemble: Ensemble) -> TopSpec:
    """What holds for all tenants of an ensemble, with the key of the hashes.

    Raises:
        UnavailableError: it cannot be asked now.
    """
    try:
        top, _ = as_plane(ensemble).run(provision.read_registry)
    except NoKeyError as error:
        log.warning("%s", error)
        raise UnavailableError(no_key(ensemble)) from None
    except (UnreachableError, BusyError, ProvisionError, ClientError) as error:
        raise UnavailableError(
            f"{ensemble.name} is needed to make a secret, and cannot be asked now: {error}"
        ) from None
    return top


def keep(
    credential: Credential, top: TopSpec, made: NewSecret, expires_at: datetime | None
) -> None:
    kept = provision.kept_of(top, made, credential.sasl, ms_of(expires_at))
    CredentialSecret.objects.create(
        credential=credential,
        hash=kept.hash.hex(),
        digest_md5=kept.digest_md5.hex(),
        until=expires_at,
    )


def hold_both(credential: Credential) -> Tenant:
    """Lock the tenant, and see the credential as it is now.

    Raises:
        ConflictError: it is revoked.
    """
    tenant = credential.tenant
    hold(tenant)
    credential.refresh_from_db()
    credential.tenant = tenant
    if credential.revoked_at is not None:
        raise ConflictError(f"{credential.name} of {tenant.slug} is revoked: make another one")
    return tenant


def check_expiry(expires_at: datetime | None) -> None:
    """Raises InvalidError."""
    now = timezone.now()
    if expires_at is not None and not now < expires_at <= now + EXPIRES_MAX:
        raise InvalidError(
            f"expires_at: {expires_at.isoformat()} is not within the next {EXPIRES_MAX.days} days",
            field="expires_at",
        )


def check_subjects(tenant: Tenant, subjects: Sequence[str], credential: Credential | None) -> None:
    """A certificate is one credential in the whole ensemble.

    Raises:
        InvalidError: one is empty, or named twice.
        ConflictError: it is another credential's.
    """
    if any(not isinstance(s, str) or not s.strip() for s in subjects):
        raise InvalidError("subjects: an empty one is none", field="subjects")
    if len(set(subjects)) < len(subjects):
        raise InvalidError("subjects: one is named twice", field="subjects")
    if not subjects:
        return
    others = Credential.objects.filter(
        tenant__ensemble=tenant.ensemble, revoked_at__isnull=True
    ).exclude(tenant__lifecycle=Tenant.Lifecycle.GONE)
    if credential is not None:
        others = others.exclude(pk=credential.pk)
    taken = {
        s for row in others.exclude(subjects=[]).values_list("subjects", flat=True) for s in row
    }
    for subject in subjects:
        if subject in taken:
            raise ConflictError(
                f"subjects: {subject[:100]} is another credential's already", field="subjects"
            )


__all__ = ["NewSecret", "create", "revoke", "rotate", "set_subjects"]
