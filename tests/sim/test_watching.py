"""Checker A's sixth rule: watches that fire rightly pass, each kind of failure is found."""

from tests.sim.model import CHANGED, CHILDREN, CREATED, DELETED
from tests.sim.story import Story
from tests.sim.watching import check_watches


def wrong(story: Story) -> list[str]:
    return check_watches(story.model(), story.history)


def watched() -> Story:
    story = Story()
    story.create(0, b"/a")
    story.read(1, "get", b"/a", watch=True)
    return story


def test_an_event_before_the_reply_that_shows_the_change_is_right() -> None:
    story = watched()
    zxid = story.set(0, b"/a", b"1").zxid
    story.event(1, CHANGED, b"/a", zxid)
    story.read(1, "get", b"/a")
    assert wrong(story) == []


def test_an_event_that_does_not_come_is_found() -> None:
    story = watched()
    story.set(0, b"/a", b"1")
    story.read(1, "get", b"/a")
    assert "A6" in wrong(story)[0]


def test_an_event_after_a_later_reply_is_found() -> None:
    story = watched()
    zxid = story.set(0, b"/a", b"1").zxid
    story.pong(1, zxid)
    story.event(1, CHANGED, b"/a", zxid)
    assert wrong(story)


def test_an_event_twice_is_found() -> None:
    story = watched()
    zxid = story.set(0, b"/a", b"1").zxid
    story.event(1, CHANGED, b"/a", zxid)
    story.event(1, CHANGED, b"/a", zxid)
    assert "none is due" in wrong(story)[0]


def test_an_event_of_a_later_change_than_the_first_is_found() -> None:
    story = watched()
    story.set(0, b"/a", b"1")
    zxid = story.set(0, b"/a", b"2").zxid
    story.event(1, CHANGED, b"/a", zxid)
    assert wrong(story)


def test_an_event_of_the_wrong_type_is_found() -> None:
    story = watched()
    zxid = story.set(0, b"/a", b"1").zxid
    story.event(1, DELETED, b"/a", zxid)
    assert wrong(story)


def test_an_event_of_another_client_is_found() -> None:
    story = watched()
    zxid = story.set(0, b"/a", b"1").zxid
    story.event(0, CHANGED, b"/a", zxid)
    assert wrong(story)


def test_a_deletion_uses_up_both_kinds_with_one_event() -> None:
    story = watched()
    story.read(1, "children", b"/a", watch=True)
    zxid = story.delete(0, b"/a").zxid
    story.event(1, DELETED, b"/a", zxid)
    story.pong(1, zxid)
    assert wrong(story) == []


def test_a_missing_node_is_watched_by_exists() -> None:
    story = Story()
    story.read(1, "exists", b"/a", watch=True)
    story.read(1, "children", b"/", watch=True)
    zxid = story.create(0, b"/a").zxid
    story.event(1, CREATED, b"/a", zxid)
    story.event(1, CHILDREN, b"/", zxid)
    story.pong(1, zxid)
    assert wrong(story) == []


def test_set_watches_gives_what_was_missed_and_arms_the_rest() -> None:
    story = watched()
    story.read(1, "exists", b"/b", watch=True)
    seen = story.zxid
    story.set(0, b"/a", b"1")
    story.reconnect(1)
    op = story.set_watches(1, seen, data=[b"/a"], exist=[b"/b"])
    story.event(1, CHANGED, b"/a", -1)
    story.answer(op, story.zxid)
    zxid = story.create(0, b"/b").zxid
    story.event(1, CREATED, b"/b", zxid)
    story.pong(1, zxid)
    assert wrong(story) == []


def test_set_watches_that_gives_too_little_is_found() -> None:
    story = watched()
    seen = story.zxid
    story.set(0, b"/a", b"1")
    story.reconnect(1)
    story.answer(story.set_watches(1, seen, data=[b"/a"]), story.zxid)
    assert "caught up with [], due were" in wrong(story)[0]


def test_set_watches_that_forgets_to_arm_is_found() -> None:
    story = watched()
    seen = story.zxid
    story.reconnect(1)
    story.answer(story.set_watches(1, seen, data=[b"/a"]), story.zxid)
    zxid = story.set(0, b"/a", b"1").zxid
    story.pong(1, zxid)
    assert wrong(story)


def test_a_connection_that_ends_takes_its_watches_to_sleep() -> None:
    story = watched()
    story.reconnect(1)
    zxid = story.set(0, b"/a", b"1").zxid
    story.event(1, CHANGED, b"/a", zxid)
    assert wrong(story)
