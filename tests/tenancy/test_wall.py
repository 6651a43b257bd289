"""The wall: every opcode, role, mode, state and kind of path, on the real pipeline (trust.md 5.3).

ACLs are open wherever nothing else is said, so NoAuth comes from the wall alone.
"""

from collections.abc import Callable

import pytest

from ensemble.server.operations import is_read, is_write
from ensemble.tenancy import access
from ensemble.tenancy.seat import NOBODY, Seat, Tenant
from ensemble.tenancy.spec import (
    ACTIVE,
    ADMIN,
    DRAINING,
    ENFORCE,
    OBSERVE,
    PERMISSIVE,
    READER,
    SUSPENDED,
    WRITER,
)
from ensemble.wire import codes
from ensemble.wire.jute import Reader
from ensemble.wire.requests import read_multi_header
from tests.tenancy.bodies import CLOSED_ACL, OPEN_ACL, create_body, number, path_body, watches_body
from tests.tenancy.hall import Guest, Hall, Reply, spec
from tests.tenancy.test_namespace import HOSTILE

SECRET = b"never-to-be-seen"
NEIGHBOUR = b"/tenants/b"
Body = Callable[[bytes], bytes]


def part(op: int, body: bytes) -> bytes:
    return number(op) + b"\0" + number(-1) + body


END = number(-1) + b"\1" + number(-1)


def reconfig(path: bytes) -> bytes:
    return path_body(path, number(-1), number(-1), bytes(8))


