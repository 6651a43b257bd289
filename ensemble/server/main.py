"""The command line: `ensemble server [-Dkey=value …] zoo.cfg`, `ensemble version`, and small tools.

`server` takes the arguments of Apache's server start and ends with its exit codes (ExitCode in the
Java source): 0 done, 1 unexpected, 2 bad arguments or configuration, 3 no access to the data
folder, 4 the admin port, 10 the transaction log or the data in it.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import Final

from ensemble import __version__
from ensemble.errors import ConfigError, StorageError
from ensemble.server.config import Config, load_config
from ensemble.server.logs import set_up_logs
from ensemble.storage.layout import VERSION_FOLDER

EXIT_OK: Final = 0
EXIT_UNEXPECTED: Final = 1
EXIT_INVALID_INVOCATION: Final = 2
EXIT_DATA_DIR: Final = 3
EXIT_ADMIN_PORT: Final = 4
EXIT_STORAGE: Final = 10
SWITCH_INTERVAL_S: Final = 0.0001  # how long a thread beside the loop (purging) may wait for it

log = logging.getLogger("ensemble")

USAGE: Final = """usage: ensemble <command>

  server [-Dkey=value …] zoo.cfg             start a server, as zkServer does
  server port dataDir [tickTime [maxClientCnxns]]
  up [--nodes 1|3|5] [--dir var] ...         nodes and the console on this machine; `up --help`
  member add|remove|list [--dir var]         observers of an `ensemble up` that runs
  tenant [-s host:port] [--key file] ...     tenants and their credentials; `tenant --help`
  operator-key new [--out file]              a key for operators
  audit verify|show <folder> ...             the audit journal; `audit --help`
  zk [-s host:port] <operation> ...          one operation of a client; `ensemble zk --help`
  purge zoo.cfg                              remove what autopurge would remove
  dump <log or snapshot file>                show what a file holds, as JSON lines
  version
"""


def main(arguments: list[str] | None = None) -> int:
    """The process's exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    command = given[0] if given else ""
    if command == "server":
        return serve(given[1:])
    if command in ("version", "--version", "-v"):
        print(f"ensemble {__version__}, speaks ZooKeeper 3.9")
        return EXIT_OK
    if command == "zk":
        from ensemble.client.cli import main as client_main

        return client_main(given[1:])
    if command == "up":
        from ensemble.up.cli import up

        return up(given[1:])
    if command == "member":
        from ensemble.up.cli import member

        return member(given[1:])
    if command == "tenant":
        from ensemble.admin.cli import tenant_main

        return tenant_main(given[1:])
    if command == "audit":
        from ensemble.server.audit_cli import main as audit_main

        return audit_main(given[1:])
    if command == "operator-key":
        from ensemble.admin.cli import operator_key_main

        return operator_key_main(given[1:])
    if command == "purge" and len(given) == 2:
        return purge(given[1])
    if command == "dump" and len(given) == 2:
        from ensemble.storage.inspect import dump

        return dump(given[1])
    sys.stderr.write(USAGE)
    return EXIT_OK if command in ("help", "--help", "-h") else EXIT_INVALID_INVOCATION


def read_config(arguments: list[str]) -> Config:
    """-Dkey=value settings and the rest."""
    properties: dict[str, str] = {}
    rest: list[str] = []
    for argument in arguments:
        if argument.startswith("-D"):
            key, _, value = argument[2:].partition("=")
            properties[key] = value or "true"
        elif argument.startswith("-"):
            raise ConfigError(f"{argument} is not understood: -Dkey=value sets a property")
        else:
            rest.append(argument)
    return load_config(rest, properties)


def serve(arguments: list[str]) -> int:
    try:
        config = read_config(arguments)
    except ConfigError as error:
        sys.stderr.write(f"ensemble: {error}\n")
        return EXIT_INVALID_INVOCATION
    set_up_logs(config.admin.log_level, config.admin.log_format)
    for key in config.unknown:
        log.warning("%s in the configuration is not known to this server, it has no effect", key)
    for sentence in (*config.unsupported, *(config.quorum.warnings if config.quorum else ())):
        log.warning("%s", sentence)
    if config.ignored:
        log.info("without effect here, see docs/configuration.md: %s", ", ".join(config.ignored))
    storage = config.storage
    for folder in () if storage.create_folders else (storage.data_dir, storage.log_dir):
        if not os.path.isdir(os.path.join(folder, VERSION_FOLDER)):
            log.critical("%s/%s is missing, datadir.autocreate=false", folder, VERSION_FOLDER)
            return EXIT_DATA_DIR
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(run_node(config))
    except ConfigError as error:
        log.critical("%s", error)
        return EXIT_INVALID_INVOCATION
    except StorageError as error:
        log.critical("%s", error)
        return EXIT_STORAGE
    except PermissionError as error:
        log.critical("%s: %s", error.filename, error.strerror)
        return EXIT_DATA_DIR
    except OSError as error:
        log.critical("%s", error)
        return EXIT_UNEXPECTED


def loop_factory() -> type[asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.SelectorEventLoop
    return uvloop.Loop


async def run_node(config: Config) -> int:
    from ensemble.server.admin_open import AdminPortError
    from ensemble.server.node import Node

    node = Node(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, node.stop)
    try:
        await node.run()
    except AdminPortError as error:
        log.critical("%s", error)
        return EXIT_ADMIN_PORT
    return EXIT_OK


def purge(path: str) -> int:
    from ensemble.storage.disk import OsDisk
    from ensemble.storage.layout import Layout
    from ensemble.storage.purge import purge as purge_files

    try:
        config = load_config([path], {})
        storage = config.storage
        layout = Layout(storage.data_dir, storage.log_dir)
        removed = purge_files(OsDisk(), layout, storage.purge_retain)
    except (ConfigError, StorageError) as error:
        sys.stderr.write(f"ensemble: {error}\n")
        return EXIT_INVALID_INVOCATION
    for name in removed:
        sys.stdout.write(f"removed {name}\n")
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
