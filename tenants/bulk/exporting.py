"""An export: a subtree as a file to be downloaded."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from tenants.bulk import places, reading, writing
from tenants.bulk.entries import Entry
from tenants.bulk.plans import moved
from tenants.bulk.reading import Value
from tenants.bulk.steps import is_masked
from tenants.bulk.work import Work
from tenants.models import Job

LEFT_SHOWN: Final = 200


def export(work: Work) -> tuple[int, list[list[str]]]:
    """Write the file; how many znodes are in it, and whose values are not, with the reason."""
    job = work.job
    is_past = "zxid" in job.parameters or "at_ms" in job.parameters
    total, entries = work.facts.as_it_was(work) if is_past else as_it_is(work)
    Job.objects.filter(pk=job.pk, claim=job.claim).update(total=total)
    left: list[list[str]] = []

    def noted() -> Iterator[Entry]:
        for entry in entries:
            if entry.left_out and len(left) < LEFT_SHOWN:
                left.append([moved(entry.path, "/", job.path), entry.left_out])
            yield entry

    places.folder(job)
    place = places.file(job, places.DOWNLOAD)
    return writing.write(work.text("form", "json"), place, head_of(job), noted()), left


def as_it_is(work: Work) -> tuple[int, Iterator[Entry]]:
    found = work.subtree(work.job.path)
    values = reading.values(work.bridge, found, work.tell)
    return len(found), (entry_of(work, value) for value in values)


def head_of(job: Job) -> dict[str, Any]:
    whose = {"tenant": job.tenant.slug} if job.tenant is not None else {"ensemble": job.ensemble}
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    moment = {name: job.parameters[name] for name in ("zxid", "at_ms") if name in job.parameters}
    return {"root": job.path, "exported_at": at, **whose, **moment}


def entry_of(work: Work, value: Value) -> Entry:
    """A znode as the file has it. Values of secret paths are in it where that was asked for."""
    found = value.found
    below = found.path if work.job.path == "/" else found.path[len(work.job.path) :]
    data, why = value.data, found.blocked
    if data is None:
        why = why or reading.NO_PERMISSION
    elif work.secrets.has(found.path) and not work.flag("secrets"):
        data, why = None, "secret"
    acl = None if value.acl is None or is_masked(value.acl) else value.acl
    stat = found.stat
    return Entry(
        below or "/",
        data,
        acl,
        work.kind(found),
        why,
        {
            "czxid": f"{int(stat.czxid):#x}",
            "mzxid": f"{int(stat.mzxid):#x}",
            "version": int(stat.version),
            "ctime": int(stat.ctime),
            "mtime": int(stat.mtime),
        },
    )


def file_name_of(job: Job) -> str:
    """What the browser calls the file."""
    whose = job.tenant.slug if job.tenant is not None else job.ensemble
    last = "".join(c for c in job.name if c.isascii() and (c.isalnum() or c in "-_.")) or "root"
    form = str(job.parameters.get("form", "json"))
    return f"{whose}-{last[:60]}-{job.key[:6]}.{writing.FORMS[form]}"
