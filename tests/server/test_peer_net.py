"""Streams, dialling and listening with real sockets: what waits is bounded, what hangs is alone."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from ensemble.server.names import LOOKUPS_MAX
from ensemble.server.peer_listener import everywhere
from ensemble.server.peer_net import PeerNet
from ensemble.server.peer_socket import NEVER_MS, OPEN, PeerSocket
from ensemble.wire.sealing import HEAD_BYTES, Unsealer
from tests.ports import free_port
from tests.server.peer_world import HOST, Recorder, World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def pair(world: World, net: PeerNet) -> tuple[PeerSocket, Recorder, socket.socket]:
    """A stream of `net` and the test's own end of it."""
    listener, address = world.listener()
    recorder = Recorder()
    sock = net.dial([address], recorder, None, 5_000)
    other = world.accept(listener)
    world.until(lambda: len(recorder.opened) == 1)
    sock.set_deadline(NEVER_MS, "")
    return sock, recorder, other


def test_bytes_go_both_ways_and_out_waits_for_flush(world: World) -> None:
    sock, recorder, other = pair(world, world.net())
    sock.out.write(b"one")
    sock.out.write(b"two")
    world.turn()
    assert world.read(other, 0) == b""
    sock.flush()
    assert world.read(other, 6) == b"onetwo"
    other.setblocking(True)
    other.sendall(b"back")
    world.until(lambda: recorder.data == b"back")
    other.close()
    world.until(lambda: recorder.closed == ["closed by the peer"])
    sock.out.write(b"late")
    sock.flush()


def test_what_is_written_before_the_stream_is_open_follows(world: World) -> None:
    listener, address = world.listener()
    sock = world.net().dial([address], Recorder(), None, 5_000)
    sock.out.write(b"early")
    sock.flush()
    assert world.read(world.accept(listener), 5) == b"early"


def test_a_peer_that_reads_nothing_is_cut_at_the_bound(world: World) -> None:
    sock, recorder, _ = pair(world, world.net())
    sock.unsent_bytes_max = 1 << 20
    for _ in range(1_000):
        sock.out.write(b"x" * 65_536)
        sock.flush()
        world.turn()
        if recorder.closed:
            break
    assert "bytes that the peer does not read, the limit is 1048576" in recorder.closed[0]
    assert sock.unsent_bytes == 0


def test_everything_arrives_in_order_at_a_slow_reader(world: World) -> None:
    sock, recorder, other = pair(world, world.net())
    pieces = [number.to_bytes(4, "big") * 500 for number in range(3_000)]
    for piece in pieces:
        sock.out.write(piece)
        sock.flush()
    wanted = b"".join(pieces)
    assert sock.unsent_bytes > 0
    assert world.read(other, len(wanted)) == wanted
    world.until(lambda: recorder.drained == 1)
    assert sock.unsent_bytes == 0


def test_a_stream_from_a_pipe_goes_between_what_came_before_and_after(world: World) -> None:
    """zab.md 4.4: SNAP, the raw stream, then packets."""
    sock, _, other = pair(world, world.net())
    reading, writing = os.pipe()
    snapshot = os.urandom(3_000_000)
    writer = threading.Thread(target=write_all, args=(writing, snapshot))
    done: list[int] = []
    sock.out.write(b"SNAP")
    sock.stream_from(reading, lambda: done.append(1))
    writer.start()
    sock.out.write(b"after")
    sock.flush()
    sock.out.write(b"wards")
    sock.flush()
    got = world.read(other, 4 + len(snapshot) + 10)
    writer.join()
    assert got == b"SNAP" + snapshot + b"afterwards"
    world.until(lambda: done == [1])
    sock.out.write(b"!")
    sock.flush()
    assert world.read(other, 1) == b"!"


