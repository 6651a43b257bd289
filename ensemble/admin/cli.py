"""`ensemble tenant ...` and `ensemble operator-key new` on the command line.

Exit codes: 0 done, 1 it did not go, 2 the arguments are not understood.
"""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import click

from ensemble.admin import provision
from ensemble.admin.draft import LIMIT_NAMES, Draft
from ensemble.admin.errors import ProvisionError
from ensemble.admin.keys import OperatorKey, load_key, make_key, save_key
from ensemble.admin.provision import NewSecret, Registered
from ensemble.client import (
    AuthFailedError,
    Client,
    ClientError,
    ConnectionLossError,
    NoAuthError,
)
from ensemble.client.cli import tls_context
from ensemble.client.hosts import parse_hosts
from ensemble.tenancy.assertions import WHO_CHARACTERS, WHO_MAX
from ensemble.tenancy.registry import MODES, ROLES, decode_key
from ensemble.tenancy.spec import WEIGHT_DEFAULT

SERVER_DEFAULT: Final = "127.0.0.1:2181"
KEY_DEFAULT: Final = "operator.key"
OVERLAP_DEFAULT_S: Final = 3_600
CONNECT_WITHIN_S: Final = 10.0
NO_LIMIT: Final = "none"


@dataclass(frozen=True, slots=True)
class Target:
    """Where, and as whom."""

    server: str
    key_path: Path
    who: str
    tls: tuple[str | None, str | None, str | None] | None
    as_json: bool


