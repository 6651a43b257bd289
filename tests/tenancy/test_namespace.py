"""What a tenant's paths mean, in both directions, and what becomes of a request's body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from ensemble.tenancy.namespace import View, translate
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader, reader_of
from ensemble.wire.requests import (
    CreateRequest,
    DeleteRequest,
    MultiItem,
    SetDataRequest,
    read_create,
    read_multi,
    read_multi_read,
    read_path_watch,
    read_set_watches,
    write_multi,
)
from tests.tenancy.bodies import OPEN_ACL, create_body, number, path_body, watches_body

ROOT = b"/tenants/a"
VIEW = View(ROOT)
QUOTAS = b"/zookeeper/quota/tenants/a"
# trust.md 5.3: what a path may try to be.
HOSTILE = [
    b"..",
    b"/..",
    b"/../b",
    b"/x/../../b",
    b"/./b",
    b"//",
    b"///",
    b"//b",
    b"/x//b",
    b"/x/",
    b"b",
    b"b/x",
    b"tenants/b",
    b"../b",
    b"/\0",
    b"/x\0y",
    b"\0",
    b"/\x01",
    b"/\x1f",
    b"/\x7f",
    b"/\xc2\x80",
    b"/\xc0\xaf",
    b"/\xc0\xae\xc0\xae/b",
    b"/\xff\xfe",
    b"/\xed\xa0\x80",
    b"/\xee\x80\x80",
    b"/\xef\xbf\xbf",
    b"/\xf0\x9f\x92\xa9",
    b"/A\xcc\x8a",
    b"/\xc3\x85",
    b"/zookeeper",
    b"/zookeeper/",
    b"/zookeeper/config",
    b"/zookeeper/tenants",
    b"/zookeeper/tenants/a",
    b"/zookeeper/quota/",
    b"/zookeeper/quota/../tenants",
    b"/zookeeper/quota//",
    b"/zookeeper/quotas",
    b"/zookeeperx",
    b"/zookeeper//quota",
    b"//zookeeper",
    b"zookeeper",
    b"/tenants/b/secret",
    b"/" + b"x" * 5_000,
    b"/" + b"x/" * 2_000,
]


def is_inside(path: bytes) -> bool:
    """At or below the root or its quotas; or the name of nothing, as no znode's path begins so."""
    if path[:1] != b"/":
        return True
    return any(path == top or path.startswith(top + b"/") for top in (ROOT, QUOTAS))


@pytest.mark.parametrize(
    ("own", "real"),
    [
        (b"/", b"/tenants/a"),
        (b"/x", b"/tenants/a/x"),
        (b"/x/y", b"/tenants/a/x/y"),
        (b"/z", b"/tenants/a/z"),
        (b"/zookeepers", b"/tenants/a/zookeepers"),
        (b"/zookeeper/quota", QUOTAS),
        (b"/zookeeper/quota/x/zookeeper_limits", QUOTAS + b"/x/zookeeper_limits"),
        (b"/zookeeper", b"/tenants/a/zookeeper/"),
        (b"/zookeeper/tenants/a", b"/tenants/a/zookeeper//tenants/a"),
        (b"b/x", b"b/x"),
    ],
)
def test_a_path_has_one_meaning(own: bytes, real: bytes) -> None:
    assert VIEW.inward(own) == real
    assert VIEW.outward(real) == own


def test_the_empty_path_is_the_root_where_a_node_is_looked_up_and_nothing_elsewhere() -> None:
    assert VIEW.inward(b"") == ROOT
    assert VIEW.inward_text(b"") == VIEW.inward_write(b"") == b""


@pytest.mark.parametrize("path", HOSTILE)
def test_E_path_no_hostile_name_leaves_the_root(path: bytes) -> None:
    for real in (VIEW.inward(path), VIEW.inward_text(path), VIEW.inward_write(path)):
        assert is_inside(real), real
    assert VIEW.outward(VIEW.inward(path)) == path


NAMES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(HOSTILE),
    st.lists(
        st.sampled_from([b"/", b"zookeeper", b"quota", b"tenants", b"a", b"b", b"..", b"\0", b"/"]),
        max_size=9,
    ).map(b"".join),
)


