"""Make, change and remove tenants: each a function on a client that is an operator's.

A document is changed by compare-and-set on its version, so two operators never overwrite each
other. Secrets are made here, given back once, and kept nowhere: the registry has their hashes.
"""

import asyncio
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5
from typing import Final

from ensemble.admin.draft import Draft, DraftCredential, DraftSecret, draft_of, keys_as_document
from ensemble.admin.errors import ConflictError, ProvisionError, UnknownTenantError
from ensemble.client import (
    Acl,
    BadVersionError,
    Client,
    Id,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    delete_tree,
)
from ensemble.tenancy.fields import RegistryError
from ensemble.tenancy.identity import hash_secret
from ensemble.tenancy.registry import (
    HASH_BYTES,
    SCHEMA,
    SECRETS_MAX,
    TENANTS,
    TopSpec,
    document_path,
    is_slug,
    read_tenant,
    read_top,
)

CLOSED_ACL: Final = (Acl(0, Id("world", "anyone")),)  # operators alone
QUOTA: Final = "/zookeeper/quota"
TENANTS_PATH: Final = TENANTS.decode()
SECRET_BYTES: Final = 32
UPDATE_TRIES_MAX: Final = 10
DRAIN_TIMEOUT_S: Final = 30.0
DRAIN_LOOK_EVERY_S: Final = 0.1
SASL_REALM: Final = "zk-sasl-md5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A tenant as it stands in the registry. `error`: why its document cannot be read."""

    slug: str
    version: int
    sessions: int
    draft: Draft | None
    error: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class NewSecret:
    """A secret, given once. `token` is what `add_auth("tenant", ...)` takes."""

    slug: str
    name: str
    secret: str

    @property
    def token(self) -> str:
        return f"{self.slug}:{self.secret}"

    def __repr__(self) -> str:
        return f"NewSecret({self.slug!r}, {self.name!r}, ...)"


# The registry itself


async def init(client: Client, key_id: str, public_key: bytes) -> bool:
    """Make the registry, or have one that is there trust this key, too. True: it is new."""
    top = {
        "schema": SCHEMA,
        "hash_key": os.urandom(HASH_BYTES).hex(),
        "signing_keys": keys_as_document({key_id: public_key}),
    }
    try:
        await client.create(TENANTS_PATH, json.dumps(top).encode(), acl=CLOSED_ACL)
    except NodeExistsError:
        await trust(client, key_id, public_key)
        return False
    return True


async def trust(client: Client, key_id: str, public_key: bytes) -> None:
    """Let a key sign for all tenants, in place of one with the same id."""
    for _ in range(UPDATE_TRIES_MAX):
        top, version = await read_registry(client)
        keys = {**top.signing_keys, key_id: public_key}
        if keys == top.signing_keys:
            return
        document = {
            "schema": SCHEMA,
            "hash_key": top.hash_key.hex(),
            "signing_keys": keys_as_document(keys),
        }
        raw = json.dumps(document).encode()
        try:
            read_top(raw)
            await client.set(TENANTS_PATH, raw, version)
            return
        except RegistryError as error:
            raise ProvisionError(str(error)) from None
        except BadVersionError:
            continue
    raise ConflictError(f"{TENANTS_PATH} was changed {UPDATE_TRIES_MAX} times meanwhile: try again")


async def read_registry(client: Client) -> tuple[TopSpec, int]:
    """What holds for all tenants, and its version.

    Raises:
        ProvisionError: there is no registry yet, or it cannot be read.
    """
    try:
        raw, stat = await client.get(TENANTS_PATH)
        return read_top(raw), stat.version
    except NoNodeError:
        raise ProvisionError("there is no registry yet: `ensemble tenant init` makes it") from None
    except RegistryError as error:
        raise ProvisionError(f"{TENANTS_PATH}: {error}") from None


# Tenants


async def create(client: Client, draft: Draft) -> None:
    """A new tenant with a new, empty root, in one transaction."""
    await add(client, draft, is_new=True)


async def adopt(client: Client, draft: Draft) -> None:
    """A tenant of a root that is there; nothing below it is touched."""
    await add(client, draft, is_new=False)


