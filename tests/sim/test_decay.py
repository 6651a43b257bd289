"""Disks that forget, bits that change on the way, groups: they really happen, and runs survive."""

import random
from collections import Counter

import pytest

from ensemble.errors import StorageError
from ensemble.storage.logreader import LogReader
from ensemble.storage.recovery import RecoveryOptions, recover
from ensemble.storage.txnlog import TxnLog
from ensemble.zab.members import parse_members
from tests.sim.decay import Change, flip_in_record, misdirect_block, offsets_of, swap_records
from tests.sim.ensemble import members_text
from tests.sim.faults import plan_of, with_groups
from tests.sim.machine import LAYOUT
from tests.sim.network import Network, Pace
from tests.sim.runner import outcomes
from tests.sim.world import World
from tests.storage.histories import History
from tests.storage.simdisk import SimDisk

TXNS = 30


def disk_with_a_log(seed: int = 0) -> tuple[SimDisk, History]:
    disk = SimDisk()
    LAYOUT.make_folders(disk)
    # Where sectors are all zeros, a change before them looks like a write that was torn.
    history = History(seed, zeros=False)
    log = TxnLog(disk, LAYOUT, 4)
    for _ in range(TXNS):
        log.append(*history.grow())
    log.flush()
    return disk, history


@pytest.mark.timeout(600)
def test_disks_forget_and_the_ensemble_does_not_f4_f6_f7_f8() -> None:
    found = list(outcomes("decay", 0, 40, 1))
    assert [outcome["wrong"] for outcome in found if outcome["wrong"]] == []
    counts = counts_of(found)
    for what in (
        "folder lost",
        "disk lied",
        "log rotten",
        "records swapped",
        "block misdirected",
        "snapshot rotten",
        "refused and set aside",
    ):
        assert counts[what] > 0, what


@pytest.mark.timeout(600)
def test_bits_change_between_servers_and_nothing_else_does_f24() -> None:
    found = list(outcomes("wire", 0, 20, 1))
    assert [outcome["wrong"] for outcome in found if outcome["wrong"]] == []
    assert counts_of(found)["bits flipped"] > 100


@pytest.mark.parametrize(("kind", "seeds"), [("groups", 12), ("core-groups", 30)])
@pytest.mark.timeout(600)
def test_a_quorum_of_quorums_decides(kind: str, seeds: int) -> None:
    found = list(outcomes(kind, 0, seeds, 1))
    assert [outcome["wrong"] for outcome in found if outcome["wrong"]] == []
    assert sum(int(str(outcome["txns"])) for outcome in found) > 10 * seeds


def counts_of(found: list[dict[str, object]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for outcome in found:
        each = outcome["counts"]
        assert isinstance(each, dict)
        counts.update(each)
    return counts


def test_plans_with_groups_have_all_kinds_of_them() -> None:
    plans = [with_groups(plan_of(seed)) for seed in range(200)]
    all_members = [parse_members(members_text(plan)) for plan in plans]
    assert all(members.hierarchical for members in all_members)
    assert {len(set(members.groups.values())) for members in all_members} == {1, 2, 3}
    assert any(0 in members.weights.values() for members in all_members)
    assert any(set(members.weights.values()) == {1} for members in all_members)
    # Some decide otherwise than by a majority.
    assert any(
        members.is_quorum(set(range(1, count + 1))) != (2 * count > len(members.voters))
        for members in all_members
        for count in range(len(members.voters))
    )


@pytest.mark.parametrize("change", [flip_in_record, swap_records, misdirect_block])
def test_a_log_that_rots_in_the_middle_is_refused_f6(change: Change) -> None:
    """What these faults do is never taken for a torn end, whatever they hit."""
    for seed in range(60):
        disk, _ = disk_with_a_log(seed)
        [(_, path)] = LAYOUT.logs(disk)
        before = bytes(disk.files[path].live)
        offsets = offsets_of(disk, path)
        assert len(offsets) == TXNS + 1
        assert change(random.Random(seed), disk.files[path], offsets)
        after = bytes(disk.files[path].live)
        assert before != after
        assert before[offsets[-2] :] == after[offsets[-2] :]  # the last record is whole
        with pytest.raises(StorageError, match="data aside"):
            recover(disk, LAYOUT, RecoveryOptions(False, True))


def test_a_lying_disk_keeps_nothing_and_says_that_it_did_f4() -> None:
    disk, history = disk_with_a_log()
    disk.lies = True
    log = TxnLog(disk, LAYOUT, 4)
    log.append(*history.grow())
    log.flush()
    assert len(LAYOUT.logs(disk)) == 2
    assert len(LAYOUT.logs(disk.after_cut("all lost"))) == 1
    disk.write_back()
    kept = disk.after_cut("all lost")
    [_, (_, path)] = LAYOUT.logs(kept)
    record = LogReader(kept, path).next_record()
    assert record is not None
    assert record.zxid == TXNS + 1


def test_one_bit_changes_where_it_should_f24() -> None:
    world = World(1)
    network = Network(world, Pace(pieces=False))
    got: list[bytes] = []
    network.listen(2, "quorum", lambda end: setattr(end, "on_bytes", got.append))
    ends = []
    network.connect(1, 2, "quorum", ends.append, lambda reason: None)
    world.run(1_000_000)
    [end] = ends
    end.flip_after = 6
    for _ in range(3):
        end.send(bytes(4))
    world.run(2_000_000)
    data = b"".join(got)
    assert len(data) == 12
    assert [at for at, byte in enumerate(data) if byte] == [6]
    assert data[6].bit_count() == 1
    assert network.flips == 1
