"""What words, mntr and the AdminServer say of an ensemble's members (admin.md 1.4, 1.5, 2.2).

Names and values were compared with those of four Apache servers 3.9.3 after the same requests.
"""

import json
import urllib.request
from collections.abc import Iterator

import pytest

from tests.ensembles import Ensemble, Member, ours
from tests.harness import create_body
from tests.ports import free_ports
from tests.server.member_steps import (
    EPHEMERAL,
    OP_CREATE,
    QUICK,
    ask,
    followers,
    number,
    session,
    value,
    zxid,
)
from tests.server.starting import until

LEADERS_OWN = {
    "learners",
    "synced_followers",
    "synced_non_voting_followers",
    "synced_observers",
    "pending_syncs",
    "leader_uptime",
    "last_proposal_size",
    "min_proposal_size",
    "max_proposal_size",
}


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """Three voters and an observer with AdminServers; on each a client with an ephemeral."""
    settings = {**QUICK, "admin.enableServer": "true", "localSessionsEnabled": "true"}
    settings["localSessionsUpgradingEnabled"] = "true"
    folder = tmp_path_factory.mktemp("four")
    ensemble = Ensemble(folder, [ours()] * 3, settings, [ours()])
    for member, port in zip(ensemble.all, free_ports(4), strict=True):
        member.config["admin.serverPort"] = port
    clients = []
    with ensemble.start():
        ensemble.wait_serving()
        for member in ensemble.all:
            client = session(member)
            clients.append(client)
            assert ask(client, 1, OP_CREATE, create_body(f"/n{member.sid}"))[1] == 0
            body = create_body(f"/e{member.sid}", b"x", EPHEMERAL)
            assert ask(client, 2, OP_CREATE, body)[1] == 0
        last = max(zxid(member) for member in ensemble.all)
        until(lambda: all(zxid(member) == last for member in ensemble.all))
        yield ensemble
        for client in clients:
            client.close()


def roles(ensemble: Ensemble) -> tuple[Member, Member, Member]:
    """The leader, a follower, the observer."""
    leader = ensemble.wait_serving()
    observer = ensemble[4]
    return leader, next(m for m in followers(ensemble, leader) if m is not observer), observer


def command(member: Member, name: str) -> dict[str, object]:
    url = f"http://127.0.0.1:{member.config['admin.serverPort']}/commands/{name}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, object] = json.loads(answer.read())
        assert found.pop("error") is None
        return found


def names(member: Member) -> set[str]:
    lines = member.word("mntr").decode().splitlines()
    return {line.partition("\t")[0].removeprefix("zk_") for line in lines}


def test_mntr_says_who_a_member_is(four: Ensemble) -> None:
    states = [
        (value(member, "server_state"), value(member, "peer_state"), number(member, "quorum_size"))
        for member in roles(four)
    ]
    assert states == [
        ("leader", "leading - broadcast", 3),
        ("follower", "following - broadcast", 3),
        ("observer", "observing - broadcast", 3),
    ]
    leader, follower, observer = roles(four)
    assert number(observer, "observer_master_id") == leader.sid
    assert "observer_master_id" not in names(leader) | names(follower)


def test_mntr_of_a_leader_says_who_follows(four: Ensemble) -> None:
    leader, follower, observer = roles(four)
    found = {name: number(leader, name) for name in LEADERS_OWN}
    assert found.pop("leader_uptime") > 0
    assert found == {
        "learners": 3,
        "synced_followers": 2,
        "synced_non_voting_followers": 0,
        "synced_observers": 1,
        "pending_syncs": 0,
        "last_proposal_size": 88,
        "min_proposal_size": 48,
        "max_proposal_size": 88,
    }
    assert not LEADERS_OWN & (names(follower) | names(observer))


def test_mntr_counts_what_a_role_has_done(four: Ensemble) -> None:
    """Twelve transactions: a create, an upgraded session and its ephemeral for each client."""
    counted = (
        "proposal_count",
        "commit_count",
        "learner_proposal_received_count",
        "learner_commit_received_count",
        "cnt_unavailable_time",
        "cnt_leader_unavailable_time",
        "cnt_follower_sync_time",
        "cnt_observer_sync_time",
    )
    found = [[number(member, name) for name in counted] for member in roles(four)]
    assert found == [
        [12, 12, 0, 0, 1, 1, 0, 0],
        [0, 0, 12, 12, 1, 0, 1, 0],
        [0, 0, 0, 12, 1, 0, 0, 1],
    ]
    for member in roles(four):  # who was slow to begin has looked more than once
        looked = number(member, "looking_count")
        assert looked == number(member, "cnt_election_time") >= 1
    leader, _, _ = roles(four)
    assert number(leader, "diff_count") + number(leader, "snap_count") == 3
    assert [number(member, "global_sessions") for member in four.all] == [4] * 4
    assert [number(member, "local_sessions") for member in four.all] == [0] * 4


def test_srvr_and_stat_of_a_leader_end_with_the_sizes_of_proposals(four: Ensemble) -> None:
    leader, follower, observer = roles(four)
    for word in ("srvr", "stat"):
        assert leader.word(word).endswith(b"\nProposal sizes last/min/max: 88/48/88\n")
        assert b"Proposal" not in follower.word(word) + observer.word(word)