async def add(client: Client, draft: Draft, is_new: bool) -> None:
    """The document, its root where that is new, and the place of its quotas: all or nothing."""
    await read_registry(client)
    raw = draft.encode()
    document = path_of(draft.slug)
    for _ in range(UPDATE_TRIES_MAX):
        transaction = client.transaction().create(document, raw, acl=CLOSED_ACL)
        if is_new:
            for path in await missing_above(client, draft.root):
                transaction.create(path, acl=CLOSED_ACL)
            transaction.create(draft.root)
        elif await client.exists(draft.root) is None:
            raise ProvisionError(f"{draft.root} does not exist: only what is there can be adopted")
        quotas = QUOTA + draft.root
        for path in await missing_above(client, quotas):
            transaction.create(path)
        if await client.exists(quotas) is None:
            transaction.create(quotas)
        try:
            await transaction.commit()
            return
        except NodeExistsError as error:
            if error.path == document:
                raise ConflictError(f"there is a tenant {draft.slug} already") from None
            if error.path == draft.root:
                raise ConflictError(
                    f"{draft.root} exists already: `ensemble tenant adopt` takes what is there"
                ) from None
            continue  # somebody else has made a folder above meanwhile
    raise ConflictError(f"what lies above {draft.root} changes all the time: try again")


async def missing_above(client: Client, path: str) -> list[str]:
    """The paths above `path` that are not there yet, outermost first."""
    found: list[str] = []
    at = path.find("/", 1)
    while at > 0:
        if await client.exists(path[:at]) is None:
            found.append(path[:at])
        at = path.find("/", at + 1)
    return found


async def read(client: Client, slug: str) -> Registered:
    """A tenant as it stands in the registry.

    Raises:
        UnknownTenantError: there is none of this name.
    """
    if not is_slug(slug):
        raise UnknownTenantError(f"{slug!r} cannot be a tenant's name: a-z 0-9 -, at most 63")
    try:
        raw, stat = await client.get(path_of(slug))
    except NoNodeError:
        raise UnknownTenantError(f"there is no tenant {slug}") from None
    draft: Draft | None = None
    error = ""
    try:
        draft = draft_of(read_tenant(slug, raw, stat.version))
    except RegistryError as bad:
        error = str(bad)
    return Registered(
        slug=slug, version=stat.version, sessions=stat.num_children, draft=draft, error=error
    )


async def read_all(client: Client) -> list[Registered]:
    """Every tenant, by name."""
    await read_registry(client)
    found: list[Registered] = []
    for slug in sorted(await client.children(TENANTS_PATH)):
        try:
            found.append(await read(client, slug))
        except UnknownTenantError:
            continue  # it has gone meanwhile, or its name is none
    return found


async def update(client: Client, slug: str, change: Callable[[Draft], None]) -> Draft:
    """Change a document; `change` may be called again where somebody else came first.

    Raises:
        ProvisionError: the document cannot be read, or would not be taken; nothing was changed.
    """
    for _ in range(UPDATE_TRIES_MAX):
        kept = await read(client, slug)
        if kept.draft is None:
            raise ProvisionError(f"the document of {slug} cannot be read: {kept.error}")
        change(kept.draft)
        try:
            await client.set(path_of(slug), kept.draft.encode(), kept.version)
        except BadVersionError:
            continue
        except NoNodeError:
            raise UnknownTenantError(f"tenant {slug} has gone meanwhile") from None
        return kept.draft
    raise ConflictError(f"{slug} was changed {UPDATE_TRIES_MAX} times meanwhile: try again")


async def set_state(client: Client, slug: str, state: str) -> None:
    """active, suspended (reads pass) or draining (no new sessions)."""

    def change(draft: Draft) -> None:
        draft.state = state

    await update(client, slug, change)


async def delete(
    client: Client, slug: str, *, with_data: bool, within_s: float = DRAIN_TIMEOUT_S
) -> None:
    """End a tenant's sessions and remove its document; its tree too, where that is wished.

    Raises:
        ProvisionError: the root is not empty and `with_data` is not set, or sessions did not end;
            then the tenant is draining, without credentials.
    """
    kept = await read(client, slug)
    root = "" if kept.draft is None else kept.draft.root
    if root and not with_data and (stat := await client.exists(root)) and stat.num_children:
        raise ProvisionError(
            f"{root} holds {stat.num_children} znodes: with data (--with-data) they go, too; "
            "with --keep-data they stay and are nobody's"
        )
    await forget(client, slug, kept, within_s)
    if root:
        for path in (root, QUOTA + root):
            if await client.exists(path) is not None:
                await delete_tree(client, path)