def test_behind_a_seal_everything_is_in_pieces_with_their_sums_f24(world: World) -> None:
    """The first packet is in the open; what comes out of a pipe is sealed as the rest is."""
    sock, _, other = pair(world, world.net())
    reading, writing = os.pipe()
    snapshot = os.urandom(300_000)
    writer = threading.Thread(target=write_all, args=(writing, snapshot))
    sock.out.write(b"LEADERINFO")
    sock.seal()
    sock.out.write(b"SNAP")
    sock.stream_from(reading, lambda: None)
    writer.start()
    sock.out.write(b"NEWLEADER")
    sock.flush()
    assert world.read(other, 10) == b"LEADERINFO"
    unsealer = Unsealer()
    got = b""
    while not got.endswith(b"NEWLEADER"):
        head = world.read(other, HEAD_BYTES)
        got += unsealer.feed(head + world.read(other, int.from_bytes(head[:4], "big")))
    writer.join()
    assert got == b"SNAP" + snapshot + b"NEWLEADER"


def write_all(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def test_what_waits_behind_a_stream_is_bounded_too(world: World) -> None:
    sock, recorder, _ = pair(world, world.net())
    sock.unsent_bytes_max = 1_000
    reading, writing = os.pipe()
    sock.stream_from(reading, lambda: None)
    sock.out.write(b"x" * 1_001)
    sock.flush()
    world.until(lambda: len(recorder.closed) == 1)
    assert "1001 bytes" in recorder.closed[0]
    with pytest.raises(BrokenPipeError):
        os.write(writing, b"x")
    os.close(writing)


def test_a_closed_stream_says_nothing_more(world: World) -> None:
    sock, recorder, other = pair(world, world.net())
    other.sendall(b"x")
    sock.close()
    for _ in range(3):
        world.turn()
    assert recorder.closed == []
    assert recorder.data == b""
    assert world.ended(other)


def test_a_copy_of_the_descriptor_in_a_child_does_not_keep_the_stream_open(world: World) -> None:
    """A child that writes a snapshot inherits every socket; the peer must see the end anyway."""
    sock, _, other = pair(world, world.net())
    assert sock.sock is not None
    copy = os.dup(sock.sock.fileno())
    sock.close()
    world.until(lambda: world.ended(other))
    os.close(copy)


def test_nothing_read_for_the_timeout_cuts_the_stream(world: World) -> None:
    """zab.md 2."""
    sock, recorder, other = pair(world, world.net())
    sock.set_timeout(1_000)
    world.pass_ms(900)
    other.sendall(b"x")
    world.until(lambda: recorder.data == b"x")
    world.pass_ms(900)
    assert recorder.closed == []
    world.pass_ms(200)
    assert recorder.closed == ["nothing read for 1100 ms"]


def test_F17_a_pause_does_not_time_out_what_has_arrived_meanwhile(world: World) -> None:
    """trust.md F17: this server stood still, the peer did not."""
    net = world.net()
    sock, recorder, other = pair(world, net)
    sock.set_timeout(1_000)
    other.sendall(b"ping")
    world.ahead_ms += 60_000
    net.on_time(world.now_ms())
    assert recorder.data == b"ping"
    assert recorder.closed == []


def test_on_time_says_when_it_is_needed_next(world: World) -> None:
    net = world.net()
    sock, _, _ = pair(world, net)
    now = world.now_ms()
    net.on_time(now)
    sock.set_timeout(700)
    assert net.deadline_ms == sock.last_read_ms + 700
    called: list[int] = []
    net.call_at(now + 50, lambda: called.append(1))
    assert net.deadline_ms == now + 50
    net.on_time(now + 49)
    assert called == []
    net.on_time(now + 50)
    assert called == [1]
    assert net.deadline_ms == sock.last_read_ms + 700


def test_a_refused_call_is_told_with_its_reason(world: World) -> None:
    recorder = Recorder()
    port = free_port()
    sock = world.net().dial([(HOST, port)], recorder, None, 5_000)
    assert recorder.closed == [], "never from within the call"
    world.until(lambda: recorder.closed == [f"{HOST}:{port}: Connection refused"])
    assert not sock.is_alive()


def test_A15_a_call_that_nobody_answers_ends_with_its_time(world: World) -> None:
    recorder = Recorder()
    hole = world.black_hole()
    world.net().dial([hole], recorder, None, 5_000)
    world.pass_ms(4_900)
    assert recorder.closed == []
    world.pass_ms(200)
    assert recorder.closed == [f"{HOST}:{hole[1]} does not answer"]


def test_A15_the_next_address_is_tried_beside_one_that_hangs(world: World) -> None:
    recorder = Recorder()
    listener, address = world.listener()
    hole = world.black_hole()
    sock = world.net().dial([hole, (HOST, free_port()), address], recorder, None, 5_000)
    world.turn()
    assert recorder.opened == []
    world.pass_ms(250)
    world.until(lambda: recorder.opened == [sock])
    assert sock.name == f"{HOST}:{address[1]}"
    world.accept(listener)


def test_an_address_that_refuses_gives_way_to_the_next_at_once(world: World) -> None:
    recorder = Recorder()
    listener, address = world.listener()
    net = world.net()
    net.dial([(HOST, free_port()), address], recorder, None, 5_000)
    net.dial([], recorder, None, 5_000)
    world.until(lambda: len(recorder.opened) == 1)
    assert recorder.closed == ["no address"]
    world.accept(listener)


def test_A15_a_resolver_that_hangs_delays_its_own_name_only(world: World) -> None:
    """Names are asked for on threads, so many at once."""
    gate = threading.Event()

    def resolver(host: str) -> list[tuple[int, str]]:
        if host == "slow":
            gate.wait(30)
        return [(socket.AF_INET, HOST)]

    net = world.net(resolver)
    slow = Recorder()
    quick = Recorder()
    _, address = world.listener()
    net.dial([("slow", address[1])], slow, None, 5_000)
    net.dial([("quick", address[1])], quick, None, 5_000)
    world.until(lambda: len(quick.opened) == 1)
    world.pass_ms(5_000)
    assert slow.closed == ["slow is not resolved"]
    again = Recorder()
    net.dial([("slow", address[1])], again, None, 5_000)
    assert len(net.names.asking) <= 1, "asked once, however many wait"
    gate.set()
    world.until(lambda: len(again.opened) == 1)


def test_so_many_names_are_asked_at_once(world: World) -> None:
    gate = threading.Event()

    def resolver(host: str) -> list[tuple[int, str]]:
        gate.wait(30)
        return [(socket.AF_INET, HOST)]

    net = world.net(resolver)
    for number in range(LOOKUPS_MAX + 5):
        net.names.find(f"h{number}")
    assert len(net.names.asking) == LOOKUPS_MAX
    assert len(net.names.waiting) == 5
    gate.set()
    world.until(lambda: len(net.names.known) == LOOKUPS_MAX + 5)


def test_a_name_is_asked_again_when_a_connection_to_it_fails(world: World) -> None:
    """ZOOKEEPER-2982, trust.md A15: a server that has got another address is found."""
    listener, address = world.listener()
    answers = [[(socket.AF_INET, "127.0.0.2")], [(socket.AF_INET, HOST)]]
    asked: list[str] = []

    def resolver(host: str) -> list[tuple[int, str]]:
        asked.append(host)
        return answers[min(len(asked), 2) - 1]

    net = world.net(resolver)
    first = Recorder()
    net.dial([("moved", address[1])], first, None, 5_000)
    world.until(lambda: len(first.closed) == 1)
    assert "127.0.0.2" in first.closed[0]
    world.until(lambda: net.names.known["moved"] == [(socket.AF_INET, HOST)])
    second = Recorder()
    net.dial([("moved", address[1])], second, None, 5_000)
    world.until(lambda: len(second.opened) == 1)
    assert asked == ["moved", "moved"]
    world.accept(listener)


def test_an_old_answer_serves_while_the_resolver_is_away(world: World) -> None:
    asked: list[str] = []

    def resolver(host: str) -> list[tuple[int, str]]:
        asked.append(host)
        if len(asked) > 1:
            raise OSError("the resolver is away")
        return [(socket.AF_INET, HOST)]

    net = world.net(resolver)
    world.until(lambda: net.names.find("peer") is not None)
    net.names.renew("peer")
    world.until(lambda: not net.names.asking)
    assert net.names.find("peer") == [(socket.AF_INET, HOST)]
    assert len(asked) == 2


def test_an_unknown_name_is_told_and_asked_again_next_time(world: World) -> None:
    asked: list[str] = []

    def resolver(host: str) -> list[tuple[int, str]]:
        asked.append(host)
        raise OSError("Name or service not known")

    net = world.net(resolver)
    for count in range(1, 4):
        recorder = Recorder()
        net.dial([("nowhere", 1)], recorder, None, 5_000)
        world.until(lambda recorder=recorder: len(recorder.closed) == 1)
        assert recorder.closed == ["nowhere: Name or service not known"]
        assert len(asked) >= count


def test_a_listener_out_of_descriptors_lives_on(world: World) -> None:
    """trust.md F25."""
    import resource

    net = world.net()
    recorder = Recorder()
    listener = net.listen([(HOST, 0)], lambda sock: recorder, None, 5_000)
    ours = socket.socket()
    world.keep.append(ours)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used - 1, hard))
    fillers: list[int] = []
    try:
        while True:
            fillers.append(os.dup(0))
    except OSError:
        pass
    try:
        ours.connect(listener.addresses()[0])
        world.turn()
        assert listener.paused_until_ms > 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
    ours.sendall(b"x")
    world.pass_ms(100)
    world.until(lambda: recorder.data == b"x")
    assert listener.paused_until_ms == 0


