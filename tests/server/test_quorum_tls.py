"""TLS between servers: mutual, and a certificate is that server's only which it names."""

import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.errors import ConfigError, ProtocolError
from ensemble.server.config import TlsOptions
from ensemble.server.names import Address
from ensemble.server.peer_security import PeerSecurity, is_named
from ensemble.server.peer_socket import PeerSocket
from ensemble.server.quorum_config import QuorumOptions, Timing
from ensemble.server.quorum_tls import Renewal, load_contexts
from ensemble.zab.members import Members
from tests.ports import free_port
from tests.server.authority import Authority
from tests.server.peer_world import HOST, ElectionServer, Recorder, World, frame, members_at

HOSTS = {1: "127.0.0.1", 2: "127.0.0.2", 3: "127.0.0.3"}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def quorum(**settings: bool) -> QuorumOptions:
    return QuorumOptions(
        sid=1,
        members=Members(0, {}),
        config_path="",
        timing=Timing(),
        learner_connect_ms=1,
        handshake_ms=1,
        **settings,
    )


def stores(authority: Authority, host: str, trust: Path | None = None) -> TlsOptions:
    """A key store whose certificate names `host`."""
    pem, _ = authority.issue(f"server-{host}", host)
    return TlsOptions(
        prefix="ssl.quorum.", key_store=str(pem), trust_store=str(trust or authority.pem)
    )


def secured(options: TlsOptions, **settings: bool) -> PeerSecurity:
    chosen = quorum(**{"tls": True, **settings})
    security = PeerSecurity(unification=chosen.unification, check_names=chosen.check_names)
    load_contexts(security, options, chosen)
    return security


def start(world: World, securities: dict[int, PeerSecurity]) -> dict[int, ElectionServer]:
    addresses: dict[int, Address] = {sid: (host, free_port()) for sid, host in HOSTS.items()}
    servers = {sid: ElectionServer(world, sid, each) for sid, each in securities.items()}
    for server in servers.values():
        server.port.set_members(members_at(addresses))
        server.port.start()
    return servers


@pytest.mark.parametrize("caller", [1, 2])
def test_servers_with_certificates_find_each_other(
    world: World, authority: Authority, caller: int
) -> None:
    """zab.md 8: TLS from the first byte."""
    servers = start(world, {s: secured(stores(authority, HOSTS[s])) for s in (1, 2)})
    other = 3 - caller
    servers[caller].port.send(other, frame(b"a"))
    world.until(lambda: servers[other].heard == [(caller, b"a")])
    servers[other].port.send(caller, frame(b"b" * 100_000))
    world.until(lambda: servers[caller].heard == [(other, b"b" * 100_000)])


def test_E3_a_server_with_anothers_certificate_is_refused(
    world: World, authority: Authority
) -> None:
    """trust.md E3: a good certificate of server 3 does not make a server 2."""
    servers = start(
        world,
        {1: secured(stores(authority, HOSTS[1])), 2: secured(stores(authority, HOSTS[3]))},
    )
    servers[2].port.send(1, frame(b"lie"))
    world.until(lambda: len(servers[1].refused) == 1)
    assert (
        "a certificate for 127.0.0.3 from 127.0.0.1 says that it is server 2"
        in (servers[1].refused[0])
    )
    assert servers[1].heard == []


def test_E3_nor_is_it_called(world: World, authority: Authority) -> None:
    servers = start(
        world,
        {2: secured(stores(authority, HOSTS[2])), 1: secured(stores(authority, HOSTS[3]))},
    )
    servers[2].port.send(1, frame(b"secret"))
    world.until(lambda: servers[2].unreachable == [1])
    assert "certificate verify failed: IP address mismatch" in servers[2].refused[0]
    assert servers[1].heard == []


def test_names_are_not_compared_where_that_is_turned_off(
    world: World, authority: Authority
) -> None:
    options = stores(authority, "somewhere.else")
    servers = start(world, {s: secured(options, check_names=False) for s in (1, 2)})
    servers[1].port.send(2, frame(b"a"))
    world.until(lambda: servers[2].heard == [(1, b"a")])


