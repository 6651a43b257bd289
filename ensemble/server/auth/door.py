"""The door of the client port: takes auth packets and SASL tokens, checks session passwords."""

import base64
import importlib
import logging
import os
from typing import Final, final

from ensemble.errors import ConfigError, ProtocolError
from ensemble.server.auth import passwords
from ensemble.server.auth.jaas import read_users
from ensemble.server.auth.passwords import Passwords
from ensemble.server.auth.providers import (
    AnotherEnsemble,
    AuthProvider,
    AuthRefused,
    DigestProvider,
    EnsembleProvider,
    IpProvider,
    Peer,
    SaslScheme,
    X509Provider,
    X509Scheme,
)
from ensemble.server.auth.sasl_digest_md5 import DigestMd5, SaslFailed
from ensemble.server.auth.tenants import (
    SCHEMES,
    OperatorScheme,
    TenantDoor,
    TenantScheme,
    load_operator_keys,
)
from ensemble.server.clock import wall_ms
from ensemble.server.config import AuthOptions
from ensemble.server.connection import Connection
from ensemble.server.stats import ServerStats
from ensemble.tenancy.directory import Directory
from ensemble.tree.acl import DigestScheme, IpScheme, Scheme, WorldScheme
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader
from ensemble.wire.records import Id
from ensemble.wire.requests import read_auth

log = logging.getLogger("ensemble.auth")

IDS_MAX: Final = 256  # identities that one connection may gather
NONCE_BYTES: Final = 30
APACHE_PREFIX: Final = "org.apache.zookeeper.server.auth."
X509_PROVIDER: Final = APACHE_PREFIX + "X509AuthenticationProvider"
SASL_PROVIDER: Final = APACHE_PREFIX + "SASLAuthenticationProvider"
BUILT_IN: Final = (
    APACHE_PREFIX + "DigestAuthenticationProvider",
    APACHE_PREFIX + "IPAuthenticationProvider",
)
ENSEMBLE_PROVIDER: Final = APACHE_PREFIX + "EnsembleAuthenticationProvider"


