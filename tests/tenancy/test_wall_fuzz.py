"""Whatever a tenant sends, nothing outside its root is read, watched or written.

Interpreted, the tree's dictionary of znodes is tapped: every path that is looked up is noted. What
is compiled looks into the dictionary itself; there watches, replies and the tree are looked at.
"""

import random

import pytest

from ensemble.errors import ProtocolError
from ensemble.tenancy import access
from ensemble.tenancy.spec import ADMIN
from ensemble.tree import datatree
from ensemble.tree.znode import Znode
from ensemble.wire import codes
from tests.tenancy.hall import Hall
from tests.tenancy.test_namespace import HOSTILE
from tests.tenancy.test_wall import BODIES, END, FOREIGN, NEIGHBOUR, OWN, SECRET, outside_of, part

REQUESTS = 4_000
OPS = sorted(BODIES)
IS_TAPPED = datatree.__file__.endswith(".py")


class Tap(dict[bytes, Znode]):
    """A dictionary that remembers what it was asked for."""

    def __init__(self, nodes: dict[bytes, Znode]) -> None:
        super().__init__(nodes)
        self.seen: set[bytes] = set()

    def get(self, path: bytes, default: object = None) -> object:
        self.seen.add(path)
        return super().get(path, default)  # type: ignore[call-overload]

    def __getitem__(self, path: bytes) -> Znode:
        self.seen.add(path)
        return super().__getitem__(path)

    def __contains__(self, path: object) -> bool:
        assert isinstance(path, bytes)
        self.seen.add(path)
        return super().__contains__(path)


def mangled(rng: random.Random, body: bytes) -> bytes:
    """Sometimes as it is, sometimes cut, with a byte changed, or something put in."""
    chance = rng.random()
    if chance < 0.4 or not body:
        return body
    at = rng.randrange(len(body))
    if chance < 0.6:
        return body[:at]
    if chance < 0.8:
        return body[:at] + rng.randbytes(1) + body[at + 1 :]
    return body[:at] + rng.choice([b"/", b"/tenants/b", b"\0\0\0\1", b"\xff" * 4]) + body[at:]


def request(rng: random.Random) -> tuple[int, bytes]:
    paths = [*OWN, *FOREIGN, *HOSTILE, rng.randbytes(rng.randrange(8))]
    op = rng.choice(OPS)
    if op == codes.OP_MULTI:
        kinds = [op for op in OPS if access.need_of(op) == access.WRITE]
        kinds = [op for op in kinds if op not in (codes.OP_MULTI, codes.OP_SET_ACL)]
        chosen = [rng.choice(kinds) for _ in range(rng.randrange(4))]
        body = b"".join(part(kind, BODIES[kind](rng.choice(paths))) for kind in chosen) + END
    else:
        body = BODIES[op](rng.choice(paths))
    return op, mangled(rng, body)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("root", [b"/tenants/a", b"/kafka"])
def test_I17_no_request_of_a_tenant_touches_a_path_outside(root: bytes, seed: int) -> None:
    hall = Hall()
    a = hall.tenant("a", root)
    hall.tenant("b")
    for path in (root + b"/x", NEIGHBOUR + b"/x", NEIGHBOUR + b"/" + SECRET):
        hall.keeper.create(path, SECRET if path.startswith(NEIGHBOUR) else b"")
    before = outside_of(hall, a)
    tap = Tap(hall.tree.nodes)
    if IS_TAPPED:
        hall.tree.nodes = tap  # type: ignore[misc]
    rng = random.Random(f"{seed}/wall")
    guest = hall.member(a, ADMIN)
    answered = 0
    for _ in range(REQUESTS // 4):
        if not guest.is_open():
            hall.pipeline.remove(guest.conn)
            guest = hall.member(a, ADMIN)
        tap.seen.clear()
        op, body = request(rng)
        try:
            guest.send(op, body)
        except ProtocolError:
            hall.pipeline.remove(guest.conn)
            guest = hall.member(a, ADMIN)
        hall.commit()
        for reply in guest.replies():
            answered += 1
            assert SECRET not in reply.raw
        names = tap.seen | set(hall.pipeline.watches.by_connection.get(guest.conn.id, ()))
        for path in names:
            own = a.view.outward(path)
            if own is None and path != a.view.shadowed:
                raise AssertionError(f"{codes.name_of_op(op)} {body!r} touched {path!r}")
    assert answered > REQUESTS // 8
    assert outside_of(hall, a) == before


@pytest.mark.skipif(not IS_TAPPED, reason="compiled code looks into the dictionary itself")
def test_the_tap_notes_what_is_looked_up() -> None:
    """Or the test above could not fail."""
    hall = Hall()
    hall.tenant("b")
    tap = Tap(hall.tree.nodes)
    hall.tree.nodes = tap  # type: ignore[misc]
    for op, body in BODIES.items():
        if op in (codes.OP_EXISTS, codes.OP_SET_DATA, codes.OP_MULTI_READ, codes.OP_MULTI):
            tap.seen.clear()
            hall.keeper.ask(op, body(b"/tenants/b/none"))
            assert b"/tenants/b/none" in tap.seen, codes.name_of_op(op)
