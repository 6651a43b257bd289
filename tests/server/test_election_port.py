"""The election port with real sockets: who keeps which stream, and what nobody can spoil."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ensemble.server.election_port import CALL_AGAIN_MS, UNKNOWN_PEERS_MAX, YOUNG_LINK_MS, usable
from ensemble.server.peer_listener import STRANGERS_PER_HOST_MAX
from ensemble.server.peer_security import PeerSecurity
from ensemble.wire.peers import NOTIFICATION_BYTES_MAX, Hello, encode_hello
from tests.ports import free_port
from tests.server.peer_world import HOST, ElectionServer, World, frame, members_at, start_servers


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def hello(sid: int, address: tuple[str, int] = (HOST, 1)) -> bytes:
    return encode_hello(Hello(sid, [f"{address[0]}:{address[1]}"]))


def linked(one: ElectionServer, other: ElectionServer) -> bool:
    return one.link(other.sid) is not None and other.link(one.sid) is not None


@pytest.mark.parametrize("caller", [0, 1])
def test_the_larger_id_keeps_the_stream_whoever_calls_first(world: World, caller: int) -> None:
    """election.md 1.1: the smaller one's call only wakes the larger one."""
    servers = start_servers(world, [1, 2])
    first, second = servers[caller], servers[1 - caller]
    first.port.send(second.sid, frame(b"first word"))
    world.until(lambda: second.heard == [(first.sid, b"first word")])
    assert linked(first, second)
    link = servers[1].link(1)
    assert link is not None
    assert link.sock is not None
    assert link.sock.getpeername() == servers[0].address, "server 2 made it"


@pytest.mark.parametrize("order", [[1, 2], [2, 1]])
def test_crossing_calls_end_with_one_stream_and_no_message_lost(
    world: World, order: list[int]
) -> None:
    """election.md 1.1, 6.1: both call at once."""
    servers = {server.sid: server for server in start_servers(world, [1, 2])}
    for sid in order:
        servers[sid].port.send(3 - sid, frame(b"from %d" % sid))
    one, two = servers[1], servers[2]
    world.until(lambda: linked(one, two) and (1, b"from 1") in two.heard)
    world.until(lambda: (2, b"from 2") in one.heard)
    assert one.unreachable == two.unreachable == []
    for _ in range(20):
        world.turn()
    assert one.reachable == [2], "and it stays: no server breaks the other's stream"
    assert len(two.net.sockets) == len(one.net.sockets) == 1


def test_a_newer_message_replaces_an_unsent_one(world: World) -> None:
    """election.md 1.5: a slot of one."""
    one, two = start_servers(world, [1, 2])
    for number in range(5):
        two.port.send(1, frame(b"%d" % number))
    world.until(lambda: len(one.heard) > 0)
    assert one.heard == [(2, b"4")]


def test_the_last_message_is_sent_again_on_a_new_stream(world: World) -> None:
    """election.md 1.5: the first frame of a server that runs for long is stale."""
    one, two = start_servers(world, [1, 2])
    two.port.send(1, frame(b"vote"))
    world.until(lambda: len(one.heard) == 1)
    world.pass_ms(YOUNG_LINK_MS)
    link = one.link(2)
    assert link is not None
    link.fail("cut by the test")
    world.until(lambda: len(one.heard) == 2)
    assert one.heard == [(2, b"vote"), (2, b"vote")]
    assert linked(one, two)
    assert one.unreachable == two.unreachable == [], "one attempt found it alive"


def test_a_peer_that_has_gone_is_told_at_once_and_found_when_it_returns(world: World) -> None:
    one, two = start_servers(world, [1, 2])
    two.port.send(1, frame(b"a"))
    world.until(lambda: linked(one, two))
    world.pass_ms(YOUNG_LINK_MS)
    one.port.stop()
    world.until(lambda: two.unreachable == [1])
    two.port.send(1, frame(b"b"))
    world.until(lambda: two.unreachable == [1, 1])
    one.port.start()
    one.port.send(2, frame(b"back"))
    world.until(lambda: (1, b"back") in two.heard and (2, b"b") in one.heard)


def test_I20_a_member_that_is_back_is_called_without_another_message(world: World) -> None:
    """trust.md I20: votes are repeated ever more slowly, a healed partition must not wait."""
    one, two = start_servers(world, [1, 2])
    one.port.stop()
    two.port.send(1, frame(b"vote"))
    world.until(lambda: two.unreachable == [1])
    one.port.start()
    world.pass_ms(CALL_AGAIN_MS)
    world.until(lambda: one.heard == [(2, b"vote")])
    assert two.reachable == [1]


