"""`ensemble zk`: one operation from the command line, for people and scripts.

`zk` is a click group; `main` runs it and gives the exit code: 0 done, 1 the server refused, 2 the
command is not understood, 3 no connection, 130 interrupted. Each invocation is a session of its
own, so there are no ephemerals here: they would be gone at once.
"""

import asyncio
import json
import os
import ssl
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import click

from ensemble.client import formats
from ensemble.client.acl import OPEN_ACL, parse_acl
from ensemble.client.client import Client
from ensemble.client.errors import BadArgumentsError, ClientError, ConnectionLossError, NoNodeError
from ensemble.client.four_letter import four_letter
from ensemble.client.hosts import parse_hosts
from ensemble.client.modes import CreateMode
from ensemble.client.sasl import DigestMd5
from ensemble.client.trees import delete_tree, ensure_path, walk
from ensemble.wire import codes

SERVER_DEFAULT: Final = "127.0.0.1:2181"
EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NO_CONNECTION: Final = 3
EXIT_INTERRUPTED: Final = 130

MODES: Final = {
    "persistent": CreateMode.PERSISTENT,
    "sequential": CreateMode.PERSISTENT_SEQUENTIAL,
    "container": CreateMode.CONTAINER,
    "ttl": CreateMode.PERSISTENT_WITH_TTL,
    "sequential-ttl": CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which servers, and who we are there."""

    server: str
    timeout: float
    auth: tuple[tuple[str, bytes], ...]
    sasl: DigestMd5 | None
    tls: ssl.SSLContext | None

    def client(self) -> Client:
        return Client(
            self.server, timeout=self.timeout, auth=self.auth, sasl=self.sasl, tls=self.tls
        )


def perform(target: Target, work: Callable[[Client], Awaitable[None]]) -> None:
    """Run `work` in a session of its own; its errors become click's."""

    async def session() -> None:
        async with target.client() as zk:
            await work(zk)

    _run(session)


def _run(work: Callable[[], Awaitable[None]]) -> None:
    async def outer() -> None:
        await work()

    try:
        asyncio.run(outer())
    except ClientError as error:
        if isinstance(error, ConnectionLossError):
            raise NoConnection(str(error)) from error
        if isinstance(error, BadArgumentsError):
            raise click.UsageError(str(error)) from error
        raise Refused(str(error)) from error


class Refused(click.ClickException):
    """The server said no."""

    exit_code = EXIT_REFUSED


class NoConnection(click.ClickException):
    """No server, or it went away before it answered."""

    exit_code = EXIT_NO_CONNECTION


def parse_auth(given: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """`scheme:token`, each."""
    found = []
    for text in given:
        scheme, colon, token = text.partition(":")
        if not scheme or not colon:
            # Without the value: it may be a password in the wrong place.
            raise click.UsageError("--auth wants scheme:token, as in digest:user:password")
        found.append((scheme, token.encode()))
    return tuple(found)


def tls_context(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """Verify the server with `ca` (or the system's store), present `cert` if there is one."""
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
    except OSError as error:
        raise click.UsageError(f"TLS files: {error}") from error
    return context


def show_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
version_option = click.option(
    "-v",
    "--version",
    default=codes.VERSION_ANY,
    help="Only if this is the current version. [default: any]",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-s", "--server", default=SERVER_DEFAULT, envvar="ENSEMBLE_ZK_SERVER",
              show_default=True, help="host:port,host2:port/chroot")  # fmt: skip
@click.option("--timeout", default=10.0, show_default=True, help="Session timeout in seconds.")
@click.option("--auth", multiple=True, metavar="SCHEME:TOKEN", envvar="ENSEMBLE_ZK_AUTH",
              help="Repeatable. In the environment, where ps does not show it, "
              "separated by blanks.")  # fmt: skip
@click.option("--sasl-user", envvar="ENSEMBLE_ZK_SASL_USER",
              help="DIGEST-MD5; the password comes from ENSEMBLE_ZK_SASL_PASSWORD.")  # fmt: skip
@click.option("--tls", is_flag=True, help="Connect by TLS.")
@click.option("--tls-ca", help="PEM file to verify the server with.")
@click.option("--tls-cert", help="PEM file with our certificate.")
@click.option("--tls-key", help="PEM file with its key.")
@click.pass_context
def zk(
    ctx: click.Context,
    server: str,
    timeout: float,
    auth: tuple[str, ...],
    sasl_user: str | None,
    tls: bool,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
) -> None:
    """One operation on a ZooKeeper ensemble."""
    sasl = None
    if sasl_user:
        password = os.environ.get("ENSEMBLE_ZK_SASL_PASSWORD")
        if password is None:
            raise click.UsageError("--sasl-user wants ENSEMBLE_ZK_SASL_PASSWORD in the environment")
        sasl = DigestMd5(sasl_user, password)
    wants_tls = tls or tls_ca or tls_cert
    try:
        parse_hosts(server)
    except BadArgumentsError as error:
        raise click.UsageError(f"--server: {error}") from error
    ctx.obj = Target(
        server=server,
        timeout=timeout,
        auth=parse_auth(auth),
        sasl=sasl,
        tls=tls_context(tls_ca, tls_cert, tls_key) if wants_tls else None,
    )


@zk.command()
@click.argument("path", default="/")
@click.option("-R", "--recursive", is_flag=True, help="All znodes below, as whole paths.")
@json_option
@click.pass_obj
def ls(target: Target, path: str, recursive: bool, as_json: bool) -> None:
    """Children's names, sorted."""

    async def work(zk: Client) -> None:
        if recursive:
            names = [found async for found in walk(zk, path)]
            if not names:
                await zk.children(path)  # says why
        else:
            names = await zk.children(path)
        names.sort()
        if as_json:
            show_json(names)
        else:
            for name in names:
                click.echo(name)

    perform(target, work)


@zk.command()
@click.argument("path")
@json_option
@click.pass_obj
def get(target: Target, path: str, as_json: bool) -> None:
    """The data as it is, nothing added; with --json also the stat."""

    async def work(zk: Client) -> None:
        data, stat = await zk.get(path)
        if as_json:
            show_json(formats.znode(path, data, stat))
        else:
            click.echo(data, nl=sys.stdout.isatty())

    perform(target, work)


@zk.command("set")
@click.argument("path")
@click.argument("data", required=False)
@version_option
@json_option
@click.pass_obj
def set_data(target: Target, path: str, data: str | None, version: int, as_json: bool) -> None:
    """Replace the data, with standard input where DATA is left out."""
    raw = _data_or_input(data)

    async def work(zk: Client) -> None:
        stat = await zk.set(path, raw, version)
        if as_json:
            show_json({"path": path, "stat": formats.stat(stat)})

    perform(target, work)


@zk.command()
@click.argument("path")
@click.argument("data", default="")
@click.option("-m", "--mode", type=click.Choice(list(MODES)), default="persistent",
              show_default=True)  # fmt: skip
@click.option("--ttl-ms", type=int, help="How long a ttl znode lives without a change.")
@click.option("-p", "--parents", is_flag=True, help="Create missing parents.")
@click.option("--acl", multiple=True, metavar="SCHEME:ID:CDRWA", help="Repeatable.")
@json_option
@click.pass_obj
def create(
    target: Target,
    path: str,
    data: str,
    mode: str,
    ttl_ms: int | None,
    parents: bool,
    acl: tuple[str, ...],
    as_json: bool,
) -> None:
    """Create a znode and print its path. DATA of `-` is standard input."""
    raw = _data_or_input(None if data == "-" else data)

    async def work(zk: Client) -> None:
        if parents:
            await ensure_path(zk, path.rsplit("/", 1)[0] or "/")
        entries = [parse_acl(text) for text in acl] or OPEN_ACL
        created, stat = await zk.create_with_stat(
            path, raw, acl=entries, mode=MODES[mode], ttl_ms=ttl_ms
        )
        if as_json:
            show_json({"path": created, "stat": formats.stat(stat)})
        else:
            click.echo(created)

    perform(target, work)


@zk.command()
@click.argument("path")
@click.option("-r", "--recursive", is_flag=True, help="And all below; not atomic.")
@version_option
@json_option
@click.pass_obj
def rm(target: Target, path: str, recursive: bool, version: int, as_json: bool) -> None:
    """Delete a znode."""
    if recursive and version != codes.VERSION_ANY:
        raise click.UsageError("--version and --recursive exclude each other")

    async def work(zk: Client) -> None:
        deleted = 1
        if recursive:
            deleted = await delete_tree(zk, path)
        else:
            await zk.delete(path, version)
        if as_json:
            show_json({"deleted": deleted})

    perform(target, work)


@zk.command()
@click.argument("path")
@json_option
@click.pass_obj
def stat(target: Target, path: str, as_json: bool) -> None:
    """A znode's stat."""

    async def work(zk: Client) -> None:
        found = await zk.exists(path)
        if found is None:
            raise NoNodeError(path=path)
        fields = formats.stat(found)
        if as_json:
            show_json(fields)
        else:
            for name, value in fields.items():
                click.echo(f"{name} = {value}")

    perform(target, work)


@zk.command()
@click.argument("path")
@click.argument("entries", nargs=-1, metavar="[SCHEME:ID:CDRWA]...")
@version_option
@json_option
@click.pass_obj
def acl(target: Target, path: str, entries: tuple[str, ...], version: int, as_json: bool) -> None:
    """Print a znode's ACL; with entries, replace it. VERSION is the ACL's."""

    async def work(zk: Client) -> None:
        if entries:
            await zk.set_acl(path, [parse_acl(text) for text in entries], version)
        found, _ = await zk.get_acl(path)
        if as_json:
            show_json([formats.acl(entry) for entry in found])
        else:
            for entry in found:
                click.echo(formats.acl_text(entry))

    perform(target, work)


@zk.command()
@json_option
@click.pass_obj
def whoami(target: Target, as_json: bool) -> None:
    """The identities that the server sees."""

    async def work(zk: Client) -> None:
        ids = await zk.whoami()
        if as_json:
            show_json([{"scheme": found.scheme, "id": found.id} for found in ids])
        else:
            for found in ids:
                click.echo(f"{found.scheme}:{found.id}")

    perform(target, work)


@zk.command()
@click.argument("path", default="/")
@json_option
@click.pass_obj
def count(target: Target, path: str, as_json: bool) -> None:
    """How many znodes there are below."""

    async def work(zk: Client) -> None:
        found = await zk.all_children_count(path)
        if as_json:
            show_json({"path": path, "count": found})
        else:
            click.echo(found)

    perform(target, work)


@zk.command()
@json_option
@click.pass_obj
def config(target: Target, as_json: bool) -> None:
    """The ensemble's members, where they are kept in the tree."""

    async def work(zk: Client) -> None:
        data, found = await zk.config()
        if as_json:
            show_json(formats.znode("/zookeeper/config", data, found))
        else:
            click.echo(data)

    perform(target, work)


@zk.command()
@click.argument("path")
@click.option("-R", "--recursive", is_flag=True, help="Changes of all znodes below too.")
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after so many events.")
@json_option
@click.pass_obj
def watch(target: Target, path: str, recursive: bool, count: int | None, as_json: bool) -> None:
    """Print changes as they happen, until interrupted."""

    async def work(zk: Client) -> None:
        seen = 0
        async with zk.watch(path, recursive=recursive) as events:
            click.echo(f"watching {path}", err=True)
            async for event in events:
                if as_json:
                    show_json(formats.event(event))
                else:
                    click.echo(f"{event.type.name.lower()} {event.path}")
                sys.stdout.flush()
                seen += 1
                if seen == count:
                    return

    perform(target, work)


@zk.command()
@click.argument("word")
@click.pass_obj
def word(target: Target, word: str) -> None:
    """Send a four-letter word to each server: ruok, srvr, mntr, …"""

    async def work() -> None:
        hosts, _ = parse_hosts(target.server)
        for host in hosts:
            answer = await four_letter(
                host.name, host.port, word, within=target.timeout, tls=target.tls
            )
            click.echo(f"{host}:" if len(hosts) > 1 else "", nl=len(hosts) > 1)
            click.echo(answer, nl=not answer.endswith("\n"))

    _run(work)


def _data_or_input(data: str | None) -> bytes:
    return sys.stdin.buffer.read() if data is None else os.fsencode(data)


def main(arguments: list[str]) -> int:
    """Run `ensemble zk …`; the exit code."""
    try:
        zk.main(arguments, prog_name="ensemble zk", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # `| head` has seen enough; without this the interpreter's last flush complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_REFUSED
    except click.exceptions.Exit as error:
        return error.exit_code
    return 0
