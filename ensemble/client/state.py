"""Where a session stands, and what it was asked to be."""

import enum
import ssl
from dataclasses import dataclass

from ensemble.client.sasl import SaslMechanism


class State(enum.Enum):
    """Where a session stands. The last three are final."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    READ_ONLY = "read-only"
    CLOSED = "closed"
    EXPIRED = "expired"
    AUTH_FAILED = "auth-failed"

    @property
    def is_final(self) -> bool:
        return self in (State.CLOSED, State.EXPIRED, State.AUTH_FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What a session needs to know; checked by the client."""

    timeout_s: float
    sasl: SaslMechanism | None
    tls: ssl.SSLContext | None
    read_only: bool
    requests_max: int
    requests_bytes_max: int
    reply_bytes_max: int
