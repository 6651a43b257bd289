"""`manage.py token`: API tokens from the command line. The first one of a new plane is made so."""

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tenants.actions import tokens
from tenants.api.fields import ROLES
from tenants.audit import Actor
from tenants.errors import ActionError
from tenants.models import ApiToken, Tenant

COMMAND = Actor(None, "command")
DAYS = 30


class Command(BaseCommand):
    help = "API tokens: make one for somebody, list them, revoke one"

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        make = verbs.add_parser("make", help="a new token; its text is printed once")
        make.add_argument("person", help="whose")
        make.add_argument("--name", default="command", help="what it is for")
        make.add_argument("--tenant", help="for this tenant only")
        make.add_argument("--role", choices=list(ROLES), default="owner", help="the most it may do")
        make.add_argument("--as-operator", action="store_true", help="with the person's own rights")
        make.add_argument("--days", type=int, default=DAYS, help=f"{DAYS} by default")
        listing = verbs.add_parser("list", help="those that are valid")
        listing.add_argument("--person")
        revoke = verbs.add_parser("revoke", help="void at once")
        revoke.add_argument("prefix", help="the part between the two underscores")
        for verb in (make, listing, revoke):
            verb.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            said, line = getattr(self, f"do_{options['verb']}")(options)
        except ActionError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(json.dumps(said) if options["json"] else line)

    def do_make(self, options: dict[str, Any]) -> tuple[object, str]:
        user = User.objects.filter(username=options["person"]).first()
        if user is None:
            raise CommandError(f"there is nobody called {options['person']}")
        tenant = None
        if options["tenant"]:
            tenant = Tenant.objects.alive().filter(slug=options["tenant"]).first()
            if tenant is None:
                raise CommandError(f"there is no tenant {options['tenant']}")
        if not 1 <= options["days"] <= tokens.DAYS_MAX:
            raise CommandError(f"--days is {options['days']}; use 1 to {tokens.DAYS_MAX}")
        token, text = tokens.make(
            COMMAND,
            user=user,
            name=options["name"],
            tenant=tenant,
            role=ROLES[options["role"]],
            as_operator=options["as_operator"],
            expires_at=timezone.now() + timedelta(days=options["days"]),
        )
        return {"prefix": token.prefix, "token": text}, text

    def do_list(self, options: dict[str, Any]) -> tuple[object, str]:
        found = ApiToken.objects.select_related("user", "tenant").filter(
            revoked_at=None, expires_at__gt=timezone.now()
        )
        if options["person"]:
            found = found.filter(user__username=options["person"])
        rows = [
            {
                "prefix": token.prefix,
                "person": token.user.get_username(),
                "name": token.name,
                "tenant": None if token.tenant is None else token.tenant.slug,
                "role": token.get_role_display(),
                "as_operator": token.as_operator,
                "expires_at": token.expires_at.isoformat(),
            }
            for token in found
        ]
        return rows, "\n".join("  ".join(str(value) for value in row.values()) for row in rows)

    def do_revoke(self, options: dict[str, Any]) -> tuple[object, str]:
        token = ApiToken.objects.filter(prefix=options["prefix"]).first()
        if token is None:
            raise CommandError(f"there is no token {options['prefix']}")
        tokens.revoke(COMMAND, token=token)
        return {"prefix": token.prefix, "revoked": True}, f"{token.prefix} is void."
