"""What the end of a session would do to locks, elections and queues: a preview."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tenants import locks
from tenants.asking import reached
from tenants.recipes import Recipe
from tenants.sessions import Detail
from tenants.zk import Bridge

AFFECTED_MAX: Final = 50  # recipes that a preview reads


@dataclass(frozen=True, slots=True)
class Change:
    """What the end of a session would do to a lock, election or queue."""

    recipe: Recipe
    text: str
    moves: bool


def changes_of(bridge: Callable[[], Bridge], detail: Detail) -> tuple[list[Change], str]:
    """Which of them the session's end would move, and to whom; and what could not be read."""
    paths = {one.path for one in detail.held}
    for held in detail.held:
        paths.update(locks.wholes_of(held.path.rpartition("/")[0] or "/"))
    if not paths:
        return [], ""
    wanted = sorted(paths)[:AFFECTED_MAX]
    read = reached(lambda: locks.read_all(bridge(), wanted))
    owner = signed(detail.session.number)
    changes = [one for recipe in read.found or () if (one := change_of(recipe, owner)) is not None]
    return changes, read.problem


def signed(number: int) -> int:
    """A session's number as stats have it."""
    return number - (1 << 64) if number >= 1 << 63 else number


def change_of(recipe: Recipe, owner: int) -> Change | None:
    mine = [one for one in recipe.participants if one.owner == owner]
    if not mine:
        return None
    after = locks.without(recipe, owner)
    held = any(one in recipe.holders for one in mine)
    if recipe.kind in ("lock", "read-write lock", "election"):
        if not held:
            return Change(recipe, "It waits here and leaves the line.", moves=False)
        if not after.holders:
            return Change(recipe, "It holds this, and nobody waits: it becomes free.", moves=True)
        before = {one.name for one in recipe.holders}
        fresh = [one for one in after.holders if one.name not in before]
        if not fresh:
            return Change(recipe, "It is one of those that share it; they go on.", moves=False)
        names = ", ".join(one.says or one.name for one in fresh[:3])
        return Change(recipe, f"It holds this: the next is {names}.", moves=True)
    if recipe.kind == "semaphore":
        if not held:
            return Change(recipe, "It waits for a lease and leaves the line.", moves=False)
        return Change(recipe, "It gives its lease back; who waits first gets it.", moves=True)
    if recipe.kind == "queue":
        return Change(recipe, "What it works on is free to be taken again.", moves=True)
    return Change(recipe, f"It is no longer among the {after.count:,} others.", moves=True)
