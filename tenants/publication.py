"""Brings the ensemble what SQL wishes: one document a tenant, written, then confirmed by each node.

`publish` takes a tenant's row of the outbox (`Publication`) for itself, looks at the registry,
writes if there is something to write, and asks the nodes. It can be called at any time, again, and
from two processes. The registry is only written over what this database knows to have written
itself: anything else is *drift*, which stays as it stands until somebody decides
(`tenants.reconcile`). So an old backup of the database undoes nothing.
"""

import logging
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from ensemble.admin.draft import Draft
from ensemble.admin.errors import ProvisionError
from ensemble.client import BadVersionError, ClientError
from tenants import nodes, registry
from tenants.documents import digest_of, draft_of
from tenants.keys import NoKeyError
from tenants.models import Ensemble, Publication, Tenant
from tenants.nodes import GONE, Answer
from tenants.reach import BusyError, as_plane
from tenants.registry import Standing, UnfinishedError
from tenants.zk import Bridge, UnreachableError

NOW_WITHIN_S: Final = 3.0  # what an action waits for its publication
DUE_WITHIN_S: Final = 10.0  # what the collector waits for one
CLAIM_S: Final = 30.0  # a publisher that has died is not waited for longer
RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
DUE_AT_ONCE_MAX: Final = 100  # tenants in one call of publish_due
DUE_ROUND_S: Final = 5.0  # and the time after which it leaves the rest for the next call
ERROR_MAX: Final = 2_000
UNREADABLE: Final = "unreadable"  # the digest of a document that says nothing

log = logging.getLogger("tenants.publication")


class DriftError(Exception):
    """The registry holds what this database has not written. The text is for people."""


@dataclass(slots=True)
class Outcome:
    """How far one attempt came."""

    status: str = Publication.Status.PENDING
    error: str = ""
    revision: int = 0
    is_written: bool = False
    goes_on: bool = False  # it is being done, and the next attempt need not wait
    version: int | None = None
    digest: str = ""
    nodes: dict[str, Answer] = field(default_factory=dict)


def publish(tenant_id: int, within_s: float | None = None) -> Publication:
    """Bring one tenant's document to its ensemble as far as that goes within the time.

    `within_s`: NOW_WITHIN_S where it is not said: somebody waits for it.
    It never raises for what ensembles do: the outcome stands in the row that is given back.
    """
    claim = take(tenant_id)
    if claim is not None:
        tenant = Tenant.objects.select_related("plan", "ensemble").get(pk=tenant_id)
        patience_s = NOW_WITHIN_S if within_s is None else within_s
        settle(tenant_id, claim, attempt(tenant, time.monotonic() + patience_s))
    return Publication.objects.get(tenant_id=tenant_id)


def publish_quietly(tenant_id: int) -> None:
    """After a commit: what fails here stays pending, and is no failure of what was committed."""
    try:
        publish(tenant_id)
    except DatabaseError:
        log.exception("tenant %d is published later", tenant_id)


def publish_due(now: datetime | None = None) -> int:
    """Publish what waits; how many were tried. The collector calls it every second.

    An ensemble that cannot be reached costs one attempt a round, not one for each of its tenants.
    """
    now = now or timezone.now()
    due = (
        Publication.objects.exclude(status=Publication.Status.APPLIED)
        .filter(Q(next_try_at__isnull=True) | Q(next_try_at__lte=now))
        .filter(Q(claimed_until__isnull=True) | Q(claimed_until__lte=now))
        .order_by("next_try_at", "pk")
        .values_list("tenant_id", "tenant__ensemble_id")[:DUE_AT_ONCE_MAX]
    )
    ends = time.monotonic() + DUE_ROUND_S
    unreachable: set[int] = set()
    tried = 0
    for tenant_id, ensemble_id in list(due):
        if ensemble_id in unreachable:
            continue
        if time.monotonic() > ends:
            break
        tried += 1
        outcome = publish(tenant_id, DUE_WITHIN_S)
        if outcome.status == Publication.Status.PENDING and outcome.tries and not outcome.nodes:
            unreachable.add(ensemble_id)
    return tried


