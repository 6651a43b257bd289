"""A tenant's document in the registry, built from SQL as a whole, and how to tell two apart."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter

from ensemble.admin.draft import Draft, DraftCredential, DraftSecret
from tenants.models import Credential, Tenant


def draft_of(tenant: Tenant, credentials: Iterable[Credential] | None = None) -> Draft:
    """What the ensemble has to enforce.

    A tenant that is deleted, but not yet purged, is suspended and has no credentials: nobody comes
    in, nothing is lost.

    Args:
        tenant: as it is wished.
        credentials: all of its own with their secrets, where they were read before.
    """
    is_alive = tenant.lifecycle == Tenant.Lifecycle.ALIVE
    if credentials is None:
        credentials = Credential.objects.filter(tenant=tenant).prefetch_related("secrets")
    return Draft(
        slug=tenant.slug,
        root=tenant.root,
        state=tenant.state if is_alive else "suspended",
        mode=tenant.mode,
        weight=tenant.weight_in_force,
        limits=tenant.limits,
        credentials=drafts_of(credentials) if is_alive else [],
        audit_reads=tenant.audit_reads,
    )


def drafts_of(credentials: Iterable[Credential]) -> list[DraftCredential]:
    """Those that are not revoked, by name."""
    return [
        DraftCredential(
            name=credential.name,
            role=credential.role,
            subjects=list(credential.subjects),
            secrets=[
                DraftSecret(
                    hash=bytes.fromhex(secret.hash),
                    digest_md5=bytes.fromhex(secret.digest_md5),
                    until_ms=ms_of(secret.until),
                )
                for secret in credential.secrets.all()
            ],
        )
        for credential in sorted(credentials, key=attrgetter("name"))
        if credential.revoked_at is None
    ]


def ms_of(at: datetime | None) -> int:
    """Wall clock in ms as documents have it, 0 for never."""
    return 0 if at is None else int(at.timestamp() * 1_000)


def digest_of(draft: Draft) -> str:
    """SHA-256 of what a document says, however it is written.

    Without the signing keys: SQL does not have them, they stay as they stand in the registry.
    """
    document = draft.as_document()
    del document["signing_keys"]
    document["credentials"] = sorted(
        credential_line(credential) for credential in draft.credentials
    )
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def credential_line(credential: DraftCredential) -> str:
    secrets = sorted(
        f"{secret.hash.hex()}:{secret.digest_md5.hex()}:{secret.until_ms}"
        for secret in credential.secrets
    )
    return json.dumps([credential.name, credential.role, sorted(credential.subjects), secrets])
