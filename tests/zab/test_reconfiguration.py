"""What a reconfig request makes of a configuration, and who leads afterwards (client.md 11)."""

import pytest

from ensemble.errors import KeeperError
from ensemble.wire import codes
from ensemble.zab.members import SERVERS_MAX, Members, parse_members
from ensemble.zab.reconfiguration import next_leader, next_members, remains_leader

# Captured from Apache ZooKeeper 3.9.3, quorum recordings 19 to 25
THREE = (
    b"server.1=127.0.0.1:22801:22811:participant;127.0.0.1:22821\n"
    b"server.2=127.0.0.1:22802:22812:participant;127.0.0.1:22822\n"
    b"server.3=127.0.0.1:22803:22813:participant;127.0.0.1:22823\n"
    b"version=100000000"
)
FOURTH = "127.0.0.1:22804:22814:observer;127.0.0.1:22824"
WITH_FOURTH = THREE.replace(b"version=100000000", f"server.4={FOURTH}\nversion=".encode())
GROUPS = THREE.replace(b"version", b"group.1=1:2:3\nversion")


def following(
    current: bytes = THREE,
    joining: str | None = None,
    leaving: str | None = None,
    members: str | None = None,
    voters_min: int = 2,
) -> bytes:
    made = next_members(parse_members(current), joining, leaving, members, 0x100000002, voters_min)
    return made.text()


def code_of(**request: str | None) -> int:
    with pytest.raises(KeeperError) as error:
        following(**request)  # type: ignore[arg-type]
    return error.value.code


def test_a_server_joins_as_captured() -> None:
    """Recording 21."""
    assert following(joining=f"server.4={FOURTH}") == WITH_FOURTH + b"100000002"


def test_a_server_that_joins_again_takes_its_own_place() -> None:
    """Recording 23: an observer becomes a participant."""
    promoted = FOURTH.replace("observer", "participant")
    text = following(WITH_FOURTH + b"100000002", joining=f"server.4={promoted}")
    assert text == WITH_FOURTH.replace(b"observer", b"participant") + b"100000002"


def test_whoever_leaves_goes_before_anybody_joins() -> None:
    moved = "server.3=127.0.0.1:9:10:participant;127.0.0.1:11"
    assert moved.encode() in following(joining=moved, leaving="3")


def test_leaving_is_a_list_and_strangers_in_it_are_ignored() -> None:
    assert b"server.3" not in following(leaving=" 3, ,99,-1")
    assert following(leaving="99") == THREE.replace(b"100000000", b"100000002")


def test_nothing_at_all_is_a_new_version_of_the_same() -> None:
    assert following() == THREE.replace(b"100000000", b"100000002")


def test_the_whole_configuration_comes_by_commas_or_newlines() -> None:
    """Recording 25."""
    lines = WITH_FOURTH.decode().split("\n")[:4]
    assert following(members=",".join(lines)) == WITH_FOURTH + b"100000002"
    assert following(members="\n".join(lines)) == WITH_FOURTH + b"100000002"


def test_the_version_is_that_of_the_transaction_whatever_the_text_says() -> None:
    assert following(members=THREE.decode()).endswith(b"version=100000002")


def test_a_role_and_a_client_host_are_filled_in() -> None:
    text = following(joining="server.9=host:1:2;2181")
    assert b"server.9=host:1:2:participant;0.0.0.0:2181" in text


@pytest.mark.parametrize(
    "joining",
    [
        "junk",
        "server.4=",
        "server.4=127.0.0.1:21854:21864",
        "server.4=127.0.0.1:21854;21844",
        "server.4=127.0.0.1:1:1;21844",
        "server.4=127.0.0.1:1:2:leader;21844",
        "server.4=127.0.0.1:1:2;21844=3",
        "server.-4=127.0.0.1:1:2;21844",
    ],
)
def test_who_joins_must_say_three_ports_and_who_it_is(joining: str) -> None:
    assert code_of(joining=joining) == codes.BAD_ARGUMENTS


