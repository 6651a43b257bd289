"""A tree as the bytes of a snapshot and back (storage.md section 4)."""

import struct
from itertools import cycle
from pathlib import Path
from zlib import adler32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workbench import Bench, audit

from ensemble.errors import StorageError
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import EMPTY_TREE_DIGEST, signed64
from ensemble.tree.snapshot import END_MARK, FILE_HEADER, write_snapshot
from ensemble.tree.snapshot_reader import Snapshot, SnapshotReader, read_snapshot
from ensemble.tree.znode import OWNER_CONTAINER, Znode, ttl_owner
from ensemble.wire.records import Acl, Id

# Captured from Apache ZooKeeper 3.9.3; see the README there.
DATA = Path(__file__).parents[1] / "storage" / "data"
REAL = sorted(
    path for path in DATA.glob("*/version-2/snapshot.*") if path.suffix not in (".gz", ".snappy")
)


def named_zxid(path: Path) -> int:
    return int(path.name.split(".")[1], 16)


def stream(tree: DataTree, digest: bool = True, last_zxid: bool = True) -> bytes:
    return b"".join(write_snapshot(tree, digest, last_zxid))


def full_tree() -> DataTree:
    """Every kind of node, several ACLs, sessions."""
    tree = DataTree(extended_types=True)
    root = tree.nodes[b"/"]
    alice = [Acl(31, Id("digest", "alice:hash")), Acl(1, Id("world", "anyone"))]
    for number, (path, data, owner) in enumerate(
        [
            (b"/null", None, 0),
            (b"/empty", b"", 0),
            (b"/ephemeral", b"e", 0x1000018CCD90000),
            (b"/container", b"", OWNER_CONTAINER),
            (b"/ttl", b"", ttl_owner(5_000)),
            ("/ключ-ü".encode(), bytes(range(256)), 0),
            (b"/big", b"x" * 1_000_000, 0),
        ]
    ):
        acl = tree.acls.take(alice if number % 2 else [Acl(31, Id("world", "anyone"))])
        node = Znode(data, acl, owner, 7 + number, 1_000)
        node.version, node.cversion, node.aversion = number, -number, 2**31 - 1
        tree.insert(path, node, root)
    tree.insert(b"/null/child", Znode(b"c", tree.acls.take(alice), 0, 9, 9), tree.nodes[b"/null"])
    tree.sessions.update({0x1000018CCD90000: 30_000, -5: 4_000})
    tree.last_zxid = 0x10000002D
    return tree


def contents(tree: DataTree) -> dict[bytes, object]:
    return {
        path: (
            node.data,
            [repr(entry) for entry in node.acl.entries],
            node.children,
            (node.czxid, node.mzxid, node.pzxid, node.ctime, node.mtime),
            (node.version, node.cversion, node.aversion, node.owner),
        )
        for path, node in tree.nodes.items()
    }