# The claim


def take(tenant_id: int) -> datetime | None:
    """Have the row for this publisher alone; until when, None if another one has it."""
    now = timezone.now()
    until = now + timedelta(seconds=CLAIM_S)
    taken = (
        Publication.objects.filter(tenant_id=tenant_id)
        .filter(Q(claimed_until__isnull=True) | Q(claimed_until__lte=now))
        .update(claimed_until=until)
    )
    return until if taken == 1 else None


def settle(tenant_id: int, claim: datetime, outcome: Outcome) -> None:
    """Write down how far it came, and give the row back; nothing if the claim was lost."""
    with transaction.atomic():
        row = Publication.objects.select_for_update().get(tenant_id=tenant_id)
        if row.claimed_until != claim:
            return
        now = timezone.now()
        row.claimed_until = None
        row.error = outcome.error[:ERROR_MAX]
        row.nodes = outcome.nodes
        if outcome.is_written:
            row.written = outcome.revision
            row.document_version = outcome.version
            row.document_digest = outcome.digest
            row.intended_digest = ""
        if outcome.goes_on or row.wanted > outcome.revision:  # or somebody wished for more
            row.status = Publication.Status.PENDING
            row.next_try_at = now
        elif outcome.status == Publication.Status.APPLIED:
            row.status = Publication.Status.APPLIED
            row.applied, row.applied_at = outcome.revision, now
            row.tries, row.next_try_at = 0, None
        else:
            row.status = outcome.status
            row.tries += 1
            row.next_try_at = now + timedelta(seconds=pause_s(row.tries))
        row.save()


def pause_s(tries: int) -> float:
    """How long to wait after so many attempts."""
    return min(RETRY_FIRST_S * float(1 << min(tries - 1, 10)), RETRY_MAX_S)


# One attempt


def attempt(tenant: Tenant, ends: float) -> Outcome:
    """Look, write, ask; `ends` on the monotonic clock."""
    outcome = Outcome(revision=tenant.revision)
    try:
        bridge = as_plane(tenant.ensemble)
        if tenant.lifecycle == Tenant.Lifecycle.GONE:
            remove(bridge, tenant, outcome, ends)
        else:
            write(bridge, tenant, outcome, ends)
        confirm(bridge, tenant, outcome, ends)
    except UnfinishedError as error:
        outcome.error, outcome.goes_on = str(error), True
    except DriftError as error:
        outcome.status, outcome.error = Publication.Status.FAILED, str(error)
    except (UnreachableError, BusyError, BadVersionError) as error:
        outcome.error = str(error)
    except NoKeyError as error:  # names files of this machine: not for members' eyes
        log.warning("%s: %s", tenant.slug, error)
        outcome.status, outcome.error = Publication.Status.FAILED, no_key(tenant.ensemble)
    except (ProvisionError, ClientError) as error:
        outcome.status, outcome.error = Publication.Status.FAILED, str(error)
    return outcome


def no_key(ensemble: Ensemble) -> str:
    return (
        f"the plane has no key for {ensemble.name}: an operator has to put one there "
        "(docs/admin-plane.md; the log says where)"
    )


def left_s(ends: float) -> float:
    """Raises UnreachableError where the time is over."""
    left = ends - time.monotonic()
    if left <= 0:
        raise UnreachableError("the ensemble took too long: this is tried again")
    return left


