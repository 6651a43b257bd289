"""Which settings the server reads, and how: found out by having it read a configuration."""

from ensemble.server.config import build
from ensemble.server.keys import Keys

PROMETHEUS = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
# With these everything is looked at that some other setting must first make of interest.
BASE = {
    "dataDir": "/nowhere/data",
    "clientPort": "0",
    "secureClientPort": "0",
    "admin.forceHttps": "true",
    "metricsProvider.className": PROMETHEUS,
}


class Recorder(Keys):
    """Remembers by which reader each key was read, and the bounds of numbers."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values, {})
        self.numbers: dict[str, tuple[int, int]] = {}
        self.flags: dict[str, bool] = {}
        self.choices: dict[str, tuple[str, ...]] = {}
        self.shares: set[str] = set()
        self.passwords: set[str] = set()

    def number(self, name: str, default: int, least: int, most: int = 1 << 31) -> int:
        self.numbers[name] = (least, most)
        return super().number(name, default, least, most)

    def flag(self, name: str, default: bool, yes_no: bool = False) -> bool:
        self.flags[name] = yes_no
        return super().flag(name, default, yes_no)

    def one_of(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        self.choices[name] = allowed
        return super().one_of(name, default, allowed)

    def share(self, name: str, default: float) -> float:
        self.shares.add(name)
        return super().share(name, default)

    def password(self, name: str) -> str:
        self.passwords.add(name)
        return super().password(name)


FOUND = Recorder(BASE)
build(FOUND, "", {})
