"""A leader tells sessions of the ensemble from local ones of its members (zab.md 6.2, 6.6)."""

from ensemble.server.contracts import NoLocalSessions
from ensemble.server.owners import CLOSED_KEPT_MAX, Owners
from ensemble.tree.datatree import DataTree
from ensemble.tree.pending import PendingChanges
from ensemble.tree.prepare import WriteRequest
from ensemble.wire import codes
from ensemble.wire.jute import reader_of

LEADER, FOLLOWER = 3, 1
KNOWN = FOLLOWER << 56 | 5
LOCAL_THERE = FOLLOWER << 56 | 6
FROM_HERE = LEADER << 56 | 7
NOBODY = NoLocalSessions()


def pending() -> PendingChanges:
    """A tree that knows one session."""
    tree = DataTree()
    tree.sessions[KNOWN] = 10_000
    return PendingChanges(tree)


def ask(owners: Owners, session_id: int, sid: int = FOLLOWER) -> WriteRequest:
    request = WriteRequest(session_id, 1, codes.OP_SET_DATA, reader_of(b""), [])
    return owners.begin(request, sid, pending(), NOBODY)


def test_a_known_session_belongs_to_the_server_that_asks_for_it() -> None:
    owners = Owners(LEADER, True)
    assert ask(owners, KNOWN).may_ephemeral
    assert owners.by_session == {KNOWN: FOLLOWER}


def test_an_unknown_session_of_another_server_is_a_local_one() -> None:
    """It owns nothing here, neither ephemerals nor a place in the table."""
    owners = Owners(LEADER, True)
    assert not ask(owners, LOCAL_THERE).may_ephemeral
    assert owners.by_session == {}


def test_an_unknown_session_that_this_server_has_given_away_is_over() -> None:
    """So preparing refuses it: it may not pass for a local one elsewhere."""
    owners = Owners(LEADER, True)
    assert ask(owners, FROM_HERE).may_ephemeral
    assert ask(owners, FROM_HERE, LEADER).may_ephemeral, "it is not in this server's table, either"
    assert owners.by_session == {}


def test_without_local_sessions_an_unknown_session_is_over() -> None:
    owners = Owners(LEADER, False)
    assert ask(owners, LOCAL_THERE).may_ephemeral
    assert owners.by_session == {}


def test_a_closed_session_does_not_come_back_as_a_local_one() -> None:
    """Its request was under way when it was closed; Apache's leader takes it for a local one."""
    owners = Owners(LEADER, True)
    ask(owners, KNOWN)
    owners.on_closed(LOCAL_THERE)
    assert ask(owners, LOCAL_THERE).may_ephemeral


def test_closed_sessions_are_remembered_up_to_a_bound() -> None:
    owners = Owners(LEADER, True)
    owners.on_closed(LOCAL_THERE)
    for number in range(CLOSED_KEPT_MAX - 1):
        owners.on_closed((2 << 56) + number)
    assert ask(owners, LOCAL_THERE).may_ephemeral
    owners.on_closed(4 << 56)
    assert len(owners.closed) == CLOSED_KEPT_MAX
    assert not ask(owners, LOCAL_THERE).may_ephemeral, "the oldest one is forgotten first"
