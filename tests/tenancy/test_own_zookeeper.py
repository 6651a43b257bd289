"""A tenant's root and its `/zookeeper`: as on any server, though neither is what it is there."""

import json

import pytest

from ensemble.tenancy.identity import hash_secret
from ensemble.tenancy.seat import Tenant
from ensemble.tenancy.spec import ADMIN, WRITER
from ensemble.wire import codes
from ensemble.wire.records import Acl, Id, read_acl_vector, read_stat
from tests.tenancy.bodies import OPEN_ACL, auth_body, create_body, number, path_body, watches_body
from tests.tenancy.hall import Guest, Hall
from tests.tenancy.test_wall import END, part, part_errors

UNCHANGED = number(0) + number(-1)  # no data, any version


@pytest.fixture(params=[b"/tenants/a", b"/kafka", b"/deep/er/down"])
def tenant(request: pytest.FixtureRequest) -> tuple[Hall, Tenant]:
    hall = Hall()
    hall.tenant("busy", b"/tenants/b")
    return hall, hall.tenant("a", request.param)


@pytest.fixture
def guest(tenant: tuple[Hall, Tenant]) -> Guest:
    return tenant[0].member(tenant[1])


def stat_at(guest: Guest, path: bytes) -> tuple[int, ...]:
    reply = guest.ask(codes.OP_EXISTS, path_body(path, b"\0"))
    assert reply.error == 0
    return read_stat(reply.reader()).as_tuple()


def walk(guest: Guest, path: bytes) -> int:
    """How many znodes are below, by asking for children."""
    count = 0
    for name in guest.children(path):
        count += 1 + walk(guest, path.rstrip(b"/") + b"/" + name)
    return count


def test_the_root_has_a_zookeeper_and_that_has_a_quota_and_nothing_else(guest: Guest) -> None:
    assert guest.children(b"/") == [b"zookeeper"]
    assert guest.children(b"/zookeeper") == [b"quota"]
    assert guest.children(b"/zookeeper/quota") == []
    for path in (b"/zookeeper/config", b"/zookeeper/tenants", b"/zookeeper/quota/x"):
        assert guest.error(codes.OP_EXISTS, path_body(path, b"\0")) == codes.NO_NODE
        assert guest.error(codes.OP_GET_ACL, path_body(path)) == codes.NO_NODE


def test_its_zookeeper_reads_as_a_constant(guest: Guest) -> None:
    """czxid mzxid ctime mtime version cversion aversion owner bytes children pzxid."""
    assert stat_at(guest, b"/zookeeper") == (0, 0, 0, 0, 0, -1, 0, 0, 0, 1, 0)
    reply = guest.ask(codes.OP_GET_DATA, path_body(b"/zookeeper", b"\0"))
    assert reply.reader().read_buffer() == b""
    reply = guest.ask(codes.OP_GET_ACL, path_body(b"/zookeeper"))
    assert read_acl_vector(reply.reader()) == [Acl(codes.PERM_READ, Id("world", "anyone"))]
    body = part(4, path_body(b"/zookeeper", b"\0")) + END
    assert part_errors(guest.ask(codes.OP_MULTI_READ, body).reader()) == [0]


@pytest.mark.parametrize("role", [WRITER, ADMIN])
def test_nothing_there_can_be_written_but_quotas(tenant: tuple[Hall, Tenant], role: int) -> None:
    hall, mine = tenant
    guest = hall.member(mine, role)
    nodes = set(hall.tree.nodes)
    for path, made in [
        (b"/zookeeper", codes.NODE_EXISTS),
        (b"/zookeeper/quota", codes.NODE_EXISTS),
        (b"/zookeeper/config", codes.NO_AUTH),
        (b"/zookeeper/x/y", codes.NO_AUTH),
    ]:
        assert guest.create(path) == made
    for path in (b"/zookeeper", b"/zookeeper/config"):
        assert guest.error(codes.OP_SET_DATA, path_body(path, UNCHANGED)) == codes.NO_AUTH
        body = path_body(path, OPEN_ACL, number(-1))
        assert guest.error(codes.OP_SET_ACL, body) == codes.NO_AUTH
    for path in (b"/", b"/zookeeper", b"/zookeeper/quota"):
        error = guest.error(codes.OP_DELETE, path_body(path, number(-1)))
        assert error == codes.BAD_ARGUMENTS
    assert guest.create(b"/") == codes.NODE_EXISTS
    assert set(hall.tree.nodes) == nodes


