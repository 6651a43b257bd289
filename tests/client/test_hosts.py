"""The connection string, the order of servers, the pauses."""

import random

import pytest

from ensemble.client.errors import BadArgumentsError
from ensemble.client.hosts import BACKOFF_FIRST_S, BACKOFF_MAX_S, Host, HostRing, parse_hosts


@pytest.mark.parametrize(
    ("text", "hosts", "chroot"),
    [
        ("a:1", [("a", 1)], ""),
        ("a", [("a", 2181)], ""),
        ("a:1,b:2", [("a", 1), ("b", 2)], ""),
        (" a:1 , b ", [("a", 1), ("b", 2181)], ""),
        ("a:1,b:2/x/y", [("a", 1), ("b", 2)], "/x/y"),
        ("a:1/", [("a", 1)], ""),
        ("[::1]:7,[fe80::2]", [("::1", 7), ("fe80::2", 2181)], ""),
    ],
)
def test_a_connection_string_names_servers_and_a_chroot(
    text: str, hosts: list[tuple[str, int]], chroot: str
) -> None:
    found, root = parse_hosts(text)
    assert [tuple(host) for host in found] == hosts
    assert root.prefix == chroot


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no server"),
        ("/x", "no server"),
        (",,", "no server"),
        (":1", "no host name"),
        ("a:0", "'0'"),
        ("a:65536", "'65536'"),
        ("a:-1", "'-1'"),
        ("a:x", "'x'"),
        ("a:٣", "'٣'"),
        ("::1", "brackets"),
        ("[::1", "'[::1'"),
        ("[::1]7", "'[::1]7'"),
        ("a:1/x/", "/x/"),
        ("a:1//x", "//x"),
        ("a:1/../x", "/../x"),
        (",".join(f"h{i}" for i in range(1_001)), "1001"),
    ],
)
def test_a_wrong_connection_string_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(BadArgumentsError) as caught:
        parse_hosts(text)
    assert named in str(caught.value)


def test_an_address_prints_as_it_is_written() -> None:
    assert str(Host("a", 1)) == "a:1"
    assert str(Host("::1", 7)) == "[::1]:7"


def ring(count: int = 3, seed: int = 1, backoff_max_s: float = 100.0) -> HostRing:
    hosts = [Host(f"h{i}", 2181) for i in range(count)]
    return HostRing(hosts, random.Random(seed), backoff_max_s)


def test_servers_are_shuffled_so_that_clients_spread() -> None:
    firsts = {ring(seed=seed).next_host().name for seed in range(50)}
    assert firsts == {"h0", "h1", "h2"}


def test_every_server_gets_its_turn_before_one_gets_a_second() -> None:
    hosts = ring(5)
    rounds = [[hosts.next_host() for _ in range(5)] for _ in range(3)]
    assert all(len(set(found)) == 5 for found in rounds)
    assert rounds[0] == rounds[1] == rounds[2]


def test_a_preferred_server_is_next() -> None:
    hosts = ring()
    wanted = hosts.hosts[2]
    hosts.prefer(wanted)
    assert hosts.next_host() == wanted


def test_pauses_grow_by_rounds_and_stay_below_the_limit() -> None:
    hosts = ring(2)
    longest = [max(hosts.pause_s(attempt) for _ in range(2_000)) for attempt in range(0, 20, 2)]
    assert longest[0] <= BACKOFF_FIRST_S
    for attempt in range(1, 6):  # 0.1, 0.2, 0.4, ... : twice as long each round
        assert longest[attempt - 1] < longest[attempt] <= BACKOFF_FIRST_S * 2**attempt
    assert max(longest) <= BACKOFF_MAX_S
    assert 0.9 * BACKOFF_MAX_S < longest[-1] <= BACKOFF_MAX_S
    assert hosts.pause_s(10**9) <= BACKOFF_MAX_S


def test_pauses_stay_within_what_the_session_can_wait() -> None:
    hosts = ring(1, backoff_max_s=0.5)
    assert max(hosts.pause_s(30) for _ in range(1_000)) <= 0.5


def test_pauses_differ_so_that_clients_do_not_come_back_together() -> None:
    assert len({ring(seed=seed).pause_s(0) for seed in range(50)}) == 50
