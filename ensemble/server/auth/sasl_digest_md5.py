"""The server's half of SASL DIGEST-MD5, as ZooKeeper's clients and servers speak it.

Source: auth.md 5.1, RFC 2831. A pure state machine: a token in, a token out. The nonce is an
argument. MD5 is what the protocol prescribes; over an untrusted network it belongs inside TLS.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final, final

REALM: Final = "zk-sasl-md5"
DIGEST_URI: Final = "zookeeper/zk-sasl-md5"
TOKEN_BYTES_MAX: Final = 4_096
REQUIRED: Final = ("username", "nonce", "cnonce", "nc", "digest-uri", "response")
FIELD: Final = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]*))\s*(?:,|$)')


class SaslFailed(Exception):
    """The exchange is over, without an identity. The text is for the log, never for the client."""


def md5(*parts: bytes) -> bytes:
    return hashlib.md5(b":".join(parts), usedforsecurity=False).digest()


def md5_hex(*parts: bytes) -> bytes:
    return md5(*parts).hex().encode()


def parse_fields(token: bytes) -> dict[str, str]:
    """`key=value, key="value"` in any order; a repeated key is an error."""
    if len(token) > TOKEN_BYTES_MAX:
        raise SaslFailed(f"a token of {len(token)} bytes, at most {TOKEN_BYTES_MAX}")
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslFailed("a token that is not UTF-8") from None
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = FIELD.match(text, at)
        if match is None or match.end() == at:
            raise SaslFailed(f"not understood at offset {at}")
        at = match.end()
        name = match[1].lower()
        if name in fields:
            raise SaslFailed(f"{name} comes twice")
        quoted = match[2]
        fields[name] = match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return fields


@final
class DigestMd5:
    """One exchange: `step` once for the challenge, once for the response."""

    def __init__(
        self,
        nonce: str,
        password_of: Callable[[str], str | None],
        realm: str = REALM,
        digest_uri: str = DIGEST_URI,
        keys_of: Callable[[str], list[bytes]] | None = None,
    ) -> None:
        self.nonce: Final = nonce
        self.password_of: Final = password_of
        self.keys_of: Final = (
            keys_of  # of users whose passwords are not kept: MD5 of A1's first part
        )
        self.realm: Final = realm
        self.digest_uri: Final = digest_uri
        self.user: str | None = None  # set once the exchange succeeded
        self.key = b""  # the one of `keys_of` that it succeeded with
        self._steps = 0

    def step(self, token: bytes) -> bytes:
        """Take a client's token, give the one to send back.

        Raises:
            SaslFailed: the exchange failed or was over already.
        """
        self._steps += 1
        if self._steps == 1:
            challenge = (
                f'realm="{self.realm}",nonce="{self.nonce}",charset=utf-8,algorithm=md5-sess'
            )
            return challenge.encode()
        if self._steps == 2:
            return self.verify(parse_fields(token))
        raise SaslFailed("a token after the end of the exchange")

    def verify(self, fields: dict[str, str]) -> bytes:
        for name in REQUIRED:
            if name not in fields:
                raise SaslFailed(f"{name} is missing")
        if fields["nonce"] != self.nonce:
            raise SaslFailed("another nonce")
        if fields.get("realm", "") != self.realm:
            raise SaslFailed("another realm")
        if fields["nc"] != "00000001":
            raise SaslFailed("a nonce count other than 1")
        if fields["digest-uri"].lower() != self.digest_uri:
            raise SaslFailed("another digest-uri")
        if fields.get("qop", "auth") != "auth":
            raise SaslFailed("another quality of protection")
        user = fields["username"]
        keys = [] if self.keys_of is None else self.keys_of(user)
        if not keys:
            password = self.password_of(user)
            if password is not None:
                keys = [md5(user.encode(), self.realm.encode(), password.encode())]
        given = fields["response"].lower().encode()
        matching = b""
        # An unknown user takes the same way as a wrong password, and the same time.
        for key in keys or [bytes(16)]:
            if hmac.compare_digest(self.response(fields, key, b"AUTHENTICATE:"), given):
                matching = key
        if not keys or not matching:
            raise SaslFailed("unknown user or wrong password")
        self.user = user
        self.key = matching
        return b"rspauth=" + self.response(fields, matching, b":")

    def response(self, fields: dict[str, str], key: bytes, method: bytes) -> bytes:
        """RFC 2831 2.1.2.1, in hex; `key` is MD5 of user, realm and password."""
        a1 = key + b":" + self.nonce.encode() + b":" + fields["cnonce"].encode()
        if "authzid" in fields:
            a1 += b":" + fields["authzid"].encode()
        return md5_hex(
            hashlib.md5(a1, usedforsecurity=False).hexdigest().encode(),
            self.nonce.encode(),
            fields["nc"].encode(),
            fields["cnonce"].encode(),
            fields.get("qop", "auth").encode(),
            md5_hex_raw(method + fields["digest-uri"].encode()),
        )


def md5_hex_raw(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