def test_strangers_that_stay_silent_are_cut(world: World) -> None:
    net = world.net()
    recorder = Recorder()
    listener = net.listen([(HOST, 0)], lambda sock: recorder, None, 3_000)
    world.connect(listener.addresses()[0])
    world.until(lambda: len(net.sockets) == 1)
    world.pass_ms(3_000)
    world.until(lambda: recorder.closed == ["no word within 3000 ms"])
    assert len(net.sockets) == len(listener.strangers) == 0


def test_closing_a_listener_frees_its_port_though_a_child_holds_a_copy(world: World) -> None:
    net = world.net()
    listener = net.listen([(HOST, 0)], lambda sock: Recorder(), None, 3_000)
    address = listener.addresses()[0]
    copy = os.dup(listener.socks[0].fileno())
    listener.close()
    again = net.listen([address], lambda sock: Recorder(), None, 3_000)
    assert again.addresses() == [address]
    os.close(copy)


def test_a_listener_takes_names_and_both_kinds_of_addresses(world: World) -> None:
    net = world.net()
    named = net.listen([("localhost", 0)], lambda sock: Recorder(), None, 3_000)
    assert named.addresses()[0][0] in ("127.0.0.1", "::1")
    both = everywhere([("a", 1), ("::1", 1), ("b", 2)])
    assert both == [("::", 1), ("::", 2)]
    assert everywhere([("a", 1), ("b", 1)]) == [("0.0.0.0", 1)]
    if not socket.has_ipv6:
        return
    recorder = Recorder()
    listener = net.listen([("::", 0)], lambda sock: recorder, None, 3_000)
    world.connect((HOST, listener.addresses()[0][1])).sendall(b"x")
    world.until(lambda: recorder.data == b"x")


def test_closing_the_net_closes_everything(world: World) -> None:
    before = len(os.listdir("/proc/self/fd"))
    net = world.net()
    _, address = world.listener()
    sock = net.dial([address], Recorder(), None, 1_000)
    net.dial([world.black_hole()], Recorder(), None, 1_000)
    net.listen([(HOST, 0)], lambda sock: Recorder(), None, 1_000)
    world.until(lambda: sock.state == OPEN)
    net.close()
    world.nets.remove(net)
    for kept in world.keep:
        kept.close()
    assert len(os.listdir("/proc/self/fd")) == before