def test_E3_a_certificate_of_another_authority_is_none(
    world: World, authority: Authority, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    foreign = stores(Authority(folder), HOSTS[2], trust=authority.pem)
    servers = start(world, {1: secured(stores(authority, HOSTS[1])), 2: secured(foreign)})
    servers[2].port.send(1, frame(b"lie"))
    world.until(lambda: len(servers[1].refused) >= 1)
    assert "TLS handshake" in servers[1].refused[0]
    assert servers[1].heard == []


def test_E3_without_a_certificate_nobody_gets_in(world: World, authority: Authority) -> None:
    """zab.md 8: mutual by default."""
    servers = start(world, {1: secured(stores(authority, HOSTS[1]))})
    bare = ssl.create_default_context(cafile=str(authority.pem))
    servers[2] = ElectionServer(world, 2, PeerSecurity(client_tls=bare))
    servers[2].port.set_members(members_at({1: servers[1].address, 2: (HOSTS[2], free_port())}))
    servers[2].port.start()
    servers[2].port.send(1, frame(b"x"))
    world.until(lambda: len(servers[1].refused) >= 1)
    assert "peer did not return a certificate" in servers[1].refused[0]
    assert servers[1].heard == []


def test_plain_text_on_a_port_with_tls_is_cut(world: World, authority: Authority) -> None:
    servers = start(world, {1: secured(stores(authority, HOSTS[1]))})
    plain = world.connect(servers[1].address)
    plain.sendall(b"\xff" * 64)
    world.until(lambda: world.ended(plain))
    assert "TLS handshake" in servers[1].refused[0]


def test_a_handshake_that_never_ends_is_cut(world: World, authority: Authority) -> None:
    servers = start(world, {1: secured(stores(authority, HOSTS[1]))})
    stuck = world.connect(servers[1].address)
    stuck.sendall(b"\x16\x03\x01\x02\x00\x01")
    world.pass_ms(5_000)
    world.until(lambda: world.ended(stuck))
    assert "no word within 5000 ms" in servers[1].refused[0]


def test_both_on_one_port_on_the_way_from_one_to_the_other(
    world: World, authority: Authority
) -> None:
    """zab.md 8: unification on, then sslQuorum, then unification off."""
    servers = start(
        world,
        {
            1: secured(stores(authority, HOSTS[1]), unification=True),
            2: secured(stores(authority, HOSTS[2]), unification=True),
            3: secured(stores(authority, HOSTS[3]), unification=True, tls=False),
        },
    )
    assert servers[3].port.security.client_tls is None
    for sid in (2, 3):
        servers[sid].port.send(1, frame(b"%d" % sid))
    world.until(lambda: sorted(servers[1].heard) == [(2, b"2"), (3, b"3")])
    assert servers[1].link(2) is not None
    link = servers[1].link(2)
    assert link is not None
    assert link.certificate
    plain = servers[1].link(3)
    assert plain is not None
    assert not plain.certificate


def test_a_stream_from_a_pipe_goes_through_tls(world: World, authority: Authority) -> None:
    """zab.md 4.4, in TLS: before, stream, after, each byte once."""
    security = secured(stores(authority, HOST))
    net = world.net()
    receiver = Recorder()
    listener = net.listen([(HOST, 0)], lambda sock: receiver, security.server_tls, 5_000)
    sender = Recorder()
    sock = net.dial(listener.addresses(), sender, security.client_tls, 5_000)
    world.until(lambda: len(sender.opened) == 1)
    reading, writing = os.pipe()
    snapshot = os.urandom(2_000_000)
    done: list[int] = []
    sock.out.write(b"SNAP")
    sock.stream_from(reading, lambda: done.append(1))
    sock.out.write(b"after")
    sock.flush()
    with os.fdopen(writing, "wb") as file:
        thread = threading.Thread(target=lambda: (file.write(snapshot), file.close()))
        thread.start()
        world.until(lambda: len(receiver.data) >= 2_000_009)
        thread.join()
    assert receiver.data == b"SNAP" + snapshot + b"after"
    assert done == [1]


def test_replaced_stores_serve_new_connections(world: World, authority: Authority) -> None:
    """sslQuorumReloadCertFiles."""
    options = stores(authority, HOSTS[1])
    security = secured(options)
    renewal = Renewal(security, options, quorum(tls=True))
    before = security.server_tls
    assert renewal.look() == ""
    authority.issue(f"server-{HOSTS[1]}", HOSTS[1])
    assert "loaded again" in renewal.look()
    assert security.server_tls is not before
    servers = start(world, {1: security, 2: secured(stores(authority, HOSTS[2]))})
    servers[1].port.renew_certificates()
    servers[1].port.send(2, frame(b"a"))
    world.until(lambda: servers[2].heard == [(1, b"a")])


def test_replaced_stores_that_are_no_good_leave_the_old_ones(authority: Authority) -> None:
    options = stores(authority, HOSTS[1])
    security = secured(options)
    renewal = Renewal(security, options, quorum(tls=True))
    before = (security.server_tls, security.client_tls)
    Path(options.key_store).write_text("nonsense")
    with pytest.raises(ConfigError, match=r"ssl\.quorum\.keyStore\.location"):
        renewal.look()
    assert (security.server_tls, security.client_tls) == before


@pytest.mark.parametrize(
    ("missing", "key"),
    [("key_store", "ssl.quorum.keyStore.location"), ("trust_store", "ssl.quorum.trustStore")],
)
def test_a_missing_store_is_named(authority: Authority, missing: str, key: str) -> None:
    options = stores(authority, HOSTS[1])
    bad = TlsOptions(
        prefix="ssl.quorum.",
        key_store="" if missing == "key_store" else options.key_store,
        trust_store="" if missing == "trust_store" else options.trust_store,
    )
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        load_contexts(PeerSecurity(), bad, quorum(tls=True))


@pytest.mark.parametrize(
    ("host", "names", "same"),
    [
        ("a.example.org", ["a.example.org"], True),
        ("A.Example.org.", ["a.example.org"], True),
        ("a.example.org", ["*.example.org"], True),
        ("a.b.example.org", ["*.example.org"], False),
        ("example.org", ["*.org"], False),
        ("a.example.org", ["b.example.org", "example.org"], False),
        ("127.0.0.1", ["127.0.0.1"], True),
        ("127.0.0.1", ["*.0.0.1"], False),
        ("::1", ["::1"], True),
        ("0:0:0:0:0:0:0:1", ["::1"], True),
        ("127.0.0.1", [], False),
    ],
)
def test_names_are_compared_as_rfc_6125_says(host: str, names: list[str], same: bool) -> None:
    assert is_named(host, names) is same


def test_E3_a_learner_may_only_be_whom_its_certificate_names(
    world: World, authority: Authority
) -> None:
    """trust.md E3, on the quorum port: FOLLOWERINFO says who it is."""
    security = secured(stores(authority, HOST))
    net = world.net()
    receiver = Recorder()
    accepted: list[PeerSocket] = []

    def accept(sock: PeerSocket) -> Recorder:
        accepted.append(sock)
        return receiver

    listener = net.listen([(HOST, 0)], accept, security.server_tls, 5_000)
    sender = Recorder()
    net.dial(listener.addresses(), sender, security.client_tls, 5_000)
    world.until(lambda: len(sender.opened) == 1 and len(accepted) == 1)
    world.until(lambda: accepted[0].certificate != b"")
    security.check(accepted[0], 1, [HOST])
    security.check(accepted[0], 9, [])  # in no configuration: its address is all there is
    with pytest.raises(ProtocolError, match=r"127\.0\.0\.1 says that it is server 2"):
        security.check(accepted[0], 2, ["127.0.0.2", "b.example.org"])
