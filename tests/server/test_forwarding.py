"""Which transaction answers which request, whose sync has happened (zab.md 6.1; trust.md I15)."""

from ensemble.server.forwarding import Forwarded, ForwardedQueue, SyncQueue
from ensemble.wire.jute import reader_of


def asked(session: int, cxid: int, connection: int = 1, after: int = 0) -> Forwarded:
    return Forwarded(session, cxid, 5, connection, reader_of(b""), after)


def test_answers_of_different_sessions_may_overtake_each_other() -> None:
    """A leader that takes turns answers the quiet tenant's session first."""
    queue = ForwardedQueue()
    first, second = asked(7, 1), asked(8, 1)
    queue.append(first)
    queue.append(second)
    assert queue.match(8, 1, 100) is second
    assert queue.match(7, 1, 101) is first
    assert queue.is_empty()


def test_answers_of_one_session_come_in_order() -> None:
    queue = ForwardedQueue()
    requests = [asked(7, cxid) for cxid in (1, 2, 3)]
    for each in requests:
        queue.append(each)
    assert queue.match(7, 2, 100) is None, "not the oldest"
    assert [queue.match(7, cxid, 100 + cxid) for cxid in (1, 2, 3)] == requests
    assert queue.match(7, 4, 110) is None


def test_a_client_that_begins_to_count_anew_gets_its_own_answers() -> None:
    """Same session, same cxid, another connection: the first answer is the first one's."""
    queue = ForwardedQueue()
    old, new = asked(7, 1, connection=1), asked(7, 1, connection=2)
    queue.append(old)
    queue.append(new)
    assert queue.match(7, 1, 100) is old
    assert queue.match(7, 1, 101) is new


def test_no_answer_is_older_than_its_question() -> None:
    """The session asked through another server before, with the same cxid, and then came here."""
    queue = ForwardedQueue()
    mine = asked(7, 1, after=100)
    queue.append(mine)
    assert queue.match(7, 1, 100) is None
    assert queue.match(7, 1, 101) is mine


def test_a_leader_that_says_no_session_answers_the_oldest_sync() -> None:
    syncs = SyncQueue()
    for session in (7, 8):
        syncs.append(session, session * 10)
    assert [syncs.take(0), syncs.take(0), syncs.take(0)] == [70, 80, 0]


def test_a_sync_that_overtakes_others_is_its_own_sessions() -> None:
    syncs = SyncQueue()
    for session in (7, 8, 7):
        syncs.append(session, session * 10 + len(syncs.waiting))
    assert syncs.take(8) == 81
    assert [syncs.take(7), syncs.take(7)] == [70, 72]
    assert syncs.take(9) == 0
