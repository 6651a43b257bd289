"""TLS on the client port and the admin port: which protocols, which certificates, which port."""

import datetime
import json
import os
import socket
import ssl
import struct
import time
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from ensemble.client import Client, ConnectionLossError, Id
from ensemble.server.tls import openssl_name
from tests.harness import Node, RawClient
from tests.ports import free_port
from tests.server.authority import Authority, tls_settings
from tests.server.starting import Start, counter, refused, until


def handshake(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", port), timeout=5)
    return context.wrap_socket(raw, server_hostname="localhost")


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, {"TLSv1.2", "TLSv1.3"}),
        ({"ssl.protocol": "TLSv1.2"}, {"TLSv1.2", "TLSv1.3"}),
        ({"ssl.protocol": "TLSv1.3"}, {"TLSv1.3"}),
        ({"ssl.enabledProtocols": "TLSv1.2"}, {"TLSv1.2"}),
        ({"ssl.enabledProtocols": "TLSv1.3, TLSv1.2"}, {"TLSv1.2", "TLSv1.3"}),
    ],
)
def test_protocols_are_those_that_are_enabled(
    settings: dict[str, object], wanted: set[str], authority: Authority, start_node: Start
) -> None:
    port = free_port()
    start_node({**tls_settings(authority, port, False, "none"), **settings})
    spoken = set()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = authority.context(None)
        context.minimum_version = context.maximum_version = version
        try:
            with handshake(port, context) as sock:
                spoken.add(sock.version())
        except ssl.SSLError:
            pass
    assert spoken == wanted


def test_a_cipher_is_named_as_java_names_it(authority: Authority, start_node: Start) -> None:
    port = free_port()
    suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    start_node(
        {
            **tls_settings(authority, port, False, "none"),
            "ssl.enabledProtocols": "TLSv1.2",
            "ssl.ciphersuites": f"{suite},TLS_AES_128_GCM_SHA256",
        }
    )
    with handshake(port, authority.context(None)) as sock:
        cipher = sock.cipher()
        assert cipher is not None
        assert cipher[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


@pytest.mark.parametrize(
    ("java", "openssl"),
    [
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE-ECDSA-AES256-SHA384"),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
        ("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE-RSA-AES256-GCM-SHA384"),
    ],
)
def test_names_of_ciphers(java: str, openssl: str) -> None:
    assert openssl_name(java) == openssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(openssl)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("ssl.protocol", "SSLv3", ["ssl.protocol", "SSLv3", "TLSv1.2"]),
        ("ssl.enabledProtocols", "TLSv1.1", ["ssl.enabledProtocols", "TLSv1.1"]),
        ("ssl.ciphersuites", "TLS_NO_WITH_SUCH", ["ssl.ciphersuites", "TLS_NO_WITH_SUCH"]),
        ("ssl.keyStore.location", None, ["ssl.keyStore.location", "missing"]),
        ("ssl.keyStore.location", "/nowhere/key.pem", ["ssl.keyStore.location", "/nowhere"]),
        ("ssl.trustStore.location", "/nowhere/ca.pem", ["ssl.trustStore.location", "/nowhere"]),
        ("ssl.trustStore.location", None, ["ssl.trustStore.location", "need"]),
        ("ssl.keyStore.type", "BCFKS", ["ssl.keyStore.type", "BCFKS"]),
        ("ssl.clientAuth", "maybe", ["ssl.clientAuth", "maybe"]),
        ("ssl.crl", "true", ["ssl.crl", "no revocation list"]),
        ("ssl.keyStore.passwordPath", "/nowhere/p", ["ssl.keyStore.passwordPath", "/nowhere/p"]),
    ],
)
def test_a_setting_that_cannot_be_used_refuses_the_start(
    key: str, value: str | None, words: list[str], authority: Authority, start_node: Start
) -> None:
    settings = {**tls_settings(authority, free_port(), False, "need"), key: value}
    refused(start_node, settings, *words)


