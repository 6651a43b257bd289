"""Requests: golden bytes both ways, round trips of every record, hostile bytes.

The captures are of Apache ZooKeeper 3.9.3 with raw, Java, kazoo and C clients
(tests/interop/vectors).
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import KeeperError
from ensemble.wire import codes, requests
from ensemble.wire.jute import BytesWriter, MarshallingError, Reader, reader_of
from ensemble.wire.records import Acl, Id, read_acl_vector, write_acl_vector

VECTORS = Path(__file__).parent.parent / "interop" / "vectors"
UNFRAMED = {"15", "60", "61"}  # partial frames, garbage and four-letter words
PLAIN = {
    codes.OP_PING,
    codes.OP_CLOSE_SESSION,
    codes.OP_WHO_AM_I,
    codes.OP_SASL,
    codes.OP_SYNC,
    codes.OP_GET_ACL,
    codes.OP_GET_ALL_CHILDREN_NUMBER,
    codes.OP_GET_EPHEMERALS,
}


def captured_requests() -> list[tuple[str, bytes]]:
    """Every whole request frame after its connection's first, with its length prefix cut off."""
    found: list[tuple[str, bytes]] = []
    for file in sorted(VECTORS.glob("*.json")):
        if file.name[:2] in UNFRAMED:
            continue
        connected: set[str] = set()
        for item in json.loads(file.read_text()):
            raw = bytes.fromhex(item["hex"])
            if item["dir"] != "c2s" or len(raw) < 4 or len(raw) != 4 + int.from_bytes(raw[:4]):
                continue
            if item["conn"] not in connected:
                connected.add(item["conn"])
                continue
            found.append((f"{file.name}: {item['what']}", raw[4:]))
    return found


def encode(op: int, body: Reader) -> bytes:
    """Decode one request body and encode it again."""
    out = BytesWriter()
    if op in (codes.OP_CREATE, codes.OP_CREATE2, codes.OP_CREATE_CONTAINER, codes.OP_CREATE_TTL):
        requests.write_create(out, requests.read_create(body, op), op)
    elif op == codes.OP_DELETE:
        requests.write_delete(out, requests.read_delete(body))
    elif op == codes.OP_SET_DATA:
        requests.write_set_data(out, requests.read_set_data(body))
    elif op == codes.OP_SET_ACL:
        requests.write_set_acl(out, requests.read_set_acl(body))
    elif op in (
        codes.OP_EXISTS,
        codes.OP_GET_DATA,
        codes.OP_GET_CHILDREN,
        codes.OP_GET_CHILDREN2,
    ):
        requests.write_path_watch(out, requests.read_path_watch(body))
    elif op in (codes.OP_SET_WATCHES, codes.OP_SET_WATCHES2):
        requests.write_set_watches(out, requests.read_set_watches(body, op), op)
    elif op in (codes.OP_ADD_WATCH, codes.OP_CHECK_WATCHES, codes.OP_REMOVE_WATCHES):
        requests.write_watch_request(out, requests.read_watch_request(body))
    elif op == codes.OP_RECONFIG:
        requests.write_reconfig(out, requests.read_reconfig(body))
    elif op == codes.OP_AUTH:
        requests.write_auth(out, requests.read_auth(body))
    elif op == codes.OP_MULTI:
        requests.write_multi(out, requests.read_multi(body))
    elif op == codes.OP_MULTI_READ:
        requests.write_multi_read(out, requests.read_multi_read(body))
    else:
        out.write(body.rest())
        body.at = body.end
    return out.getvalue()


def test_captured_requests_encode_to_the_bytes_they_were_read_from() -> None:
    """Golden vectors, both ways: what can be decoded comes out again byte for byte."""
    seen: set[int] = set()
    for name, frame in captured_requests():
        op = int.from_bytes(frame[4:8], signed=True)
        body = Reader(frame, 8, len(frame))
        try:
            encoded = encode(op, body)
        except MarshallingError:
            continue  # captured on purpose: the tests of the interop folder say what is answered
        used = frame[8 : body.at]
        # Flags that mean nothing on the way in (auth's type, a multi's err) are written as clients
        # do.
        if op not in (codes.OP_MULTI, codes.OP_MULTI_READ, codes.OP_AUTH):
            assert encoded == used, name
        else:
            assert len(encoded) == len(used), name
        seen.add(op)
    wanted = {op for op in codes.OP_NAMES if op not in (-10, -1, 0, 13, 20)}
    assert wanted - seen == set()


