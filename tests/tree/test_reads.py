"""Queries that are more than one look-up, and what is due to be reaped."""

from workbench import NOW_MS, SESSION, Bench

from ensemble.tree import reaping
from ensemble.tree.digest import EMPTY_TREE_DIGEST
from ensemble.tree.prepare import PrepareOptions
from ensemble.tree.reads import count_descendants, ephemerals_of
from ensemble.wire import codes


def test_an_empty_tree_is_that_of_the_java_server() -> None:
    """client.md 9, storage.md 5.1."""
    tree = Bench().tree
    assert tree.digest == EMPTY_TREE_DIGEST
    stats = {path: tree.stat_of(node) for path, node in tree.nodes.items()}
    assert (stats[b"/"].cversion, stats[b"/zookeeper"].cversion) == (-1, -2)
    assert stats[b"/zookeeper/config"].aversion == -1
    assert tree.nodes[b"/zookeeper/config"].acl.world_perms == codes.PERM_READ
    assert tree.data_bytes == 44


def test_descendants_are_counted_by_components() -> None:
    """client.md 7: 3 for the root of an empty server; `/ab` is not below `/a`."""
    bench = Bench()
    assert count_descendants(bench.tree, b"/") == 3
    for path in (b"/a", b"/a/b", b"/a/b/c", b"/ab", b"/ab/c"):
        bench.create(path)
    counts = [count_descendants(bench.tree, path) for path in (b"/a", b"/a/b/c", b"/none", b"/")]
    assert counts == [2, 0, 0, 8]


def test_a_deep_tree_needs_no_stack() -> None:
    """A path of 3 000 levels is created, counted, measured and deleted."""
    bench = Bench()
    path = b""
    for _ in range(3_000):
        path += b"/d"
        assert bench.create(path).error == 0
    assert count_descendants(bench.tree, b"/d") == 2_999
    assert bench.tree.measure(b"/d") == (3_000, 0)
    while path:
        assert bench.delete(path).error == 0
        path = path[:-2]
    assert len(bench.tree.nodes) == 4


def test_ephemerals_by_raw_prefix() -> None:
    """client.md 7: no slash boundary; blank and `/` mean all."""
    bench = Bench()
    bench.create(b"/a")
    for path in (b"/a/x", b"/ab"):
        bench.create(path, flags=1)
    found = {
        prefix: sorted(ephemerals_of(bench.tree, SESSION, prefix))
        for prefix in (b"", b"/", b"  ", b"/a", b"/a/", b"/b")
    }
    both = [b"/a/x", b"/ab"]
    assert found == {b"": both, b"/": both, b"  ": both, b"/a": both, b"/a/": [b"/a/x"], b"/b": []}
    assert ephemerals_of(bench.tree, 1, b"") == []


def test_containers_are_due_once_they_had_a_child_and_have_none() -> None:
    """client.md 11."""
    bench = Bench()
    for name in (b"/never", b"/used", b"/full"):
        bench.create(name, op=codes.OP_CREATE_CONTAINER)
    for name in (b"/used/x", b"/full/x"):
        bench.create(name)
    bench.delete(b"/used/x")
    assert reaping.due(bench.tree, NOW_MS + 10**9, 0, 9) == [b"/used"]
    assert sorted(reaping.due(bench.tree, NOW_MS + 11, 10, 9)) == [b"/never", b"/used"]
    assert reaping.due(bench.tree, NOW_MS + 10, 10, 9) == [b"/used"]
    assert len(reaping.due(bench.tree, NOW_MS + 11, 10, 1)) == 1


def test_ttl_nodes_are_due_when_their_time_since_the_last_write_is_over() -> None:
    """client.md 11: only setData refreshes; children keep it."""
    bench = Bench(PrepareOptions(extended_types=True))
    for name in (b"/old", b"/written", b"/full"):
        bench.create(name, flags=5, ttl=100, op=codes.OP_CREATE_TTL)
    bench.create(b"/full/x")
    bench.now_ms = NOW_MS + 50
    bench.set_data(b"/written", b"")
    assert reaping.due(bench.tree, NOW_MS + 100, 0, 9) == []
    assert reaping.due(bench.tree, NOW_MS + 101, 0, 9) == [b"/old"]
    assert sorted(reaping.due(bench.tree, NOW_MS + 151, 0, 9)) == [b"/old", b"/written"]
