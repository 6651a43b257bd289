"""What a bug that is put back consists of, and how it is put back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Patches = list[tuple[Any, str, Any]]


@dataclass(frozen=True)
class Bug:
    """A mistake: where it was made, and the attributes that make it again."""

    name: str
    source: str
    story: str
    patches: Callable[[], Patches]
    kind: str = ""  # of the runs that show it


@contextmanager
def put_back(bug: Bug) -> Iterator[None]:
    """The bug is there for as long as this lasts."""
    patches = bug.patches()
    kept = [getattr(owner, name) for owner, name, _ in patches]
    for owner, name, wrong in patches:
        setattr(owner, name, wrong)
    try:
        yield
    finally:
        for (owner, name, _), right in zip(patches, kept, strict=True):
            setattr(owner, name, right)
