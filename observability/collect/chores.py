"""What the collector does besides collecting, in a thread of its own: it may wait for ensembles."""

import logging
import time
from collections.abc import Callable
from typing import Final

from django.utils import timezone

from ensemble.client import ClientError
from observability.alerts.drifts import look_for_drift
from observability.anchors import check, read_anchors
from observability.index import write as index
from observability.models import Source
from observability.retention import prune_trail
from observability.store import LeaseLostError, state_of
from tenants.actions import ensembles, life
from tenants.bulk import places
from tenants.bulk.runner import expired
from tenants.keys import NoKeyError
from tenants.models import Ensemble
from tenants.publication import publish_due
from tenants.reach import BusyError, as_plane
from tenants.zk import UnreachableError

log = logging.getLogger("observability.collect")

ANCHORS_EVERY_S: Final = 10.0
PRUNE_EVERY_S: Final = 10.0
DRIFT_EVERY_S: Final = 300.0
PRUNE_PORTIONS_MAX: Final = 20  # at once


class Chores:
    """One term's. `do` about every second, from one thread."""

    def __init__(self, term: int) -> None:
        self.term: Final = term
        self.anchors_s = time.monotonic()
        self.pruned_s = 0.0
        self.compared_s = 0.0

    def do(self) -> None:
        """All that is due. What fails is tried again the next time, and holds up nothing else.

        Raises:
            LeaseLostError: another collector does it now.
        """
        self.attempt(ensembles.follow_main)
        self.attempt(life.expire_due)
        self.attempt(publish_due)
        now_s = time.monotonic()
        if now_s > self.pruned_s + PRUNE_EVERY_S:
            self.pruned_s = now_s
            self.attempt(self.prune)
            self.attempt(self.forget_indexes)
            self.attempt(self.forget_jobs)
        if now_s > self.anchors_s + ANCHORS_EVERY_S:
            self.anchors_s = now_s
            self.attempt(self.check_anchors)
        if now_s > self.compared_s + DRIFT_EVERY_S:
            self.compared_s = now_s
            self.attempt(self.compare)

    def attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except LeaseLostError:
            raise
        except Exception:  # whatever it was: the other chores are done all the same
            log.exception("%s failed and is tried again", work.__name__)

    def prune(self) -> None:
        for _ in range(PRUNE_PORTIONS_MAX):
            if not prune_trail(self.term):
                return

    def forget_indexes(self) -> None:
        index.forget(self.term, set(Ensemble.objects.values_list("name", flat=True)))

    def compare(self) -> None:
        look_for_drift(self.term)

    def forget_jobs(self) -> None:
        """Jobs whose time is over, and files that no job has."""
        expired(timezone.now())
        places.sweep()

    def check_anchors(self) -> None:
        """What the tree has confirmed of journals, against what was collected of them."""
        for ensemble in Ensemble.objects.filter(kind=Ensemble.Kind.OURS):
            sources = Source.objects.filter(kind=Source.Kind.JOURNAL, ensemble=ensemble.name)
            nodes = {state_of(source).get("node_id"): source.node for source in sources}
            if not nodes:
                continue
            try:
                found = as_plane(ensemble).run(read_anchors)
            except (UnreachableError, ClientError, NoKeyError, BusyError) as error:
                log.info("anchors of %s are not compared: %s", ensemble.name, error)
                continue
            for anchor in found:
                node = nodes.get(anchor.node_id)
                if node is not None:
                    why = check(self.term, ensemble.name, node, anchor)
                    if why:
                        log.error("the journal of %s/%s: %s", ensemble.name, node, why)
