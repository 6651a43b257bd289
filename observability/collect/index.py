"""Keeps one ensemble's index: fills it when that is due; the change feed does the rest.

A fill is due at the beginning, where the feed has a gap, and again and again where there is no
feed (Apache's servers), or none with values. One that was broken off goes on where it was.
"""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final

from django.conf import settings
from django.db import DatabaseError

from ensemble.client import Client, ClientError
from ensemble.tenancy.assertions import EVERYTHING
from observability.changes import Policy
from observability.collect.targets import NOTHING, Wanted
from observability.collect.walk import AT_ONCE, Pace, Walk
from observability.collect.work import Work
from observability.index import write
from observability.index.rows import Found
from observability.index.write import Phase, State
from observability.models import Source
from observability.store import source_of
from tenants.keys import PLANE_WHO, NoKeyError, keys_of
from tenants.models import Ensemble
from tenants.zk import PROLONG_EVERY_S, Auth

log = logging.getLogger("observability.collect")

LOOK_EVERY_S: Final = 1.0
HIDE_EVERY_S: Final = 10.0
AGAIN_S: Final = 900.0  # without a feed: so long after the end of a fill
SOON_S: Final = 60.0  # between two fills, whatever the reason
PASSES: Final = 3
RETRY_S: Final = 2.0
RETRY_MAX_S: Final = 60.0
CONNECT_TIMEOUT_S: Final = 5.0
SESSION_TIMEOUT_S: Final = 15.0
ROWS_AT_ONCE: Final = 256  # in one transaction


async def keep_index(work: Work, wanted: Wanted) -> None:
    """Until cancelled."""
    if not write.rows_max():
        return
    retry_s = RETRY_S
    secrets = Secrets(work, wanted.name)
    while True:
        source: Source | None = None
        try:
            source = await work.db.run(source_of, Source.Kind.INDEX, wanted.name, "")
            state = await work.db.run(write.state_of, wanted.name) or State()
            await secrets.hide()
            why = due(state, has_feed(wanted), write.now_ms())
            if why:
                log.info("the index of %s is filled: %s", wanted.name, why)
                state = await work.db.run(write.begin, work.term, source, why)
            if state.phase == Phase.WALK:
                await fill(work, wanted, source, state, secrets)
            elif state.phase == Phase.SWEEP:
                while (await work.db.run(write.sweep, work.term, source)).phase == Phase.SWEEP:
                    pass
            retry_s = RETRY_S
            await asyncio.sleep(LOOK_EVERY_S)
        except (ClientError, NoKeyError, TimeoutError) as error:
            await work.tell(source, f"{wanted.hosts}: {str(error) or type(error).__name__}")
            await asyncio.sleep(retry_s)
            retry_s = min(RETRY_MAX_S, 2 * retry_s)
        except DatabaseError as error:
            log.warning("the index of %s: %s", wanted.name, error)
            await asyncio.sleep(retry_s)


class Secrets:
    """Takes away what has become secret since, every HIDE_EVERY_S.

    A tenant's that has changed is looked at PASSES times: what was being read or written meanwhile
    knew the paths of before.
    """

    def __init__(self, work: Work, ensemble: str) -> None:
        self.work: Final = work
        self.ensemble: Final = ensemble
        self.done_s = 0.0
        self.seen: Final[dict[str, tuple[Policy, int]]] = {}

    async def hide(self) -> None:
        if time.monotonic() < self.done_s + HIDE_EVERY_S:
            return
        policies = self.work.known.get(self.ensemble, NOTHING).policies
        due: dict[str, Policy] = {}
        for slug, policy in policies.items():
            known, passes = self.seen.get(slug, (None, 0))
            if known != policy or passes < PASSES:
                due[slug] = policy
        await self.work.db.run(write.hide, self.work.term, self.ensemble, due)
        for slug, policy in due.items():
            known, passes = self.seen.get(slug, (None, 0))
            self.seen[slug] = (policy, passes + 1 if known == policy else 1)
        for slug in set(self.seen) - set(policies):
            del self.seen[slug]
        self.done_s = time.monotonic()


def has_feed(wanted: Wanted) -> bool:
    """Whether changes come by themselves, with their values."""
    return wanted.is_ours and any(node.url and node.control_token for node in wanted.nodes)


def again_s() -> float:
    """The setting OBSERVED_INDEX_AGAIN_S."""
    return float(getattr(settings, "OBSERVED_INDEX_AGAIN_S", AGAIN_S))


def due(state: State, has_feed: bool, now_ms: int) -> str:
    """Why a fill is to begin now; empty: it is not."""
    if not state.fill:
        return "there is none yet"
    if now_ms - state.began < SOON_S * 1_000:
        return ""
    if state.wanted:
        return state.wanted
    if state.phase == Phase.IDLE and not has_feed and now_ms - state.ended > again_s() * 1_000:
        return "nobody tells what changes"
    return ""


async def fill(work: Work, wanted: Wanted, source: Source, state: State, secrets: Secrets) -> None:
    """Walk through the tree, or through the rest of it.

    Raises:
        ClientError, NoKeyError: it cannot be reached; what was read is written.
    """
    auth = await work.db.run(auth_of, wanted.name)
    client = Client(wanted.hosts, timeout=SESSION_TIMEOUT_S, auth=[] if auth is None else [auth])
    try:
        await client.connect(CONNECT_TIMEOUT_S)
        known = work.known.get(wanted.name, NOTHING)
        walk = Walk(client, Pace(), known.roots, known.policies, state.place, state.name)
        prolonged_s = time.monotonic()
        held: list[Found] = []
        place, name = state.place, state.name
        async for page in walk.pages():
            held += page.found
            known = work.known.get(wanted.name, known)
            walk.roots, walk.policies = known.roots, known.policies
            place, name = page.place, page.name
            if len(held) > ROWS_AT_ONCE - AT_ONCE:
                state = await work.db.run(write.add, work.term, source, held, place, name)
                held = []
                await secrets.hide()
                if due(state, has_feed=True, now_ms=write.now_ms()):
                    return  # a gap: all of it once more
            if auth is not None and time.monotonic() > prolonged_s + PROLONG_EVERY_S:
                await client.add_auth(*auth)
                prolonged_s = time.monotonic()
        await work.db.run(write.add, work.term, source, held, place, name)
        await work.db.run(write.walked, work.term, source)
    finally:
        with suppress(ClientError, TimeoutError):
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await client.close()


def auth_of(name: str) -> Auth | None:
    """What the plane signs in with at an ensemble.

    Raises:
        NoKeyError: with a text for people.
    """
    ensemble = Ensemble.objects.filter(name=name).first()
    if ensemble is None:
        raise NoKeyError(f"there is no ensemble {name} any more")
    keys = keys_of(ensemble)
    if ensemble.kind == Ensemble.Kind.APACHE:
        return keys.credential()
    key = keys.operator()
    return "operator", lambda: key.sign(PLANE_WHO, EVERYTHING, "admin")
