"""Settings of what a server tells: rights on the admin port, metrics, slow requests, telemetry."""

from dataclasses import dataclass
from typing import Final

from ensemble.errors import ConfigError
from ensemble.server.keys import Keys

SUBJECTS_MAX: Final = 100
TENANTS_MAX: Final = 10_000
SLOW_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions:
    """Who has which right on the admin port: files of tokens, subjects of client certificates."""

    read_tokens: str = ""
    control_tokens: str = ""
    read_subjects: tuple[str, ...] = ()
    control_subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveOptions:
    """What is measured and kept. `metrics_tenants`: those with series of their own."""

    metrics_tenants: int = 100
    slow_ms: int = 100
    slow_max: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryOptions:
    """OpenTelemetry over OTLP/HTTP; no endpoint: none. `sample`: the share of slow requests."""

    endpoint: str = ""
    interval_s: int = 10
    sample: float = 1.0


def access(keys: Keys, https: bool) -> AccessOptions:
    """See `AccessOptions`; `https`: the admin port asks for certificates."""
    found: dict[str, tuple[str, ...]] = {}
    for name in ("ensemble.admin.readSubjects", "ensemble.admin.controlSubjects"):
        # Subjects have commas of their own.
        subjects = tuple(part.strip() for part in keys.text(name).split(";") if part.strip())
        if len(subjects) > SUBJECTS_MAX:
            raise ConfigError(f"has {len(subjects)} subjects, at most {SUBJECTS_MAX}", name)
        if subjects and not https:
            raise ConfigError("needs admin.forceHttps=true: without TLS nobody has a subject", name)
        found[name] = subjects
    return AccessOptions(
        read_tokens=keys.text("ensemble.admin.readTokens"),
        control_tokens=keys.text("ensemble.admin.controlTokens"),
        read_subjects=found["ensemble.admin.readSubjects"],
        control_subjects=found["ensemble.admin.controlSubjects"],
    )


def observe(keys: Keys) -> ObserveOptions:
    return ObserveOptions(
        metrics_tenants=keys.number("ensemble.metrics.tenants", 100, 0, TENANTS_MAX),
        slow_ms=keys.number("ensemble.slow.ms", 100, 0, 3_600_000),
        slow_max=keys.number("ensemble.slow.max", 1_000, 0, SLOW_MAX),
    )


def telemetry(keys: Keys) -> TelemetryOptions:
    endpoint = keys.text("ensemble.otel.endpoint").rstrip("/")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise ConfigError(
            f"{endpoint[:60]!r}, http://host:4318 or https://... is expected",
            "ensemble.otel.endpoint",
        )
    return TelemetryOptions(
        endpoint=endpoint,
        interval_s=keys.number("ensemble.otel.interval", 10, 1, 3_600),
        sample=keys.share("ensemble.otel.sample", 1.0),
    )
