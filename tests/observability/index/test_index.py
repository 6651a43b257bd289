"""What the feed and fills make of the index, in whatever order they come."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from observability.changes import Policy
from observability.index import write
from observability.index.rows import TEXT_BYTES_MAX, Found
from observability.index.write import Phase, State
from observability.models import Source, Znode
from observability.store import source_of
from tests.observability.test_history import ROOT, Feed, feed, line

__all__ = ["feed"]
pytestmark = pytest.mark.django_db(databases=["default", "observed"])

Fill = Callable[[], Source]


@pytest.fixture
def index(feed: Feed) -> Source:
    """An index whose first fill found nothing."""
    source = source_of(Source.Kind.INDEX, "main", "")
    write.begin(1, source, "test")
    end(source)
    return source


def end(source: Source) -> State:
    write.walked(1, source)
    while (state := write.sweep(1, source)).phase == Phase.SWEEP:
        pass
    return state


def rows(**where: Any) -> dict[str, str]:
    found = Znode.objects.filter(is_gone=False, **where)
    return dict(found.order_by("path").values_list("path", "text"))


def state() -> State:
    found = write.state_of("main")
    assert found is not None
    return found


def read(path: str, zxid: int, text: str = "", **more: Any) -> Found:
    return Found(path, zxid, 1_000 * zxid, size=len(text), text=text, **more)


def test_the_feed_keeps_it(feed: Feed, index: Source) -> None:
    feed(
        line(1, "create", "/a", b"one", version=0),
        line(2, "create", "/a/e", b"", version=0, ephemeral=True),
        line(3, "setData", "/a", b"two", version=1),
        line(4, "create", "/b", b"\xff\xff"),
        line(5, "setACL", "/b", acl_version=1),
        line(6, "create", "/gone", b""),
        line(7, "delete", "/gone"),
    )
    assert rows() == {"/a": "two", "/a/e": "", "/b": ""}
    assert state().rows == 3
    one = Znode.objects.get(path="/a")
    assert (one.zxid, one.version, one.size, one.principal) == (3, 1, 3, "app@payments")
    assert Znode.objects.get(path="/a/e").owner == "0x7"
    assert Znode.objects.get(path="/b").why == "binary"
    feed(line(8, "setData", "/a/e", b"x"), line(9, "closeSession", paths=["/a/e"]))
    assert rows() == {"/a": "two", "/b": ""}
    assert state().rows == 2


def test_an_ephemeral_one_stays_its_sessions_when_somebody_sets_it(
    feed: Feed, index: Source
) -> None:
    feed(line(1, "create", "/e", b"", ephemeral=True))
    feed(line(2, "setData", "/e", b"x", session="0x8"))
    assert Znode.objects.get(path="/e").owner == "0x7"


def test_within_one_transaction_the_last_part_holds(feed: Feed, index: Source) -> None:
    parts = [
        {"operation": "delete", "path": "/a"},
        {"operation": "create", "path": "/a", "bytes": 1, "value": "Mg=="},
        {"operation": "create", "path": "/b", "bytes": 0, "value": ""},
        {"operation": "delete", "path": "/b"},
    ]
    feed(line(1, "create", "/a", b"1"), line(2, "multi", parts=parts))
    assert rows() == {"/a": "2"}


def test_without_an_index_the_feed_writes_none(feed: Feed) -> None:
    feed(line(1, "create", "/a", b""))
    assert rows() == {}


def test_of_walk_and_feed_the_later_zxid_holds(feed: Feed) -> None:
    source = source_of(Source.Kind.INDEX, "main", "")
    write.begin(1, source, "test")
    feed(line(5, "setData", "/newer", b"feed"), line(6, "delete", "/deleted"))
    write.add(
        1,
        source,
        [
            read("/newer", 4, "walk"),
            read("/deleted", 3, "walk"),
            read("/ahead", 9, "walk"),
            read("/same", 7, "walk", owner="0x9"),
        ],
        "/",
        "x",
    )
    feed(
        line(7, "setData", "/same", b"feed"),
        line(8, "setData", "/ahead", b"behind"),
        line(8, "delete", "/ahead"),
    )
    assert rows() == {"/newer": "feed", "/ahead": "walk", "/same": "feed"}
    assert Znode.objects.get(path="/same").owner == "0x9"
    assert end(source).rows == 3
    assert Znode.objects.filter(is_gone=True).count() == 0
    feed(line(9, "delete", "/ahead"))
    assert "/ahead" not in rows()


def test_a_fill_takes_away_what_it_does_not_find(feed: Feed, index: Source) -> None:
    feed(line(1, "create", "/stays", b"1"), line(2, "create", "/lost", b"2"))
    write.begin(1, index, "a gap")
    write.add(1, index, [read("/stays", 1, "1"), read("/new", 2)], "/", "z")
    feed(line(3, "create", "/during", b""))
    assert "/lost" in rows(), "what was known is shown until it is known better"
    assert end(index).rows == 3
    assert sorted(rows()) == ["/during", "/new", "/stays"]
    assert Znode.objects.get(path="/stays").principal == "app@payments", "who it was is kept"


def test_a_gap_asks_for_a_fill_and_another_tree_hides_the_one_before(
    feed: Feed, index: Source
) -> None:
    feed(line(100, "create", "/a", b"old"), line(101, "create", "/b", b"old"))
    feed(b'{"error": "history is gone", "oldest": "0x0"}')
    assert state().wanted == "history is gone"
    assert state().anew
    assert rows(fill__gte=state().least) == {}, "nothing of the tree before is shown any more"
    began = write.begin(1, index, state().wanted)
    assert (began.least, began.wanted) == (began.fill, "")
    write.add(1, index, [read("/a", 2, "new")], "/", "a")
    assert rows(fill__gte=began.least) == {"/a": "new"}, "smaller zxids, but of a later tree"
    feed(line(3, "delete", "/a"))
    end(index)
    assert rows() == {}


def closed() -> dict[str, bool | None]:
    found = Znode.objects.filter(is_gone=False).order_by("path")
    return dict(found.values_list("path", "is_closed"))


def test_what_acls_close_is_known_from_the_feed(feed: Feed, index: Source) -> None:
    feed(
        line(1, "create", "/open", b"1"),
        line(2, "create", "/closed", b"2", closed=True),
        line(3, "create", "/later", b"3"),
        line(4, "setACL", "/later", acl_version=1, closed=True),
        line(5, "create", "/opened", b"4", closed=True),
        line(6, "setACL", "/opened", acl_version=1),
    )
    assert closed() == {"/closed": True, "/later": True, "/open": False, "/opened": False}
    feed(line(7, "setData", "/closed", b"5"), line(8, "setData", "/open", b"6"))
    feed(line(9, "setACL", "/open", acl_version=1, closed=True))
    feed(line(10, "delete", "/later"), line(11, "create", "/later", b"7"))
    assert closed() == {"/closed": True, "/later": False, "/open": True, "/opened": False}
    feed(line(12, "setACL", "/nothing", closed=True))
    assert "/nothing" not in closed()


def test_what_was_closed_behind_a_walks_back_stays_closed(feed: Feed) -> None:
    source = source_of(Source.Kind.INDEX, "main", "")
    write.begin(1, source, "test")
    feed(
        line(5, "setACL", "/early", acl_version=1, closed=True),
        line(6, "create", "/seen", b"", closed=True),
        line(7, "setData", "/unknown", b"newer"),
    )
    of_walk = [read(path, 6, "walk", is_closed=False) for path in ("/early", "/seen", "/unknown")]
    write.add(1, source, [*of_walk, read("/other", 1, is_closed=False)], "/", "x")
    assert closed() == {"/early": True, "/other": False, "/seen": True, "/unknown": None}
    assert rows()["/early"] == "walk"
    end(source)
    write.begin(1, source, "again")
    write.add(1, source, [replace(one, zxid=9) for one in of_walk], "/", "x")
    assert set(closed().values()) == {False}, "the next walk knows better"


def test_what_is_secret_now_or_later_has_no_text(feed: Feed, index: Source) -> None:
    feed(
        line(1, "create", f"{ROOT}/keys/db", b"hunter2"),
        line(2, "create", f"{ROOT}/plain", b"open"),
        line(3, "create", f"{ROOT}/keys2", b"open"),
        line(4, "create", f"{ROOT}/later/x", b"hunter3"),
        line(5, "create", "/tenants/orders/later/x", b"theirs"),
        secret_paths=("/keys",),
    )
    policy = Policy(secret_paths=("/keys", "/later/"), root=ROOT)
    assert write.hide(1, "main", {"payments": policy}) == 1
    assert write.hide(1, "main", {"payments": policy}) == 0
    assert rows() == {
        "/tenants/orders/later/x": "theirs",
        f"{ROOT}/keys/db": "",
        f"{ROOT}/keys2": "open",
        f"{ROOT}/later/x": "",
        f"{ROOT}/plain": "open",
    }
    everything = Policy(secret_paths=("/",), root=ROOT)
    assert write.hide(1, "main", {"payments": everything}) == 2
    assert rows()["/tenants/orders/later/x"] == "theirs"


def test_zookeepers_own_and_values_that_are_long_or_missing(feed: Feed, index: Source) -> None:
    feed(
        line(1, "setData", "/zookeeper/config", b"server.1="),
        line(2, "create", "/long", b"x" * (3 * TEXT_BYTES_MAX)),
        line(3, "create", "/" + "p" * 700, b"1"),
        line(4, "setData", "/untold", bytes=5),
    )
    found = rows()
    assert len(found["/long"]) == TEXT_BYTES_MAX
    assert Znode.objects.get(path="/long").why == "cut"
    assert Znode.objects.get(path="/untold").why == "token"
    assert [len(path) for path in found if path.startswith("/pp")] == [600]
    assert len(found) == 3
    write.put("main", state(), [read("/" + "p" * 700, 3, "1")])
    assert len(rows()) == 3, "for walk and feed it is the same znode"
    feed(line(5, "delete", "/" + "p" * 700))
    assert len(rows()) == 2


def test_a_full_index_takes_no_more_and_says_so(feed: Feed, index: Source, settings: Any) -> None:
    settings.OBSERVED_INDEX_ROWS = 2
    feed(*(line(n, "create", f"/n{n}", b"") for n in range(1, 5)))
    assert sorted(rows()) == ["/n1", "/n2"]
    assert state().is_full
    feed(line(5, "delete", "/n1"), line(6, "setData", "/n2", b"x"))
    feed(line(7, "create", "/n7", b""))
    assert rows() == {"/n2": "x", "/n7": ""}


def test_an_ensemble_that_is_not_registered_any_more_is_forgotten(
    feed: Feed, index: Source
) -> None:
    feed(line(1, "create", "/a", b""))
    write.forget(1, {"main"})
    assert rows()
    write.forget(1, set())
    write.forget(1, set())
    assert not rows()
    assert write.state_of("main") is None
