"""The short form of `make chaos`: real processes are hurt while clients write (I9-I13, I20)."""

import contextlib
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.chaos import faults
from tests.chaos.faults import Fault
from tests.chaos.links import Links
from tests.chaos.run import CONFIG, Run
from tests.ensembles import Ensemble
from tests.needs import need
from tests.subject import IS_OURS, subject

EXIT_STORAGE = 10
ENDS_WITHIN_S = 30.0
APACHE_ENDS_WITHIN_S = 5.0
SYNCS_BEFORE_FAILURE = 150
MIXED: list[Fault] = [
    faults.kill_the_leader,
    faults.pause_the_leader,
    faults.isolate_the_leader,
    faults.hold_one_direction,
]


def prepared(folder: Path, *what: Fault, seconds: float) -> Run:
    ensemble = Ensemble(folder, [subject()] * 3, CONFIG)
    run = Run(ensemble, random.Random(9), list(what), seconds)
    run.sync_is_linearizable = IS_OURS
    return run


async def test_I9_I12_I13_F11_F13_F17_crashes_pauses_and_cuts_lose_nothing(tmp_path: Path) -> None:
    run = prepared(tmp_path, *MIXED, seconds=8)
    with run.ensemble:
        await run.run()
    assert len(run.history.writes) > 200, "there was hardly any load"


async def test_F1_F2_when_all_members_crash_at_once_nothing_is_lost(tmp_path: Path) -> None:
    run = prepared(tmp_path, faults.kill_all, seconds=0.1)
    with run.ensemble:
        await run.run()
    assert run.done


async def test_F19_a_rolling_restart_loses_no_write_and_expires_no_session(tmp_path: Path) -> None:
    run = prepared(tmp_path, faults.restart_one_after_another, seconds=0.1)
    with run.ensemble:
        await run.run()
    assert run.done


def wait_end(ensemble: Ensemble, sid: int) -> None:
    """Its disk has failed: it stops by itself."""
    process = ensemble[sid].process
    assert process is not None
    if ensemble[sid].software.is_ours:
        assert process.wait(ENDS_WITHIN_S) == EXIT_STORAGE, ensemble[sid].log()
    else:  # Apache's may stay as a process that does nothing
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(APACHE_ENDS_WITHIN_S)
    ensemble[sid].kill9()


# The highest id leads after a first start, so that these are a follower's disk and the leader's.
DISKS = [pytest.param(1, id="a-followers-disk"), pytest.param(3, id="the-leaders-disk")]


@pytest.mark.parametrize("sid", DISKS)
async def test_F5_a_failing_sync_takes_one_member_out_and_nothing_with_it(
    sid: int, tmp_path: Path
) -> None:
    need("strace")
    trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]

    def fail(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
        wait_end(ensemble, sid)
        ensemble[sid].wrapper = []
        ensemble[sid].start(ensemble.all)

    run = prepared(tmp_path, fail, seconds=0.1)
    with run.ensemble:
        inject = f"inject=fdatasync:error=EIO:when={SYNCS_BEFORE_FAILURE}+"
        run.ensemble[sid].wrapper = [*trace, "-e", inject]
        await run.run()
    assert run.done


@pytest.mark.parametrize("sid", DISKS)
async def test_F9_a_full_disk_takes_one_member_out_until_there_is_room(
    sid: int, tmp_path: Path, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"

    def fill(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
        with ballast.open("wb", buffering=0) as out:
            try:
                while out.write(bytes(1 << 16)):
                    pass
            except OSError:
                pass  # full
        wait_end(ensemble, sid)
        ballast.unlink()
        ensemble[sid].start(ensemble.all)

    run = prepared(tmp_path, fill, seconds=0.1)
    with run.ensemble:
        run.ensemble[sid].config["dataDir"] = small_disk / "data"
        await run.run()
    assert run.done


def test_every_fault_has_a_name_of_its_own() -> None:
    names: Mapping[str, Fault] = {faults.words(fault): fault for fault in faults.FAULTS}
    assert len(names) == len(faults.FAULTS)
