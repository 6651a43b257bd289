"""ACLs as the history keeps them: JSON lists of `scheme:id:cdrwa`, as zkCli writes entries."""

import json
from collections.abc import Sequence
from typing import Final

CHARS_MAX: Final = 4_096  # a longer one is not kept
ANYONE: Final = "world:anyone:"


def kept(entries: object) -> str:
    """As a column has it; empty where it is none, or too long."""
    if not isinstance(entries, list) or not all(isinstance(one, str) for one in entries):
        return ""
    found = json.dumps(entries, separators=(",", ":"))
    return found if len(found) <= CHARS_MAX else ""


def read(text: str | None) -> tuple[str, ...]:
    """The entries; none where it is not known."""
    return tuple(json.loads(text)) if text else ()


def hidden(entries: Sequence[str]) -> tuple[str, ...]:
    """For eyes: digests are hashes of passwords, and hidden as ZooKeeper hides them."""
    return tuple(map(hide, entries))


def hide(entry: str) -> str:
    scheme, _, rest = entry.partition(":")
    if scheme != "digest":
        return entry
    ident, _, letters = rest.rpartition(":")
    return f"digest:{ident.partition(':')[0]}:x:{letters}"


def is_open(entries: Sequence[str]) -> bool:
    """Whether everybody may read; not where nothing is known."""
    return any(one.startswith(ANYONE) and "r" in one[len(ANYONE) :] for one in entries)
