"""Paths: which are legal, and their parts.

Source: client.md section 10. Paths are UTF-8 bytes; legality is a matter of UTF-16 code units, as
in the Java server. No normalisation of any kind.
"""

from typing import Final

ROOT: Final = b"/"
# Everything a path of plain ASCII may not hold: control characters and DEL.
ASCII_FORBIDDEN: Final = bytes(range(0x20)) + b"\x7f"


def is_legal(path: bytes) -> bool:
    """Whether a znode may have this path.

    `find` and not `in`: for bytes the latter first tries, and fails, to read its left side as a number.
    """
    if path == ROOT:
        return True
    if not path.startswith(b"/") or path.endswith(b"/") or path.find(b"//") >= 0:
        return False
    if path.find(b"/.") >= 0 and has_dot_component(path):
        return False
    if path.isascii():
        return len(path.translate(None, ASCII_FORBIDDEN)) == len(path)
    return is_legal_text(path)


def has_dot_component(path: bytes) -> bool:
    """Whether a component is exactly "." or ".."."""
    return any(component in (b".", b"..") for component in path.split(b"/"))


def has_no_slash_or_nul(path: bytes) -> bool:
    """What create and delete refuse before they look at anything else."""
    return path.find(b"/") < 0 or path.find(b"\0") >= 0


def is_legal_text(path: bytes) -> bool:
    """The code unit rules. What lies beyond U+FFFF is two surrogates to Java, thus forbidden."""
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return False  # Java would see U+FFFD, which is forbidden
    for character in text:
        code = ord(character)
        if code <= 0x1F or 0x7F <= code <= 0x9F or 0xD800 <= code <= 0xF8FF or code >= 0xFFF0:
            return False
    return True


def parent_of(path: bytes) -> bytes:
    """The text before the last slash; the root for top-level names and for the root itself."""
    slash = path.rfind(b"/")
    return ROOT if slash <= 0 else path[:slash]


def is_within(path: bytes, ancestor: bytes) -> bool:
    """Whether `path` is `ancestor` or below it, by whole components."""
    if ancestor == ROOT or path == ancestor:
        return True
    size = len(ancestor)
    return len(path) > size and path.startswith(ancestor) and path[size] == 0x2F


def first_component(path: bytes) -> bytes:
    """The name of the top-level znode above `path`; empty for the root."""
    slash = path.find(b"/", 1)
    return path[1:] if slash < 0 else path[1:slash]
