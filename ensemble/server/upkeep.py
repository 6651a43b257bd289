"""What a server does beside serving: snapshots, the sweep of containers, purging."""

import asyncio
import logging
import os
import random
import time
from typing import TYPE_CHECKING, Final, final

from librt.strings import BytesWriter

from ensemble.errors import StorageError
from ensemble.server.clock import wall_ms
from ensemble.server.costs import Window, accounts
from ensemble.server.disk_room import DiskRoom
from ensemble.server.snapshots import Snapshotter
from ensemble.server.soft_quotas import SoftQuotas
from ensemble.storage import purge, snapfile
from ensemble.tree import reaping
from ensemble.tree.datatree import DataTree
from ensemble.tree.prepare import WriteRequest
from ensemble.wire import codes
from ensemble.wire.jute import reader_of, write_buffer

if TYPE_CHECKING:
    from ensemble.server.node import Node

log = logging.getLogger("ensemble.node")

QUOTAS_EVERY_MS: Final = 1_000
REAPED_PER_TICK_MAX: Final = 500
# A child that writes a large tree takes a processor, and every page that the server changes
# meanwhile is copied. So after a snapshot that took a second none begins for three, however many
# transactions come: at the price of some seconds' worth of transactions to replay after a crash.
SNAPSHOT_REST: Final = 3.0


@final
class Upkeep:
    """One server's upkeep; its node calls it from the loop."""

    def __init__(self, node: "Node") -> None:
        self.node: Final = node
        self.snapshotter: Final = Snapshotter(self.on_snapshot)
        self.last_snapshot: tuple[int, float] = (-1, -1.0)
        self.snapshot_ended: Final = asyncio.Event()  # set whenever a child has ended
        self.not_before_s = 0.0
        self.next_reap_ms = 0
        self.next_purge_ms = 0
        self.reap_queue: list[bytes] = []
        self.window: Final = Window()
        self.soft_quotas: Final = SoftQuotas()
        self.next_quotas_ms = 0
        self.room: Final = DiskRoom(node)

    def on_tick(self, now_ms: int, orders: bool) -> None:
        """Close windows; sweep, where this server `orders` writes; purge, when it is time."""
        self.window.close(accounts(self.node), now_ms)
        self.room.on_tick(now_ms)
        if now_ms >= self.next_quotas_ms:
            self.next_quotas_ms = now_ms + QUOTAS_EVERY_MS
            self.soft_quotas.on_tick(self.node.tree)
        if orders:
            self.reap(now_ms)
        if now_ms >= self.next_purge_ms and self.node.config.storage.purge_hours:
            self.start_purge(now_ms)

    def reap(self, now_ms: int) -> None:
        """Delete containers and TTL nodes that are due, so many a minute."""
        options = self.node.config.tree
        if now_ms >= self.next_reap_ms:
            self.next_reap_ms = now_ms + options.container_check_ms
            most = max(1, options.container_max_per_minute * options.container_check_ms // 60_000)
            self.reap_queue = reaping.due(
                self.node.tree, wall_ms(), options.container_never_used_ms, most
            )
        for path in self.reap_queue[:REAPED_PER_TICK_MAX]:
            body = BytesWriter()
            write_buffer(body, path)
            self.node.authority.submit(
                WriteRequest(0, 0, codes.OP_DELETE_CONTAINER, reader_of(body.getvalue()), [])
            )
        del self.reap_queue[:REAPED_PER_TICK_MAX]

    def snapshot_due(self) -> None:
        """Enough has been logged: unless the last one took long just now, write a snapshot."""
        if self.node.serving and time.monotonic() >= self.not_before_s:
            self.start_snapshot()

    def plan_snapshot(self) -> None:
        """How much until the next one: spread, so that servers do not do it together."""
        storage = self.node.config.storage
        half = max(1, storage.snap_count // 2)
        self.node.authority.snapshot_at = half + random.randrange(half)
        half = storage.snap_size_kb * 512
        self.node.authority.snapshot_at_bytes = (
            half + random.randrange(half) if half > 0 else 1 << 62
        )

    def save_snapshot(self, tree: DataTree | None = None) -> None:
        storage = self.node.config.storage
        snapfile.save(
            self.node.disk,
            self.node.layout,
            tree or self.node.tree,
            storage.compression,
            storage.digest_enabled,
            storage.last_zxid_enabled,
        )
        self.last_snapshot = (self.node.tree.last_zxid, time.time())

    def find_last_snapshot(self) -> None:
        """The newest snapshot that this server has found at its start."""
        for zxid, path in self.node.layout.snapshots(self.node.disk):
            if zxid >= self.last_snapshot[0]:
                self.last_snapshot = (zxid, os.stat(path).st_mtime)

    def start_snapshot(self) -> bool:
        """Fork a child that writes the tree as it is now; the log begins a new file."""
        self.node.authority.txns_since_snapshot = 0
        self.node.authority.log_bytes_since_snapshot = 0
        self.plan_snapshot()
        started = self.snapshotter.start(
            self.node.loop, self.node.tree.last_zxid, self.save_snapshot
        )
        if started:
            self.node.authority.batch.roll = True
        return started

    async def take_snapshot(self) -> str | None:
        """Write a snapshot of now on somebody's request; its path, or None where it failed."""
        await self.snapshot_done()
        if not self.start_snapshot():
            return None
        zxid = self.node.tree.last_zxid
        await self.snapshot_done()
        path = self.node.layout.snapshot_path(zxid, self.node.config.storage.compression)
        return path if self.last_snapshot[0] == zxid and self.node.disk.exists(path) else None

    async def snapshot_done(self) -> None:
        """Wait until no child writes a snapshot."""
        while self.snapshotter.running:
            self.snapshot_ended.clear()
            await self.snapshot_ended.wait()

    def forget_reaping(self) -> None:
        self.reap_queue.clear()
        self.next_reap_ms = 0

    def on_snapshot(self, zxid: int, took_s: float, ok: bool) -> None:
        self.snapshot_ended.set()
        if ok:
            self.last_snapshot = (zxid, time.time())
            self.node.stats.snapshot_ms.record(int(took_s * 1_000))
        else:
            self.node.stats.snapshot_errors += 1
        self.not_before_s = time.monotonic() + SNAPSHOT_REST * took_s

    def start_purge(self, now_ms: int) -> None:
        """Purging reads snapshots to verify them: not on the loop's thread."""
        self.next_purge_ms = now_ms + self.node.config.storage.purge_hours * 3_600_000
        self.node.loop.run_in_executor(None, self.purge)

    def purge(self) -> None:
        try:
            removed = purge.purge(
                self.node.disk, self.node.layout, self.node.config.storage.purge_retain
            )
        except StorageError as error:
            log.error("purge failed: %s", error)
            return
        if removed:
            log.info("purged %d files, the last one %s", len(removed), removed[-1])
