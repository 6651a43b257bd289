"""`manage.py person`: accounts from the command line. A password is printed once."""

import json
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from tenants.access import AUDITORS
from tenants.actions import people
from tenants.audit import Actor
from tenants.errors import ActionError

COMMAND = Actor(None, "command")


class Command(BaseCommand):
    help = "people and their accounts: list, add, change, password, deactivate, activate, reset-mfa"

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        self.verb(verbs, "list", "everybody", named=False)
        add = self.verb(verbs, "add", "make an account; its password is printed once")
        change = self.verb(verbs, "change", "another email address or standing")
        for verb in (add, change):
            verb.add_argument("--email", default=None)
        add.add_argument("--operator", action="store_true", help="reads and changes everything")
        add.add_argument("--auditor", action="store_true", help="reads everything")
        add.add_argument("--single-sign-on", action="store_true", help="no password; needs --email")
        change.add_argument("--operator", choices=["yes", "no"])
        change.add_argument("--auditor", choices=["yes", "no"])
        self.verb(verbs, "password", "a new password, printed once; ends all sessions")
        self.verb(verbs, "deactivate", "switch off: sessions, password and API tokens are void")
        self.verb(verbs, "activate", "switch on again, with a new password")
        self.verb(verbs, "reset-mfa", "forget the authenticator app and the recovery codes")

    def verb(self, verbs: Any, name: str, text: str, named: bool = True) -> Any:
        parser = verbs.add_parser(name, help=text, description=text)
        if named:
            parser.add_argument("name")
        parser.add_argument("--json", action="store_true", help="for programs")
        return parser

    def handle(self, *args: Any, **options: Any) -> None:
        work = getattr(self, f"do_{options['verb'].replace('-', '_')}")
        try:
            said, line = work(options)
        except ActionError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(json.dumps(said) if options["json"] else line)

    def do_list(self, options: dict[str, Any]) -> tuple[object, str]:
        rows = [
            {
                "name": user.username,
                "email": user.email,
                "operator": user.is_staff,
                "auditor": AUDITORS in [group.name for group in user.groups.all()],
                "active": user.is_active,
                "last_sign_in": user.last_login and user.last_login.isoformat(),
            }
            for user in User.objects.order_by("username").prefetch_related("groups")
        ]
        lines = [
            f"{row['name']:<24} {standing_word(row):<12} {row['email']}".rstrip() for row in rows
        ]
        return rows, "\n".join(lines)

    def do_add(self, options: dict[str, Any]) -> tuple[object, str]:
        user, password = people.create(
            COMMAND,
            username=options["name"],
            email=options["email"] or "",
            operator=options["operator"],
            auditor=options["auditor"],
            single_sign_on=options["single_sign_on"],
        )
        return with_password(user, password, "made")

    def do_change(self, options: dict[str, Any]) -> tuple[object, str]:
        user = people.change(
            COMMAND,
            user=named(options),
            email=options["email"],
            operator=wish(options["operator"]),
            auditor=wish(options["auditor"]),
        )
        return {"name": user.username}, f"{user.username} is changed"

    def do_password(self, options: dict[str, Any]) -> tuple[object, str]:
        user = named(options)
        return with_password(user, people.set_password(COMMAND, user=user), "given a password")

    def do_deactivate(self, options: dict[str, Any]) -> tuple[object, str]:
        user = people.deactivate(COMMAND, user=named(options))
        return {"name": user.username}, f"{user.username} is switched off"

    def do_activate(self, options: dict[str, Any]) -> tuple[object, str]:
        user = named(options)
        return with_password(user, people.activate(COMMAND, user=user), "switched on")

    def do_reset_mfa(self, options: dict[str, Any]) -> tuple[object, str]:
        user = named(options)
        count = people.reset_mfa(COMMAND, user=user)
        said = {"name": user.username, "authenticators": count}
        return said, f"{count} second factors of {user.username} are forgotten"


def named(options: dict[str, Any]) -> User:
    try:
        return User.objects.get(username=options["name"])
    except User.DoesNotExist:
        raise CommandError(
            f"there is no account {options['name'][:150]!r}: `manage.py person list` has all"
        ) from None


def wish(word: str | None) -> bool | None:
    return None if word is None else word == "yes"


def standing_word(row: dict[str, Any]) -> str:
    if not row["active"]:
        return "off"
    return "operator" if row["operator"] else "auditor" if row["auditor"] else "person"


def with_password(user: User, password: str, what: str) -> tuple[object, str]:
    line = f"{user.username} is {what}"
    if password:
        line += f"; the password, shown once: {password}"
    return {"name": user.username, "password": password or None}, line