def test_numbers_are_appended_inside(tenant: tuple[Hall, Tenant], guest: Guest) -> None:
    """Behind `/tenants/a` a number would make a neighbour."""
    hall, mine = tenant
    nodes = set(hall.tree.nodes)
    sequential = codes.CREATE_PERSISTENT_SEQUENTIAL
    reply = guest.ask(codes.OP_CREATE, create_body(b"/", b"", sequential))
    assert (reply.error, reply.reader().read_path()) == (0, b"/0000000000")
    reply = guest.ask(codes.OP_CREATE, create_body(b"/zookeeper", b"", sequential))
    assert (reply.error, reply.reader().read_path()) == (0, b"/zookeeper0000000001")
    assert guest.create(b"/zookeeper/quota", b"", sequential) == codes.NO_AUTH
    root = mine.view.root
    assert set(hall.tree.nodes) - nodes == {
        root + b"/0000000000",
        root + b"/zookeeper0000000001",
    }


def test_counts_are_those_of_walking(tenant: tuple[Hall, Tenant], guest: Guest) -> None:
    for path in (b"/x", b"/x/y", b"/zookeeper/quota/x", b"/zookeeper/quota/x/zookeeper_limits"):
        assert guest.create(path) == 0
    for path in (b"/", b"/zookeeper", b"/zookeeper/quota", b"/x"):
        reply = guest.ask(codes.OP_GET_ALL_CHILDREN_NUMBER, path_body(path))
        assert reply.reader().read_int() == walk(guest, path), path
    assert stat_at(guest, b"/")[9] == len(guest.children(b"/")) == 2


def test_its_quotas_limit_its_own_paths(tenant: tuple[Hall, Tenant], guest: Guest) -> None:
    hall, mine = tenant
    other = hall.member(hall.directory.by_slug["busy"])
    for who in (guest, other):
        assert who.create(b"/x") == 0
    assert guest.create(b"/zookeeper/quota/x") == 0
    assert guest.create(b"/zookeeper/quota/x/zookeeper_limits", b"countHardLimit=2") == 0
    assert guest.create(b"/zookeeper/quota/x/zookeeper_stats") == 0
    assert mine.view.quota + b"/x/zookeeper_limits" in hall.tree.nodes
    assert guest.create(b"/x/1") == 0
    assert guest.create(b"/x/2") == codes.QUOTA_EXCEEDED
    assert [other.create(b"/x/%d" % number) for number in range(4)] == [0] * 4


def test_what_an_adopted_root_has_of_that_name_is_in_the_shadow() -> None:
    hall = Hall()
    kafka = hall.tenant("kafka", b"/kafka")
    for path in (b"/kafka/zookeeper", b"/kafka/zookeeper/x", b"/kafka/brokers"):
        hall.keeper.create(path, b"shadowed")
    guest = hall.member(kafka)
    assert guest.children(b"/") == [b"brokers", b"zookeeper"]
    assert guest.children(b"/zookeeper") == [b"quota"]
    assert stat_at(guest, b"/")[9] == 2
    assert guest.error(codes.OP_EXISTS, path_body(b"/zookeeper/x", b"\0")) == codes.NO_NODE
    reply = guest.ask(codes.OP_GET_ALL_CHILDREN_NUMBER, path_body(b"/"))
    assert reply.reader().read_int() == walk(guest, b"/") == 3
    assert guest.error(codes.OP_ADD_WATCH, path_body(b"/", number(1))) == 0
    hall.keeper.create(b"/kafka/zookeeper/y")
    hall.keeper.create(b"/kafka/brokers/1")
    assert guest.take_events() == [(codes.EVENT_NODE_CREATED, b"/brokers/1")]


