"""Compares registries with SQL now and then, and keeps what differs as a fact for the rules."""

import time
from typing import Final

from django.db import transaction

from observability.models import Fact
from observability.store import ALIAS, fence
from tenants.errors import ActionError
from tenants.models import Ensemble
from tenants.reconcile import drift

DRIFTS_MAX: Final = 200  # of one ensemble
TEXT_MAX: Final = 300


def look_for_drift(term: int) -> None:
    """One fact for each ensemble of ours; where it cannot be asked, that nothing is known.

    Raises:
        LeaseLostError: another collector does it now.
    """
    for ensemble in Ensemble.objects.filter(kind=Ensemble.Kind.OURS):
        value: dict[str, object]
        try:
            found = drift(ensemble)[:DRIFTS_MAX]
        except ActionError as error:
            value = {"is_known": False, "why": str(error)[:TEXT_MAX]}
        else:
            drifts = [
                {"slug": one.slug, "kind": one.kind, "text": one.text[:TEXT_MAX]} for one in found
            ]
            value = {"is_known": True, "drifts": drifts}
        now = time.time_ns() // 1_000_000
        with transaction.atomic(using=ALIAS):
            fence(term)
            Fact.objects.update_or_create(
                name=f"drift {ensemble.name}", defaults={"at": now, "value": value}
            )