def write(bridge: Bridge, tenant: Tenant, outcome: Outcome, ends: float) -> None:
    """Have the registry say what SQL says; nothing is written where it does already."""
    draft = draft_of(tenant)
    digest = digest_of(draft)
    stands = bridge.run(lambda client: registry.look(client, tenant.slug), left_s(ends))
    if stands is not None and stands.digest == digest:
        version = stands.version
    else:
        refuse_drift(tenant, stands)
        intend(tenant, stands, digest)
        if stands is None:
            adopts = tenant.adopted
            was_there = Publication.objects.get(tenant=tenant).written > 0
            bridge.run(
                lambda client: registry.add(client, draft, adopts=adopts, was_there=was_there),
                left_s(ends),
            )
            version = 0
        else:
            version = bridge.run(lambda client: registry.put(client, draft, stands), left_s(ends))
    outcome.is_written, outcome.version, outcome.digest = True, version, digest


def remove(bridge: Bridge, tenant: Tenant, outcome: Outcome, ends: float) -> None:
    """Have the registry, and the tree unless data are kept, forget a tenant."""
    stands = bridge.run(lambda client: registry.look(client, tenant.slug), left_s(ends))
    if stands is not None:
        refuse_drift(tenant, stands)
        draft = draft_of(tenant)
        intend(tenant, stands, digest_of(closing(draft)))
        keeps = tenant.keeps_data
        bridge.run(lambda client: registry.remove(client, draft, keeps_data=keeps), left_s(ends))
    outcome.is_written, outcome.version, outcome.digest = True, None, ""


def closing(draft: Draft) -> Draft:
    """What stands in the registry while a tenant is being removed."""
    draft.state, draft.credentials = "draining", []
    return draft


def refuse_drift(tenant: Tenant, stands: Standing | None) -> None:
    """Go on only where the registry is as this database has left it.

    Raises:
        DriftError: it is not; with what to do.
    """
    if text := drift_of(Publication.objects.get(tenant=tenant), stands):
        raise DriftError(
            f"{text}. Nothing was written. See what differs under the ensemble, and decide which "
            "side is right"
        )


def drift_of(row: Publication, stands: Standing | None) -> str:
    """How the registry is not as it was left; empty if it is."""
    known = {row.document_digest, row.intended_digest} - {""}
    if stands is None:
        if row.document_digest:
            return "its document has gone from the registry, and not by this plane"
        return ""
    if stands.error and row.document_digest != UNREADABLE:
        return f"its document in the registry cannot be read: {stands.error}"
    if (stands.digest or UNREADABLE) not in known:
        if not known:
            return "the registry has a document of this name that this plane has not written"
        return (
            f"its document in the registry (version {stands.version}) is not the one that this "
            f"plane wrote last (version {row.document_version})"
        )
    return ""


def intend(tenant: Tenant, stands: Standing | None, digest: str) -> None:
    """Note what stands and what is about to be written.

    Who dies between here and the outcome finds one of the two, and knows it again.
    """
    Publication.objects.filter(tenant=tenant).update(
        document_digest="" if stands is None else stands.digest or UNREADABLE,
        intended_digest=digest,
    )


def confirm(bridge: Bridge, tenant: Tenant, outcome: Outcome, ends: float) -> None:
    """Ask every node; one that is down leaves the tenant pending, one that refuses is a failure."""
    wanted = GONE if outcome.version is None else outcome.version
    targets = nodes.targets_of(tenant.ensemble)
    within_s = left_s(ends)
    ensemble = tenant.ensemble
    outcome.nodes = bridge.run(
        lambda _: nodes.ask_all(ensemble, targets, tenant.slug, wanted, within_s * 0.9), within_s
    )
    refused = [
        f"{name} {answer}"
        for name, answer in outcome.nodes.items()
        if isinstance(answer, str) and answer.startswith(nodes.REFUSES)
    ]
    late = [
        name
        for name, answer in outcome.nodes.items()
        if isinstance(answer, str) or not nodes.has(answer, wanted)
    ]
    if refused:
        outcome.status, outcome.error = Publication.Status.FAILED, "; ".join(refused)
    elif late:
        outcome.error = f"written; not in force yet on {', '.join(late)}"
    else:
        outcome.status = Publication.Status.APPLIED
