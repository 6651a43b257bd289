"""What each tenant costs: counts, errors, bytes and latencies by class of operation."""

from typing import final

from mypy_extensions import i64


@final
class Account:
    """One tenant's figures at this server."""

    __slots__ = ("requests",)

    def __init__(self) -> None:
        self.requests: i64 = 0
