"""Values as JSON and as text, with ZooKeeper's names. zxids and session ids are hex, as in logs."""

import base64

from ensemble.client.acl import format_permissions
from ensemble.client.watches import WatchEvent
from ensemble.wire.records import Acl, Stat


def stat(stat: Stat) -> dict[str, int | str]:
    """All fields; times in milliseconds."""
    return {
        "czxid": hex(stat.czxid),
        "mzxid": hex(stat.mzxid),
        "pzxid": hex(stat.pzxid),
        "ctime": stat.ctime,
        "mtime": stat.mtime,
        "version": stat.version,
        "cversion": stat.cversion,
        "aversion": stat.aversion,
        "ephemeralOwner": hex(stat.ephemeral_owner & 0xFFFF_FFFF_FFFF_FFFF),
        "dataLength": stat.data_bytes,
        "numChildren": stat.num_children,
    }


def znode(path: str, data: bytes, found: Stat) -> dict[str, object]:
    """The data as `text` where it is UTF-8, else as `base64`: one of the two is there."""
    value: dict[str, object] = {"path": path}
    try:
        value["text"] = data.decode("utf-8")
    except UnicodeDecodeError:
        value["base64"] = base64.b64encode(data).decode()
    value["stat"] = stat(found)
    return value


def acl(entry: Acl) -> dict[str, object]:
    return {
        "scheme": entry.id.scheme,
        "id": entry.id.id,
        "permissions": format_permissions(entry.perms),
    }


def acl_text(entry: Acl) -> str:
    """As `parse_acl` reads it."""
    return f"{entry.id.scheme}:{entry.id.id}:{format_permissions(entry.perms)}"


def event(event: WatchEvent) -> dict[str, object]:
    return {"event": event.type.name.lower(), "path": event.path, "zxid": hex(event.zxid)}
