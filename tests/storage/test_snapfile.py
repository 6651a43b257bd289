"""Snapshot files: compression, verification, and that a final name means a whole file."""

import gzip
import zlib
from pathlib import Path

import cramjam
import pytest
from histories import History, picture
from hypothesis import given
from hypothesis import strategies as st
from simdisk import PowerCut, SimDisk

from ensemble.errors import StorageError
from ensemble.storage import snapfile
from ensemble.storage.compression import (
    SNAPPY_BLOCK_BYTES_MAX,
    SNAPPY_HEADER,
    Compressor,
    Expander,
    looks_whole,
)
from ensemble.storage.disk import OsDisk
from ensemble.storage.layout import COMPRESSIONS, Layout
from ensemble.tree.datatree import DataTree

DATA = Path(__file__).parent / "data"
REAL = sorted(DATA.glob("*/version-2/snapshot.*"))
LAYOUT = Layout("/data")


def some_tree() -> DataTree:
    history = History(5)
    while len(history.payloads) < 60:
        history.grow()
    return history.tree


def disk_with_folders() -> SimDisk:
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    return disk


def expanded(method: str, raw: bytes, piece: int = 1 << 20) -> bytes:
    expander = Expander(method)
    parts = [
        part for at in range(0, len(raw), piece) for part in expander.feed(raw[at : at + piece])
    ]
    expander.finish()
    return b"".join(parts)


def compressed(method: str, data: bytes) -> bytes:
    compressor = Compressor(method)
    return compressor.begin() + compressor.feed(data) + compressor.end()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_saved_and_loaded_is_the_same_tree(compression: str) -> None:
    disk = disk_with_folders()
    tree = some_tree()
    path = snapfile.save(disk, LAYOUT, tree, compression)
    assert path == LAYOUT.snapshot_path(tree.last_zxid, compression)
    snapfile.verify(disk, path)
    assert picture(snapfile.load(disk, path, tree.last_zxid).tree) == picture(tree)
    assert disk.open_files == 0