def test_a_key_store_that_holds_no_key_refuses_the_start(
    authority: Authority, start_node: Start, tmp_path: Path
) -> None:
    for name in ("x.pem", "x.p12", "x.jks"):
        (tmp_path / name).write_text("garbage")
        settings = tls_settings(authority, free_port(), False, "none")
        refused(start_node, {**settings, "ssl.keyStore.location": tmp_path / name}, name)


async def test_a_revoked_certificate_opens_nothing(authority: Authority, start_node: Start) -> None:
    alice, bob = authority.issue("alice")[0], authority.issue("bob")[0]
    revoked = x509.load_pem_x509_certificate(alice.read_bytes()).serial_number
    now = datetime.datetime.now(datetime.UTC)
    entry = x509.RevokedCertificateBuilder().serial_number(revoked).revocation_date(now).build()
    revocations = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.name)
        .last_update(now - datetime.timedelta(minutes=1))
        .next_update(now + datetime.timedelta(days=1))
        .add_revoked_certificate(entry)
        .sign(authority.key, hashes.SHA256())
    )
    authority.pem.write_bytes(
        authority.pem.read_bytes() + revocations.public_bytes(serialization.Encoding.PEM)
    )
    port = free_port()
    start_node({**tls_settings(authority, port, False, "need"), "ssl.crl": "true"})
    async with Client(f"localhost:{port}", tls=authority.context(bob)) as client:
        assert await client.exists("/") is not None
    client = Client(f"localhost:{port}", tls=authority.context(alice), timeout=2)
    with pytest.raises(ConnectionLossError):
        await client.connect(1.0)
    await client.close()


async def test_one_port_speaks_tls_and_plain(authority: Authority, start_node: Start) -> None:
    settings = tls_settings(authority, 0, False, "want")
    del settings["secureClientPort"], settings["secureClientPortAddress"]
    node = start_node({**settings, "client.portUnification": "true"})
    alice, _ = authority.issue("alice")
    async with Client(f"localhost:{node.port}", tls=authority.context(alice)) as secret:
        assert Id("x509", "CN=alice,O=Acme") in await secret.whoami()
        await secret.create("/large", b"x" * 900_000)
        async with Client(node.address) as plain:
            assert {id.scheme for id in await plain.whoami()} == {"ip"}
            assert len((await plain.get("/large"))[0] or b"") == 900_000
    assert node.word("ruok") == b"imok"
    with handshake(node.port, authority.context(None)) as sock:
        sock.sendall(b"ruok")
        assert sock.recv(100) == b"imok"


def test_on_such_a_port_silence_and_half_a_handshake_hold_up_nobody_and_are_cut_in_time(
    authority: Authority, start_node: Start
) -> None:
    settings = tls_settings(authority, 0, False, "none")
    del settings["secureClientPort"], settings["secureClientPortAddress"]
    node = start_node(
        {**settings, "client.portUnification": "true", "nio.sessionlessCnxnTimeout": 500}
    )
    silent, half = RawClient(node.port), RawClient(node.port)
    half.sock.sendall(b"\x16\x03\x01")
    with handshake(node.port, authority.context(None)) as sock:
        sock.sendall(b"ruok")
        assert sock.recv(100) == b"imok"
    kept = RawClient(node.port)
    assert kept.connect()
    assert silent.read() is None
    assert half.read() is None
    kept.request(1, 11)
    assert kept.reply()[2] == 0, "with a session one may be silent"
    for client in (silent, half, kept):
        client.close()


def test_on_such_a_port_a_peer_that_goes_at_once_harms_nobody(
    authority: Authority, start_node: Start
) -> None:
    settings = tls_settings(authority, 0, False, "none")
    del settings["secureClientPort"], settings["secureClientPortAddress"]
    node = start_node({**settings, "client.portUnification": "true"})
    reset = struct.pack("ii", 1, 0)
    for first in (b"", b"\x16", b"\x16\x03\x01\x00", b"ru"):
        for _ in range(25):
            client = RawClient(node.port)
            client.sock.sendall(first)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.close()
    assert node.word("ruok") == b"imok"
    until(lambda: b"Connections: 1\n" in node.word("srvr"))


