"""Our servers and Apache's in one ensemble: roles, ways to catch up, replacement under load.

The trees of all members are compared to the last field of every stat; where the leader counts how
it brought a learner up to date, that is compared, too. Source: zab.md sections 3-6.
"""

import asyncio
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.client import Acl, Client, CreateMode, digest_id
from tests.chaos.checkers import check_equal, fail_if
from tests.chaos.links import Links
from tests.chaos.run import CONFIG, Run
from tests.chaos.workload import READER, dump_all
from tests.ensembles import Ensemble, Member, Software, apache
from tests.harness import RawClient, create_body
from tests.subject import subject

LOG_TIMEOUT_S = 10.0
OP_CREATE = 1
EPHEMERAL = 1
# Apache's leaders bring learners up to date from memory or by a snapshot, not from their log files.
# In memory are the last 500 transactions: "many" writes away is surely a snapshot.
FLAGS = ("-Dzookeeper.snapshotSizeFactor=-1", "-Dzookeeper.commitLogCount=500")
FEW, MANY = 20, 700


@pytest.fixture
def theirs(classpath: str) -> Software:
    return apache(classpath, "-Xmx512m", *FLAGS)


@pytest.fixture
def our(classpath: str) -> Software:
    return subject(*FLAGS)


async def write_some(address: str, turn: int, count: int = FEW) -> None:
    """Every kind of write, then sets until there are `count`."""
    async with Client(address, timeout=30.0) as client:
        base = f"/turn-{turn}"
        await client.create(base, b"base")
        acl = [Acl(31, digest_id(*READER.decode().split(":")))]
        await client.create(f"{base}/closed", b"", acl=acl)
        await client.create(f"{base}/deleted", b"")
        await client.delete(f"{base}/deleted")
        for _ in range(3):
            await client.create(f"{base}/s-", b"", mode=CreateMode.PERSISTENT_SEQUENTIAL)
        await client.create(f"{base}/ephemeral", b"", mode=CreateMode.EPHEMERAL)
        await client.create(f"{base}/container", b"", mode=CreateMode.CONTAINER)
        transaction = client.transaction()
        transaction.create(f"{base}/multi", b"1").set(f"{base}/multi", b"2").check(base, 0)
        await transaction.commit()
        for number in range(count):
            await client.set(base, b"%d" % number)


async def check_trees(ensemble: Ensemble) -> None:
    trees = await dump_all(ensemble)
    assert len(trees) == len(ensemble.members)
    fail_if(check_equal(trees))


def syncs(leader: Member, way: str) -> int:
    """How often this leader has brought a learner up to date by `way`: DIFF or SNAP."""
    if leader.software.is_ours:
        return len(re.findall(rf" ends at 0x[0-9a-f]+: {way}\b", leader.log_path.read_text()))
    found = re.search(
        rf"^zk_{way.lower()}_count\t(\d+)", leader.word("mntr").decode(), re.MULTILINE
    )
    return int(found[1]) if found else 0


def purge(member: Member) -> None:
    """Only the newest log file stays, as after a purge: what came before is in the snapshots."""
    logs = sorted(member.data.glob("version-2/log.*"), key=lambda log: int(log.suffix[1:], 16))
    assert len(logs) > 1, "so many writes, and one file"
    for log in logs[:-1]:
        log.unlink()


def lose_data(member: Member) -> None:
    shutil.rmtree(member.data)


Joining = Callable[[Software, Software], tuple[Software, Software]]


def ours_joins_theirs(our: Software, theirs: Software) -> tuple[Software, Software]:
    return our, theirs


def theirs_joins_ours(our: Software, theirs: Software) -> tuple[Software, Software]:
    return theirs, our


@pytest.mark.parametrize("joining", [ours_joins_theirs, theirs_joins_ours])
@pytest.mark.parametrize("role", ["follower", "observer"])
@pytest.mark.parametrize("way", ["DIFF", "SNAP", "SNAP to an empty disk"])
async def test_a_learner_catches_up(
    joining: Joining, role: str, way: str, our: Software, theirs: Software, tmp_path: Path
) -> None:
    learner_is, others_are = joining(our, theirs)
    as_observer = [learner_is] if role == "observer" else []
    as_follower = [learner_is] if role == "follower" else []
    # The learner is an observer, or the lowest id: one of the others leads.
    software = [*as_follower, others_are, others_are]
    with Ensemble(tmp_path, software, CONFIG, observers=as_observer) as ensemble:
        learner = ensemble[3 if as_observer else 1]
        others = [member.sid for member in ensemble.all if member is not learner]
        ensemble.start(*others).wait_serving()
        await write_some(ensemble[others[0]].address, 0)
        ensemble.start(learner.sid)
        leader = ensemble.wait_serving()
        assert learner.mode() == role
        await write_some(learner.address, 1)
        await check_trees(ensemble)
        learner.kill9()
        if way == "SNAP to an empty disk":
            lose_data(learner)
        await write_some(leader.address, 2, FEW if way == "DIFF" else MANY)
        if way != "DIFF":
            purge(leader)  # ours would send from its log files all that is missing
        before = syncs(leader, way[:4])
        ensemble.start(learner.sid)
        assert ensemble.wait_serving() is leader
        assert syncs(leader, way[:4]) == before + 1
        await write_some(learner.address, 3)
        await check_trees(ensemble)
        learner.kill9()  # and what it has written is enough to start from
        ensemble.start(learner.sid).wait_serving()
        await check_trees(ensemble)


