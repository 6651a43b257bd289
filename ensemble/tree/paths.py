"""Paths as UTF-8 bytes: which are legal, and what is above them.

Source: client.md section 10. Only creates, setData, setACL and check validate; reads do not, there a
malformed path is just a missing node. The root is `/`; the empty string is an alias of it for reads.
"""

from typing import Final

from mypy_extensions import i64

ROOT: Final = b"/"
ZOOKEEPER: Final = b"/zookeeper"
QUOTA: Final = b"/zookeeper/quota"
CONFIG: Final = b"/zookeeper/config"
ZOOKEEPER_PREFIX: Final = b"/zookeeper/"


def parent_of(path: bytes) -> bytes:
    """The text before the last slash; the root for names directly below it. `path` has a slash."""
    at = path.rfind(b"/")
    assert at >= 0, "a path has a slash"
    return ROOT if at == 0 else path[:at]


def name_of(path: bytes) -> bytes:
    """The text after the last slash."""
    return path[path.rfind(b"/") + 1 :]


def child_of(parent: bytes, name: bytes) -> bytes:
    """The path of `name` directly below `parent`."""
    return ROOT + name if len(parent) == 1 else parent + ROOT + name


def is_below(path: bytes, ancestor: bytes) -> bool:
    """Whether `path` is a descendant of `ancestor`, by whole components; not the node itself."""
    if len(ancestor) == 1:
        return len(path) > 1
    size = len(ancestor)
    return len(path) > size and path[size] == 0x2F and path.startswith(ancestor)


def is_valid_name(name: bytes) -> bool:
    """Whether one component is legal: not empty, `.` or `..`, and no forbidden code unit."""
    size: i64 = len(name)
    if size == 0:
        return False
    i: i64 = 0
    while i < size:
        byte = name[i]
        if byte < 0x20 or byte == 0x2F or byte >= 0x7F:
            return byte > 0x7F and _is_valid_text(name)
        i += 1
    return name != b"." and name != b".."


def is_valid_path(path: bytes) -> bool:
    """Whether a whole path is legal."""
    if len(path) == 0 or path[0] != 0x2F:
        return False
    if len(path) == 1:
        return True
    for name in path[1:].split(b"/"):
        if not is_valid_name(name):
            return False
    return True


def _is_valid_text(name: bytes) -> bool:
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