async def release(client: Client, slug: str, *, within_s: float = DRAIN_TIMEOUT_S) -> None:
    """End a tenant, but leave its tree where it is: it is nobody's then, and open to its ACLs."""
    await forget(client, slug, await read(client, slug), within_s)


async def forget(client: Client, slug: str, kept: Registered, within_s: float) -> None:
    """Take a tenant's credentials away, wait until its sessions have ended, remove the document."""

    def close(draft: Draft) -> None:
        draft.state = "draining"
        draft.credentials = []

    if kept.draft is not None:
        await update(client, slug, close)
    deadline = time.monotonic() + within_s
    while True:
        try:
            await client.delete(path_of(slug))
            return
        except NoNodeError:
            return
        except NotEmptyError:
            if time.monotonic() > deadline:
                raise ProvisionError(
                    f"sessions of {slug} have not ended within {within_s:.0f} s; "
                    "it is draining now and has no credentials: try again"
                ) from None
        await asyncio.sleep(DRAIN_LOOK_EVERY_S)


# Credentials


async def add_credential(
    client: Client,
    slug: str,
    name: str,
    role: str,
    *,
    sasl: bool = True,
    subjects: tuple[str, ...] = (),
    until_ms: int = 0,
) -> NewSecret:
    """A new credential with its first secret, which is given back and kept nowhere."""
    top, _ = await read_registry(client)
    made = make_secret(slug, name)

    def change(draft: Draft) -> None:
        if any(credential.name == name for credential in draft.credentials):
            raise ConflictError(f"{slug} has a credential {name} already: rotate it")
        draft.credentials.append(
            DraftCredential(
                name=name,
                role=role,
                secrets=[kept_of(top, made, sasl, until_ms)],
                subjects=list(subjects),
            )
        )

    await update(client, slug, change)
    return made


async def rotate_credential(
    client: Client, slug: str, name: str, *, overlap_ms: int, now_ms: int | None = None
) -> NewSecret:
    """A further secret; the others are void after `overlap_ms`, at once where it is 0."""
    top, _ = await read_registry(client)
    made = make_secret(slug, name)
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms

    def change(draft: Draft) -> None:
        credential = draft.credential(name)
        sasl = any(secret.digest_md5 for secret in credential.secrets)
        valid = [s for s in credential.secrets if not s.until_ms or s.until_ms > now]
        left = [] if overlap_ms <= 0 else valid
        for secret in left:
            ends = now + overlap_ms
            secret.until_ms = min(secret.until_ms or ends, ends)
        if len(left) >= SECRETS_MAX:
            raise ProvisionError(
                f"{name} of {slug} has {len(left)} secrets that are still valid, at most "
                f"{SECRETS_MAX}: rotate with less overlap"
            )
        credential.secrets = [*left, kept_of(top, made, sasl or not credential.secrets, 0)]

    await update(client, slug, change)
    return made


async def revoke_credential(client: Client, slug: str, name: str) -> None:
    """Take a credential away; its sessions end within a second."""

    def change(draft: Draft) -> None:
        draft.credentials.remove(draft.credential(name))

    await update(client, slug, change)


def make_secret(slug: str, name: str) -> NewSecret:
    return NewSecret(slug, name, secrets.token_urlsafe(SECRET_BYTES))


def kept_of(top: TopSpec, made: NewSecret, sasl: bool, until_ms: int) -> DraftSecret:
    """What the registry keeps of a secret."""
    user = f"{made.name}@{made.slug}"
    digest = b""
    if sasl:
        text = f"{user}:{SASL_REALM}:{made.secret}".encode()
        digest = md5(text, usedforsecurity=False).digest()
    hash = hash_secret(top.hash_key, made.slug, made.secret.encode())
    return DraftSecret(hash=hash, digest_md5=digest, until_ms=until_ms)


def path_of(slug: str) -> str:
    return document_path(slug).decode()