def test_an_unheard_stream_is_given_up(world: World) -> None:
    """Left to itself, TCP would try for a quarter of an hour."""
    one, two = start_servers(world, [1, 2])
    two.port.send(1, frame(b"a"))
    world.until(lambda: linked(one, two))
    for link in (one.link(2), two.link(1)):
        assert link is not None
        assert link.sock is not None
        assert link.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5_000


def test_A15_a_black_hole_holds_up_nobody_else(world: World) -> None:
    """trust.md A15: one peer never answers, the others hear from each other at once."""
    one, two = start_servers(world, [1, 2])
    hole = world.black_hole()
    addresses = {1: one.address, 2: two.address, 3: hole}
    for server in (one, two):
        server.port.set_members(members_at(addresses))
        server.port.send(3, frame(b"x"))
    one.port.send(2, frame(b"y"))
    world.until(lambda: (1, b"y") in two.heard)
    assert one.unreachable == []
    world.pass_ms(5_000)
    assert one.unreachable == two.unreachable == [3], "after cnxTimeout"


def test_A15_a_listener_that_never_speaks_counts_as_unreachable_in_time(world: World) -> None:
    """It accepts the wake-up call, and never calls back: a stopped process."""
    one, _ = start_servers(world, [1, 2])
    _, silent = world.listener()
    one.port.set_members(members_at({1: one.address, 3: silent}))
    one.port.send(3, frame(b"x"))
    world.pass_ms(4_000)
    assert one.unreachable == []
    world.pass_ms(1_000)
    assert one.unreachable == [3]
    one.port.send(3, frame(b"x"))
    assert one.port.peers[3].dialling is not None, "the next message tries again"


def test_a_hello_that_drips_in_is_taken_and_one_that_never_ends_is_cut(world: World) -> None:
    one, _ = start_servers(world, [1, 2])
    slow = world.connect(one.address)
    for at in range(len(hello(2))):
        slow.sendall(hello(2)[at : at + 1])
        world.turn()
    world.until(lambda: one.link(2) is not None)
    stuck = world.connect(one.address)
    stuck.sendall(hello(2)[:10])
    world.pass_ms(5_000)
    world.until(lambda: world.ended(stuck))
    assert "no word within 5000 ms" in one.refused[-1]
    assert one.link(2) is not None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n" * 4, "0 to 255 can be one"),
        (b"\xff" * 40, "unknown version -1"),
        (hello(2)[:16] + b"\x00\x00\x08\x01", "2049 bytes of addresses"),
        (hello(2)[:16] + b"\x00\x00\x00\x00", "0 bytes of addresses"),
        (hello(1), "server id 1 called, this is server 1"),
        (encode_hello(Hello((1 << 63) - 1, ["h:1"])), "server id 9223372036854775807"),
        (encode_hello(Hello(-1, ["h:1"])), "server id -1"),
        (hello(2) + b"\xff\xff\xff\xff", "a frame of -1 bytes"),
        (hello(2) + b"\x00\x00\x00\x00", "a message of 0 bytes"),
        (
            hello(2) + (NOTIFICATION_BYTES_MAX + 1).to_bytes(4, "big"),
            "524289 bytes, the limit is 524288",
        ),
    ],
)
def test_3769_garbage_ends_its_own_stream_only(world: World, data: bytes, reason: str) -> None:
    """ZOOKEEPER-3769: the port answers the next one as if nothing had been."""
    one, two = start_servers(world, [1, 3])
    bad = world.connect(one.address)
    bad.sendall(data)
    world.until(lambda: world.ended(bad))
    assert any(reason in each for each in one.refused), one.refused
    two.port.send(1, frame(b"good"))
    world.until(lambda: one.heard == [(3, b"good")])


def test_a_call_of_a_smaller_id_is_closed_and_called_back_at_its_configured_address(
    world: World,
) -> None:
    """election.md 1.1; the address in the hello is used where no other answers."""
    one = ElectionServer(world, 5)
    configured, its_address = world.listener()
    other, other_address = world.listener()
    one.port.set_members(members_at({5: (HOST, free_port()), 2: its_address}))
    one.port.start()
    caller = world.connect(one.address)
    caller.sendall(hello(2, other_address))
    back = world.accept(configured)
    assert world.read(back, len(one.port.hello)) == one.port.hello
    world.until(lambda: world.ended(caller))
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.accept()


