"""The tree behind a SNAP packet, as a stream and back (zab.md 4.4).

`data/snap-streams.json` was captured from Apache ZooKeeper 3.9.3.
"""

import json
import struct
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_snapshot import TABLES, contents, full_tree, node, small_tree
from workbench import audit

from ensemble.errors import ProtocolError
from ensemble.tree.datatree import DataTree
from ensemble.tree.digest import EMPTY_TREE_DIGEST
from ensemble.tree.snapshot import END_MARK, STREAM_END, write_stream
from ensemble.tree.snapshot_reader import Snapshot
from ensemble.tree.snapshot_stream import StreamReader

CAPTURED = json.loads((Path(__file__).parent / "data" / "snap-streams.json").read_text())["streams"]
BEHIND = b"\x00\x00\x00\x0a and packets"
SMALL = b"".join(write_stream(small_tree()))
NAMES = [captured["name"] for captured in CAPTURED]


def read_stream(raw: bytes, zxid: int = 5) -> Snapshot:
    reader = StreamReader(extended_types=True)
    assert reader.feed(raw) == b""
    return reader.finish(zxid)


@pytest.mark.parametrize("captured", CAPTURED, ids=NAMES)
def test_a_real_leaders_stream_is_a_tree_and_what_lies_behind_it_stays(
    captured: dict[str, str],
) -> None:
    raw = bytes.fromhex(captured["stream"])
    behind = bytes.fromhex(captured["next_packet"])
    reader = StreamReader(extended_types=True)
    assert reader.feed(raw + behind) == behind
    assert reader.bytes_read == len(raw)
    snapshot = reader.finish(int(captured["zxid"], 16))
    tree = snapshot.tree
    audit(tree)
    assert (len(tree.sessions), len(tree.nodes)) == (captured["sessions"], captured["nodes"])
    assert tree.last_zxid == int(captured["zxid"], 16)
    assert snapshot.digest_zxid == -1  # there is none to compare
    assert contents(read_stream(b"".join(write_stream(tree))).tree) == contents(tree)


def test_a_wiped_follower_gets_the_live_session_and_its_ephemeral() -> None:
    """Captured 09: owners and stats, not only paths."""
    tree = read_stream(bytes.fromhex(CAPTURED[0]["stream"]), 0x10000002A).tree
    assert tree.sessions == {0x300000F7B2B0002: 20_000}
    (owned,) = tree.ephemerals[0x300000F7B2B0002]
    assert tree.nodes[owned].owner == 0x300000F7B2B0002


@pytest.mark.parametrize("captured", CAPTURED, ids=NAMES)
def test_the_stream_may_be_cut_anywhere(captured: dict[str, str]) -> None:
    """Every way to cut it and the packet behind it in two."""
    raw = bytes.fromhex(captured["stream"])
    behind = bytes.fromhex(captured["next_packet"])
    wanted = contents(read_stream(raw).tree)
    whole = raw + behind
    for cut in range(len(whole) + 1):
        reader = StreamReader(extended_types=True)
        first = reader.feed(whole[:cut])
        if cut < len(raw):
            assert first is None
            assert reader.feed(whole[cut:]) == behind
        else:
            assert first == whole[len(raw) : cut]
        assert reader.bytes_read == len(raw)
        assert contents(reader.finish(5).tree) == wanted


def test_the_stream_may_come_byte_by_byte() -> None:
    reader = StreamReader(extended_types=True)
    for i in range(len(SMALL) - 1):
        assert reader.feed(SMALL[i : i + 1]) is None
    assert reader.feed(SMALL[-1:]) == b""
    assert contents(reader.finish(5).tree) == contents(small_tree())


@settings(deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1))
def test_the_stream_may_come_in_pieces_of_any_length(sizes: list[int]) -> None:
    raw = SMALL + BEHIND
    reader = StreamReader(extended_types=True)
    at = 0
    rest = None
    for size in cycle(sizes):
        rest = reader.feed(raw[at : at + size])
        at += size
        if rest is not None:
            break
    assert rest == raw[len(SMALL) : at]
    assert contents(reader.finish(5).tree) == contents(small_tree())


