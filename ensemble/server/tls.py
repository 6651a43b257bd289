"""The TLS context of the secure client port, from the stores that the Java server's settings name.

Source: auth.md section 7. PEM files, PKCS#12 and JKS key stores. Key material leaves memory only
through an anonymous file of this process, never through one that another user could read.
"""

import os
import ssl
from typing import Final

from ensemble.errors import ConfigError
from ensemble.server.config import TlsOptions

CLIENT_AUTH: Final = {
    "need": ssl.CERT_REQUIRED,
    "want": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}


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


def key_pem(path: str, password: str, kind: str) -> bytes:
    """Private key and certificate chain as PEM."""
    key = "ssl.keyStore.location"
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
        return private_pem(private) + b"".join(
            certificate_pem(each) for each in [certificate, *chain]
        )
    if kind == "JKS":
        return jks_key_pem(raw, path, password)
    raise ConfigError(f"{kind} is not supported, use PEM, PKCS12 or JKS", "ssl.keyStore.type")


def private_pem(private: object) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if not isinstance(private, (RSAPrivateKey, EllipticCurvePrivateKey)):
        raise ConfigError("holds a key that is neither RSA nor EC", "ssl.keyStore.location")
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


def jks_key_pem(raw: bytes, path: str, password: str) -> bytes:
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
            return private_pem(private) + b"".join(certificate_pem(each) for each in chain)
    except jks.util.KeystoreException as error:
        raise ConfigError(f"{path}: {error}", "ssl.keyStore.location") from None
    raise ConfigError(f"{path} holds no private key", "ssl.keyStore.location")


def trust_pem(path: str, password: str, kind: str) -> bytes:
    """The certificates that clients' chains must end in, as PEM."""
    key = "ssl.trustStore.location"
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
    raise ConfigError(f"{kind} is not supported, use PEM, PKCS12 or JKS", "ssl.trustStore.type")


def server_context(options: TlsOptions) -> ssl.SSLContext:
    """The context of the secure client port.

    Raises:
        ConfigError: a store is missing, cannot be read, or holds no key.
    """
    if not options.key_store:
        raise ConfigError("is missing, secureClientPort needs it", "ssl.keyStore.location")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.protocol == "TLSv1.3":
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    elif options.protocol not in ("", "TLS", "TLSv1.2"):
        raise ConfigError(f"{options.protocol!r}, TLSv1.2 or TLSv1.3 is expected", "ssl.protocol")
    kind = store_type(options.key_store, options.key_type)
    pem = key_pem(options.key_store, options.key_password, kind)
    fd = os.memfd_create("ensemble-key", os.MFD_CLOEXEC)
    try:
        os.write(fd, pem)
        try:
            context.load_cert_chain(f"/proc/self/fd/{fd}", password=options.key_password or None)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"{options.key_store}: {error}", "ssl.keyStore.location") from None
    finally:
        os.close(fd)
    context.verify_mode = CLIENT_AUTH[options.client_auth]
    if options.trust_store:
        kind = store_type(options.trust_store, options.trust_type)
        pem = trust_pem(options.trust_store, options.trust_password, kind)
        context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    elif options.client_auth != "none":
        raise ConfigError(
            f"is missing, ssl.clientAuth={options.client_auth} needs it", "ssl.trustStore.location"
        )
    if options.crl:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def subject_of(sock: ssl.SSLSocket) -> str | None:
    """The client certificate's subject in RFC 2253 form, or None."""
    raw = sock.getpeercert(binary_form=True)
    if not raw:
        return None
    from cryptography import x509

    return x509.load_der_x509_certificate(raw).subject.rfc4514_string()
