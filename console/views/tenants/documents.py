"""A tenant's document as the database wishes it, beside the one in the registry."""

import difflib
import json
from typing import Any, Final

from ensemble.admin.draft import Draft
from ensemble.admin.errors import ProvisionError
from ensemble.client import ClientError
from tenants import reach, registry
from tenants.documents import draft_of
from tenants.keys import NoKeyError
from tenants.models import Publication, Tenant
from tenants.publication import drift_of
from tenants.reach import BusyError
from tenants.zk import UnreachableError

SHOWN_DIGITS: Final = 8  # of a hash: enough to see that it is another one
LINES_MAX: Final = 2_000
KINDS: Final = {"-": "gone", "+": "new", " ": ""}


def documents(tenant: Tenant) -> dict[str, Any]:
    """What the page shows: lines that both have, that only SQL has, that only the registry has."""
    wished = text_of(draft_of(tenant))
    try:
        stands = reach.as_plane(tenant.ensemble).run(
            lambda client: registry.look(client, tenant.slug)
        )
    except (UnreachableError, NoKeyError, BusyError, ProvisionError, ClientError) as error:
        return {"registry_problem": str(error), "document": wished}
    row = Publication.objects.filter(tenant=tenant).first()
    drift = "" if row is None else drift_of(row, stands)
    if stands is None:
        return {"document": wished, "drift": drift, "registry_problem": "it has no document there"}
    if stands.draft is None:
        return {"document": wished, "drift": drift, "registry_problem": stands.error}
    kept = text_of(stands.draft)
    lines = difflib.ndiff(kept.splitlines(), wished.splitlines())
    shown = [(KINDS[line[0]], line[2:]) for line in lines if line[0] in KINDS][:LINES_MAX]
    return {
        "document": wished,
        "drift": drift,
        "lines": shown,
        "is_equal": kept == wished,
        "registry_version": stands.version,
        "registry_sessions": stands.sessions,
    }


def text_of(draft: Draft) -> str:
    """The document for people: of hashes their beginning."""
    document = draft.as_document()
    credentials = document["credentials"]
    assert isinstance(credentials, list)
    for credential in credentials:
        for secret in credential["secrets"]:
            for name in ("hash", "digest_md5"):
                if name in secret:
                    secret[name] = f"{secret[name][:SHOWN_DIGITS]}..."
    return json.dumps(document, indent=2)