@given(NAMES)
def test_E_path_every_path_stays_inside_and_comes_back(path: bytes) -> None:
    """trust.md 5.3: the resolved path is always inside the root."""
    real = VIEW.inward(path)
    assert is_inside(real)
    assert is_inside(VIEW.inward_write(path))
    assert VIEW.outward(real) == (path or b"/")


@given(NAMES)
def test_E_path_what_is_shown_is_what_was_named(path: bytes) -> None:
    """Outward gives nothing for what no path of the tenant means."""
    own = VIEW.outward(path)
    if own is not None and own != b"":
        assert VIEW.inward(own) == path


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/tenants",
        b"/tenants/ab",
        b"/tenants/b/x",
        b"/zookeeper",
        b"/zookeeper/tenants/a/0100000000000000",
        b"/zookeeper/quota/tenants/ab",
        b"/tenants/a/zookeeper",
        b"/tenants/a/zookeeper/x",
    ],
)
def test_what_lies_outside_or_in_the_shadow_has_no_name_inside(path: bytes) -> None:
    assert VIEW.outward(path) is None


def moved(op: int, body: bytes) -> Reader:
    reader = Reader(b"ahead" + body + b"behind", 5, 5 + len(body))
    assert translate(VIEW, op, reader) is None
    return reader


def refused(op: int, body: bytes) -> int:
    refusal = translate(VIEW, op, reader_of(body))
    assert refusal is not None
    return refusal.error


def test_only_the_path_of_a_body_changes() -> None:
    request = read_path_watch(moved(codes.OP_GET_DATA, path_body(b"/x", b"\1")))
    assert (request.path, request.watch) == (ROOT + b"/x", True)
    made = read_create(moved(codes.OP_CREATE, create_body(b"/x", b"data", 2)), codes.OP_CREATE)
    assert (made.path, made.data, made.acl, made.flags) == (ROOT + b"/x", b"data", OPEN_ACL, 2)
    reader = moved(codes.OP_DELETE, path_body(b"/x", number(7)))
    assert (reader.read_path(), reader.read_int(), reader.remaining()) == (ROOT + b"/x", 7, 0)


def test_a_number_behind_the_roots_name_would_be_a_neighbour() -> None:
    sequential = codes.CREATE_PERSISTENT_SEQUENTIAL
    for own, real in [(b"/", ROOT + b"/"), (b"/zookeeper", ROOT + b"/zookeeper")]:
        body = create_body(own, b"", sequential)
        assert read_create(moved(codes.OP_CREATE, body), codes.OP_CREATE).path == real
        assert refused(codes.OP_CREATE, create_body(own)) == codes.NODE_EXISTS
    body = create_body(b"/zookeeper/quota", b"", sequential)
    assert refused(codes.OP_CREATE, body) == codes.NO_AUTH


@pytest.mark.parametrize("path", [b"/", b"/zookeeper", b"/zookeeper/quota"])
def test_what_cannot_be_deleted_is_refused_in_its_turn(path: bytes) -> None:
    assert moved(codes.OP_DELETE, path_body(path, number(-1))).read_path() == b""


@pytest.mark.parametrize("path", [b"/zookeeper/x", b"/zookeeper/tenants/a", b"/zookeeper/"])
def test_nothing_below_its_zookeeper_is_written_but_quotas(path: bytes) -> None:
    assert refused(codes.OP_CREATE, create_body(path)) == codes.NO_AUTH
    assert refused(codes.OP_DELETE, path_body(path, number(-1))) == codes.NO_AUTH
    assert refused(codes.OP_SET_DATA, path_body(path, number(0), number(-1))) == codes.NO_AUTH
    assert refused(codes.OP_SET_ACL, path_body(path, OPEN_ACL, number(-1))) == codes.NO_AUTH


def multi(*items: MultiItem) -> bytes:
    out = BytesWriter()
    write_multi(out, list(items))
    return out.getvalue()


