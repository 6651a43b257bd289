"""The dry run of bringing a subtree back to what it was: made again, set back, deleted."""

from collections.abc import Iterator
from typing import Final

from ensemble.client import OPEN_ACL, Acl
from ensemble.client.paths import parent_of
from observability import acls, subtree
from observability.history import HistoryError
from observability.subtree import Moment, Past, Was
from tenants.bulk import reading
from tenants.bulk.bounds import AT_ONCE_ZNODES, ZNODES_MAX
from tenants.bulk.entries import Entry
from tenants.bulk.plans import before_of
from tenants.bulk.preview import Preview
from tenants.bulk.reading import Found, MissingError
from tenants.bulk.steps import Before, Kind, Step, acl_of, acl_text, is_masked
from tenants.bulk.work import Work, may_set_acls, roots_below, sees_closed
from tenants.errors import InvalidError, LimitError

ACL_NOTE: Final = "takes its parent's ACL: the history does not have its own"
ACLS_ARE_OWNERS: Final = "has another ACL now, which an owner may set back"
WAS_EPHEMERAL: Final = "it was ephemeral: only a session can make it again"
EPHEMERAL: Final = "it is ephemeral now: its session holds it"


def moment_of(work: Work) -> Moment:
    """The moment that was asked for.

    Raises:
        InvalidError: it is none.
    """
    zxid, at_ms = work.job.parameters.get("zxid"), work.job.parameters.get("at_ms")
    if isinstance(zxid, int) == isinstance(at_ms, int):
        raise InvalidError("give either a time or a zxid", field="at")
    return Moment(zxid=zxid, at_ms=at_ms)


def restore(work: Work, preview: Preview) -> None:
    """What is missing is created, what differs is set, what came later is deleted.

    Raises:
        InvalidError, LimitError: with the reason.
    """
    try:
        Restore(work, preview).look()
    except HistoryError as error:
        raise InvalidError(f"{error}", field="at") from None


def entries(work: Work) -> tuple[int, Iterator[Entry]]:
    """A subtree as it was, for an export: how many znodes, and each of them.

    Raises:
        InvalidError, LimitError: with the reason.
    """
    moment, path = moment_of(work), work.job.path
    tenant = work.job.tenant
    try:
        found = work.subtree(path)
    except MissingError:
        found = []
    past = past_below(work, moment)
    standing = subtree.was({one.path: one.stat for one in found}, past, moment)
    if not standing:
        whose = work.job.ensemble if tenant is None else tenant.slug
        raise InvalidError(f"nothing is known of {path} in {whose} at that moment", field="at")
    return len(standing), filled(work, {one.path: one for one in found}, standing)


def filled(work: Work, now: dict[str, Found], standing: list[Was]) -> Iterator[Entry]:
    """With their values: from the tree where they are the same, else from the history."""
    sees = sees_closed(work.job)  # ACLs have hashes of passwords in them
    for start in range(0, len(standing), AT_ONCE_ZNODES):
        part = standing[start : start + AT_ONCE_ZNODES]
        same = [now[one.path] for one in part if one.how == "same"]
        read = {value.found.path: value for value in reading.values(work.bridge, same, quiet)}
        kept = subtree.values(sorted({one.value_id for one in part if one.value_id is not None}))
        for one in part:
            value = read.get(one.path)
            data = kept.get(one.value_id or 0) if value is None else value.data
            why = one.why if value is None else value.found.blocked
            if work.secrets.has(one.path) and not work.flag("secrets"):
                data, why = None, "secret"
            kind = subtree.kind_then(one.lives) if one.lives != "ephemeral" else Kind("ephemeral")
            if value is None:
                acl = acl_then(one.acl) if sees else None
            else:
                acl = None if not value.acl or is_masked(value.acl) else value.acl
            below = one.path if work.job.path == "/" else one.path[len(work.job.path) :]
            if data is None:
                why = why or subtree.NOT_KEPT
            yield Entry(below or "/", data, acl, kind, why if data is None else "")
        work.tell(start + len(part))


def past_below(work: Work, moment: Moment) -> dict[str, Past]:
    """What the history has of a job's subtree.

    Raises:
        LimitError: more znodes than one job takes.
    """
    tenant, ensemble = work.job.tenant, "" if work.job.tenant else work.job.ensemble
    found: dict[str, Past] = {}
    for past in subtree.last_changes(
        work.job.path, moment, ensemble=ensemble, tenant=tenant, sees_closed=sees_closed(work.job)
    ):
        if not reading.is_own(past.path):
            found[past.path] = past
        if len(found) > ZNODES_MAX:
            raise LimitError(f"the history has more than {ZNODES_MAX:,} znodes there: go by parts")
    return found