@final
class Door:
    """Identity for one server. Implements `pipeline.Door`."""

    def __init__(
        self,
        options: AuthOptions,
        session_passwords: Passwords,
        stats: ServerStats,
        tls: bool,
        directory: Directory | None = None,
    ) -> None:
        self.options: Final = options
        self.passwords: Final = session_passwords
        self.stats: Final = stats
        self.providers: Final[dict[str, AuthProvider]] = {}
        self.schemes: Final[list[Scheme]] = [
            WorldScheme(),
            IpScheme(),
            TenantScheme(),
            OperatorScheme(),
        ]
        self.tenants: Final = TenantDoor(Directory() if directory is None else directory, wall_ms)
        self.x509: X509Provider | None = None
        self.users: dict[str, str] | None = None
        self.add(IpProvider())
        if options.digest_enabled:
            self.add(DigestProvider(options.digest_algorithm, options.super_digest))
            self.schemes.append(DigestScheme())
        for name in options.providers:
            self.add_named(name)
        if tls and self.x509 is None:
            self.add_x509()
        if options.jaas_file:
            self.users = self.load_users(options.jaas_file)
        if options.operator_keys:
            keys = load_operator_keys(options.operator_keys)
            self.tenants.directory.trusted_keys = keys
        known = {*self.providers, *SCHEMES, *(scheme.name for scheme in self.schemes)}
        for name in options.enforce_schemes:
            if name not in known and not (name == "sasl" and self.users):
                raise ConfigError(
                    f"{name} is not available here, nobody could ever come in: "
                    f"known are {', '.join(sorted(known - {'world'}))}",
                    "enforce.auth.schemes",
                )

    def add(self, provider: AuthProvider) -> None:
        self.providers[provider.scheme] = provider

    def add_x509(self) -> None:
        self.x509 = X509Provider(self.options.x509_super)
        self.add(self.x509)
        self.schemes.append(X509Scheme(self.options.x509_super))

    def add_named(self, name: str) -> None:
        """An `authProvider.N` setting: a Java class that we know, or `python:<module>:<class>`."""
        if name in BUILT_IN:
            return
        if name == X509_PROVIDER:
            self.add_x509()
        elif name == SASL_PROVIDER:
            self.schemes.append(SaslScheme(self.options.any_sasl_user_as))
        elif name == ENSEMBLE_PROVIDER:
            self.add(EnsembleProvider(self.options.ensemble_names))
        elif name.startswith("python:") and name.count(":") == 2:
            _, module, class_name = name.split(":")
            try:
                made = getattr(importlib.import_module(module), class_name)()
            except (ImportError, AttributeError) as error:
                raise ConfigError(f"{name}: {error}", "authProvider") from None
            self.add(made)
            if isinstance(made, Scheme):
                self.schemes.append(made)
        else:
            raise ConfigError(
                f"{name} is not known here; an own one is python:<module>:<class>", "authProvider"
            )

    def load_users(self, path: str) -> dict[str, str] | None:
        try:
            with open(path, encoding="utf-8") as file:
                users = read_users(file.read(), path)
        except OSError as error:
            raise ConfigError(
                f"{path}: {error.strerror}", "java.security.auth.login.config"
            ) from None
        if users is None:
            log.warning("%s has no section Server: SASL stays off", path)
        elif self.options.sasl_super_password:
            users.setdefault("super", self.options.sasl_super_password)
        return users

    def identify(self, host: str, subject: str | None) -> list[Id]:
        """What a connection holds from the start: its address, and its certificate's subject."""
        held = [Id("ip", host)]
        if subject is not None and self.x509 is not None:
            held += self.x509.ids_of(subject)
        return held

    # pipeline.Door

    def on_auth(self, conn: Connection, reader: Reader) -> int:
        packet = read_auth(reader)
        provider = self.providers.get(packet.scheme or "")
        try:
            if packet.scheme is not None and packet.scheme in SCHEMES:
                conn.wanted = self.tenants.prove(packet.scheme, packet.auth)
                return 0
            if provider is None:
                raise AuthRefused(f"scheme {packet.scheme!r} is not known")
            subject = next((id.id for id in conn.ids if id.scheme == "x509"), None)
            self.hold(conn, provider.authenticate(Peer(conn.peer_host, subject), packet.auth))
        except AnotherEnsemble as refused:
            self.stats.ensemble_auth_failures += 1
            raise ProtocolError(str(refused)) from None
        except AuthRefused as refused:
            self.stats.auth_failures += 1
            log.warning("auth refused from %s: %s", conn.peer_host, refused)
            return codes.AUTH_FAILED
        if packet.scheme == EnsembleProvider.scheme:
            self.stats.ensemble_auth_successes += 1
        return 0

    def hold(self, conn: Connection, ids: list[Id]) -> None:
        """Add identities; the old list stays as it is for requests that were read before."""
        new = [id for id in ids if id not in conn.ids]
        if len(conn.ids) + len(new) > IDS_MAX:
            raise AuthRefused(f"more than {IDS_MAX} identities on one connection")
        if new:
            conn.ids = conn.ids + new

    def on_sasl(self, conn: Connection, reader: Reader) -> tuple[int, bytes | None, bool]:
        token = reader.read_buffer()
        if token is None:
            raise MarshallingError("a null SASL token")
        users = self.users
        if users is None and not self.tenants.takes_sasl():
            return 0, None, False  # no SASL login is configured (auth.md 5)
        exchange = conn.sasl
        if not isinstance(exchange, DigestMd5):
            nonce = base64.b64encode(os.urandom(NONCE_BYTES)).decode()
            exchange = DigestMd5(nonce, (users or {}).get, keys_of=self.tenants.digest_keys)
            conn.sasl = exchange
        try:
            answer = exchange.step(token)
            if exchange.user is not None:
                self.hold(conn, self.sasl_ids(exchange.user))
                conn.wanted = self.tenants.of_digest(exchange.user, exchange.key)
            return 0, answer, False
        except (SaslFailed, AuthRefused) as failed:
            self.stats.auth_failures += 1
            log.warning("SASL failed from %s: %s", conn.peer_host, failed)
            if "sasl" in self.options.enforce_schemes:
                return codes.SESSION_CLOSED_REQUIRE_SASL_AUTH, None, True
            if self.options.allow_failed_sasl:
                return 0, None, False
            return codes.AUTH_FAILED, None, True

    def sasl_ids(self, user: str) -> list[Id]:
        held = [Id("sasl", user)]
        if user in self.options.sasl_super:
            held.append(Id("super", ""))
        return held

    def may_run(self, conn: Connection, op: int) -> bool:
        if op in (codes.OP_AUTH, codes.OP_SASL):
            return True
        if conn.seat.is_operator:
            return True  # who has shown that already, or this server itself (inner_client)
        return any(id.scheme in self.options.enforce_schemes for id in conn.ids)

    def new_password(self, session_id: int) -> bytes:
        return self.passwords.of(session_id)

    def password_matches(self, session_id: int, password: bytes | None) -> bool:
        return passwords.matches(self.passwords, session_id, password)
