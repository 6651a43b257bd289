"""Every change that the console makes: one named function each, and a line in the audit log.

The line says who, what, where and how it ended, whether it succeeded or not. Data is never logged.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ensemble.client import OPEN_ACL, Acl, Client, ClientError, CreateMode, Stat, ensure_path
from ensemble.up import control
from ensemble.up.control import NodeReport
from tenants import znodes
from tenants.zk import Bridge

T = TypeVar("T")

log = logging.getLogger("console.audit")


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts, and on whose tree: its tenant or ensemble by name, nothing for the whole one."""

    name: str
    where: Mapping[str, str] = field(default_factory=dict)


def save_data(bridge: Bridge, actor: Who, path: str, data: bytes, version: int, czxid: int) -> Stat:
    """Replace a znode's data if it still is the one, with the version, that was edited.

    Raises:
        BadVersionError: somebody else was faster; nothing has been changed.
        ClientError, UnreachableError: as the server or the network had it.
    """

    async def work(client: Client) -> Stat:
        return await znodes.write_if(client, path, data, version, czxid)

    detail = {"version": version, "bytes": len(data)}
    return audited(bridge, actor, "set", path, detail, work)


def create_znode(
    bridge: Bridge,
    actor: Who,
    path: str,
    data: bytes,
    mode: CreateMode,
    ttl_ms: int | None,
    *,
    acl: Sequence[Acl] = OPEN_ACL,
    parents_acl: Sequence[Acl] | None = None,
) -> str:
    """Create a znode, open to everybody as clients do by default; its final path.

    With `parents_acl` what is missing above it comes first, persistent, with that ACL; it stays if
    the znode itself is refused.
    """

    async def work(client: Client) -> str:
        if parents_acl is not None:
            await ensure_path(client, path[: path.rfind("/")] or "/", parents_acl)
        return await client.create(path, data, mode=mode, acl=acl, ttl_ms=ttl_ms)

    detail = {"mode": mode.name, "bytes": len(data)}
    return audited(bridge, actor, "create", path, detail, work)


def save_acl(
    bridge: Bridge, actor: Who, path: str, acl: Sequence[Acl], aversion: int, czxid: int
) -> Stat:
    """Replace a znode's ACL if it still is the one, with the ACL, that was looked at."""

    async def work(client: Client) -> Stat:
        return await znodes.set_acl_if(client, path, acl, aversion, czxid)

    detail = {"aversion": aversion, "entries": len(acl)}
    return audited(bridge, actor, "set-acl", path, detail, work)


def delete_znode(
    bridge: Bridge, actor: Who, path: str, version: int, czxid: int | None = None
) -> None:
    """Delete a znode without children, if it still is the one, with the version, that was seen."""

    async def work(client: Client) -> None:
        await znodes.delete_if(client, path, version, czxid)

    audited(bridge, actor, "delete", path, {"version": version}, work)


def add_observer(folder: Path, actor: str) -> NodeReport:
    """Have the `ensemble up` of a folder start a further observer.

    Raises:
        NotRunningError, RefusedError: with the reason.
    """
    return recorded({"actor": actor, "action": "member-add"}, lambda: control.add_observer(folder))


def remove_observer(folder: Path, actor: str, id: int) -> None:
    """Have it stop an observer and remove its folder.

    Raises:
        NotRunningError, RefusedError: with the reason.
    """
    line = {"actor": actor, "action": "member-remove", "id": id}
    recorded(line, lambda: control.remove_observer(folder, id))


def audited(
    bridge: Bridge,
    actor: Who,
    action: str,
    path: str,
    detail: Mapping[str, object],
    work: Callable[[Client], Awaitable[T]],
) -> T:
    """Do the work with the client and write down how it ended."""
    line = {"actor": actor.name, **actor.where, "action": action, "path": path, **detail}
    return recorded(line, lambda: bridge.run(work))


def recorded(line: Mapping[str, object], work: Callable[[], T]) -> T:
    """Do the work and write down how it ended."""
    try:
        result = work()
    except Exception as error:
        code = error.code if isinstance(error, ClientError) else 0
        log.warning("%s", json.dumps({**line, "result": type(error).__name__, "code": code}))
        raise
    log.info("%s", json.dumps({**line, "result": "ok"}))
    return result
