"""A znode as the index has it, made of what a node said. Pure."""

import codecs
import hashlib
from dataclasses import dataclass
from typing import Final

from observability.models import Znode
from observability.rows import PATH_MAX, clean

TEXT_BYTES_MAX: Final = 16 << 10  # of a value; what is behind is not searched
PATH_KEPT_MAX: Final = 8_000  # characters; what is behind is neither searched nor shown
DIGEST: Final = 64
OWN: Final = "/zookeeper"


@dataclass(frozen=True, slots=True)
class Found:
    """A znode at a zxid. `is_gone`: it was deleted then."""

    path: str
    zxid: int
    at: int
    version: int = 0
    size: int = 0
    text: str = ""
    why: str = ""
    owner: str | None = ""  # None: as it was
    principal: str = ""
    is_gone: bool = False
    is_closed: bool | None = None  # whether an ACL keeps people from reading it; None: as it was


def is_indexed(path: str) -> bool:
    """ZooKeeper's own znodes are not: sessions, secrets' hashes, quotas, which pages show."""
    return path != OWN and not path.startswith(f"{OWN}/")


def key_of(path: str) -> str:
    """What stands for a path in the unique index; itself but for long ones."""
    if len(path) <= PATH_MAX:
        return path
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()
    return path[: PATH_MAX - DIGEST] + digest


def whole_of(path: str) -> str:
    return "" if len(path) <= PATH_MAX else path[:PATH_KEPT_MAX]


def text_of(head: bytes, size: int) -> tuple[str, str]:
    """What of a value can be searched, by its first bytes, and why that is not all of it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    cut = len(head) > TEXT_BYTES_MAX or size > len(head)
    try:
        text = decoder.decode(head[:TEXT_BYTES_MAX], final=not cut)
    except UnicodeDecodeError:
        return "", Znode.Why.BINARY
    return clean(text, len(text) + 4 * text.count("\0")), Znode.Why.CUT if cut else ""
