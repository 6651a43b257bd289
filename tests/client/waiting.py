"""Waiting for what another process or task brings about."""

import asyncio
import time
from collections.abc import Callable

DEADLINE_S = 15.0


async def until(holds: Callable[[], object], what: str) -> None:
    """Poll, with a deadline; `what` is said if it passes."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.005)
