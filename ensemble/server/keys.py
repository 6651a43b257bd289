"""Settings by name, and the reading of their values: numbers within bounds, flags, lists."""

import re
from typing import Final

from ensemble.errors import ConfigError

# What the documentation calls them: what the code calls them.
SPELLINGS: Final = {
    "requestThrottleLimit": "request_throttle_max_requests",
    "requestThrottleStallTime": "request_throttle_stall_time",
    "requestThrottleDropStale": "request_throttle_drop_stale",
    "connectionMaxTokens": "connection_throttle_tokens",
    "connectionTokenFillTime": "connection_throttle_fill_time",
    "connectionTokenFillCount": "connection_throttle_fill_count",
    "connectionFreezeTime": "connection_throttle_freeze_time",
    "connectionDropIncrease": "connection_throttle_drop_increase",
    "connectionDropDecrease": "connection_throttle_drop_decrease",
    "connectionDecreaseRatio": "connection_throttle_decrease_ratio",
    "throttledOpWaitTime": "throttled_op_wait_time",
}
SECRET_KEY: Final = re.compile(r"(password|secret|superdigest)$", re.IGNORECASE)


class Keys:
    """All settings under the names of zoo.cfg, and the reading of their values."""

    def __init__(self, file_keys: dict[str, str], properties: dict[str, str]) -> None:
        self.values: dict[str, str] = {}
        for name, value in properties.items():
            self.put(name.removeprefix("zookeeper."), value)
        for name, value in file_keys.items():
            self.put(name, value)  # zoo.cfg overrides the system property of the same meaning
        self.used: set[str] = set()

    def put(self, name: str, value: str) -> None:
        self.values[SPELLINGS.get(name, name)] = value

    def text(self, name: str, default: str = "") -> str:
        self.used.add(name)
        return self.values.get(name, default)

    def number(self, name: str, default: int, least: int, most: int = 1 << 31) -> int:
        """A decimal number within bounds."""
        self.used.add(name)
        raw = self.values.get(name)
        if raw is None:
            return default
        try:
            if "_" in raw:  # 1_000 is Python's, not the Java server's
                raise ValueError(raw)
            value = int(raw, 0) if raw.lower().startswith("0x") else int(raw)
        except ValueError:
            raise ConfigError(f"{shown(name, raw)[:40]!r} is no number", name) from None
        if not least <= value <= most:
            raise ConfigError(f"{value}, it must be within {least} and {most}", name)
        return value

    def flag(self, name: str, default: bool, yes_no: bool = False) -> bool:
        """true or false in any case; with `yes_no` also yes and no."""
        self.used.add(name)
        raw = self.values.get(name)
        if raw is None:
            return default
        lower = raw.lower()
        if lower == "true" or (yes_no and lower == "yes"):
            return True
        if lower == "false" or (yes_no and lower == "no"):
            return False
        raise ConfigError(f"{raw!r} is neither true nor false", name)

    def one_of(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default).lower()
        if value not in allowed:
            raise ConfigError(f"{value!r}, one of {', '.join(repr(a) for a in allowed)}", name)
        return value

    def listed(self, name: str) -> tuple[str, ...]:
        """Comma-separated words."""
        return tuple(word.strip() for word in self.text(name).split(",") if word.strip())

    def password(self, name: str) -> str:
        """A password, or the first line of the file that `<name>Path` names."""
        value = self.text(name)
        path = self.text(f"{name}Path")
        if not path:
            return value
        try:
            with open(path, encoding="utf-8") as file:
                return file.readline().rstrip("\r\n")
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}", f"{name}Path") from None

    def with_prefix(self, prefix: str) -> dict[str, str]:
        """The settings whose names begin with `prefix`, by the rest of the name."""
        names = [name for name in self.values if name.startswith(prefix)]
        self.used.update(names)
        return {name[len(prefix) :]: self.values[name] for name in sorted(names)}

    def share(self, name: str, default: float) -> float:
        """A number from 0 to 1."""
        raw = self.text(name, str(default))
        try:
            value = float(raw)
        except ValueError:
            raise ConfigError(f"{raw!r} is no number", name) from None
        if not 0.0 <= value <= 1.0:
            raise ConfigError(f"{raw}, it must be within 0 and 1", name)
        return value

    def unused(self) -> dict[str, str]:
        return {name: value for name, value in self.values.items() if name not in self.used}


def shown(name: str, value: str) -> str:
    """A value as it may be printed: secrets never (trust.md E7)."""
    return "***" if SECRET_KEY.search(name) else value