@pytest.mark.parametrize("path", REAL, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_a_real_servers_snapshot_is_read_and_written_with_the_same_parts(path: Path) -> None:
    """Golden: siblings may stand in another order, so sizes and trees are compared."""
    data = path.read_bytes()
    snapshot = read_snapshot(data, named_zxid(path), extended_types=True)
    tree = snapshot.tree
    audit(tree)
    parts = (
        snapshot.digest_zxid >= 0,
        b"3.8.0" not in bytes(path) and "no-digest" not in str(path),
    )
    ours = stream(tree, *parts)
    again = read_snapshot(ours, named_zxid(path), extended_types=True).tree
    assert contents(again) == contents(tree)
    assert (again.digest, again.sessions) == (tree.digest, tree.sessions)
    assert len(ours) == len(data) - unreferenced_bytes(data, tree)


def unreferenced_bytes(data: bytes, tree: DataTree) -> int:
    """What the ACL table loses: lists that no node carries are dropped (storage.md 4.3)."""
    sessions = struct.unpack_from(">i", data, 16)[0]
    at = 20 + 12 * sessions
    (count,) = struct.unpack_from(">i", data, at)
    at += 4
    lost = 0
    for _ in range(count):
        begin = at
        acl_id, entries = struct.unpack_from(">qi", data, at)
        at += 12
        for _ in range(entries):
            at += 4
            for _ in range(2):
                at += 4 + struct.unpack_from(">i", data, at)[0]
        if acl_id not in tree.acls.by_id:
            lost += at - begin
    return lost


def test_the_snapshot_of_an_empty_tree_is_the_real_servers_to_the_bit() -> None:
    """storage.md 4.1: `standalone/version-2/snapshot.0`, 478 bytes."""
    real = (DATA / "standalone/version-2/snapshot.0").read_bytes()
    tree = read_snapshot(real, 0).tree
    assert tree.digest == EMPTY_TREE_DIGEST
    assert stream(tree) == real
    assert contents(DataTree()) == contents(tree)


def test_written_and_read_is_the_same_tree() -> None:
    tree = full_tree()
    for digest in (False, True):
        for last_zxid in (False, True):
            snapshot = read_snapshot(stream(tree, digest, last_zxid), 0x10000002D, True)
            again = snapshot.tree
            audit(again)
            assert contents(again) == contents(tree)
            assert again.sessions == tree.sessions
            assert again.digest == tree.digest
            assert (again.containers, again.ttls) == ({b"/container"}, {b"/ttl"})
            assert again.ephemerals == {0x1000018CCD90000: {b"/ephemeral"}}
            assert again.last_zxid == 0x10000002D
            expected = (0x10000002D, signed64(tree.digest)) if digest else (-1, 0)
            assert (snapshot.digest_zxid, snapshot.digest) == expected


def test_equal_trees_give_equal_bytes_whatever_their_history() -> None:
    tree = full_tree()
    again = read_snapshot(stream(tree), tree.last_zxid, True).tree
    assert stream(again) == stream(tree)


def test_an_acl_keeps_its_number_and_new_ones_get_others() -> None:
    tree = full_tree()
    again = read_snapshot(stream(tree), tree.last_zxid, True).tree
    used = {acl.id for acl in again.acls.by_id.values()}
    new = again.acls.take([Acl(3, Id("ip", "10.0.0.1"))])
    assert new.id not in used


def test_without_extended_types_a_ttl_node_is_an_ephemeral_one() -> None:
    """storage.md 5.3."""
    again = read_snapshot(stream(full_tree()), 1).tree
    assert ttl_owner(5_000) in again.ephemerals


def test_the_quota_of_a_subtree_is_counted_anew() -> None:
    """storage.md 4.3, 6.6: what the file says about usage does not count."""
    bench = Bench()
    for path, data in (
        (b"/a", b"12345"),
        (b"/zookeeper/quota/a", b""),
        (b"/zookeeper/quota/a/zookeeper_limits", b"count=5,bytes=-1"),
        (b"/zookeeper/quota/a/zookeeper_stats", b"count=0,bytes=0"),
    ):
        bench.create(path, data)
    tree = bench.tree
    node = tree.nodes[b"/zookeeper/quota/a/zookeeper_stats"]
    tree.set_data(b"/zookeeper/quota/a/zookeeper_stats", node, b"count=99,bytes=99")
    again = read_snapshot(stream(tree), tree.last_zxid).tree
    assert again.nodes[b"/zookeeper/quota/a/zookeeper_stats"].data == b"count=1,bytes=5"


@settings(deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1))
def test_the_stream_may_come_in_pieces_of_any_length(sizes: list[int]) -> None:
    reader = SnapshotReader(extended_types=True)
    at = 0
    for size in cycle(sizes):
        reader.feed(SMALL[at : at + size])
        at += size
        if at >= len(SMALL):
            break
    assert contents(reader.finish(5).tree) == SMALL_CONTENTS


def test_the_stream_may_come_byte_by_byte() -> None:
    reader = SnapshotReader(extended_types=True)
    for i in range(len(SMALL)):
        reader.feed(SMALL[i : i + 1])
    assert contents(reader.finish(5).tree) == SMALL_CONTENTS


def small_tree() -> DataTree:
    tree = full_tree()
    tree.remove(b"/big", tree.nodes[b"/big"], tree.nodes[b"/"])
    return tree


SMALL = stream(small_tree())
SMALL_CONTENTS = contents(small_tree())


def test_a_stream_that_ends_early_is_refused_but_where_a_part_is_optional() -> None:
    """storage.md 4.1: an end before an optional part means that it is absent."""
    for size in range(len(SMALL)):
        reader = SnapshotReader(extended_types=True)
        reader.feed(SMALL[:size])
        if size in (len(SMALL) - 21, len(SMALL) - 21 - 33):
            assert contents(reader.finish(5).tree) == SMALL_CONTENTS
        else:
            with pytest.raises(StorageError, match="ends too early"):
                reader.finish(5)


