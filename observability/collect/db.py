"""The collector's one thread for SQL: whatever is written goes through it, one after the other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")


class Db:
    """Runs functions in the thread. A broken connection is closed; the caller tries again."""

    def __init__(self) -> None:
        self._thread: Final = ThreadPoolExecutor(1, thread_name_prefix="sql")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._do(work, *args, **kwargs))

    def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        except OperationalError:
            close_old_connections()
            raise
        except InterfaceError as error:  # the server has closed it: no DatabaseError, but the same
            connections.close_all()
            raise OperationalError(str(error)) from error

    def close(self) -> None:
        self._thread.submit(connections.close_all).result()
        self._thread.shutdown()
