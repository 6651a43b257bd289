"""Who proves to be whom, by a tenant's secret or a certificate, and whether that still holds.

Pure: the time is an argument. A `Grant` is what a proof is worth; the server makes a seat of it
(`server.bindings`). Operators' assertions are in `assertions`.
"""

import hmac
from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.directory import Directory
from ensemble.tenancy.fields import RegistryError
from ensemble.tenancy.registry import SLUG_MAX, is_slug

TENANT_SCHEME: Final = "tenant"
OPERATOR_SCHEME: Final = "operator"
SECRET_MAX: Final = 256  # bytes of a secret that a client may present


class NotProved(RegistryError):
    """What was presented proves nothing. The text is for the log, and holds no secret."""


@final
class Grant:
    """What a connection has proved, and by what, so that it can be taken back.

    `slug`: the tenant, empty for an operator of the whole ensemble. `name`: the credential's, or
    who the operator is. `hash`: of the secret that proved it, or the key that signed an operator's
    assertion, whose name is `key_id`. `subject`: of the certificate that proved it instead.
    `until_ms`: wall time after which it is void, 0: never.
    """

    __slots__ = ("hash", "key_id", "name", "role", "slug", "subject", "until_ms")

    def __init__(
        self,
        slug: str,
        name: str,
        role: i64,
        hash: bytes,
        subject: str,
        key_id: str,
        until_ms: i64,
    ) -> None:
        self.slug: Final = slug
        self.name: Final = name
        self.role: Final[i64] = role
        self.hash: Final = hash
        self.subject: Final = subject
        self.key_id: Final = key_id
        self.until_ms: Final[i64] = until_ms

    def is_operator(self) -> bool:
        return bool(self.key_id)

    def principal(self) -> str:
        """`name@slug`; an operator's name alone."""
        return self.name if self.key_id else f"{self.name}@{self.slug}"


def hash_secret(hash_key: bytes, slug: str, secret: bytes) -> bytes:
    """What the registry keeps of a secret."""
    return hmac.digest(hash_key, slug.encode() + b":" + secret, "sha256")


def split_token(token: bytes | None) -> tuple[str, bytes]:
    """Slug and secret out of `slug:secret`.

    Raises:
        NotProved: it has not this form. The text says nothing of what it holds.
    """
    if token is None or len(token) > SLUG_MAX + 1 + SECRET_MAX:
        raise NotProved(f"<slug>:<secret> of at most {SLUG_MAX}:{SECRET_MAX} bytes is expected")
    slug, colon, secret = token.partition(b":")
    name = slug.decode("ascii", "replace")
    if not colon or not secret or not is_slug(name):
        raise NotProved("<slug>:<secret> is expected")
    return name, secret


def prove_secret(directory: Directory, token: bytes | None, now_ms: i64) -> Grant:
    """What `slug:secret` is worth.

    Raises:
        NotProved: nothing.
    """
    slug, secret = split_token(token)
    way = directory.ways.get(hash_secret(directory.hash_key, slug, secret))
    if way is None or way.secret is None or not directory.hash_key:
        # What stands in place of a slug may be a secret: only one that is known is told.
        known = f"tenant {slug}" if slug in directory.by_slug else "an unknown tenant"
        raise NotProved(f"no such secret of {known}")
    until_ms = way.secret.until_ms
    if 0 < until_ms <= now_ms:
        raise NotProved(
            f"a secret of {way.credential.name}@{slug} that ended {now_ms - until_ms} ms ago"
        )
    credential = way.credential
    return Grant(slug, credential.name, credential.role, way.secret.hash, "", "", until_ms)


def prove_subject(directory: Directory, subject: str) -> Grant | None:
    """What a verified certificate is worth; None if no tenant knows its subject."""
    way = directory.subjects.get(subject)
    if way is None:
        return None
    credential = way.credential
    return Grant(way.tenant.spec.slug, credential.name, credential.role, b"", subject, "", 0)


def digest_keys(directory: Directory, user: str, now_ms: i64) -> list[bytes]:
    """What SASL DIGEST-MD5 may be answered with for `name@slug`: a key for each valid secret."""
    name, _, slug = user.partition("@")
    credential = directory.credential(slug, name)
    found: list[bytes] = []
    if credential is not None:
        for secret in credential.secrets:
            if secret.digest_md5 and not 0 < secret.until_ms <= now_ms:
                found.append(secret.digest_md5)
    return found


def prove_digest(directory: Directory, user: str, key: bytes, now_ms: i64) -> Grant | None:
    """What a SASL exchange with one of `digest_keys` is worth; None: the user is no tenant's."""
    name, _, slug = user.partition("@")
    credential = directory.credential(slug, name)
    if credential is not None:
        for secret in credential.secrets:
            if secret.digest_md5 == key and not 0 < secret.until_ms <= now_ms:
                return Grant(slug, name, credential.role, secret.hash, "", "", secret.until_ms)
    return None


def renewed(directory: Directory, grant: Grant, now_ms: i64) -> Grant | None:
    """The same grant by the documents of now, with the role of now; None: it is void."""
    if 0 < grant.until_ms <= now_ms:
        return None
    if grant.slug and grant.slug not in directory.by_slug:
        return None
    if grant.is_operator():
        return grant if grant.hash in directory.keys_of(grant.slug, grant.key_id) else None
    credential = directory.credential(grant.slug, grant.name)
    if credential is None:
        return None
    if grant.subject:
        if grant.subject not in credential.subjects:
            return None
        if credential.role == grant.role:
            return grant
        return Grant(grant.slug, grant.name, credential.role, b"", grant.subject, "", 0)
    for secret in credential.secrets:
        if secret.hash == grant.hash and not 0 < secret.until_ms <= now_ms:
            if credential.role == grant.role and secret.until_ms == grant.until_ms:
                return grant
            until_ms = secret.until_ms
            return Grant(grant.slug, grant.name, credential.role, secret.hash, "", "", until_ms)
    return None
