"""A configuration: text to value and back, and which sets of servers decide."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import ConfigError
from ensemble.zab.members import (
    MEMBERS_TEXT_BYTES_MAX,
    NUMBER_MAX,
    SERVERS_MAX,
    Member,
    Members,
    parse_member,
    parse_members,
    text_version,
)

# Captured from Apache ZooKeeper 3.9.3
STATIC = (
    b"server.1=127.0.0.1:22801:22811:participant\n"
    b"server.2=127.0.0.1:22802:22812:participant\n"
    b"server.3=127.0.0.1:22803:22813:participant\n"
    b"server.4=127.0.0.1:22804:22814:observer\n"
    b"version=0"
)
DYNAMIC = (
    b"server.1=127.0.0.1:22801:22811:participant;127.0.0.1:22821\n"
    b"server.2=127.0.0.1:22802:22812:participant;127.0.0.1:22822\n"
    b"server.3=127.0.0.1:22803:22813:participant;127.0.0.1:22823\n"
    b"version=100000000"
)
HIERARCHICAL = (
    b"server.1=127.0.0.1:22801:22811:participant\n"
    b"server.2=127.0.0.1:22802:22812:participant\n"
    b"server.3=127.0.0.1:22803:22813:participant\n"
    b"server.4=127.0.0.1:22804:22814:participant\n"
    b"server.5=127.0.0.1:22805:22815:participant\n"
    b"group.1=1:2:3\ngroup.2=4:5\n"
    b"weight.1=2\nweight.2=1\nweight.3=1\nweight.4=1\nweight.5=0\nversion=0"
)


def majority_of(*sids: int) -> Members:
    return Members(0, {sid: Member(sid, [("h", sid)], [("h", sid)]) for sid in sids})


def hierarchy(groups: dict[int, int], weights: dict[int, int]) -> Members:
    servers = {sid: Member(sid, [("h", 1)], [("h", 2)]) for sid in groups}
    return Members(0, servers, groups, weights)


@pytest.mark.parametrize("text", [STATIC, DYNAMIC, HIERARCHICAL])
def test_what_apache_servers_send_comes_out_as_it_went_in(text: bytes) -> None:
    """election.md 2: peers compare and store this text, so its spelling counts."""
    assert parse_members(text).text() == text


def test_a_configuration_knows_roles_addresses_and_version() -> None:
    """election.md 2."""
    members = parse_members(DYNAMIC + b"0")
    assert members.version == 0x1000000000
    assert members.voters == {1, 2, 3}
    assert members.observers == set()
    assert parse_members(STATIC).observers == {4}
    assert members.servers[2].quorum_addresses == [("127.0.0.1", 22802)]
    assert members.servers[2].election_addresses == [("127.0.0.1", 22812)]
    assert members.servers[2].client_address == "127.0.0.1:22822"
    assert parse_members(STATIC).servers[2].client_address == ""
    assert not members.hierarchical


@pytest.mark.parametrize(
    ("spelled", "full"),
    [
        ("a:1:2", "a:1:2:participant"),
        (" a : 1 : 2 : Observer ", "a:1:2:observer"),
        ("a:1:2;3", "a:1:2:participant;0.0.0.0:3"),
        ("a:1:2:observer;b:3", "a:1:2:observer;b:3"),
        ("a:1:2|b:3:4", "a:1:2|b:3:4:participant"),
        ("a:1:2:observer|b:3:4:observer", "a:1:2|b:3:4:observer"),
        ("a:1:2|b:3:4:observer;5", "a:1:2|b:3:4:observer;0.0.0.0:5"),
        ("[::1]:1:2;[::]:3", "[::1]:1:2:participant;[::]:3"),
        ("[fe80::1]:1:2|[fe80::2]:3:4", "[fe80::1]:1:2|[fe80::2]:3:4:participant"),
    ],
)
def test_every_spelling_of_a_server_is_read_and_has_one_full_form(spelled: str, full: str) -> None:
    member = parse_member(7, spelled)
    assert member.spec() == full
    assert parse_member(7, full).spec() == full


def test_brackets_belong_to_the_text_and_not_to_the_host() -> None:
    assert parse_member(1, "[::1]:1:2").quorum_addresses == [("::1", 1)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no server is a participant"),
        (b"server.1=a:1:2:observer", "no server is a participant"),
        (b"server.1", "line 1: 'server.1' is not key=value"),
        (b"\n\nserver.1=a:1:2\nfoo=1", "line 4: unknown key 'foo'"),
        (b"server.1=a:1:2\nserver.1=b:1:2", "line 2: 'server.1' is given twice"),
        (b"server.1=a:1:2\nserver.01=b:1:2", "line 2: 'server.01' is given twice"),
        (b"server.=a:1:2", "line 1: the server id: '' is not a number"),
        (b"server.-1=a:1:2", "the server id: '-1' is not a number"),
        (b"server.x=a:1:2", "the server id: 'x' is not a number"),
        (b"server.9223372036854775807=a:1:2", "is not a number from 0 to 9223372036854775806"),
        (b"server.1=a:1", "server.1: 'a:1' is not host:port:port"),
        (b"server.1=a:1:2:participant:5", "is not host:port:port"),
        (b"server.1=a:1:2:leader", "role 'leader' is neither"),
        (b"server.1=a:1:2:observer|b:1:2:participant", "different roles"),
        (b"server.1=:1:2", "':1:2' has no usable host"),
        (b"server.1=a b:1:2", "has no usable host"),
        (b"server.1=a:0:2", "port 0 cannot be reached"),
        (b"server.1=a:65536:2", "port: '65536' is not a number from 0 to 65535"),
        (b"server.1=a:1:2;", "port: '' is not a number"),
        (b"server.1=a:1:2;b:3:4", "client address 'b:3:4' is not port or host:port"),
        (b"server.1=a:1:2;3;4", "port: '3;4' is not a number"),
        (b"server.1=::1:1:2", "no usable host"),
        (b"server.1=[::1:1:2", "is not [IPv6 address]:port"),
        (b"server.1=[a]:1:2", "is not [IPv6 address]:port"),
        (b"server.1=" + b"|".join([b"a:1:2"] * 17), "more than 16 addresses"),
        (b"server.1=a:1:2\nversion=", "version '' is not hexadecimal"),
        (b"server.1=a:1:2\nversion=-1", "version '-1' is not hexadecimal"),
        (b"server.1=a:1:2\nversion=0x1", "version '0x1' is not hexadecimal"),
        (b"server.1=a:1:2\nversion=1_0", "version '1_0' is not hexadecimal"),
        (b"server.1=a:1:2\nversion=8000000000000000", "is not hexadecimal"),
        (b"server.1=a:1:2\nweight.1=1", "server 1 is in no group"),
        (b"server.1=a:1:2\nserver.2=a:1:2\ngroup.1=1", "server 2 is in no group"),
        (b"server.1=a:1:2\ngroup.1=1\ngroup.2=1", "server 1 is in group 1 and 2"),
        (b"server.1=a:1:2\ngroup.1=1\ngroup.01=2", "line 3: 'group.01' is given twice"),
        (b"server.1=a:1:2\ngroup.1=1:2", "names server 2, which has no server.2 line"),
        (b"server.1=a:1:2\ngroup.1=", "group.1: '' is not a number"),
        (b"server.1=a:1:2\ngroup.1=1\nweight.2=1", "names server 2"),
        (b"server.1=a:1:2\ngroup.1=1\nweight.1=-1", "weight.1: '-1' is not a number"),
        (b"server.1=a:1:2\ngroup.1=1\nweight.1=1000001", "is not a number from 0 to 1000000"),
        (b"server.1=a:1:2\ngroup.1=1\nweight.1=0", "every group weighs 0"),
        (b"server.1=a:1:2\nserver.2=a:1:2:observer\ngroup.1=1:2", "server 2, an observer"),
        (b"server.1=\xff:1:2", "not UTF-8 at byte 9"),
        (b"#" * (MEMBERS_TEXT_BYTES_MAX + 1), "has at most 524288"),
        (b"".join(b"server.%d=a:1:2\n" % i for i in range(SERVERS_MAX + 1)), "more than 1000 serv"),
        (b"server." + b"9" * 500_000 + b"=a:1:2", "9…"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_line_and_reason(
    text: bytes, reason: str
) -> None:
    """A16: a mismatch is reported loudly."""
    with pytest.raises(ConfigError) as caught:
        parse_members(text)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


def test_comments_blank_lines_and_windows_line_ends_mean_nothing() -> None:
    text = b"# ours\r\n\r\nserver.1 = a:1:2\r\n"
    assert parse_members(text).text() == b"server.1=a:1:2:participant\nversion=0"


def test_a_majority_is_more_than_half_of_the_voters() -> None:
    """election.md 5."""
    for count, needed in ((1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)):
        members = majority_of(*range(1, count + 1))
        assert members.is_quorum(set(range(1, needed + 1)))
        assert not members.is_quorum(set(range(1, needed)))


def test_only_voters_count() -> None:
    """election.md 5: observers and strangers add nothing."""
    members = parse_members(STATIC)
    assert not members.is_quorum({1, 4, 5, 99})
    assert members.is_quorum({1, 2, 4})
    assert not Members(0, {}).is_quorum({1})


def test_a_hierarchy_needs_the_heavier_half_of_most_groups() -> None:
    """election.md 5; groups of the captured configuration weigh 4 and 1."""
    members = parse_members(HIERARCHICAL)
    assert members.is_quorum({1, 2, 4})
    assert not members.is_quorum({1, 4})  # 2 of 4 is not more than half
    assert not members.is_quorum({1, 2, 3, 5})  # one group of two
    assert [members.weight(sid) for sid in (1, 2, 5)] == [2, 1, 0]
    assert majority_of(1).weight(1) == 1


def test_halves_are_of_the_weight_and_a_weight_of_three_needs_two() -> None:
    """election.md 5."""
    members = hierarchy({1: 1, 2: 1}, {1: 2, 2: 1})
    assert members.is_quorum({1})
    assert not members.is_quorum({2})


def test_a_group_that_weighs_nothing_is_not_counted() -> None:
    """election.md 5."""
    members = hierarchy({1: 1, 2: 2, 3: 3, 4: 3}, {1: 1, 2: 0, 3: 0, 4: 0})
    assert members.is_quorum({1})
    assert not members.is_quorum({2, 3, 4})


def test_a_voter_without_a_weight_line_weighs_one() -> None:
    """election.md 5; the text names every weight, as Apache's does."""
    members = parse_members(b"server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2\nweight.1=3")
    assert members.weight(2) == 1
    assert members.text().endswith(b"group.1=1:2\nweight.1=3\nweight.2=1\nversion=0")