def test_a_stranger_with_a_smaller_id_is_called_back_where_it_says(world: World) -> None:
    """election.md 2.1: a joiner is in no configuration yet."""
    (one,) = start_servers(world, [5])
    listener, address = world.listener()
    caller = world.connect(one.address)
    caller.sendall(hello(2, address))
    back = world.accept(listener)
    world.read(back, len(one.port.hello))
    back.sendall(frame(b"may I"))
    world.until(lambda: one.heard == [(2, b"may I")])
    one.port.send(2, frame(b"yes"))
    assert world.read(back, 7) == frame(b"yes")
    back.close()
    world.until(lambda: 2 not in one.port.peers, "forgetting it")


def test_so_many_strangers_and_no_more(world: World) -> None:
    (one,) = start_servers(world, [1])
    for sid in range(10, 10 + UNKNOWN_PEERS_MAX):
        world.connect(one.address).sendall(hello(sid))
        world.until(lambda sid=sid: one.link(sid) is not None)
    late = world.connect(one.address)
    late.sendall(hello(99))
    world.until(lambda: world.ended(late))
    assert f"{UNKNOWN_PEERS_MAX} others like it" in one.refused[-1]


def test_a_second_stream_of_a_larger_id_replaces_the_first(world: World) -> None:
    """election.md 1.1: it has forgotten the first one."""
    one, _ = start_servers(world, [1, 2])
    first = world.connect(one.address)
    first.sendall(hello(2) + frame(b"a"))
    world.until(lambda: one.heard == [(2, b"a")])
    second = world.connect(one.address)
    second.sendall(hello(2) + frame(b"b"))
    world.until(lambda: one.heard == [(2, b"a"), (2, b"b")])
    world.until(lambda: world.ended(first))
    assert one.unreachable == []


def test_those_who_hang_in_the_door_make_room_for_those_who_speak(world: World) -> None:
    one, two = start_servers(world, [1, 2])
    hanging: list[socket.socket] = []
    for _ in range(STRANGERS_PER_HOST_MAX * 2):
        hanging.append(world.connect(one.address))
        world.turn()
    two.port.send(1, frame(b"x"))
    world.until(lambda: one.heard == [(2, b"x")])
    assert one.port.listener is not None
    assert len(one.port.listener.strangers) <= STRANGERS_PER_HOST_MAX
    assert world.ended(hanging[0])
    assert not world.ended(hanging[-1])


def test_a_peer_that_reads_nothing_keeps_its_slot_of_one(world: World) -> None:
    """A frame is replaced until the one before it has left; nothing piles up."""
    one, _ = start_servers(world, [1, 2])
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    caller.connect(one.address)
    world.keep.append(caller)
    caller.sendall(hello(2))
    world.until(lambda: one.link(2) is not None)
    big = frame(b"\x01" * NOTIFICATION_BYTES_MAX)
    for _ in range(64):
        one.port.send(2, big)
        world.turn()
    link = one.link(2)
    assert link is not None
    assert 0 < link.unsent_bytes <= len(big)
    one.port.send(2, frame(b"newest"))
    seen = b""
    caller.setblocking(True)
    caller.settimeout(0.05)
    while not seen.endswith(frame(b"newest")):
        world.turn()
        try:
            seen = seen[-16:] + caller.recv(1 << 20)
        except TimeoutError:
            continue


def test_D7_failed_calls_leave_no_descriptor_behind(world: World) -> None:
    one, _ = start_servers(world, [1, 2])
    gone = (HOST, free_port())
    one.port.set_members(members_at({1: one.address, 2: gone}))
    before = len(os.listdir("/proc/self/fd"))
    for count in range(1, 301):
        one.port.send(2, frame(b"x"))
        world.until(lambda count=count: len(one.unreachable) == count)
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(one.net.sockets) == 0


def test_a_member_that_moves_is_found_at_its_new_address(world: World) -> None:
    """zab.md 7: streams are made anew when a configuration changes."""
    one, two = start_servers(world, [1, 2])
    two.port.send(1, frame(b"a"))
    world.until(lambda: linked(one, two))
    listener, address = world.listener()
    two.port.set_members(members_at({1: address, 2: two.address}))
    assert two.link(1) is None
    two.port.send(1, frame(b"b"))
    moved = world.accept(listener)
    wanted = two.port.hello + frame(b"b")
    assert world.read(moved, len(wanted)) == wanted


def test_this_server_moves_its_own_port(world: World) -> None:
    (one,) = start_servers(world, [1])
    old = one.address
    new = (HOST, free_port())
    one.port.set_members(members_at({1: new}))
    assert one.address == new
    with pytest.raises(ConnectionRefusedError):
        world.connect(old)