def test_conf_goes_on_with_the_membership(four: Ensemble) -> None:
    leader, _, observer = roles(four)
    membership = "\n".join(
        f"server.{m.sid}=127.0.0.1:{m.quorum_port}:{m.election_port}:"
        + ("observer" if m is observer else "participant")
        for m in four.all
    )
    for member in (leader, observer):
        _, _, found = member.word("conf").decode().partition("clientPortListenBacklog=-1\n")
        assert found == (
            f"serverId={member.sid}\ninitLimit=20\nsyncLimit=10\nelectionAlg=3\n"
            f"electionPort={member.election_port}\nquorumPort={member.quorum_port}\n"
            f"peerType={int(member is observer)}\nmembership: \n{membership}\nversion=0"
        )


def test_dump_of_a_leader_knows_when_sessions_expire(four: Ensemble) -> None:
    leader, follower, _ = roles(four)
    lines = leader.word("dump").decode().splitlines()
    assert lines[:2] == ["SessionTracker dump:", "Local Session Sets (0)/(0):"]
    assert lines[2].startswith("Global Session Sets (")
    assert lines[2].endswith(")/(4):")
    lines = follower.word("dump").decode().splitlines()
    assert lines[2] == "Global Sessions(4):"
    assert all(line.endswith("\t10000ms") for line in lines[3:7])
    assert lines[3:7] == sorted(lines[3:7])
    assert lines[7] == "ephemeral nodes dump:"
    assert command(follower, "dump")["expiry_time_to_session_ids"] == {}
    assert command(leader, "dump")["expiry_time_to_session_ids"]


def test_the_admin_server_says_who_leads(four: Ensemble) -> None:
    leader = roles(four)[0]
    for member in four.all:
        assert command(member, "leader") == {
            "command": "leader",
            "is_leader": member is leader,
            "leader_id": leader.sid,
            "leader_ip": "127.0.0.1",
        }


def test_the_admin_server_lists_voters_and_observers(four: Ensemble) -> None:
    leader, follower, observer = roles(four)
    for member in four.all:
        view = command(member, "voting_view")["current_config"]
        assert view == {
            str(other.sid): {
                "server_addresses": [f"127.0.0.1:{other.quorum_port}"],
                "election_addresses": [f"127.0.0.1:{other.election_port}"],
                "client_address": "",
                "learner_type": "participant",
            }
            for other in four.all
            if other is not observer
        }
    assert command(follower, "observers")["observers"] == []
    found = command(leader, "observers")
    assert found["synced_observers"] == 1
    entries = found["observers"]
    assert isinstance(entries, list)
    assert entries[0]["sid"] == observer.sid
    assert entries[0]["remote_socket_address"].startswith("/127.0.0.1:")
    assert entries[0]["last_zxid"] == zxid(leader)
    assert entries[0]["queued_packets_size"] == 0


def test_the_admin_server_says_where_a_member_is_in_the_protocol(four: Ensemble) -> None:
    leader, _, observer = roles(four)
    for member in four.all:
        state = command(member, "zabstate")
        assert (state["myid"], state["is_leader"]) == (member.sid, member is leader)
        assert state["voting"] == (member is not observer)
        assert state["zabstate"] == "broadcast"
        assert (state["last_zxid"], state["zab_epoch"], state["zab_counter"]) == (
            f"{zxid(member):#x}",
            1,
            12,
        )
        address = state["quorum_address"]
        assert isinstance(address, dict)
        assert address["all_addresses"] == [f"127.0.0.1:{member.quorum_port}"]
    stats = command(leader, "server_stats")
    assert stats["proposal_stats"] == {
        "last_buffer_size": 88,
        "min_buffer_size": 48,
        "max_buffer_size": 88,
    }
    assert "proposal_stats" not in command(observer, "server_stats")


def test_prometheus_has_the_numbers_of_a_leader(four: Ensemble) -> None:
    leader = roles(four)[0]
    url = f"http://127.0.0.1:{leader.config['admin.serverPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    for line in ("synced_followers 2", "quorum_size 3", "proposal_count 12", "learners 3"):
        assert line in lines


def test_a_member_goes_on_without_its_admin_port(four: Ensemble) -> None:
    """Where a server that stands alone ends: an ensemble may need this one for its quorum."""
    leader, follower, _ = roles(four)
    own = follower.config["admin.serverPort"]
    follower.stop()
    follower.config["admin.serverPort"] = leader.config["admin.serverPort"]
    follower.start(four.all)
    four.wait_serving()
    assert f"admin port 127.0.0.1:{leader.config['admin.serverPort']}" in follower.log()
    follower.stop()
    follower.config["admin.serverPort"] = own
    follower.start(four.all)
    four.wait_serving()


def test_the_last_snapshot_is_known_after_a_restart(four: Ensemble) -> None:
    """And the counts of roles begin anew."""
    _, follower, _ = roles(four)
    before = command(follower, "last_snapshot")
    assert before["timestamp"] != -1
    follower.stop()
    follower.start(four.all)
    four.wait_serving()
    assert command(follower, "last_snapshot")["zxid"] == before["zxid"]
    assert number(follower, "learner_commit_received_count") == 0
