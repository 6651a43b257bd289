"""From the folder of a single node (`zoo.cfg` and `data/` at its top) to one of several nodes.

The danger: were the data given to node 1 alone, nodes 2 and 3 could elect each other before node 1
has read it, and make node 1 drop what they do not have. So all voters begin with a whole copy, and
any quorum of them holds every transaction. The original is the last thing to move, in one step:
whatever interrupts this, the next start finds it where it was and begins again.
"""

import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ensemble.up.errors import StartError
from ensemble.up.folder import (
    OWN_KEYS,
    OWN_PORTS,
    SECRET_FILE,
    NodeFiles,
    port_of,
    put_file,
    read_keys,
)

BEFORE: Final = "zoo.cfg.single"
VERSION_FOLDER: Final = "version-2"
LOG_BYTES_SPARE: Final = 256 << 20  # left free beside the copies


def is_single(folder: Path) -> bool:
    """Whether a single node's configuration lies here."""
    return (folder / "zoo.cfg").is_file()


def client_port(folder: Path) -> int:
    """The single node's: its clients find node 1 there."""
    return port_of(read_keys(folder / "zoo.cfg"), "clientPort", 1, folder / "zoo.cfg")


def carry_over(folder: Path, nodes: list[NodeFiles], say: Callable[[str], None]) -> dict[str, str]:
    """Give the single node's data to all of `nodes`; its further settings.

    `nodes` are not made yet. Call `finish` once they are.

    Raises:
        StartError: it cannot be done; the data is where it was.
    """
    path = folder / "zoo.cfg"
    keys = read_keys(path)
    data = Path(keys.get("dataDir", ""))
    data_log = keys.get("dataLogDir", "")
    if not keys.get("dataDir") or (data_log and Path(data_log) != data):
        raise StartError(
            f"{path} is of a single node that has no dataDir, or a dataLogDir of its own. "
            "Bring log and snapshots under one dataDir, or use another --dir."
        )
    for key in OWN_PORTS:
        if key in keys and len(nodes) > 1:
            raise StartError(
                f"{path} has {key}={keys[key]}, which several nodes on one machine cannot share: "
                "take it out, or go on with one node: --nodes 1."
            )
    target = nodes[0].data_dir
    if data.is_dir():
        give(data, nodes, say)
    elif not target.is_dir():
        say(f"{path} is of a single node that never ran: there is no data to keep.")
    if (target / SECRET_FILE).is_file():  # or its sessions could not go on
        put_file(folder / SECRET_FILE, (target / SECRET_FILE).read_bytes())
    return {key: value for key, value in keys.items() if key not in OWN_KEYS}


def give(data: Path, nodes: list[NodeFiles], say: Callable[[str], None]) -> None:
    refuse_running(data)
    copies = len(nodes) - 1
    wanted = copies * size_of(data) + LOG_BYTES_SPARE * bool(copies)
    free = shutil.disk_usage(nodes[0].folder.parent).free
    if wanted > free:
        raise StartError(
            f"{copies} copies of {data} take {wanted >> 20} MB, {free >> 20} MB are free. "
            "Make room, or go on with one node: --nodes 1."
        )
    for node in nodes[1:]:
        shutil.rmtree(node.data_dir, ignore_errors=True)  # of an attempt that was interrupted
        node.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(data, node.data_dir)
    os.sync()  # the copies before the move that makes them count
    nodes[0].folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        data.rename(nodes[0].data_dir)
    except OSError as error:
        raise StartError(
            f"{data} cannot be moved to {nodes[0].data_dir} ({error.strerror}). "
            f"Move it below {nodes[0].folder.parent}, or use another --dir."
        ) from None
    text = f"The single node's data ({data}) is node1's now, in {nodes[0].data_dir}"
    say(f"{text}; every other node has a whole copy." if copies else f"{text}.")


def finish(folder: Path) -> None:
    """The nodes are made: the single one's configuration is out of the way, and kept."""
    with suppress(FileNotFoundError):
        (folder / "zoo.cfg").rename(folder / BEFORE)


def refuse_running(data: Path) -> None:
    """A server holds a lock on its log's folder as long as it, or its log's process, runs."""
    inside = data / VERSION_FOLDER
    if not inside.is_dir():
        return
    descriptor = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartError(f"A server is running on {data}: stop it first.") from None
    finally:
        os.close(descriptor)


def size_of(folder: Path) -> int:
    """Bytes on the disk: a log file is longer than what has been written to it."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