@pytest.mark.parametrize("digits", ["x", "", "1-5", "0x1", "9" * 30, "٣"])
def test_a_server_id_that_is_no_number_is_an_error_of_its_own(digits: str) -> None:
    """Captured: Java fails to read the request then."""
    assert code_of(joining=f"server.{digits}=h:1:2;3") == codes.MARSHALLING_ERROR
    if digits:
        assert code_of(leaving=f"1,{digits}") == codes.MARSHALLING_ERROR


@pytest.mark.parametrize("address", ["zk1:1:9;8", "zk1:9:2;8", "ZK1:8:9;3", "zk2:8:9;zk1:3"])
def test_nobody_takes_an_address_of_another(address: str) -> None:
    current = b"server.1=zk1:1:2;zk1:3\nserver.2=zk3:1:2;3"
    joining = f"server.5={address}".replace(";3", ";zk1:3")
    with pytest.raises(KeeperError, match=r"is server\.1's"):
        following(current, joining=joining)


def test_loopback_and_wildcard_addresses_may_be_the_same() -> None:
    """Captured: a joiner with a member's quorum port on 127.0.0.1 is taken."""
    assert b"server.4" in following(joining="server.4=127.0.0.1:22801:22864;22821")


@pytest.mark.parametrize(
    "members",
    ["garbage", "server.1=h:1:2", "server.1=h:1:1,server.2=h:3:4", "server.1=h:1:2:observer", ""],
)
def test_a_bad_whole_configuration_is_refused(members: str) -> None:
    assert code_of(members=members) == codes.BAD_ARGUMENTS


def test_two_participants_have_to_be_left_or_one_without_standalone() -> None:
    assert code_of(leaving="1,2") == codes.BAD_ARGUMENTS
    assert b"server.3" in following(leaving="1,2", voters_min=1)
    with pytest.raises(KeeperError, match="0 participants"):
        following(leaving="1,2,3", voters_min=1)


def test_groups_change_as_a_whole_only() -> None:
    with pytest.raises(KeeperError, match="whole configuration"):
        following(GROUPS, leaving="3")
    assert following(GROUPS, members=THREE.decode()) == THREE.replace(b"100000000", b"100000002")
    hierarchical = following(members=GROUPS.decode())
    assert b"group.1=1:2:3" in hierarchical


def test_there_is_a_bound_on_servers() -> None:
    many = ",".join(f"server.{n}=h{n}:1:2;3" for n in range(1, SERVERS_MAX + 2))
    with pytest.raises(KeeperError, match=f"more than {SERVERS_MAX} servers"):
        following(joining=many)


# Who leads


def of(text: str) -> Members:
    lines = [f"server.{n}=h{n}:1:2:{role}" for n, role in (p.split(":") for p in text.split())]
    return parse_members("\n".join(lines).encode())


OLD = of("1:participant 2:participant 3:participant")


def test_a_leader_that_stays_a_voter_leads_on() -> None:
    assert next_leader(1, OLD, of("1:participant 4:participant"), {4: 9}) == 1


def test_a_leader_that_moves_or_loses_its_vote_does_not() -> None:
    assert not remains_leader(1, OLD, of("1:observer 2:participant"))
    assert not remains_leader(1, OLD, of("2:participant 3:participant"))
    moved = parse_members(b"server.1=elsewhere:1:2\nserver.2=h2:1:2\nserver.3=h3:1:2")
    assert not remains_leader(1, OLD, moved)
    assert not remains_leader(4, OLD, OLD)


def test_the_longest_log_leads_next_and_the_smallest_id_among_equals() -> None:
    new = of("2:participant 3:participant")
    assert next_leader(1, OLD, new, {2: 5, 3: 6}) == 3
    assert next_leader(1, OLD, new, {2: 6, 3: 6}) == 2


def test_only_voters_with_weight_can_lead_next() -> None:
    new = of("2:observer 3:participant")
    assert next_leader(1, OLD, new, {2: 9, 3: 5, 7: 9}) == 3
    weighed = parse_members(
        b"server.2=h2:1:2\nserver.3=h3:1:2\ngroup.1=2:3\nweight.2=0\nweight.3=1"
    )
    assert next_leader(1, OLD, weighed, {2: 9, 3: 5}) == 3


def test_the_only_voter_that_moves_finds_itself() -> None:
    moved = parse_members(b"server.1=elsewhere:1:2")
    assert next_leader(1, OLD, moved, {}) == 1
