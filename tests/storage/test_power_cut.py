"""Power cuts at every effect of a small server's life (trust.md F1, F2, F3, I9).

After each cut the server starts by itself, with everything that it had acknowledged and nothing
that was never written; and it does so again after the next cut.
"""

import random

import pytest
from lives import LAYOUT, Life
from simdisk import Fate, PowerCut, SimDisk

from ensemble.storage.recovery import RecoveryOptions, recover

FATES: list[Fate] = ["all lost", "all kept", "any subset"]


def live(disk: SimDisk, life: Life, batches: int) -> None:
    """Until the end or the power cut."""
    try:
        life.work(disk, life.start(disk), batches)
    except PowerCut:
        pass


def effects_of(seed: int, batches: int) -> int:
    disk = SimDisk()
    live(disk, Life(seed), batches)
    return len(disk.effects)


def test_the_workload_rolls_snapshots_and_purges() -> None:
    """Else the cuts below would prove little."""
    disk = SimDisk()
    live(disk, Life(1), 20)
    done = "\n".join(disk.effects)
    for what in ("shrink /srv/logs", "rename /srv/data/version-2/snapshot.", "remove /srv/logs"):
        assert what in done
    assert "rename /srv/data/version-2/currentEpoch.tmp" in done
    assert disk.open_files == 0


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_acknowledged_is_lost_whenever_the_power_fails(seed: int, fate: Fate) -> None:
    """F1, F2, F3, I9: the cut comes before each effect, then again at a random one."""
    total = effects_of(seed, 20)
    assert total > 150
    for cut in range(total + 1):
        life = Life(seed)
        disk = SimDisk()
        disk.cut_at = cut
        live(disk, life, 20)
        for again in range(2):
            disk = disk.after_cut(fate, seed=cut + again)
            disk.cut_at = random.Random(1000 * cut + again).randrange(60)
            live(disk, life, 6)
        life.start(disk.after_cut(fate, seed=cut))


@pytest.mark.parametrize("fate", FATES)
def test_what_a_start_has_found_survives_the_power_f1_f2(fate: Fate) -> None:
    """I9: a process is killed before each effect; what the next one finds in the page cache it
    shows and votes with, so no loss of power may take it away."""
    total = effects_of(3, 12)
    for kill in range(total + 1):
        life = Life(3)
        disk = SimDisk()
        disk.cut_at = kill
        live(disk, life, 12)
        disk = disk.after_kill()
        life.start(disk)
        life.start(disk.after_cut(fate, seed=kill))


def test_any_subset_of_the_sectors_of_a_batch_may_survive() -> None:
    """F3: a batch of several records, cut before its sync: whole ones may lie behind a torn one."""
    whole_behind = 0
    for seed in range(300):
        life = Life(seed)
        disk = SimDisk()
        log = life.start(disk)
        for cut_before in ("", "sync /srv/logs"):
            for _ in range(8):
                log.append(*life.history.grow())
            disk.cut_before = cut_before
            if cut_before:
                with pytest.raises(PowerCut):
                    log.flush()
            else:
                log.flush()
                life.acknowledged = life.history.last_zxid
        disk = disk.after_cut("any subset", seed)
        notes = recover(disk, LAYOUT, RecoveryOptions()).notes
        whole_behind += any("a sector of the last batch was not written" in note for note in notes)
        life.start(disk)
    assert whole_behind > 10
