"""What a measurement says: lines on the terminal, and the same with all figures in files."""

import json
import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.servers import is_compiled


@dataclass
class Figures:
    """What one round of one row gave."""

    per_s: float
    p50_us: float
    p99_us: float
    cpu_s: float  # of the server, or of all servers, for 100,000 operations


class Report:
    """Collects; `keep` writes result.md and result.json."""

    def __init__(self, var: Path, name: str = "result") -> None:
        self.var: Final = var
        self.name: Final = name
        self.out: Final[list[str]] = []
        self.results: Final[dict[str, object]] = {}

    def say(self, line: str) -> None:
        print(line, flush=True)
        self.out.append(line)

    def say_where(self, with_apache: bool) -> None:
        """The machine, and what is not as it should be for real figures."""
        self.say(
            f"{os.cpu_count()} cores, Python {platform.python_version()}, load generator on the "
            f"same machine; load average before: {os.getloadavg()[0]:.1f}."
        )
        if not is_compiled():
            self.say("Interpreted: `make compile` first for the real figures.")
        if not with_apache:
            self.say("Without Apache's server: Java and Maven are not here.")
        self.say("")

    def keep(self) -> None:
        """What is known so far, in files: a long run may be cut."""
        self.var.mkdir(parents=True, exist_ok=True)
        (self.var / f"{self.name}.json").write_text(json.dumps(self.results, indent=1))
        (self.var / f"{self.name}.md").write_text("\n".join(self.out) + "\n")


def cells_of(seen: list[Figures]) -> list[str]:
    """Throughput, p50, p99 and CPU of a row's rounds: medians."""

    def median(of: Callable[[Figures], float]) -> float:
        return statistics.median(of(figures) for figures in seen)

    return [
        f"{median(lambda f: f.per_s):,.0f}",
        f"{median(lambda f: f.p50_us) / 1e3:.2f}",
        f"{median(lambda f: f.p99_us) / 1e3:.2f}",
        f"{median(lambda f: f.cpu_s):.2f}",
    ]


def ratio_cells(ours: list[Figures], others: list[Figures]) -> list[str]:
    """Throughput as a ratio, round by round, with its spread; and that of the p99."""
    ratios = [a.per_s / b.per_s for a, b in zip(ours, others, strict=True)]
    tails = [a.p99_us / b.p99_us for a, b in zip(ours, others, strict=True)]
    spread = f"({min(ratios):.2f}-{max(ratios):.2f})"
    return [f"**{statistics.median(ratios):.2f}** {spread}", f"{statistics.median(tails):.2f}"]
