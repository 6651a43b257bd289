"""The collector's two tasks for alerts: look at rules, tell people. Each has its own thread."""

import asyncio
import logging
import time
from typing import Final

from django.db import DatabaseError

from observability.alerts import deliver
from observability.alerts.evaluate import Evaluator
from observability.collect.db import Db

log = logging.getLogger("observability.alerts")

LOOK_EVERY_S: Final = 5.0
SEND_EVERY_S: Final = 1.0


async def watch_rules(db: Db, term: int) -> None:
    """Every few seconds one round. A lost lease ends it; a database that is busy does not."""
    evaluator = Evaluator(term)
    while True:
        began = time.monotonic()
        try:
            await db.run(evaluator.round)
        except DatabaseError as error:
            log.warning("the rules were not looked at: %s", error)
        await asyncio.sleep(max(0.0, LOOK_EVERY_S - (time.monotonic() - began)))


async def send_messages(db: Db, term: int) -> None:
    while True:
        try:
            await deliver.round_of(db, term)
        except DatabaseError as error:
            log.warning("the outbox: %s", error)
        await asyncio.sleep(SEND_EVERY_S)
