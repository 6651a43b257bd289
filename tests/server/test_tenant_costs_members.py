"""Accounts in an ensemble: each server counts its own clients, wherever writes are ordered."""

import json
import urllib.parse
import urllib.request
from pathlib import Path

from tests.ensembles import Ensemble, Member, ours
from tests.ports import free_ports
from tests.server import tenant_steps as steps


def figures(member: Member, port: int, name: str, **query: object) -> dict[str, object]:
    url = f"http://127.0.0.1:{port}/commands/{name}?{urllib.parse.urlencode(query)}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {steps.READ}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, object] = json.loads(answer.read())
    assert found["error"] is None, member.sid
    return found


def make_members(folder: Path, ports: list[int]) -> Ensemble:
    """Three members with admin ports, a token to read, and a superuser."""
    (folder / "read").write_text(steps.READ)
    flag = f"-Dzookeeper.DigestAuthenticationProvider.superDigest={steps.SUPER_DIGEST}"
    ensemble = Ensemble(folder, [ours(flag)] * 3)
    for member, port in zip(ensemble.all, ports, strict=True):
        member.config |= {
            "admin.enableServer": "true",
            "admin.serverPort": port,
            "ensemble.admin.readTokens": folder / "read",
        }
    return ensemble


def test_a_write_through_a_follower_counts_there_and_once(tmp_path: Path) -> None:
    ports = free_ports(3)
    with make_members(tmp_path, ports) as ensemble:
        leader = ensemble.start().wait_serving()
        follower = next(member for member in ensemble.all if member is not leader)
        others = [member for member in ensemble.all if member is not follower]
        port_of = dict(zip(ensemble.members, ports, strict=True))
        steps.provision(follower, "payments")
        client = steps.tenant_client(follower, "payments")
        for n in range(5):
            client.create(f"/n{n}", b"x", ephemeral=True)
        here = figures(follower, port_of[follower.sid], "tenant", slug="payments")
        writes = here["account"]["classes"]["write"]
        assert (writes["count"], writes["latency"]["count"]) == (5, 5)
        assert here["usage"]["connections"] == 1
        mine = figures(follower, port_of[follower.sid], "sessions", tenant="payments")["sessions"]
        assert [(one["connected_here"], one["ephemerals"]) for one in mine] == [(True, 6)]
        for member in others:
            beside = steps.client(member)
            beside.sync("/")  # from here on it has all that was answered
            there = figures(member, port_of[member.sid], "tenant", slug="payments")
            assert there["account"]["classes"] == {}
            assert (there["usage"]["connections"], there["usage"]["sessions"]) == (0, 1)
            found = figures(member, port_of[member.sid], "sessions", tenant="payments")["sessions"]
            assert [(one["connected_here"], one["ephemerals"]) for one in found] == [(False, 6)]
            steps.leave(beside)
        steps.leave(client)
