"""`manage.py collect`: metrics, journals and changes of all ensembles into the database."""

import asyncio
import logging
import signal
from typing import Any

from django.core.management.base import BaseCommand

from observability.collect.main import Collector
from tenants import presence


class Command(BaseCommand):
    help = (
        "Collects what the nodes of all ensembles measured, audited and changed. Runs until it is "
        "stopped; a second one waits until the first has ended."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        logging.getLogger("observability").setLevel(logging.INFO)
        presence.hold()  # a restore does not replace the database under our feet
        asyncio.run(collect())


async def collect() -> None:
    collector = Collector()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, collector.stop)
    await collector.run()
