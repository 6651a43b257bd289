"""The links do what a cut wire does: no byte is lost, none arrives while a direction is held."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.links import Links
from tests.ensembles import Ensemble, ours

WAIT_S = 5.0
SILENCE_S = 0.3


class Wire:
    """A connection from member 1 to member 2 through the links; both ends are this test's."""

    def __init__(self, folder: Path) -> None:
        self.ensemble = Ensemble(folder, [ours(), ours()])
        self.listener = socket.create_server(("127.0.0.1", self.ensemble[2].quorum_port))
        self.listener.settimeout(WAIT_S)
        self.links = Links(self.ensemble)
        self.near = self.dial()
        self.far, _ = self.listener.accept()
        self.far.settimeout(WAIT_S)

    def dial(self, which: int = 0) -> socket.socket:
        port = self.ensemble[1].dials[2][which]
        return socket.create_connection(("127.0.0.1", port), WAIT_S)

    def close(self) -> None:
        for sock in (self.near, self.far, self.listener):
            sock.close()


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    one = Wire(tmp_path)
    with one.links:
        yield one
        one.close()


def silent(sock: socket.socket) -> bool:
    sock.settimeout(SILENCE_S)
    try:
        sock.recv(100)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(WAIT_S)
    return False


def test_bytes_go_both_ways_and_the_end_of_a_stream_is_passed_on(wire: Wire) -> None:
    wire.near.sendall(b"to")
    assert wire.far.recv(100) == b"to"
    wire.far.sendall(b"fro")
    assert wire.near.recv(100) == b"fro"
    wire.near.shutdown(socket.SHUT_WR)
    assert wire.far.recv(100) == b""
    wire.far.sendall(b"still")
    assert wire.near.recv(100) == b"still"


def test_a_held_direction_is_silent_the_other_is_not_and_nothing_is_lost(wire: Wire) -> None:
    wire.links.hold((1, 2))
    wire.near.sendall(b"held")
    assert silent(wire.far)
    wire.far.sendall(b"fro")
    assert wire.near.recv(100) == b"fro"
    wire.links.heal()
    assert wire.far.recv(100) == b"held"


def test_an_end_behind_a_held_link_is_not_heard_of(wire: Wire) -> None:
    wire.links.hold((1, 2), (2, 1))
    wire.near.close()
    assert silent(wire.far)
    wire.links.heal()
    assert wire.far.recv(100) == b""


def test_nobody_gets_through_a_held_link(wire: Wire) -> None:
    wire.links.hold((2, 1))
    wire.listener.settimeout(SILENCE_S)
    with wire.dial() as late:
        late.sendall(b"late")
        with pytest.raises(TimeoutError):
            wire.listener.accept()
        wire.links.heal()
        wire.listener.settimeout(WAIT_S)
        accepted, _ = wire.listener.accept()
        accepted.settimeout(WAIT_S)
        assert accepted.recv(100) == b"late"
        accepted.close()


def test_refused_connections_are_reset_and_new_ones_at_once(wire: Wire) -> None:
    wire.links.refuse(1, 2)
    for sock in (wire.near, wire.far):
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    with pytest.raises(ConnectionResetError), wire.dial() as late:
        late.recv(100)
    wire.links.heal()
    with wire.dial():
        accepted, _ = wire.listener.accept()
        accepted.close()


def test_what_the_other_end_does_not_read_waits_within_bounds(wire: Wire) -> None:
    sent = 0
    wire.near.setblocking(False)
    with pytest.raises(BlockingIOError):
        for _ in range(10_000):
            sent += wire.near.send(bytes(65_536))
    arrived = 0
    while arrived < sent:
        arrived += len(wire.far.recv(1 << 20))
    assert arrived == sent


def test_who_comes_before_the_quorum_port_is_open_waits_for_it(wire: Wire) -> None:
    wire.listener.close()
    with wire.dial() as early:
        early.sendall(b"early")
        with socket.create_server(("127.0.0.1", wire.ensemble[2].quorum_port)) as listener:
            listener.settimeout(WAIT_S)
            accepted, _ = listener.accept()
            assert accepted.recv(100) == b"early"
            accepted.close()


def test_an_election_port_where_nobody_listens_refuses(wire: Wire) -> None:
    with pytest.raises(ConnectionResetError), wire.dial(which=1) as late:
        late.recv(100)