BODIES: dict[int, Body] = {
    codes.OP_EXISTS: lambda path: path_body(path, b"\1"),
    codes.OP_GET_DATA: lambda path: path_body(path, b"\1"),
    codes.OP_GET_CHILDREN: lambda path: path_body(path, b"\1"),
    codes.OP_GET_CHILDREN2: lambda path: path_body(path, b"\1"),
    codes.OP_GET_ACL: path_body,
    codes.OP_GET_ALL_CHILDREN_NUMBER: path_body,
    codes.OP_SYNC: path_body,
    codes.OP_ADD_WATCH: lambda path: path_body(path, number(1)),
    codes.OP_CHECK_WATCHES: lambda path: path_body(path, number(3)),
    codes.OP_REMOVE_WATCHES: lambda path: path_body(path, number(3)),
    codes.OP_SET_WATCHES: lambda path: watches_body(0, [path], [path], [path]),
    codes.OP_SET_WATCHES2: lambda path: watches_body(0, [path], [path], [path], [path], [path]),
    codes.OP_MULTI_READ: lambda path: part(4, path_body(path, b"\0")) + END,
    codes.OP_GET_EPHEMERALS: path_body,
    codes.OP_WHO_AM_I: lambda path: b"",
    codes.OP_CREATE: lambda path: create_body(path, flags=codes.CREATE_PERSISTENT_SEQUENTIAL),
    codes.OP_CREATE2: create_body,
    codes.OP_CREATE_CONTAINER: lambda path: create_body(path, flags=codes.CREATE_CONTAINER),
    codes.OP_CREATE_TTL: lambda path: create_body(path, b"", 5, OPEN_ACL, codes.OP_CREATE_TTL),
    codes.OP_DELETE: lambda path: path_body(path, number(-1)),
    codes.OP_SET_DATA: lambda path: path_body(path, number(1), b"d", number(-1)),
    codes.OP_SET_ACL: lambda path: path_body(path, OPEN_ACL, number(-1)),
    codes.OP_MULTI: lambda path: part(13, path_body(path, number(-1))) + END,
    codes.OP_RECONFIG: reconfig,
}
WRITES = sorted(op for op, row in access.ROWS.items() if row[0] == access.WRITE)
READS = sorted(op for op, row in access.ROWS.items() if row[0] == access.READ)
PATHLESS = (codes.OP_WHO_AM_I, codes.OP_GET_EPHEMERALS)
ROLES = {"reader": READER, "writer": WRITER, "admin": ADMIN}
MODES = {"observe": OBSERVE, "permissive": PERMISSIVE, "enforce": ENFORCE}
STATES = {"active": ACTIVE, "suspended": SUSPENDED, "draining": DRAINING}
COMBINATIONS = [(mode, state) for mode in MODES for state in STATES]
OWN = [b"/x", b"/missing", b"/", b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/quota/x"]
FOREIGN = [b"/tenants/b", b"/tenants/b/x", b"/tenants/b/missing", b"/tenants", b"/elsewhere"]


def built(mode: int, state: int) -> tuple[Hall, Tenant]:
    """Tenant a in some mode and state; beside it b, which is walled, and a znode of nobody's."""
    hall = Hall()
    a = hall.tenant("a", mode=mode, state=state)
    hall.tenant("b")
    for path in (b"/tenants/a/x", b"/tenants/b/x", b"/tenants/b/" + SECRET, b"/elsewhere"):
        hall.keeper.create(path, SECRET if path.startswith(NEIGHBOUR) else b"")
    return hall, a


def outside_of(hall: Hall, tenant: Tenant) -> dict[bytes, object]:
    """All of the tree that is not the tenant's: paths with everything a stat shows."""
    own = (tenant.view.root, tenant.view.quota)
    return {
        path: (node.data, node.acl.entries, hall.tree.stat_of(node))
        for path, node in hall.tree.nodes.items()
        if not any(path == top or path.startswith(top + b"/") for top in own)
    }


def watched(hall: Hall, guest: Guest) -> set[bytes]:
    return set(hall.pipeline.watches.by_connection.get(guest.conn.id, ()))


def errors_of(op: int, reply: Reply) -> list[int]:
    """The error of the header, or those of a multi's parts where it has some."""
    if reply.error != 0 or op not in (codes.OP_MULTI, codes.OP_MULTI_READ):
        return [reply.error]
    return part_errors(reply.reader())


def part_errors(reader: Reader) -> list[int]:
    found: list[int] = []
    while reader.remaining() > 0:
        op = read_multi_header(reader)
        if op is None:
            return found
        if op != codes.OP_ERROR:
            return [*found, 0]  # the rest is of no interest: a part went well
        found.append(int(reader.read_int()))
    return found


def walled(op: int, reply: Reply) -> bool:
    return codes.NO_AUTH in errors_of(op, reply)


def test_E10_every_opcode_has_a_row_and_the_pipeline_runs_none_without() -> None:
    """Deny by default: what somebody adds to the pipeline is refused until it has a row."""
    for op in range(-20, 200):
        if is_read(op) or is_write(op):
            assert access.need_of(op) != access.UNKNOWN, codes.name_of_op(op)
            assert op in access.ROWS, codes.name_of_op(op)
        if op not in access.ROWS:
            assert access.need_of(op) == access.UNKNOWN
    assert set(BODIES) | {op for op, row in access.ROWS.items() if row[0] == access.FREE} == set(
        access.ROWS
    )


@pytest.mark.parametrize("op", [20, -10, 0, 10, 23, 99, 108, 127, 128, 1_000, -1, -5])
def test_an_opcode_without_a_row_ends_a_tenants_connection(op: int) -> None:
    hall, a = built(ENFORCE, ACTIVE)
    guest = hall.member(a, ADMIN)
    assert guest.error(op, path_body(b"/x", b"\0")) == codes.UNIMPLEMENTED
    assert not guest.is_open()


@pytest.mark.parametrize(("mode", "state"), COMBINATIONS)
@pytest.mark.parametrize("role", ROLES)
def test_E8_a_tenants_credential_acts_inside_its_root_and_nowhere_else(
    role: str, mode: str, state: str
) -> None:
    """Every opcode, on own paths, others' and hostile ones: by its role, and never outside."""
    hall, a = built(MODES[mode], STATES[state])
    before = outside_of(hall, a)
    for op, body in BODIES.items():
        for path in [*OWN, *FOREIGN, *HOSTILE]:
            guest = hall.member(a, ROLES[role])
            what = f"{codes.name_of_op(op)} {path[:40]!r}"
            reply = guest.ask(op, body(path))
            may_write = ROLES[role] >= WRITER and STATES[state] != SUSPENDED
            if op == codes.OP_RECONFIG or (op in WRITES and not may_write):
                assert walled(op, reply), what
            elif path in (b"/x", b"/missing", b"/zookeeper/quota/x", *FOREIGN) or op in READS:
                assert not walled(op, reply), what
            assert SECRET not in reply.raw, what
            assert b"/tenants/a" not in reply.raw or b"/tenants/a" in path, what
            for place in watched(hall, guest):
                assert hall.tree.nodes.get(place) is None or a.view.outward(place) is not None, what
            if op in WRITES:
                assert outside_of(hall, a) == before, what
            hall.pipeline.remove(guest.conn)
    assert outside_of(hall, a) == before


@pytest.mark.parametrize(("mode", "state"), COMBINATIONS)
def test_E8_from_outside_a_root_is_as_its_mode_says(mode: str, state: str) -> None:
    hall, a = built(MODES[mode], STATES[state])
    paths = [b"/tenants/a", b"/tenants/a/x", b"/tenants/a/missing", b"/tenants/a//y"]
    for op, body in BODIES.items():
        if op in (*PATHLESS, codes.OP_RECONFIG):
            continue
        for path in paths:
            guest = hall.connect()
            what = f"{codes.name_of_op(op)} {path!r}"
            reply = guest.ask(op, body(path))
            refused = MODES[mode] == ENFORCE or (
                op in WRITES and STATES[state] == SUSPENDED and MODES[mode] != OBSERVE
            )
            assert walled(op, reply) == refused, what
            assert (guest.conn.seat is a.visitor) == (MODES[mode] != ENFORCE), what
            hall.pipeline.remove(guest.conn)


@pytest.mark.parametrize("op", [op for op in BODIES if op not in (*PATHLESS, codes.OP_RECONFIG)])
def test_existing_and_missing_are_the_same_bytes_to_an_outsider(op: int) -> None:
    """trust.md 5.3, side channels: same code, same bytes, nothing left behind."""
    hall, _ = built(ENFORCE, ACTIVE)
    raws = set()
    guest = hall.connect()
    for path in [
        b"/tenants/b",
        b"/tenants/b/x",
        b"/tenants/b/missing",
        b"/tenants/b/x/deeper",
        b"/tenants/b/..",
        b"/tenants/b//",
        b"/tenants/b/",
        b"/zookeeper/tenants/b",
        b"/zookeeper/tenants/nobody",
        b"/zookeeper/quota/tenants/b",
        b"/zookeeper/quota/tenants/b/zookeeper_limits",
        b"/zookeeper/quota/tenants/zookeeper_limits",
        b"/zookeeper/quota/zookeeper_stats",
    ]:
        guest.xid = 0
        reply = guest.ask(op, BODIES[op](path))
        assert walled(op, reply), path
        assert watched(hall, guest) == set()
        raws.add(reply.raw)
    assert len(raws) == 1


def test_an_outsider_is_not_even_shown_the_name_of_a_root() -> None:
    hall, _ = built(ENFORCE, ACTIVE)
    hall.tenant("open", mode=PERMISSIVE)
    outsider, operator = hall.connect(), hall.operator()
    assert outsider.children(b"/tenants") == [b"open"]
    assert operator.children(b"/tenants") == hall.keeper.children(b"/tenants")
    assert operator.children(b"/tenants") == [b"a", b"b", b"open"]
    for op, body in [
        (codes.OP_EXISTS, path_body(b"/tenants", b"\0")),
        (codes.OP_SET_DATA, path_body(b"/tenants", number(0), number(-1))),
    ]:
        stat = outsider.ask(op, body).body[-68:]
        full = operator.ask(op, body).body[-68:]
        assert int.from_bytes(stat[56:60]) == 1, "children"
        assert int.from_bytes(full[56:60]) == 3
    assert outsider.error(codes.OP_GET_ALL_CHILDREN_NUMBER, path_body(b"/tenants")) == (
        codes.NO_AUTH
    )
    assert outsider.error(codes.OP_GET_ALL_CHILDREN_NUMBER, path_body(b"/")) == codes.NO_AUTH
    assert outsider.error(codes.OP_GET_ALL_CHILDREN_NUMBER, path_body(b"/tenants/open")) == 0


def test_one_foreign_part_refuses_an_outsiders_multi_and_one_part_of_its_reads() -> None:
    hall, _ = built(ENFORCE, ACTIVE)
    guest = hall.connect()
    inside = part(13, path_body(b"/tenants/b/x", number(-1)))
    own = part(15, create_body(b"/mine"))
    reply = guest.ask(codes.OP_MULTI, own + inside + own + END)
    assert errors_of(codes.OP_MULTI, reply) == [0, codes.NO_AUTH, codes.RUNTIME_INCONSISTENCY]
    assert b"/mine" not in hall.tree.nodes
    reads = part(4, path_body(b"/tenants/b/x", b"\0")) + part(8, path_body(b"/none", b"\0")) + END
    reply = guest.ask(codes.OP_MULTI_READ, reads)
    assert errors_of(codes.OP_MULTI_READ, reply) == [codes.NO_AUTH, codes.NO_NODE]


def test_E9_an_outsiders_recursive_watch_ends_at_the_wall() -> None:
    hall, a = built(ENFORCE, ACTIVE)
    hall.tenant("open", mode=OBSERVE)
    outsider, operator, member = hall.connect(), hall.operator(), hall.member(a)
    for guest in (outsider, operator):
        assert guest.error(codes.OP_ADD_WATCH, path_body(b"/", number(1))) == 0
    assert member.create(b"/new") == 0
    hall.keeper.create(b"/tenants/open/new")
    assert outsider.take_events() == [(1, b"/tenants/open/new")]
    assert operator.take_events() == [(1, b"/tenants/a/new"), (1, b"/tenants/open/new")]


def test_a_watch_from_before_the_wall_is_silent() -> None:
    hall, a = built(OBSERVE, ACTIVE)
    outsider, member = hall.connect(), hall.member(a)
    assert outsider.error(codes.OP_GET_DATA, path_body(b"/tenants/a/x", b"\1")) == 0
    hall.directory.put(spec("a", b"/tenants/a", ENFORCE))
    assert member.error(codes.OP_SET_DATA, path_body(b"/x", number(0), number(-1))) == 0
    assert outsider.take_events() == []


def test_a_watch_from_before_authentication_is_heard_inside_the_view_only() -> None:
    hall, a = built(OBSERVE, ACTIVE)
    guest = hall.connect()
    for path in (b"/elsewhere", b"/tenants/a/x"):
        assert guest.error(codes.OP_GET_DATA, path_body(path, b"\1")) == 0
    hall.seat(guest, a.seat_of("app@a", WRITER))
    for path in (b"/elsewhere", b"/tenants/a/x"):
        hall.keeper.error(codes.OP_SET_DATA, path_body(path, number(0), number(-1)))
    assert guest.take_events() == [(3, b"/x")]


@pytest.mark.parametrize("role", ["reader", "writer", "admin"])
def test_operators_see_all_and_do_what_their_role_lets_them(role: str) -> None:
    hall, _ = built(ENFORCE, SUSPENDED)
    guest = hall.operator(ROLES[role])
    for op in (*READS, *WRITES):
        for path in (b"/tenants/b/x", b"/tenants/a/x", b"/elsewhere"):
            reply = guest.ask(op, BODIES[op](path))
            assert walled(op, reply) == (op in WRITES and role == "reader"), codes.name_of_op(op)


def test_a_super_user_is_no_outsider_and_super_rights_make_no_operator() -> None:
    hall, a = built(ENFORCE, ACTIVE)
    assert hall.keeper.error(codes.OP_GET_DATA, path_body(b"/tenants/b/x", b"\0")) == 0
    admin = hall.member(a, ADMIN)
    assert admin.error(codes.OP_GET_DATA, path_body(b"/tenants/b/x", b"\0")) == codes.NO_NODE
    assert admin.error(codes.OP_RECONFIG, reconfig(b"")) == codes.NO_AUTH


def test_an_administrator_passes_acls_inside_and_whoami_does_not_say_how() -> None:
    hall, a = built(ENFORCE, ACTIVE)
    hall.keeper.error(codes.OP_SET_ACL, path_body(b"/tenants/a/x", CLOSED_ACL, number(-1)))
    assert hall.member(a).error(codes.OP_GET_DATA, path_body(b"/x", b"\0")) == codes.NO_AUTH
    admin = hall.member(a, ADMIN)
    assert admin.error(codes.OP_GET_DATA, path_body(b"/x", b"\0")) == 0
    reply = admin.ask(codes.OP_WHO_AM_I)
    reader = reply.reader()
    shown = [(reader.read_text(), reader.read_text()) for _ in range(reader.read_int())]
    assert shown == [("ip", "127.0.0.1"), ("tenant", "app3@a")]


def test_whoever_comes_back_to_a_tenants_session_must_prove_it_again() -> None:
    hall, a = built(PERMISSIVE, ACTIVE)
    guest = hall.connect(a.seat_of("", NOBODY))
    for op, body in BODIES.items():
        assert walled(op, guest.ask(op, body(b"/x"))), codes.name_of_op(op)
    assert guest.ask(codes.OP_PING).error == 0
    assert guest.ask(codes.OP_CLOSE_SESSION).error == 0


def test_a_seat_that_nobody_thought_of_is_refused() -> None:
    hall, a = built(OBSERVE, ACTIVE)
    guest = hall.connect(Seat(a, None, WRITER, "odd@a"))
    assert guest.error(codes.OP_EXISTS, path_body(b"/tenants/a/x", b"\0")) == codes.NO_AUTH


def test_closed_to_outsiders_means_all_but_what_keeps_a_session() -> None:
    """ensemble.tenancy.outsiders=deny, with a tenant and without any."""
    for hall in (Hall(), built(OBSERVE, ACTIVE)[0]):
        assert hall.gate is not None
        hall.gate.wall.closed = True
        guest = hall.connect()
        for op, body in BODIES.items():
            assert walled(op, guest.ask(op, body(b"/elsewhere"))), codes.name_of_op(op)
        assert hall.operator().error(codes.OP_EXISTS, path_body(b"/", b"\0")) == 0
        assert hall.keeper.error(codes.OP_EXISTS, path_body(b"/", b"\0")) == 0
        assert guest.ask(codes.OP_PING).error == 0
        assert guest.ask(codes.OP_CLOSE_SESSION).error == 0


def test_refusals_keep_their_place_among_the_answers() -> None:
    hall, a = built(ENFORCE, ACTIVE)
    guest = hall.member(a, READER, "r")
    writer = hall.member(a)
    writer.send(codes.OP_CREATE, create_body(b"/first"))
    writer.send(codes.OP_SET_DATA, path_body(b"/zookeeper/x", number(0), number(-1)))
    writer.send(codes.OP_EXISTS, path_body(b"/first", b"\0"))
    assert writer.replies() == []
    hall.commit()
    assert [(r.xid, r.error) for r in writer.replies()] == [(1, 0), (2, codes.NO_AUTH), (3, 0)]
    assert guest.error(codes.OP_SYNC, path_body(b"/")) == 0
