"""The watch table: which registration hears of which change, and what is left afterwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.tree.watches import WatchCount, WatchTable
from ensemble.wire import codes

CREATED = codes.EVENT_NODE_CREATED
DELETED = codes.EVENT_NODE_DELETED
DATA = codes.EVENT_NODE_DATA_CHANGED
CHILDREN = codes.EVENT_NODE_CHILDREN_CHANGED


def test_a_data_watch_fires_once() -> None:
    """client.md 13.1."""
    table = WatchTable()
    table.add_data(1, b"/a")
    assert table.fire(DATA, b"/a") == [1]
    assert table.fire(DATA, b"/a") == []
    assert (table.total(), table.data, table.by_connection) == (0, {}, {})


def test_a_client_with_data_and_child_watches_hears_of_a_deletion_once() -> None:
    """client.md 13.3: one NodeDeleted, both registrations consumed."""
    table = WatchTable()
    table.add_data(1, b"/a")
    table.add_child(1, b"/a")
    table.add_child(2, b"/a")
    assert table.fire(DELETED, b"/a") == [1, 2]
    assert table.total() == 0


@pytest.mark.parametrize(
    ("event", "path", "hears"),
    [
        (CREATED, b"/a", True),
        (DATA, b"/a", True),
        (DELETED, b"/a", True),
        (CHILDREN, b"/a", True),
        (DATA, b"/a/b", False),
    ],
)
def test_a_persistent_watch_stays(event: int, path: bytes, hears: bool) -> None:
    table = WatchTable()
    table.add_persistent(1, b"/a", recursive=False)
    for _ in range(2):
        assert table.fire(event, path) == ([1] if hears else [])


@pytest.mark.parametrize(
    ("event", "path", "hears"),
    [
        (CREATED, b"/a", True),
        (DATA, b"/a/b", True),
        (DELETED, b"/a/b/c/d", True),
        (CREATED, b"/ax", False),
        (CREATED, b"/", False),
        (CHILDREN, b"/a", False),
        (CHILDREN, b"/a/b", False),
    ],
)
def test_a_recursive_watch_matches_whole_components(event: int, path: bytes, hears: bool) -> None:
    """client.md 13.3: no child events; /rr does not match /rrx."""
    table = WatchTable()
    table.add_persistent(1, b"/a", recursive=True)
    for _ in range(2):
        assert table.fire(event, path) == ([1] if hears else [])


def test_a_recursive_watch_on_the_root_sees_everything() -> None:
    table = WatchTable()
    table.add_persistent(1, b"/", recursive=True)
    assert table.fire(CREATED, b"/x/y") == [1]
    assert table.fire(DATA, b"/") == [1]


def test_a_connection_hears_once_however_many_registrations_match() -> None:
    """C4: standard, persistent and recursive on one path; only the standard one is consumed."""
    table = WatchTable()
    table.add_data(1, b"/a/b")
    table.add_persistent(1, b"/a/b", recursive=False)
    table.add_persistent(1, b"/a/b", recursive=True)
    table.add_persistent(1, b"/a", recursive=True)
    table.add_persistent(1, b"/", recursive=True)
    assert table.fire(DATA, b"/a/b") == [1]
    assert not table.check(1, b"/a/b", codes.WATCHER_DATA)
    assert table.check(1, b"/a/b", codes.WATCHER_PERSISTENT)
    assert table.check(1, b"/a/b", codes.WATCHER_PERSISTENT_RECURSIVE)


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        (codes.WATCHER_CHILDREN, {2, 3, 4, 5}),
        (codes.WATCHER_DATA, {1, 3, 4, 5}),
        (codes.WATCHER_PERSISTENT, {1, 2, 3, 5}),
        (codes.WATCHER_PERSISTENT_RECURSIVE, {1, 2, 3, 4}),
        (codes.WATCHER_ANY, set()),
    ],
)
def test_remove_takes_exactly_its_own_kind(kind: int, left: set[int]) -> None:
    """client.md 13.5: 1 and 2 only one-shot ones, 4 from both tables, 3 every kind."""
    table = WatchTable()
    table.add_data(1, b"/a")
    table.add_child(1, b"/a")
    table.add_persistent(1, b"/a", recursive=False)
    table.add_persistent(1, b"/a", recursive=True)
    assert table.remove(1, b"/a", kind)
    kinds = range(codes.WATCHER_CHILDREN, codes.WATCHER_PERSISTENT_RECURSIVE + 1)
    assert {k for k in kinds if table.check(1, b"/a", k)} == left
    assert not table.remove(1, b"/a", kind)


def test_watches_of_a_closed_connection_leave_nothing_behind() -> None:
    """C5: memory returns to what it was."""
    table = WatchTable()
    for path in (b"/a", b"/b", b"/c"):
        table.add_data(1, path)
        table.add_child(1, path)
        table.add_persistent(1, path, recursive=True)
        table.add_data(2, path)
    table.drop_connection(1)
    assert (table.total(), table.recursive_count) == (3, 0)
    assert table.by_connection == {2: {b"/a", b"/b", b"/c"}}
    table.drop_connection(2)
    assert (table.data, table.child, table.by_connection) == ({}, {}, {})


def test_the_summary_counts_the_data_table_only() -> None:
    """admin.md 1.4, wchs."""
    table = WatchTable()
    table.add_data(1, b"/a")
    table.add_data(2, b"/a")
    table.add_child(3, b"/a")
    table.add_persistent(1, b"/b", recursive=True)
    summary = table.summary()
    assert (summary.connections, summary.paths, summary.watches) == (2, 2, 3)
    assert table.total() == 4


PATHS = [b"/", b"/a", b"/a/b", b"/ab", b"/a/b/c"]
steps = st.one_of(
    st.tuples(st.just("data"), st.integers(1, 3), st.sampled_from(PATHS)),
    st.tuples(st.just("child"), st.integers(1, 3), st.sampled_from(PATHS)),
    st.tuples(st.just("persistent"), st.integers(1, 3), st.sampled_from(PATHS)),
    st.tuples(st.just("recursive"), st.integers(1, 3), st.sampled_from(PATHS)),
    st.tuples(st.just("drop"), st.integers(1, 3), st.just(b"")),
    st.tuples(st.just("fire"), st.sampled_from([CREATED, DELETED, DATA]), st.sampled_from(PATHS)),
    st.tuples(st.just("fire"), st.just(CHILDREN), st.sampled_from(PATHS)),
    st.tuples(st.just("remove"), st.integers(1, 3), st.sampled_from(PATHS)),
)


@given(st.lists(steps, max_size=50))
def test_the_table_agrees_with_a_set_of_registrations(todo: list[tuple[str, int, bytes]]) -> None:
    """I14: against the obvious model, a set of (kind, connection, path)."""
    table = WatchTable()
    model: set[tuple[str, int, bytes]] = set()
    for step, number, path in todo:
        if step == "data":
            table.add_data(number, path)
            model.add((step, number, path))
        elif step == "child":
            table.add_child(number, path)
            model.add((step, number, path))
        elif step in ("persistent", "recursive"):
            table.add_persistent(number, path, step == "recursive")
            model.add((step, number, path))
        elif step == "drop":
            table.drop_connection(number)
            model = {r for r in model if r[1] != number}
        elif step == "remove":
            table.remove(number, path, codes.WATCHER_ANY)
            model = {r for r in model if (r[1], r[2]) != (number, path)}
        else:
            fired = table.fire(number, path)
            hit = {r for r in model if matches(r, number, path)}
            assert sorted(fired) == sorted({r[1] for r in hit})
            model -= {r for r in hit if r[0] in ("data", "child") and r[2] == path}
        assert table.recursive_count == sum(1 for r in model if r[0] == "recursive")
        held = {(c, p) for c, paths in table.by_connection.items() for p in paths}
        assert held == {(r[1], r[2]) for r in model}


def matches(registration: tuple[str, int, bytes], event: int, path: bytes) -> bool:
    kind, _, watched = registration
    if kind == "recursive":
        below = watched == b"/" or path.startswith(watched + b"/")
        return event != CHILDREN and (path == watched or below)
    if path != watched:
        return False
    if kind == "data":
        return event != CHILDREN
    if kind == "child":
        return event in (CHILDREN, DELETED)
    return True


@given(
    st.lists(
        st.tuples(
            st.sampled_from("add child both deep fire drop remove move".split()),
            st.integers(1, 3),
            st.sampled_from((b"/a", b"/a/b", b"/c")),
        ),
        max_size=60,
    )
)
def test_groups_count_the_paths_of_their_connections(steps: list[tuple[str, int, bytes]]) -> None:
    """However watches come and go, a group's count is that of its connections' paths."""
    table = WatchTable()
    groups = [WatchCount(), WatchCount()]
    member: dict[int, WatchCount] = {}
    for what, connection, path in steps:
        if what == "add":
            table.add_data(connection, path)
        elif what == "child":
            table.add_child(connection, path)
        elif what in ("both", "deep"):
            table.add_persistent(connection, path, what == "deep")
        elif what == "fire":
            table.fire(codes.EVENT_NODE_DELETED, path)
        elif what == "remove":
            table.remove(connection, path, codes.WATCHER_ANY)
        elif what == "drop":
            table.drop_connection(connection)
            member.pop(connection, None)
        else:
            group = groups[len(path) % 2]
            table.count_in(connection, group)
            member[connection] = group
        for group in groups:
            mine = [each for each, its in member.items() if its is group]
            assert group.count == sum(table.count_of(each) for each in mine)
