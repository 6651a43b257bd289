"""The four-letter words: plain text on the client port, in the formats that tools have parsed for
years.

Source: admin.md section 1. Answers are complete texts; the connection closes behind them.
"""

import os
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ensemble import __version__
from ensemble.server import member_words, metrics
from ensemble.server.connection import OPEN, Connection
from ensemble.tree.sessions import SessionTracker

if TYPE_CHECKING:
    from ensemble.server.node import Node

READ_ONLY_LINE: Final = "READ-ONLY mode; serving only read-only clients\n"
NOT_SERVING: Final = "This ZooKeeper instance is not currently serving requests"
# The day of the version, not of somebody's build: the same source says the same everywhere.
RELEASED_ON: Final = "2026-11-21 00:00 UTC"
VERSION: Final = f"3.9.5-ensemble-{__version__}, built on {RELEASED_ON}"
ALWAYS: Final = ("srvr",)
# What these tell of clients and paths is some tenant's: they are for the admin port.
WALLED: Final = ("dump", "cons", "wchp", "wchc")
WORDS_KEY: Final = "ensemble.tenancy.words=open"
TELNET_INTERRUPT: Final = b"\xff\xf4\xff\xfd"


def answer(node: "Node", first: bytes) -> bytes | None:
    """The answer to a connection's first bytes; None where they are no word that we know."""
    if first[:4] == TELNET_INTERRUPT:
        return b""
    try:
        word = first[:4].decode("ascii")
    except UnicodeDecodeError:
        return None
    command = COMMANDS.get(word)
    if command is None:
        return None
    if word == "stmk" and len(first) < 12:
        return None
    node.stats.received += 1
    words = node.config.admin.words
    if word not in ALWAYS and word not in words and "*" not in words:
        return f"{word} is not executed because it is not in the whitelist.\n".encode()
    if not node.serving and word not in ("ruok", "envi", "gtmk", "stmk"):
        if word == "isro":
            return b"null"
        return (NOT_SERVING + ("" if word == "hash" else "\n")).encode()
    if word == "stmk":
        node.trace_mask = int.from_bytes(first[4:12], "big", signed=True)
    if word in WALLED and is_walled(node):
        return behind_the_wall(node, word).encode()
    return command(node).encode("utf-8", "surrogateescape")


def is_walled(node: "Node") -> bool:
    """Whether some tenant is not to be seen by whoever reaches the client port."""
    return node.directory.enforcing > 0 and not node.config.wall.words_open


def behind_the_wall(node: "Node", word: str) -> str:
    url = node.config.admin.command_url
    return f"{word} names what belongs to tenants: ask the admin port, {url}, or set {WORDS_KEY}\n"


def ruok(node: "Node") -> str:
    return "imok"


def isro(node: "Node") -> str:
    return "ro" if node.pipeline.read_only else "rw"


def trace_mask(node: "Node") -> str:
    return str(node.trace_mask)


def decimal(value: float) -> str:
    """Up to four decimals, at least one, as the Java server rounds averages."""
    text = f"{value:.4f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def server_lines(node: "Node") -> str:
    """From `Latency` on: what srvr and stat share."""
    latency = node.stats.latency
    return (
        f"Latency min/avg/max: {latency.min}/{decimal(latency.average())}/{latency.max}\n"
        f"Received: {node.stats.received}\n"
        f"Sent: {node.stats.sent}\n"
        f"Connections: {len(node.pipeline.connections)}\n"
        f"Outstanding: {node.pipeline.outstanding}\n"
        f"Zxid: {node.last_zxid():#x}\n"
        f"Mode: {node.mode()}\n"
        f"Node count: {metrics.node_count(node)}\n" + member_words.proposal_line(node)
    )


def version_lines(node: "Node") -> str:
    """The first line or two of srvr and stat."""
    read_only = READ_ONLY_LINE if node.pipeline.read_only else ""
    return f"Zookeeper version: {VERSION}\n{read_only}"


def srvr(node: "Node") -> str:
    return version_lines(node) + server_lines(node)


def peer_text(conn: Connection) -> str:
    host = f"[{conn.peer_host}]" if ":" in conn.peer_host else conn.peer_host
    return f"/{host}:{conn.peer_port}"


def interest(conn: Connection) -> int:
    """The bits that the Java server shows: 1 reading, 4 writing, 0 the word's own connection."""
    if conn.state != OPEN:
        return 0
    return 5 if conn.unsent_bytes else 1


def brief(conn: Connection) -> str:
    stats = conn.stats
    return (
        f" {peer_text(conn)}[{interest(conn):x}](queued={conn.pending.count},"
        f"recved={stats.received},sent={stats.sent}"
    )


