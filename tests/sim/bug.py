"""What a bug that is put back consists of, and how it is put back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.sim.faults import Change, as_it_is

Patches = list[tuple[Any, str, Any]]


@dataclass(frozen=True)
class Bug:
    """A mistake: where it was made, the attributes that make it again, and how runs are planned
    that show it. Those have nothing that other seeds do not have, too."""

    name: str
    source: str
    story: str
    patches: Callable[[], Patches]
    kind: str = ""  # of the runs that show it
    provoke: Change = as_it_is  # what makes them show it soon


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
