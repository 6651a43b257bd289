"""The quorum port with real sockets: reaching a leader that is late, and who is let in."""

from collections.abc import Iterator

import pytest

from ensemble.server.names import Address
from ensemble.server.peer_listener import STRANGERS_PER_HOST_MAX
from ensemble.server.peer_security import PeerSecurity
from ensemble.server.peer_socket import PeerHandler, PeerSocket
from ensemble.server.quorum_port import CONNECT_PAUSES_MS, LINKS_PER_HOST_MAX, QuorumPort
from ensemble.zab.members import Member, Members
from tests.ports import free_port
from tests.server.peer_world import HOST, Recorder, World

SASL = PeerSecurity(user="quser", password="qpass", users={"quser": "qpass"}, sasl_required=True)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


class Server:
    """A quorum port, and what it told."""

    def __init__(self, world: World, sid: int, security: PeerSecurity | None = None) -> None:
        self.sid = sid
        self.world = world
        self.net = world.net()
        self.accepted: list[tuple[PeerSocket, Recorder]] = []
        self.connected: list[tuple[PeerSocket, Recorder]] = []
        self.failed: list[tuple[int, str]] = []
        self.refused: list[str] = []
        self.port = QuorumPort(
            sid,
            self.net,
            security or PeerSecurity(),
            self.on_accepted,
            self.on_connected,
            lambda sid, reason: self.failed.append((sid, reason)),
            lambda who, why: self.refused.append(f"{who}: {why}"),
            connect_ms=5_000,
            handshake_ms=5_000,
        )

    def on_accepted(self, sock: PeerSocket) -> PeerHandler:
        self.accepted.append((sock, Recorder()))
        return self.accepted[-1][1]

    def on_connected(self, sid: int, sock: PeerSocket) -> PeerHandler:
        self.connected.append((sock, Recorder()))
        return self.connected[-1][1]


def members_at(addresses: dict[int, Address]) -> Members:
    return Members(
        0, {sid: Member(sid, [address], [(HOST, 1)]) for sid, address in addresses.items()}
    )


def start(
    world: World, security: PeerSecurity | None = None, learners: PeerSecurity | None = None
) -> tuple[Server, Server]:
    """A leader, 1, and a learner, 2."""
    leader = Server(world, 1, security)
    learner = Server(world, 2, learners or security)
    addresses = {1: (HOST, free_port()), 2: (HOST, free_port())}
    for server in (leader, learner):
        server.port.set_members(members_at(addresses))
    return leader, learner


@pytest.mark.parametrize("security", [PeerSecurity(), SASL])
def test_a_learner_reaches_the_leader_and_both_talk(world: World, security: PeerSecurity) -> None:
    leader, learner = start(world, security)
    leader.port.listen()
    learner.port.connect(1, 5_000)
    world.until(lambda: len(learner.connected) == 1)
    sock, heard = learner.connected[0]
    sock.out.write(b"FOLLOWERINFO")
    sock.flush()
    world.until(lambda: len(leader.accepted) == 1)
    other, other_heard = leader.accepted[0]
    assert other_heard.data == b"FOLLOWERINFO"
    assert other.user == security.user
    other.out.write(b"LEADERINFO")
    other.flush()
    world.until(lambda: heard.data == b"LEADERINFO")
    world.pass_ms(60_000)
    assert sock.is_alive(), "no deadline is left over"
    assert other.is_alive()


def test_a_leader_that_opens_its_port_a_moment_late_is_reached(world: World) -> None:
    """election.md 4: a follower relies on the retries."""
    leader, learner = start(world)
    learner.port.connect(1, 5_000)
    attempt = learner.port.attempt
    assert attempt is not None
    world.pass_until(lambda: attempt.tries >= 2, 5_000)
    leader.port.listen()
    world.pass_until(lambda: len(learner.connected) == 1, 5_000)


def test_a_leader_that_never_opens_it_is_given_up(world: World) -> None:
    leader, learner = start(world)
    learner.port.connect(1, 5_000)
    world.pass_until(lambda: len(learner.failed) == 1, 5_000)
    sid, reason = learner.failed[0]
    assert sid == 1
    assert reason.startswith(f"{len(CONNECT_PAUSES_MS) + 1} attempts: ")
    assert "Connection refused" in reason
    assert learner.port.attempt is None
    del leader


def test_A15_connecting_ends_within_its_limit_however_the_leader_hangs(world: World) -> None:
    """election.md 4: all attempts within initLimit."""
    _, learner = start(world)
    learner.port.set_members(members_at({1: world.black_hole(), 2: (HOST, 1)}))
    learner.port.connect(1, 3_000)
    world.pass_ms(2_900)
    assert learner.failed == []
    world.pass_ms(200)
    assert len(learner.failed) == 1
    assert "does not answer" in learner.failed[0][1]


