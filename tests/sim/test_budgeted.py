"""The checker of budgets finds what must not be, in histories written by hand (trust.md I18)."""

import pytest

from ensemble.tree.datatree import DataTree
from ensemble.wire import codes
from tests.sim.budgeted import Allowance, allow, allowances_of, check_allowances, check_usage
from tests.sim.requests import OPEN
from tests.sim.story import Story

EMPTY = len(OPEN)


def judged(story: Story, *allowances: Allowance) -> list[str]:
    return check_allowances(story.model(), story.history.ops, allowances)


def filled() -> Story:
    """/s with two znodes in it, of which one is ephemeral; one went meanwhile."""
    story = Story()
    story.create(0, b"/s")
    story.create(0, b"/s/a", b"123")
    story.create(1, b"/s/e", ephemeral=True)
    story.delete(0, b"/s/a")
    story.create(0, b"/s/b", b"1")
    story.set(0, b"/s/b", b"12345")
    return story


def test_limits_that_held_are_not_complained_of() -> None:
    size = 1 + 2 + 2 + 5 + 3 * EMPTY
    assert judged(filled(), Allowance(b"/s", 3, size, 1), Allowance(b"/other", 0)) == []


@pytest.mark.parametrize(
    "allowance",
    [
        Allowance(b"/s", znodes=2),
        Allowance(b"/s", size=1 + 2 + 2 + 4 + 3 * EMPTY),
        Allowance(b"/s", ephemerals=0),
    ],
)
def test_a_limit_that_was_passed_is_found(allowance: Allowance) -> None:
    found = judged(filled(), allowance)
    assert found
    assert all(text.startswith("I18: ") for text in found)


def test_a_limit_that_was_passed_for_a_while_is_found() -> None:
    story = filled()
    story.create(0, b"/s/c")
    story.delete(0, b"/s/c")
    assert len(judged(story, Allowance(b"/s", znodes=3))) == 1


def test_a_refusal_needs_a_limit_that_was_reached() -> None:
    story = filled()
    story.refused(0, "create", b"/s/c", codes.QUOTA_EXCEEDED)
    assert judged(story, Allowance(b"/s", znodes=3)) == []
    assert len(judged(story, Allowance(b"/s", znodes=4))) == 1
    assert len(judged(story, Allowance(b"/other", znodes=3))) == 1
    story.refused(0, "set", b"/s/c", codes.QUOTA_EXCEEDED)
    assert len(judged(story, Allowance(b"/s", znodes=3))) == 1


def test_a_refusal_is_judged_by_what_was_there_before_it() -> None:
    story = filled()
    story.refused(0, "create", b"/s/c", codes.QUOTA_EXCEEDED)
    story.delete(0, b"/s/b")
    story.refused(0, "create", b"/s/d", codes.QUOTA_EXCEEDED)
    found = judged(story, Allowance(b"/s", znodes=3))
    assert len(found) == 1
    assert "/s/d" in found[0]


def test_a_server_that_has_counted_wrongly_is_found() -> None:
    tree = DataTree()
    allow(tree, [Allowance(b"/s", znodes=3)])
    assert check_usage(1, tree) == []
    tree.budgets.by_name["/s"].used_znodes += 1
    assert len(check_usage(1, tree)) == 1


def test_some_seeds_have_budgets_and_some_have_not() -> None:
    having = [seed for seed in range(40) if allowances_of(seed)]
    assert 10 < len(having) < 30
    assert allowances_of(having[0]) == allowances_of(having[0])
