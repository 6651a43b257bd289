"""What people see of log and snapshot files."""

import json
from pathlib import Path

import pytest

from ensemble.storage.disk import OsDisk
from ensemble.storage.inspect import data_text, dump, log_lines, snapshot_lines

DATA = Path(__file__).parent / "data"
DECODED = sorted(path.parent.name for path in DATA.glob("*/decoded.json"))


@pytest.mark.parametrize("name", DECODED)
def test_every_record_of_a_real_log_is_described(name: str) -> None:
    """Against what an independent decoder found."""
    decoded = json.loads((DATA / name / "decoded.json").read_text())
    for file, expected in decoded.items():
        if not file.startswith("log."):
            continue
        lines = list(log_lines(OsDisk(), str(DATA / name / "version-2" / file)))
        assert len(lines) == len(expected["records"])
        for line, record in zip(lines, expected["records"], strict=True):
            header = record["header"]
            assert line["offset"] == record["offset"]
            assert line["zxid"] == f"{header['zxid']:#x}"
            assert line["session"] == f"{header['clientId'] & (1 << 64) - 1:#x}"
            assert (line["cxid"], line["time_ms"]) == (header["cxid"], header["time"])
            assert line.get("digest") == (record.get("digest") or {}).get("treeDigest")
            body = record.get("body") or {}
            if "path" in body:
                assert line["path"] == body["path"]
            if "version" in body and "path" in body:
                assert line["version"] == body["version"]


def test_a_snapshot_begins_with_a_summary() -> None:
    lines = list(snapshot_lines(OsDisk(), str(DATA / "standalone/version-2/snapshot.18")))
    summary = lines[0]
    assert (summary["zxid"], summary["written_digest_zxid"]) == ("0x18", "0x19")
    assert summary["znodes"] == len(lines) - 1
    paths = [line["path"] for line in lines[1:]]
    assert paths == sorted(paths)
    node = next(line for line in lines if line.get("path") == "/p")
    assert node["data"] == "multi"
    assert node["acl"] == ["31:world:anyone"]


@pytest.mark.parametrize(
    ("data", "text"),
    [(None, None), (b"", ""), ("ü".encode(), "ü"), (b"\xff\x00", "base64:/wA=")],
)
def test_data_is_text_where_it_is_text(data: bytes | None, text: str | None) -> None:
    assert data_text(data) == text


def test_dump_prints_a_json_object_a_line_and_says_where_a_log_is_torn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.1"
    path.write_bytes((DATA / "standalone/version-2/log.1").read_bytes()[:200])
    assert dump(str(path)) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("zxid") for line in lines] == ["0x1", "0x2", None]
    assert lines[-1]["torn_at"] == 181


def test_dump_says_where_a_log_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.1"
    raw = bytearray((DATA / "standalone/version-2/log.1").read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    assert dump(str(path)) == 0
    assert '"damaged_at": 77' in capsys.readouterr().out


@pytest.mark.parametrize("name", ["snapshot.5", "log.5", "snapshot.xyz"])
def test_a_file_that_cannot_be_read_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dump(str(tmp_path / name)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert name in captured.err