def test_another_version_is_the_same_configuration_otherwise() -> None:
    members = parse_members(STATIC)
    renamed = members.with_version(0x1_0000_0000)
    assert renamed.text() == STATIC[:-1] + b"100000000"
    assert renamed.has_the_servers_of(members)
    assert not members.has_the_servers_of(parse_members(DYNAMIC))
    assert not majority_of(1, 2).has_the_servers_of(hierarchy({1: 1, 2: 1}, {1: 1, 2: 1}))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (DYNAMIC, 0x1_0000_0000),
        (STATIC, 0),
        (b"version=7fffffffffffffff", NUMBER_MAX),
        (b"version=ffffffffffffffff", -1),
        (b"version=", -1),
        (b"version=+1", -1),
        (b"version=1\nserver.1=a:1:2", -1),
        (b"xversion=1", -1),
        (b"", -1),
        (b"\xff\xfe", -1),
    ],
)
def test_a_version_can_be_read_without_the_rest(text: bytes, version: int) -> None:
    assert text_version(text) == version


@given(
    st.dictionaries(
        st.integers(1, 9), st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=6
    )
)
def test_two_quorums_always_share_a_server(layout: dict[int, tuple[int, int]]) -> None:
    """election.md 5: what Zab stands on, for majorities and for hierarchies."""
    groups = {sid: group for sid, (group, _) in layout.items()}
    weights = {sid: weight for sid, (_, weight) in layout.items()}
    for members in (majority_of(*layout), hierarchy(groups, weights)):
        sets = [set(c) for n in range(len(layout) + 1) for c in combinations(sorted(layout), n)]
        quorums = [s for s in sets if members.is_quorum(s)]
        assert all(a & b for a in quorums for b in quorums)


@given(st.binary(max_size=80) | st.text("server.1=:;|[]\n#gow", max_size=80).map(str.encode))
def test_hostile_bytes_are_refused_or_understood_and_never_crash(text: bytes) -> None:
    try:
        members = parse_members(text)
    except ConfigError:
        return
    assert parse_members(members.text()).text() == members.text()
