"""A tiny world for elections: servers, connections and instants from one seed. No real time.

Each pair of servers has one connection. Per direction: first in, first out, a slot of one for what
is not written yet, and the last message again when a connection starts (election.md 1.5). A break
loses what is under way. A cut direction delivers late: the bytes wait, as in TCP.

Of Zab there is only what makes servers keep or leave their roles: a leader needs a quorum that has
come to it in time, a follower needs its leader.
"""

import heapq
import random

from ensemble.wire.peers import FOLLOWING, LEADING, LOOKING, Notification
from ensemble.zab.election import Effect, Elected, Election, Send, Vote
from ensemble.zab.members import Members

JOIN_MS = 500  # a follower looks for its leader so long, and a leader waits for followers
LOST_MS = 300  # until a role notices that the other end is gone
CHECK_MS = 50


class Direction:
    """What goes from one server to another."""

    def __init__(self) -> None:
        self.free_ms = 0  # the last message is written
        self.arrival_ms = 0  # of the last message under way
        self.slot: Notification | None = None
        self.last: Notification | None = None
        self.is_cut = False
        self.held: list[Notification] = []


class Server:
    """One server: what it has on disk, and its election while it runs."""

    def __init__(self, sid: int, epoch: int, zxid: int) -> None:
        self.sid = sid
        self.epoch = epoch
        self.zxid = zxid
        self.election: Election | None = None
        self.life = 0
        self.since_ms = 0  # in the role, or without the other end of it
        self.is_joined = False  # as a follower
        self.is_established = False
        self.heard: dict[int, Notification] = {}  # the last message of each peer
        self.votes: dict[tuple[int, int], Notification] = {}  # and that of each round


