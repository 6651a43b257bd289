"""A job's plan: one step for each znode that is to be changed, with what it was when looked at.

Each step names the version that it expects, so it changes nothing that somebody has changed since.
`before` is what an undo needs. On the disk a plan is a file of JSON lines, compressed.
"""

import base64
import gzip
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

from ensemble.client import Acl, CreateMode, Id
from ensemble.client.acl import PERMISSION_LETTERS, format_permissions
from tenants.errors import InvalidError

Op = Literal["create", "set", "delete", "acl"]

MODES: Final = {
    "persistent": CreateMode.PERSISTENT,
    "container": CreateMode.CONTAINER,
    "ttl": CreateMode.PERSISTENT_WITH_TTL,
}
COMPRESSION: Final = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """How long a znode lives: a key of MODES, or `ephemeral`."""

    mode: str = "persistent"
    ttl_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What a znode was. `source`: where the same data stand, in place of the data themselves.

    `data` and `source` None: the value is not kept, `why` says why.
    """

    data: bytes | None = None
    source: str = ""
    acl: tuple[Acl, ...] | None = None
    kind: Kind = field(default_factory=Kind)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One change. `version` and `czxid` are those that it has to find; of `acl`, the ACL's."""

    op: Op
    path: str
    data: bytes | None = None
    source: str = ""  # a create that copies this znode, at `mzxid`
    mzxid: int = 0
    acl: tuple[Acl, ...] | None = None
    kind: Kind = field(default_factory=Kind)
    version: int = -1
    czxid: int = 0
    before: Before | None = None

    @property
    def size(self) -> int:
        """About what it adds to a request."""
        named = len(self.path) * 3 + 64
        return named + len(self.data or b"") + sum(len(e.id.id or "") + 32 for e in self.acl or ())


# ACLs


def acl_text(entry: Acl) -> str:
    """`world:anyone:cdrwa`, as zkCli writes it; without letters where it allows nothing."""
    return f"{entry.id.scheme}:{entry.id.id}:{format_permissions(entry.perms)}"


def acl_of(text: object) -> Acl:
    """An entry as `acl_text` writes it.

    Raises:
        InvalidError: it is none.
    """
    parts = text.split(":", 1) if isinstance(text, str) else []
    if len(parts) != 2 or ":" not in parts[1] or not parts[0]:
        raise InvalidError(f"ACL entry {str(text)[:80]!r}: scheme:id:cdrwa is wanted", field="acl")
    ident, _, letters = parts[1].rpartition(":")
    perms = 0
    for letter in letters:
        if letter not in PERMISSION_LETTERS:
            raise InvalidError(
                f"ACL entry {str(text)[:80]!r}: {letter!r} is not one of cdrwa", field="acl"
            )
        perms |= PERMISSION_LETTERS[letter]
    return Acl(perms, Id(parts[0], ident))


def is_masked(acl: Sequence[Acl]) -> bool:
    """Whether digests are hidden in it: such an ACL cannot be written again."""
    return any(e.id.scheme == "digest" and (e.id.id or "").endswith(":x") for e in acl)


# Lines


def line_of(step: Step) -> bytes:
    """A step as a line of the plan; what is at its default is left out."""
    found: dict[str, Any] = {"o": step.op, "p": step.path, "v": step.version, "c": step.czxid}
    found |= shared(step.data, step.source, step.acl, step.kind)
    if step.mzxid:
        found["z"] = step.mzxid
    if step.before is not None:
        was = step.before
        found["b"] = shared(was.data, was.source, was.acl, was.kind)
        if was.why:
            found["b"]["w"] = was.why
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def shared(
    data: bytes | None, source: str, acl: tuple[Acl, ...] | None, kind: Kind
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if data is not None:
        found["d"] = base64.b64encode(data).decode()
    if source:
        found["f"] = source
    if acl is not None:
        found["a"] = [[e.id.scheme, e.id.id, e.perms] for e in acl]
    if kind.mode != "persistent":
        found["m"] = kind.mode
    if kind.ttl_ms is not None:
        found["t"] = kind.ttl_ms
    return found


def step_of(line: bytes) -> Step:
    """A line, read back. Lines are our own: what is wrong with one is a defect."""
    found = json.loads(line)
    was = found.get("b")
    return Step(
        op=cast(Op, found["o"]),
        path=found["p"],
        data=data_of(found),
        source=found.get("f", ""),
        mzxid=found.get("z", 0),
        acl=acl_in(found),
        kind=kind_in(found),
        version=found["v"],
        czxid=found["c"],
        before=None
        if was is None
        else Before(data_of(was), was.get("f", ""), acl_in(was), kind_in(was), was.get("w", "")),
    )


def data_of(found: dict[str, Any]) -> bytes | None:
    return base64.b64decode(found["d"]) if "d" in found else None


def acl_in(found: dict[str, Any]) -> tuple[Acl, ...] | None:
    if "a" not in found:
        return None
    return tuple(Acl(perms, Id(scheme, ident)) for scheme, ident, perms in found["a"])


def kind_in(found: dict[str, Any]) -> Kind:
    return Kind(found.get("m", "persistent"), found.get("t"))


class PlanWriter:
    """Writes a plan's file; nobody else reads it."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path
        self.steps = 0
        self._raw: Final[IO[bytes]] = private(path)
        self._file: Final = gzip.GzipFile(
            fileobj=self._raw, mode="wb", compresslevel=COMPRESSION, mtime=0
        )

    def add(self, step: Step) -> None:
        self._file.write(line_of(step))
        self.steps += 1

    def close(self) -> None:
        """All of it is on the disk."""
        self._file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()


def private(path: Path) -> IO[bytes]:
    """A new file, for this user alone."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def read_plan(path: Path, skip: int = 0) -> Iterator[Step]:
    """The steps in their order, from the one with this number on."""
    with gzip.open(path, "rb") as lines:
        for number, line in enumerate(lines):
            if number >= skip:
                yield step_of(line)