def test_written_and_read_is_the_same_tree() -> None:
    tree = full_tree()
    again = read_stream(b"".join(write_stream(tree)), 0x10000002D).tree
    audit(again)
    assert contents(again) == contents(tree)
    assert (again.sessions, again.digest) == (tree.sessions, tree.digest)
    assert again.last_zxid == 0x10000002D


def test_an_empty_tree_goes_through_the_stream() -> None:
    assert read_stream(b"".join(write_stream(DataTree())), 0).tree.digest == EMPTY_TREE_DIGEST


def test_a_fuzzy_dump_may_be_newer_than_its_zxid_and_lack_sessions_and_acls() -> None:
    """zab.md 4.4: an ephemeral whose session was not dumped, an ACL that came after the table."""
    raw = TABLES + node(b"") + node(b"/a", b"new", acl=42) + END_MARK + STREAM_END
    tree = read_stream(raw, 0).tree
    assert tree.nodes[b"/a"].czxid == 1 > tree.last_zxid
    assert tree.nodes[b"/a"].acl.world_perms == 0  # closed until its create comes again


# Hostile bytes


def test_a_stream_that_ends_early_is_never_given_out() -> None:
    for size in range(len(SMALL)):
        reader = StreamReader(extended_types=True)
        assert reader.feed(SMALL[:size]) is None
        with pytest.raises(ProtocolError, match="ends too early"):
            reader.finish(5)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"ZKSN\x00\x00\x00\x02" + bytes(10), None),  # a file's header: a table of many sessions
        (struct.pack(">i", -1), "a table of -1 sessions"),
        (struct.pack(">ii", 0, -7), "a table of -7 ACLs"),
        (struct.pack(">iiqiqi", 0, 2, 1, 0, 1, 0), "the ACL number 1 comes twice"),
        (struct.pack(">iiqi", 0, 1, 1, 0x7FFFFFFF), "an ACL of more than"),
        (TABLES + node(b"/a"), "has no parent before it"),
        (TABLES + node(b"") + node(b"/a/b"), "has no parent before it"),
        (TABLES + node(b"") + node(b"/a") + node(b"/a"), "comes twice"),
        (TABLES + node(b"") + struct.pack(">i", -1), "a path of -1 bytes"),
        (TABLES + node(b"") + struct.pack(">i", 0x7FFFFFFF), "at most"),
        (TABLES + node(b"") + struct.pack(">i2si", 2, b"/a", -2) + bytes(80), "data of -2 bytes"),
        (TABLES + node(b"") + END_MARK + bytes(14), "instead of 0000000a42656e57617348657265"),
        (
            TABLES + node(b"") + END_MARK + b"\x00\x00\x00\x0aBenWasThere",
            "it ends with 0000000a42656e57617354686572",
        ),
    ],
)
def test_what_no_leader_sends_is_refused(raw: bytes, text: str | None) -> None:
    reader = StreamReader(extended_types=True)
    if text is None:
        assert reader.feed(raw * 1_000) is None
        with pytest.raises(ProtocolError, match="ends too early"):
            reader.finish(5)
        return
    with pytest.raises(ProtocolError, match=f"the stream behind SNAP: .*{text}"):
        reader.feed(raw + bytes(1 << 24) if "ACL of more" in text else raw)


def test_a_stream_without_a_root_is_refused_at_its_end() -> None:
    reader = StreamReader()
    assert reader.feed(TABLES + END_MARK + STREAM_END) == b""
    with pytest.raises(ProtocolError, match="holds no root"):
        reader.finish(5)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_no_changed_byte_does_more_than_end_the_connection(mask: int) -> None:
    """Without checksums a changed value may pass; it may not crash the reader or hang it."""
    outcomes = set()
    for at in range(len(SMALL)):
        raw = bytearray(SMALL)
        raw[at] ^= mask
        reader = StreamReader(extended_types=True)
        try:
            rest = reader.feed(bytes(raw) + bytes(100))
            outcomes.add("more wanted" if rest is None else "read")
            if rest is not None:
                audit(reader.finish(5).tree)
        except ProtocolError:
            outcomes.add("refused")
    assert outcomes == {"more wanted", "read", "refused"}


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_refused_or_waited_for(raw: bytes) -> None:
    reader = StreamReader()
    try:
        rest = reader.feed(raw)
    except ProtocolError:
        return
    assert rest is None or raw.endswith(rest)
