"""How servers prove to each other who they are: TLS, SASL, both, or neither.

Source: zab.md 8. What a certificate or a user names must be the server that it claims to be
(trust.md E3): a certificate of host A does not make a server that says it is B.
"""

import ipaddress
import re
import ssl
from collections.abc import Iterable
from typing import Final, final

from ensemble.errors import ProtocolError
from ensemble.server.peer_socket import PeerSocket
from ensemble.server.quorum_sasl import SaslAcceptor, SaslInitiator

SID_USER: Final = re.compile(r"server[.-](\d{1,18})$")


@final
class PeerSecurity:
    """What both ports ask of the other servers. The default asks nothing."""

    def __init__(
        self,
        client_tls: ssl.SSLContext | None = None,
        server_tls: ssl.SSLContext | None = None,
        unification: bool = False,
        check_names: bool = True,
        user: str = "",
        password: str = "",
        users: dict[str, str] | None = None,
        sasl_required: bool = False,
    ) -> None:
        self.client_tls = client_tls  # both are replaced when the stores are
        self.server_tls = server_tls
        self.unification: Final = unification  # TLS and plain on one port
        self.check_names: Final = check_names
        self.user: Final = user  # with which this server authenticates; "": it does not
        self.password: Final = password
        self.users: Final = users  # that may connect; None: SASL is not spoken
        self.sasl_required: Final = sasl_required

    def initiator(self) -> SaslInitiator | None:
        return SaslInitiator(self.user, self.password) if self.user else None

    def acceptor(self) -> SaslAcceptor | None:
        return None if self.users is None else SaslAcceptor(self.users, self.sasl_required)

    def check(self, sock: PeerSocket, sid: int, hosts: Iterable[str]) -> None:
        """May the other end be server `sid`, whose configured hosts are these?

        Raises:
            ProtocolError: its credentials name somebody else.
        """
        named = SID_USER.match(sock.user)
        if named is not None and int(named[1]) != sid:
            raise ProtocolError(f"SASL user {sock.user} says that it is server {sid}")
        if not sock.certificate or not self.check_names:
            return
        names = names_in(sock.certificate)
        # Of a server that no configuration knows only its address can be compared.
        if not any(is_named(host, names) for host in list(hosts) or [sock.host]):
            raise ProtocolError(
                f"a certificate for {', '.join(names) or 'nobody'} "
                f"from {sock.host} says that it is server {sid}"
            )


def names_in(certificate: bytes) -> list[str]:
    """Hosts and addresses that a certificate names; without any, its common name."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        parsed = x509.load_der_x509_certificate(certificate)
        try:
            found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            common = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return [str(each.value).lower() for each in common]
        names = [name.lower() for name in found.get_values_for_type(x509.DNSName)]
        return names + [str(each) for each in found.get_values_for_type(x509.IPAddress)]
    except ValueError as error:
        raise ProtocolError(f"a certificate that cannot be read: {error}") from None


def is_named(host: str, names: list[str]) -> bool:
    """RFC 6125: the same name, or a wildcard for its first label; addresses by value."""
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        wanted = host.lower().rstrip(".")
        rest = wanted.partition(".")[2]
        return wanted in names or (rest.count(".") > 0 and f"*.{rest}" in names)
    return address in names
