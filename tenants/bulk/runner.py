"""Runs jobs: claims one by a conditional update, does it portion by portion, says how far it is.

It runs within the process that collects (docs/decisions/0006-jobs-in-the-collector.md), with the
same lease. Whoever has lost a claim writes nothing more: every update names it.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final

from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone

from ensemble.client import ClientError
from tenants.actions import jobs as actions
from tenants.advice import advise, unreachable_text
from tenants.bulk import execute, exporting, places, work
from tenants.bulk.bounds import ERRORS_KEPT, REFUSED_MAX, SECONDS_MAX
from tenants.bulk.execute import Outcome
from tenants.bulk.preview import Preview
from tenants.bulk.steps import Step, read_plan
from tenants.bulk.work import Facts, Work
from tenants.errors import ActionError
from tenants.keys import NoKeyError
from tenants.models import Job
from tenants.reach import BusyError
from tenants.zk import UnreachableError

WORKERS: Final = 2
POLL_S: Final = 0.3
TELL_EVERY_S: Final = 0.5
REST: Final = 0.2  # of the time that a portion took: others want the processor and the node, too

Planner = Callable[[Work, Preview], None]
State = Job.State

log = logging.getLogger("tenants.jobs")


class StopError(Exception):
    """This runner has to let go of the job: cancelled, ended, or somebody else's by now."""


