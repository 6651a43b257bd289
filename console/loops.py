"""One of a kind for each event loop; a process of ours has one loop that serves pages."""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class OfLoop(Generic[T]):
    """Called on a loop: that loop's, made when it is first asked for."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make: Final = make
        self._made: Final[dict[asyncio.AbstractEventLoop, T]] = {}

    def __call__(self) -> T:
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            for old in [old for old in self._made if old.is_closed()]:
                del self._made[old]
            self._made[loop] = self._make()
        return self._made[loop]
