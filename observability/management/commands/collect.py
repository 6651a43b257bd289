"""`manage.py collect`: metrics, journals and changes of all ensembles into the database."""

import asyncio
import logging
import signal
from typing import Any

from django.core.management.base import BaseCommand

from observability.collect.main import Collector


class Command(BaseCommand):
    help = (
        "Collects what the nodes of all ensembles measured, audited and changed. Runs until it is "
        "stopped; a second one waits until the first has ended."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("observability").setLevel(logging.INFO)
        asyncio.run(collect())


async def collect() -> None:
    collector = Collector()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, collector.stop)
    await collector.run()
