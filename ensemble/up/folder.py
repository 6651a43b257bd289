"""What lies in the folder of `ensemble up`, and the only reader and writer of it.

    up.lock              held by the one `up` that works here
    up.sock              where `ensemble member` and the console ask it for something
    ensemble.secret      of session passwords; each node has a copy, so that sessions can move
    zookeeper.auth       the console's credential; the nodes know its digest only
    admin.read           the token by which the console reads the nodes' admin ports
    admin.control        the one that may change something there
    nodes                which nodes there are now, for the admin plane
    node1/zoo.cfg        a node's configuration: written once, then the operator's
    node1/data/          its dataDir, with myid and its copy of the secret
    node1/node.log       what it prints
    console.*, static/   the console's own

A node is there when its zoo.cfg is: this file is written last and removed first.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ensemble.errors import ConfigError
from ensemble.server.properties import parse_properties
from ensemble.up.errors import StartError
from ensemble.up.ports import HOST, PORT_MAX, Ports
from ensemble.zab.members import Member, parse_member

SIZES: Final = (1, 3, 5)  # of an ensemble that is made here
NODES_DEFAULT: Final = 3
OBSERVERS_MAX: Final = 10
SID_MAX: Final = 255
SECRET_BYTES: Final = 32
SECRET_FILE: Final = "ensemble.secret"
READ_TOKEN_FILE: Final = "admin.read"
NODES_FILE: Final = "nodes"  # which nodes there are now, for the admin plane
READ_TOKENS: Final = "ensemble.admin.readTokens"
CONTROL_TOKENS: Final = "ensemble.admin.controlTokens"
NODE_FOLDER: Final = re.compile(r"node([1-9]\d{0,2})$")
WORDS: Final = "srvr,mntr,ruok,conf,stat,cons,envi,isro,wchs,dirs"

# What each new zoo.cfg says beside its ports, folder and servers.
SETTINGS: Final = {
    "clientPortAddress": HOST,
    "tickTime": "2000",
    "initLimit": "10",
    "syncLimit": "5",
    "maxClientCnxns": "0",
    "4lw.commands.whitelist": WORDS,
    "admin.serverAddress": HOST,
    "autopurge.snapRetainCount": "5",
    "autopurge.purgeInterval": "1",
    "extendedTypesEnabled": "true",
    "ensemble.sessionPassword": "secret",
}
OWN_KEYS: Final = ("dataDir", "dataLogDir", "clientPort", "admin.serverPort")
OWN_PORTS: Final = ("secureClientPort", "metricsProvider.httpPort")  # that somebody has added
HEAD: Final = """\
# Written by `ensemble up` once; yours to change from then on. Keys as in ZooKeeper's zoo.cfg.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFiles:
    """A node as its configuration has it. Ports are 0 where there is none."""

    sid: int
    folder: Path
    data_dir: Path
    client_port: int
    admin_port: int
    quorum_port: int
    election_port: int
    is_observer: bool

    @property
    def name(self) -> str:
        return f"node{self.sid}"

    @property
    def config_path(self) -> Path:
        return self.folder / "zoo.cfg"

    @property
    def log_path(self) -> Path:
        return self.folder / "node.log"

    def ports(self) -> dict[str, int]:
        """By purpose, those that there are."""
        every = {
            "clients": self.client_port,
            "admin": self.admin_port,
            "quorum": self.quorum_port,
            "election": self.election_port,
        }
        return {purpose: port for purpose, port in every.items() if port}


def load(folder: Path) -> list[NodeFiles]:
    """The nodes that are there, by id; none in a new folder.

    Raises:
        StartError: a configuration that cannot be, with file, key and reason.
    """
    found: list[NodeFiles] = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = NODE_FOLDER.match(path.name)
        if match is not None and (path / "zoo.cfg").is_file():
            found.append(load_node(path, int(match.group(1))))
    found.sort(key=lambda node: node.sid)
    return found


def load_node(folder: Path, sid: int) -> NodeFiles:
    path = folder / "zoo.cfg"
    keys = read_keys(path)
    data_dir = Path(keys.get("dataDir", ""))
    if not keys.get("dataDir"):
        raise StartError(f"{path} has no dataDir.")
    myid = data_dir / "myid"
    written = myid.read_text(errors="replace").strip() if myid.is_file() else "nothing"
    if written != str(sid):
        raise StartError(f"{myid} holds {written[:20]!r}; in {folder} it must be {sid}.")
    member = own_line(keys, sid, path)
    return NodeFiles(
        sid=sid,
        folder=folder,
        data_dir=data_dir,
        client_port=port_of(keys, "clientPort", 1, path),
        admin_port=0
        if keys.get("admin.enableServer", "true").lower() == "false"
        else port_of(keys, "admin.serverPort", 0, path, "8080"),
        quorum_port=0 if member is None else int(member.quorum_addresses[0][1]),
        election_port=0 if member is None else int(member.election_addresses[0][1]),
        is_observer=member is not None and member.is_observer,
    )


