"""leaderServes=no: a leader orders writes and leaves the clients to the others."""

from pathlib import Path

import pytest

from ensemble.client import Client, ConnectionLossError
from tests.ensembles import Ensemble, ours


async def test_a_leader_that_does_not_serve_leaves_its_clients_to_the_others(
    tmp_path: Path,
) -> None:
    software = ours()
    with Ensemble(tmp_path, [software] * 3, {"leaderServes": "no"}) as ensemble:
        leader = ensemble.start().wait_serving()
        follower = next(member for member in ensemble.all if member is not leader)
        async with Client(follower.address) as client:
            await client.create("/a", b"1")
        assert leader.mode() == "leader", "words are answered"
        stranger = Client(leader.address)
        with pytest.raises(ConnectionLossError):
            await stranger.connect(within=1.0)
        assert "leaderServes=no" in leader.log()
