"""Paths as people write them: checked before they are sent, and translated by the chroot.

Source: client.md section 10. The server checks too; checking here names the mistake, and keeps a
malformed path from meaning something else behind a chroot.
"""

import re
from typing import Final

from ensemble.client.errors import BadArgumentsError

ROOT: Final = "/"

# Control characters, surrogates, the private use area, specials, and all beyond the BMP.
FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff\U00010000-\U0010ffff]")


def check_path(path: str, *, sequential: bool = False) -> str:
    """The path itself, if it can name a znode. A sequential name may end with a slash.

    Raises:
        BadArgumentsError: names the path and what is wrong with it.
    """
    wrong = _what_is_wrong(path + "0" if sequential else path)
    if wrong:
        raise BadArgumentsError(wrong, path=repr(path))
    return path


def _what_is_wrong(path: str) -> str:
    if not path.startswith("/"):
        return "a path must start with /"
    if path == ROOT:
        return ""
    found = FORBIDDEN.search(path)
    if found:
        return f"character {ord(found[0]):#x} at {found.start()} is not allowed in a path"
    for name in path[1:].split("/"):
        if not name:
            return "a path must not have an empty name or end with /"
        if name in (".", ".."):
            return f"a name must not be {name}"
    return ""


def parent_of(path: str) -> str:
    """The path above; the root's is the root."""
    return path[: path.rfind("/")] or ROOT


class Chroot:
    """A part of the tree that a client sees as the whole. `Chroot("")` changes nothing."""

    __slots__ = ("prefix",)

    def __init__(self, prefix: str = "") -> None:
        if prefix == ROOT:
            prefix = ""
        self.prefix: Final = check_path(prefix) if prefix else ""

    def to_server(self, path: str) -> str:
        """The absolute path of a client's path."""
        if not self.prefix:
            return path
        return self.prefix if path == ROOT else self.prefix + path

    def to_client(self, path: str) -> str | None:
        """The client's path of an absolute one; None outside of the chroot."""
        prefix = self.prefix
        if not prefix:
            return path
        if path == prefix:
            return ROOT
        if path.startswith(prefix) and path[len(prefix)] == "/":
            return path[len(prefix) :]
        return None
