"""The log's writer: bytes, padding, order of effects, and that it fails for good."""

from pathlib import Path

import pytest
from simdisk import SimDisk

from ensemble.errors import StorageError
from ensemble.storage.disk import OsDisk
from ensemble.storage.layout import Layout
from ensemble.storage.logreader import LogReader
from ensemble.storage.txnlog import FILE_HEADER, UNSYNCED_BYTES_MAX, TxnLog, encode_record

DATA = Path(__file__).parent / "data"
LAYOUT = Layout("/data")
PATH = "/data/version-2/log.1"
REAL_LOGS = sorted(str(path.relative_to(DATA)) for path in DATA.glob("*/version-2/log.*"))


def disk_with_folders() -> SimDisk:
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    disk.effects.clear()
    return disk


def payload(size: int = 40, fill: int = 1) -> bytes:
    return bytes([fill]) * size


def all_of(path: str) -> list[tuple[int, bytes]]:
    reader = LogReader(OsDisk(), path)
    records = []
    while (record := reader.next_record()) is not None:
        records.append((record.zxid, record.payload))
    reader.close()
    return records


@pytest.mark.parametrize("name", REAL_LOGS)
def test_a_real_servers_log_written_anew_is_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    """Golden bytes: every log of `data/`, up to its padding."""
    layout = Layout(str(tmp_path))
    layout.make_folders(OsDisk())
    log = TxnLog(OsDisk(), layout, prealloc_kb=16)
    records = all_of(str(DATA / name))
    for zxid, raw in records:
        log.append(zxid, raw)
    log.flush()
    log.close()
    ours = (tmp_path / "version-2" / Path(name).name).read_bytes()
    real = (DATA / name).read_bytes()
    assert ours == real[: len(ours)]
    assert not real[len(ours) :].strip(b"\0")
    assert records


def test_a_record_is_checksum_length_payload_and_end_byte() -> None:
    """storage.md 3.2: the annotated first record of a real log."""
    real = (DATA / "standalone/version-2/log.1").read_bytes()
    raw = bytes.fromhex(
        "01000018ccd90000"
        "00000000"
        "0000000000000001"
        "000001a1fb4c3188"
        "fffffff6"
        "000493e0"
        "00000002"
        "0000000051c6d660"
    )
    assert encode_record(raw) == bytes.fromhex("00000000ec3c0c1b00000030") + raw + b"B"
    assert real[16 : 16 + 61] == encode_record(raw)


def test_nothing_is_written_before_the_flush_but_the_file_itself() -> None:
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb=0)
    log.append(1, payload())
    assert bytes(disk.files[PATH].live) == FILE_HEADER
    log.flush()
    assert bytes(disk.files[PATH].live) == FILE_HEADER + encode_record(payload())
    assert log.size == 16 + 53


def test_a_new_file_is_durable_before_its_first_record_is_acknowledged() -> None:
    """storage.md 3.5, MUST: the header, then the folder's entry, then the records."""
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb=0)
    log.append(1, payload())
    log.flush()
    assert disk.effects == [
        f"create {PATH}",
        f"write 16 bytes at 0 of {PATH}",
        f"sync {PATH}",
        "sync folder /data/version-2",
        f"write 53 bytes at 16 of {PATH}",
        f"sync {PATH}",
    ]


def test_a_flush_is_one_write_and_one_sync_however_many_records() -> None:
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb=0)
    log.append(1, payload())
    log.flush()
    disk.effects.clear()
    for zxid in range(2, 12):
        log.append(zxid, payload())
    log.flush()
    assert disk.effects == [f"write 530 bytes at 69 of {PATH}", f"sync {PATH}"]
    log.flush()
    assert len(disk.effects) == 2, "an empty flush does nothing"


def test_without_force_sync_nothing_is_synced() -> None:
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb=0, force_sync=False)
    log.append(1, payload())
    log.flush()
    assert not [effect for effect in disk.effects if effect.startswith("sync")]


@pytest.mark.parametrize(("prealloc_kb", "size"), [(16, 16 + 16 * 1024), (0, 16 + 53), (-1, 69)])
def test_a_fresh_file_is_padded_as_configured(prealloc_kb: int, size: int) -> None:
    """storage.md 3.5: 16 + preAllocSize x 1024 bytes; 0 and below mean no padding."""
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb)
    log.append(1, payload())
    log.flush()
    live = disk.files[PATH].live
    assert len(live) == size
    assert not live[69:].strip(b"\0")


def test_padding_is_always_ahead_of_the_records() -> None:
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb=8)
    for zxid in range(1, 200):
        log.append(zxid, payload(40 + zxid * 7 % 900))
        log.flush()
        assert len(disk.files[PATH].live) > log.size + 4096


def test_a_record_longer_than_the_padding_step_fits() -> None:
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb=4)
    log.append(1, payload())
    log.append(2, payload(100_000))
    log.flush()
    assert len(disk.files[PATH].live) > log.size + 4096
    assert len(disk.files[PATH].live) % 4096 in (0, 16)


def test_a_roll_gives_the_padding_back_and_begins_a_new_file() -> None:
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb=64)
    log.append(1, payload())
    log.roll()
    log.append(2, payload())
    log.flush()
    assert len(disk.files[PATH].live) == 69
    assert LAYOUT.logs(disk)[1] == (2, "/data/version-2/log.2")


def test_a_batch_is_synced_in_pieces_of_bounded_size() -> None:
    """The reader tells torn batches from damage by it."""
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb=0)
    size = UNSYNCED_BYTES_MAX // 4
    for zxid in range(1, 11):
        log.append(zxid, payload(size))
    log.flush()
    written = [effect for effect in disk.effects if effect.startswith("write")][1:]
    assert [int(effect.split()[1]) for effect in written] == [3 * (size + 13)] * 3 + [size + 13]
    assert sum(effect == f"sync {PATH}" for effect in disk.effects) == 1 + 4


@pytest.mark.parametrize("call", range(9))
def test_f5_after_any_error_every_later_call_is_refused(call: int) -> None:
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT, prealloc_kb=8)
    disk.fail_at = disk.calls + call
    with pytest.raises(StorageError, match="errno 5"):
        log.append(1, payload())
        log.flush()
        log.append(2, payload())
        log.flush()
    for _ in range(2):
        with pytest.raises(StorageError, match="failed before; restart"):
            log.append(3, payload())
        with pytest.raises(StorageError, match="failed before"):
            log.flush()
        with pytest.raises(StorageError, match="failed before"):
            log.roll()
    log.close()
    assert disk.open_files == 0


def test_close_drops_what_was_promised_to_nobody() -> None:
    disk = disk_with_folders()
    log = TxnLog(disk, LAYOUT)
    log.append(1, payload())
    log.flush()
    log.append(2, payload())
    log.close()
    assert bytes(disk.files[PATH].live) == FILE_HEADER + encode_record(payload())
