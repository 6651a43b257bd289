"""What credentials of tenants and assertions of operators are worth at this server.

The rules are `tenancy.identity`'s and `tenancy.assertions`'; here are the clock, the keys of the
configuration, and the one check that needs a library: signatures.
"""

from collections.abc import Callable
from typing import Final, final

from ensemble.errors import ConfigError
from ensemble.server.auth.providers import AuthRefused
from ensemble.tenancy.assertions import Assertion, read_assertion
from ensemble.tenancy.directory import Directory
from ensemble.tenancy.identity import (
    OPERATOR_SCHEME,
    TENANT_SCHEME,
    Grant,
    NotProved,
    digest_keys,
    prove_digest,
    prove_secret,
)
from ensemble.tenancy.registry import (
    KEY_ID_CHARACTERS,
    KEY_ID_MAX,
    SIGNING_KEYS_MAX,
    decode_key,
    is_made_of,
    is_principal,
)
from ensemble.tree.acl import Scheme

KEYS_FILE_BYTES_MAX: Final = 64 * 1024
SCHEMES: Final = (TENANT_SCHEME, OPERATOR_SCHEME)


class TenantScheme(Scheme):
    """`tenant:name@slug` in ACLs; the name of a credential, so it outlives its secrets."""

    def __init__(self) -> None:
        self.name = TENANT_SCHEME
        self.authenticating = True

    def is_valid(self, id: str) -> bool:
        return is_principal(id)


class OperatorScheme(Scheme):
    """`operator:alice`: shown by whoAmI, never in an ACL, since an operator's name is no tenant's
    to write down.
    """

    def __init__(self) -> None:
        self.name = OPERATOR_SCHEME


@final
class TenantDoor:
    """Takes auth packets of the schemes `tenant` and `operator`, and SASL users `name@slug`."""

    def __init__(self, directory: Directory, wall_ms: Callable[[], int]) -> None:
        self.directory: Final = directory
        self.wall_ms: Final = wall_ms

    def prove(self, scheme: str, token: bytes | None) -> Grant:
        """What an auth packet's token is worth.

        Raises:
            AuthRefused: nothing; the text is for the log and holds no secret.
        """
        try:
            if scheme == TENANT_SCHEME:
                return prove_secret(self.directory, token, self.wall_ms())
            return self.verify(read_assertion(token, self.wall_ms()))
        except NotProved as error:
            raise AuthRefused(f"{scheme}: {error}") from None

    def verify(self, assertion: Assertion) -> Grant:
        slug = assertion.slug()
        for key in self.directory.keys_of(slug, assertion.key_id):
            if is_signed(key, assertion.signed, assertion.signature):
                return assertion.grant(key)
        whom = f"tenant {slug}" if slug else "all tenants"
        raise NotProved(
            f"an assertion for {assertion.who} that no key {assertion.key_id} for {whom} has signed"
        )

    def takes_sasl(self) -> bool:
        """Whether there is anybody who could come in by SASL."""
        return self.directory.digests > 0

    def digest_keys(self, user: str) -> list[bytes]:
        return digest_keys(self.directory, user, self.wall_ms())

    def of_digest(self, user: str, key: bytes) -> Grant | None:
        return prove_digest(self.directory, user, key, self.wall_ms())


def is_signed(key: bytes, data: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is right. The library comes with the first one."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def load_operator_keys(path: str) -> dict[str, bytes]:
    """A file of `<id> <base64 of an Ed25519 public key>` lines; `#` begins a comment.

    Raises:
        ConfigError: names the line.
    """
    key_name = "ensemble.operator.keys"
    try:
        with open(path, "rb") as file:
            raw = file.read(KEYS_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", key_name) from None
    if len(raw) > KEYS_FILE_BYTES_MAX:
        raise ConfigError(f"{path}: more than {KEYS_FILE_BYTES_MAX} bytes", key_name)
    found: dict[str, bytes] = {}
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        key = decode_key(words[1]) if len(words) == 2 else None
        if key is None or not is_made_of(words[0], KEY_ID_CHARACTERS, KEY_ID_MAX):
            raise ConfigError(
                f"{path}, line {number}: an id and the base64 of a public key of 32 bytes "
                "are expected, as `ensemble operator-key new` prints them",
                key_name,
            )
        if words[0] in found:
            raise ConfigError(f"{path}, line {number}: {words[0]} comes twice", key_name)
        found[words[0]] = key
    if len(found) > SIGNING_KEYS_MAX:
        raise ConfigError(f"{path}: {len(found)} keys, at most {SIGNING_KEYS_MAX}", key_name)
    return found