class Restore:
    """One dry run."""

    def __init__(self, work: Work, preview: Preview) -> None:
        self.work: Final = work
        self.preview: Final = preview
        self.moment: Final = moment_of(work)
        self.now: dict[str, Found] = {}
        self.past: dict[str, Past] = {}
        self.acls: Final[dict[str, tuple[Acl, ...]]] = {}
        self.gone: Final[set[str]] = set()  # what will not be there
        self.lost: Final[set[str]] = set()  # of these, nobody knows what they were

    def look(self) -> None:
        work, path = self.work, self.work.job.path
        tenant, ensemble = work.job.tenant, "" if work.job.tenant else work.job.ensemble
        for slug in roots_below(work.job, path):
            self.preview.stop(f"The root of tenant {slug} lies there: restore in its own tree.")
        if reading.is_own(path):
            raise InvalidError("/zookeeper is ZooKeeper's own: choose another path", field="path")
        try:
            found = work.subtree(path)
        except MissingError:
            found = []
        self.now = {one.path: one for one in found}
        self.past = past_below(work, self.moment)
        lost = subtree.known_before(path, self.moment, ensemble=ensemble, tenant=tenant)
        lost -= self.past.keys()
        if lost:
            lost -= subtree.made_since(path, self.moment, lost, ensemble=ensemble, tenant=tenant)
        self.lost.update(lost)
        for one in sorted(lost):
            self.gone.add(one)
            self.preview.block(one, f"it was there, perhaps: {subtree.NOT_KEPT}")
        self.later()
        self.earlier()

    def wants(self, what: str) -> bool:
        """Whether this kind of change was not left out."""
        return what not in self.work.job.parameters.get("without", [])

    # What is there now

    def later(self) -> None:
        """What is there now: the same, changed, or made since."""
        order = list(self.now.values())
        changed: list[Found] = []
        for one in order:
            if subtree.is_unchanged(one.stat, self.moment):
                self.preview.count("same")
            elif one.stat.ephemeral_owner:
                self.preview.leave("left", one.path, EPHEMERAL)
            elif self.existed(one):
                changed.append(one)
        self.set_back(changed)
        self.set_acls_back([one for one in order if self.had_another_acl(one)])
        self.delete_later([one for one in order if self.came_later(one)])

    def existed(self, one: Found) -> bool:
        """Whether a znode of this path was there: this one, or one before it."""
        past = self.past.get(one.path)
        there = past is not None and past.there and past.lives != "ephemeral"
        return there or subtree.was_there(one.stat, self.moment)

    def came_later(self, one: Found) -> bool:
        return not self.existed(one) and one.path not in self.lost

    def set_back(self, changed: list[Found]) -> None:
        if not self.wants("set"):
            for one in changed:
                self.preview.leave("kept", one.path, "changed since, left out")
            return
        for start in range(0, len(changed), AT_ONCE_ZNODES):
            part = changed[start : start + AT_ONCE_ZNODES]
            kept = self.values_of([one.path for one in part])
            for value in reading.values(self.work.bridge, part, quiet):
                one = value.found
                wanted = kept.get(one.path)
                if wanted is None:
                    self.preview.block(one.path, self.why(one.path))
                elif value.data is None:
                    self.preview.block(one.path, one.blocked)
                elif wanted == value.data:
                    self.preview.count("same")
                else:
                    self.preview.step(
                        Step(
                            "set",
                            one.path,
                            wanted,
                            version=int(one.stat.version),
                            czxid=int(one.stat.czxid),
                            before=before_of(self.work, value),
                        )
                    )
            self.work.tell(start + len(part))

    def had_another_acl(self, one: Found) -> bool:
        """Whether it may have: the history has one, and there is a newer one, or another znode."""
        past = self.past.get(one.path)
        if past is None or not past.acl or one.stat.ephemeral_owner:
            return False
        return one.stat.aversion > 0 or not subtree.was_there(one.stat, self.moment)

    def set_acls_back(self, there: list[Found]) -> None:
        """Each ACL that is another one now; data first, which it might forbid."""
        if not there or not self.wants("acl"):
            return
        may = may_set_acls(self.work.job)
        for start in range(0, len(there), AT_ONCE_ZNODES):
            part = there[start : start + AT_ONCE_ZNODES]
            for value in reading.values(self.work.bridge, part, quiet, data=False):
                one, now = value.found, value.acl
                wanted = acl_then(self.past[one.path].acl)
                if wanted is None or (now is not None and is_same(now, wanted)):
                    continue
                if now is None:
                    self.preview.block(one.path, one.blocked or "its ACL cannot be read")
                elif not may:
                    self.preview.leave("kept", one.path, ACLS_ARE_OWNERS)
                else:
                    self.preview.step(
                        Step(
                            "acl",
                            one.path,
                            acl=wanted,
                            version=int(one.stat.aversion),
                            czxid=int(one.stat.czxid),
                            before=Before(acl=None if is_masked(now) else now),
                        )
                    )

    def why(self, path: str) -> str:
        past = self.past.get(path)
        return (past.why if past is not None else "") or subtree.NOT_KEPT

    def values_of(self, paths: list[str]) -> dict[str, bytes]:
        """The values that were, as far as they are kept."""
        numbers = {
            path: past.value_id
            for path in paths
            if (past := self.past.get(path)) is not None and past.value_id is not None
        }
        found = subtree.values(sorted(set(numbers.values())))
        return {path: found[number] for path, number in numbers.items() if number in found}

    def delete_later(self, later: list[Found]) -> None:
        """What came since goes, children first, unless something below it stays."""
        if not self.wants("delete"):
            for one in later:
                self.preview.leave("kept", one.path, "made since, left out")
            return
        goes = {one.path for one in later if not one.stat.ephemeral_owner}
        stays = {"/"}
        for one in reversed(list(self.now.values())):
            if one.path not in goes or one.blocked or one.path in stays:
                stays |= {one.path, parent_of(one.path)}
        leaving = [one for one in later if one.path in goes]
        for one in leaving:
            if one.path in stays:
                self.preview.block(one.path, one.blocked or "something below it stays")
        gone = [one for one in reversed(leaving) if one.path not in stays]
        for value in reading.values(self.work.bridge, gone, quiet):
            one = value.found
            self.preview.step(
                Step(
                    "delete",
                    one.path,
                    version=int(one.stat.version),
                    czxid=int(one.stat.czxid),
                    before=before_of(self.work, value),
                ),
                "made since",
            )

    # What was there and is not any more

    def earlier(self) -> None:
        """What was there and has gone is made again, parents first."""
        missing = [one for one in self.past.values() if one.there and one.path not in self.now]
        missing.sort(key=lambda one: (one.path.count("/"), one.path))
        if not self.wants("create"):
            for one in missing:
                self.preview.leave("kept", one.path, "deleted since, left out")
            return
        made: set[str] = set()
        for start in range(0, len(missing), AT_ONCE_ZNODES):
            part = missing[start : start + AT_ONCE_ZNODES]
            kept = self.values_of([one.path for one in part])
            for one in part:
                above = parent_of(one.path)
                if one.lives == "ephemeral":
                    self.gone.add(one.path)
                    self.preview.block(one.path, WAS_EPHEMERAL)
                elif one.path not in kept:
                    self.gone.add(one.path)
                    self.preview.block(one.path, one.why or subtree.NOT_KEPT)
                elif above in self.gone or not self.has(above, made):
                    self.gone.add(one.path)
                    self.preview.block(one.path, "what was above it cannot be made again")
                else:
                    own = acl_then(one.acl)
                    acl = own or self.acl_of(above)
                    self.acls[one.path] = acl
                    made.add(one.path)
                    self.preview.step(
                        Step(
                            "create",
                            one.path,
                            kept[one.path],
                            acl=acl,
                            kind=subtree.kind_then(one.lives),
                        ),
                        "" if own else ACL_NOTE,
                    )
            self.work.tell(start + len(part))

    def has(self, path: str, made: set[str]) -> bool:
        """Whether a parent is there, or will be."""
        if path in made or path in self.now or path in self.acls:
            return True
        return bool(reading.stats(self.work.bridge, [path]))

    def acl_of(self, path: str) -> tuple[Acl, ...]:
        """The ACL of a parent; what cannot be read is open, within a tenant's wall."""
        if path not in self.acls:
            there = reading.stats(self.work.bridge, [path])
            read = list(reading.values(self.work.bridge, there, quiet, data=False))
            self.acls[path] = (read[0].acl if read else None) or tuple(OPEN_ACL)
        return self.acls[path]


def is_same(now: tuple[Acl, ...], then: tuple[Acl, ...]) -> bool:
    """Whether two ACLs say the same; digests that are hidden in one are hidden in both."""
    one, other = [acl_text(entry) for entry in now], [acl_text(entry) for entry in then]
    if is_masked(now):
        one, other = list(acls.hidden(one)), list(acls.hidden(other))
    return sorted(one) == sorted(other)


def acl_then(entries: tuple[str, ...]) -> tuple[Acl, ...] | None:
    """An ACL of the history; None where it is not known."""
    try:
        return tuple(map(acl_of, entries)) or None
    except InvalidError:
        return None


def quiet(_: int) -> None:
    """What is compared is not counted twice."""