def own_line(keys: Mapping[str, str], sid: int, path: Path) -> Member | None:
    """What `server.<sid>=` says; None where a node stands alone."""
    lines = [key for key in keys if key.startswith("server.")]
    if not lines:
        return None
    if f"server.{sid}" not in keys:
        raise StartError(f"{path} has {', '.join(sorted(lines))}, but no server.{sid}, its own.")
    try:
        return parse_member(sid, keys[f"server.{sid}"], f"{path}: server.{sid}")
    except ConfigError as error:
        raise StartError(f"{error}") from None


def read_keys(path: Path) -> dict[str, str]:
    """A zoo.cfg's settings.

    Raises:
        StartError: it cannot be read.
    """
    try:
        return parse_properties(path.read_bytes(), str(path))
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}.") from None
    except ConfigError as error:
        raise StartError(f"{error}.") from None


def port_of(keys: Mapping[str, str], key: str, least: int, path: Path, default: str = "") -> int:
    text = keys.get(key, default)
    if not text:
        raise StartError(f"{path} has no {key}, which `ensemble up` needs.")
    if not (text.isascii() and text.isdecimal() and least <= int(text) <= PORT_MAX):
        raise StartError(f"{path}: {key}={text[:20]} is not a port from {least} to {PORT_MAX}.")
    return int(text)


# Making


def planned(folder: Path, nodes: int, ports: Ports) -> list[NodeFiles]:
    """The nodes of a new folder; nothing is written yet."""
    alone = nodes == 1
    return [
        NodeFiles(
            sid=at + 1,
            folder=folder / f"node{at + 1}",
            data_dir=folder / f"node{at + 1}" / "data",
            client_port=ports.client + at,
            admin_port=ports.admin + at,
            quorum_port=0 if alone else ports.quorum + at,
            election_port=0 if alone else ports.election + at,
            is_observer=False,
        )
        for at in range(nodes)
    ]


def make(
    node: NodeFiles, voters: Iterable[NodeFiles], secret: bytes, settings: Mapping[str, str]
) -> None:
    """Write a node's files; the configuration last, with `settings` instead of the usual ones."""
    node.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    put_file(node.data_dir / "myid", f"{node.sid}\n".encode())
    put_file(node.data_dir / SECRET_FILE, secret)
    keys = {
        "dataDir": str(node.data_dir),
        "clientPort": str(node.client_port),
        "admin.serverPort": str(node.admin_port),
        **SETTINGS,
        **settings,
    }
    if node.election_port:
        for other in sorted({n.sid: n for n in (*voters, node)}.values(), key=lambda n: n.sid):
            role = ":observer" if other.is_observer else ""
            keys[f"server.{other.sid}"] = f"{HOST}:{other.quorum_port}:{other.election_port}{role}"
    lines = [HEAD, *(f"{key}={escaped(value)}\n" for key, value in keys.items())]
    put_file(node.config_path, "".join(lines).encode("ascii"))


def kept_settings(node: NodeFiles) -> dict[str, str]:
    """A node's settings that are not its own: what a further node takes over."""
    keys = read_keys(node.config_path)
    own = {*OWN_KEYS, *OWN_PORTS}
    return {k: v for k, v in keys.items() if k not in own and not k.startswith("server.")}


def put_file(path: Path, content: bytes) -> None:
    """Replace a file as a whole, readable by its owner only."""
    beside = path.with_name(path.name + ".tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def escaped(text: str) -> str:
    """As a value of a properties file, which knows Latin-1 and escapes of four digits.

    Raises:
        StartError: a character that has none.
    """
    for c in text:
        if ord(c) > 0xFFFF or 0xD800 <= ord(c) < 0xE000 or c in "\r\n":
            raise StartError(f"{text!a} has {c!a}, which zoo.cfg cannot name: use another folder.")
    text = text.replace("\\", "\\\\")
    return "".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in text)


def discard(node: NodeFiles) -> None:
    """Remove an observer: a copy of what the voters hold."""
    node.config_path.unlink(missing_ok=True)
    shutil.rmtree(node.folder, ignore_errors=True)


def kept_secret(folder: Path) -> bytes:
    """The secret of session passwords that all nodes share; made once."""
    path = folder / SECRET_FILE
    if not path.exists():
        put_file(path, secrets.token_bytes(SECRET_BYTES))
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise StartError(f"{path} holds {len(secret)} bytes, {SECRET_BYTES} are expected.")
    return secret


def kept_tokens(folder: Path) -> dict[str, Path]:
    """The files of the admin ports' tokens by the setting that names them; made once, 0600."""
    found = {
        READ_TOKENS: folder / READ_TOKEN_FILE,
        CONTROL_TOKENS: folder / "admin.control",
    }
    for path in found.values():
        if not path.exists():
            put_file(path, f"{secrets.token_urlsafe(32)}\n".encode())
    return found


def kept_credential(folder: Path) -> tuple[str, str]:
    """(user, password) of the console, a superuser; made once, 0600."""
    path = folder / "zookeeper.auth"
    if not path.exists():
        put_file(path, f"digest:super:{secrets.token_urlsafe(32)}".encode())
    scheme, _, rest = path.read_text().strip().partition(":")
    user, colon, password = rest.partition(":")
    if scheme != "digest" or not user or not colon or not password:
        raise StartError(f"{path} does not hold digest:user:password; remove it for a new one.")
    return user, password
