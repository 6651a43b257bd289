"""What the real libraries make is known for what it is (`recipes.json`), and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenants import locks, recipes
from tenants.recipes import Child, Recipe

RECORDED = json.loads((Path(__file__).parent / "recipes.json").read_text())["trees"]
U = "0a1b2c3d-0000-4000-8000-0123456789ab"
H = "0a1b2c3d000040008000" + "0" * 12


def data_of(value: Any) -> bytes:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else str(value).encode()


def children(path: str) -> list[Child]:
    return [
        Child(one["name"], one["owner"], 1_000 + n, data_of(one["data"]))
        for n, one in enumerate(RECORDED[path]["children"])
    ]


def recorded(path: str) -> Recipe | None:
    found = children(path)
    ready = any(one.name == "ready" for one in found)
    return recipes.recognise(path, data_of(RECORDED[path]["data"]), found, is_ready=ready)


def seen(path: str) -> Recipe:
    """As pages read it: with what belongs to it beside it."""
    found = recorded(path)
    assert found is not None, path
    if found.kind == "semaphore":
        queue = recorded(locks.queue_of(path))
        assert queue is not None
        return recipes.with_queue(found, queue)
    if path.endswith("/entries"):
        return recipes.with_taken(found, children(locks.taken_of(path)))
    return found


@pytest.mark.parametrize(
    ("path", "kind", "made_by", "states"),
    [
        ("/kazoo/lock", "lock", "kazoo", "first holds, second waits, third waits"),
        ("/kazoo/election", "lock", "kazoo", "candidate-a holds, candidate-b waits"),
        (
            "/kazoo/readwrite",
            "read-write lock",
            "kazoo",
            "reader-1 holds, reader-2 holds, writer waits, reader-3 waits",
        ),
        ("/kazoo/semaphore", "semaphore", "kazoo", "s2 holds, s1 holds, b's3' waits"),
        ("/kazoo/queue", "queue", "kazoo", "first is queued, second is queued, later is queued"),
        ("/kazoo/locking/entries", "queue", "kazoo", "one is taken, two is queued"),
        ("/kazoo/barrier", "barrier", "kazoo", "b1 is in"),
        ("/kazoo/entered", "barrier", "kazoo", "b2 is in"),
        ("/kazoo/party", "members", "kazoo Party", "m1 is in, m2 is in"),
        ("/kazoo/shallow", "members", "kazoo ShallowParty", "host-1 is in"),
        ("/curator/mutex", "lock", "Curator", "127.0.0.1 holds, 127.0.0.1 waits"),
        (
            "/curator/readwrite",
            "read-write lock",
            "Curator",
            "127.0.0.1 holds, 127.0.0.1 holds, 127.0.0.1 waits",
        ),
        (
            "/curator/semaphore/leases",
            "semaphore",
            "Curator",
            "127.0.0.1 holds, 127.0.0.1 holds, 127.0.0.1 waits, 127.0.0.1 waits",
        ),
        ("/curator/latch", "election", "Curator LeaderLatch", "latch-a holds, latch-b waits"),
        ("/curator/selector", "lock", "Curator", "selector-a holds, selector-b waits"),
        ("/curator/barrier", "barrier", "Curator", "127.0.0.1 is in"),
        ("/curator/entered", "barrier", "Curator", "127.0.0.1 is in"),
        ("/curator/simple", "queue", "Curator", "one is queued"),
        (
            "/curator/services/pay",
            "service",
            "Curator ServiceDiscovery",
            "pay at 10.0.0.7:8443 is in, pay at 10.0.0.8:8443 is in",
        ),
    ],
)
def test_what_the_libraries_make_is_known(path: str, kind: str, made_by: str, states: str) -> None:
    found = seen(path)
    assert (found.kind, found.made_by) == (kind, made_by)
    assert ", ".join(f"{one.says} {one.state}" for one in found.participants) == states
    assert found.count == len(found.participants)


def test_a_queue_by_priority_is_shown_in_the_order_of_its_turns() -> None:
    assert [b"high" in one.says.encode() for one in seen("/curator/priority").participants] == [
        True,
        False,
    ]
    assert len(seen("/curator/queue").others) == 2


def test_a_semaphore_of_kazoo_says_how_many_leases_there_are() -> None:
    assert seen("/kazoo/semaphore").limit == 2
    assert "open until all have left" in seen("/kazoo/entered").note
    assert "1 has come so far" in seen("/kazoo/barrier").note


def test_a_lease_says_whose_it_is_and_until_when() -> None:
    found = seen("/kazoo/lease")
    assert found.kind == "lease"
    assert found.participants[0].says.startswith("holder until 20")


def test_what_is_no_recipe_is_none() -> None:
    known = ("/kazoo/gate", "/kazoo/counter", "/kazoo/locking", "/curator/semaphore")
    for path in (*known, "/curator/group"):
        assert recorded(path) is None, path


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a", "b"],
        ["lock-0000000001"],
        [f"_c_{U}-lock-"],
        [f"{H[:-1]}__lock__0000000001"],
        ["entry-1-0000000001"],
        ["ready"],
        ["\n" + H],
    ],
)
def test_names_that_only_look_alike_are_nothing(names: list[str]) -> None:
    assert recipes.form_of(names) is None
    assert recipes.recognise("/x", b"", [Child(name) for name in names]) is None


def test_a_uuid_alone_is_a_service_only_with_what_a_service_says() -> None:
    service = json.dumps({"name": "pay", "id": U, "address": "10.0.0.7", "port": 8443}).encode()
    found = recipes.recognise("/services/pay", b"", [Child(U, 7, 1, service)])
    assert found is not None
    assert (found.kind, found.participants[0].says) == ("service", "pay at 10.0.0.7:8443")
    assert recipes.recognise("/users", b"", [Child(U, 0, 1, b"{}")]) is None


def test_a_counter_that_has_gone_round_goes_on_below_zero() -> None:
    after = Child(f"{H}__lock__-2147483648", 1)
    before = Child(f"{H}__lock__2147483647", 2)
    found = recipes.recognise("/l", b"", [before, after])
    assert found is not None
    assert [one.owner for one in found.participants] == [1, 2]


@pytest.mark.parametrize(
    ("path", "data", "made_by", "says"),
    [
        ("/controller", b'{"version":1,"brokerid":3}', "Kafka controller", "brokerid 3"),
        ("/kafka/controller", b'{"brokerid":3}', "Kafka controller", "brokerid 3"),
        ("/hbase/master", b"\xff\x00PBUF", "HBase master", "6 bytes"),
        ("/service/pg/leader", b"node-a", "Patroni", "node-a"),
        ("/hadoop-ha/ns/ActiveStandbyElectorLock", b"\x01", "Hadoop", "\x01"),
    ],
)
def test_leaders_at_agreed_places_are_known(
    path: str, data: bytes, made_by: str, says: str
) -> None:
    fixed = recipes.fixed_of(path)
    assert fixed is not None
    leader = Child(path.rpartition("/")[2], 5, 1, data)
    rivals = [Child("node-a", 5, 1), Child("node-b", 6, 1, b"standby")]
    found = recipes.led(fixed, path, leader, rivals)
    assert (found.kind, found.made_by) == ("election", made_by)
    assert [(one.says, one.state) for one in found.participants] == [
        (says, "holds"),
        ("standby", "waits"),
    ]
    assert recipes.fixed_of(f"{path}/below") is None


def test_who_is_next_moves_up_when_a_session_ends() -> None:
    lock = seen("/kazoo/lock")
    first = lock.participants[0].owner
    after = locks.without(lock, first)
    assert [(one.says, one.state) for one in after.participants] == [
        ("second", "holds"),
        ("third", "waits"),
    ]
    shared = locks.without(seen("/kazoo/readwrite"), 2)
    assert [one.state for one in shared.participants] == ["holds", "waits", "waits"]
    assert locks.without(lock, 99) == lock


def test_values_that_are_no_text_are_told_by_their_size() -> None:
    assert recipes.said(b"\xff\xfe") == "2 bytes"
    assert len(recipes.said(b"x" * 100_000)) == recipes.SHOWN_MAX
    assert recipes.said(b"[1, 2]") == "[1, 2]"
    for hostile in (b"[" * 10_000, b"{" * 1_000_000, b'{"name": ' * 1_000):
        assert recipes.json_of(hostile) is None
