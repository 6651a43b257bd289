"""The dry run of an import: what is new, what would change, what is in the way."""

from collections.abc import Iterator, Sequence
from typing import Final

from ensemble.client import OPEN_ACL, Acl
from ensemble.client.paths import parent_of
from tenants.bulk import parsing, places, reading
from tenants.bulk.bounds import AT_ONCE_ZNODES, PATH_BYTES_MAX
from tenants.bulk.entries import Entry
from tenants.bulk.plans import BECOMES, EPHEMERAL, MASKED, SECRET, before_of, moved
from tenants.bulk.preview import Preview
from tenants.bulk.reading import is_own
from tenants.bulk.steps import Kind, Step, is_masked
from tenants.bulk.work import Work
from tenants.errors import InvalidError
from tenants.models import Tenant

EMPTY: Final = "its value was left out of the file: made empty"
FILE_MODES: Final = ("skip", "overwrite", "fail")


def bring(work: Work, preview: Preview) -> None:
    """All that is in the file, below the job's path.

    Raises:
        FileError, InvalidError: the file, or the place, is none.
    """
    target = work.job.path
    if is_own(target):
        raise InvalidError("/zookeeper is ZooKeeper's own: choose another path", field="path")
    kind, entries = parsing.read(places.file(work.job, places.UPLOAD))
    preview.note(f"The file is {parsing.WORDS[kind]} with {len(entries):,} znodes.")
    missing_parents(work, preview, target, entries)
    done = 0
    without: set[str] = set()  # paths that will not be there
    for part in portions(entries):
        names = [moved(entry.path, "/", target) for entry in part]
        there = {one.path: one for one in reading.stats(work.bridge, names)}
        now = {
            value.found.path: value
            for value in reading.values(work.bridge, list(there.values()), quiet)
        }
        for entry, path in zip(part, names, strict=True):
            if is_own(path):
                preview.block(path, "ZooKeeper's own: left out")
            elif len(path.encode()) > PATH_BYTES_MAX:
                preview.block(path, f"a path has {PATH_BYTES_MAX} bytes at most")
            elif parent_of(path) in without:
                without.add(path)
                preview.block(path, "what is above it is left out")
            elif path in now:
                meet(work, preview, entry, now[path])
            elif not make(work, preview, entry, path):
                without.add(path)
        done += len(part)
        work.tell(done)
    if work.job.tenant is not None:
        check_room(preview, work.job.tenant, work.facts.used(work.job.tenant))


def quiet(_: int) -> None:
    """What is compared is not counted twice."""


def portions(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), AT_ONCE_ZNODES):
        yield entries[start : start + AT_ONCE_ZNODES]


def missing_parents(work: Work, preview: Preview, target: str, entries: Sequence[Entry]) -> None:
    """What is above the file's znodes, and not in it: made empty where it is missing."""
    listed = {moved(entry.path, "/", target) for entry in entries}
    above: set[str] = set()
    for path in listed:
        at = parent_of(path)
        while at != "/" and at not in above and at not in listed:
            above.add(at)
            at = parent_of(at)
    wanted = sorted(above, key=lambda path: (path.count("/"), path))
    for start in range(0, len(wanted), AT_ONCE_ZNODES):
        part = wanted[start : start + AT_ONCE_ZNODES]
        there = {one.path: one for one in reading.stats(work.bridge, part)}
        for path in part:
            if path not in there:
                preview.step(Step("create", path, b"", acl=tuple(OPEN_ACL)), "missing parent")
            elif there[path].stat.ephemeral_owner:
                preview.stop(f"{path} is ephemeral: it cannot have children.")


def make(work: Work, preview: Preview, entry: Entry, path: str) -> bool:
    """It is not there yet; whether it will be."""
    kind, note = entry.kind, ""
    if kind.mode == "ephemeral":
        if work.text("ephemerals", "leave") != "persist":
            preview.leave("left", path, EPHEMERAL)
            return False
        kind, note = Kind(), BECOMES
    acl: tuple[Acl, ...] = tuple(OPEN_ACL)
    if entry.acl and work.text("acl", "file") == "file":
        if is_masked(entry.acl):
            preview.block(path, MASKED)
            return False
        acl = entry.acl
    if entry.data is None:
        note = EMPTY
    preview.step(Step("create", path, entry.data or b"", acl=acl, kind=kind), note)
    return True


def meet(work: Work, preview: Preview, entry: Entry, now: reading.Value) -> None:
    """It is there already."""
    path, mode = now.found.path, work.text("mode", "skip")
    if entry.data is not None and now.data == entry.data:
        preview.leave("same", path)
    elif entry.data is None or mode == "skip":
        preview.leave("kept", path, "it is there, with another value")
    elif mode == "fail":
        preview.block(path, "it is there, with another value")
        preview.stop("Something is there already, with another value: nothing is imported.")
    elif now.data is None:
        preview.block(path, now.found.blocked)
    else:
        was = before_of(work, now)
        preview.step(
            Step(
                "set",
                path,
                entry.data,
                version=int(now.found.stat.version),
                czxid=int(now.found.stat.czxid),
                before=was,
            ),
            SECRET if was.why == "secret" else "",
        )


def check_room(preview: Preview, tenant: Tenant, used: dict[str, int]) -> None:
    """Whether the tenant's limits hold what would be made; the node has the last word."""
    limits = tenant.limits
    wanted = {"znodes": preview.counts.get("create", 0), "bytes": preview.bytes}
    for name, more in wanted.items():
        limit, has = limits.get(name), used.get(name)
        if limit is None or has is None or not more:
            continue
        if has + more > limit:
            preview.stop(
                f"It takes {more:,} more {name}: {tenant.slug} uses {has:,} of {limit:,}. "
                "Delete something, or ask for another plan."
            )
