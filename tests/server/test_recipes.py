"""Locks and elections by the names of their znodes."""

import uuid

import pytest

from ensemble.server.recipes import Contender, contender, holders, kind_of

U = "0a1b2c3d-0000-4000-8000-0123456789ab"
H = "0a1b2c3d000040008000" + "0" * 12


def contenders(*names: str) -> list[Contender]:
    found = [contender(name.encode()) for name in names]
    assert all(found)
    kept = [one for one in found if one is not None]
    kept.sort(key=lambda one: (one.sequence, one.name))
    return kept


@pytest.mark.parametrize(
    ("names", "kind", "holding"),
    [
        ([f"_c_{U}-lock-0000000003", f"_c_{U}-lock-0000000001"], "curator lock", 1),
        ([f"_c_{U}-latch-0000000000", f"_c_{U}-latch-0000000007"], "curator latch", 1),
        ([f"_c_{U}-lease-0000000000", f"_c_{U}-lease-0000000001"], "curator semaphore", 2),
        (
            [f"_c_{U}-__READ__0000000001", f"_c_{U}-__READ__0000000002"],
            "curator read-write lock",
            2,
        ),
        (
            [
                f"_c_{U}-__READ__0000000001",
                f"_c_{U}-__WRIT__0000000002",
                f"_c_{U}-__READ__0000000003",
            ],
            "curator read-write lock",
            1,
        ),
        (
            [f"_c_{U}-__WRIT__0000000001", f"_c_{U}-__READ__0000000002"],
            "curator read-write lock",
            1,
        ),
        ([f"{H}__lock__0000000000", f"{H}__lock__0000000001"], "kazoo lock", 1),
        (
            [f"{H}__rlock__0000000000", f"{H}__rlock__0000000001", f"{H}__lock__0000000002"],
            "kazoo read-write lock",
            2,
        ),
        ([H, "f" + H[1:]], "kazoo semaphore", 2),
        # The counter of a parent is 32 bits, signed: it goes on below zero.
        ([f"_c_{U}-lock--2147483648", f"_c_{U}-lock-2147483647"], "curator lock", 1),
    ],
)
def test_the_names_say_which_recipe_and_who_holds(
    names: list[str], kind: str, holding: int
) -> None:
    found = contenders(*names)
    assert (kind_of(found), holders(found)) == (kind, holding)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lock-0000000001",
        "_c_-lock-0000000001",
        f"_c_{U}-lock-",
        f"_c_{U}-lock-000000001",
        f"_c_{U}-lock-000000000x",
        f"x_c_{U}-lock-0000000001",
        f"_c_{U.upper()}-lock-0000000001",
        f"_c_{U}-other-0000000001",
        f"{H}__lock__",
        f"{H[:-1]}__lock__0000000001",
        f"{H}x",
        "member_0000000001",
    ],
)
def test_other_names_are_no_contenders(name: str) -> None:
    assert contender(name.encode()) is None


def test_names_that_curator_and_kazoo_make_are_known() -> None:
    """Their code: `_c_` + UUID.randomUUID() + `-`, and uuid4().hex."""
    for _ in range(100):
        made = uuid.uuid4()
        assert contender(f"_c_{made}-lock-0000000012".encode()) is not None
        assert contender(f"{made.hex}__lock__0000000012".encode()) is not None
        assert contender(made.hex.encode()) is not None


def test_nobody_holds_what_nobody_wants() -> None:
    assert holders([]) == 0
