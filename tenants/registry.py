"""Tenants' documents as they stand in an ensemble: read, write and remove one, as the plane.

Coroutines on a client that is the plane's own. Every write is a compare-and-set on what was read.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.admin.errors import UnknownTenantError
from ensemble.client import Client, NoNodeError, NotEmptyError
from ensemble.tenancy.registry import is_slug
from tenants.documents import digest_of

REMOVAL_SLICE_S: Final = 2.0  # deleting of one call; others are published in between
AT_ONCE_MAX: Final = 256  # requests in flight
DRAIN_WITHIN_S: Final = 2.0  # for the sessions of a tenant that is being removed; then again later


class UnfinishedError(Exception):
    """A part of a removal is done, and nothing is wrong: the next call goes on."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A document as it stands. `draft` None: servers cannot read it; `error` says why."""

    slug: str
    version: int
    sessions: int
    draft: Draft | None
    digest: str
    error: str


def standing_of(kept: provision.Registered) -> Standing:
    digest = "" if kept.draft is None else digest_of(kept.draft)
    return Standing(kept.slug, kept.version, kept.sessions, kept.draft, digest, kept.error)


async def look(client: Client, slug: str) -> Standing | None:
    """The document; None where there is none.

    Raises:
        ProvisionError: there is no registry.
    """
    await client.sync(provision.TENANTS_PATH)
    await provision.read_registry(client)
    try:
        return standing_of(await provision.read(client, slug))
    except UnknownTenantError:
        return None


async def look_at_all(client: Client) -> dict[str, Standing]:
    """Every document, by slug."""
    await client.sync(provision.TENANTS_PATH)
    await provision.read_registry(client)
    slugs = [name for name in await client.children(provision.TENANTS_PATH) if is_slug(name)]
    found: dict[str, Standing] = {}
    for start in range(0, len(slugs), AT_ONCE_MAX):
        part = slugs[start : start + AT_ONCE_MAX]
        results = await asyncio.gather(
            *(provision.read(client, slug) for slug in part), return_exceptions=True
        )
        for slug, result in zip(part, results, strict=True):
            if isinstance(result, provision.Registered):
                found[slug] = standing_of(result)
            elif not isinstance(result, UnknownTenantError):  # else it has gone meanwhile
                raise result
    return found


async def add(client: Client, draft: Draft, *, adopts: bool, was_there: bool) -> None:
    """A new document, with its root where nothing is adopted.

    `was_there`: the tenant had a document before, and may still have its root.
    """
    if adopts or (was_there and await client.exists(draft.root) is not None):
        await provision.adopt(client, draft)
    else:
        await provision.create(client, draft)


async def put(client: Client, draft: Draft, over: Standing) -> int:
    """Write over what was read; the new version. Signing keys stay as they stand.

    Raises:
        BadVersionError: somebody wrote meanwhile.
    """
    if over.draft is not None:
        draft.signing_keys = dict(over.draft.signing_keys)
    stat = await client.set(provision.path_of(draft.slug), draft.encode(), over.version)
    return stat.version


async def remove(client: Client, draft: Draft, *, keeps_data: bool) -> None:
    """End a tenant: its sessions, its data unless they are kept, and last its document.

    The document goes last, and with the root in one transaction: until then the wall stands, so
    that nobody reads what is being removed. It can be repeated whatever was reached.

    Raises:
        UnfinishedError: sessions have not ended yet, or there is more to delete: call it again.
    """
    kept = await look(client, draft.slug)
    if kept is None:
        return
    draft.state, draft.credentials = "draining", []
    if kept.digest != digest_of(draft):
        await put(client, draft, kept)
    await wait_for_sessions(client, draft.slug)
    if keeps_data:
        await client.delete(provision.path_of(draft.slug))
        return
    ends = time.monotonic() + REMOVAL_SLICE_S
    quotas = provision.QUOTA + draft.root
    transaction = client.transaction().delete(provision.path_of(draft.slug))
    for path in (draft.root, quotas):
        if await client.exists(path) is None:
            continue
        await delete_below(client, path, ends)
        transaction.delete(path)
    await transaction.commit()


async def wait_for_sessions(client: Client, slug: str) -> None:
    """Until no session is the tenant's any more.

    Raises:
        UnfinishedError: some still are, after DRAIN_WITHIN_S.
    """
    deadline = time.monotonic() + DRAIN_WITHIN_S
    while True:
        try:
            names = await client.children(provision.path_of(slug))
        except NoNodeError:
            return
        if not names:
            return
        if time.monotonic() > deadline:
            raise UnfinishedError(f"{len(names)} sessions of {slug} have not ended yet")
        await asyncio.sleep(provision.DRAIN_LOOK_EVERY_S)


async def delete_below(client: Client, root: str, ends: float) -> None:
    """Delete all below a path, leaves first; what was deleted stays so when the time is over.

    Raises:
        UnfinishedError: there is more, at `ends` on the monotonic clock.
    """
    waiting = [root]  # each has children that must go before it
    while waiting:
        path = waiting[-1]
        try:
            names = await client.children(path)
        except NoNodeError:
            waiting.pop()
            continue
        if not names:
            waiting.pop()
            if path != root:
                await delete_all(client, [path])
            continue
        for start in range(0, len(names), AT_ONCE_MAX):
            if time.monotonic() > ends:
                raise UnfinishedError("its data are being removed")
            part = [f"{path}/{name}" for name in names[start : start + AT_ONCE_MAX]]
            waiting += await delete_all(client, part)


async def delete_all(client: Client, paths: list[str]) -> list[str]:
    """Delete them; those that have children are given back."""
    results = await asyncio.gather(*map(client.delete, paths), return_exceptions=True)
    full: list[str] = []
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, NotEmptyError):
            full.append(path)
        elif isinstance(result, BaseException) and not isinstance(result, NoNodeError):
            raise result
    return full