def test_a_captured_connect_request_encodes_to_its_own_bytes() -> None:
    """client.md 3.1, both the 45-byte form and the 44-byte form of old clients."""
    sizes: set[int] = set()
    for item in json.loads((VECTORS / "01_connect.json").read_text()):
        raw = bytes.fromhex(item["hex"])
        if item["dir"] != "c2s" or len(raw) not in (48, 49):
            continue
        out = BytesWriter()
        requests.write_connect_request(out, requests.read_connect_request(reader_of(raw[4:])))
        sizes.add(len(raw) - 4)
        if raw[-1] in (0, 1):
            assert out.getvalue() == raw[4:]
    assert sizes == {44, 45}


longs = st.integers(-(1 << 63), (1 << 63) - 1)
ints = st.integers(-(1 << 31), (1 << 31) - 1)
paths = st.binary(max_size=40)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
acls = st.lists(
    st.builds(Acl, ints, st.builds(Id, texts | st.none(), texts | st.none())), max_size=4
)


def raw_acl(entries: list[Acl]) -> bytes:
    out = BytesWriter()
    write_acl_vector(out, entries)
    return out.getvalue()


@given(paths, st.binary(max_size=99) | st.none(), acls, ints, longs)
def test_create_ttl_comes_back_as_it_was_written(
    path: bytes, data: bytes | None, acl: list[Acl], flags: int, ttl: int
) -> None:
    request = requests.CreateRequest(path, data, raw_acl(acl), flags, ttl)
    out = BytesWriter()
    requests.write_create(out, request, codes.OP_CREATE_TTL)
    back = requests.read_create(reader_of(out.getvalue()), codes.OP_CREATE_TTL)
    assert (back.path, back.data, back.acl, back.flags, back.ttl) == (
        path,
        data,
        raw_acl(acl),
        flags,
        ttl,
    )
    assert read_acl_vector(reader_of(back.acl)) == acl


@given(longs, st.lists(paths), st.lists(paths), st.lists(paths), st.lists(paths), st.lists(paths))
def test_set_watches2_comes_back_as_it_was_written(
    zxid: int, a: list[bytes], b: list[bytes], c: list[bytes], d: list[bytes], e: list[bytes]
) -> None:
    out = BytesWriter()
    op = codes.OP_SET_WATCHES2
    requests.write_set_watches(out, requests.SetWatchesRequest(zxid, a, b, c, d, e), op)
    back = requests.read_set_watches(reader_of(out.getvalue()), op)
    assert (back.relative_zxid, back.data, back.exist, back.child) == (zxid, a, b, c)
    assert (back.persistent, back.recursive) == (d, e)


@given(st.binary(max_size=200), st.sampled_from(sorted(codes.OP_NAMES)))
def test_hostile_bodies_raise_nothing_but_marshalling_errors(body: bytes, op: int) -> None:
    """trust.md 5.3, DoS: any bytes decode or are refused, whatever the lengths in them claim."""
    try:
        encode(op, reader_of(body))
    except KeeperError as error:
        assert error.code == codes.MARSHALLING_ERROR


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff\xff\xff\x00",  # a null path
        b"\x00\x00\x00\x05/a",  # a path longer than the body
        b"\x7f\xff\xff\xff/a",  # a length that would take 2 GiB
        b"\x80\x00\x00\x00/a",  # a negative length other than -1
        b"\x00\x00\x00\x02/a",  # the watch flag is missing
        b"",
    ],
)
def test_a_read_with_an_impossible_body_is_a_marshalling_error(body: bytes) -> None:
    """client.md 18."""
    with pytest.raises(MarshallingError):
        requests.read_path_watch(reader_of(body))


def test_bytes_behind_the_last_field_are_ignored() -> None:
    """client.md 2."""
    request = requests.read_path_watch(reader_of(b"\x00\x00\x00\x02/a\x07garbage"))
    assert (request.path, request.watch) == (b"/a", True)


def test_a_vector_that_cannot_fit_is_refused_before_it_is_read() -> None:
    """D1, D8: a count of two thousand million costs nothing."""
    body = b"\x00" * 8 + b"\x7f\xff\xff\xff" + b"\x00" * 12
    with pytest.raises(MarshallingError, match="2147483647 elements"):
        requests.read_set_watches(reader_of(body), codes.OP_SET_WATCHES)


@pytest.mark.parametrize("op", [codes.OP_GET_DATA, codes.OP_SET_ACL, codes.OP_DELETE_CONTAINER, 0])
def test_a_multi_refuses_operations_that_it_cannot_hold(op: int) -> None:
    """client.md 12."""
    out = BytesWriter()
    requests.write_multi_header(out, op, False, -1)
    with pytest.raises(MarshallingError):
        requests.read_multi(reader_of(out.getvalue() + bytes(50)))


def test_a_multi_without_terminator_is_a_marshalling_error() -> None:
    out = BytesWriter()
    requests.write_multi_header(out, codes.OP_DELETE, False, -1)
    requests.write_delete(out, requests.DeleteRequest(b"/a", -1))
    with pytest.raises(MarshallingError):
        requests.read_multi(reader_of(out.getvalue()))
