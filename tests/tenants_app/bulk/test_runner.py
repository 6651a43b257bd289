"""The runner: killed at any step, cancelled, its person's right lost, two of them at once."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from tenants.actions import jobs
from tenants.bulk import execute, places, runner
from tenants.bulk.execute import Outcome
from tenants.bulk.runner import Runner
from tenants.bulk.steps import Step
from tenants.errors import ConflictError
from tenants.models import AuditEvent, Job, Membership, Tenant
from tenants.zk import Bridge, UnreachableError
from tests.tenants_app.bulk.conftest import PLANNERS, Desk, Do, Known, Tree, fresh
from tests.tenants_app.conftest import Cast

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
Fill = Callable[[Tree], None]
Now = Callable[[], Tree]
EIGHT: Tree = {"/a": b"", **{f"/a/{n}": str(n).encode() for n in range(7)}}


class KilledError(BaseException):
    """Nothing handles it: as if the process were gone."""


class Killer:
    """Ends the runner at one call of `execute.do`, before or after the tree has heard of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool) -> None:
        self.left, self.after, self.do = at, after, execute.do
        monkeypatch.setattr(execute, "AT_ONCE_ZNODES", 3)
        monkeypatch.setattr(execute, "do", self)

    def __call__(self, bridge: Bridge, steps: list[Step]) -> Outcome:
        self.left -= 1
        if self.left == -1 and not self.after:
            raise KilledError
        outcome = self.do(bridge, steps)
        if self.left == -1:
            raise KilledError
        return outcome


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_after_a_kill_it_says_exactly_how_far_it_came_and_goes_on_from_there(
    at: int, after: bool, dan: Desk, fill: Fill, tree: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(EIGHT)
    job = dan.look("delete", "/a")
    jobs.confirm(dan.actor, job=job)
    Killer(monkeypatch, at, after=after)
    with pytest.raises(KilledError):
        dan.runner.run_one()
    assert fresh(job).state == "running", "nobody was there to say it"
    dan.runner = Runner(PLANNERS, Known())
    dan.runner.take_over()
    job = fresh(job)
    done = min(8, 3 * (at + after))
    assert job.state == "interrupted"
    assert job.said.startswith(f"It was interrupted after {done} of 8 steps.")
    assert len(tree()) == 8 - done
    if done < 8:
        jobs.resume(dan.actor, job=job)
        assert dan.runner.run_one()
        job = fresh(job)
        assert (job.state, job.done, job.refused) == ("done", 8, 0)
    assert tree() == {}
    assert dan.undo(job).state == "done"
    assert tree() == EIGHT


def test_an_interrupted_job_is_undone_as_far_as_it_came(
    dan: Desk, fill: Fill, tree: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(EIGHT)
    job = dan.look("move", "/a", to="/b")
    jobs.confirm(dan.actor, job=job)
    Killer(monkeypatch, 3, after=True)
    with pytest.raises(KilledError):
        dan.runner.run_one()
    monkeypatch.undo()
    dan.runner = Runner(PLANNERS, Known())
    dan.runner.take_over()
    assert len(tree()) == 12, "eight were made, four of the others are gone"
    assert dan.undo(fresh(job)).state == "done"
    assert tree() == EIGHT


def test_a_dry_run_that_was_killed_begins_anew(
    dan: Desk, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(EIGHT)
    job = dan.ask("delete", "/a")

    def killed(*_: Any) -> None:
        raise KilledError

    monkeypatch.setattr(runner.Looking, "run", killed)
    with pytest.raises(KilledError):
        dan.runner.run_one()
    monkeypatch.undo()
    assert fresh(job).state == "looking"
    dan.runner = Runner(PLANNERS, Known())
    dan.runner.take_over()
    assert dan.runner.run_one()
    assert fresh(job).state == "ready"


def test_who_loses_the_right_meanwhile_changes_nothing_more(
    dan: Desk, cast: Cast, fill: Fill, tree: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(EIGHT)
    job = dan.look("delete", "/a")
    jobs.confirm(dan.actor, job=job)
    monkeypatch.setattr(execute, "AT_ONCE_ZNODES", 3)
    do = execute.do

    def lose(bridge: Bridge, steps: list[Step]) -> Outcome:
        outcome = do(bridge, steps)
        Membership.objects.filter(user=cast.dan).update(role=1)
        return outcome

    monkeypatch.setattr(execute, "do", lose)
    dan.runner.run_one()
    job = fresh(job)
    assert job.state == "failed"
    assert "dan may not do this any more" in job.said
    assert (job.done, len(tree())) == (3, 5)


def test_a_person_who_is_switched_off_runs_nothing(dan: Desk, cast: Cast, fill: Fill) -> None:
    fill(EIGHT)
    job = dan.ask("delete", "/a")
    cast.dan.is_active = False
    cast.dan.save()
    dan.runner.run_one()
    assert "switched off" in fresh(job).said


def test_cancelled_on_the_way_it_ends_after_what_is_under_way(
    dan: Desk, fill: Fill, tree: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(EIGHT)
    job = dan.look("delete", "/a")
    jobs.confirm(dan.actor, job=job)
    monkeypatch.setattr(execute, "AT_ONCE_ZNODES", 3)
    do = execute.do

    def cancel(bridge: Bridge, steps: list[Step]) -> Outcome:
        jobs.cancel(dan.actor, job=fresh(job))
        return do(bridge, steps)

    monkeypatch.setattr(execute, "do", cancel)
    dan.runner.run_one()
    job = fresh(job)
    assert (job.state, job.done, len(tree())) == ("cancelled", 3, 5)
    assert "after 3 of 8 steps" in job.said
    monkeypatch.undo()
    assert dan.undo(job).state == "done"
    assert tree() == EIGHT


def test_an_orderly_end_lets_the_next_runner_go_on_by_itself(
    dan: Desk, fill: Fill, tree: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(EIGHT)
    job = dan.look("delete", "/a")
    jobs.confirm(dan.actor, job=job)
    monkeypatch.setattr(execute, "AT_ONCE_ZNODES", 3)
    dan.runner.stop()
    dan.runner.run_one()
    assert (fresh(job).state, fresh(job).done) == ("waiting", 3)
    dan.runner = Runner(PLANNERS, Known())
    dan.runner.take_over()
    dan.runner.run_one()
    assert (fresh(job).state, tree()) == ("done", {})


def test_a_runner_that_has_lost_its_claim_writes_nothing_down(
    dan: Desk, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(EIGHT)
    job = dan.look("delete", "/a")
    jobs.confirm(dan.actor, job=job)
    monkeypatch.setattr(execute, "AT_ONCE_ZNODES", 3)
    do = execute.do

    def lose(bridge: Bridge, steps: list[Step]) -> Outcome:
        Job.objects.filter(pk=job.pk).update(claim="another's")
        return do(bridge, steps)

    monkeypatch.setattr(execute, "do", lose)
    dan.runner.run_one()
    assert (fresh(job).claim, fresh(job).state, fresh(job).done) == ("another's", "running", 0)


def test_an_ensemble_that_does_not_answer_interrupts_it_and_it_is_resumed(
    dan: Desk, fill: Fill, tree: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(EIGHT)
    job = dan.look("delete", "/a")
    jobs.confirm(dan.actor, job=job)

    def silent(*_: object) -> Outcome:
        raise UnreachableError("127.0.0.1:1 did not answer in time")

    monkeypatch.setattr(execute, "do", silent)
    dan.runner.run_one()
    job = fresh(job)
    assert job.state == "interrupted"
    assert "does not answer" in job.said
    monkeypatch.undo()
    jobs.resume(dan.actor, job=job)
    dan.runner.run_one()
    assert (fresh(job).state, tree()) == ("done", {})


def test_a_database_that_fails_on_the_way_costs_nothing(
    dan: Desk, fill: Fill, tree: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree has heard of a portion, the row has not: the next look goes on from there."""
    fill(EIGHT)
    job = dan.look("delete", "/a")
    jobs.confirm(dan.actor, job=job)
    monkeypatch.setattr(execute, "AT_ONCE_ZNODES", 3)

    def locked(*_: Any, **__: Any) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as broken:
        broken.setattr(Runner, "update", locked)
        with pytest.raises(OperationalError):
            dan.runner.run_one()
    assert (fresh(job).state, fresh(job).done, len(tree())) == ("running", 0, 5)
    assert dan.runner.run_one()
    job = fresh(job)
    assert (job.state, job.done, job.refused) == ("done", 8, 0)
    assert dan.undo(job).state == "done"
    assert tree() == EIGHT


def test_one_job_a_person_at_a_time_and_the_oldest_first(dan: Desk, alice: Desk) -> None:
    first, second = dan.ask("export", "/"), dan.ask("export", "/")
    other = alice.ask("export", "/")
    Job.objects.filter(pk=first.pk).update(state="running", claim="another's")
    assert dan.runner.run_one()
    assert [fresh(job).state for job in (first, second, other)] == ["running", "waiting", "done"]


def test_each_job_leaves_its_lines_in_the_trail(dan: Desk, fill: Fill, shop: Tenant) -> None:
    fill(EIGHT)
    job = dan.have_done("delete", "/a")
    events = AuditEvent.objects.filter(verb__startswith="job.")
    lines = [(e.actor, e.verb, e.tenant, e.target, e.result) for e in events.order_by("seq")]
    assert lines == [
        ("dan", "job.made", "shop", "/a", "ok"),
        ("dan", "job.confirmed", "shop", "/a", "ok"),
        ("dan", "job.ended", "shop", "/a", "ok"),
    ]
    assert events.last().detail["job"] == job.key


def test_what_is_over_goes_with_its_files(dan: Desk, fill: Fill) -> None:
    fill(EIGHT)
    job = dan.have_done("export", "/a")
    assert places.file(job, places.DOWNLOAD).exists()
    assert runner.expired(timezone.now()) == 0
    assert runner.expired(timezone.now() + timedelta(days=8)) == 1
    assert list(places.root().iterdir()) == []


def test_what_is_not_ready_is_not_confirmed(dan: Desk, fill: Fill) -> None:
    fill({"/a": b"", "/b": b""})
    job = dan.ask("delete", "/a")
    with pytest.raises(ConflictError, match="only a dry run"):
        jobs.confirm(dan.actor, job=job)
    dan.runner.run_one()
    stopped = dan.look("duplicate", "/a", to="/b")
    with pytest.raises(ConflictError, match="cannot be done as it is"):
        jobs.confirm(dan.actor, job=stopped)
    same = dan.look("import", "/", sent=io.BytesIO(b"/a=\n"))
    with pytest.raises(ConflictError, match="nothing to do"):
        jobs.confirm(dan.actor, job=same)


def test_what_was_identical_before_is_not_taken_away_by_an_undo(
    dan: Desk, fill: Fill, tree: Now, do: Do, shop: Tenant
) -> None:
    """Somebody makes the same znode between dry run and confirmation: it is theirs."""
    job = dan.look("import", "/", sent=io.BytesIO(b"/mine=x\n/theirs=y\n"))
    fill({"/theirs": b"y"})
    job = dan.confirm(job)
    assert (job.state, job.refused) == ("done", 0)
    assert dan.undo(job).state == "done"
    assert tree() == {"/theirs": b"y"}