def test_new_certificates_are_taken_without_a_restart(
    authority: Authority, start_node: Start
) -> None:
    port = free_port()
    settings = tls_settings(authority, port, False, "none")
    node = start_node({**settings, "client.certReload": "true"})
    location = Path(str(settings["ssl.keyStore.location"]))
    end = int(node.word("mntr").decode().partition("zk_client_certificate_end\t")[2].split()[0])
    assert 0 < end - time.time() <= 86_400, "it tells when the certificate is over"
    with handshake(port, authority.context(None)) as connected:
        old = served_serial(port, authority)
        location.write_text("half written")
        until(lambda: "the old ones stay" in node.log())
        assert served_serial(port, authority) == old
        fresh = authority.issue("renewed")[0]
        os.replace(fresh, location)
        until(lambda: served_serial(port, authority) != old)
        assert "were loaded again" in node.log()
        connected.sendall(b"ruok")
        assert connected.recv(100) == b"imok", "who is connected stays connected"


def served_serial(port: int, authority: Authority) -> int:
    with handshake(port, authority.context(None)) as sock:
        raw = sock.getpeercert(binary_form=True)
        assert raw is not None
        return x509.load_der_x509_certificate(raw).serial_number


def https_settings(authority: Authority, need: bool) -> dict[str, object]:
    pem, _ = authority.issue("server")
    return {
        "admin.forceHttps": "true",
        "admin.needClientAuth": str(need).lower(),
        "ssl.quorum.keyStore.location": pem,
        "ssl.quorum.trustStore.location": authority.pem,
        "admin.rateLimiterIntervalInMS": 0,
    }


def ask(node: Node, context: ssl.SSLContext, path: str, header: str = "") -> tuple[int, bytes, str]:
    request = urllib.request.Request(f"https://localhost:{node.admin_port}/commands/{path}")
    if header:
        request.add_header("Authorization", header)
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read(), answer.headers["Strict-Transport-Security"] or ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), ""


def test_the_admin_port_speaks_https(authority: Authority, start_node: Start) -> None:
    node = start_node(https_settings(authority, need=False))
    status, body, strict = ask(node, authority.context(None), "ruok")
    assert (status, json.loads(body)["error"]) == (200, None)
    assert strict == "max-age=86400"
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://localhost:{node.admin_port}/commands/ruok", timeout=5)


def test_a_certificate_is_an_identity_on_the_admin_port(
    authority: Authority, start_node: Start
) -> None:
    settings = https_settings(authority, need=True)
    x509_provider = "org.apache.zookeeper.server.auth.X509AuthenticationProvider"
    node = start_node(
        {**settings, "authProvider.x509": x509_provider},
        {"zookeeper.X509AuthenticationProvider.superUser": "CN=root,O=Acme"},
    )
    client = RawClient(node.port)
    client.connect()
    acl = b"\0\0\0\1\0\0\0\1\0\0\0\5world\0\0\0\6anyone"
    client.request(1, 7, b"\0\0\0\1/" + acl + b"\xff\xff\xff\xff")
    assert client.reply()[2] == 0, "from now on only root may do everything"
    root = authority.context(authority.issue("root")[0])
    guest = authority.context(authority.issue("guest")[0])
    assert ask(node, root, "snapshot", "x509 x")[0] == 200
    assert ask(node, guest, "snapshot", "x509 x")[0] == 403
    with pytest.raises(OSError):
        ask(node, authority.context(None), "ruok")
    client.close()


def test_an_admin_port_without_its_stores_refuses_the_start(start_node: Start) -> None:
    refused(start_node, {"admin.forceHttps": "true"}, "ssl.quorum.keyStore.location")


def test_requests_in_the_clear_to_the_admin_port_are_counted(
    authority: Authority, start_node: Start
) -> None:
    node = start_node()
    with urllib.request.urlopen(f"http://localhost:{node.admin_port}/commands/ruok", timeout=5):
        pass
    assert counter(node, "insecure_admin_count") == 1
    node.stop()
    node = start_node(https_settings(authority, need=False), name="https")
    assert ask(node, authority.context(None), "ruok")[0] == 200
    assert counter(node, "insecure_admin_count") == 0
