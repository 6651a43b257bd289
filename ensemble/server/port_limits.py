"""What a client port admits (zoo.cfg names in docs/configuration.md)."""

from typing import Final, final

from ensemble.server.config import ClientPorts


@final
class PortLimits:
    """Bounds of the client port. 0 means no bound, as in zoo.cfg."""

    __slots__ = (
        "backlog",
        "connections_max",
        "connections_per_host_max",
        "frame_bytes_max",
        "is_fair",
        "keep_alive",
        "outstanding_max",
        "rate_wait_ms",
        "sessionless_ms",
        "throttled_wait_ms",
    )

    def __init__(
        self,
        connections_max: int,
        connections_per_host_max: int,
        frame_bytes_max: int,
        outstanding_max: int,
        sessionless_ms: int,
        backlog: int,
        throttled_wait_ms: int,
        keep_alive: bool,
        is_fair: bool,
        rate_wait_ms: int,
    ) -> None:
        self.connections_max: Final = connections_max
        self.connections_per_host_max: Final = connections_per_host_max
        self.frame_bytes_max: Final = frame_bytes_max
        self.outstanding_max: Final = outstanding_max
        self.sessionless_ms: Final = sessionless_ms
        self.backlog: Final = backlog
        self.throttled_wait_ms: Final = throttled_wait_ms
        self.keep_alive: Final = keep_alive
        self.is_fair: Final = is_fair
        self.rate_wait_ms: Final = rate_wait_ms


def port_limits(ports: ClientPorts) -> PortLimits:
    """The bounds of a configuration."""
    outstanding_max = ports.outstanding_max
    if ports.throttle_max_requests:
        outstanding_max = min(outstanding_max, ports.throttle_max_requests)
    return PortLimits(
        ports.total_max,
        ports.per_host_max,
        ports.frame_bytes_max,
        outstanding_max,
        ports.sessionless_ms,
        ports.backlog,
        ports.throttled_op_wait_ms,
        ports.keep_alive,
        ports.is_fair,
        ports.rate_wait_ms,
    )
