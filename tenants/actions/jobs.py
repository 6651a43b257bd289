"""Jobs on subtrees: asked for, confirmed, resumed, cancelled, ended, removed. A line each."""

from typing import IO, Any, Final

from django.db import transaction
from django.utils import timezone

from ensemble.client import BadArgumentsError
from ensemble.client.paths import check_path
from tenants import audit
from tenants.actions.base import action, person_of
from tenants.audit import Actor
from tenants.bulk import places
from tenants.bulk.bounds import KEPT_FOR, KEPT_PER_PERSON_MAX, OPEN_PER_PERSON_MAX, PATH_BYTES_MAX
from tenants.errors import ConflictError, ForbiddenError, InvalidError, LimitError
from tenants.models import ApiToken, Job, Tenant

STATE: Final = Job.State
AT_ONCE: Final = (Job.Kind.EXPORT,)  # changes nothing: needs no dry run


def make(
    actor: Actor,
    *,
    kind: str,
    where: str,
    path: str,
    tenant: Tenant | None = None,
    ensemble: str = "",
    parameters: dict[str, Any] | None = None,
    sent: IO[bytes] | None = None,
    token: ApiToken | None = None,
) -> Job:
    """Ask for a job; the caller has checked that the person may.

    Raises:
        InvalidError, LimitError: with the value and the bound.
    """
    person = person_of(actor)
    if person is None:
        raise ForbiddenError("a job is somebody's: sign in")
    check_paths(path, parameters or {})
    open_now = Job.objects.filter(person=person, state__in=STILL_OPEN)
    if open_now.count() >= OPEN_PER_PERSON_MAX:
        raise LimitError(
            f"you have {OPEN_PER_PERSON_MAX} jobs that are not ended, no more are taken: wait, "
            "confirm or cancel one (Jobs)"
        )
    places.check_room()
    forget_oldest(person.pk)
    job = Job(
        kind=kind,
        state=STATE.WAITING if kind in AT_ONCE else STATE.ASKED,
        person=person,
        token=token,
        via=actor.via,
        where=where,
        tenant=tenant,
        ensemble=tenant.ensemble.name if tenant is not None else ensemble,
        path=path,
        parameters=parameters or {},
        expires_at=timezone.now() + KEPT_FOR,
    )
    if sent is not None:
        job.parameters["bytes"] = places.take_upload(job, sent)
    try:
        with transaction.atomic():
            job.save(force_insert=True)
            record(actor, "job.made", job)
    except Exception:
        places.remove(job)
        raise
    return job


def check_paths(path: str, parameters: dict[str, Any]) -> None:
    """Raises InvalidError where a path is none."""
    for name, text in (("path", path), ("to", parameters.get("to", "/"))):
        if len(str(text).encode("utf-8", "replace")) > PATH_BYTES_MAX:
            raise InvalidError(f"a path has {PATH_BYTES_MAX} bytes at most", field=name)
        try:
            check_path(str(text))
        except BadArgumentsError as error:
            raise InvalidError(f"Not a path: {error}", field=name) from None


STILL_OPEN: Final = (
    STATE.ASKED,
    STATE.LOOKING,
    STATE.READY,
    STATE.WAITING,
    STATE.RUNNING,
)


def forget_oldest(person: int) -> None:
    """Hold the number of a person's kept jobs."""
    mine = Job.objects.filter(person_id=person).exclude(state__in=STILL_OPEN)
    for job in list(mine.order_by("-pk")[KEPT_PER_PERSON_MAX - 1 :]):
        places.remove(job)
        job.delete()


@action
def confirm(actor: Actor, *, job: Job) -> None:
    """Have what the dry run has shown be done.

    Raises:
        ConflictError: it is not ready for it.
    """
    held(job)
    if job.state != STATE.READY:
        raise ConflictError(f"the job is {job.get_state_display()}: only a dry run is confirmed")
    if job.preview.get("stops"):
        raise ConflictError("the dry run says that it cannot be done as it is: ask anew")
    if not job.total:
        raise ConflictError("there is nothing to do: the dry run found no change")
    job.state = STATE.WAITING
    job.save(update_fields=["state"])
    record(actor, "job.confirmed", job)