class Runner:
    """One process's runner. `serve` from a thread, `stop` from anywhere."""

    def __init__(self, planners: Mapping[str, Planner], facts: Facts) -> None:
        self.planners: Final = planners
        self.facts: Final = facts
        self.claim: Final = secrets.token_hex(10)
        self.stopping: Final = threading.Event()
        self.dropped: Final[set[int]] = set()  # jobs that a failing database has torn from us

    def stop(self) -> None:
        self.stopping.set()

    def serve(self) -> None:
        """Until `stop`. What another runner has left is looked at first."""
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="job") as pool:
            try:
                while not self.stopping.is_set() and not self.attempt(self.take_over):
                    self.stopping.wait(POLL_S)
                for done in [pool.submit(self.follow) for _ in range(WORKERS)]:
                    done.result()
            finally:
                connections.close_all()

    def follow(self) -> None:
        """One worker: a job after the other."""
        try:
            while not self.stopping.is_set():
                if not self.attempt(self.run_one):
                    self.stopping.wait(POLL_S)
        finally:
            connections.close_all()

    def attempt(self, what: Callable[[], bool]) -> bool:
        try:
            return what()
        except DatabaseError as error:
            log.warning("jobs wait: the database says %s", error)
            close_old_connections()
        except Exception:  # whatever it was: the others are done all the same
            log.exception("a job failed")
        return False

    def take_over(self) -> bool:
        """Jobs of a runner that is gone: dry runs begin anew, work stands where it stands."""
        left = Job.objects.exclude(claim=self.claim)
        left.filter(state=State.LOOKING).update(state=State.ASKED, claim="")
        for job in left.filter(state=State.RUNNING).select_related("tenant", "token"):
            done, sure = self.looked_how_far(job)
            text = f"It was interrupted after {done:,} of {job.total:,} steps"
            text += "." if sure else ", perhaps some more: the ensemble does not answer now."
            left.filter(pk=job.pk, state=State.RUNNING).update(
                state=State.INTERRUPTED, claim="", done=done, said=f"{text} Resume it, or undo it."
            )
        return True

    def looked_how_far(self, job: Job) -> tuple[int, bool]:
        """How many steps are done, by the tree itself; whether that is sure."""
        if job.kind == Job.Kind.EXPORT:
            return 0, True
        try:
            bridge = work.reached(job)
            steps = read_plan(places.file(job, places.PLAN), job.done)
            part = next(execute.portions(steps), [])
            return job.done + execute.how_far(bridge, part), True
        except (ActionError, ClientError, UnreachableError, NoKeyError, BusyError, OSError):
            return job.done, False

    def run_one(self) -> bool:
        """The oldest job that waits, of somebody who has none running; whether there was one."""
        for pk in list(self.dropped):
            self.take_up_again(pk)
        waiting = Job.objects.filter(state__in=[State.ASKED, State.WAITING])
        if not waiting.exists():
            return False
        now = timezone.now()
        busy = Job.objects.filter(state__in=[State.LOOKING, State.RUNNING])
        waiting = waiting.exclude(person__in=list(busy.values_list("person", flat=True)))
        for pk, state in list(waiting.order_by("pk").values_list("pk", "state")[:WORKERS]):
            then = State.LOOKING if state == State.ASKED else State.RUNNING
            if Job.objects.filter(pk=pk, state=state).update(
                state=then, claim=self.claim, beat_at=now
            ):
                job = Job.objects.select_related("tenant__plan", "tenant__ensemble", "token")
                self.do(job.get(pk=pk))
                return True
        return False

    def take_up_again(self, pk: int) -> None:
        """Nobody works on a job of ours any more: it waits for its turn once more."""
        mine = Job.objects.filter(pk=pk, claim=self.claim)
        mine.filter(state=State.LOOKING).update(state=State.ASKED, claim="")
        job = mine.filter(state=State.RUNNING).first()
        if job is not None:
            again = {**job.parameters, "resumed": True}
            mine.update(state=State.WAITING, claim="", parameters=again)
        self.dropped.discard(pk)

    def do(self, job: Job) -> None:
        """A dry run, or the work itself."""
        try:
            self.work_on(job)
        except DatabaseError:
            self.dropped.add(job.pk)
            raise

    def work_on(self, job: Job) -> None:
        try:
            if job.state == State.LOOKING:
                Looking(self, job).run()
            else:
                Doing(self, job).run()
        except StopError:
            return
        except ActionError as error:
            self.end(job, State.FAILED, str(error))
        except ClientError as error:
            self.end(job, State.FAILED, advise(error)[2])
        except (UnreachableError, NoKeyError, BusyError) as error:
            text = unreachable_text(error) if isinstance(error, UnreachableError) else f"{error}."
            state = State.INTERRUPTED if job.state == State.RUNNING else State.FAILED
            self.end(job, state, text)
        except OSError as error:
            self.end(job, State.FAILED, f"The job's files: {error.strerror}. Ask anew.")
        except DatabaseError:
            raise  # `do` remembers it
        except Exception as error:
            self.end(job, State.FAILED, f"A defect of the console: {type(error).__name__}.")
            raise

    def end(self, job: Job, state: str, said: str) -> None:
        """It is over, or stands still; one line of the trail says so."""
        actions.ended(job, self.claim, state, said)

    def update(self, job: Job, **fields: Any) -> None:
        """Write something down, and hear whether to go on.

        Raises:
            StopError: the job is not this runner's any more, or is to be let go.
        """
        mine = Job.objects.filter(pk=job.pk, claim=self.claim, state=job.state)
        if not mine.filter(cancel_asked=False).update(beat_at=timezone.now(), **fields):
            if mine.filter(cancel_asked=True).exists():
                mine.update(**fields)
                self.end(job, State.CANCELLED, how_far(job, "It was cancelled"))
            raise StopError
        if self.stopping.is_set():
            back = State.ASKED if job.state == State.LOOKING else State.WAITING
            mine.update(state=back, claim="")
            raise StopError


class Teller:
    """Counts for the page, now and then."""

    def __init__(self, runner: Runner, job: Job) -> None:
        self.runner: Final = runner
        self.job: Final = job
        self.told_s = time.monotonic()

    def tell(self, done: int) -> None:
        now_s = time.monotonic()
        if now_s - self.told_s >= TELL_EVERY_S:
            self.told_s = now_s
            work.reached(self.job)
            self.job.done = done
            self.runner.update(self.job, done=done)