def default_who() -> str:
    """The name in this system, as far as names of operators allow it."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = ""
    kept = "".join(c if c in WHO_CHARACTERS else "-" for c in name)
    return kept[:WHO_MAX] or "operator"


def perform(target: Target, work: Callable[[Client, OperatorKey], Awaitable[None]]) -> None:
    """Connect as an operator, work, say what went wrong in words."""

    async def run() -> None:
        key = load_key(target.key_path)
        context = None if target.tls is None else tls_context(*target.tls)
        auth = [("operator", key.sign(target.who))]
        client = Client(target.server, auth=auth, tls=context)
        try:
            await client.connect(CONNECT_WITHIN_S)
        except AuthFailedError:
            raise ProvisionError(
                f"{target.server} does not trust the key {key.id}: add the line\n  {key.line}\n"
                "to the file that ensemble.operator.keys names in its zoo.cfg and restart it, or "
                "have an operator who is trusted run `ensemble tenant trust` with it. If it is "
                "trusted, look at both machines' clocks"
            ) from None
        try:
            await work(client, key)
        finally:
            await client.close()

    try:
        asyncio.run(run())
    except ProvisionError as error:
        fail(str(error))
    except ConnectionLossError:
        fail(f"no server answers at {target.server}")
    except NoAuthError as error:
        fail(f"not allowed: {error}")
    except (ClientError, OSError) as error:
        fail(str(error))


def fail(text: str) -> NoReturn:
    click.echo(f"ensemble: {text}", err=True)
    sys.exit(1)


def show(target: Target, document: object, text: str) -> None:
    click.echo(json.dumps(document) if target.as_json else text)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-s", "--server", default=SERVER_DEFAULT, envvar="ENSEMBLE_ZK_SERVER",
              show_default=True, help="host:port,host2:port")  # fmt: skip
@click.option("--key", "key_path", default=KEY_DEFAULT, envvar="ENSEMBLE_OPERATOR_KEY",
              show_default=True, help="The operator's key file.")  # fmt: skip
@click.option("--who", default=default_who, show_default="your user name",
              help="Your name in the audit journal.")  # fmt: skip
@click.option("--tls", is_flag=True, help="Connect by TLS.")
@click.option("--tls-ca", help="PEM file to verify the server with.")
@click.option("--tls-cert", help="PEM file with our certificate.")
@click.option("--tls-key", help="PEM file with its key.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def tenant(
    ctx: click.Context,
    server: str,
    key_path: str,
    who: str,
    tls: bool,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    as_json: bool,
) -> None:
    """Tenants of an ensemble: make, change, remove them; give and take credentials."""
    try:
        parse_hosts(server)
    except ClientError as error:
        raise click.UsageError(f"--server: {error}") from error
    wants_tls = tls or tls_ca or tls_cert
    paths = (tls_ca, tls_cert, tls_key) if wants_tls else None
    ctx.obj = Target(server, Path(key_path), who, paths, as_json)


@tenant.command()
@click.pass_obj
def init(target: Target) -> None:
    """Make the registry, once for an ensemble."""

    async def work(client: Client, key: OperatorKey) -> None:
        is_new = await provision.init(client, key.id, key.public)
        text = "the registry is made" if is_new else "there is a registry"
        show(target, {"new": is_new, "key": key.id}, f"{text}; key {key.id} is trusted")

    perform(target, work)


@tenant.command()
@click.argument("line", nargs=2, metavar="ID PUBLIC_KEY")
@click.pass_obj
def trust(target: Target, line: tuple[str, str]) -> None:
    """Let a further key sign for all tenants: the two words that `operator-key` prints."""
    public = decode_key(line[1])
    if public is None:
        raise click.UsageError("PUBLIC_KEY is the base64 of 32 bytes")

    async def work(client: Client, key: OperatorKey) -> None:
        await provision.trust(client, line[0], public)
        show(target, {"key": line[0]}, f"key {line[0]} is trusted")

    perform(target, work)


def limit(value: str) -> tuple[str, int | None]:
    """`znodes=1000`, or `znodes=none`."""
    name, _, text = value.partition("=")
    if name not in LIMIT_NAMES:
        raise click.UsageError(f"--limit {value}: limits are {', '.join(LIMIT_NAMES)}")
    if text == NO_LIMIT:
        return name, None
    if not (text.isascii() and text.isdecimal()):
        raise click.UsageError(f"--limit {value}: {name}=<number> or {name}={NO_LIMIT} is expected")
    return name, int(text)


def set_limits(draft: Draft, limits: tuple[str, ...]) -> None:
    for name, number in map(limit, limits):
        if number is None:
            draft.limits.pop(name, None)
        else:
            draft.limits[name] = number


def shown_secret(made: NewSecret) -> tuple[dict[str, object], str]:
    user = f"{made.name}@{made.slug}"
    document = {"credential": user, "token": made.token, "secret": made.secret}
    text = (
        f"credential {user}, shown this once:\n"
        f"  add_auth  tenant {made.token}\n"
        f"  SASL      user {user}, password {made.secret}"
    )
    return {**document}, text


limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="Repeatable; NAME=none: no limit.",
)
credential_option = click.option(
    "--credential",
    default="app",
    show_default=True,
    help="The first one, a writer; empty for none.",
)
weight_option = click.option(
    "--weight",
    type=int,
    help=f"1 to 10000, its share when work queues. [default: {WEIGHT_DEFAULT}]",
)
role_option = click.option("--role", type=click.Choice(list(ROLES)), default="writer")


def make(
    target: Target,
    draft: Draft,
    limits: tuple[str, ...],
    weight: int | None,
    credential: str,
    is_new: bool,
) -> None:
    set_limits(draft, limits)
    draft.weight = WEIGHT_DEFAULT if weight is None else weight

    async def work(client: Client, key: OperatorKey) -> None:
        await (provision.create if is_new else provision.adopt)(client, draft)
        document: dict[str, object] = {"tenant": draft.slug, "root": draft.root, "mode": draft.mode}
        text = f"tenant {draft.slug}, root {draft.root}, mode {draft.mode}"
        if credential:
            made = await provision.add_credential(client, draft.slug, credential, "writer")
            more, secret_text = shown_secret(made)
            document.update(more)
            text += "\n" + secret_text
        show(target, document, text)

    perform(target, work)


@tenant.command()
@click.argument("slug")
@click.option("--root", default="", help="[default: /tenants/SLUG]")
@click.option("--mode", type=click.Choice(list(MODES)), default="enforce", show_default=True)
@credential_option
@weight_option
@limit_option
@click.pass_obj
def create(
    target: Target,
    slug: str,
    root: str,
    mode: str,
    credential: str,
    weight: int | None,
    limits: tuple[str, ...],
) -> None:
    """A tenant with an empty tree."""
    make(target, Draft(slug=slug, root=root, mode=mode), limits, weight, credential, True)


@tenant.command()
@click.argument("slug")
@click.argument("root")
@click.option("--mode", type=click.Choice(list(MODES)), default="observe", show_default=True)
@credential_option
@weight_option
@limit_option
@click.pass_obj
def adopt(
    target: Target,
    slug: str,
    root: str,
    mode: str,
    credential: str,
    weight: int | None,
    limits: tuple[str, ...],
) -> None:
    """A tenant of a tree that is there; its data stays where it is."""
    make(target, Draft(slug=slug, root=root, mode=mode), limits, weight, credential, False)


@tenant.command("list")
@click.pass_obj
def list_all(target: Target) -> None:
    """All tenants."""

    async def work(client: Client, key: OperatorKey) -> None:
        found = await provision.read_all(client)
        if target.as_json:
            click.echo(json.dumps([summary(kept) for kept in found]))
            return
        form = "{:24} {:10} {:11} {:>8} {:>6}  {}"
        click.echo(form.format("tenant", "state", "mode", "sessions", "weight", "root"))
        for kept in found:
            draft = kept.draft
            if draft is None:
                click.echo(f"{kept.slug:24} cannot be read: {kept.error}")
            else:
                click.echo(
                    form.format(
                        *(kept.slug, draft.state, draft.mode, kept.sessions),
                        *(draft.weight, draft.root),
                    )
                )

    perform(target, work)


def summary(kept: Registered) -> dict[str, object]:
    """A tenant for people and programs: no hash of a secret."""
    found: dict[str, object] = {
        "slug": kept.slug,
        "version": kept.version,
        "sessions": kept.sessions,
    }
    draft = kept.draft
    if draft is None:
        return {**found, "error": kept.error}
    credentials = [
        {
            "name": credential.name,
            "role": credential.role,
            "subjects": credential.subjects,
            "secrets": [{"until": s.until_ms or None} for s in credential.secrets],
        }
        for credential in draft.credentials
    ]
    return {**found, **draft.as_document(), "credentials": credentials}


@tenant.command("show")
@click.argument("slug")
@click.pass_obj
def show_one(target: Target, slug: str) -> None:
    """One tenant's document, without the hashes of its secrets."""

    async def work(client: Client, key: OperatorKey) -> None:
        kept = await provision.read(client, slug)
        click.echo(json.dumps(summary(kept), indent=None if target.as_json else 2))

    perform(target, work)


