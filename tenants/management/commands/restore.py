"""`manage.py restore FILE`: the plane as it was when the backup was made. It must not run."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants import backup, presence
from tenants.management.commands.backup import Percents
from tenants.restore import restore


class Command(BaseCommand):
    help = "replace the plane's databases with a backup; what was there is kept beside them"
    requires_system_checks: list[str] = []  # noqa: RUF012  # Django's; the database may be damaged

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--with-keys", action="store_true", help="the keys, too")
        parser.add_argument("--yes", action="store_true", help="do it")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["yes"]:
            raise CommandError("this replaces what the plane has now: say --yes to do it")
        try:
            done = restore(options["file"], Percents(self.stdout), with_keys=options["with_keys"])
        except (backup.BackupError, presence.RunningError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"restored what was made at {done.made_at}; what was there before: {done.kept}"
        )
