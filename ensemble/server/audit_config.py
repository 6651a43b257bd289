"""The audit journal's settings (zoo.cfg: ensemble.audit.*); docs/tenancy.md, "Who did what"."""

import os
from dataclasses import dataclass

from ensemble.errors import ConfigError
from ensemble.server.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditOptions:
    """Where the journal is kept and how much of it, how often it is synced and anchored."""

    enabled: bool = False
    folder: str = ""
    segment_bytes: int = 16 << 20
    keep_bytes: int = 1 << 30
    sync_ms: int = 1_000
    anchor_ms: int = 60_000

    def __post_init__(self) -> None:
        if self.keep_bytes < 2 * self.segment_bytes:
            raise ConfigError(
                f"{self.keep_bytes} is less than two segments of {self.segment_bytes} "
                "(ensemble.audit.segmentBytes): raise it",
                "ensemble.audit.keepBytes",
            )


def read_audit(keys: Keys, data_dir: str) -> AuditOptions:
    return AuditOptions(
        enabled=keys.one_of("ensemble.audit.journal", "off", ("off", "on")) == "on",
        folder=keys.text("ensemble.audit.folder") or os.path.join(data_dir, "audit"),
        segment_bytes=keys.number("ensemble.audit.segmentBytes", 16 << 20, 1 << 16, 1 << 30),
        keep_bytes=keys.number("ensemble.audit.keepBytes", 1 << 30, 1 << 17, 1 << 50),
        sync_ms=keys.number("ensemble.audit.syncMs", 1_000, 0, 60_000),
        anchor_ms=keys.number("ensemble.audit.anchorMs", 60_000, 0),
    )