def change(target: Target, slug: str, edit: Callable[[Draft], None], text: str) -> None:
    async def work(client: Client, key: OperatorKey) -> None:
        draft = await provision.update(client, slug, edit)
        document = {"tenant": slug, "state": draft.state, "mode": draft.mode}
        show(target, {**document, "limits": draft.limits, "weight": draft.weight}, text)

    perform(target, work)


@tenant.command("set")
@click.argument("slug")
@click.option("--mode", type=click.Choice(list(MODES)))
@click.option("--audit-reads/--no-audit-reads", default=None)
@weight_option
@limit_option
@click.pass_obj
def set_some(
    target: Target,
    slug: str,
    mode: str | None,
    audit_reads: bool | None,
    weight: int | None,
    limits: tuple[str, ...],
) -> None:
    """Change mode, weight, limits; the others stay as they are."""
    if mode is None and audit_reads is None and weight is None and not limits:
        raise click.UsageError("give at least one of --mode, --weight, --limit, --audit-reads")
    for text in limits:
        limit(text)

    def edit(draft: Draft) -> None:
        draft.mode = mode or draft.mode
        draft.weight = draft.weight if weight is None else weight
        draft.audit_reads = draft.audit_reads if audit_reads is None else audit_reads
        set_limits(draft, limits)

    change(target, slug, edit, f"tenant {slug} is changed")


def state_command(name: str, state: str, what: str) -> None:
    @tenant.command(name, help=what)
    @click.argument("slug")
    @click.pass_obj
    def command(target: Target, slug: str) -> None:
        def edit(draft: Draft) -> None:
            draft.state = state

        change(target, slug, edit, f"tenant {slug} is {state}")


