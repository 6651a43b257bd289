"""How the pages show what `tenants.znodes` reads."""

from datetime import UTC, datetime
from typing import Any, Final

from console import formats
from ensemble.client import Acl, Stat
from tenants.znodes import (
    CHILDREN_PAGE_MAX,
    ZnodeView,
    child_path,
    read_acl,
    read_children,
    read_names,
    read_znode,
)

__all__ = [
    "CHILDREN_PAGE_MAX",
    "as_json",
    "child_path",
    "read_acl",
    "read_children",
    "read_names",
    "read_znode",
]

PERMISSIONS: Final = ((1, "read"), (2, "write"), (4, "create"), (8, "delete"), (16, "admin"))


def as_json(view: ZnodeView, format: str = "") -> dict[str, Any]:
    """A znode for the page's script. 64-bit numbers go as text: a browser would round them."""
    too_large = len(view.data) > formats.SHOWN_BYTES_MAX
    shown = formats.Shown("hex", "", ("hex",)) if too_large else formats.show(view.data, format)
    language = formats.language(shown.text) if shown.format == "gzip" else shown.format
    return {
        "path": view.path,
        "format": shown.format,
        "formats": shown.offered,
        "language": language,
        "text": shown.text,
        "too_large": too_large,
        "bytes": len(view.data),
        "version": view.stat.version,
        "aversion": view.stat.aversion,
        "ephemeral": view.stat.ephemeral_owner != 0,
        "czxid": hex(view.stat.czxid),
        "mzxid": hex(view.stat.mzxid),
        "children": view.stat.num_children,
        "stat": stat_rows(view.stat),
        "acl": None if view.acl is None else acl_rows(view.acl),
    }


def stat_rows(stat: Stat) -> list[list[str]]:
    """Name, value and explanation of each field, in ZooKeeper's words."""
    owner = stat.ephemeral_owner & 0xFFFFFFFFFFFFFFFF
    return [
        ["version", str(stat.version), "changes of the data"],
        ["mtime", when(stat.mtime), "last change of the data"],
        ["mzxid", hex(stat.mzxid), "transaction of the last change of the data"],
        ["ctime", when(stat.ctime), "creation"],
        ["czxid", hex(stat.czxid), "transaction of the creation"],
        ["dataLength", f"{stat.data_bytes:,}", "bytes"],
        ["numChildren", f"{stat.num_children:,}", "children"],
        ["cversion", str(stat.cversion), "changes of the children"],
        ["pzxid", hex(stat.pzxid), "transaction of the last change of the children"],
        ["aversion", str(stat.aversion), "changes of the ACL"],
        ["ephemeralOwner", hex(owner) if owner else "-", "session whose end deletes this znode"],
    ]


def acl_rows(acl: list[Acl]) -> list[list[str | int]]:
    """Scheme, id and permissions of each entry, the bits in words and as a number."""
    rows: list[list[str | int]] = []
    for entry in acl:
        allowed = [name for bit, name in PERMISSIONS if entry.perms & bit]
        text = "all" if len(allowed) == len(PERMISSIONS) else ", ".join(allowed) or "none"
        rows.append([entry.id.scheme or "", entry.id.id or "", text, entry.perms])
    return rows


def when(ms: int) -> str:
    """An instant in UTC; the number itself where it is no date that Python knows."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"
