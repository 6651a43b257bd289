"""How servers prove to each other who they are: TLS, SASL, both, or neither.

Source: zab.md 8. What a certificate or a user names must be the server that it claims to be
(trust.md E3): a certificate of host A does not make a server that says it is B.
"""

import ipaddress
import re
import ssl
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, final

from ensemble.errors import ProtocolError
from ensemble.server.peer_socket import CLOSED_BY_PEER, PeerHandler, PeerSocket

# SASL comes with the client's half of it: where it is not configured, a start does without both.
if TYPE_CHECKING:
    from ensemble.server.quorum_sasl import SaslAcceptor, SaslInitiator, SaslStage

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

    def initiator(self) -> "SaslInitiator | None":
        if not self.user:
            return None
        from ensemble.server.quorum_sasl import SaslInitiator

        return SaslInitiator(self.user, self.password)

    def acceptor(self) -> "SaslAcceptor | None":
        if self.users is None:
            return None
        from ensemble.server.quorum_sasl import SaslAcceptor

        return SaslAcceptor(self.users, self.sasl_required)

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


class CallingSide(PeerHandler):
    """A stream that this server makes: it proves who it is, then `finish` has it."""

    def __init__(self, security: PeerSecurity) -> None:
        self.security: Final = security
        self.sasl: SaslStage | None = None

    def begin(self, sock: PeerSocket) -> None:
        """Write what goes ahead of SASL."""

    @abstractmethod
    def finish(self, sock: PeerSocket, rest: bytes) -> None:
        """The other end takes this server for itself; `rest` has come behind that."""

    def on_open(self, sock: PeerSocket) -> None:
        self.begin(sock)
        self.sasl = self.security.initiator()
        if self.sasl is not None:
            sock.out.write(self.sasl.first())
        sock.flush()
        if self.sasl is None:
            self.finish(sock, b"")

    def on_bytes(self, sock: PeerSocket, data: bytes) -> None:
        sasl = self.sasl
        if sasl is None or self.is_proved():
            return
        try:
            sock.out.write(sasl.feed(data))
        except ProtocolError as error:
            sock.fail(str(error))
            return
        sock.flush()
        if self.is_proved():
            self.finish(sock, sasl.rest)

    def is_proved(self) -> bool:
        return self.sasl is None or self.sasl.done


class CalledSide(PeerHandler):
    """A stream that was accepted, until it is known who calls: `take` gives it another handler."""

    stranger = "before it said who it is"

    def __init__(self, security: PeerSecurity, on_refused: Callable[[str, str], None]) -> None:
        self.sasl: Final = security.acceptor()
        self.on_refused: Final = on_refused

    @abstractmethod
    def take(self, sock: PeerSocket, data: bytes) -> None:
        """Something has come in.

        Raises:
            ProtocolError: the caller is refused.
        """

    def is_proving(self) -> bool:
        """Whether it is SASL's turn: then the caller hears of a refusal."""
        return self.sasl is not None and not self.sasl.done

    def on_bytes(self, sock: PeerSocket, data: bytes) -> None:
        try:
            self.take(sock, data)
        except ProtocolError as error:
            if self.sasl is not None and self.is_proving():
                sock.out.write(self.sasl.refusal)
                sock.flush()
            sock.close()
            self.on_refused(sock.name, str(error))

    def on_closed(self, sock: PeerSocket, reason: str) -> None:
        # One that closes by itself does not need this stream any more.
        if reason != CLOSED_BY_PEER:
            self.on_refused(sock.name, f"{self.stranger}: {reason}")


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
