"""Where a log ends, and whether a crash may have left it so (storage.md 3.6)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simdisk import Inode, SimDisk

from ensemble.storage.logreader import (
    CLEAN,
    DAMAGED,
    READ_BYTES,
    TAIL_BYTES_MAX,
    TORN,
    LogReader,
    find_record,
    follows,
    has_lost_sector,
)
from ensemble.storage.txnlog import FILE_HEADER, UNSYNCED_BYTES_MAX, encode_record

PATH = "/log.1"


def payload(zxid: int, size: int = 60, fill: int = 0x55) -> bytes:
    """A log payload as far as the reader looks: the zxid is at offset 12."""
    return bytes(12) + zxid.to_bytes(8, "big") + bytes([fill]) * (size - 20)


def log_of(*sizes: int) -> bytearray:
    """A file with records of zxid 1, 2, ..., without padding."""
    data = bytearray(FILE_HEADER)
    for i, size in enumerate(sizes):
        data += encode_record(payload(i + 1, size))
    return data


def read(data: bytes | bytearray) -> tuple[list[int], LogReader]:
    disk = SimDisk()
    inode = Inode()
    inode.live = bytearray(data)
    disk.files[PATH] = inode
    reader = LogReader(disk, PATH)
    zxids = []
    while (record := reader.next_record()) is not None:
        zxids.append(int(record.zxid))
    assert reader.next_record() is None, "the end stays the end"
    reader.close()
    assert disk.open_files == 0
    return zxids, reader


R = 60 + 13  # one record of `log_of`
THIRD = 16 + 2 * R


@pytest.mark.parametrize(
    ("name", "change", "zxids", "end"),
    [
        ("untouched", lambda d: d, 3, CLEAN),
        ("padded", lambda d: d + bytes(5_000), 3, CLEAN),
        ("padded by less than a record header", lambda d: d + bytes(3), 3, CLEAN),
        ("header only", lambda d: d[:16], 0, CLEAN),
        ("header and padding", lambda d: d[:16] + bytes(100), 0, CLEAN),
        ("cut in a checksum", lambda d: d[: THIRD + 6], 2, TORN),
        ("cut in a checksum's zeros", lambda d: d[: THIRD + 3], 2, CLEAN),
        ("cut in a length", lambda d: d[: THIRD + 10], 2, TORN),
        ("cut in a payload", lambda d: d[: THIRD + 30], 2, TORN),
        ("cut before the end byte", lambda d: d[:-1], 2, TORN),
        ("zeros from a payload on", lambda d: d[: THIRD + 30] + bytes(999), 2, TORN),
        ("last end byte zero", lambda d: d[:-1] + bytes(99), 2, TORN),
        ("last checksum wrong", lambda d: flipped(d, THIRD + 5), 2, TORN),
        ("last payload wrong", lambda d: flipped(d, THIRD + 40), 2, TORN),
        ("last length zero", lambda d: put(d, THIRD + 8, 0), 2, TORN),
        ("last length -1", lambda d: put(d, THIRD + 8, 0xFFFFFFFF), 2, TORN),
        ("last length -16", lambda d: put(d, THIRD + 8, 0xFFFFFFF0), 2, TORN),
        ("last length huge", lambda d: put(d, THIRD + 8, 0x40000000), 2, TORN),
        ("last length too short for a header", lambda d: put(d, THIRD + 8, 31), 2, TORN),
        ("garbage behind", lambda d: d + b"garbage" * 20, 3, TORN),
        ("zeros, then garbage", lambda d: d + bytes(300) + b"garbage", 3, TORN),
        ("first end byte zero", lambda d: zeroed(d, 16 + R - 1, 16 + R), 0, DAMAGED),
        ("middle end byte zero", lambda d: zeroed(d, THIRD - 1, THIRD), 1, DAMAGED),
        ("middle checksum wrong", lambda d: flipped(d, 16 + R + 5), 1, DAMAGED),
        ("middle payload wrong", lambda d: flipped(d, 16 + R + 40), 1, DAMAGED),
        ("middle length zero", lambda d: put(d, 16 + R + 8, 0), 1, DAMAGED),
        ("middle length -1", lambda d: put(d, 16 + R + 8, 0xFFFFFFFF), 1, DAMAGED),
        ("middle length huge", lambda d: put(d, 16 + R + 8, 0x40000000), 1, DAMAGED),
        ("middle length longer", lambda d: put(d, 16 + R + 8, 70) + bytes(999), 1, DAMAGED),
        ("middle length beyond the records", lambda d: put(d, 24, 800) + bytes(999), 0, DAMAGED),
        ("upper half of a checksum set", lambda d: flipped(d, 16), 0, DAMAGED),
        ("a hole of less than a sector", lambda d: zeroed(d, 20, 16 + R + 20), 0, DAMAGED),
    ],
)
def test_the_end_of_a_file_is_clean_torn_or_damaged(
    name: str, change: Callable[[bytearray], bytearray], zxids: int, end: int
) -> None:
    found, reader = read(change(log_of(60, 60, 60)))
    assert (found, reader.end) == (list(range(1, zxids + 1)), end), name
    assert reader.end_offset == 16 + zxids * R
    assert (reader.why == "") == (end == CLEAN)


def flipped(data: bytearray, at: int) -> bytearray:
    data[at] ^= 1
    return data


def zeroed(data: bytearray, begin: int, end: int) -> bytearray:
    data[begin:end] = bytes(end - begin)
    return data


def put(data: bytearray, at: int, value: int) -> bytearray:
    data[at : at + 4] = value.to_bytes(4, "big")
    return data


@pytest.mark.parametrize(
    ("header", "end"),
    [
        (b"", TORN),
        (FILE_HEADER[:1], TORN),
        (FILE_HEADER[:10], TORN),
        (bytes(4), TORN),
        (bytes(5_000), TORN),
        (FILE_HEADER[:4] + bytes(5_000), CLEAN),  # the reader checks only the magic, as Java's
        (b"XXXX" + FILE_HEADER[4:], DAMAGED),
        (b"ZKSN" + FILE_HEADER[4:], DAMAGED),
        (b"Z" + bytes(15), TORN),
        (b"x", DAMAGED),
        (bytes(16) + b"x", DAMAGED),
        (bytes(600) + encode_record(payload(1)), DAMAGED),
    ],
)
def test_b1_a_header_that_was_never_finished_is_torn_and_any_other_is_damage(
    header: bytes, end: int
) -> None:
    zxids, reader = read(header)
    assert (zxids, reader.end) == ([], end)
    if end != CLEAN:
        assert reader.end_offset == 0
        assert "no log file header" in reader.why


def test_whole_records_behind_a_lost_sector_are_a_torn_batch() -> None:
    """F3: sectors of one unsynced batch reach the disk in any order."""
    data = log_of(400, 400, 400, 400, 400)
    zeroed(data, 512, 1024)
    zxids, reader = read(data)
    assert (zxids, reader.end) == ([1], TORN)
    assert "a sector of the last batch was not written" in reader.why


def test_a_lost_sector_with_more_behind_it_than_a_batch_is_damage() -> None:
    data = log_of(400, 400, 400, *[2_000] * (UNSYNCED_BYTES_MAX // 2_000))
    zeroed(data, 512, 1024)
    zxids, reader = read(data)
    assert (zxids, reader.end) == ([1], DAMAGED)


def test_a_lost_first_sector_of_a_batch_keeps_what_an_older_batch_has_in_it() -> None:
    data = log_of(300, 700, 300)
    begin = 16 + 313
    zeroed(data, begin, 512)
    zxids, reader = read(data)
    assert (zxids, reader.end) == ([1], TORN)


def test_a_torn_record_whose_data_holds_a_record_is_torn() -> None:
    """The sector with its end is lost; what is whole behind its beginning is its own data."""
    inner = encode_record(payload(9))
    outer = bytearray(payload(2, 60)) + inner + b"x" * 600
    data = log_of(60) + encode_record(bytes(outer))
    assert len(data) > 512
    zeroed(data, 512, len(data))
    zxids, reader = read(data + bytes(4096))
    assert (zxids, reader.end) == ([1], TORN)


def test_records_behind_a_wrong_length_are_not_its_data() -> None:
    """A flipped bit in a length, records behind it up to the end: they were acknowledged."""
    data = log_of(60, 60, 60)
    put(data, 16 + R + 8, 60 + 512)
    zxids, reader = read(data + bytes(4096))
    assert (zxids, reader.end) == ([1], DAMAGED)


def test_more_than_can_be_searched_behind_a_damaged_record_is_damage() -> None:
    data = log_of(60, 60)
    flipped(data, 16 + R + 40)
    data += b"\x01" * TAIL_BYTES_MAX
    zxids, reader = read(data)
    assert (zxids, reader.end) == ([1], DAMAGED)
    assert "bytes behind it" in reader.why


def test_records_of_any_length_are_read_across_the_readers_windows() -> None:
    sizes = [READ_BYTES - 500, 60, READ_BYTES * 3, 60, 32, READ_BYTES - 13, 2_097_150, 60]
    zxids, reader = read(log_of(*sizes) + bytes(READ_BYTES * 2))
    assert (zxids, reader.end) == (list(range(1, 9)), CLEAN)
    assert reader.end_offset == 16 + sum(sizes) + 13 * len(sizes)


@given(st.binary(max_size=300), st.integers(32, 90), st.binary(max_size=100))
def test_a_record_is_found_wherever_it_lies(before: bytes, size: int, after: bytes) -> None:
    record = encode_record(payload(5, size))
    data = before + record + after
    found = find_record(data, 0)
    assert 0 <= found <= len(before)
    assert find_record(before + record, 0, at_end=True) == len(before)


@given(st.binary(min_size=1, max_size=400))
def test_a_cut_record_is_found_by_nobody(raw: bytes) -> None:
    record = encode_record(payload(5) + raw)
    assert find_record(record[:-1], 0) == -1
    assert find_record(record[1:], 0) == -1


def test_long_runs_of_zeros_are_searched_quickly() -> None:
    """A megabyte each of zeros and of four zeros in turn: linear, not one try a byte."""
    record = encode_record(payload(7))
    assert find_record(bytes(1 << 20) + record, 0) == 1 << 20
    assert find_record(b"\0\0\0\0x" * 200_000 + record, 0) == 1_000_000


@pytest.mark.parametrize(
    ("tail", "offset", "size", "lost"),
    [
        (bytes(512) + b"x", 512, 400, True),
        (bytes(4) + b"x" * 508 + bytes(512) + b"x", 512, 800, True),
        (bytes(4) + b"x" * 508 + bytes(512) + b"x", 512, 300, False),
        (bytes(4) + b"x" * 508 + bytes(511) + b"x", 512, 900, False),
        (bytes(100) + b"x" * 500, 412, 0, True),
        (bytes(99) + b"x" * 500, 412, 0, False),
        (bytes(4) + b"x" * 500, 508, 0, False),  # a checksum begins with zeros in any case
    ],
)
def test_a_lost_sector_is_zero_up_to_its_end(
    tail: bytes, offset: int, size: int, lost: bool
) -> None:
    assert has_lost_sector(tail, offset, size) == lost


@pytest.mark.parametrize(
    ("last", "zxid", "right"),
    [
        (5, 6, True),
        (5, 5, False),
        (5, 4, False),
        (5, 7, False),
        (0, 1, True),
        (-1, 1, True),
        (0, 2, False),
        (5, (1 << 32) + 1, True),
        (5, (7 << 32) + 1, True),
        (5, (1 << 32) + 2, False),
        ((1 << 32), (1 << 32) + 1, True),
        ((2 << 32) + 9, (1 << 32) + 1, False),
        ((1 << 32) - 1, 1 << 32, True),
    ],
)
def test_b2_zxids_rise_by_one_and_an_epoch_begins_with_one(
    last: int, zxid: int, right: bool
) -> None:
    assert follows(last, zxid) == right
