"""Who a client is: passwords, certificates, SASL, and the known flaws that must not come back."""

import asyncio
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.client import (
    CREATOR_ACL,
    Acl,
    AuthFailedError,
    Client,
    ConnectionLossError,
    DigestMd5,
    EventType,
    Id,
    NoAuthError,
    digest_id,
)
from tests.harness import Node, RawClient, text
from tests.needs import need
from tests.ports import free_port
from tests.server.authority import Authority, tls_settings
from tests.server.starting import counter, until

SUPER = {"zookeeper.DigestAuthenticationProvider.superDigest": "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="}
READ, WRITE, ALL = 1, 2, 31


async def test_a_password_opens_what_it_closed(node: Node) -> None:
    ann = [("digest", b"ann:secret")]
    async with Client(node.address, auth=ann) as owner, Client(node.address) as stranger:
        await owner.create("/d", b"x", acl=CREATOR_ACL)
        for refused in (stranger.get("/d"), stranger.set("/d", b"y"), stranger.children("/d")):
            with pytest.raises(NoAuthError):
                await refused
        await stranger.add_auth("digest", b"ann:secret")
        assert (await stranger.get("/d"))[0] == b"x"


async def test_the_superuser_passes_every_acl(start_node: Callable[..., Node]) -> None:
    node = start_node(properties=SUPER)
    async with Client(node.address) as owner:
        await owner.create("/mine", b"x", acl=[Acl(ALL, digest_id("ann", "secret"))])
    async with Client(node.address, auth=[("digest", b"super:admin")]) as root:
        assert (await root.get("/mine"))[0] == b"x"
    async with Client(node.address, auth=[("digest", b"super:guess")]) as guess:
        with pytest.raises(NoAuthError):
            await guess.get("/mine")


async def test_an_unknown_scheme_is_refused_and_closes(node: Node) -> None:
    client = Client(node.address, auth=[("kerberos", b"x")])
    with pytest.raises(AuthFailedError):
        await client.connect()
    await client.close()


async def test_CVE_2019_0201_digests_are_hidden_from_those_who_do_not_administer(
    node: Node,
) -> None:
    acl = [Acl(ALL, digest_id("ann", "secret")), Acl(READ, Id("world", "anyone"))]
    async with Client(node.address) as client:
        await client.create("/a", b"", acl=acl)
        shown, _ = await client.get_acl("/a")
        assert shown[0].id == Id("digest", "ann:x")
        await client.create("/closed", b"", acl=[Acl(WRITE, Id("world", "anyone"))])
        with pytest.raises(NoAuthError):
            await client.get_acl("/closed")


async def test_CVE_2024_23944_watches_do_not_tell_of_what_one_may_not_read(node: Node) -> None:
    ann = [("digest", b"ann:secret")]
    async with Client(node.address, auth=ann) as owner, Client(node.address) as spy:
        await owner.create("/top")
        seen: list[str] = []
        await spy.add_watch("/top", lambda event: seen.append(event.path), recursive=True)
        await owner.create("/top/secret", b"", acl=CREATOR_ACL)
        await owner.set("/top/secret", b"x")
        await owner.create("/top/open")
        await spy.sync("/")
        assert seen == ["/top/open"]


async def test_CVE_2017_5637_expensive_words_are_closed(start_node: Callable[..., Node]) -> None:
    node = start_node({"4lw.commands.whitelist": None})
    assert b"not in the whitelist" in node.word("wchp")


def test_CVE_2026_24308_passwords_of_the_configuration_are_not_shown(
    start_node: Callable[..., Node],
) -> None:
    import urllib.request

    node = start_node({"ssl.keyStore.password": "hunter2"})
    url = f"http://127.0.0.1:{node.admin_port}/commands/initial_configuration"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    assert "ssl.keyStore.password" in text
    assert "hunter2" not in text
    assert "hunter2" not in node.log()


async def test_enforced_authentication_lets_nobody_else_in(start_node: Callable[..., Node]) -> None:
    node = start_node({"enforce.auth.enabled": "true", "enforce.auth.schemes": "digest"})
    stranger = RawClient(node.port)
    stranger.connect()
    stranger.request(1, 3, b"\0\0\0\1/\0")
    assert stranger.reply()[2] == -124
    assert stranger.read() is None
    stranger.close()
    async with Client(node.address, auth=[("digest", b"ann:secret")]) as known:
        assert await known.exists("/") is not None