state_command("suspend", "suspended", "Let reads pass, refuse writes.")
state_command("resume", "active", "Let everything pass again.")
state_command("drain", "draining", "Take no new sessions; those that are there go on.")


@tenant.command()
@click.argument("slug")
@click.option("--with-data", is_flag=True, help="Delete everything below its root, too.")
@click.option("--keep-data", is_flag=True, help="Leave its tree: nobody's, open to its ACLs.")
@click.pass_obj
def delete(target: Target, slug: str, with_data: bool, keep_data: bool) -> None:
    """End a tenant's sessions and remove it. A tree that is not empty is left only if asked."""
    if with_data and keep_data:
        raise click.UsageError("--with-data and --keep-data contradict each other")

    async def work(client: Client, key: OperatorKey) -> None:
        if keep_data:
            await provision.release(client, slug)
        else:
            await provision.delete(client, slug, with_data=with_data)
        show(target, {"tenant": slug, "deleted": True}, f"tenant {slug} is deleted")

    perform(target, work)


@tenant.group()
def credential() -> None:
    """Credentials: add, rotate, revoke."""


@credential.command("add")
@click.argument("slug")
@click.argument("name")
@role_option
@click.option("--subject", "subjects", multiple=True, help="Of a TLS client certificate, RFC 2253.")
@click.option("--no-sasl", is_flag=True, help="Keep nothing that SASL DIGEST-MD5 would need.")
@click.pass_obj
def add_credential(
    target: Target, slug: str, name: str, role: str, subjects: tuple[str, ...], no_sasl: bool
) -> None:
    """A further credential; its secret is shown once."""

    async def work(client: Client, key: OperatorKey) -> None:
        made = await provision.add_credential(
            client, slug, name, role, sasl=not no_sasl, subjects=subjects
        )
        document, text = shown_secret(made)
        show(target, document, text)

    perform(target, work)


@credential.command("rotate")
@click.argument("slug")
@click.argument("name")
@click.option("--overlap", default=OVERLAP_DEFAULT_S, show_default=True, type=click.IntRange(0),
              help="Seconds in which the old secrets go on being valid.")  # fmt: skip
@click.pass_obj
def rotate_credential(target: Target, slug: str, name: str, overlap: int) -> None:
    """A new secret beside the old ones, which end after the overlap."""

    async def work(client: Client, key: OperatorKey) -> None:
        made = await provision.rotate_credential(client, slug, name, overlap_ms=overlap * 1_000)
        document, text = shown_secret(made)
        show(target, document, text)

    perform(target, work)


@credential.command("revoke")
@click.argument("slug")
@click.argument("name")
@click.pass_obj
def revoke_credential(target: Target, slug: str, name: str) -> None:
    """Take a credential away: its sessions end within a second."""

    async def work(client: Client, key: OperatorKey) -> None:
        await provision.revoke_credential(client, slug, name)
        show(target, {"tenant": slug, "revoked": name}, f"{name}@{slug} is revoked")

    perform(target, work)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def operator_key() -> None:
    """Keys of operators."""


@operator_key.command("new")
@click.option("--id", "id", default=lambda: f"{default_who()}-{os.urandom(4).hex()}",
              show_default="your user name and a number")  # fmt: skip
@click.option("--out", default=KEY_DEFAULT, show_default=True, help="The file to write.")
def new_key(id: str, out: str) -> None:
    """A new key; prints the line by which servers come to trust it."""
    try:
        key = make_key(id)
        save_key(key, Path(out))
    except ProvisionError as error:
        fail(str(error))
    click.echo(key.line)


def tenant_main(arguments: list[str]) -> int:
    return run(tenant, arguments, "ensemble tenant")


def operator_key_main(arguments: list[str]) -> int:
    return run(operator_key, arguments, "ensemble operator-key")


def run(command: click.Command, arguments: list[str], name: str) -> int:
    """The exit code of a command line."""
    try:
        command.main(arguments, prog_name=name)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