class World:
    def __init__(self, members: Members, seed: int, delay_ms: int) -> None:
        self.members = members
        self.random = random.Random(seed)
        self.delay_ms = delay_ms
        self.now_ms = 0
        self.events: list[tuple[int, int, str, tuple[int, ...], Notification | None]] = []
        self.count = 0
        self.servers: dict[int, Server] = {}
        for sid in sorted(members.servers):
            epoch = self.random.randint(0, 3)
            self.servers[sid] = Server(sid, epoch, epoch << 32 | self.random.randint(0, 3))
        sids = sorted(self.servers)
        self.directions = {(a, b): Direction() for a in sids for b in sids if a != b}
        self.connections = {(a, b): 0 for a in sids for b in sids if a < b}  # odd: stands
        # (round, leader, supporters) of each search that ended by votes of its own round
        self.decisions: list[tuple[int, int, frozenset[int]]] = []
        self.delivered = 0

    # What a test does

    def start(self, sid: int) -> None:
        server = self.servers[sid]
        server.election = Election(sid, self.members)
        server.life += 1
        self._look(server)
        for other in self.running():
            if other != sid:
                self.connect(sid, other)
        self._at(CHECK_MS, "check", (sid, server.life))

    def crash(self, sid: int) -> None:
        server = self.servers[sid]
        server.election = None
        server.heard.clear()
        server.votes.clear()
        server.life += 1
        server.is_joined = server.is_established = False
        for other in self.servers:
            if other != sid:
                self.disconnect(sid, other)
                self.directions[sid, other].last = self.directions[sid, other].slot = None

    def connect(self, a: int, b: int) -> None:
        pair = (min(a, b), max(a, b))
        if self.connections[pair] % 2 or not {a, b} <= set(self.running()):
            return
        self.connections[pair] += 1
        for x, y in ((a, b), (b, a)):
            self._at(self.random.randint(0, 20), "reachable", (x, y, self.connections[pair]))
            direction = self.directions[x, y]
            again = direction.slot or direction.last
            if again is not None:
                self._transmit(x, y, again)

    def disconnect(self, a: int, b: int) -> None:
        pair = (min(a, b), max(a, b))
        if self.connections[pair] % 2:
            self.connections[pair] += 1
            for x, y in ((a, b), (b, a)):
                direction = self.directions[x, y]
                direction.held.clear()
                direction.free_ms = direction.arrival_ms = self.now_ms
                self._at(self.random.randint(0, 20), "unreachable", (x, y, self.connections[pair]))

    def cut(self, a: int, b: int) -> None:
        """Nothing from `a` arrives at `b` until `heal`."""
        self.directions[a, b].is_cut = True

    def heal(self, a: int, b: int) -> None:
        direction = self.directions[a, b]
        direction.is_cut = False
        held = direction.held
        direction.held = []
        for n in held:
            self._deliver_later(a, b, n)

    def run(self, until_ms: int) -> None:
        while self.events and self.events[0][0] <= until_ms:
            self.now_ms, _, kind, who, n = heapq.heappop(self.events)
            self._happen(kind, who, n)
        self.now_ms = until_ms

    def running(self) -> list[int]:
        return [sid for sid, server in self.servers.items() if server.election is not None]

    def leaders(self) -> set[int]:
        """Those that are established."""
        return {sid for sid in self.running() if self.servers[sid].is_established}

    def followed(self) -> dict[int, int]:
        """Each running server's leader, where it has joined one or is an established one."""
        found = {}
        for sid in self.running():
            server = self.servers[sid]
            if server.is_joined or server.is_established:
                assert server.election is not None
                found[sid] = server.election.vote.leader
        return found

    # How it comes about

    def _at(
        self, after_ms: int, kind: str, who: tuple[int, ...], n: Notification | None = None
    ) -> None:
        self.count += 1
        heapq.heappush(self.events, (self.now_ms + after_ms, self.count, kind, who, n))

    def _happen(self, kind: str, who: tuple[int, ...], n: Notification | None) -> None:
        server = self.servers[who[0]]
        if kind == "deliver":
            a, b, connection = who
            if self.connections[min(a, b), max(a, b)] != connection:
                return
            assert n is not None
            if self.directions[a, b].is_cut:
                self.directions[a, b].held.append(n)
                return
            receiver = self.servers[b]
            assert receiver.election is not None
            self.delivered += 1
            receiver.heard[a] = receiver.votes[a, n.round] = n
            self._perform(receiver, receiver.election.on_notification(a, n, self.now_ms))
            return
        election = server.election
        if election is None:
            return
        if kind == "write":
            self._write(who[0], who[1])
        elif kind == "timer":
            if server.life == who[1] and self.now_ms >= election.deadline_ms:
                self._perform(server, election.on_time(self.now_ms))
        elif kind == "check":
            if server.life == who[1]:
                self._check(server)
                self._at(CHECK_MS, "check", who)
        elif self.connections[min(who[:2]), max(who[:2])] == who[2]:
            if kind == "reachable":
                election.on_reachable(who[1])
            else:
                self._perform(server, election.on_unreachable(who[1], self.now_ms))

    def _perform(self, server: Server, effects: list[Effect]) -> None:
        assert server.election is not None
        for effect in effects:
            if isinstance(effect, Send):
                self.directions[server.sid, effect.sid].slot = effect.notification
                self._write(server.sid, effect.sid)
            elif isinstance(effect, Elected):
                server.since_ms = self.now_ms
                self._record(server, effect.vote)
        deadline_ms = server.election.deadline_ms
        if server.election.state == LOOKING:
            self._at(max(0, deadline_ms - self.now_ms), "timer", (server.sid, server.life))

    def _record(self, server: Server, vote: Vote) -> None:
        """Check by what was heard alone that there was a reason to end the search."""
        same = {
            sid
            for (sid, _), n in server.votes.items()
            if (n.leader, n.zxid, n.peer_epoch, n.round)
            == (vote.leader, vote.zxid, vote.peer_epoch, vote.round)
        }
        supporters = frozenset(same | {server.sid})
        if self.members.is_quorum(set(supporters)):
            self.decisions.append((vote.round, vote.leader, supporters))
        elif vote.leader != server.sid:
            assert server.heard[vote.leader].state == LEADING, "followers alone were believed"

    def _write(self, a: int, b: int) -> None:
        direction = self.directions[a, b]
        if direction.slot is None or not self.connections[min(a, b), max(a, b)] % 2:
            return
        if self.now_ms < direction.free_ms:
            self._at(direction.free_ms - self.now_ms, "write", (a, b))
            return
        self._transmit(a, b, direction.slot)

    def _transmit(self, a: int, b: int, n: Notification) -> None:
        direction = self.directions[a, b]
        direction.slot = None
        direction.last = n
        direction.free_ms = self.now_ms + self.random.randint(0, 5)
        self._deliver_later(a, b, n)

    def _deliver_later(self, a: int, b: int, n: Notification) -> None:
        direction = self.directions[a, b]
        arrival_ms = self.now_ms + self.random.randint(0, self.delay_ms)
        direction.arrival_ms = max(direction.arrival_ms, arrival_ms)
        connection = self.connections[min(a, b), max(a, b)]
        self._at(direction.arrival_ms - self.now_ms, "deliver", (a, b, connection), n)

    def _look(self, server: Server) -> None:
        assert server.election is not None
        server.is_joined = server.is_established = False
        self._perform(server, server.election.look(server.zxid, server.epoch, self.now_ms))

    def _is_linked(self, a: int, b: int) -> bool:
        stands = self.connections[min(a, b), max(a, b)] % 2 == 1
        return stands and not self.directions[a, b].is_cut and not self.directions[b, a].is_cut

    def _check(self, server: Server) -> None:
        """Keep or leave the role."""
        election = server.election
        assert election is not None
        if election.state == LOOKING:
            return
        if election.state == LEADING:
            followers = self._followers_of(server.sid)
            if self.members.is_quorum(followers | {server.sid}):
                server.since_ms = self.now_ms
                if not server.is_established:
                    server.is_established = True
                    newest = max(self.servers[s].epoch for s in followers | {server.sid})
                    server.epoch = newest + 1
                    election.serve(server.epoch)
        else:
            leader = self.servers[election.vote.leader]
            leads = leader.election is not None and leader.election.state == LEADING
            if leads and self._is_linked(server.sid, leader.sid):
                server.since_ms = self.now_ms
                server.is_joined = True
                if leader.is_established and server.epoch != leader.epoch:
                    server.epoch = leader.epoch
                    server.zxid = leader.zxid
                    election.serve(server.epoch)
                return
        patience_ms = LOST_MS if server.is_joined or server.is_established else JOIN_MS
        if self.now_ms - server.since_ms > patience_ms:
            self._look(server)

    def _followers_of(self, leader: int) -> set[int]:
        found = set()
        for sid in self.running():
            election = self.servers[sid].election
            assert election is not None
            is_there = self.servers[sid].is_joined and self._is_linked(sid, leader)
            if election.state == FOLLOWING and election.vote.leader == leader and is_there:
                found.add(sid)
        return found