def test_watches_of_its_zookeeper_come_back_after_a_reconnect(guest: Guest) -> None:
    """It is there, and as old as the server: nothing was missed."""
    body = watches_body(guest.hall.tree.last_zxid, [b"/zookeeper", b"/"], [], [b"/zookeeper"])
    assert guest.error(codes.OP_SET_WATCHES, body) == 0
    assert guest.take_events() == []
    for kind in (codes.WATCHER_DATA, codes.WATCHER_CHILDREN):
        assert guest.error(codes.OP_CHECK_WATCHES, path_body(b"/zookeeper", number(kind))) == 0


@pytest.mark.parametrize(
    ("path", "version", "errors"),
    [
        (b"/zookeeper", -1, [0]),
        (b"/zookeeper", 0, [0]),
        (b"/zookeeper", 1, [codes.BAD_VERSION]),
        (b"/zookeeper/config", -1, [codes.NO_NODE]),
        (b"/zookeeper/quota", 0, [0]),
        (b"/", 0, [0]),
        (b"/", 3, [codes.BAD_VERSION]),
        (b"", 0, [codes.BAD_ARGUMENTS]),
    ],
)
def test_a_multi_can_check_what_is_always_there(
    guest: Guest, path: bytes, version: int, errors: list[int]
) -> None:
    reply = guest.ask(codes.OP_MULTI, part(13, path_body(path, number(version))) + END)
    assert part_errors(reply.reader()) == errors


def test_the_znode_that_binds_a_session_is_not_among_its_ephemerals() -> None:
    """With a real document and a real credential: then there is such a znode."""
    hall = Hall()
    key, secret = bytes(range(32)), b"s3cret"
    digest = hash_secret(key, "a", secret).hex()
    credential = {"name": "app", "role": "writer", "subjects": [], "secrets": []}
    credential["secrets"] = [{"hash": digest, "until": None}]
    document = {"schema": 1, "slug": "a", "root": "/tenants/a", "state": "active"}
    document |= {"mode": "enforce", "weight": 100, "limits": {}, "credentials": [credential]}
    document |= {"signing_keys": {}, "audit": {"reads": False}}
    hall.make(b"/tenants/a")
    top = json.dumps({"schema": 1, "hash_key": key.hex(), "signing_keys": {}})
    assert hall.keeper.create(b"/zookeeper/tenants", top.encode()) == 0
    assert hall.keeper.create(b"/zookeeper/tenants/a", json.dumps(document).encode()) == 0
    guest = hall.connect()
    assert guest.error(codes.OP_AUTH, auth_body("tenant", b"a:" + secret)) == 0
    assert guest.conn.seat.principal == "app@a"
    binding = b"/zookeeper/tenants/a/%016x" % int(guest.conn.session_id)
    assert binding in hall.tree.ephemerals[int(guest.conn.session_id)]
    for path in (b"/e2", b"/e1", b"/other"):
        assert guest.create(path, b"", codes.CREATE_EPHEMERAL) == 0
    for prefix, found in [
        (b"", [b"/e1", b"/e2", b"/other"]),
        (b"/", [b"/e1", b"/e2", b"/other"]),
        (b"/e", [b"/e1", b"/e2"]),
        (b"/zookeeper", []),
        (b"/tenants", []),
        (b"e", []),
    ]:
        reply = guest.ask(codes.OP_GET_EPHEMERALS, path_body(prefix))
        assert reply.reader().read_paths() == found
    assert guest.error(codes.OP_DELETE, path_body(binding, number(-1))) == codes.NO_AUTH
    assert hall.connect().error(codes.OP_DELETE, path_body(binding, number(-1))) == codes.NO_AUTH