def test_a_taken_address_is_named(world: World) -> None:
    one = ElectionServer(world, 1)
    _, taken = world.listener()
    one.port.set_members(members_at({1: taken}))
    with pytest.raises(OSError, match=f"{HOST}:{taken[1]}"):
        one.port.start()


def test_addresses_of_a_hello_that_nobody_can_use_are_left_out() -> None:
    """election.md 1.2: wildcards; and whatever else a stranger may write."""
    texts = ["0.0.0.0:1", "[::]:1", "h:0", "h:x", "h:70000", "h", "", "[fe80::1]:5", "a.b:6"]
    assert usable(texts) == [("fe80::1", 5), ("a.b", 6)]


# Captured from Apache ZooKeeper 3.9.3

STREAMS = json.loads((Path(__file__).parent / "data" / "peer-streams.json").read_text())


def notifications(name: str, link: str) -> list[bytes]:
    return [
        bytes.fromhex(data)
        for its_link, what, data in STREAMS[name]
        if its_link == link and what == "NOTIFICATION"
    ]


@pytest.mark.parametrize(
    ("name", "link"),
    [("crossing", "2->1"), ("stale then fresh", "3->1"), ("several addresses", "4->3")],
)
def test_a_captured_larger_server_is_kept_and_heard(world: World, name: str, link: str) -> None:
    """election.md 1.1, 1.5: stale and fresh messages come through in their order."""
    larger, own = (int(part) for part in link.split("->"))
    (one,) = start_servers(world, [own])
    apache = world.connect(one.address)
    said = [bytes.fromhex(data) for its_link, _, data in STREAMS[name] if its_link == link]
    for data in said:
        apache.sendall(data)
    wanted = [(larger, each[4:]) for each in notifications(name, link)]
    assert wanted
    world.until(lambda: one.heard == wanted)
    answer = notifications(name, f"{own}->{larger}")[0]
    one.port.send(larger, answer)
    assert world.read(apache, len(answer)) == answer


def test_this_server_says_what_a_captured_one_says(world: World) -> None:
    """The hello, and SASL up to the first notification, in the words of a recording."""
    dialogue = STREAMS["sasl election"]
    users = {"quser": "qpass"}
    (one,) = start_servers(world, [2], PeerSecurity(users=users, sasl_required=True))
    apache = world.connect(one.address)
    for _, what, data in dialogue[:2]:
        assert what in ("INITIAL", "SASL")
        apache.sendall(bytes.fromhex(data))
    challenge = world.read(apache, 124)
    assert challenge[:15] == bytes.fromhex(dialogue[2][2])[:15]
    apache.setblocking(True)
    apache.sendall(bytes.fromhex(dialogue[3][2]))  # answers another nonce
    world.until(lambda: world.ended(apache))
    assert "another nonce" in one.refused[0]
    assert one.link(3) is None


def test_servers_with_sasl_find_each_other(world: World) -> None:
    """zab.md 8: also the one whose call only wakes the other has to prove who it is."""
    security = PeerSecurity(
        user="quser", password="qpass", users={"quser": "qpass"}, sasl_required=True
    )
    one, two = start_servers(world, [1, 2], security)
    one.port.send(2, frame(b"a"))
    world.until(lambda: two.heard == [(1, b"a")])
    two.port.send(1, frame(b"b"))
    world.until(lambda: one.heard == [(2, b"b")])


def test_E3_a_call_without_a_proof_does_not_replace_a_stream(world: World) -> None:
    """trust.md E3: the larger id of a liar counts for nothing."""
    security = PeerSecurity(
        user="quser", password="qpass", users={"quser": "qpass"}, sasl_required=True
    )
    one, two = start_servers(world, [1, 2], security)
    two.port.send(1, frame(b"a"))
    world.until(lambda: linked(one, two))
    link = one.link(2)
    liar = world.connect(one.address)
    liar.sendall(hello(2) + frame(b"lie"))
    world.until(lambda: world.ended(liar))
    assert one.link(2) is link
    assert one.heard == [(2, b"a")]
    assert "SASL is expected" in one.refused[-1]


def test_E3_a_user_that_names_a_server_is_that_server_only(world: World) -> None:
    users = {"server.2": "x", "server.3": "y"}
    (one,) = start_servers(world, [1], PeerSecurity(users=users, sasl_required=True))
    liar = ElectionServer(world, 2, PeerSecurity(user="server.3", password="y", users=users))
    liar.port.set_members(members_at({2: (HOST, free_port()), 1: one.address}))
    liar.port.start()
    liar.port.send(1, frame(b"lie"))
    world.until(lambda: len(one.refused) == 1)
    assert "SASL user server.3 says that it is server 2" in one.refused[0]
    assert one.link(2) is None
