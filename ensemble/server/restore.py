"""Restore: a posted snapshot takes the place of the whole tree, on the disk before in memory.

Source: admin.md 2.4. Apache's server keeps the restored tree in memory only; a restart brings the
old one back. Here the tree is written as a snapshot first, under a zxid above everything that this
server has logged, so recovery finds it and no older log is replayed over it. Until that file is
durable nothing has changed, and a failure leaves the server as it was.

Connections are cut: every client has to come back and learn whether its session still exists.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Final

from ensemble.errors import StorageError
from ensemble.server.standalone import StandaloneAuthority
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import signed64
from ensemble.tree.prepare import Preparer
from ensemble.tree.snapshot_reader import SnapshotReader
from ensemble.wire.zxid import format_zxid

if TYPE_CHECKING:
    from ensemble.server.node import Node

log = logging.getLogger("ensemble.restore")

BODY_BYTES_MAX: Final = 1 << 32
ZXID_MAX: Final = (1 << 63) - 2


async def read_tree(node: "Node", chunks: AsyncIterator[bytes]) -> tuple[DataTree, int]:
    """The tree of an uncompressed snapshot stream, and the zxid that it was written at.

    Raises:
        StorageError: the stream is no whole snapshot, or cannot be proved to be one.
    """
    options = node.config
    reader = SnapshotReader(options.tree.extended_types, options.storage.digest_enabled)
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise StorageError(f"more than {BODY_BYTES_MAX} bytes")
        reader.feed(chunk)
    zxid = int(reader.last_zxid)
    snapshot = reader.finish(zxid)
    if not 0 <= zxid <= ZXID_MAX:
        raise StorageError(
            "it carries no last zxid: it was written with serializeLastProcessedZxid.enabled=false"
        )
    comparable = zxid > 0 and snapshot.digest_zxid == zxid and options.storage.digest_enabled
    if comparable and signed64(snapshot.tree.digest) != snapshot.digest:
        raise StorageError(
            "its digest is that of another tree. Apache's snapshots are fuzzy: one that was "
            "written while transactions ran is only whole together with its log. Stop this "
            "server, put both into its folders, start it"
        )
    return snapshot.tree, zxid


async def replace_tree(node: "Node", tree: DataTree, zxid: int) -> int:
    """Make `tree` this server's; the zxid that it has from now on.

    Raises:
        StorageError: the snapshot could not be written; the old tree goes on.
    """
    if node.replica is not None:
        raise StorageError(
            "a member of an ensemble takes its tree from the leader: stop all members, put the "
            "snapshot into the dataDir of each under its name snapshot.<zxid>, and start them"
        )
    await pause(node)
    try:
        restored = max(int(node.authority.last_proposed()), zxid) + 1
        tree.last_zxid = restored
        await write_snapshot(node, tree)
        swap(node, tree)
    except StorageError:
        renew_sessions(node)
        raise
    finally:
        resume(node)
    log.warning(
        "restored a snapshot of %s: %d znodes and %d sessions, as %s from now on",
        format_zxid(zxid),
        len(tree.nodes),
        len(tree.sessions),
        format_zxid(restored),
    )
    return restored


async def pause(node: "Node") -> None:
    """Take nothing more from clients, then let everything that was taken reach the disk."""
    node.paused = True
    node.loop.remove_reader(node.port.epoll.fileno())
    fd = node.log_writer.notify_fd
    try:
        while not node.authority.is_idle():
            node.authority.end_turn()
            synced = asyncio.Event()
            node.loop.add_reader(fd, synced.set)
            try:
                await synced.wait()
            finally:
                node.loop.remove_reader(fd)
            node.on_log_synced(0)
    except StorageError as error:
        node.fail(error)
        raise
    node.port.flush()


async def write_snapshot(node: "Node", tree: DataTree) -> None:
    zxid = int(tree.last_zxid)
    while not node.upkeep.snapshotter.start(
        node.loop, zxid, partial(node.upkeep.save_snapshot, tree)
    ):
        if not node.upkeep.snapshotter.running:
            raise StorageError("no child could be forked to write the snapshot")
        await node.upkeep.snapshot_done()
    await node.upkeep.snapshot_done()
    if node.upkeep.last_snapshot[0] == zxid:
        return
    path = node.layout.snapshot_path(zxid, node.config.storage.compression)
    if node.disk.exists(path):
        # A next start would read it, while the old tree went on under the same zxids.
        failure = StorageError(f"{path} is there, but its writer failed: remove it, then start")
        node.fail(failure)
        raise failure
    raise StorageError("the snapshot could not be written, see the server's log")


def swap(node: "Node", tree: DataTree) -> None:
    """The restored tree in memory: nothing of the old one is left, neither watches nor sessions."""
    for client in list(node.port.sockets.values()):
        node.port.close_socket(client, "a snapshot was restored")
    pipeline = node.pipeline
    pipeline.session_connections.clear()
    for session_id in list(pipeline.tracker.sessions):
        pipeline.tracker.remove(session_id)
    authority = node.authority
    assert isinstance(authority, StandaloneAuthority)
    node.tree = pipeline.tree = pipeline.answers.tree = authority.tree = tree
    node.preparer = authority.preparer = Preparer(tree, node.schemes, node.preparer.options)
    authority.proposed = tree.last_zxid
    authority.txns_since_snapshot = 0
    authority.log_bytes_since_snapshot = 0
    authority.batch.roll = True
    node.digests.clear()
    node.upkeep.forget_reaping()
    node.begin_sessions()


def renew_sessions(node: "Node") -> None:
    """Nobody expires because this server did not listen."""
    node.set_clocks()
    tracker = node.pipeline.tracker
    for session in list(tracker.sessions.values()):
        if not session.closing:
            tracker.touch(session, node.pipeline.now_ms)


def resume(node: "Node") -> None:
    node.paused = False
    if node.serving:
        node.loop.add_reader(node.port.epoll.fileno(), node.turn)
        node.loop.call_soon(node.turn)
