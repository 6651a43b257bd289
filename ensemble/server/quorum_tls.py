"""TLS between servers: both sides show certificates, and both check what is in them.

Source: zab.md 8, admin.md 5.3 (ssl.quorum.*). That a certificate names the server that shows it is
checked in two places: by TLS itself where this server calls, against the name it called, and by
`peer_security` where it is called.
"""

import ssl
from typing import Final, final

from ensemble.errors import ConfigError
from ensemble.server.config import Config, TlsOptions
from ensemble.server.peer_security import PeerSecurity
from ensemble.server.quorum_config import QuorumOptions
from ensemble.server.tls import (
    StoreWatch,
    add_trust,
    load_key,
    server_context,
    set_ciphers,
    set_protocols,
)

LOOK_EVERY_MS: Final = 2_000


def client_context(options: TlsOptions, check_names: bool) -> ssl.SSLContext:
    """What this server calls others with.

    Raises:
        ConfigError: a store is missing or cannot be used.
    """
    if not options.trust_store:
        raise ConfigError(
            "is missing, the certificates of other servers are checked against it",
            f"{options.prefix}trustStore.location",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_names
    set_protocols(context, options)
    set_ciphers(context, options)
    load_key(context, options)
    add_trust(context, options)
    return context


def peer_security(config: Config, quorum: QuorumOptions) -> PeerSecurity:
    """What the election and the quorum port ask of others, and offer.

    Raises:
        ConfigError: as `client_context`.
    """
    sasl = quorum.sasl
    security = PeerSecurity(
        unification=quorum.unification,
        check_names=quorum.check_names,
        user=sasl.user,
        password=sasl.password,
        users=sasl.users,
        sasl_required=sasl.required,
    )
    if config.quorum_tls is not None:
        load_contexts(security, config.quorum_tls, quorum)
    return security


def load_contexts(security: PeerSecurity, options: TlsOptions, quorum: QuorumOptions) -> None:
    """Read the stores; nothing changes where one cannot be used."""
    server = server_context(options)
    client = client_context(options, quorum.check_names) if quorum.tls else None
    security.server_tls = server
    security.client_tls = client


@final
class Renewal:
    """sslQuorumReloadCertFiles: new stores for new connections, looked for every two seconds."""

    def __init__(self, security: PeerSecurity, options: TlsOptions, quorum: QuorumOptions) -> None:
        self.security: Final = security
        self.options: Final = options
        self.quorum: Final = quorum
        self.stores: Final = StoreWatch(options)

    def look(self) -> str:
        """What is to be logged, "" where nothing has changed.

        Raises:
            ConfigError: the new stores cannot be used; the old certificates stay.
        """
        if not self.stores.changed():
            return ""
        load_contexts(self.security, self.options, self.quorum)
        return f"certificates of {self.options.key_store} were loaded again, for other servers"