def test_a_leader_in_no_configuration_fails_at_once(world: World) -> None:
    _, learner = start(world)
    learner.port.connect(9, 30_000)
    world.pass_until(lambda: len(learner.failed) == 1, 30_000)
    assert "no address" in learner.failed[0][1]


def test_cancelled_attempts_say_nothing(world: World) -> None:
    _, learner = start(world)
    learner.port.connect(1, 5_000)
    world.turn()
    learner.port.cancel()
    world.pass_ms(1_000)
    world.pass_ms(1_000)
    assert learner.failed == []
    assert len(learner.net.sockets) == 0


def test_E3_a_learner_with_a_wrong_password_never_becomes_a_link(world: World) -> None:
    wrong = PeerSecurity(user="quser", password="guess")
    leader, learner = start(world, SASL, wrong)
    leader.port.listen()
    learner.port.connect(1, 5_000)
    world.pass_until(lambda: len(learner.failed) == 1, 5_000)
    assert "does not accept this server's SASL user" in learner.failed[0][1]
    assert "unknown user or wrong password" in leader.refused[0]
    assert leader.accepted == []


def test_E3_a_learner_without_sasl_never_becomes_a_link_where_it_is_required(world: World) -> None:
    leader, learner = start(world, SASL, PeerSecurity())
    leader.port.listen()
    learner.port.connect(1, 5_000)
    world.until(lambda: len(learner.connected) == 1)
    sock, heard = learner.connected[0]
    sock.out.write(b"\0\0\0\x0b" + b"\0" * 16)
    sock.flush()
    world.until(lambda: len(heard.closed) == 1)
    assert leader.accepted == []
    assert "SASL is expected" in leader.refused[0]


def test_a_learner_without_sasl_is_let_in_where_it_may_be_missing(world: World) -> None:
    """quorum.auth.serverRequireSasl=false: the way to turn it on, one server after the other."""
    leader, learner = start(
        world, PeerSecurity(users={"quser": "qpass"}, sasl_required=False), PeerSecurity()
    )
    leader.port.listen()
    learner.port.connect(1, 5_000)
    world.until(lambda: len(learner.connected) == 1)
    learner.connected[0][0].out.write(b"\0\0\0\x0bplain")
    learner.connected[0][0].flush()
    world.until(lambda: len(leader.accepted) == 1)
    assert leader.accepted[0][1].data == b"\0\0\0\x0bplain"
    assert leader.accepted[0][0].user == ""


def test_a_learner_that_stays_silent_is_no_link_and_makes_room(world: World) -> None:
    leader, learner = start(world)
    leader.port.listen()
    address = leader.port.listener.addresses()[0] if leader.port.listener else (HOST, 0)
    silent = [world.connect(address) for _ in range(STRANGERS_PER_HOST_MAX + 4)]
    world.until(lambda: world.ended(silent[0]))
    learner.port.connect(1, 5_000)
    world.until(lambda: len(learner.connected) == 1)
    learner.connected[0][0].out.write(b"x")
    learner.connected[0][0].flush()
    world.until(lambda: len(leader.accepted) == 1)
    world.pass_ms(5_000)
    world.until(lambda: all(world.ended(sock) for sock in silent))
    assert leader.accepted[0][0].is_alive()


def test_so_many_links_of_one_address_and_no_more(world: World) -> None:
    leader, _ = start(world)
    leader.port.listen()
    assert leader.port.listener is not None
    address = leader.port.listener.addresses()[0]
    for count in range(1, LINKS_PER_HOST_MAX + 1):
        world.connect(address).sendall(b"x")
        world.until(lambda count=count: len(leader.accepted) == count)
    late = world.connect(address)
    late.sendall(b"x")
    world.until(lambda: world.ended(late))
    assert f"{LINKS_PER_HOST_MAX} links of {HOST} already" in leader.refused[0]
    leader.accepted[0][0].close()
    world.connect(address).sendall(b"x")
    world.until(lambda: len(leader.accepted) == LINKS_PER_HOST_MAX + 1)


def test_a_closed_port_refuses_and_the_links_live(world: World) -> None:
    """election.md 4: it is open only while its server leads."""
    leader, learner = start(world)
    leader.port.listen()
    leader.port.listen()
    learner.port.connect(1, 5_000)
    world.until(lambda: len(learner.connected) == 1)
    learner.connected[0][0].out.write(b"x")
    learner.connected[0][0].flush()
    world.until(lambda: len(leader.accepted) == 1)
    leader.port.stop_listening()
    leader.port.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        world.connect(leader.port.addresses(1)[0])
    assert leader.accepted[0][0].is_alive()
    leader.port.listen()
    world.connect(leader.port.addresses(1)[0])