def test_every_part_of_a_multi_is_translated_and_nothing_else_of_it() -> None:
    reader = moved(
        codes.OP_MULTI,
        multi(
            MultiItem(codes.OP_CREATE, CreateRequest(b"/x", b"data", OPEN_ACL, 1, -1)),
            MultiItem(codes.OP_SET_DATA, SetDataRequest(b"/", None, 3)),
            MultiItem(codes.OP_DELETE, DeleteRequest(b"/zookeeper/quota/x", 4)),
            MultiItem(codes.OP_CHECK, DeleteRequest(b"/x", 5)),
            MultiItem(codes.OP_CHECK, DeleteRequest(b"/zookeeper", 0)),
            MultiItem(codes.OP_CHECK, DeleteRequest(b"/", 6)),
        ),
    )
    items = read_multi(reader)
    assert [item.request.path for item in items] == [
        ROOT + b"/x",
        ROOT,
        QUOTAS + b"/x",
        ROOT + b"/x",
        ROOT,
        ROOT,
    ]
    versions = [r.request.version for r in items if isinstance(r.request, DeleteRequest)]
    assert versions == [4, 5, -1, 6]
    first = items[0].request
    assert isinstance(first, CreateRequest)
    assert (first.data, first.acl, first.flags) == (b"data", OPEN_ACL, 1)


def test_a_multi_that_is_refused_says_which_part_and_how_many_there_are() -> None:
    body = multi(
        MultiItem(codes.OP_CHECK, DeleteRequest(b"/x", 5)),
        MultiItem(codes.OP_DELETE, DeleteRequest(b"/zookeeper/x", 5)),
        MultiItem(codes.OP_CHECK, DeleteRequest(b"/zookeeper/y", 5)),
    )
    refusal = translate(VIEW, codes.OP_MULTI, reader_of(body))
    assert refusal is not None
    assert (refusal.error, refusal.at, refusal.parts) == (codes.NO_AUTH, 1, 3)


def test_reads_in_a_multi_and_lists_of_watches_are_translated() -> None:
    body = b""
    for path in (b"/x", b"", b"/zookeeper"):
        body += number(codes.OP_GET_DATA) + b"\0" + number(-1) + path_body(path, b"\0")
    body += number(-1) + b"\1" + number(-1)
    paths = [item.path for item in read_multi_read(moved(codes.OP_MULTI_READ, body))]
    assert paths == [ROOT + b"/x", ROOT, ROOT + b"/zookeeper/"]
    lists = [[b"/a"], [b"/b", b"/"], [b"/c"], [b""], [b"/d"]]
    body = watches_body(77, *lists)
    request = read_set_watches(moved(codes.OP_SET_WATCHES2, body), codes.OP_SET_WATCHES2)
    assert request.relative_zxid == 77
    assert request.data == [ROOT + b"/a"]
    assert request.exist == [ROOT + b"/b", ROOT]
    assert request.child == [ROOT + b"/c"]
    assert request.persistent == [b""]
    assert request.recursive == [ROOT + b"/d"]


@given(
    st.sampled_from([codes.OP_MULTI, codes.OP_MULTI_READ, codes.OP_SET_WATCHES2]),
    st.binary(max_size=80),
)
def test_E_path_what_cannot_be_decoded_loses_its_paths(op: int, body: bytes) -> None:
    """Nobody further in may find a path in it that was not translated."""
    reader = reader_of(body)
    if translate(VIEW, op, reader) is not None:
        return
    try:
        if op == codes.OP_MULTI:
            paths = [item.request.path for item in read_multi(reader)]
        elif op == codes.OP_MULTI_READ:
            paths = [item.path for item in read_multi_read(reader)]
        else:
            request = read_set_watches(reader, op)
            paths = request.data + request.exist + request.child + request.persistent
            paths += request.recursive
    except MarshallingError:
        return
    assert all(is_inside(path) for path in paths)


def test_a_null_path_stays_null() -> None:
    for op in (codes.OP_GET_DATA, codes.OP_CHECK_WATCHES, codes.OP_CREATE):
        assert moved(op, number(-1) + number(3)).read_buffer() is None
