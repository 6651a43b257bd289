"""What is said of the collector itself."""

import time

import pytest

from observability import health
from observability.chain import Found
from observability.collect import lease
from observability.models import Lease
from observability.store import add_problem, answered, keep_segments, note, now, source_of

pytestmark = pytest.mark.django_db(databases=["default", "observed"])


def test_a_collector_is_alive_as_long_as_it_renews() -> None:
    assert health.collector() == health.Collector(False, "", 0)
    term = lease.take("one")
    assert health.collector() == health.Collector(True, "one", term)
    assert lease.take("two") == 0
    Lease.objects.update(until=int(time.time() * 1_000) - 1)
    assert not health.collector().is_alive
    assert lease.take("two") == term + 1
    assert not lease.renew(term)
    assert lease.renew(term + 1)
    lease.give_back(term + 1)
    assert lease.take("three") == term + 2


def test_what_does_not_come_says_why() -> None:
    term = lease.take("one")
    source = source_of("journal", "main", "node1")
    note(term, source, "connection refused")
    (found,) = health.follows("main")
    assert found.problem == "connection refused"
    assert found.problem_since is not None
    answered(term, source)
    (found,) = health.follows()
    assert (found.problem, found.problem_since) == ("", None)


def test_a_verdict_is_over_all_segments_and_names_the_first_line_that_broke() -> None:
    place = ("main", "node1")
    keep_segments(place, {(1, 1): Found(first_seq=1, last_seq=10, lines=10)}, now())
    keep_segments(place, {(1, 2): Found(first_seq=11, last_seq=15, lines=5, missing=2)}, now())
    assert [verdict.is_sound for verdict in health.verdicts()] == [True]
    add_problem(place, 1, 12, "a fork")
    add_problem(place, 1, 13, "named once for a segment")
    (verdict,) = health.verdicts("main")
    assert not verdict.is_sound
    assert (verdict.lines, verdict.missing, verdict.problems) == (15, 2, 1)
    assert (verdict.first_problem_seq, verdict.first_problem) == (12, "a fork")
