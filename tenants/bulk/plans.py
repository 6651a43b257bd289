"""Dry runs of what is done to a subtree that is there: duplicate, move, delete, change ACLs."""

from collections.abc import Sequence
from typing import Final

from ensemble.client import OPEN_ACL, Acl, Id
from ensemble.client.paths import parent_of
from tenants.bulk import reading
from tenants.bulk.preview import Preview
from tenants.bulk.reading import Found, Value, is_own
from tenants.bulk.steps import Before, Kind, Step, acl_of, is_masked
from tenants.bulk.work import Work, roots_below
from tenants.errors import InvalidError

EPHEMERAL: Final = "ephemeral, of a session: left out"
BECOMES: Final = "ephemeral, becomes persistent"
MASKED: Final = "its ACL hides digests from you: it cannot be copied"
SECRET: Final = "secret: its value is not kept, undoing cannot bring it back"
UNREAD: Final = "its value cannot be read: undoing cannot bring it back"


def duplicate(work: Work, preview: Preview) -> None:
    """Copies of all that is below a path, below another one."""
    copy(work, preview, work.job.path, target_of(work), deletes=False)


def move(work: Work, preview: Preview) -> None:
    """The same, and what was copied is deleted afterwards."""
    for slug in roots_below(work.job, work.job.path):
        preview.stop(f"The root of tenant {slug} lies there: a tenant's root cannot be moved.")
    copy(work, preview, work.job.path, target_of(work), deletes=True)


def target_of(work: Work) -> str:
    """Where it goes.

    Raises:
        InvalidError: it cannot go there.
    """
    path, to = work.job.path, work.text("to")
    if to == path or to.startswith("/" if path == "/" else f"{path}/"):
        raise InvalidError(f"{to} lies within {path}: choose a place beside it", field="to")
    if is_own(to) or is_own(path):
        raise InvalidError("/zookeeper is ZooKeeper's own: choose another path", field="to")
    return to


def copy(work: Work, preview: Preview, path: str, to: str, *, deletes: bool) -> None:
    found = work.subtree(path)
    clear_way(work, preview, to)
    persists = work.text("ephemerals", "leave") == "persist"
    left: set[str] = set()  # with all that is below it
    copied: list[Value] = []
    for value in reading.values(work.bridge, found, work.tell):
        why = why_not(value, persists=persists)
        if why or parent_of(value.found.path) in left:
            left.add(value.found.path)
            if why == EPHEMERAL:
                preview.leave("left", value.found.path, why)
            else:
                preview.block(value.found.path, why or "what is above it cannot be copied")
            continue
        is_ephemeral = value.found.stat.ephemeral_owner != 0
        preview.step(copy_step(work, value, path, to), BECOMES if is_ephemeral else "")
        preview.bytes += int(value.found.stat.data_bytes)
        copied.append(value)
    if deletes:
        delete_copied(work, preview, found, copied, path, to)


def clear_way(work: Work, preview: Preview, to: str) -> None:
    """The target is free, and what is above it there, or made."""
    above: list[str] = []
    at = parent_of(to)
    while at != "/":
        above.append(at)
        at = parent_of(at)
    there = {one.path: one for one in reading.stats(work.bridge, [to, *above])}
    if to in there:
        preview.stop(f"{to} is there already: choose another name, or delete it first.")
    for one in reversed(above):
        if one not in there:
            preview.step(Step("create", one, b"", acl=tuple(OPEN_ACL)), "missing parent")
        elif there[one].stat.ephemeral_owner:
            preview.stop(f"{one} is ephemeral: it cannot have children.")


def why_not(value: Value, *, persists: bool) -> str:
    """Why a znode cannot be copied."""
    if value.data is None:
        return value.found.blocked or reading.NO_PERMISSION
    if value.found.blocked:
        return value.found.blocked
    if value.found.stat.ephemeral_owner != 0 and not persists:
        return EPHEMERAL
    if value.acl is not None and is_masked(value.acl):
        return MASKED
    return ""


def copy_step(work: Work, value: Value, path: str, to: str) -> Step:
    found = value.found
    kind = work.kind(found)
    return Step(
        "create",
        moved(found.path, path, to),
        source=found.path,
        mzxid=int(found.stat.mzxid),
        acl=value.acl or tuple(OPEN_ACL),
        kind=kind if kind.mode != "ephemeral" else Kind(),
    )


def moved(path: str, root: str, to: str) -> str:
    """A path below `root` as it is called below `to`."""
    below = path if root == "/" else path[len(root) :]
    return to if below in ("", "/") else ("" if to == "/" else to) + below