def stat(node: "Node") -> str:
    lines = [version_lines(node), "Clients:\n"]
    if is_walled(node):
        lines.append(" " + behind_the_wall(node, "this"))
    else:
        lines += [brief(conn) + ")\n" for conn in node.pipeline.connections.values()]
    return "".join(lines) + "\n" + server_lines(node)


def cons(node: "Node") -> str:
    return "".join(full(conn) + "\n" for conn in node.pipeline.connections.values()) + "\n"


def full(conn: Connection) -> str:
    stats = conn.stats
    text = brief(conn)
    if stats.session_id:
        text += f",sid={hex_id(stats.session_id)},lop={stats.last_op_name()}"
        text += f",est={stats.since_ms},to={stats.timeout_ms}"
        if stats.last_cxid >= 0:
            text += f",lcxid={stats.last_cxid:#x}"
        if stats.last_zxid >= 0:
            text += f",lzxid={stats.last_zxid:#x}"
        average = int(stats.sum_ms) // int(stats.count) if stats.count else 0
        text += (
            f",lresp={stats.last_response_ms},llat={stats.last_latency_ms}"
            f",minlat={max(0, int(stats.min_ms))},avglat={average},maxlat={stats.max_ms}"
        )
    return text + ")"


def hex_id(session_id: int) -> str:
    return f"{int(session_id) & 0xFFFFFFFFFFFFFFFF:#x}"


def crst(node: "Node") -> str:
    for conn in node.pipeline.connections.values():
        conn.stats.reset()
    return "Connection stats reset.\n"


def srst(node: "Node") -> str:
    node.stats.reset()
    return "Server stats reset.\n"