class Looking:
    """A dry run."""

    def __init__(self, runner: Runner, job: Job) -> None:
        self.runner: Final = runner
        self.job: Final = job

    def run(self) -> None:
        job, runner = self.job, self.runner
        tell = Teller(runner, job).tell
        given = Work(job, work.reached(job), tell, work.secrets_of(job), runner.facts)
        places.folder(job)
        preview = Preview(places.file(job, places.PLAN))
        try:
            runner.planners[job.kind](given, preview)
        finally:
            found = preview.close()
        runner.update(
            job,
            preview=found,
            total=preview.plan.steps,
            done=0,
            said="",
            state=State.READY,
        )
        places.file(job, places.UPLOAD).unlink(missing_ok=True)  # the plan has all of it


class Doing:
    """The work, by its plan."""

    def __init__(self, runner: Runner, job: Job) -> None:
        self.runner: Final = runner
        self.job: Final = job
        self.began_s: Final = time.monotonic()
        self.in_a_row = 0

    def run(self) -> None:
        job = self.job
        Job.objects.filter(pk=job.pk, started_at=None).update(started_at=timezone.now())
        if job.kind == Job.Kind.EXPORT:
            self.export()
            return
        resumed = bool(job.parameters.get("resumed"))
        steps = read_plan(places.file(job, places.PLAN), job.done)
        for part in execute.portions(steps):
            began_s = time.monotonic()
            outcome = execute.do(work.reached(job), part)
            self.write_down(part, outcome, resumed=resumed)
            resumed = False
            if outcome.stopped or self.in_a_row > REFUSED_MAX:
                why = outcome.stopped or f"{REFUSED_MAX:,} steps in a row were refused."
                self.runner.end(job, State.FAILED, how_far(job, "It stopped", why))
                return
            if began_s - self.began_s > SECONDS_MAX:
                self.runner.end(job, State.INTERRUPTED, how_far(job, "Its hour is over"))
                return
            self.runner.stopping.wait(REST * (time.monotonic() - began_s))
        text = f"{job.done - job.refused:,} of {job.total:,} steps are done"
        text += f", {job.refused:,} were left as they are." if job.refused else "."
        self.runner.end(job, State.DONE, text)

    def write_down(self, part: list[Step], outcome: Outcome, *, resumed: bool) -> None:
        """How far it is. What was found done already counts for an undo only if we have done it."""
        job = self.job
        skipped = sorted([*outcome.skipped, *([] if resumed else outcome.already)])
        if skipped:
            with places.file(job, places.REFUSED).open("a") as kept:
                kept.writelines(f"{job.done + number}\n" for number in skipped)
        whole = len(outcome.skipped) == len(part)
        self.in_a_row = self.in_a_row + len(part) if whole else 0
        job.done += len(part)
        job.refused += len(outcome.skipped)
        room = max(0, ERRORS_KEPT - len(job.errors))
        job.errors += [list(problem) for problem in outcome.problems[:room]]
        self.runner.update(job, done=job.done, refused=job.refused, errors=job.errors)

    def export(self) -> None:
        job, runner = self.job, self.runner
        teller = Teller(runner, job)
        given = Work(job, work.reached(job), teller.tell, work.secrets_of(job), runner.facts)
        count, left = exporting.export(given)
        size = places.file(job, places.DOWNLOAD).stat().st_size
        runner.update(
            job,
            done=count,
            total=count,
            errors=left,
            refused=len(left),
            file_name=exporting.file_name_of(job),
            file_bytes=size,
        )
        text = "1 znode is in the file." if count == 1 else f"{count:,} znodes are in the file."
        if left:
            text += " Some values are not: see below."
        runner.end(job, State.DONE, text)


def how_far(job: Job, what: str, why: str = "") -> str:
    """What happened, after how much, and what can be done now."""
    text = f"{what} after {job.done:,} of {job.total:,} steps. {why}".rstrip()
    return text if job.state != State.RUNNING else f"{text} Resume it, or undo what was done."


def expired(now: datetime) -> int:
    """Remove jobs whose time is over, with their files; how many."""
    gone = list(Job.objects.filter(expires_at__lt=now)[:100])
    for job in gone:
        places.remove(job)
        job.delete()
    return len(gone)
