"""TLS contexts of the client and the admin port, from the stores that Java's settings name.

Source: auth.md section 7. PEM files, PKCS#12 and JKS key stores. Key material leaves memory only
through an anonymous file of this process, never through one that another user could read.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

from ensemble.errors import ConfigError
from ensemble.server.config import TlsOptions

CLIENT_AUTH: Final = {
    "need": ssl.CERT_REQUIRED,
    "want": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}

PROTOCOLS: Final = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def store_type(path: str, given: str) -> str:
    """PEM, PKCS12 or JKS: as given, or by the file's extension as the Java server does."""
    if given:
        return given
    extension = path.rpartition(".")[2].lower()
    return {"pem": "PEM", "p12": "PKCS12", "pfx": "PKCS12", "bcfks": "BCFKS"}.get(extension, "JKS")


def read_file(path: str, key: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", key) from None


def key_pem(path: str, password: str, kind: str, prefix: str) -> bytes:
    """Private key and certificate chain as PEM."""
    key = f"{prefix}keyStore.location"
    raw = read_file(path, key)
    if kind == "PEM":
        return raw
    if kind == "PKCS12":
        from cryptography.hazmat.primitives.serialization import pkcs12

        try:
            private, certificate, chain = pkcs12.load_key_and_certificates(raw, password.encode())
        except ValueError as error:
            raise ConfigError(f"{path}: {error}", key) from None
        if private is None or certificate is None:
            raise ConfigError(f"{path} holds no private key", key)
        return private_pem(private, key) + b"".join(
            certificate_pem(each) for each in [certificate, *chain]
        )
    if kind == "JKS":
        return jks_key_pem(raw, path, password, key)
    raise ConfigError(f"{kind} is not supported, use PEM, PKCS12 or JKS", f"{prefix}keyStore.type")


def private_pem(private: object, key: str) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if not isinstance(private, (RSAPrivateKey, EllipticCurvePrivateKey)):
        raise ConfigError("holds a key that is neither RSA nor EC", key)
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_pem(certificate: object) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    assert isinstance(certificate, x509.Certificate)
    return certificate.public_bytes(Encoding.PEM)


def jks_key_pem(raw: bytes, path: str, password: str, key: str) -> bytes:
    import jks
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        store = jks.KeyStore.loads(raw, password)
        for entry in store.private_keys.values():
            if not entry.is_decrypted():
                entry.decrypt(password)
            private = load_der_private_key(entry.pkey_pkcs8, None)
            chain = [x509.load_der_x509_certificate(der) for _, der in entry.cert_chain]
            return private_pem(private, key) + b"".join(certificate_pem(each) for each in chain)
    except (jks.util.KeystoreException, ValueError) as error:
        raise ConfigError(f"{path}: {error}", key) from None
    raise ConfigError(f"{path} holds no private key", key)


def trust_pem(path: str, password: str, kind: str, prefix: str) -> bytes:
    """The certificates that clients' chains must end in, as PEM."""
    key = f"{prefix}trustStore.location"
    raw = read_file(path, key)
    if kind == "PEM":
        return raw
    if kind == "PKCS12":
        from cryptography.hazmat.primitives.serialization import pkcs12

        try:
            store = pkcs12.load_pkcs12(raw, password.encode())
        except ValueError as error:
            raise ConfigError(f"{path}: {error}", key) from None
        certificates = [each.certificate for each in store.additional_certs]
        if store.cert is not None:
            certificates.append(store.cert.certificate)
        return b"".join(certificate_pem(each) for each in certificates)
    if kind == "JKS":
        import jks
        from cryptography import x509

        try:
            entries = jks.KeyStore.loads(raw, password).certs.values()
        except jks.util.KeystoreException as error:
            raise ConfigError(f"{path}: {error}", key) from None
        return b"".join(
            certificate_pem(x509.load_der_x509_certificate(entry.cert)) for entry in entries
        )
    raise ConfigError(
        f"{kind} is not supported, use PEM, PKCS12 or JKS", f"{prefix}trustStore.type"
    )


def server_context(options: TlsOptions) -> ssl.SSLContext:
    """The context of a listener.

    Raises:
        ConfigError: a store is missing, cannot be read, or holds no key; or a name in a list of
            protocols or ciphers is not known.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    set_protocols(context, options)
    set_ciphers(context, options)
    load_key(context, options)
    context.verify_mode = CLIENT_AUTH[options.client_auth]
    if options.trust_store:
        add_trust(context, options)
    elif options.client_auth != "none":
        raise ConfigError(
            f"is missing, asking clients for certificates ({options.client_auth}) needs it",
            f"{options.prefix}trustStore.location",
        )
    return context


def load_key(context: ssl.SSLContext, options: TlsOptions) -> None:
    """The private key and the certificates that this server shows."""
    key = f"{options.prefix}keyStore.location"
    if not options.key_store:
        raise ConfigError("is missing, TLS needs it", key)
    kind = store_type(options.key_store, options.key_type)
    pem = key_pem(options.key_store, options.key_password, kind, options.prefix)
    with in_memory(pem) as path:
        try:
            context.load_cert_chain(path, password=options.key_password)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"{options.key_store}: {error}", key) from None


def certificate_end(options: TlsOptions) -> int:
    """Seconds since 1970 at which the certificate that a listener shows is over; 0: unknown."""
    from cryptography import x509

    kind = store_type(options.key_store, options.key_type)
    pem = key_pem(options.key_store, options.key_password, kind, options.prefix)
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return 0
    return min(int(one.not_valid_after_utc.timestamp()) for one in chain)


def set_protocols(context: ssl.SSLContext, options: TlsOptions) -> None:
    """TLS 1.2 and 1.3, unless `enabledProtocols` or `protocol` leave one out."""
    names = options.enabled_protocols
    key = f"{options.prefix}enabledProtocols"
    if not names and options.protocol == "TLSv1.3":
        names = ("TLSv1.3",)
    elif not names:
        names, key = (options.protocol or "TLS",), f"{options.prefix}protocol"
        if names[0] in ("TLS", "TLSv1.2"):  # the least one, as in Java
            names = tuple(PROTOCOLS)
    for name in names:
        if name not in PROTOCOLS:
            raise ConfigError(f"{name!r}, of {' and '.join(PROTOCOLS)} is expected", key)
    versions = [PROTOCOLS[name] for name in names]
    context.minimum_version = min(versions)
    context.maximum_version = max(versions)


def set_ciphers(context: ssl.SSLContext, options: TlsOptions) -> None:
    """Java's names of suites for TLS 1.2; those of TLS 1.3 are always all offered."""
    older = [name for name in options.ciphers if "_WITH_" in name or not name.startswith("TLS_")]
    if not older:
        return
    try:
        context.set_ciphers(":".join(openssl_name(name) for name in older))
    except ssl.SSLError:
        raise ConfigError(
            f"{', '.join(older)}: none is known here", f"{options.prefix}ciphersuites"
        ) from None


def openssl_name(name: str) -> str:
    """`TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is `ECDHE-RSA-AES128-GCM-SHA256`."""
    text = name.removeprefix("TLS_").replace("_WITH_", "_").removeprefix("RSA_").replace("_", "-")
    text = text.replace("AES-128", "AES128").replace("AES-256", "AES256").replace("-CBC", "")
    return text.replace("CHACHA20-POLY1305-SHA256", "CHACHA20-POLY1305")


def add_trust(context: ssl.SSLContext, options: TlsOptions) -> None:
    key = f"{options.prefix}trustStore.location"
    kind = store_type(options.trust_store, options.trust_type)
    pem = trust_pem(options.trust_store, options.trust_password, kind, options.prefix)
    if options.crl and b"BEGIN X509 CRL" not in pem:
        raise ConfigError(
            f"{options.trust_store} holds no revocation list: a PEM store with one is expected",
            f"{options.prefix}crl",
        )
    with in_memory(pem) as path:
        try:
            context.load_verify_locations(cafile=path)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"{options.trust_store}: {error}", key) from None
    if options.crl:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


@contextmanager
def in_memory(data: bytes) -> Iterator[str]:
    """A path that only this process can read, for libraries that take nothing else."""
    fd = os.memfd_create("ensemble-tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


@final
class StoreWatch:
    """Notices that the files of the stores were replaced (client.certReload)."""

    def __init__(self, options: TlsOptions) -> None:
        self.paths: Final = [p for p in (options.key_store, options.trust_store) if p]
        self.seen = self.look()

    def look(self) -> list[tuple[int, int, int]]:
        found: list[tuple[int, int, int]] = []
        for path in self.paths:
            try:
                status = os.stat(path)
            except OSError:
                continue  # being replaced: look again later
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return found

    def changed(self) -> bool:
        """Whether they are others than at the last call."""
        found = self.look()
        if found == self.seen or len(found) < len(self.paths):
            return False
        self.seen = found
        return True


def subject_of(sock: ssl.SSLSocket | ssl.SSLObject) -> str | None:
    """The client certificate's subject in RFC 2253 form, or None."""
    raw = sock.getpeercert(binary_form=True)
    if not raw:
        return None
    from cryptography import x509

    return x509.load_der_x509_certificate(raw).subject.rfc4514_string()