def folder_bytes(folder: str) -> int:
    """The sizes of all files below a folder."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                continue
    return total


def dirs(node: "Node") -> str:
    return (
        f"datadir_size: {folder_bytes(node.layout.snapshot_folder)}\n"
        f"logdir_size: {folder_bytes(node.layout.log_folder)}\n"
    )


def conf(node: "Node") -> str:
    lines = "".join(f"{key}={value}\n" for key, value in configuration(node).items())
    return lines + member_words.conf_lines(node)


def configuration(node: "Node") -> dict[str, str | int]:
    config = node.config
    return {
        "clientPort": node.client_port_number or config.ports.port,
        "secureClientPort": node.secure_port_number or config.ports.secure_port,
        "dataDir": node.layout.snapshot_folder,
        "dataDirSize": folder_bytes(node.layout.snapshot_folder),
        "dataLogDir": node.layout.log_folder,
        "dataLogSize": folder_bytes(node.layout.log_folder),
        "tickTime": config.sessions.tick_ms,
        "maxClientCnxns": config.ports.per_host_max,
        "minSessionTimeout": config.sessions.timeout_min_ms,
        "maxSessionTimeout": config.sessions.timeout_max_ms,
        "clientPortListenBacklog": config.ports.backlog,
        "serverId": 0 if node.replica is None and config.server_id == 1 else config.server_id,
    }


def java_time(wall_ms: int) -> str:
    return time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime(wall_ms / 1_000))


def session_sets(label: str, tracker: SessionTracker, ahead_ms: int) -> list[str]:
    """Sessions by the time at which they would expire."""
    lines = [f"{label}Session Sets ({len(tracker.buckets)})/({len(tracker)}):\n"]
    for expires_ms in sorted(tracker.buckets):
        ids = sorted(tracker.buckets[expires_ms])
        lines.append(f"{len(ids)} expire at {java_time(expires_ms + ahead_ms)}:\n")
        lines += [f"\t{hex_id(id)}\n" for id in ids]
    return lines


def dump(node: "Node") -> str:
    """Sessions by expiry, ephemerals by session, connections by expiry."""
    ahead = time.time_ns() // 1_000_000 - node.pipeline.now_ms
    lines = ["SessionTracker dump:\n"]
    label = ""
    if node.local_sessions is not None and node.local_sessions.enabled:
        label = "Global "
        lines += session_sets("Local ", node.local_sessions.tracker, ahead)
    if node.authority.is_leading():
        lines += session_sets(label, node.tracker, ahead)
    else:
        sessions = node.tree.sessions
        lines.append(f"Global Sessions({len(sessions)}):\n")
        lines += [f"{hex_id(id)}\t{sessions[id]}ms\n" for id in sorted(sessions)]
    ephemerals = node.tree.ephemerals
    lines.append(f"ephemeral nodes dump:\nSessions with Ephemerals ({len(ephemerals)}):\n")
    for owner in sorted(ephemerals):
        lines.append(f"{hex_id(owner)}:\n")
        lines += [f"\t{path.decode('utf-8', 'replace')}\n" for path in sorted(ephemerals[owner])]
    by_expiry: dict[int, list[Connection]] = {}
    for conn in node.pipeline.connections.values():
        session = conn.session
        if session is not None:
            expires_ms = int(session.expires_ms)
        else:
            expires_ms = int(conn.connected_ms) + node.config.ports.sessionless_ms
        by_expiry.setdefault(expires_ms, []).append(conn)
    count = len(node.pipeline.connections)
    lines.append(f"Connections dump:\nConnections Sets ({len(by_expiry)})/({count}):\n")
    for expires_ms in sorted(by_expiry):
        conns = by_expiry[expires_ms]
        lines.append(f"{len(conns)} expire at {java_time(expires_ms + ahead)}:\n")
        lines += [f"\tip: {peer_text(c)} sessionId: {hex_id(c.stats.session_id)}\n" for c in conns]
    return "".join(lines)


def environment() -> dict[str, str]:
    """The keys that `envi` has, with what they come closest to here."""
    import platform

    from ensemble.server.journal import user_of_process

    memory = memory_mb()
    return {
        "zookeeper.version": VERSION,
        "host.name": socket.gethostname(),
        "java.version": f"none, Python {platform.python_version()}",
        "java.vendor": platform.python_implementation(),
        "java.home": sys.prefix,
        "java.class.path": "",
        "java.library.path": "",
        "java.io.tmpdir": os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 shown, not used
        "java.compiler": platform.python_compiler(),
        "os.name": platform.system(),
        "os.arch": platform.machine(),
        "os.version": platform.release(),
        "user.name": user_of_process(),
        "user.home": os.path.expanduser("~"),
        "user.dir": os.getcwd(),
        "os.memory.free": f"{memory[0]}MB",
        "os.memory.max": f"{memory[1]}MB",
        "os.memory.total": f"{memory[1]}MB",
    }


def memory_mb() -> tuple[int, int]:
    """(free, total) memory of the machine."""
    page = os.sysconf("SC_PAGE_SIZE")
    free = os.sysconf("SC_AVPHYS_PAGES") * page >> 20
    return free, os.sysconf("SC_PHYS_PAGES") * page >> 20


def envi(node: "Node") -> str:
    return "Environment:\n" + "".join(f"{k}={v}\n" for k, v in environment().items())


def wchs(node: "Node") -> str:
    summary = node.watches.summary()
    return (
        f"{summary.connections} connections watching {summary.paths} paths\n"
        f"Total watches:{summary.watches}\n"
    )


def session_of(node: "Node", connection_id: int) -> int:
    conn = node.pipeline.connections.get(connection_id)
    return 0 if conn is None else int(conn.session_id)


def watches_by_path(node: "Node") -> dict[str, list[int]]:
    """Path -> session ids, of the data table."""
    return {
        path.decode("utf-8", "replace"): [session_of(node, id) for id in watchers]
        for path, watchers in node.watches.data.items()
    }


def watches_by_session(node: "Node") -> dict[int, list[str]]:
    """Session id -> paths, of the data table."""
    found: dict[int, list[str]] = {}
    for path, sessions in watches_by_path(node).items():
        for session_id in sessions:
            found.setdefault(session_id, []).append(path)
    return found


def wchc(node: "Node") -> str:
    lines: list[str] = []
    for session_id, paths in watches_by_session(node).items():
        lines.append(f"{hex_id(session_id)}\n")
        lines += [f"\t{path}\n" for path in paths]
    return "".join(lines) + "\n"


def wchp(node: "Node") -> str:
    lines: list[str] = []
    for path, sessions in watches_by_path(node).items():
        lines.append(f"{path}\n")
        lines += [f"\t{hex_id(session_id)}\n" for session_id in sessions]
    return "".join(lines) + "\n"


def hashes(node: "Node") -> str:
    return "".join(f"{zxid:x}: {digest}\n" for zxid, digest in node.digests)


def mntr(node: "Node") -> str:
    return "".join(f"zk_{name}\t{value}\n" for name, value in metrics.monitor(node).items())


COMMANDS: Final[dict[str, Callable[["Node"], str]]] = {
    "ruok": ruok,
    "isro": isro,
    "gtmk": trace_mask,
    "stmk": trace_mask,
    "srvr": srvr,
    "stat": stat,
    "cons": cons,
    "crst": crst,
    "srst": srst,
    "dirs": dirs,
    "conf": conf,
    "dump": dump,
    "envi": envi,
    "wchs": wchs,
    "wchc": wchc,
    "wchp": wchp,
    "hash": hashes,
    "mntr": mntr,
}
