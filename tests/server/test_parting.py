"""Who is refused reads why: the connection is not reset while the other end still sends."""

import struct
import time
from collections.abc import Callable

from tests.harness import Node, RawClient, text
from tests.tenants import AUTH_FAILED, PING, present, send_auth

AHEAD = 40_000  # pings, more than the buffers between the two hold


def connections(node: Node) -> int:
    said = node.word("cons")
    return said.count(b"/127.0.0.1") - 1  # the word's own


def test_who_goes_on_sending_reads_why_it_was_refused(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    send_auth(client, "nope", b"x")
    ping = struct.pack(">iii", 8, -2, PING)
    for _ in range(AHEAD // 1_000):
        client.sock.sendall(ping * 1_000)
        time.sleep(0.001)  # the end has arrived meanwhile, and would be met by the next of these
    assert client.reply()[2] == AUTH_FAILED
    assert client.sock.recv(1) == b"", "an end, and no reset"
    client.close()


def test_who_does_not_part_is_closed_all_the_same(node: Node) -> None:
    before = connections(node)
    client = RawClient(node.port)
    client.connect()
    assert present(client, "nope", b"x") == AUTH_FAILED
    assert client.read() is None
    assert connections(node) == before + 1, "it is waited for"
    began = time.monotonic()
    while connections(node) > before:
        assert time.monotonic() < began + 30, "it has not been closed"
        time.sleep(0.05)
    client.close()


def test_a_session_that_has_moved_on_is_not_waited_for(node: Node) -> None:
    client = RawClient(node.port)
    client.connect()
    assert present(client, "nope", b"x") == AUTH_FAILED
    again = RawClient(node.port)
    assert again.connect(session_id=client.session_id, password=client.password)
    assert again.session_id == client.session_id
    again.request(1, 3, text("/") + b"\0")
    assert again.reply()[2] == 0
    assert client.read() is None
    again.close()
    client.close()


def test_a_refusal_and_an_end_at_once_leave_nothing_behind(start_node: Callable[..., Node]) -> None:
    node = start_node()
    for _ in range(200):
        client = RawClient(node.port)
        client.connect()
        send_auth(client, "nope", b"x")
        client.close()
    began = time.monotonic()
    while connections(node) > 0:
        assert time.monotonic() < began + 30, "connections are left"
        time.sleep(0.05)
