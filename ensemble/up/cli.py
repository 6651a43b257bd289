"""`ensemble up` and `ensemble member` on the command line.

Exit codes: 0 stopped as asked, or done; 1 it did not go; 2 the arguments are not understood.
"""

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from ensemble.up import carry, control
from ensemble.up import folder as files
from ensemble.up.door import ControlDoor
from ensemble.up.errors import NotRunningError, RefusedError, StartError
from ensemble.up.folder import NodeFiles
from ensemble.up.ports import PORT_MAX, Ports, Wanted, check
from ensemble.up.supervisor import Supervisor, lock, say

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
CONSOLE_PORT: Final = 8000
KINDS: Final = ("client", "admin", "quorum", "election")
VARIABLES: Final = ("client", "admin")  # those that a variable can set, too


def up(arguments: list[str]) -> int:
    """Run until Ctrl-C."""
    options = up_parser().parse_args(arguments)
    folder = Path(options.dir).absolute()
    given = {kind: getattr(options, f"{kind}_port") for kind in KINDS}
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = lock(folder)
        try:
            nodes = prepare(folder, options.nodes, given, options.console_port)
            return asyncio.run(run(Supervisor(folder, nodes, options.console_port)))
        finally:
            os.close(held)
    except StartError as error:
        print(f"\n{error}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"\n{error.filename or folder}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED


def up_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ensemble up",
        description="Nodes and the console on this machine, until Ctrl-C. What is kept lies in "
        "one folder; ports and the number of nodes are of a new one, later they stand in "
        "node*/zoo.cfg there.",
    )
    parser.add_argument("--dir", default="var", help="for everything that is kept (var)")
    parser.add_argument(
        "--nodes", type=int, choices=files.SIZES, help=f"voters ({files.NODES_DEFAULT})"
    )
    defaults = Ports()
    for kind in KINDS:
        variable = f"ENSEMBLE_{kind.upper()}_PORT"
        known = variable if kind in VARIABLES else ""
        parser.add_argument(
            f"--{kind}-port",
            type=port_number,
            default=os.environ.get(known) or None,
            metavar="PORT",
            help=f"of node 1, the next ones of the others "
            f"({known + ', else ' if known else ''}{getattr(defaults, kind)})",
        )
    parser.add_argument(
        "--console-port",
        type=port_number,
        default=os.environ.get("ENSEMBLE_CONSOLE_PORT") or str(CONSOLE_PORT),
        metavar="PORT",
        help=f"of the pages (ENSEMBLE_CONSOLE_PORT, else {CONSOLE_PORT})",
    )
    parser.add_argument(
        "--no-console", dest="console_port", action="store_const", const=0, help="nodes only"
    )
    return parser


def port_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= PORT_MAX):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port: use a number from 1 to {PORT_MAX}"
        )
    return int(text)


# The folder


def prepare(
    folder: Path, count: int | None, given: dict[str, int | None], console_port: int
) -> list[NodeFiles]:
    """The nodes of this folder, made where it is new.

    Raises:
        StartError: they cannot be had as wished; nothing was changed.
    """
    nodes = files.load(folder)
    if nodes and nodes[0].sid == 1:
        compare(folder, nodes, count, given)
        carry.finish(folder)  # where the last start was interrupted just before
        return nodes
    ports = Ports(**{kind: port for kind, port in given.items() if port is not None})
    single = carry.is_single(folder)
    if single and given["client"] is None:
        ports = replace(ports, client=carry.client_port(folder))
    nodes = files.planned(folder, files.NODES_DEFAULT if count is None else count, ports)
    wanted = [
        Wanted(port, f"{purpose} of {node.name}", f"choose another --{option}-port")
        for node in nodes
        for (purpose, port), option in zip(node.ports().items(), KINDS, strict=False)
    ]
    if console_port:
        wanted.append(Wanted(console_port, "the console", "choose another --console-port"))
    check(wanted)
    settings = carry.carry_over(folder, nodes, say) if single else {}
    secret = files.kept_secret(folder)
    for node in reversed(nodes):  # node 1 last: with it the folder is complete
        files.make(node, nodes, secret, settings)
    carry.finish(folder)
    return nodes


def compare(
    folder: Path, nodes: list[NodeFiles], count: int | None, given: dict[str, int | None]
) -> None:
    """What was asked for is what is there, and whole. Nothing is silently ignored.

    Raises:
        StartError: names the difference, and where to change it.
    """
    voters = [node for node in nodes if not node.is_observer]
    keys = files.read_keys(voters[0].config_path)
    named = {key.removeprefix("server.") for key in keys if key.startswith("server.")}
    missing = sorted(named - {str(node.sid) for node in nodes})
    if missing:
        raise StartError(
            f"{voters[0].config_path} names server {', '.join(missing)}, but there is no "
            f"{folder / f'node{missing[0]}'} with its zoo.cfg."
        )
    if count is not None and count != len(voters):
        raise StartError(
            f"{folder} holds {len(voters)} voter{'s' * (len(voters) > 1)}; --nodes {count} is for "
            "a new folder. Leave it out, or use another --dir."
        )
    there = nodes[0].ports()
    for (purpose, port), kind in zip(there.items(), KINDS, strict=False):
        wished = given[kind]
        if wished is not None and wished != port:
            raise StartError(
                f"--{kind}-port is {wished}, but {folder} exists and has {port} ({purpose} of "
                f"{nodes[0].name}): change {nodes[0].config_path} instead."
            )


async def run(supervisor: Supervisor) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    door = ControlDoor(supervisor)
    try:
        supervisor.start()
        await door.open()
        status = await supervisor.run()
    finally:
        door.close()
        await supervisor.shut_down()
    say("Stopped.")
    return status


# Members


def member(arguments: list[str]) -> int:
    """`ensemble member add|remove|list`: ask the `up` that runs."""
    options = member_parser().parse_args(arguments)
    folder = Path(options.dir).absolute()
    try:
        if options.do == "list":
            print_nodes(control.list_nodes(folder))
        elif options.do == "add":
            node = control.add_observer(folder)
            print(f"node{node.id} is a new observer, clients on {node.address}")
        else:
            control.remove_observer(folder, options.id)
            print(f"node{options.id} is removed")
    except (NotRunningError, RefusedError) as error:
        print(f"ensemble: {error}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def member_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ensemble member", description="The nodes of an `ensemble up` that runs."
    )
    commands = parser.add_subparsers(dest="do", required=True)
    for name, what in (
        ("list", "the nodes and what they do"),
        ("add", "start a further observer"),
        ("remove", "stop an observer and remove its folder"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--dir", default="var", help="of the `ensemble up` (var)")
        if name == "remove":
            command.add_argument("id", type=node_number, help="as in nodeN")
    return parser


def node_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= files.SID_MAX):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a node's id: use a number from 1 to {files.SID_MAX}"
        )
    return int(text)


def print_nodes(nodes: list[control.NodeReport]) -> None:
    form = "{:>3}  {:9} {:8} {:10} {:>14} {:>7} {:>8}  {}"
    print(form.format("id", "role", "process", "says", "zxid", "clients", "pid", "address"))
    for n in nodes:
        zxid, pid = f"{n.zxid:#x}", n.pid or ""
        print(form.format(n.id, n.role, n.state, n.mode, zxid, n.clients, pid, n.address))
