"""Paths as UTF-8 bytes: which are legal, and what is above them.

Source: client.md section 10. Only creates, setData, setACL and check validate; reads do not, there
a malformed path is just a missing node. The root is `/`; the empty string is an alias of it for
reads.
"""

from typing import Final

from mypy_extensions import i64

ROOT: Final = b"/"
ZOOKEEPER: Final = b"/zookeeper"
QUOTA: Final = b"/zookeeper/quota"
CONFIG: Final = b"/zookeeper/config"
ZOOKEEPER_PREFIX: Final = b"/zookeeper/"
LETTER_Z: Final = 0x7A


def parent_of(path: bytes) -> bytes:
    """The text before the last slash; the root for top-level names and for the root itself."""
    at = path.rfind(b"/")
    return ROOT if at <= 0 else path[:at]


def is_within(path: bytes, ancestor: bytes) -> bool:
    """Whether `path` is `ancestor` or below it, by whole components."""
    if len(ancestor) == 1 or path == ancestor:
        return True
    size = len(ancestor)
    return len(path) > size and path[size] == 0x2F and path.startswith(ancestor)


def may_be_system(path: bytes) -> bool:
    """Whether a path may begin with `/zookeeper`: one byte says no for nearly all others."""
    return len(path) > 1 and path[1] == LETTER_Z


def first_component(path: bytes) -> bytes:
    """The name of the top-level znode at or above `path`; empty for the root."""
    at = path.find(b"/", 1)
    return path[1:] if at < 0 else path[1:at]


def is_legal_name(name: bytes) -> bool:
    """Whether one component is legal: not empty, `.` or `..`, and no forbidden code unit."""
    size: i64 = len(name)
    if size == 0:
        return False
    i: i64 = 0
    while i < size:
        byte = name[i]
        if byte < 0x20 or byte == 0x2F or byte >= 0x7F:
            return byte > 0x7F and _is_legal_text(name)
        i += 1
    return name != b"." and name != b".."


def is_legal(path: bytes) -> bool:
    """Whether a whole path is legal."""
    if len(path) == 0 or path[0] != 0x2F:
        return False
    if len(path) == 1:
        return True
    names = path[1:].split(b"/")
    for name in names:  # noqa: SIM110 - a generator is slow when compiled
        if not is_legal_name(name):
            return False
    return True


def _is_legal_text(name: bytes) -> bool:
    """The slow way, for names with a byte above ASCII."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    for character in text:
        unit = ord(character)
        if (
            unit < 0x20
            or unit == 0x2F
            or 0x7F <= unit <= 0x9F
            or 0xD800 <= unit <= 0xF8FF
            or unit >= 0xFFF0
        ):
            return False
    return True
