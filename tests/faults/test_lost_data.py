"""A member of an ensemble whose data folder is gone (trust.md F8), on real processes."""

import shutil
from pathlib import Path

from ensemble.client import Client
from tests.ensembles import Ensemble, ours
from tests.server.starting import until

# An attempt to lead takes initLimit until it is given up, and here one has to be.
QUICK = {"tickTime": 500, "initLimit": 12, "syncLimit": 8}


async def test_F8_an_empty_server_elects_nobody_who_lacks_what_it_had_acknowledged(
    tmp_path: Path,
) -> None:
    """Two of three, of which one is behind and one has lost its data, are no majority."""
    with Ensemble(tmp_path, [ours()] * 3, QUICK) as ensemble:
        ensemble.start().wait_serving()
        whole, lost, behind = ensemble.all
        async with Client(whole.address) as client:
            await client.create("/before", b"")
        behind.stop()
        ensemble.wait_serving()
        async with Client(whole.address) as client:
            await client.create("/acknowledged", b"by two")
        whole.stop()
        lost.stop()
        shutil.rmtree(lost.data / "version-2")
        ensemble.start(lost.sid, behind.sid)
        until(lambda: f"server {lost.sid} is empty and this one is not" in behind.log())
        assert [lost.mode(), behind.mode()] == ["", ""]
        ensemble.start(whole.sid)
        ensemble.wait_serving()
        for member in ensemble.all:
            async with Client(member.address) as client:
                data, _ = await client.get("/acknowledged")
                assert data == b"by two"
        # It has the ensemble's data now, and counts like any other.
        whole.stop()
        ensemble.wait_serving()
        async with Client(lost.address) as client:
            await client.create("/after", b"")