@pytest.fixture
def sasl_node(start_node: Callable[..., Node], tmp_path: Path) -> Node:
    jaas = tmp_path / "jaas.conf"
    module = "org.apache.zookeeper.server.auth.DigestLoginModule"
    jaas.write_text(f'Server {{ {module} required user_bob="bobsecret" user_super="s"; }};')
    return start_node(
        {"authProvider.sasl": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"},
        {"java.security.auth.login.config": str(jaas)},
    )


async def test_sasl_gives_an_identity_and_a_wrong_password_none(sasl_node: Node) -> None:
    async with Client(sasl_node.address, sasl=DigestMd5("bob", "bobsecret")) as bob:
        await bob.create("/bob", b"x", acl=CREATOR_ACL)
        assert (await bob.get_acl("/bob"))[0] == [Acl(ALL, Id("sasl", "bob"))]
    for user, password in (("bob", "wrong"), ("eve", "bobsecret")):
        client = Client(sasl_node.address, sasl=DigestMd5(user, password))
        with pytest.raises(AuthFailedError):
            await client.connect()
        await client.close()
    assert "bobsecret" not in sasl_node.log()


# TLS


@pytest.mark.parametrize("p12", [False, True], ids=["PEM", "PKCS12"])
async def test_a_certificate_is_an_identity(
    p12: bool, authority: Authority, start_node: Callable[..., Node]
) -> None:
    port = free_port()
    start_node(tls_settings(authority, port, p12, "need"))
    alice, _ = authority.issue("alice")
    async with Client(f"localhost:{port}", tls=authority.context(alice)) as client:
        await client.create("/alice", b"x", acl=CREATOR_ACL)
        acl, _ = await client.get_acl("/alice")
        assert acl == [Acl(ALL, Id("x509", "CN=alice,O=Acme"))]
    bob, _ = authority.issue("bob")
    async with Client(f"localhost:{port}", tls=authority.context(bob)) as client:
        with pytest.raises(NoAuthError):
            await client.get("/alice")


async def test_without_a_certificate_or_with_a_strange_one_nobody_connects(
    authority: Authority, start_node: Callable[..., Node], tmp_path: Path
) -> None:
    port = free_port()
    node = start_node(tls_settings(authority, port, False, "need"))
    (tmp_path / "other").mkdir()
    stranger, _ = Authority(tmp_path / "other").issue("mallory")
    for certificate in (None, stranger):
        client = Client(f"localhost:{port}", tls=authority.context(certificate), timeout=2)
        with pytest.raises(ConnectionLossError):
            await client.connect(1.0)
        await client.close()
    async with Client(node.address) as plain:
        assert await plain.exists("/") is not None, "the plain port serves on"


async def test_a_wanted_certificate_may_be_missing(
    authority: Authority, start_node: Callable[..., Node]
) -> None:
    port = free_port()
    start_node(tls_settings(authority, port, False, "want"))
    async with Client(f"localhost:{port}", tls=authority.context(None)) as client:
        assert {identity.scheme for identity in await client.whoami()} == {"ip"}


async def test_a_plain_client_or_a_slow_handshake_on_the_tls_port_holds_up_nobody(
    authority: Authority, start_node: Callable[..., Node]
) -> None:
    port = free_port()
    start_node(tls_settings(authority, port, False, "none"))
    silent, plain = RawClient(port), RawClient(port)
    plain.sock.sendall(bytes(49))
    client = Client(f"localhost:{port}", tls=authority.context(None))
    await asyncio.wait_for(client.connect(), 5)
    await client.create("/large", b"x" * 900_000)
    assert len((await client.get("/large"))[0] or b"") == 900_000
    await client.close()
    assert plain.read() is None
    silent.close()
    plain.close()


async def test_events_come_in_order_with_replies(node: Node) -> None:
    """An event leaves before the reply that could show its change, across clients."""
    async with Client(node.address) as writer, Client(node.address) as reader:
        await writer.create("/o", b"0")
        told: list[str] = []
        await reader.add_watch("/o", lambda event: told.append(EventType(event.type).name))
        for number in range(1, 50):
            await writer.set("/o", str(number).encode())
            data, _ = await reader.get("/o")
            assert len(told) >= int(data or b"0")


async def test_a_java_key_store_serves_tls(start_node: Callable[..., Node], tmp_path: Path) -> None:
    need("keytool")
    store = tmp_path / "server.jks"
    command = ["keytool", "-genkeypair", "-alias", "server", "-keyalg", "RSA", "-keysize", "2048"]
    command += ["-dname", "CN=localhost", "-storetype", "JKS", "-keystore", str(store)]
    command += ["-storepass", "changeit", "-keypass", "changeit", "-validity", "2"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    port = free_port()
    start_node(
        {
            "secureClientPort": port,
            "secureClientPortAddress": "127.0.0.1",
            "ssl.keyStore.location": store,
            "ssl.keyStore.password": "changeit",
            "ssl.clientAuth": "none",
        }
    )
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with Client(f"localhost:{port}", tls=context) as client:
        assert await client.exists("/") is not None


def test_a_wrong_store_password_refuses_the_start_and_names_the_file(
    authority: Authority, start_node: Callable[..., Node]
) -> None:
    settings = tls_settings(authority, free_port(), True, "need")
    node = start_node({**settings, "ssl.keyStore.password": "guess"}, wait=False)
    assert node.process is not None
    assert node.process.wait(20) == 2
    assert "server.p12" in node.log()
    assert "Traceback" not in node.log()


# Settings of schemes

ENSEMBLE_PROVIDER = "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider"


def present(client: RawClient, scheme: str, token: bytes) -> None:
    """An auth packet."""
    client.request(-4, 100, bytes(4) + text(scheme) + len(token).to_bytes(4) + token)


def test_who_means_another_ensemble_is_closed_without_an_answer(
    start_node: Callable[..., Node],
) -> None:
    node = start_node(
        {"authProvider.1": ENSEMBLE_PROVIDER}, {"zookeeper.ensembleAuthName": "north,south"}
    )
    for name in (b"north", b"south", b""):
        client = RawClient(node.port)
        client.connect()
        present(client, "ensemble", name)
        assert client.reply()[:3] == (-4, 0, 0)
        client.request(1, 11)
        assert client.reply()[2] == 0
        client.close()
    for name in (b"east", b"nort", b"north,south"):
        client = RawClient(node.port)
        client.connect()
        present(client, "ensemble", name)
        assert client.read() is None
        client.close()
    assert counter(node, "ensemble_auth_success") == 3
    assert counter(node, "ensemble_auth_fail") == 3
    until(lambda: "the client expects the ensemble 'east'" in node.log())


def test_without_names_every_ensemble_is_meant(start_node: Callable[..., Node]) -> None:
    node = start_node({"authProvider.1": ENSEMBLE_PROVIDER})
    client = RawClient(node.port)
    client.connect()
    present(client, "ensemble", b"anything")
    assert client.reply()[2] == 0
    client.close()


@pytest.mark.parametrize("anybody", [None, "doorman"])
async def test_any_sasl_user_may_do_what_one_may_where_it_is_set(
    anybody: str | None, start_node: Callable[..., Node], tmp_path: Path
) -> None:
    jaas = tmp_path / "jaas.conf"
    module = "org.apache.zookeeper.server.auth.DigestLoginModule"
    jaas.write_text(f'Server {{ {module} required user_bob="b" user_eve="e"; }};')
    properties = {"java.security.auth.login.config": str(jaas)}
    if anybody is not None:
        properties["zookeeper.letAnySaslUserDoX"] = anybody
    provider = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
    node = start_node({"authProvider.sasl": provider}, properties)
    async with (
        Client(node.address, sasl=DigestMd5("bob", "b")) as bob,
        Client(node.address, sasl=DigestMd5("eve", "e")) as eve,
        Client(node.address, auth=[("digest", b"bob:b")]) as stranger,
    ):
        await bob.create("/hall", b"x", acl=[Acl(ALL, Id("sasl", "doorman"))])
        await bob.create("/bob", b"x", acl=CREATOR_ACL)
        for user in (bob, eve):
            if anybody:
                assert (await user.get("/hall"))[0] == b"x"
            else:
                with pytest.raises(NoAuthError):
                    await user.get("/hall")
        for user, path in ((stranger, "/hall"), (stranger, "/bob"), (eve, "/bob")):
            with pytest.raises(NoAuthError):
                await user.get(path)


async def test_several_enforced_schemes_each_let_in(start_node: Callable[..., Node]) -> None:
    node = start_node(
        {"enforce.auth.enabled": "true", "enforce.auth.schemes": "digest,ensemble"},
        {"zookeeper.authProvider.1": ENSEMBLE_PROVIDER},
    )
    async with Client(node.address, auth=[("digest", b"ann:secret")]) as known:
        assert await known.exists("/") is not None
    client = RawClient(node.port)
    client.connect()
    present(client, "ensemble", b"")
    assert client.reply()[2] == 0
    client.request(1, 3, b"\0\0\0\1/\0")
    assert client.reply()[2] == -124, "to mean this ensemble is no identity"
    client.close()
