"""A tenant's document while it is being made or changed, and its JSON."""

import base64
import json
from dataclasses import dataclass, field
from typing import Final

from ensemble.admin.errors import ProvisionError
from ensemble.tenancy.fields import RegistryError
from ensemble.tenancy.registry import (
    MODE_NAMES,
    ROLE_NAMES,
    SCHEMA,
    STATE_NAMES,
    default_root,
    read_tenant,
)
from ensemble.tenancy.spec import NO_LIMIT, WEIGHT_DEFAULT, Limits, TenantSpec

LIMIT_NAMES: Final = (
    "znodes",
    "bytes",
    "znode_bytes",
    "ephemerals",
    "watches",
    "sessions",
    "connections",
    "requests_per_second",
    "writes_per_second",
    "bytes_per_second",
)


@dataclass(slots=True, kw_only=True)
class DraftSecret:
    """What the registry keeps of a secret. `until_ms` 0: for ever."""

    hash: bytes
    digest_md5: bytes = b""
    until_ms: int = 0


@dataclass(slots=True, kw_only=True)
class DraftCredential:
    """A named way in."""

    name: str
    role: str
    secrets: list[DraftSecret] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Draft:
    """Everything that a tenant's document says. `limits`: by name, those that there are."""

    slug: str
    root: str = ""
    state: str = "active"
    mode: str = "enforce"
    weight: int = WEIGHT_DEFAULT
    limits: dict[str, int] = field(default_factory=dict)
    credentials: list[DraftCredential] = field(default_factory=list)
    signing_keys: dict[str, bytes] = field(default_factory=dict)
    audit_reads: bool = False

    def __post_init__(self) -> None:
        self.root = self.root or default_root(self.slug).decode("utf-8", "replace")

    def credential(self, name: str) -> DraftCredential:
        """One by its name.

        Raises:
            ProvisionError: there is none.
        """
        for credential in self.credentials:
            if credential.name == name:
                return credential
        names = ", ".join(c.name for c in self.credentials) or "none"
        raise ProvisionError(f"{self.slug} has no credential {name!r}; there is: {names}")

    def as_document(self) -> dict[str, object]:
        """The document as JSON has it (docs/tenancy.md)."""
        credentials: list[object] = []
        for credential in self.credentials:
            secrets: list[object] = []
            for secret in credential.secrets:
                kept: dict[str, object] = {"hash": secret.hash.hex()}
                if secret.digest_md5:
                    kept["digest_md5"] = secret.digest_md5.hex()
                kept["until"] = secret.until_ms or None
                secrets.append(kept)
            credentials.append(
                {
                    "name": credential.name,
                    "role": credential.role,
                    "subjects": credential.subjects,
                    "secrets": secrets,
                }
            )
        return {
            "schema": SCHEMA,
            "slug": self.slug,
            "root": self.root,
            "state": self.state,
            "mode": self.mode,
            "weight": self.weight,
            "limits": dict(self.limits),
            "credentials": credentials,
            "signing_keys": keys_as_document(self.signing_keys),
            "audit": {"reads": self.audit_reads},
        }

    def encode(self) -> bytes:
        """The document's bytes.

        Raises:
            ProvisionError: servers would not take it; names key, value and bound.
        """
        raw = json.dumps(self.as_document(), separators=(",", ":")).encode()
        try:
            read_tenant(self.slug, raw, 0)
        except RegistryError as error:
            raise ProvisionError(f"tenant {self.slug}: {error}") from None
        return raw


def keys_as_document(keys: dict[str, bytes]) -> dict[str, str]:
    """Signing keys as JSON has them."""
    return {id: base64.b64encode(key).decode() for id, key in keys.items()}


def draft_of(spec: TenantSpec) -> Draft:
    """A document that was read, to be changed."""
    return Draft(
        slug=spec.slug,
        root=spec.root.decode(),
        state=STATE_NAMES[int(spec.state)],
        mode=MODE_NAMES[int(spec.mode)],
        weight=int(spec.weight),
        limits=limits_of(spec.limits),
        credentials=[
            DraftCredential(
                name=credential.name,
                role=ROLE_NAMES[int(credential.role)],
                secrets=[
                    DraftSecret(hash=s.hash, digest_md5=s.digest_md5, until_ms=int(s.until_ms))
                    for s in credential.secrets
                ],
                subjects=list(credential.subjects),
            )
            for credential in spec.credentials
        ],
        signing_keys=dict(spec.signing_keys),
        audit_reads=spec.audit_reads,
    )


def limits_of(limits: Limits) -> dict[str, int]:
    """The limits that there are, by name."""
    values = {
        "znodes": limits.znodes,
        "bytes": limits.bytes,
        "znode_bytes": limits.znode_bytes,
        "ephemerals": limits.ephemerals,
        "watches": limits.watches,
        "sessions": limits.sessions,
        "connections": limits.connections,
        "requests_per_second": limits.requests_per_second,
        "writes_per_second": limits.writes_per_second,
        "bytes_per_second": limits.bytes_per_second,
    }
    return {name: int(value) for name, value in values.items() if value != NO_LIMIT}
