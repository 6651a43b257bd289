"""The registry's documents: bytes of a znode -> what they say, or why they say nothing.

Pure. The schema stands in docs/tenancy.md. What is not understood is an error that names key, value
and bound; nothing is guessed, since a document decides who may see what.
"""

import binascii
from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import EnsembleError
from ensemble.tenancy.fields import Fields, RegistryError, read_object, shown
from ensemble.tenancy.spec import (
    ACTIVE,
    ADMIN,
    DRAINING,
    ENFORCE,
    NO_LIMIT,
    OBSERVE,
    PERMISSIVE,
    READER,
    SUSPENDED,
    WEIGHT_DEFAULT,
    WRITER,
    Credential,
    Limits,
    Secret,
    TenantSpec,
)
from ensemble.tree.paths import ROOT, ZOOKEEPER, is_legal, is_within

TENANTS: Final = b"/zookeeper/tenants"
TENANTS_PREFIX: Final = b"/zookeeper/tenants/"
ROOT_OF_ROOTS: Final = b"/tenants/"  # where a tenant's root is unless it was adopted

SCHEMA: Final = 1
SLUG_MAX: Final = 63
NAME_MAX: Final = 63
ROOT_BYTES_MAX: Final = 1_024
CREDENTIALS_MAX: Final = 1_000
SECRETS_MAX: Final = 4
SUBJECTS_MAX: Final = 16
SUBJECT_MAX: Final = 1_024
SIGNING_KEYS_MAX: Final = 32
KEY_ID_MAX: Final = 64
KEY_BYTES: Final = 32
HASH_BYTES: Final = 32
DIGEST_BYTES: Final = 16
WEIGHT_MAX: Final = 10_000
LIMIT_MAX: Final = (1 << 53) - 1  # what every reader of JSON keeps exact
TIME_MAX: Final = (1 << 53) - 1

STATES: Final = {"active": ACTIVE, "suspended": SUSPENDED, "draining": DRAINING}
MODES: Final = {"observe": OBSERVE, "permissive": PERMISSIVE, "enforce": ENFORCE}
ROLES: Final = {"reader": READER, "writer": WRITER, "admin": ADMIN}
STATE_NAMES: Final = ("active", "suspended", "draining")
MODE_NAMES: Final = ("observe", "permissive", "enforce")
ROLE_NAMES: Final = ("nobody", "reader", "writer", "admin")

SLUG_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789-"
NAME_CHARACTERS: Final = SLUG_CHARACTERS + "_."
KEY_ID_CHARACTERS: Final = NAME_CHARACTERS + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
QUOTA_NAMES: Final = (b"zookeeper_limits", b"zookeeper_stats")


@final
class TopSpec:
    """What holds for all tenants: `/zookeeper/tenants` itself."""

    __slots__ = ("hash_key", "signing_keys")

    def __init__(self, hash_key: bytes, signing_keys: dict[str, bytes]) -> None:
        self.hash_key: Final = hash_key
        self.signing_keys: Final = signing_keys


def is_made_of(text: str, characters: str, length_max: int) -> bool:
    """Whether a name has 1 to `length_max` of these characters and no others."""
    return 1 <= len(text) <= length_max and not text.strip(characters)


def is_slug(text: str) -> bool:
    """A tenant's name: a letter or digit at both ends."""
    return is_made_of(text, SLUG_CHARACTERS, SLUG_MAX) and text[0] != "-" and text[-1] != "-"


def is_principal(text: str) -> bool:
    """`name@slug`, as ACLs of scheme `tenant` carry it."""
    name, at, slug = text.partition("@")
    return bool(at) and is_made_of(name, NAME_CHARACTERS, NAME_MAX) and is_slug(slug)


def document_path(slug: str) -> bytes:
    """Where a tenant's document is."""
    return TENANTS_PREFIX + slug.encode()


