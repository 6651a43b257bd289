"""Every captured conversation with Apache ZooKeeper 3.9.3, held again with our server.

The client's frames are sent as captured; each answer must be the captured one, but for session ids,
passwords, clocks, the order of sets, and the deviations that are listed here with their reasons.
"""

import json
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness import Node, RawClient, create_body, text
from tests.interop.replay import Replay, kind_of
from tests.ports import free_port
from tests.server.authority import Authority, tls_settings

VECTORS = Path(__file__).parent / "vectors"
SUPER = {"DigestAuthenticationProvider.superDigest": "super:lK75jTNcA+U9vtVEw5vB51mj/w4="}
TTL = {"extendedTypesEnabled": "true"}

CONFIGS: dict[str, dict[str, object]] = {
    "01_connect": {},
    "02_basic_ops": TTL,
    "03_create_modes": TTL,
    "04_sequence": {},
    "05_errors_order": {**TTL, **SUPER},
    "06_acl": SUPER,
    "07_multi": TTL,
    "08_multiread": {},
    "09_watch_standard": {},
    "10_watch_acl_filter": {},
    "11_watch_persistent": {},
    "12_watch_remove": {},
    "13_setwatches": {},
    "14_paths": {},
    "15_malformed": {},
    "16_session": {},
    "19_enforce_auth_digest": {"enforce.auth.enabled": "true", "enforce.auth.schemes": "digest"},
    "20_ttl_container_reaping": {**TTL, "znode.container.checkIntervalMs": 1000},
    "21_quota": {"enforceQuota": "true"},
    "22_reconfig_standalone_disabled": {},
    "23_reconfig_standalone_enabled": {"reconfigEnabled": "true"},
    "24_no_extended_types": {},
    "25_maxbuffer": {"jute.maxbuffer": 2000},
    "26_large_request_limit": {"largeRequestThreshold": 200, "largeRequestMaxBytes": 500},
    "40_java_client_api": TTL,
    "41_java_client_auth": {},
    "50_kazoo_api": {**TTL, "4lw.commands.whitelist": None},
    "51_kazoo_auth": {},
    "55_c_client_api": TTL,
}
SASL_PROVIDER = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
SASL = {"authProvider.sasl": SASL_PROVIDER}
JAAS = (
    "Server { org.apache.zookeeper.server.auth.DigestLoginModule required"
    ' user_super="adminsecret" user_bob="bobsecret"; };'
)
SASL_CONFIGS: dict[str, dict[str, object]] = {
    "17_sasl_digest_md5": {**SASL, "superUser": "super"},
    "18_sasl_required": {**SASL, "sessionRequireClientSASLAuth": "true"},
    "44_java_client_sasl_digest_md5": SASL,
    "53_kazoo_sasl_digest_md5": SASL,
}
WORD_CONFIGS: dict[str, dict[str, object]] = {
    "60_four_letter_words_default_whitelist": {"4lw.commands.whitelist": None},
    "61_four_letter_words_all": {"4lw.commands.whitelist": "*"},
}
# Not held again: 27 is a burst, its shape is tested below; 30 to 35 need an ensemble; 42, 43 and 52
# lack what happened while their client was away, tests/client plays that part.

# file -> {index of the item: why ours differs}. A deviation that no longer shows fails the test.
PASSWORD_FIRST = "a wrong password does not cut the session's owner (client.md 20)"
IPV6 = "IPv6 addresses are valid in ACLs since 3.9.4; the capture is of 3.9.3"
FILTERED = "catch-up events are filtered by READ (client.md 20)"
ORDER = "one session closes: the order among its znodes is not specified"
ROOT_ALIAS = "the empty path is the root, which does not count itself"
EXACT = "a quota is exact inside a multi (quotas.md 5); later counters follow"
DEVIATIONS: dict[str, dict[int, str]] = {
    "01_connect": {44: PASSWORD_FIRST},
    "06_acl": {59: IPV6, 61: IPV6, 113: IPV6, 115: IPV6},
    "11_watch_persistent": dict.fromkeys((188, 189), ORDER),
    "13_setwatches": {111: FILTERED, 112: FILTERED},
    "14_paths": {145: ROOT_ALIAS},
    "21_quota": dict.fromkeys((47, 49, 51, 53, 59, 75, 81, 91, 97), EXACT),
}


Connect = Callable[[str], socket.socket]


def plainly(node: Node) -> Connect:
    return lambda label: socket.create_connection(("127.0.0.1", node.port), timeout=8)


def hold(name: str, connect: Connect) -> None:
    """Hold a conversation again; whatever differs must be listed, and what is listed differ."""
    replay = Replay(connect)
    items = json.loads((VECTORS / f"{name}.json").read_text())
    try:
        differing = differences(replay, items)
    finally:
        for wire in replay.wires.values():
            wire.sock.close()
    known = DEVIATIONS.get(name, {})
    unexpected = {
        f"{i}: {items[i]['what']}": pair for i, pair in differing.items() if i not in known
    }
    for where, (wanted_form, got_form) in unexpected.items():
        print(f"{where}\n  captured {wanted_form}\n  ours     {got_form}")
    assert not unexpected, f"{len(unexpected)} of {len(items)} items differ"
    assert set(known) == set(differing), "a listed deviation no longer shows"