def delete_copied(
    work: Work,
    preview: Preview,
    found: Sequence[Found],
    copied: Sequence[Value],
    path: str,
    to: str,
) -> None:
    """The sources go, children first; those that have something left below them stay."""
    goes = {value.found.path for value in copied}
    stays: set[str] = {"/"}
    for one in reversed(found):
        if one.path not in goes:
            stays.add(one.path)
        if one.path in stays:
            stays.add(parent_of(one.path))
    kept = [value.found.path for value in copied if value.found.path in stays]
    if kept:
        preview.note(
            f"{len(kept):,} znodes stay where they are, too: something is left below them."
        )
    for value in reversed(copied):
        one = value.found
        if one.path not in stays:
            kind = work.kind(one)
            was = Before(source=moved(one.path, path, to), acl=value.acl, kind=kind)
            preview.step(deletion(one, was))


def delete(work: Work, preview: Preview) -> None:
    """All below a path, children before their parents, and the path itself."""
    path = work.job.path
    if is_own(path):
        raise InvalidError("/zookeeper is ZooKeeper's own: choose another path", field="path")
    if path == "/" and work.job.tenant is None:
        raise InvalidError("a whole tree is not deleted: choose a path in it", field="path")
    for slug in roots_below(work.job, path):
        preview.stop(f"The root of tenant {slug} lies there: delete the tenant instead.")
    found = work.subtree(path)
    stays: set[str] = {"/"}
    for one in reversed(found):
        if one.blocked or one.path in stays:
            if one.path != "/":
                preview.block(one.path, one.blocked or "something below it stays")
            stays |= {one.path, parent_of(one.path)}
    live = 0
    for value in reading.values(work.bridge, found[::-1], work.tell):
        one = value.found
        if one.path in stays:
            continue
        was = before_of(work, value)
        note = {"secret": SECRET, "unread": UNREAD}.get(was.why, "")
        if was.kind.mode == "ephemeral":
            live += 1
            note = f"ephemeral, of session {int(one.stat.ephemeral_owner) & (1 << 64) - 1:#x}"
        preview.step(deletion(one, was), note)
        if was.data is not None:
            preview.bytes += len(was.data)
    if live:
        preview.note(
            f"{live:,} are ephemeral: sessions that live hold them, and programs will miss them."
        )


def deletion(one: Found, was: Before) -> Step:
    """One znode goes, if it still is as it was seen."""
    return Step(
        "delete",
        one.path,
        version=int(one.stat.version),
        czxid=int(one.stat.czxid),
        before=was,
    )


def before_of(work: Work, value: Value) -> Before:
    """What an undo needs of a znode; secret values are not kept, not even for that."""
    kind = work.kind(value.found)
    acl = None if value.acl is None or is_masked(value.acl) else value.acl
    if work.secrets.has(value.found.path):
        return Before(acl=acl, kind=kind, why="secret")
    return Before(value.data, acl=acl, kind=kind, why="unread" if value.data is None else "")


def acl_tree(work: Work, preview: Preview) -> None:
    """Another ACL for a path and all below it: set as a whole, or entries added or taken away."""
    how = work.text("how", "set")
    entries = [acl_of(text) for text in work.job.parameters.get("acl", [])]
    found = work.subtree(work.job.path)
    for value in reading.values(work.bridge, found, work.tell, data=False):
        one = value.found
        if value.acl is None:
            preview.block(one.path, "no permission to read its ACL")
            continue
        if one.blocked:
            preview.note("What is below some znodes cannot be listed, and stays as it is.")
            preview.block(one.path, one.blocked)
        if how != "set" and is_masked(value.acl):
            preview.block(one.path, MASKED)
            continue
        wanted = changed(value.acl, entries, how)
        if not wanted:
            preview.block(one.path, "nobody would be left in its ACL")
        elif sorted(map(key_of, wanted)) == sorted(map(key_of, value.acl)):
            preview.leave("same", one.path)
        else:
            was = None if is_masked(value.acl) else value.acl
            preview.step(
                Step(
                    "acl",
                    one.path,
                    acl=tuple(wanted),
                    version=int(one.stat.aversion),
                    czxid=int(one.stat.czxid),
                    before=Before(acl=was),
                )
            )


def changed(acl: Sequence[Acl], entries: Sequence[Acl], how: str) -> list[Acl]:
    """The ACL that it becomes: adding gives an identity letters, removing takes them."""
    if how == "set":
        return list(entries)
    perms: dict[tuple[str, str], int] = {}
    for entry in acl:
        perms[name_of(entry)] = perms.get(name_of(entry), 0) | entry.perms
    for entry in entries:
        had = perms.get(name_of(entry), 0)
        perms[name_of(entry)] = had | entry.perms if how == "add" else had & ~entry.perms
    return [
        Acl(allowed, Id(scheme, ident)) for (scheme, ident), allowed in perms.items() if allowed
    ]


def name_of(entry: Acl) -> tuple[str, str]:
    return entry.id.scheme or "", entry.id.id or ""


def key_of(entry: Acl) -> tuple[str, str, int]:
    return (*name_of(entry), int(entry.perms))
