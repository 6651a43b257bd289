"""The client's half of SASL DIGEST-MD5.

Source: auth.md 5.1, RFC 2831. Pure but for the client's nonce, which is an argument. MD5 is what
the protocol prescribes: over a network that is not trusted it belongs inside TLS.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final, Protocol

from ensemble.client.errors import AuthFailedError, BadArgumentsError

DIGEST_URI: Final = "zookeeper/zk-sasl-md5"
CHALLENGE_BYTES_MAX: Final = 2_048  # RFC 2831 2.1.1
NONCE_COUNT: Final = "00000001"

_FIELD: Final = re.compile(
    r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]*))\s*(?:,|$)'
)


class SaslExchange(Protocol):
    """One authentication on one connection: the first token is empty, then these two."""

    def respond(self, challenge: bytes) -> bytes: ...

    def verify(self, token: bytes) -> None: ...


class SaslMechanism(Protocol):
    """What the client needs to authenticate again after each reconnect."""

    def begin(self) -> SaslExchange: ...


class DigestMd5:
    """DIGEST-MD5 with a user name and a password."""

    def __init__(self, user: str, password: str) -> None:
        if not user:
            raise BadArgumentsError("DIGEST-MD5 needs a user name")
        self._user = user
        self._password = password

    def begin(self, cnonce: str | None = None) -> "DigestMd5Exchange":
        return DigestMd5Exchange(self._user, self._password, cnonce or secrets.token_urlsafe(24))

    def __repr__(self) -> str:
        return f"DigestMd5({self._user!r}, ...)"  # never the password: this ends up in logs


class DigestMd5Exchange:
    """Answers one challenge, then checks that the server knows the password too."""

    def __init__(
        self,
        user: str,
        password: str,
        cnonce: str,
        digest_uri: str = DIGEST_URI,
        authzid: str = "",
    ) -> None:
        self._user = user
        self._password = password
        self._cnonce = cnonce
        self._digest_uri = digest_uri
        self._authzid = authzid
        self._expected = ""

    def respond(self, challenge: bytes) -> bytes:
        """The answer to the server's challenge.

        Raises:
            AuthFailedError: the challenge cannot be answered.
        """
        fields = parse_challenge(challenge)
        nonce = fields.get("nonce", "")
        realm = fields.get("realm", "")
        if not nonce:
            raise AuthFailedError("the server's DIGEST-MD5 challenge has no nonce")
        if fields.get("algorithm", "md5-sess") != "md5-sess":
            raise AuthFailedError(f"the server wants algorithm {fields['algorithm']}")
        if "auth" not in re.split(r"[,\s]+", fields.get("qop", "auth")):
            raise AuthFailedError(f"the server wants quality of protection {fields['qop']}")
        self._expected = self._digest(realm, nonce, ":")
        return ",".join(
            (
                "charset=utf-8",
                f'username="{_escape(self._user)}"',
                f'realm="{_escape(realm)}"',
                f'nonce="{_escape(nonce)}"',
                f"nc={NONCE_COUNT}",
                f'cnonce="{_escape(self._cnonce)}"',
                f'digest-uri="{self._digest_uri}"',
                f"response={self._digest(realm, nonce, 'AUTHENTICATE:')}",
                "qop=auth",
                *([f'authzid="{_escape(self._authzid)}"'] if self._authzid else []),
            )
        ).encode()

    def verify(self, token: bytes) -> None:
        """Check the server's last token.

        Raises:
            AuthFailedError: whoever answered does not know the password.
        """
        told = token.decode("utf-8", "replace")
        if not self._expected or not hmac.compare_digest(
            told.encode(), f"rspauth={self._expected}".encode()
        ):
            raise AuthFailedError("the server did not prove that it knows the password")

    def _digest(self, realm: str, nonce: str, method: str) -> str:
        """RFC 2831 2.1.2.1."""
        secret = _md5(f"{self._user}:{realm}:{self._password}".encode()).digest()
        as_whom = f":{self._authzid}" if self._authzid else ""
        a1 = _md5(secret + f":{nonce}:{self._cnonce}{as_whom}".encode()).hexdigest()
        a2 = _md5(f"{method}{self._digest_uri}".encode()).hexdigest()
        return _md5(f"{a1}:{nonce}:{NONCE_COUNT}:{self._cnonce}:auth:{a2}".encode()).hexdigest()


def parse_challenge(token: bytes) -> dict[str, str]:
    """`key=value,key="value"` in any order.

    Raises:
        AuthFailedError: too long, not UTF-8, a repeated field, or not of that form.
    """
    if len(token) > CHALLENGE_BYTES_MAX:
        raise AuthFailedError(
            f"a DIGEST-MD5 challenge of {len(token)} bytes, at most {CHALLENGE_BYTES_MAX}"
        )
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        raise AuthFailedError("a DIGEST-MD5 challenge that is not UTF-8") from None
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _FIELD.match(text, at)
        if match is None:
            raise AuthFailedError(f"the DIGEST-MD5 challenge is not understood at offset {at}")
        at = match.end()
        name = match[1].lower()
        if name in fields:
            raise AuthFailedError(f"the DIGEST-MD5 challenge has {name} twice")
        fields[name] = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
    return fields


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _md5(data: bytes) -> "hashlib._Hash":
    return hashlib.md5(data, usedforsecurity=False)