def differences(replay: Replay, items: list[dict[str, Any]]) -> dict[int, tuple[object, object]]:
    """Index of each item that went another way: the captured and our form of it."""
    answered: set[str] = set()
    differing: dict[int, tuple[object, object]] = {}
    for index, item in enumerate(items):
        label = item["conn"]
        if item["dir"] == "c2s":
            if label not in replay.wires:
                answered.discard(label)
            replay.send(item)
            continue
        raw = bytes.fromhex(item["hex"])
        wire = replay.wires.get(label)
        if wire is None:
            continue
        kind = kind_of(replay, item, label not in answered, raw)
        answered.add(label)
        try:
            got = wire.read()
        except TimeoutError:
            differing[index] = ("timeout", item["what"])
            break
        replay.learn(wire, kind, raw, got)
        wanted_form = replay.normal(raw, None, kind)
        got_form = replay.normal(got, wire, kind)
        if wanted_form != got_form:
            differing[index] = (wanted_form, got_form)
            if got == b"" or not raw:
                break
    return differing


LIMITS: dict[str, object] = {"minSessionTimeout": 4000, "maxSessionTimeout": 40000}


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_captured_conversation_goes_the_same_way(
    name: str, start_node: Callable[..., Node]
) -> None:
    node = start_node({**LIMITS, **CONFIGS[name]})
    hold(name, plainly(node))


@pytest.mark.parametrize("name", sorted(SASL_CONFIGS))
def test_a_captured_sasl_exchange_goes_the_same_way(
    name: str, start_node: Callable[..., Node], tmp_path: Path
) -> None:
    jaas = tmp_path / "jaas.conf"
    jaas.write_text(JAAS)
    node = start_node(
        {**LIMITS, **SASL_CONFIGS[name]}, {"java.security.auth.login.config": str(jaas)}
    )
    hold(name, plainly(node))


@pytest.mark.parametrize("name", sorted(WORD_CONFIGS))
def test_captured_four_letter_words_are_answered_in_the_same_shape(
    name: str, start_node: Callable[..., Node]
) -> None:
    """The captures saw a client with an ephemeral and a watch; so do ours."""
    node = start_node({**LIMITS, **WORD_CONFIGS[name]})
    client = RawClient(node.port)
    client.connect(timeout_ms=30_000)
    client.request(1, 1, create_body("/a"))
    client.request(2, 1, create_body("/a/e", flags=1))
    client.request(3, 3, text("/a") + b"\1")
    client.request(4, 8, text("/a") + b"\0")
    assert [client.reply()[2] for _ in range(4)] == [0, 0, 0, 0]
    try:
        hold(name, plainly(node))
    finally:
        client.close()


def certificate(authority: Authority, name: x509.Name, path: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    signed = authority.sign(name, key)
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return authority.context(path)


def test_a_captured_conversation_with_certificates_goes_the_same_way(
    start_node: Callable[..., Node], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    alice = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme, Inc"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "ops"),
            x509.NameAttribute(NameOID.COMMON_NAME, "alice"),
        ]
    )
    root = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root-user")])
    contexts = {
        "A(tls, client cert alice)": certificate(authority, alice, tmp_path / "a.pem"),
        "S(tls, superuser cert)": certificate(authority, root, tmp_path / "s.pem"),
    }
    secure_port = free_port()
    settings = tls_settings(authority, secure_port, False, "need")
    settings["X509AuthenticationProvider.superUser"] = "CN=root-user"
    node = start_node({**LIMITS, **settings})

    def connect(label: str) -> socket.socket:
        if label not in contexts:
            return plainly(node)(label)
        sock = socket.create_connection(("127.0.0.1", secure_port), timeout=8)
        return contexts[label].wrap_socket(sock)

    hold("36_x509_tls", connect)


def test_requests_that_waited_too_long_are_refused_as_captured(
    start_node: Callable[..., Node],
) -> None:
    """27: of a burst of creates, those that waited are answered -127 in their turn."""
    node = start_node({**LIMITS, "throttled_op_wait_time": 1})
    items = json.loads((VECTORS / "27_throttled_op.json").read_text())
    client = RawClient(node.port)
    client.connect()
    count = 20_000
    created = {f"/k{xid}" for xid in range(1, count + 1)}
    burst = [struct.pack(">ii", xid, 1) + create_body(f"/k{xid}") for xid in range(1, count + 1)]
    assert struct.pack(">i", len(burst[1])) + burst[1] == bytes.fromhex(items[0]["hex"])
    client.sock.setblocking(True)
    data = b"".join(struct.pack(">i", len(frame)) + frame for frame in burst)
    client.sock.sendall(data)
    refused = 0
    captured = bytes.fromhex(items[1]["hex"])[4:]
    for xid in range(1, count + 1):
        frame = client.read()
        assert frame is not None
        got_xid, _, err = struct.unpack_from(">iqi", frame)
        assert got_xid == xid, "replies keep their order"
        if err:
            assert (frame[:4], frame[12:]) == (struct.pack(">i", xid), captured[12:])
            created.discard(f"/k{xid}")
            refused += 1
    assert 0 < refused < count
    client.request(1, 8, text("/") + b"\0")
    children = client.reply()[3]
    found = struct.unpack_from(">i", children)[0] - 1
    assert found == len(created) == count - refused, "what was refused was not carried out"
    client.close()
