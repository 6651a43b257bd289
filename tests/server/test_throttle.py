"""How fast sessions may be opened: the bucket of tokens by itself, and before a real node."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.server.throttle import ConnectionThrottle
from tests.harness import Node, RawClient
from tests.server.starting import CONNECT, Start, counter, until

HOUR_MS = 3_600_000


def bucket(
    tokens: int = 3,
    fill_ms: int = 100,
    fill_count: int = 1,
    freeze_ms: int = -1,
    increase: float = 0.25,
    decrease: float = 0.25,
    ratio: float = 0.0,
    chance: float = 0.5,
) -> ConnectionThrottle:
    """A bucket whose dice always show `chance`."""
    return ConnectionThrottle(
        tokens, fill_ms, fill_count, freeze_ms, increase, decrease, ratio, lambda: chance
    )


def test_so_many_come_in_as_there_are_tokens() -> None:
    throttle = bucket(tokens=3)
    assert [throttle.admits(1_000) for _ in range(5)] == [True, True, True, False, False]
    assert throttle.deficit() == 3


def test_tokens_come_back_with_time_and_never_more_than_there_were() -> None:
    throttle = bucket(tokens=3, fill_ms=100, fill_count=2)
    for _ in range(3):
        throttle.admits(1_000)
    assert not throttle.admits(1_099)
    assert [throttle.admits(1_100) for _ in range(3)] == [True, True, False]
    assert [throttle.admits(HOUR_MS) for _ in range(4)] == [True, True, True, False]


def test_time_that_did_not_fill_a_token_yet_is_not_lost() -> None:
    throttle = bucket(tokens=1, fill_ms=100)
    assert throttle.admits(1_000)
    assert [throttle.admits(now) for now in (1_060, 1_099, 1_100)] == [False, False, True]
    assert [throttle.admits(now) for now in (1_150, 1_199, 1_205)] == [False, False, True]
    assert throttle.admits(1_300), "five ms were left over"


def test_without_a_freeze_time_chance_plays_no_part() -> None:
    throttle = bucket(tokens=2, chance=0.0, increase=1.0)
    assert [throttle.admits(1_000) for _ in range(4)] == [True, True, False, False]
    assert throttle.drop == 0.0
    assert throttle.admits(1_100)


def test_C9_an_empty_bucket_makes_refusals_likelier_and_a_full_one_less() -> None:
    throttle = bucket(tokens=1, fill_ms=HOUR_MS, freeze_ms=10, chance=0.4)
    assert throttle.admits(0)
    for now, drop in ((20, 0.25), (25, 0.25), (40, 0.5), (60, 0.75), (80, 1.0), (100, 1.0)):
        assert not throttle.admits(now)
        assert throttle.drop == drop, f"at {now}: once in a freeze time, and 1 at most"
    late = HOUR_MS
    assert not throttle.admits(late), "there is a token again, but chance decides: 0.4 < 0.75"
    assert throttle.drop == 0.75
    assert not throttle.admits(late + 20)
    assert throttle.drop == 0.5
    assert throttle.admits(late + 40), "0.4 is not below 0.25"


def test_the_ratio_says_what_counts_as_nearly_full() -> None:
    for ratio, falls in ((0.0, False), (0.5, True)):
        throttle = bucket(tokens=4, fill_ms=HOUR_MS, freeze_ms=0, ratio=ratio)
        throttle.drop = 0.5
        throttle.tokens = 2
        throttle.admits(1_000)
        assert (throttle.drop < 0.5) == falls


@given(
    tokens=st.integers(1, 20),
    fill_ms=st.integers(1, 50),
    fill_count=st.integers(1, 5),
    gaps=st.lists(st.integers(0, 40), max_size=200),
)
def test_never_more_come_in_than_tokens_were_given(
    tokens: int, fill_ms: int, fill_count: int, gaps: list[int]
) -> None:
    throttle = bucket(tokens=tokens, fill_ms=fill_ms, fill_count=fill_count)
    start = now = 7_000
    admitted = int(throttle.admits(now))
    for gap in gaps:
        now += gap
        admitted += throttle.admits(now)
        assert admitted <= tokens + (now - start) // fill_ms * fill_count
        assert 0 <= throttle.deficit() <= tokens


@pytest.fixture
def slow_node(start_node: Start) -> Node:
    """A node that gives three tokens, and the next one in an hour."""
    return start_node({"connectionMaxTokens": 3, "connection_throttle_fill_time": HOUR_MS})


def test_C9_the_fourth_session_is_refused_and_the_three_go_on(slow_node: Node) -> None:
    clients = [RawClient(slow_node.port) for _ in range(4)]
    for client in clients[:3]:
        assert client.connect()
    clients[3].send(CONNECT)
    assert clients[3].read() is None, "closed without an answer"
    until(lambda: "connection_throttle_tokens" in slow_node.log())
    for client in clients[:3]:
        client.request(1, 11)
        assert client.reply()[2] == 0
    assert counter(slow_node, "connection_rejected") == 1
    assert counter(slow_node, "max_connection_token_deficit") == 3
    for client in clients:
        client.close()


def test_to_come_back_to_a_session_takes_a_token_too(slow_node: Node) -> None:
    client = RawClient(slow_node.port)
    assert client.connect()
    for _ in range(2):
        again = RawClient(slow_node.port)
        assert again.connect(session_id=client.session_id, password=client.password)
        again.close()
    last = RawClient(slow_node.port)
    last.send(CONNECT)
    assert last.read() is None
    assert slow_node.word("ruok") == b"imok", "words are no sessions"
    client.close()
    last.close()
