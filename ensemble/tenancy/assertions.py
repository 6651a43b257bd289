"""Assertions of operators: signed and short-lived, made by whoever holds a signing key.

An assertion is `base64url(JSON).base64url(signature)`, without padding; what is signed (Ed25519) is
ASSERTION_PREFIX followed by the first part as it stands. The JSON: `{"key": id, "who": "alice",
"tenant": "payments" or "*", "role": "reader", "until": wall clock in ms}`. Pure: the time is an
argument, and whether the signature is right, the caller finds out.
"""

import binascii
from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.fields import RegistryError, read_object, shown
from ensemble.tenancy.identity import Grant, NotProved
from ensemble.tenancy.registry import (
    KEY_ID_CHARACTERS,
    KEY_ID_MAX,
    ROLES,
    SLUG_MAX,
    TIME_MAX,
    is_made_of,
    is_slug,
)

ASSERTION_BYTES_MAX: Final = 1_024
ASSERTION_AHEAD_MAX_MS: Final = 15 * 60_000
ASSERTION_PREFIX: Final = b"ensemble operator 1\n"
SIGNATURE_BYTES: Final = 64
WHO_MAX: Final = 63
WHO_CHARACTERS: Final = KEY_ID_CHARACTERS + "+"  # no @: that is what principals of tenants have
EVERYTHING: Final = "*"  # the tenant of an operator of the whole ensemble


@final
class Assertion:
    """An operator's, as it came: nothing is checked but its form."""

    __slots__ = ("key_id", "role", "signature", "signed", "tenant", "until_ms", "who")

    def __init__(
        self,
        key_id: str,
        who: str,
        tenant: str,
        role: i64,
        until_ms: i64,
        signed: bytes,
        signature: bytes,
    ) -> None:
        self.key_id: Final = key_id
        self.who: Final = who
        self.tenant: Final = tenant
        self.role: Final[i64] = role
        self.until_ms: Final[i64] = until_ms
        self.signed: Final = signed
        self.signature: Final = signature

    def slug(self) -> str:
        """The tenant that it is for, empty for all of them."""
        return "" if self.tenant == EVERYTHING else self.tenant

    def grant(self, key: bytes) -> Grant:
        """What it is worth once its signature by `key` is checked."""
        return Grant(self.slug(), self.who, self.role, key, "", self.key_id, self.until_ms)


def read_assertion(token: bytes | None, now_ms: i64) -> Assertion:
    """An operator's assertion, with the checks that need no key.

    Raises:
        NotProved: its form, its time or its size is wrong.
    """
    if token is None or len(token) > ASSERTION_BYTES_MAX:
        raise NotProved(f"an assertion of 1 to {ASSERTION_BYTES_MAX} bytes is expected")
    body, dot, end = token.partition(b".")
    document = decode_base64url(body)
    signature = decode_base64url(end)
    if not dot or document is None or signature is None or len(signature) != SIGNATURE_BYTES:
        raise NotProved("base64url(JSON).base64url(signature) is expected")
    try:
        fields = read_object(document)
        key_id = fields.text("key", KEY_ID_MAX)
        who = fields.text("who", WHO_MAX)
        tenant = fields.text("tenant", SLUG_MAX)
        role = fields.choice("role", ROLES)
        until_ms = fields.number("until", 1, TIME_MAX, 0)
        fields.end()
    except RegistryError as error:
        raise NotProved(f"an assertion's {error}") from None
    if not is_made_of(key_id, KEY_ID_CHARACTERS, KEY_ID_MAX):
        raise NotProved(f"an assertion's key: {shown(key_id)} is no key's id")
    if not is_made_of(who, WHO_CHARACTERS, WHO_MAX):
        raise NotProved(f"an assertion's who: {shown(who)} holds more than a-z A-Z 0-9 - _ . +")
    if tenant != EVERYTHING and not is_slug(tenant):
        raise NotProved(f"an assertion's tenant: {shown(tenant)} is neither a slug nor *")
    if until_ms <= now_ms:
        raise NotProved(f"an assertion that ended {now_ms - until_ms} ms ago")
    if until_ms - now_ms > ASSERTION_AHEAD_MAX_MS:
        raise NotProved(
            f"an assertion for the next {until_ms - now_ms} ms, at most {ASSERTION_AHEAD_MAX_MS}"
        )
    return Assertion(key_id, who, tenant, role, until_ms, ASSERTION_PREFIX + body, signature)


def decode_base64url(text: bytes) -> bytes | None:
    """Bytes out of base64 with - and _ and without padding; None if it is none."""
    if b"+" in text or b"/" in text or b"=" in text:
        return None
    padded = text.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(text) % 4)
    try:
        return binascii.a2b_base64(padded, strict_mode=True)
    except ValueError:
        return None


def encode_base64url(data: bytes) -> bytes:
    text = binascii.b2a_base64(data, newline=False).rstrip(b"=")
    return text.replace(b"+", b"-").replace(b"/", b"_")
