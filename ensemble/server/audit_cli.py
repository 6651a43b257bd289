"""`ensemble audit verify` and `show`: a kept journal, where it is or a copy of it elsewhere."""

import asyncio
import datetime
import json
import os
import sys
from collections.abc import Iterator
from typing import Final

import click

from ensemble.client import Client, ClientError, NoNodeError
from ensemble.errors import StorageError
from ensemble.server.audit_anchor import anchor_path
from ensemble.server.audit_chain import segment_name, segments
from ensemble.server.audit_verify import Verifier, read_lines
from ensemble.tenancy.journal_line import Line

EXIT_OK: Final = 0
EXIT_FOUND: Final = 1  # something is wrong with the journal
EXIT_USAGE: Final = 2
EXIT_NO_ANSWER: Final = 3  # the journal, or the server, cannot be read
TIMEOUT_S: Final = 10.0
AUTH_VARIABLE: Final = "ENSEMBLE_AUTH"


@click.group(help="The audit journal of a server: docs/tenancy.md, Who did what.")
def audit() -> None:
    pass


@audit.command(help="Whether FOLDER holds what was written, whole and in order.")
@click.argument("folder")
@click.option("--server", default="", help="host:port; compare with the heads in its tree")
@click.option("--node", default=0, help="whose journal it is; as its lines say where not given")
@click.option(
    "--auth",
    default=lambda: os.environ.get(AUTH_VARIABLE, ""),
    help=f"scheme:credential of an operator or a super user; better in {AUTH_VARIABLE}",
)
def verify(folder: str, server: str, node: int, auth: str) -> None:
    if not segments(folder):
        click.echo(
            f"{folder} holds no segment of a journal ({segment_name(1)} and so on)", err=True
        )
        sys.exit(EXIT_NO_ANSWER)
    found = Verifier(folder)
    anchor: bytes | None = None
    name = ""
    if server:
        node = node or node_of(folder)
        name = f"{anchor_path(node)} at {server}"
        try:
            anchor = asyncio.run(read_anchor(server, node, auth))
        except NoNodeError:
            click.echo(f"{name}: no head has been committed", err=True)
            sys.exit(EXIT_NO_ANSWER)
        except (ClientError, OSError) as error:
            click.echo(f"{name}: {error}", err=True)
            sys.exit(EXIT_NO_ANSWER)
    found.run_over(wanted_of(anchor))
    for note in found.notes:
        click.echo(f"note: {note}")
    if anchor is not None:
        click.echo(found.compare(name, anchor))
    for problem in found.problems:
        click.echo(f"WRONG: {problem}")
    if found.problem_count > len(found.problems):
        click.echo(f"and {found.problem_count - len(found.problems)} more")
    click.echo(
        f"{found.segments} segments, lines {found.first_seq} to {found.seq}, head {found.head}, "
        f"{found.missing} records missing as told, {found.problem_count} problems"
    )
    sys.exit(EXIT_FOUND if found.problem_count else EXIT_OK)


@audit.command(help="Print the lines of FOLDER, oldest first; all conditions have to hold.")
@click.argument("folder")
@click.option("--tenant", default="", help="slug")
@click.option("--path", default="", help="a znode, with everything below it")
@click.option("--who", default="", help="principal, such as app@payments or operator:alice")
@click.option("--since", default="", help="2026-11-21T11:30:00 (UTC), or 15m, 2h, 3d")
@click.option("--refused", is_flag=True, help="only what did not end well")
def show(folder: str, tenant: str, path: str, who: str, since: str, refused: bool) -> None:
    try:
        begin = instant(since)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    for number in segments(folder):
        for raw in read_lines(os.path.join(folder, segment_name(number))):
            line = Line(raw)
            if not line.fields:
                continue
            if tenant and line.text("tenant") != tenant:
                continue
            if who and line.text("principal") != who:
                continue
            if begin and line.text("time") < begin:
                continue
            if refused and line.text("result") in ("", "Ok"):
                continue
            if path and not any(touches(each, path) for each in paths_of(line)):
                continue
            click.echo(raw.decode("ascii", "replace").rstrip("\n"))


def paths_of(line: Line) -> Iterator[str]:
    for name in ("path", "asked"):
        if line.text(name):
            yield line.text(name)
    for name in ("paths", "asked_paths"):
        listed = line.fields.get(name)
        if isinstance(listed, list):
            for part in listed:
                if isinstance(part, dict):
                    yield str(part.get("path", ""))


def touches(path: str, wanted: str) -> bool:
    return path == wanted or path.startswith(wanted.rstrip("/") + "/")


def instant(since: str) -> str:
    """As the lines have it, so that texts compare.

    Raises:
        ValueError: neither a time nor a span.
    """
    if not since:
        return ""
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
    if since[-1] in units and since[:-1].isdigit() and len(since) < 8:
        span = datetime.timedelta(seconds=int(since[:-1]) * units[since[-1]])
        moment = datetime.datetime.now(datetime.UTC) - span
    else:
        moment = datetime.datetime.fromisoformat(since)
        if moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1_000:03d}Z"


def node_of(folder: str) -> int:
    """Whose journal it is, as its first line says."""
    for raw in read_lines(os.path.join(folder, segment_name(segments(folder)[0]))):
        return max(0, Line(raw).number("node"))
    return 0


def wanted_of(anchor: bytes | None) -> set[int]:
    try:
        return {int(json.loads(anchor or b"{}")["seq"])}
    except (ValueError, KeyError, TypeError):
        return set()


async def read_anchor(server: str, node: int, auth: str) -> bytes:
    scheme, _, token = auth.partition(":")
    identities = ((scheme, token.encode()),) if auth else ()
    async with Client(server, timeout=TIMEOUT_S, auth=identities) as client:
        data, _ = await client.get(anchor_path(node))
        return data


def main(arguments: list[str]) -> int:
    """Run a command; the exit code: 0 fine, 1 something is wrong with the journal, 2, 3."""
    try:
        audit(args=arguments, prog_name="ensemble audit", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        error.show()
        return EXIT_USAGE
    except StorageError as error:
        click.echo(str(error), err=True)
        return EXIT_NO_ANSWER
    except SystemExit as ended:
        return int(ended.code or 0)
    return EXIT_OK
