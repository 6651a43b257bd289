"""Authentication schemes: what an auth packet or a certificate is worth.

Source: auth.md. A scheme is one small class: `authenticate` gives the identities that a token
proves. How its ids match ACL entries is the scheme's other half, in `tree.acl`.
"""

import base64
import hashlib
import hmac
import re
from typing import Final, Protocol, final

from ensemble.errors import ConfigError
from ensemble.tree.acl import Scheme
from ensemble.wire.records import Id

# primary[/instance]@realm
KERBEROS_NAME: Final = re.compile(r"[^/@]*(?:/[^/@]*)?@[^/@]*")


class AuthRefused(Exception):
    """The token proves nothing: -115, then the connection closes. The text is for the log."""


class AnotherEnsemble(AuthRefused):
    """The client means another ensemble: closed without a reply, so that it tries elsewhere."""


@final
class Peer:
    """What is known of a connection before it says anything: address, and certificate subject."""

    def __init__(self, host: str, subject: str | None = None) -> None:
        self.host: Final = host
        self.subject: Final = subject


class AuthProvider(Protocol):
    """One scheme of auth packets. Add one by `authProvider.N=python:<module>:<class>`."""

    scheme: str

    def authenticate(self, peer: Peer, token: bytes | None) -> list[Id]:
        """The identities that the token proves.

        Raises:
            AuthRefused: it proves none.
        """
        ...


@final
class DigestProvider:
    """`user:password`, kept as its hash. Never fails: any text is somebody."""

    scheme = "digest"

    def __init__(self, algorithm: str, super_digest: str) -> None:
        # The digests of the shake family have no length of their own.
        if algorithm not in hashlib.algorithms_available or algorithm.startswith("shake"):
            raise ConfigError(
                f"{algorithm!r} is not available here", "DigestAuthenticationProvider.digestAlg"
            )
        self.algorithm: Final = algorithm
        self.super_digest: Final = super_digest

    def authenticate(self, peer: Peer, token: bytes | None) -> list[Id]:
        if token is None:
            raise AuthRefused("a null digest")
        text = token.decode("utf-8", "replace")
        id = self.digest_of(text)
        held = [Id("digest", id)]
        if self.super_digest and hmac.compare_digest(id.encode(), self.super_digest.encode()):
            held.append(Id("super", ""))
        return held

    def digest_of(self, text: str) -> str:
        """`user:base64(hash(user:password))`."""
        raw = hashlib.new(self.algorithm, text.encode(), usedforsecurity=False).digest()
        return f"{text.partition(':')[0]}:{base64.b64encode(raw).decode()}"


@final
class IpProvider:
    """Adds nothing that the connection does not hold already."""

    scheme = "ip"

    def authenticate(self, peer: Peer, token: bytes | None) -> list[Id]:
        return [Id("ip", peer.host)]


@final
class X509Provider:
    """The certificate that the TLS handshake has verified."""

    scheme = "x509"

    def __init__(self, super_user: str) -> None:
        self.super_user: Final = super_user

    def authenticate(self, peer: Peer, token: bytes | None) -> list[Id]:
        if peer.subject is None:
            raise AuthRefused("no client certificate on this connection")
        return self.ids_of(peer.subject)

    def ids_of(self, subject: str) -> list[Id]:
        held = [Id("x509", subject)]
        if self.super_user and subject == self.super_user:
            held.append(Id("super", subject))
        return held


@final
class EnsembleProvider:
    """A client that names the ensemble it expects: on a mismatch it had better try elsewhere."""

    scheme = "ensemble"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names: Final = names

    def authenticate(self, peer: Peer, token: bytes | None) -> list[Id]:
        name = (token or b"").decode("utf-8", "replace")
        if name and self.names and name not in self.names:
            raise AnotherEnsemble(f"the client expects the ensemble {name!r}")
        return []


class X509Scheme(Scheme):
    """`x509:<RFC 2253 subject>`, compared as text."""

    def __init__(self, super_user: str = "") -> None:
        self.name = "x509"
        self.authenticating = True
        self.super_user = super_user

    def is_valid(self, id: str) -> bool:
        """Attribute=value pairs, as a distinguished name has them; the empty name has none."""
        parts = id.replace("\\,", "").split(",") if id else []
        return all("=" in part and part.strip()[:1] != "=" for part in parts)

    def matches(self, held: str, entry: str) -> bool:
        return held == entry or (bool(self.super_user) and held == self.super_user)


class SaslScheme(Scheme):
    """`sasl:<authentication id>`."""

    def __init__(self, any_user_as: str = "") -> None:
        self.name = "sasl"
        self.authenticating = True
        self.any_user_as = any_user_as

    def is_valid(self, id: str) -> bool:
        """Without `@` anything; with it a Kerberos name, whose parts may be empty."""
        return "@" not in id or KERBEROS_NAME.fullmatch(id) is not None

    def matches(self, held: str, entry: str) -> bool:
        if held == entry or held == "super":
            return True
        return bool(self.any_user_as) and entry == self.any_user_as