def log_holds(member: Member, path: bytes) -> bool:
    return any(path in log.read_bytes() for log in member.data.glob("version-2/log.*"))


@pytest.mark.parametrize("joining", [ours_joins_theirs, theirs_joins_ours])
async def test_a_leader_that_logged_what_nobody_got_comes_back_by_TRUNC(
    joining: Joining, our: Software, theirs: Software, tmp_path: Path
) -> None:
    """Its write was never acknowledged; the others went on in a new epoch without it."""
    old_leader_is, others_are = joining(our, theirs)
    with Ensemble(tmp_path, [others_are, others_are, old_leader_is], CONFIG) as ensemble:
        old = ensemble[3]
        assert ensemble.start(1, 3).wait_serving() is old, "the higher id, after a first start"
        ensemble.start(2).wait_serving()
        await write_some(old.address, 0)
        client = RawClient(old.client_port)
        assert client.connect()
        for sid in (1, 2):
            ensemble[sid].pause()
        for number in range(3):
            client.request(number + 1, OP_CREATE, create_body(f"/lost-{number}"))
        deadline = time.monotonic() + LOG_TIMEOUT_S
        while not log_holds(old, b"/lost-2"):
            assert time.monotonic() < deadline, "the leader does not log what it proposes"
            await asyncio.sleep(0.01)
        for member in ensemble.all:
            member.kill9()
        client.close()
        leader = ensemble.start(1, 2).wait_serving()
        await write_some(ensemble[1].address, 1)
        assert ensemble.start(3).wait_serving() is leader
        async with Client(old.address) as after:
            names = await after.children("/")
        assert not [name for name in names if name.startswith("lost")]
        await write_some(old.address, 2)
        await check_trees(ensemble)
        for member in ensemble.all:  # what was cut does not come back from a disk
            member.kill9()
        ensemble.start().wait_serving()
        await check_trees(ensemble)


async def test_ours_leads_two_of_apaches_with_their_acknowledgements(
    our: Software, theirs: Software, tmp_path: Path
) -> None:
    with Ensemble(tmp_path, [theirs, theirs, our], CONFIG) as ensemble:
        assert ensemble.start(1, 3).wait_serving() is ensemble[3]
        ensemble.start(2).wait_serving()
        await write_some(ensemble[1].address, 0)
        ensemble[2].kill9()  # now every commit needs the ack of the one follower left
        await write_some(ensemble[1].address, 1)
        await write_some(ensemble[3].address, 2)
        ensemble.start(2).wait_serving()
        await check_trees(ensemble)


async def test_a_session_moves_between_ours_and_apaches_with_its_ephemerals_and_watches(
    our: Software, theirs: Software, tmp_path: Path
) -> None:
    """Every member makes the same password of a session's id (zab.md 6.2)."""
    with Ensemble(tmp_path, [theirs, our, theirs], CONFIG) as ensemble:
        ensemble.start().wait_serving()
        first = RawClient(ensemble[1].client_port)
        assert first.connect()
        first.request(1, OP_CREATE, create_body("/kept", flags=EPHEMERAL))
        zxid = first.reply()[1]
        for sid in (2, 3, 1):
            moved = RawClient(ensemble[sid].client_port)
            assert moved.connect(session_id=first.session_id, password=first.password), sid
            assert (moved.session_id, moved.password) == (first.session_id, first.password)
            moved.close()
        fired: list[str] = []
        session = (first.session_id, first.password)
        async with Client(ensemble[2].address, resume=session) as last:
            await last.sync("/")
            stat = await last.exists("/kept", watch=lambda event: fired.append(event.path))
            assert stat is not None
            assert (stat.czxid, stat.ephemeral_owner) == (zxid, last.session_id)
            await last.set("/kept", b"x")
            assert fired == ["/kept"]
        async with Client(ensemble[3].address) as other:
            await other.sync("/")
            assert await other.exists("/kept") is None, "gone with its session"
        first.close()


@pytest.mark.timeout(300)
async def test_all_of_apaches_are_replaced_by_ours_and_back_under_load(
    our: Software, theirs: Software, tmp_path: Path
) -> None:
    """One after the other on the same folders; no write is lost, no session expires."""

    def replace(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
        for software in (our, theirs):
            for sid in rng.sample(list(ensemble.members), len(ensemble.members)):
                ensemble.swap(sid, software)
                ensemble.wait_serving()
                time.sleep(0.3)

    ensemble = Ensemble(tmp_path, [theirs] * 3, CONFIG)
    run = Run(ensemble, random.Random(3), [replace], seconds=0.1, sync_is_linearizable=False)
    with ensemble:
        await run.run()
    assert run.done == {"replace": 1}
