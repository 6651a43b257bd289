"""What is done to an ensemble of real processes. Each fault begins, lasts a while, and is undone.

A fault hurts a minority, or everybody for a moment: between two of them the ensemble recovers, so
that every client reaches a member within its session's timeout. The names are what a run prints.
"""

import random
import time
from collections.abc import Callable
from typing import Final

from tests.chaos.links import Links
from tests.ensembles import Ensemble, Member

LASTS_S: Final = (0.2, 5.0)  # tests' syncLimit is about in the middle
FLAPS: Final = 6

Fault = Callable[[Ensemble, Links, random.Random], None]


def wait(rng: random.Random) -> None:
    time.sleep(rng.uniform(*LASTS_S))


def others(ensemble: Ensemble, member: Member) -> list[int]:
    return [sid for sid in ensemble.members if sid != member.sid]


def someone(ensemble: Ensemble, rng: random.Random) -> Member:
    return rng.choice(ensemble.all)


def follower(ensemble: Ensemble, rng: random.Random) -> Member:
    leader = ensemble.wait_leader()
    return rng.choice([member for member in ensemble.all if member is not leader])


def crash(ensemble: Ensemble, member: Member, rng: random.Random) -> None:
    member.kill9()
    wait(rng)
    member.start(ensemble.all)


def kill_the_leader(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    crash(ensemble, ensemble.wait_leader(), rng)


def kill_a_follower(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    crash(ensemble, follower(ensemble, rng), rng)


def kill_leaders_one_after_another(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    """Epoch after epoch, each cut short (F21)."""
    for _ in range(3):
        leader = ensemble.wait_leader()
        leader.kill9()
        leader.start(ensemble.all)


def kill_all(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    """The power fails, and comes back for one after the other."""
    for member in ensemble.all:
        member.kill9()
    for member in rng.sample(ensemble.all, len(ensemble.all)):
        member.start(ensemble.all)
        time.sleep(rng.uniform(0, 0.5))


def pause_the_leader(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    """It wakes as a leader of the past (F17)."""
    leader = ensemble.wait_leader()
    leader.pause()
    wait(rng)
    leader.resume()


def pause_a_follower(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    member = follower(ensemble, rng)
    member.pause()
    wait(rng)
    member.resume()


def isolate(ensemble: Ensemble, links: Links, rng: random.Random, member: Member) -> None:
    """Nothing gets in or out, clients excepted."""
    for other in others(ensemble, member):
        links.hold((member.sid, other), (other, member.sid))
    wait(rng)
    links.heal()


def isolate_the_leader(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    isolate(ensemble, links, rng, ensemble.wait_leader())


def isolate_someone(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    isolate(ensemble, links, rng, someone(ensemble, rng))


def split(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    """A minority, perhaps with the leader, and the rest do not hear each other (F12)."""
    few = rng.sample(list(ensemble.members), len(ensemble.members) // 2)
    rest = [sid for sid in ensemble.members if sid not in few]
    links.hold(*((one, other) for one in few for other in rest))
    links.hold(*((other, one) for one in few for other in rest))
    wait(rng)
    links.heal()


def deafen_the_leader(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    """It is heard, and hears nothing (F13)."""
    leader = ensemble.wait_leader()
    links.hold(*((other, leader.sid) for other in others(ensemble, leader)))
    wait(rng)
    links.heal()


def mute_the_leader(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    """It hears, and is not heard."""
    leader = ensemble.wait_leader()
    links.hold(*((leader.sid, other) for other in others(ensemble, leader)))
    wait(rng)
    links.heal()


def hold_one_direction(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    one, other = rng.sample(list(ensemble.members), 2)
    links.hold((one, other))
    wait(rng)
    links.heal()


def reset_one_link(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    """Two members cannot reach each other, both reach the third: a bridge."""
    one, other = rng.sample(list(ensemble.members), 2)
    links.refuse(one, other)
    wait(rng)
    links.heal()


def flap(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    """A link that comes and goes."""
    one, other = rng.sample(list(ensemble.members), 2)
    for _ in range(FLAPS):
        links.refuse(one, other)
        time.sleep(rng.uniform(0.01, 0.2))
        links.heal()
        time.sleep(rng.uniform(0.01, 0.3))


def restart_one_after_another(ensemble: Ensemble, links: Links, rng: random.Random) -> None:
    """A rolling restart: SIGTERM, the leader last (F19)."""
    leader = ensemble.wait_serving()
    for member in sorted(ensemble.all, key=lambda member: member is leader):
        member.stop()
        member.start(ensemble.all)
        ensemble.wait_serving()


FAULTS: Final[list[Fault]] = [
    kill_the_leader,
    kill_a_follower,
    kill_leaders_one_after_another,
    kill_all,
    pause_the_leader,
    pause_a_follower,
    isolate_the_leader,
    isolate_someone,
    split,
    deafen_the_leader,
    mute_the_leader,
    hold_one_direction,
    reset_one_link,
    flap,
    restart_one_after_another,
]


def words(fault: Fault) -> str:
    return fault.__name__.replace("_", " ")
