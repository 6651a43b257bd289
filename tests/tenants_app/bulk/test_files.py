"""Files of subtrees: what is written is read back as it was, and hostile ones are refused."""

import base64
import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble.client import Acl, Id
from tenants.bulk import archives, parsing, writing
from tenants.bulk.bounds import UNPACKED_BYTES_MAX, VALUE_BYTES_MAX
from tenants.bulk.entries import Entry, FileError
from tenants.bulk.steps import Before, Kind, Step, line_of, step_of

NAMES = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=("Cc", "Cs", "Co"),
        exclude_characters="/",
        max_codepoint=0xFFEF,
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(NAMES, min_size=0, max_size=4).map(lambda names: "/" + "/".join(names))
ACLS = st.lists(
    st.builds(
        Acl,
        st.integers(0, 31),
        st.builds(
            Id, st.sampled_from(["world", "ip", "digest", "x509"]), st.text("ab:=,/", max_size=9)
        ),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
KINDS = st.sampled_from([Kind(), Kind("container"), Kind("ttl", 60_000), Kind("ephemeral")])
ENTRIES = st.lists(
    st.builds(
        Entry, PATHS, st.none() | st.binary(max_size=40) | st.text(max_size=20).map(str.encode),
        st.none() | ACLS, KINDS,
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda entry: entry.path,
)  # fmt: skip


def by_path(entries: list[Entry]) -> dict[str, Entry]:
    return {entry.path: entry for entry in entries}


@pytest.mark.parametrize("form", writing.FORMS)
@given(entries=ENTRIES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_written_is_read_back_byte_by_byte(
    form: str, entries: list[Entry], tmp_path: Path
) -> None:
    place = tmp_path / "file"
    writing.write(form, place, {"root": "/"}, entries)
    kind, found = parsing.read(place)
    assert kind == ("zip" if form == "zip" else "ours")
    assert by_path(found) == by_path(entries)


@given(
    st.builds(
        Step,
        st.sampled_from(["create", "set", "delete", "acl"]),
        PATHS,
        st.none() | st.binary(max_size=20),
        PATHS,
        st.integers(0, 1 << 62),
        st.none() | ACLS,
        KINDS,
        st.integers(-1, 1 << 31),
        st.integers(0, 1 << 62),
        st.none()
        | st.builds(Before, st.none() | st.binary(max_size=9), PATHS, st.none() | ACLS, KINDS),
    )
)
@settings(deadline=None)
def test_a_step_is_read_as_it_was_planned(step: Step) -> None:
    assert step_of(line_of(step)) == step


def read(tmp_path: Path, raw: bytes) -> list[Entry]:
    (tmp_path / "file").write_bytes(raw)
    return parsing.read(tmp_path / "file")[1]


def archive(*members: tuple[str, bytes], **more: Any) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = more.get("attr", 0o600 << 16)
            out.writestr(info, data)
    return made.getvalue()


def ours(*znodes: Any, version: int = 1) -> bytes:
    return json.dumps({"format": "ensemble-znodes", "version": version, "znodes": znodes}).encode()


def test_archives_of_others_are_znodes_by_their_names(tmp_path: Path) -> None:
    raw = archive(("a/b", b"1"), ("a/__data__", b"2"), ("empty/", b""))
    assert read(tmp_path, raw) == [Entry("/a", b"2"), Entry("/a/b", b"1")]


def test_lines_of_zkui_are_read(tmp_path: Path) -> None:
    raw = b"# made by hand\n/app=name=value=with=equals\n/app/deep=x=\n\n/app/plain=just this\n"
    assert read(tmp_path, raw) == [
        Entry("/app/deep/x", b""),
        Entry("/app/name", b"value=with=equals"),
        Entry("/app/plain", b"just this"),
    ]


def test_trees_of_zoonavigator_are_read(tmp_path: Path) -> None:
    acl = [{"scheme": "world", "id": "anyone", "permissions": ["read", "create"]}]
    leaf = {"h": {"path": "/a/b", "data": base64.b64encode(b"\xff").decode(), "acl": acl}, "t": []}
    forest = [{"h": {"path": "/a", "data": "", "acl": acl}, "t": [leaf]}]
    packed = gzip.compress(json.dumps(forest).encode())
    world = (Acl(5, Id("world", "anyone")),)
    for raw in (json.dumps(forest).encode(), packed, base64.b64encode(packed)):
        assert read(tmp_path, raw) == [Entry("/a", b"", world), Entry("/a/b", b"\xff", world)]


def lying(raw: bytes) -> bytes:
    """The sizes in the heads say less than there is."""
    at = raw.index(b"PK\x01\x02")
    return raw[: at + 24] + struct.pack("<I", 5) + raw[at + 28 :]


def many(count: int) -> bytes:
    """A directory of so many files, all of them the same bytes."""
    one = archive(("a", b"x"))
    at, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    entry = one[at:end]
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65_535, 65_535, count * len(entry), at, 0)
    return one[:at] + entry * count + tail


HOSTILE: dict[str, tuple[bytes, str]] = {
    "leads out": (archive(("../etc/passwd", b"x")), "leads out"),
    "leads out below": (archive(("a/../../b", b"x")), "leads out"),
    "absolute": (archive(("/etc/passwd", b"x")), "absolute"),
    "a drive": (archive(("C:/boot", b"x")), "absolute"),
    "backslash": (archive(("a\\b", b"x")), "another system"),
    "a link": (archive(("a", b"/etc/passwd"), attr=0o120777 << 16), "a link"),
    "bomb": (archive(("a", bytes(VALUE_BYTES_MAX + 1))), "a server takes"),
    "bomb of many": (
        archive(*((f"f{n}", bytes(VALUE_BYTES_MAX)) for n in range(70))),
        "unpacked it has more",
    ),
    "lies about its size": (lying(archive(("a", b"x" * 500))), "broken|larger"),
    "a million files": (many(300_000), "files"),
    "cut off": (archive(("a", b"x"))[:-10], "no end"),
    "a wrong sum": (archive(("a", b"abcdefgh")).replace(b"PK\x03\x04", b"PK\x03\x05"), "broken"),
    "gzip bomb": (gzip.compress(bytes(UNPACKED_BYTES_MAX + 2)), "unpacked it has more"),
    "gzip twice": (gzip.compress(gzip.compress(b"{}")), "more than once"),
    "gzip as text, broken": (base64.b64encode(gzip.compress(b"x" * 100)[:-9]), "broken"),
    "gzip bomb as text": (
        base64.b64encode(gzip.compress(bytes(UNPACKED_BYTES_MAX + 2))),
        "unpacked it has more",
    ),
    "gzip broken": (gzip.compress(b"x" * 100)[:-9], "broken"),
    "deep json": (b"[" * 200_000, "nested too deeply|begins like JSON"),
    "deep json in an object": (b'{"a":' * 200_000, "nested too deeply"),
    "not an export": (b'{"a": 1}', "no export"),
    "another version": (ours(version=2), "version is 2"),
    "no znode": (ours(), "no znode in it"),
    "twice": (ours({"path": "/a"}, {"path": "/a"}), "twice"),
    "no path": (ours({"text": "x"}), "znode 1 of the file has no path"),
    "relative": (ours({"path": "a"}), "must start with /"),
    "dots": (ours({"path": "/a/../b"}), "must not be"),
    "control": (ours({"path": "/a\u0001"}), "not allowed"),
    "long path": (ours({"path": "/" + "a" * 5_000}), "4096 bytes"),
    "no base64": (ours({"path": "/a", "base64": "!"}), "no base64"),
    "half a character": (ours({"path": "/a", "text": "\ud800"}), "half a character"),
    "a number": (ours({"path": "/a", "text": 1}), "neither"),
    "an acl": (ours({"path": "/a", "acl": ["world"]}), "scheme:id"),
    "a mode": (ours({"path": "/a", "mode": "soft"}), "mode is 'soft'"),
    "a ttl": (ours({"path": "/a", "mode": "ttl", "ttl_ms": -1}), "ttl_ms is -1"),
    "a large value": (ours({"path": "/a", "text": "x" * 1_000_001}), "a server takes"),
    "binary": (b"\x00\xff\xfe", "no UTF-8"),
    "a delete of zkui": (b"-/app=name", "deletes are not taken"),
    "no line": (b"hello", "path=name=value"),
    "a list": (b"[1]", "ZooNavigator"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_with_the_reason(what: str, tmp_path: Path) -> None:
    raw, said = HOSTILE[what]
    with pytest.raises(FileError, match=said):
        read(tmp_path, raw)


def test_a_file_that_stands_twice_in_an_archive_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        raw = archive(("a", b"1"), ("a", b"2"))
    with pytest.raises(FileError, match="twice"):
        read(tmp_path, raw)


def test_a_manifest_that_names_what_is_not_there_is_refused() -> None:
    raw = archive(("znodes.json", ours({"path": "/a", "file": "data/a"})))
    with pytest.raises(FileError, match="not there"):
        archives.read_archive(raw)
