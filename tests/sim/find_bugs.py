"""`make sim-bugs`: puts each known bug back in and counts the seeds until it shows."""

import sys
import time

from tests.sim.bugs import BUGS, kind_of
from tests.sim.runner import outcomes

SEEDS_MAX = 1_000


def search(kind: str, name: str) -> tuple[int, str]:
    """The first seed of those that show it, -1 if none; and what it shows."""
    seeds = []
    for outcome in outcomes(f"{kind}:{name}", 0, SEEDS_MAX, 2):
        wrong = outcome["wrong"]
        assert isinstance(wrong, list)
        if wrong:
            seeds.append((int(str(outcome["seed"])), str(wrong[0])))
            break
    return seeds[0] if seeds else (-1, "")


def main() -> int:
    missed = 0
    print("| bug | after | seed | s | what shows it |\n|---|---|---|---|---|")
    for bug in BUGS:
        kind = kind_of(bug)
        began = time.monotonic()
        seed, shown = search(kind, bug.name)
        took_s = time.monotonic() - began
        rule = shown.split("Violation: ")[-1].split(":")[0]
        print(f"| {bug.name} | {bug.source} | {kind} {seed} | {took_s:.0f} | {rule} |", flush=True)
        missed += seed < 0
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
