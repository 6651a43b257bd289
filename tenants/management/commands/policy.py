"""`manage.py policy`: plans and tenants as one YAML document. A diff comes first."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rest_framework.exceptions import ValidationError

from tenants.api.problems import flatten
from tenants.audit import Actor
from tenants.errors import InvalidError
from tenants.policy import document, plan
from tenants.policy.plan import Comparison

COMMAND = Actor(None, "command")


class Command(BaseCommand):
    help = "policy as code: export all plans and tenants, or apply a document after its diff"

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        export = verbs.add_parser("export", help="write the document")
        apply = verbs.add_parser("apply", help="compare a document, and apply it")
        for verb in (export, apply):
            verb.add_argument("--file", default="-", help="the YAML file; - is the standard one")
        apply.add_argument("--yes", action="store_true", help="apply without asking")
        apply.add_argument("--dry-run", action="store_true", help="show the diff, apply nothing")
        apply.add_argument(
            "--prune", action="store_true", help="retire plans and delete tenants not in it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "export":
            self.export(options["file"])
        else:
            self.apply(options)

    def export(self, file: str) -> None:
        text = document.write(document.export())
        if file == "-":
            self.stdout.write(text, ending="")
        else:
            Path(file).write_text(text)

    def apply(self, options: dict[str, Any]) -> None:
        compared = Comparison(read(options["file"]), prune=options["prune"])
        if compared.problems:
            raise CommandError("\n".join(f"{at}: {text}" for at, text in compared.problems))
        for step in compared.steps:
            self.stdout.write(step.line)
        if not compared.steps:
            self.stdout.write("Nothing to do: all of it is so already.")
        if not compared.steps or options["dry_run"]:
            return
        if not options["yes"] and not confirmed(options["file"], len(compared.steps)):
            raise CommandError("nothing was changed")
        outcome = plan.apply(COMMAND, compared.steps)
        for secret in outcome.secrets:
            self.stdout.write(f"{secret.slug}/{secret.name}: {secret.token}  (shown this once)")
        self.stdout.write(f"{len(outcome.done)} of {len(compared.steps)} changes were made.")
        if outcome.failed is not None:
            raise CommandError(f"{outcome.failed.kind} {outcome.failed.name}: {outcome.error}")


def read(file: str) -> dict[str, Any]:
    """The document, checked."""
    try:
        if file == "-":
            value = document.read(sys.stdin)
        else:
            with Path(file).open("rb") as source:
                value = document.read(source)
        return document.checked(value)
    except (OSError, InvalidError) as error:
        raise CommandError(str(error)) from None
    except ValidationError as error:
        found = flatten(error.get_full_details(), "")
        raise CommandError("\n".join(f"{at['field']}: {at['detail']}" for at in found)) from None


def confirmed(file: str, changes: int) -> bool:
    if file == "-" or not sys.stdin.isatty():
        raise CommandError("nobody can be asked here: read the diff above, then add --yes")
    return input(f"Make these {changes} changes? [y/N] ").strip().lower() in ("y", "yes")
