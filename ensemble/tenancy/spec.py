"""What a tenant's document says, once it is read: names, limits, credentials (docs/tenancy.md).

Nothing in here changes: a new document makes a new `TenantSpec`.
"""

from typing import Final, final

from mypy_extensions import i64

# Modes: what is done about requests that reach a tenant's root from outside
OBSERVE: Final = 0  # attributed by path and measured, nothing is refused
PERMISSIVE: Final = 1  # limits hold, absolute paths without a credential still work
ENFORCE: Final = 2  # only the tenant's own credentials reach its root

# States
ACTIVE: Final = 0
SUSPENDED: Final = 1  # reads pass, writes answer NoAuth
DRAINING: Final = 2  # no new sessions

# Roles of a credential, each with what the one before may do
READER: Final = 1
WRITER: Final = 2
ADMIN: Final = 3  # beside writing: whatever ACLs inside the root say

NO_LIMIT: Final = -1
WEIGHT_DEFAULT: Final = 100


@final
class Limits:
    """A tenant's hard limits; NO_LIMIT where there is none, 0 is a limit.

    `bytes` counts path (from the tenant's root), data and ACL of every znode, `znode_bytes` the
    same of one. Rates are per second over the whole ensemble.
    """

    __slots__ = (
        "bytes",
        "bytes_per_second",
        "connections",
        "ephemerals",
        "requests_per_second",
        "sessions",
        "watches",
        "writes_per_second",
        "znode_bytes",
        "znodes",
    )

    def __init__(
        self,
        znodes: i64 = NO_LIMIT,
        bytes: i64 = NO_LIMIT,
        znode_bytes: i64 = NO_LIMIT,
        ephemerals: i64 = NO_LIMIT,
        watches: i64 = NO_LIMIT,
        sessions: i64 = NO_LIMIT,
        connections: i64 = NO_LIMIT,
        requests_per_second: i64 = NO_LIMIT,
        writes_per_second: i64 = NO_LIMIT,
        bytes_per_second: i64 = NO_LIMIT,
    ) -> None:
        self.znodes: Final[i64] = znodes
        self.bytes: Final[i64] = bytes
        self.znode_bytes: Final[i64] = znode_bytes
        self.ephemerals: Final[i64] = ephemerals
        self.watches: Final[i64] = watches
        self.sessions: Final[i64] = sessions
        self.connections: Final[i64] = connections
        self.requests_per_second: Final[i64] = requests_per_second
        self.writes_per_second: Final[i64] = writes_per_second
        self.bytes_per_second: Final[i64] = bytes_per_second


@final
class Secret:
    """One secret of a credential; two may be valid while it is being rotated.

    `hash`: 32 bytes, HMAC-SHA256 of the secret under the registry's key. `digest_md5`: 16 bytes,
    for SASL, empty where it is not wanted. `until_ms`: wall time after which it is void, 0: never.
    """

    __slots__ = ("digest_md5", "hash", "until_ms")

    def __init__(self, hash: bytes, digest_md5: bytes, until_ms: i64) -> None:
        self.hash: Final = hash
        self.digest_md5: Final = digest_md5
        self.until_ms: Final[i64] = until_ms


@final
class Credential:
    """A named way in. `name` is stable over rotations: ACLs made with `auth` carry name@slug."""

    __slots__ = ("name", "role", "secrets", "subjects")

    def __init__(self, name: str, role: i64, secrets: list[Secret], subjects: list[str]) -> None:
        self.name: Final = name
        self.role: Final[i64] = role
        self.secrets: Final = secrets
        self.subjects: Final = subjects  # of TLS client certificates, RFC 2253


@final
class TenantSpec:
    """One tenant, as its document says. `root` is a legal path and not the tree's root."""

    __slots__ = (
        "audit_reads",
        "credentials",
        "limits",
        "mode",
        "root",
        "signing_keys",
        "slug",
        "state",
        "version",
        "weight",
    )

    def __init__(
        self,
        slug: str,
        root: bytes,
        state: i64,
        mode: i64,
        weight: i64,
        limits: Limits,
        credentials: list[Credential],
        signing_keys: dict[str, bytes],
        audit_reads: bool,
        version: i64,
    ) -> None:
        self.slug: Final = slug
        self.root: Final = root
        self.state: Final[i64] = state
        self.mode: Final[i64] = mode
        self.weight: Final[i64] = weight
        self.limits: Final = limits
        self.credentials: Final = credentials
        self.signing_keys: Final = signing_keys  # key id -> Ed25519 public key, 32 bytes
        self.audit_reads: Final = audit_reads
        self.version: Final[i64] = version  # of the document's znode