@pytest.mark.parametrize("path", REAL, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_a_real_servers_snapshot_is_verified_and_loaded(path: Path) -> None:
    snapfile.verify(OsDisk(), str(path))
    assert snapfile.load(OsDisk(), str(path), 5, extended_types=True).tree.nodes


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_b6_a_final_name_means_a_whole_file_whenever_the_power_fails(compression: str) -> None:
    tree = some_tree()
    whole = disk_with_folders()
    before = len(whole.effects)
    snapfile.save(whole, LAYOUT, tree, compression)
    for cut in range(before, len(whole.effects)):
        for seed in range(20):
            disk = disk_with_folders()
            disk.cut_at = cut
            with pytest.raises(PowerCut):
                snapfile.save(disk, LAYOUT, tree, compression)
            after = disk.after_cut("any subset", seed)
            for zxid, path in LAYOUT.snapshots(after):
                assert picture(snapfile.load(after, path, zxid).tree) == picture(tree)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_f7_a_damaged_file_is_refused_by_both_readers(compression: str) -> None:
    disk = disk_with_folders()
    tree = some_tree()
    path = snapfile.save(disk, LAYOUT, tree, compression)
    good = bytes(disk.files[path].live)
    refused = 0
    places = [*range(0, len(good), 97), len(good) - 1]
    for at in places:
        disk.files[path].live[at] ^= 0x10
        try:
            again = snapfile.load(disk, path, tree.last_zxid).tree
            snapfile.verify(disk, path)
        except StorageError as error:
            assert path in str(error)
            refused += 1
        else:  # a few bits of a compression have no effect on what comes out
            assert compression
            assert picture(again) == picture(tree)
        disk.files[path].live[:] = good
    assert refused > len(places) * 0.9


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_file_that_is_cut_off_is_refused(compression: str) -> None:
    disk = disk_with_folders()
    path = snapfile.save(disk, LAYOUT, some_tree(), compression)
    good = bytes(disk.files[path].live)
    for size in [0, 1, 7, 8, 16, 17, 20, len(good) // 2, len(good) - 1]:
        disk.files[path].live[:] = good[:size]
        with pytest.raises(StorageError):
            snapfile.load(disk, path, 60)
        with pytest.raises(StorageError):
            snapfile.verify(disk, path)


@pytest.mark.parametrize(
    ("raw", "method", "passes"),
    [
        (bytes(5) + b"\0\0\0\1/", "", True),
        (bytes(4) + b"\0\0\0\1/", "", False),
        (b"", "", False),
        (b"\x1f\x8b", "gz", True),
        (b"\x1f", "gz", False),
        (b"\x82SNAPPY\0", "snappy", True),
        (b"\x82SNAPPY", "snappy", False),
    ],
)
def test_the_quick_test_is_javas(raw: bytes, method: str, passes: bool) -> None:
    """storage.md 4.1, 4.2: the last five bytes, or the magic of the compression."""
    assert looks_whole(len(raw), raw[:16], raw[-5:], method) == passes


# Compression


@pytest.mark.parametrize("method", COMPRESSIONS)
@given(data=st.binary(max_size=100_000), piece=st.integers(1, 5_000))
def test_what_is_compressed_expands_again_in_pieces_of_any_length(
    method: str, data: bytes, piece: int
) -> None:
    assert expanded(method, compressed(method, data), piece) == data


def test_large_streams_expand_to_what_they_were() -> None:
    data = bytes(9 << 20) + b"end"
    for method in COMPRESSIONS:
        assert expanded(method, compressed(method, data)) == data


def test_a_gzip_stream_is_one_that_others_read_and_write() -> None:
    assert gzip.decompress(compressed("gz", b"abc" * 1_000)) == b"abc" * 1_000
    assert expanded("gz", gzip.compress(b"abc" * 1_000)) == b"abc" * 1_000


def test_a_small_file_that_expands_to_much_is_read_in_bounded_pieces() -> None:
    raw = gzip.compress(bytes(64 << 20))
    assert len(raw) < 1 << 20
    assert max(len(part) for part in Expander("gz").feed(raw)) <= 4 << 20


@pytest.mark.parametrize(
    ("method", "raw", "text"),
    [
        ("gz", b"\x1f\x8bnonsense", "cannot be decompressed"),
        ("gz", gzip.compress(b"abc", mtime=0)[:-4], "cut off"),
        ("gz", b"", "cut off"),
        ("snappy", b"", "cut off"),
        ("snappy", SNAPPY_HEADER[:9], "cut off"),
        ("snappy", SNAPPY_HEADER + b"\0\0", "cut off"),
        ("snappy", SNAPPY_HEADER + b"\0\0\0\x09abc", "cut off"),
        ("snappy", b"SNAPPY" + bytes(20), "no snappy stream"),
        ("snappy", SNAPPY_HEADER + b"\xff\xff\xff\xff", "a snappy block of 4294967295 bytes"),
        ("snappy", SNAPPY_HEADER + b"\0\0\0\x05\xff\xff\xff\xff\x0f", "expands to 4294967295"),
        ("snappy", SNAPPY_HEADER + b"\0\0\0\x03\x05xx", "cannot be decompressed"),
        ("snappy", SNAPPY_HEADER + b"\0\0\0\0", "cannot be decompressed"),
    ],
)
def test_streams_that_are_none_are_refused(method: str, raw: bytes, text: str) -> None:
    with pytest.raises(StorageError, match=text):
        expanded(method, raw)


def test_the_bound_of_a_snappy_block_is_above_what_java_writes() -> None:
    block = bytes(cramjam.snappy.compress_raw(bytes(32_768)))
    assert len(block) < SNAPPY_BLOCK_BYTES_MAX


# The zxid up to which a file holds effects


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    ("digest", "last_zxid", "holds"), [(1, 1, 60), (1, 0, 60), (0, 1, 60), (0, 0, -1)]
)
def test_the_trailers_say_what_a_fuzzy_file_may_hold(
    compression: str, digest: int, last_zxid: int, holds: int
) -> None:
    """storage.md 4.1, 4.2: each of them may be absent; the name says when the dump began."""
    disk = disk_with_folders()
    path = LAYOUT.snapshot_path(50, compression)
    snapfile.write(disk, path, some_tree(), compression, bool(digest), bool(last_zxid))
    assert snapfile.verify(disk, path) == holds


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("standalone/version-2/snapshot.0", 0),
        ("standalone/version-2/snapshot.18", 0x19),
        ("standalone-3.8.0/version-2/snapshot.0", 0),
        ("no-digest/version-2/snapshot.0", -1),
    ],
)
def test_real_servers_trailers_are_understood(name: str, holds: int) -> None:
    assert snapfile.verify(OsDisk(), str(DATA / name)) == holds


def test_parts_of_a_later_version_are_verified_and_say_nothing() -> None:
    """storage.md 10: only the last seal counts, since nobody knows where the others are."""
    disk = disk_with_folders()
    path = snapfile.save(disk, LAYOUT, some_tree())
    live = disk.files[path].live
    live += b"anything"
    live += zlib.adler32(live).to_bytes(8, "big") + b"\0\0\0\1/"
    assert snapfile.verify(disk, path) == -1
    live[-20] ^= 1
    with pytest.raises(StorageError, match="the last seal does not match"):
        snapfile.verify(disk, path)
