"""The dry run of undoing a job: its steps backwards, as far as nobody has changed them since."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ensemble.client import OPEN_ACL
from tenants.bulk import execute, places, reading
from tenants.bulk.bounds import AT_ONCE_ZNODES
from tenants.bulk.preview import Preview
from tenants.bulk.reading import Found
from tenants.bulk.steps import Before, Kind, Step, read_plan
from tenants.bulk.work import Work
from tenants.errors import ConflictError
from tenants.models import Job

WHYS: Final = {
    "secret": "its value is secret and was not kept",
    "unread": "its value could not be read and was not kept",
}
CHANGED: Final = "somebody has changed it since: left as it is"
EPHEMERAL: Final = "it was ephemeral: it comes back as persistent"
NO_ACL: Final = "its ACL was hidden from you: it comes back open to everybody"


def undo(work: Work, preview: Preview) -> None:
    """What the job `of` has done, backwards.

    Raises:
        ConflictError: its files are not there any more.
    """
    of = Job.objects.filter(key=work.text("of"), person_id=work.job.person_id).first()
    plan = None if of is None else places.file(of, places.PLAN)
    if of is None or plan is None or not plan.is_file():
        raise ConflictError("what is needed to undo it is not kept any more")
    done = performed(plan, places.file(of, places.REFUSED), of.done)
    steps = list(done)[::-1]
    for start in range(0, len(steps), AT_ONCE_ZNODES):
        part = steps[start : start + AT_ONCE_ZNODES]
        now = {one.path: one for one in reading.stats(work.bridge, [one.path for one in part])}
        sources = [one.before.source for one in part if one.before and one.before.source]
        there = {one.path: one for one in reading.stats(work.bridge, sources)}
        for step in part:
            back(preview, step, now.get(step.path), there)
        work.tell(start + len(part))


def performed(plan: Path, refused: Path, done: int) -> Iterator[Step]:
    """The steps that have changed something."""
    skipped = set()
    if refused.is_file():
        skipped = {int(line) for line in refused.read_text().split()}
    for number, step in enumerate(read_plan(plan)):
        if number >= done:
            return
        if number not in skipped:
            yield step


def back(preview: Preview, step: Step, now: Found | None, sources: dict[str, Found]) -> None:
    """One step backwards."""
    was = step.before or Before()
    if step.op == "create":
        if now is None:
            preview.leave("same", step.path, "gone already")
        elif int(now.stat.version):
            preview.block(step.path, CHANGED)
        else:
            preview.step(expecting(now, "delete", step))
    elif step.op == "delete":
        again(preview, step, was, now, sources)
    elif now is None:
        preview.block(step.path, execute.GONE)
    elif int(now.stat.czxid) != step.czxid or step.version + 1 != int(
        now.stat.aversion if step.op == "acl" else now.stat.version
    ):
        preview.block(step.path, CHANGED)
    elif step.op == "acl" and was.acl is not None:
        preview.step(expecting(now, "acl", step))
    elif step.op == "set" and was.data is not None:
        preview.step(expecting(now, "set", step))
    else:
        preview.block(step.path, WHYS.get(was.why, "what it was is not kept"))


def again(
    preview: Preview, step: Step, was: Before, now: Found | None, sources: dict[str, Found]
) -> None:
    """What was deleted is made again."""
    if now is not None:
        preview.block(step.path, "somebody has made it again since")
        return
    source = sources.get(was.source) if was.source else None
    if was.data is None and source is None:
        preview.block(step.path, WHYS.get(was.why, "what it was is not kept"))
        return
    kind = was.kind if was.kind.mode != "ephemeral" else Kind()
    note = EPHEMERAL if was.kind.mode == "ephemeral" else "" if was.acl else NO_ACL
    preview.step(
        Step(
            "create",
            step.path,
            data=was.data,
            source=was.source if was.data is None else "",
            mzxid=0 if source is None else int(source.stat.mzxid),
            acl=was.acl or tuple(OPEN_ACL),
            kind=kind,
        ),
        note,
    )


def expecting(now: Found, op: str, step: Step) -> Step:
    """The step that takes `step` back, if the znode stays as it is now."""
    was = step.before or Before()
    if op == "delete":
        return Step(
            "delete",
            step.path,
            version=0,
            czxid=int(now.stat.czxid),
            before=Before(data=step.data, source=step.source, acl=step.acl, kind=step.kind),
        )
    if op == "acl":
        return Step(
            "acl",
            step.path,
            acl=was.acl,
            version=int(now.stat.aversion),
            czxid=int(now.stat.czxid),
            before=Before(acl=step.acl),
        )
    return Step(
        "set",
        step.path,
        data=was.data,
        version=int(now.stat.version),
        czxid=int(now.stat.czxid),
        before=Before(data=step.data),
    )
