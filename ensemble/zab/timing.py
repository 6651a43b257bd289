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
        "resend_ms_max",
        "resend_ms_min",
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
        resend_ms_min: i64 = 200,
        resend_ms_max: i64 = 60_000,
    ) -> None:
        assert tick_ms > 0
        assert init_limit > 0
        assert sync_limit > 0
        assert 0 < resend_ms_min <= resend_ms_max
        self.tick_ms: Final = tick_ms
        self.init_limit: Final = init_limit
        self.sync_limit: Final = sync_limit
        self.data_bytes_max: Final = data_bytes_max
        self.force_snapshot: Final = force_snapshot
        self.features: Final = features  # what this server offers to its own kind
        self.resend_ms_min: Final = resend_ms_min  # votes are repeated after, twice as long each
        self.resend_ms_max: Final = resend_ms_max  # time, up to (election.md 3.2)

    def init_ms(self) -> i64:
        """The bound of each phase before broadcast."""
        return self.tick_ms * self.init_limit

    def sync_ms(self) -> i64:
        """The bound of silence and of a missing acknowledgement in broadcast."""
        return self.tick_ms * self.sync_limit
