"""What words, mntr and the AdminServer say of an ensemble's member.

Source: admin.md 1.4, 1.5 and 2.2. Everything is read when it is asked for; a server that stands
alone has nothing of it.
"""

from typing import TYPE_CHECKING

from ensemble.wire import peers
from ensemble.zab.leader import Leader
from ensemble.zab.learner_link import FOLLOWING, LearnerLink
from ensemble.zab.members import Member
from ensemble.zab.sizes import ProposalSizes

if TYPE_CHECKING:
    from ensemble.server.node import Node

NO_LEADER = -1


def leading(node: "Node") -> Leader | None:
    """The role, where this member leads and serves."""
    if node.replica is None or node.state != peers.LEADING:
        return None
    return node.replica.get_peer().leader


def synced(leader: Leader) -> list[LearnerLink]:
    """The learners that have this leader's history and get what it commits."""
    return [learner for learner in leader.by_sid.values() if learner.stage == FOLLOWING]


def local_sessions(node: "Node") -> int:
    return 0 if node.local_sessions is None else len(node.local_sessions.tracker)


# mntr and metrics


def peer_state(node: "Node") -> dict[str, int | str]:
    """The lines behind `server_state`."""
    if node.replica is None:
        return {}
    peer = node.replica.get_peer()
    state = "settling" if peer.state < 0 else peers.STATE_NAMES[int(peer.state)]
    found: dict[str, int | str] = {"peer_state": f"{state} - {peer.phase_name()}"}
    if node.state == peers.OBSERVING and peer.learner is not None:
        found["observer_master_id"] = int(peer.learner.leader_sid)
    return found


def gauges(node: "Node") -> dict[str, int | str]:
    if node.replica is None:
        return {}
    peer = node.replica.get_peer()
    found: dict[str, int | str] = {"quorum_size": len(peer.members.voters)}
    leader = leading(node)
    if leader is None:
        return found
    learners = synced(leader)
    followers = [learner for learner in learners if not learner.is_observer]
    voters = peer.members.voters
    found["learners"] = len(leader.learners)
    found["synced_followers"] = len(followers)
    found["synced_non_voting_followers"] = sum(f.sid not in voters for f in followers)
    found["synced_observers"] = len(learners) - len(followers)
    found["pending_syncs"] = len(leader.syncs)
    found["leader_uptime"] = int(peer.now_ms - leader.started_ms)
    found["last_proposal_size"] = int(leader.sizes.last)
    found["min_proposal_size"] = int(leader.sizes.least)
    found["max_proposal_size"] = int(leader.sizes.largest)
    return found


def counters(node: "Node") -> dict[str, int]:
    if node.replica is None:
        return {}
    counts = node.replica.get_peer().count()
    return {
        "looking_count": int(counts.searches),
        "proposal_count": int(counts.proposals),
        "commit_count": int(counts.commits),
        "learner_proposal_received_count": int(counts.proposals_learned),
        "learner_commit_received_count": int(counts.commits_learned),
        "diff_count": int(counts.diffs),
        "snap_count": int(counts.snapshots),
    }


# Words


def sizes(node: "Node") -> ProposalSizes | None:
    leader = leading(node)
    return None if leader is None else leader.sizes


def proposal_line(node: "Node") -> str:
    """The last line of srvr and stat, on a leader."""
    found = sizes(node)
    if found is None:
        return ""
    return f"Proposal sizes last/min/max: {found.last}/{found.least}/{found.largest}\n"


def conf_lines(node: "Node") -> str:
    """What conf goes on with; a read-only server knows of itself only. No newline at the end."""
    options = node.config.quorum
    if options is None or node.replica is None:
        return ""
    members = node.replica.get_peer().members
    own = members.servers.get(options.sid, options.member)
    lines = [
        f"initLimit={options.timing.init_limit}",
        f"syncLimit={options.timing.sync_limit}",
        "electionAlg=3",
        f"electionPort={own.election_addresses[0][1]}",
        f"quorumPort={own.quorum_addresses[0][1]}",
        f"peerType={int(own.is_observer)}",
    ]
    if not node.pipeline.read_only:
        lines += ["membership: ", members.text().decode()]
    return "\n".join(lines)


# The AdminServer's objects


def leader(node: "Node") -> dict[str, object]:
    """Who leads; empty for a server that stands alone."""
    if node.replica is None:
        return {}
    peer = node.replica.get_peer()
    sid = NO_LEADER
    if node.state == peers.LEADING:
        sid = int(peer.sid)
    elif node.state != peers.LOOKING and peer.learner is not None:
        sid = int(peer.learner.leader_sid)
    member = peer.members.servers.get(sid)
    return {
        "is_leader": node.state == peers.LEADING,
        "leader_id": sid,
        "leader_ip": "" if member is None else member.quorum_addresses[0][0],
    }


def observers(node: "Node") -> list[dict[str, object]]:
    """Those that learn from this leader. Packets are not counted one by one here."""
    leader = leading(node)
    if leader is None:
        return []
    return [
        {
            "remote_socket_address": f"/{learner.link.describe()}",
            "sid": int(learner.sid),
            "queued_packets_size": len(learner.link.out),
            "last_zxid": int(leader.broadcast.committed),
        }
        for learner in synced(leader)
        if learner.is_observer
    ]


def address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def voting_view(node: "Node") -> dict[str, object]:
    """The voters of the configuration in force."""
    if node.replica is None:
        return {}
    members = node.replica.get_peer().members
    return {
        str(sid): {
            "server_addresses": [address(*pair) for pair in member.quorum_addresses],
            "election_addresses": [address(*pair) for pair in member.election_addresses],
            "client_address": member.client_address,
            "learner_type": "participant",
        }
        for sid, member in sorted(members.servers.items())
        if not member.is_observer
    }


def proposal_stats(node: "Node") -> dict[str, object]:
    found = sizes(node)
    if found is None:
        return {}
    return {
        "proposal_stats": {
            "last_buffer_size": int(found.last),
            "min_buffer_size": int(found.least),
            "max_buffer_size": int(found.largest),
        }
    }


def zabstate(node: "Node") -> dict[str, object]:
    """Where this member is in the protocol; answered also while it serves nobody."""
    if node.replica is None:
        return {"voting": False, "zabstate": ""}
    peer = node.replica.get_peer()
    own = peer.members.servers.get(int(peer.sid))
    zxid = int(node.tree.last_zxid)
    return {
        "myid": int(peer.sid),
        "is_leader": node.state == peers.LEADING,
        "quorum_address": addresses(own, quorum=True),
        "election_address": addresses(own, quorum=False),
        "client_address": "" if own is None else own.client_address,
        "voting": own is not None and not own.is_observer,
        "last_zxid": f"{zxid:#x}",
        "zab_epoch": zxid >> 32,
        "zab_counter": zxid & 0xFFFFFFFF,
        "zabstate": peer.phase_name(),
    }


def addresses(member: Member | None, quorum: bool) -> dict[str, object]:
    """A server's addresses, one for each network; which can be reached is not tried here."""
    pairs: list[tuple[str, int]] = []
    if member is not None:
        pairs = member.quorum_addresses if quorum else member.election_addresses
    return {
        "empty": not pairs,
        "all_addresses": [address(*pair) for pair in pairs],
        "all_ports": [port for _, port in pairs],
        "all_host_strings": [host for host, _ in pairs],
    }
