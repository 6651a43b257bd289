"""An export: a subtree as a file to be downloaded."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from tenants.bulk import places, reading, writing
from tenants.bulk.entries import Entry
from tenants.bulk.reading import Value
from tenants.bulk.steps import is_masked
from tenants.bulk.work import Work
from tenants.models import Job

LEFT_SHOWN: Final = 200


def export(work: Work) -> tuple[int, list[list[str]]]:
    """Write the file; how many znodes are in it, and whose values are not, with the reason."""
    job = work.job
    found = work.subtree(job.path)
    Job.objects.filter(pk=job.pk, claim=job.claim).update(total=len(found))
    left: list[list[str]] = []

    def entries() -> Iterator[Entry]:
        for value in reading.values(work.bridge, found, work.tell):
            entry = entry_of(work, value)
            why = value.found.blocked or entry.left_out
            if why and len(left) < LEFT_SHOWN:
                left.append([value.found.path, why])
            yield entry

    places.folder(job)
    place = places.file(job, places.DOWNLOAD)
    count = writing.write(work.text("form", "json"), place, head_of(job), entries())
    return count, left


def head_of(job: Job) -> dict[str, Any]:
    whose = {"tenant": job.tenant.slug} if job.tenant is not None else {"ensemble": job.ensemble}
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"root": job.path, "exported_at": at, **whose}


def entry_of(work: Work, value: Value) -> Entry:
    """A znode as the file has it. Values of secret paths are in it where that was asked for."""
    found = value.found
    below = found.path if work.job.path == "/" else found.path[len(work.job.path) :]
    data, why = value.data, ""
    if data is None:
        why = "no permission"
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
