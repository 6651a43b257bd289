"""`manage.py backup FILE`: a copy of the plane's databases, made while it runs."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from tenants import audit, backup

SAY_EVERY_S: Final = 1.0


class Percents:
    """A line for each part when it is done, and one a second until then."""

    def __init__(self, out: Any) -> None:
        self.out = out
        self.said_at = 0.0
        self.done: set[str] = set()

    def __call__(self, part: str, share: float) -> None:
        now = time.monotonic()
        if share >= 1.0 and part not in self.done:
            self.done.add(part)
        elif now - self.said_at < SAY_EVERY_S or part in self.done:
            return
        self.said_at = now
        self.out.write(f"{share:4.0%}  {part}")


class Command(BaseCommand):
    help = "copy the plane's databases into one file, while it runs; keys only with --with-keys"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--with-keys", action="store_true", help="with what opens ensembles")
        parser.add_argument("--overwrite", action="store_true", help="a file that is there already")

    def handle(self, *args: Any, **options: Any) -> None:
        target: Path = options["file"]
        keys, overwrite = options["with_keys"], options["overwrite"]
        try:
            made = backup.make(target, Percents(self.stdout), with_keys=keys, overwrite=overwrite)
        except backup.BackupError as error:
            raise CommandError(str(error)) from None
        with transaction.atomic():
            actor = audit.Actor(None, "command")
            audit.record(actor, "plane.backed_up", target=target.name, detail={"keys": keys})
        self.stdout.write(f"{target}: {target.stat().st_size:,} bytes, {len(made.sums)} parts")