def binding_path(slug: str, session_id: i64) -> bytes:
    """The ephemeral znode that says whose a session is."""
    return TENANTS_PREFIX + f"{slug}/{int(session_id) & 0xFFFFFFFFFFFFFFFF:016x}".encode()


def default_root(slug: str) -> bytes:
    return ROOT_OF_ROOTS + slug.encode()


def read_top(raw: bytes | None) -> TopSpec:
    """The document of `/zookeeper/tenants`.

    Raises:
        RegistryError: it cannot be used.
    """
    fields = read_object(raw)
    _check_schema(fields)
    hash_key = fields.hex_bytes("hash_key", HASH_BYTES)
    signing_keys = _signing_keys(fields)
    fields.end()
    return TopSpec(hash_key, signing_keys)


def read_tenant(slug: str, raw: bytes | None, version: i64) -> TenantSpec:
    """The document of `/zookeeper/tenants/<slug>`; whether it agrees with others' is not asked.

    Raises:
        RegistryError: it cannot be used.
    """
    if not is_slug(slug):
        raise RegistryError(
            f"the znode's name {shown(slug)}: 1 to {SLUG_MAX} of a-z 0-9 -, "
            "a letter or digit at both ends"
        )
    fields = read_object(raw)
    _check_schema(fields)
    named = fields.text("slug", SLUG_MAX)
    if named != slug:
        raise fields.fail("slug", f"{shown(named)}, the znode's name is {slug}")
    spec = TenantSpec(
        slug,
        _root(fields),
        fields.choice("state", STATES, "active"),
        fields.choice("mode", MODES),
        fields.number("weight", 1, WEIGHT_MAX, WEIGHT_DEFAULT),
        _limits(fields.part("limits")),
        _credentials(fields),
        _signing_keys(fields),
        _audit_reads(fields.part("audit")),
        version,
    )
    fields.end()
    return spec


def closed_tenant(slug: str, raw: bytes | None, version: i64) -> TenantSpec:
    """In place of a first document that cannot be used: its root is closed to everybody.

    The root is taken from the document if it can be read, else it is the one that tenants have.
    """
    root = default_root(slug)
    try:
        root = _root(read_object(raw))
    except EnsembleError:
        pass
    return closed_at(slug, root, version)


def closed_at(slug: str, root: bytes, version: i64) -> TenantSpec:
    """A tenant that nobody can come in as, and whose root nobody else can reach."""
    return TenantSpec(
        slug, root, SUSPENDED, ENFORCE, WEIGHT_DEFAULT, Limits(), [], {}, False, version
    )


def _check_schema(fields: Fields) -> None:
    if fields.number("schema", 1, LIMIT_MAX, 0) != SCHEMA:
        raise fields.fail("schema", f"{shown(fields.take('schema'))}, this server knows {SCHEMA}")


def _root(fields: Fields) -> bytes:
    text = fields.text("root", ROOT_BYTES_MAX)
    try:
        root = text.encode()
    except UnicodeEncodeError:
        raise fields.fail("root", f"{shown(text)} is not a legal path") from None
    if len(root) > ROOT_BYTES_MAX:
        raise fields.fail("root", f"{len(root)} bytes, at most {ROOT_BYTES_MAX}")
    if not is_legal(root) or root == ROOT:
        raise fields.fail("root", f"{shown(text)} is not a legal path below /")
    if is_within(root, ZOOKEEPER):
        raise fields.fail("root", f"{shown(text)} lies in /zookeeper, which is the server's own")
    for name in QUOTA_NAMES:
        if name in root.split(b"/"):
            raise fields.fail("root", f"{shown(text)} holds {name.decode()}, a name of quotas")
    return root