def test_parts_of_a_later_version_are_passed_over() -> None:
    """storage.md 10: an older server reads a newer snapshot."""
    reader = SnapshotReader(extended_types=True)
    reader.feed(SMALL)
    reader.feed(b"anything")
    assert contents(reader.finish(5).tree) == SMALL_CONTENTS


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_f7_no_changed_byte_goes_unnoticed(mask: int) -> None:
    for at in range(len(SMALL)):
        raw = bytearray(SMALL)
        raw[at] ^= mask
        with pytest.raises(StorageError):
            read_snapshot(bytes(raw), 5, extended_types=True)


# Hand-made streams: what fits its seal and is wrong all the same


def node(path: bytes, data: bytes | None = b"", acl: int = -1) -> bytes:
    body = struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data
    stat = struct.pack(">qqqqqiiiqq", acl, 1, 1, 1, 1, 0, 0, 0, 0, 1)
    return struct.pack(">i", len(path)) + path + body + stat


def sealed(body: bytes) -> bytes:
    data = FILE_HEADER + body + END_MARK
    return data + struct.pack(">q", adler32(data)) + END_MARK


TABLES = struct.pack(">ii", 0, 0)


def read_sealed(body: bytes) -> Snapshot:
    return read_snapshot(sealed(body), 5)


def test_the_hand_made_streams_below_are_read_when_they_are_right() -> None:
    tree = read_sealed(TABLES + node(b"") + node(b"/a", None) + node(b"/a/b")).tree
    assert sorted(tree.nodes) == [b"/", b"/a", b"/a/b"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (TABLES, "no root"),
        (TABLES + node(b"/a"), "has no parent"),
        (TABLES + node(b"") + node(b"/a/b"), "has no parent"),
        (TABLES + node(b"") + node(b"a"), "has no parent"),
        (TABLES + node(b"") + node(b"//a"), "has no parent"),
        (TABLES + node(b"") + node(b"/a") + node(b"/a/"), "has no parent"),
        (TABLES + node(b"") + node(b"/a") + node(b"/a"), "comes twice"),
        (TABLES + node(b"") + node(b""), "comes twice"),
        (TABLES + node(b"") + struct.pack(">i", -1), "a path of -1 bytes"),
        (TABLES + node(b"") + struct.pack(">i2si", 2, b"/a", -2) + bytes(80), "data of -2 bytes"),
        (TABLES + node(b"") + struct.pack(">i", 0x7FFFFFFF), "an item of 2147483655 bytes"),
        (struct.pack(">i", -1), "a table of -1 sessions"),
        (struct.pack(">ii", 0, -7), "a table of -7 ACLs"),
        (struct.pack(">iiqiqi", 0, 2, 1, 0, 1, 0), "the ACL number 1 comes twice"),
        (struct.pack(">iiqi", 0, 1, -1, 0), "the ACL number -1 comes twice"),
        (struct.pack(">iiqi", 0, 1, 0, 0), "the ACL number 0, it must be from 1 to"),
        (struct.pack(">iiqi", 0, 1, (1 << 63) - 1, 0), "the ACL number 9223372036854775807"),
        (struct.pack(">iiqi", 0, 1, 1, 0x7FFFFFFF), "an ACL of more than"),
    ],
)
def test_what_no_server_writes_is_refused(body: bytes, text: str) -> None:
    with pytest.raises(StorageError, match=text):
        read_sealed(body)


def test_a_wrong_header_is_named() -> None:
    with pytest.raises(StorageError, match="begins with 5a4b4c47"):
        read_snapshot(b"ZKLG" + SMALL[4:], 5)


def test_b8_an_acl_that_the_table_lacks_is_closed_to_everybody() -> None:
    """storage.md 4.3: tolerated, since replaying the node's create brings its list."""
    tree = read_sealed(TABLES + node(b"") + node(b"/a", b"secret", acl=42)).tree
    assert tree.nodes[b"/a"].acl.world_perms == 0


def test_a_digest_of_the_old_kind_is_passed_over() -> None:
    """storage.md 4.1: below version 2 it is text, and nothing compares it."""
    data = sealed(TABLES + node(b"")) + struct.pack(">qii", 9, 1, 5) + b"1a2b3"
    data += struct.pack(">q", adler32(data)) + END_MARK
    assert read_snapshot(data, 5).digest_zxid == -1
