"""A certificate authority for tests, and what a server needs to serve TLS with it."""

import contextlib
import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID


class Authority:
    """A certificate authority that lives as long as a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.certificate = self.sign(self.name, self.key, ca=True)
        self.pem = folder / "ca.pem"
        self.pem.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        ca: bool = False,
        host: str = "localhost",
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        named: x509.GeneralName = x509.DNSName(host)
        with contextlib.suppress(ValueError):
            named = x509.IPAddress(ipaddress.ip_address(host))
        names = x509.SubjectAlternativeName([named])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def issue(self, name: str, host: str = "localhost") -> tuple[Path, Path]:
        """Certificate and key as one PEM file, and the same as PKCS#12 with password `changeit`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        certificate = self.sign(subject, key, host=host)
        pem, p12 = self.folder / f"{name}.pem", self.folder / f"{name}.p12"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        p12.write_bytes(
            pkcs12.serialize_key_and_certificates(
                name.encode(),
                key,
                certificate,
                [self.certificate],
                serialization.BestAvailableEncryption(b"changeit"),
            )
        )
        return pem, p12

    def context(self, client: Path | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pem))
        context.check_hostname = False
        if client is not None:
            context.load_cert_chain(str(client))
        return context


def tls_settings(authority: Authority, port: int, p12: bool, need: str) -> dict[str, object]:
    pem, store = authority.issue("server")
    return {
        "secureClientPort": port,
        "secureClientPortAddress": "127.0.0.1",
        "ssl.keyStore.location": store if p12 else pem,
        "ssl.keyStore.password": "changeit" if p12 else None,
        "ssl.trustStore.location": authority.pem,
        "ssl.clientAuth": need,
        "authProvider.x509": "org.apache.zookeeper.server.auth.X509AuthenticationProvider",
    }