def _limits(fields: Fields) -> Limits:
    limits = Limits(
        znodes=fields.number("znodes", 0, LIMIT_MAX, NO_LIMIT),
        bytes=fields.number("bytes", 0, LIMIT_MAX, NO_LIMIT),
        znode_bytes=fields.number("znode_bytes", 0, LIMIT_MAX, NO_LIMIT),
        ephemerals=fields.number("ephemerals", 0, LIMIT_MAX, NO_LIMIT),
        watches=fields.number("watches", 0, LIMIT_MAX, NO_LIMIT),
        sessions=fields.number("sessions", 0, LIMIT_MAX, NO_LIMIT),
        connections=fields.number("connections", 0, LIMIT_MAX, NO_LIMIT),
        requests_per_second=fields.number("requests_per_second", 0, LIMIT_MAX, NO_LIMIT),
        writes_per_second=fields.number("writes_per_second", 0, LIMIT_MAX, NO_LIMIT),
        bytes_per_second=fields.number("bytes_per_second", 0, LIMIT_MAX, NO_LIMIT),
    )
    fields.end()
    return limits


def _credentials(fields: Fields) -> list[Credential]:
    found: list[Credential] = []
    names: set[str] = set()
    hashes: set[bytes] = set()
    subjects: set[str] = set()
    for entry in fields.objects("credentials", CREDENTIALS_MAX):
        name = entry.text("name", NAME_MAX)
        if not is_made_of(name, NAME_CHARACTERS, NAME_MAX):
            raise entry.fail("name", f"{shown(name)}: 1 to {NAME_MAX} of a-z 0-9 - _ .")
        if name in names:
            raise entry.fail("name", f"{name} comes twice")
        names.add(name)
        role = entry.choice("role", ROLES)
        secrets: list[Secret] = []
        for kept in entry.objects("secrets", SECRETS_MAX):
            secret = Secret(
                kept.hex_bytes("hash", HASH_BYTES),
                kept.hex_bytes("digest_md5", DIGEST_BYTES, b""),
                kept.number("until", 1, TIME_MAX, 0),
            )
            kept.end()
            if secret.hash in hashes:
                raise kept.fail("hash", "the same secret comes twice")
            hashes.add(secret.hash)
            secrets.append(secret)
        own: list[str] = []
        for index, subject in enumerate(entry.items("subjects", SUBJECTS_MAX)):
            if not isinstance(subject, str) or not 1 <= len(subject) <= SUBJECT_MAX:
                raise entry.fail(
                    f"subjects[{index}]",
                    f"{shown(subject)}, a subject of 1 to {SUBJECT_MAX} characters is expected",
                )
            if subject in subjects:
                raise entry.fail(f"subjects[{index}]", f"{shown(subject)} comes twice")
            subjects.add(subject)
            own.append(subject)
        entry.end()
        found.append(Credential(name, role, secrets, own))
    return found


def _signing_keys(fields: Fields) -> dict[str, bytes]:
    entries = fields.part("signing_keys")
    if len(entries.values) > SIGNING_KEYS_MAX:
        raise fields.fail("signing_keys", f"{len(entries.values)} keys, at most {SIGNING_KEYS_MAX}")
    found: dict[str, bytes] = {}
    for key_id in entries.values:
        if not is_made_of(key_id, KEY_ID_CHARACTERS, KEY_ID_MAX):
            raise entries.fail(shown(key_id), f"1 to {KEY_ID_MAX} of a-z A-Z 0-9 - _ .")
        found[key_id] = _public_key(entries, key_id)
    return found


def _public_key(fields: Fields, key_id: str) -> bytes:
    key = decode_key(fields.text(key_id, 64))
    if key is None:
        raise fields.fail(key_id, f"the base64 of {KEY_BYTES} bytes is expected")
    return key


def decode_key(text: str) -> bytes | None:
    """A key's bytes out of their base64; None if they are none."""
    try:
        key = binascii.a2b_base64(text.encode("ascii", "replace"), strict_mode=True)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None


def _audit_reads(fields: Fields) -> bool:
    reads = fields.flag("reads", False)
    fields.end()
    return reads
