"""Lines of the change feed as revisions of znodes. No database here.

Of ZooKeeper's own znodes quotas and the configuration are kept; the registry and its sessions are
not: they hold hashes of secrets, and the plane knows them anyway.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from observability import acls
from observability.index.rows import TEXT_BYTES_MAX, is_indexed, text_of
from observability.models import Revision, Znode
from observability.roots import QUOTAS, Roots, inward
from observability.rows import PATH_MAX, clean, ms_of, zxid_of

VALUE_BYTES_MAX: Final = 256 << 10  # a larger one is not kept; the row says so
CHANGES: Final = frozenset(
    (
        *("create", "create2", "createContainer", "createTTL", "createTtl", "setData", "delete"),
        *("setACL", "deleteContainer", "reconfig"),
    )
)
OWN: Final = "/zookeeper/"
KEPT: Final = (f"{QUOTAS}/", "/zookeeper/config")
COMPRESSION: Final = 6
HEAD_BASE64: Final = (TEXT_BYTES_MAX // 3 + 1) * 4
FULL_BY: Final = 1.25  # beyond its bytes by so much a tenant's values are not kept any more


@dataclass(frozen=True, slots=True)
class Policy:
    """What is kept of a tenant."""

    secret_paths: tuple[str, ...] = ()
    days: int = 30
    bytes_max: int = 50_000_000
    root: str = ""

    def is_secret(self, path: str) -> bool:
        """Whether a path of the tree lies within a secret one, as tenant or tree call it."""
        names = (path, inward(self.root, path) if self.root else None)
        return any(
            name is not None and (secret == "/" or name == secret or name.startswith(f"{secret}/"))
            for secret in (one.rstrip("/") or "/" for one in self.secret_paths)
            for name in names
        )


NOBODYS: Final = Policy()


@dataclass(slots=True)
class Change:
    """A revision before it is a row. `data` None: no value, or none that is kept."""

    tenant: str
    path: str
    zxid: int
    part: int
    at: int
    operation: str
    within: str = ""
    version: int | None = None
    principal: str = ""
    session: str = ""
    size: int | None = None
    why: str = ""
    data: bytes | None = None  # compressed
    digest: str = ""
    whole: str = ""  # the path, where it is longer than PATH_MAX
    text: str = ""  # for the index
    text_why: str = ""
    owner: str = ""  # the session, of an ephemeral one
    is_closed: bool = False  # of a creation or an ACL: not everybody may read it
    acl: str = ""  # of a creation or an ACL, as `acls` keeps it; empty: not known


@dataclass(slots=True)
class Stretch:
    """What a run of lines brought: up to which zxid, what changed, what went wrong."""

    cursor: str = ""
    changes: list[Change] = field(default_factory=list)
    newest_ms: int = 0
    gaps: list[str] = field(default_factory=list)
    restart_at: str = ""  # the feed goes on from there alone
    problem: str = ""
    lines: int = 0
    size: int = 0

    @property
    def is_over(self) -> bool:
        return bool(self.gaps or self.problem)


class ChangeReader:
    """Reads lines of one ensemble's feed. `stored`: bytes that each tenant's history has now."""

    def __init__(self, stored: dict[str, int]) -> None:
        self.stored: Final = stored
        self.roots = Roots({})
        self.policies: Mapping[str, Policy] = {}
        self.has_values = True

    def read(self, raw: bytes, into: Stretch) -> None:
        """One line more."""
        into.lines += 1
        into.size += len(raw)
        try:
            fields = json.loads(raw)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            into.gaps.append(f"a line of the feed is no JSON object: {raw[:100]!r}")
            return
        if "error" in fields:
            said = str(fields["error"])[:500]
            into.restart_at = str(fields.get("oldest", ""))
            if into.restart_at or "cursor" not in fields:
                into.gaps.append(said)
            else:
                into.problem = said  # the node cannot read its files: nothing is missing yet
        zxid = zxid_of(str(fields.get("zxid", "")))
        if zxid is None:
            into.cursor = str(fields.get("cursor", "")) or into.cursor
            return
        try:
            into.newest_ms = ms_of(str(fields.get("time", "")))
        except ValueError:
            into.gaps.append(f"the transaction {zxid:#x} has no time")
        into.changes += self.changes(fields, zxid, into.newest_ms)
        into.cursor = f"{zxid:#x}"

    def changes(self, fields: dict[str, Any], zxid: int, at: int) -> Iterator[Change]:
        if "result" in fields:
            return  # it failed, or was refused as a whole
        operation = str(fields.get("operation", ""))
        principal = clean(str(fields.get("principal", "")), 500)
        who = (principal, clean(str(fields.get("session", "")), 20))
        if operation == "closeSession":
            for part, path in enumerate(fields.get("paths") or []):
                yield from self.change({"operation": "delete", "path": path}, zxid, part, at, who)
        elif operation == "multi":
            for part, inner in enumerate(fields.get("parts") or []):
                if isinstance(inner, dict):
                    yield from self.change(inner, zxid, part, at, who, operation)
        else:
            yield from self.change(fields, zxid, 0, at, who)

    def change(
        self,
        fields: dict[str, Any],
        zxid: int,
        part: int,
        at: int,
        who: tuple[str, str],
        within: str = "",
    ) -> Iterator[Change]:
        operation, path = str(fields.get("operation", "")), str(fields.get("path", ""))
        if operation not in CHANGES or not path or not is_kept(path):
            return
        version = fields.get("version")
        made = Change(
            tenant=self.roots.tenant_of(path),
            path=clean(path, PATH_MAX),
            zxid=zxid,
            part=part,
            at=at,
            operation=operation,
            within=f"{within} {lives(fields)}".strip(),
            version=version if isinstance(version, int) and abs(version) < 1 << 31 else None,
            principal=who[0],
            session=who[1],
        )
        if len(path) > PATH_MAX:
            made.whole = clean(path, len(path) + 4 * path.count("\0"))
        made.is_closed = fields.get("closed") is True
        made.acl = acls.kept(fields.get("acl"))
        if fields.get("ephemeral") is True:
            made.owner = made.session
        size = fields.get("bytes")
        if isinstance(size, int) and 0 <= size < 1 << 31:
            made.size = size
            self.keep_value(made, path, fields.get("value"))
            self.keep_text(made, path, fields.get("value"))
        yield made

    def keep_value(self, change: Change, path: str, value: object) -> None:
        """The value, if it may be kept."""
        policy = self.policies.get(change.tenant, NOBODYS)
        size = change.size or 0
        if policy.is_secret(path):
            change.why = Revision.Why.SECRET
        elif not self.has_values:
            change.why = Revision.Why.TOKEN
        elif size > VALUE_BYTES_MAX:
            change.why = Revision.Why.LARGE
        elif self.stored.get(change.tenant, 0) > FULL_BY * policy.bytes_max:
            change.why = Revision.Why.BUDGET
        elif isinstance(value, str):
            try:
                data = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                return
            change.digest = hashlib.sha256(data).hexdigest()
            change.data = zlib.compress(data, COMPRESSION)

    def keep_text(self, change: Change, path: str, value: object) -> None:
        """What the index has of the value, however full the history is."""
        if not is_indexed(path):
            return
        if self.policies.get(change.tenant, NOBODYS).is_secret(path):
            change.text_why = Znode.Why.SECRET
        elif change.size and not isinstance(value, str):
            change.text_why = Znode.Why.TOKEN
        elif isinstance(value, str):
            try:
                head = base64.b64decode(value[:HEAD_BASE64], validate=True)
            except (binascii.Error, ValueError):
                return
            change.text, change.text_why = text_of(head, change.size or 0)


def lives(fields: dict[str, Any]) -> str:
    """How long a new znode lives, where that is not until it is deleted: a restore asks."""
    ttl = fields.get("ttl")
    if fields.get("ephemeral"):
        return "ephemeral"
    return f"ttl={ttl:x}" if isinstance(ttl, int) and 0 < ttl < 1 << 40 else ""


def is_kept(path: str) -> bool:
    return not path.startswith(OWN) or path.startswith(KEPT)
