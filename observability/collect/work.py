"""What every job of the collector works with."""

import logging
from dataclasses import dataclass
from typing import Final

import aiohttp
from django.db import DatabaseError

from observability.collect.db import Db
from observability.collect.targets import Known
from observability.models import Source
from observability.store import note

log = logging.getLogger("observability.collect")

IDLE_S: Final = 0.5  # where nothing is new
RETRY_S: Final = 1.0  # after a failure, doubled up to
RETRY_MAX_S: Final = 15.0
ANSWERED_EVERY: Final = 20  # quiet rounds: then the row says that the node answers


@dataclass(frozen=True, slots=True)
class Work:
    """What every job works with."""

    db: Db
    session: aiohttp.ClientSession
    term: int
    known: dict[str, Known]  # by ensemble; changes as tenants come and go

    async def tell(self, source: Source | None, problem: str) -> None:
        """Why nothing comes from there."""
        if source is None:
            return
        try:
            await self.db.run(note, self.term, source, problem)
        except DatabaseError as error:
            log.warning("%s: %s", problem, error)
