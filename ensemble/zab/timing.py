"""How long the phases of Zab may take, and other settings of zoo.cfg that they depend on."""

from typing import Final, final

from mypy_extensions import i64

from ensemble.wire.peers import DATA_BYTES_MAX_DEFAULT, FEATURES


@final
class Timing:
    """tickTime in milliseconds; initLimit and syncLimit in ticks (zab.md 2)."""

    __slots__ = (
        "data_bytes_max",
        "features",
        "force_snapshot",
        "init_limit",
        "sync_limit",
        "tick_ms",
    )

    def __init__(
        self,
        tick_ms: i64 = 2_000,
        init_limit: i64 = 10,
        sync_limit: i64 = 5,
        data_bytes_max: int = DATA_BYTES_MAX_DEFAULT,
        force_snapshot: bool = False,
        features: i64 = FEATURES,
    ) -> None:
        assert tick_ms > 0
        assert init_limit > 0
        assert sync_limit > 0
        self.tick_ms: Final = tick_ms
        self.init_limit: Final = init_limit
        self.sync_limit: Final = sync_limit
        self.data_bytes_max: Final = data_bytes_max
        self.force_snapshot: Final = force_snapshot
        self.features: Final = features  # what this server offers to its own kind

    def init_ms(self) -> i64:
        """The bound of each phase before broadcast."""
        return self.tick_ms * self.init_limit

    def sync_ms(self) -> i64:
        """The bound of silence and of a missing acknowledgement in broadcast."""
        return self.tick_ms * self.sync_limit
