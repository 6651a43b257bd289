"""Members that change in ensembles of ours and Apache's servers (zab.md 7).

Each is added as an observer, gets a vote, and leads at some time; whoever leads is removed, so that
either hands over to the other. Every server has to go by the same configuration in the end.
"""

import asyncio
from pathlib import Path

import pytest

from tests.ensembles import Software, apache, ours
from tests.server.reconfig_steps import (
    SETTINGS,
    SUPER,
    Members,
    all_show,
    changed,
    line,
    operator,
    until_it,
)

FLAG = f"-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER}"
TEST_TIMEOUT_S = 240.0


async def add_and_promote(ensemble: Members, software: Software) -> None:
    """A server joins, observes, and votes."""
    member = ensemble.add(software, is_observer=True)
    ensemble.start(member.sid)
    others = [each for each in ensemble.all if each is not member]
    await until_it(lambda: member.mode() in ("follower", "observer"))
    async with operator(*others) as client:
        await changed(client, joining=line(member, "observer"))
        await until_it(lambda: member.mode() == "observer")
        await changed(client, joining=line(member))
        await until_it(lambda: member.mode() == "follower")


async def remove_leaders(ensemble: Members) -> None:
    """Twice: the one that leads, and the one that it hands over to."""
    for number in range(2):
        leader = await asyncio.to_thread(ensemble.settled)
        async with operator(*ensemble.all) as client:
            text = await changed(client, leaving=str(leader.sid))
            assert f"server.{leader.sid}=" not in text
            assert await asyncio.to_thread(ensemble.settled) is not leader
            await client.create(f"/{number}", b"")
        await all_show(ensemble, text)


@pytest.mark.timeout(TEST_TIMEOUT_S)
@pytest.mark.parametrize("first", ["ours", "apache"])
def test_both_take_the_lead_from_each_other(first: str, classpath: str, tmp_path: Path) -> None:
    """The third of the first three leads as a rule; it is of the one kind, the others the other."""
    our, theirs = ours(FLAG), apache(classpath, "-Xmx256m", FLAG)
    one, others = (our, theirs) if first == "ours" else (theirs, our)
    with Members(tmp_path, [others, others, one], SETTINGS) as ensemble:
        ensemble.start()
        ensemble.wait_serving()

        async def all_of_it() -> None:
            await add_and_promote(ensemble, theirs)
            await add_and_promote(ensemble, our)
            await remove_leaders(ensemble)

        asyncio.run(asyncio.wait_for(all_of_it(), TEST_TIMEOUT_S))
