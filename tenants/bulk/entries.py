"""A znode as files carry it, below the root of what was exported."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ensemble.client import Acl
from tenants.bulk.steps import Kind
from tenants.errors import InvalidError

FORMAT: Final = "ensemble-znodes"
VERSION: Final = 1
MANIFEST: Final = "znodes.json"
OWN_DATA: Final = "__data__"  # in an archive: the value of a znode that has children


class FileError(InvalidError):
    """A file cannot be imported: which part of it, and why."""

    code = "file"

    def __init__(self, text: str) -> None:
        super().__init__(text, field="file")


@dataclass(frozen=True, slots=True)
class Entry:
    """`path` begins with a slash; `/` is the root itself. `data` None: its value was left out."""

    path: str
    data: bytes | None
    acl: tuple[Acl, ...] | None = None
    kind: Kind = field(default_factory=Kind)
    left_out: str = ""
    stat: dict[str, Any] | None = None


def sorted_entries(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Parents before their children, names in their order."""
    return iter(
        sorted(entries, key=lambda entry: [] if entry.path == "/" else entry.path.split("/"))
    )
