"""The bounds that hold what clients make the server keep: large requests, log files, sockets."""

from pathlib import Path

import pytest

from tests.harness import Node, RawClient, create_body
from tests.server.starting import Start, counter, until

CREATE, EXISTS = 1, 3
NO_NODE = -101


def large(path: str, size: int) -> bytes:
    """A create of that many bytes, its header included."""
    return create_body(path, bytes(size - 8 - len(create_body(path))))


@pytest.fixture
def bounded(start_node: Start) -> Node:
    return start_node({"largeRequestThreshold": 1_000, "largeRequestMaxBytes": 1_500})


def test_a_single_request_over_the_bound_closes_and_is_counted(bounded: Node) -> None:
    client = RawClient(bounded.port)
    client.connect()
    client.request(1, CREATE, large("/fits", 1_500))
    assert client.reply()[2] == 0
    client.request(2, CREATE, large("/over", 1_501))
    assert client.read() is None
    client.close()
    until(lambda: "a large request of 1501 bytes" in bounded.log())
    assert "largeRequestMaxBytes is 1500" in bounded.log()
    assert counter(bounded, "large_requests_rejected") == 1


def test_all_that_are_under_way_count_together(bounded: Node) -> None:
    client = RawClient(bounded.port)
    client.connect()
    frames = b""
    for xid in (1, 2):
        body = xid.to_bytes(4) + CREATE.to_bytes(4) + large(f"/{xid}", 1_200)
        frames += len(body).to_bytes(4) + body
    client.sock.sendall(frames)  # at once: the second comes while the first is being synced
    while client.read() is not None:
        pass
    client.close()
    assert counter(bounded, "large_requests_rejected") == 1
    other = RawClient(bounded.port)
    other.connect()
    found = []
    for xid in (1, 2):
        other.request(xid, EXISTS, create_body(f"/{xid}")[:6] + b"\0")
        found.append(other.reply()[2])
    assert found == [0, NO_NODE], "what was taken in before is done"
    other.close()


def test_the_room_comes_back_with_each_answer_even_an_error(bounded: Node) -> None:
    client = RawClient(bounded.port)
    client.connect()
    for xid in range(1, 6):
        client.request(xid, CREATE, large(f"/none/{xid}", 1_200))
        assert client.reply()[2] == NO_NODE
    for xid in range(6, 11):
        client.request(xid, CREATE, large(f"/{xid:02}", 1_200))
        assert client.reply()[2] == 0
    client.close()


def test_requests_under_the_threshold_are_not_counted(start_node: Start) -> None:
    node = start_node({"largeRequestThreshold": 1_000, "largeRequestMaxBytes": 1})
    client = RawClient(node.port)
    client.connect()
    for xid in range(1, 6):
        client.request(xid, CREATE, large(f"/{xid}", 1_000))
    assert [client.reply()[2] for _ in range(5)] == [0] * 5
    client.close()
    assert counter(node, "large_requests_rejected") == 0


def test_a_log_file_ends_at_its_size_and_all_of_them_are_read_again(start_node: Start) -> None:
    node = start_node({"txnLogSizeLimitInKb": 64})
    client = RawClient(node.port)
    client.connect()
    for xid in range(1, 11):
        client.request(xid, CREATE, create_body(f"/{xid:02}", bytes(40_000)))
        assert client.reply()[2] == 0
    client.close()
    logs = sorted(Path(node.folder, "data", "version-2").glob("log.*"))
    assert 4 <= len(logs) <= 6, "two of 40 KB each go into one of 64"
    assert all(log.stat().st_size <= 3 * 64 << 10 for log in logs)
    before = counter(node, "znode_count")
    node.kill9()
    node.start()
    assert counter(node, "znode_count") == before >= 10


@pytest.mark.parametrize("keep_alive", [False, True])
def test_keep_alive_is_on_where_it_is_set(keep_alive: bool, start_node: Start) -> None:
    node = start_node({"clientTcpKeepAlive": str(keep_alive).lower()})
    client = RawClient(node.port)
    client.connect()
    local = f"0100007F:{node.port:04X}"
    peer = f"0100007F:{client.sock.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    timers = [row[5].partition(":")[0] for row in rows if row[1:3] == [local, peer]]
    assert timers == ["02" if keep_alive else "00"], "the kernel's number of the keep-alive timer"
    client.close()