@action
def resume(actor: Actor, *, job: Job) -> None:
    """Go on where it was interrupted, failed or cancelled.

    Raises:
        ConflictError: there is nothing to go on with.
    """
    held(job)
    if not can_resume(job):
        raise ConflictError(f"the job is {job.get_state_display()}: there is nothing to resume")
    job.state, job.said, job.cancel_asked = STATE.WAITING, "", False
    job.parameters["resumed"] = True
    job.save(update_fields=["state", "said", "cancel_asked", "parameters"])
    record(actor, "job.resumed", job)


def can_resume(job: Job) -> bool:
    """Whether a part of it was done, or may have been, and a part was not."""
    if job.kind in AT_ONCE or job.started_at is None:
        return False
    over = (STATE.INTERRUPTED, STATE.FAILED, STATE.CANCELLED)
    return job.state in over and job.done < job.total


def can_undo(job: Job) -> bool:
    """Whether it has changed something, and what it was is kept."""
    if job.kind in AT_ONCE or job.started_at is None or job.is_busy:
        return False
    return job.done > job.refused and places.file(job, places.PLAN).is_file()


@action
def cancel(actor: Actor, *, job: Job) -> None:
    """End it: at once where nothing is under way, else after the portion that is.

    Raises:
        ConflictError: it has ended already.
    """
    held(job)
    if job.state in (STATE.LOOKING, STATE.RUNNING):
        job.cancel_asked = True
        job.save(update_fields=["cancel_asked"])
    elif job.is_open:
        job.state, job.ended_at, job.said = STATE.CANCELLED, timezone.now(), "It was cancelled."
        job.save(update_fields=["state", "ended_at", "said"])
    else:
        raise ConflictError(f"the job is {job.get_state_display()} already")
    record(actor, "job.cancelled", job)


@action
def remove(actor: Actor, *, job: Job) -> None:
    """Forget it, with its files: what it did stays done, and cannot be undone any more.

    Raises:
        ConflictError: it has not ended.
    """
    held(job)
    if job.is_busy:
        raise ConflictError("the job is under way: cancel it first")
    record(actor, "job.removed", job)
    places.remove(job)
    job.delete()


def undo(actor: Actor, *, job: Job, token: ApiToken | None = None) -> Job:
    """A job that takes back what this one has done; its dry run comes first.

    Raises:
        ConflictError: there is nothing to take back, or it is not known any more.
    """
    if not can_undo(job):
        raise ConflictError("there is nothing that could be undone, or it is not kept any more")
    return make(
        actor,
        kind=Job.Kind.UNDO,
        where=job.where,
        path=job.path,
        tenant=job.tenant,
        ensemble=job.ensemble,
        parameters={"of": job.key, "what": job.parameters.get("what", job.kind)},
        token=token,
    )


@action
def ended(job: Job, claim: str, state: str, said: str) -> None:
    """The runner's word on how a job ended; nothing where it is not its job any more."""
    mine = Job.objects.filter(pk=job.pk, claim=claim, state=job.state)
    now = None if state == STATE.INTERRUPTED else timezone.now()
    if not mine.update(state=state, said=said[:4_000], ended_at=now, claim="", cancel_asked=False):
        return
    job.state = state
    actor = Actor(job.person, "job")
    record(actor, "job.ended", job, result="ok" if state == STATE.DONE else str(state))


def held(job: Job) -> None:
    """Lock the row until the commit, and see it as it is now."""
    Job.objects.select_for_update().filter(pk=job.pk).values_list("pk").first()
    try:
        job.refresh_from_db()
    except Job.DoesNotExist:
        raise ConflictError("the job is not there any more") from None


def record(actor: Actor, verb: str, job: Job, result: str = "ok") -> None:
    audit.record(
        actor,
        verb,
        tenant=job.tenant or "",
        ensemble=job.ensemble,
        target=job.path,
        result=result,
        detail={"job": job.key, "kind": job.kind, "done": job.done, "steps": job.total},
    )
