"""`snapshot` and `restore`: the whole tree as a file over HTTP.

Source: admin.md 2.4.
"""

import logging
import os
import time
from typing import TYPE_CHECKING, Final, final

from aiohttp import web

from ensemble.errors import StorageError
from ensemble.server.admin_protocol import reply
from ensemble.server.restore import read_tree, replace_tree

if TYPE_CHECKING:
    from ensemble.server.admin_port import AdminPort

log = logging.getLogger("ensemble.admin")

NEEDS_LAST_ZXID: Final = "needs serializeLastProcessedZxid.enabled=true"


@final
class RateLimit:
    """One run in an interval."""

    def __init__(self, interval_ms: int) -> None:
        self.interval_s: Final = interval_ms / 1_000
        self.last: float | None = None

    def allows(self) -> bool:
        now = time.monotonic()
        if self.last is not None and now - self.last < self.interval_s:
            return False
        self.last = now
        return True


@final
class Backups:
    """How often snapshots and restores may be asked for."""

    def __init__(self, interval_ms: int) -> None:
        self.snapshots: Final = RateLimit(interval_ms)
        self.restores: Final = RateLimit(interval_ms)
        self.restoring = False


async def snapshot(port: "AdminPort", request: web.Request) -> web.StreamResponse:
    """Write a snapshot; with streaming (the default) the file is the answer."""
    node = port.node
    if node.pipeline.read_only:
        return reply("snapshot", {}, "no snapshot is written in read-only mode", 503)
    if not node.config.admin.snapshot_enabled:
        return reply("snapshot", {}, "snapshot is disabled: admin.snapshot.enabled", 503)
    if not node.config.storage.last_zxid_enabled:
        return reply("snapshot", {}, NEEDS_LAST_ZXID, 500)
    if not port.backups.snapshots.allows():
        node.stats.snapshots_limited += 1
        return reply("snapshot", {}, "too many snapshots: admin.rateLimiterIntervalInMS", 429)
    path = await node.upkeep.take_snapshot()
    if path is None:
        return reply("snapshot", {}, "the snapshot failed, see the server's log", 500)
    zxid = node.upkeep.last_snapshot[0]
    headers = {"last_zxid": f"{zxid:#x}", "snapshot_size": str(os.stat(path).st_size)}
    if request.query.get("streaming", "true").lower() == "false":
        response = reply("snapshot", {}, None)
        response.headers.update(headers)
        return response
    return web.FileResponse(path, headers={**headers, "Content-Type": "application/octet-stream"})


async def restore(port: "AdminPort", request: web.Request) -> web.StreamResponse:
    """Replace the whole tree by a posted snapshot; durable before the answer."""
    node = port.node
    backups = port.backups
    if not node.config.admin.restore_enabled:
        return reply("restore", {}, "restore is disabled: admin.restore.enabled", 503)
    if not node.config.storage.last_zxid_enabled:
        return reply("restore", {}, NEEDS_LAST_ZXID, 500)
    if backups.restoring or not backups.restores.allows():
        node.stats.restores_limited += 1
        return reply("restore", {}, "too many restores: admin.rateLimiterIntervalInMS", 429)
    backups.restoring = True
    began = time.monotonic()
    try:
        tree, zxid = await read_tree(node, request.content.iter_any())
        last_zxid = await replace_tree(node, tree, zxid)
    except (StorageError, ConnectionError, web.RequestPayloadError) as error:
        node.stats.restore_errors += 1
        log.error("restore refused, nothing has changed: %s", error)
        return reply("restore", {}, f"nothing has changed: {error}", 500)
    finally:
        backups.restoring = False
    node.stats.restore_ms.record(int((time.monotonic() - began) * 1_000))
    return reply("restore", {"last_zxid": last_zxid}, None)
