"""The AdminServer: ZooKeeper's commands over HTTP, and /metrics for Prometheus.

Source: admin.md section 2. Every command stands in `COMMANDS` with what it needs (`Access`), and a
test walks that table. Bound to loopback unless configured. Where Apache answers a wrong method with
500 we answer 405, and `monitor` while not serving with 503 (admin.md section 6).
"""

import enum
import json
import logging
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, final

from aiohttp import web

from ensemble.errors import StorageError
from ensemble.server import four_letter, member_words, metrics
from ensemble.server.auth.providers import AuthRefused, Peer
from ensemble.server.connection import Connection
from ensemble.server.restore import read_tree, replace_tree
from ensemble.server.tls import server_context, subject_of
from ensemble.wire import codes

if TYPE_CHECKING:
    from ensemble.server.node import Node

log = logging.getLogger("ensemble.admin")

JsonObject = dict[str, object]
NEEDS_LAST_ZXID: Final = "needs serializeLastProcessedZxid.enabled=true"
STOP_TIMEOUT_S: Final = 2.0  # for answers on their way when the server stops
PERMISSIONS: Final = (
    codes.PERM_READ,
    codes.PERM_WRITE,
    codes.PERM_CREATE,
    codes.PERM_DELETE,
    codes.PERM_ADMIN,
)


class Access(enum.Enum):
    """Who may run a command."""

    ALWAYS = "answers whether the server serves or not"
    SERVING = "answers while the server serves"
    ALL_ON_ROOT = "an Authorization header whose identities hold every permission on /"


@final
class RateLimit:
    """One run in an interval."""

    def __init__(self, interval_ms: int) -> None:
        self.interval_s: Final = interval_ms / 1_000
        self.last: float | None = None

    def allows(self) -> bool:
        now = time.monotonic()
        if self.last is not None and now - self.last < self.interval_s:
            return False
        self.last = now
        return True


@final
class AdminPort:
    """The HTTP listeners of one node."""

    def __init__(self, node: "Node") -> None:
        self.node: Final = node
        options = node.config.admin
        self.snapshots: Final = RateLimit(options.rate_limit_ms)
        self.restores: Final = RateLimit(options.rate_limit_ms)
        self.restoring = False
        self.runners: list[web.AppRunner] = []
        self.port = 0

    async def start(self) -> None:
        """Open the ports.

        Raises:
            OSError: an address cannot be bound.
        """
        options = self.node.config.admin
        url = options.command_url
        if options.enabled:
            app = web.Application()
            app.router.add_get(url, self.index)
            app.router.add_get(url + "/", self.index)
            app.router.add_get(url + "/{name}", self.run_get)
            app.router.add_post(url + "/{name}", self.run_post)
            app.router.add_get("/metrics", self.metrics)
            context = None
            if options.tls is not None:
                context = server_context(options.tls)
                app.on_response_prepare.append(demand_https)
            self.port = await self.listen(app, options.host, options.port, context)
        if options.metrics_port:
            app = web.Application()
            app.router.add_get("/metrics", self.metrics)
            await self.listen(app, options.metrics_host, options.metrics_port)

    async def listen(
        self, app: web.Application, host: str, port: int, context: ssl.SSLContext | None = None
    ) -> int:
        runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=STOP_TIMEOUT_S,
            keepalive_timeout=self.node.config.admin.idle_timeout_ms / 1_000,
        )
        await runner.setup()
        self.runners.append(runner)
        await web.TCPSite(runner, host, port, reuse_address=True, ssl_context=context).start()
        address = runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        for runner in self.runners:
            await runner.cleanup()

    # Handlers

    async def index(self, request: web.Request) -> web.Response:
        url = self.node.config.admin.command_url
        lines = [f'<a href="{url}/{name}">{name}</a>\n<br/>\n' for name in sorted(COMMANDS)]
        return web.Response(text="".join(lines), content_type="text/html")

    async def metrics(self, request: web.Request) -> web.Response:
        if not self.node.serving:
            return web.Response(status=503, text=four_letter.NOT_SERVING)
        return web.Response(text=metrics.prometheus(self.node), content_type="text/plain")

    async def run_get(self, request: web.Request) -> web.StreamResponse:
        return await self.run(request, "GET")

    async def run_post(self, request: web.Request) -> web.StreamResponse:
        return await self.run(request, "POST")

    async def run(self, request: web.Request, method: str) -> web.StreamResponse:
        if not request.secure:
            self.node.stats.insecure_admin += 1
        name = request.match_info["name"]
        command = COMMANDS.get(ALIASES.get(name, name))
        if command is None:
            return reply(name, {}, f"Unknown command: {name}")
        if method != command.method:
            raise web.HTTPMethodNotAllowed(method, [command.method])
        if command.access is not Access.ALWAYS and not self.node.serving:
            status = 503 if command.name == "monitor" else 200
            return reply(command.name, {}, four_letter.NOT_SERVING, status)
        if command.access is Access.ALL_ON_ROOT:
            status, error = self.authorize(request)
            if error:
                return reply(command.name, {}, error, status)
        if command.handler is not None:
            return await command.handler(self, request)
        assert command.answer is not None
        return reply(command.name, command.answer(self.node, request), None)

    def authorize(self, request: web.Request) -> tuple[int, str]:
        """(200, "") where the header's identities hold every permission on the root, bit by bit."""
        header = request.headers.get("Authorization", "")
        if not header:
            return 401, "Auth info is missing for the command"
        scheme, _, token = header.partition(" ")
        provider = self.node.door.providers.get(scheme)
        host = request.remote or ""  # of the connection; headers that name another are not believed
        tls = request.transport.get_extra_info("ssl_object") if request.transport else None
        subject = None if tls is None else subject_of(tls)
        if provider is None or " " in token.strip():
            return 401, "Not authenticated"
        try:
            ids = provider.authenticate(
                Peer(host, subject), token.strip().encode() if token else None
            )
        except AuthRefused:
            self.node.stats.auth_failures += 1
            return 401, "Not authenticated"
        ids = ids + self.node.door.identify(host, subject)
        root = self.node.tree.nodes[b"/"]
        for permission in PERMISSIONS:
            if not self.node.schemes.check(root.acl, permission, ids):
                return 403, "Not authorized"
        return 200, ""

    async def snapshot(self, request: web.Request) -> web.StreamResponse:
        """Write a snapshot; with streaming (the default) the file is the answer."""
        node = self.node
        if node.pipeline.read_only:
            return reply("snapshot", {}, "no snapshot is written in read-only mode", 503)
        if not node.config.admin.snapshot_enabled:
            return reply("snapshot", {}, "snapshot is disabled: admin.snapshot.enabled", 503)
        if not node.config.storage.last_zxid_enabled:
            return reply("snapshot", {}, NEEDS_LAST_ZXID, 500)
        if not self.snapshots.allows():
            node.stats.snapshots_limited += 1
            return reply("snapshot", {}, "too many snapshots: admin.rateLimiterIntervalInMS", 429)
        path = await node.upkeep.take_snapshot()
        if path is None:
            return reply("snapshot", {}, "the snapshot failed, see the server's log", 500)
        zxid = node.upkeep.last_snapshot[0]
        headers = {"last_zxid": f"{zxid:#x}", "snapshot_size": str(os.stat(path).st_size)}
        if request.query.get("streaming", "true").lower() == "false":
            response = reply("snapshot", {}, None)
            response.headers.update(headers)
            return response
        return web.FileResponse(
            path, headers={**headers, "Content-Type": "application/octet-stream"}
        )

    async def restore(self, request: web.Request) -> web.StreamResponse:
        """Replace the whole tree by a posted snapshot; durable before the answer."""
        node = self.node
        if not node.config.admin.restore_enabled:
            return reply("restore", {}, "restore is disabled: admin.restore.enabled", 503)
        if not node.config.storage.last_zxid_enabled:
            return reply("restore", {}, NEEDS_LAST_ZXID, 500)
        if self.restoring or not self.restores.allows():
            node.stats.restores_limited += 1
            return reply("restore", {}, "too many restores: admin.rateLimiterIntervalInMS", 429)
        self.restoring = True
        began = time.monotonic()
        try:
            tree, zxid = await read_tree(node, request.content.iter_any())
            last_zxid = await replace_tree(node, tree, zxid)
        except (StorageError, ConnectionError, web.RequestPayloadError) as error:
            node.stats.restore_errors += 1
            log.error("restore refused, nothing has changed: %s", error)
            return reply("restore", {}, f"nothing has changed: {error}", 500)
        finally:
            self.restoring = False
        node.stats.restore_ms.record(int((time.monotonic() - began) * 1_000))
        return reply("restore", {"last_zxid": last_zxid}, None)


async def demand_https(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Strict-Transport-Security"] = "max-age=86400"


def reply(name: str, fields: JsonObject, error: str | None, status: int = 200) -> web.Response:
    """ZooKeeper's JSON: pretty, `"key" : value`, the command and its error first."""
    text = json.dumps(
        {"command": name, "error": error, **fields}, indent=2, separators=(",", " : ")
    )
    return web.Response(text=text, status=status, content_type="application/json")


@final
class Command:
    """One command: what it needs, and either a plain answer or a handler of its own."""

    def __init__(
        self,
        name: str,
        access: Access,
        answer: Callable[["Node", web.Request], JsonObject] | None,
        method: str = "GET",
        handler: Callable[[AdminPort, web.Request], Awaitable[web.StreamResponse]] | None = None,
    ) -> None:
        self.name: Final = name
        self.access: Final = access
        self.answer: Final = answer
        self.method: Final = method
        self.handler: Final = handler


def configuration(node: "Node", request: web.Request) -> JsonObject:
    values = four_letter.configuration(node)
    return {
        "client_port": values["clientPort"],
        "data_dir": values["dataDir"],
        "data_log_dir": values["dataLogDir"],
        "tick_time": values["tickTime"],
        "max_client_cnxns": values["maxClientCnxns"],
        "min_session_timeout": values["minSessionTimeout"],
        "max_session_timeout": values["maxSessionTimeout"],
        "server_id": values["serverId"],
        "client_port_listen_backlog": values["clientPortListenBacklog"],
    }


def connection_stat_reset(node: "Node", request: web.Request) -> JsonObject:
    four_letter.crst(node)
    return {}


def connection_entry(conn: Connection, short: bool) -> JsonObject:
    stats = conn.stats
    entry: JsonObject = {
        "remote_socket_address": four_letter.peer_text(conn)[1:],
        "interest_ops": four_letter.interest(conn),
        "outstanding_requests": int(conn.pending.count),
        "packets_received": int(stats.received),
        "packets_sent": int(stats.sent),
    }
    if not short:
        entry.update(
            {
                "session_id": int(stats.session_id),
                "last_operation": stats.last_op_name(),
                "established": int(stats.since_ms),
                "session_timeout": int(stats.timeout_ms),
                "last_cxid": int(stats.last_cxid),
                "last_zxid": int(stats.last_zxid),
                "last_response_time": int(stats.last_response_ms),
                "last_latency": int(stats.last_latency_ms),
                "min_latency": max(0, int(stats.min_ms)),
                "avg_latency": int(stats.sum_ms) // max(1, int(stats.count)),
                "max_latency": int(stats.max_ms),
            }
        )
    return entry


def connection_lists(node: "Node", short: bool) -> JsonObject:
    connections = list(node.pipeline.connections.values())
    return {
        "connections": [connection_entry(c, short) for c in connections if not c.secure],
        "secure_connections": [connection_entry(c, short) for c in connections if c.secure],
    }


def connections(node: "Node", request: web.Request) -> JsonObject:
    return connection_lists(node, short=False)


def dirs(node: "Node", request: web.Request) -> JsonObject:
    return {
        "datadir_size": four_letter.folder_bytes(node.layout.snapshot_folder),
        "logdir_size": four_letter.folder_bytes(node.layout.log_folder),
    }


def dump(node: "Node", request: web.Request) -> JsonObject:
    return {
        "expiry_time_to_session_ids": {
            str(expires_ms): sorted(ids)
            for expires_ms, ids in node.tracker.buckets.items()
            if node.authority.is_leading()
        },
        "session_id_to_ephemeral_paths": {
            str(owner): sorted(path.decode("utf-8", "replace") for path in paths)
            for owner, paths in node.tree.ephemerals.items()
        },
    }


def environment(node: "Node", request: web.Request) -> JsonObject:
    return dict(four_letter.environment())


def get_trace_mask(node: "Node", request: web.Request) -> JsonObject:
    return {"tracemask": node.trace_mask}


def set_trace_mask(node: "Node", request: web.Request) -> JsonObject:
    raw = request.query.get("traceMask")
    try:
        node.trace_mask = int(raw or "")
    except ValueError:
        got = "" if raw is None else f", got {raw}"
        return {"error": "setTraceMask requires long traceMask argument" + got}
    return {"tracemask": node.trace_mask}


def hashes(node: "Node", request: web.Request) -> JsonObject:
    return {
        "digests": [
            {"zxid": zxid, "digest": digest, "digest_version": 2} for zxid, digest in node.digests
        ]
    }


def initial_configuration(node: "Node", request: web.Request) -> JsonObject:
    return {"initial_configuration": node.config.masked_text()}


def is_read_only(node: "Node", request: web.Request) -> JsonObject:
    return {"read_only": node.pipeline.read_only}


def last_snapshot(node: "Node", request: web.Request) -> JsonObject:
    zxid, at = node.upkeep.last_snapshot
    return {"zxid": f"{zxid & 0xFFFFFFFFFFFFFFFF:x}", "timestamp": int(at)}


def leader(node: "Node", request: web.Request) -> JsonObject:
    return member_words.leader(node) or {"error": "server is not initialized"}


def monitor(node: "Node", request: web.Request) -> JsonObject:
    return dict(metrics.monitor(node))


def nothing(node: "Node", request: web.Request) -> JsonObject:
    return {}


def observers(node: "Node", request: web.Request) -> JsonObject:
    found = member_words.observers(node)
    return {"synced_observers": len(found), "observers": found}


def server_stats(node: "Node", request: web.Request) -> JsonObject:
    stats = node.stats
    plain = metrics.plain_connections(node)
    sizes = {"last_buffer_size": -1, "min_buffer_size": -1, "max_buffer_size": -1}
    return {
        "version": four_letter.VERSION,
        "read_only": node.pipeline.read_only,
        "server_stats": {
            "packets_sent": int(stats.sent),
            "packets_received": int(stats.received),
            "fsync_threshold_exceed_count": int(stats.fsync_slow),
            "client_response_stats": sizes,
            "uptime": node.uptime_ms(),
            "provider_null": False,
            "data_dir_size": four_letter.folder_bytes(node.layout.snapshot_folder),
            "log_dir_size": four_letter.folder_bytes(node.layout.log_folder),
            "last_processed_zxid": node.last_zxid(),
            "outstanding_requests": int(node.pipeline.outstanding),
            "server_state": node.mode(),
            "avg_latency": stats.latency.average(),
            "max_latency": int(stats.latency.max),
            "min_latency": int(stats.latency.min),
            "num_alive_client_connections": len(node.pipeline.connections),
            "auth_failed_count": int(stats.auth_failures),
            "non_mtlsremote_conn_count": plain[0],
            "non_mtlslocal_conn_count": plain[1],
        },
        "client_response": sizes,
        "node_count": metrics.node_count(node),
        **member_words.proposal_stats(node),
    }


def stats(node: "Node", request: web.Request) -> JsonObject:
    return {**server_stats(node, request), **connection_lists(node, short=True)}


def stat_reset(node: "Node", request: web.Request) -> JsonObject:
    node.stats.reset()
    return {}


def system_properties(node: "Node", request: web.Request) -> JsonObject:
    return dict(node.config.system_properties)


def voting_view(node: "Node", request: web.Request) -> JsonObject:
    return {"current_config": member_words.voting_view(node)}


def watches(node: "Node", request: web.Request) -> JsonObject:
    found = four_letter.watches_by_session(node)
    return {"session_id_to_watched_paths": {str(id): paths for id, paths in found.items()}}


def watches_by_path(node: "Node", request: web.Request) -> JsonObject:
    return {"path_to_session_ids": four_letter.watches_by_path(node)}


def watch_summary(node: "Node", request: web.Request) -> JsonObject:
    summary = node.watches.summary()
    return {
        "num_connections": summary.connections,
        "num_paths": summary.paths,
        "num_total_watches": summary.watches,
    }


def zabstate(node: "Node", request: web.Request) -> JsonObject:
    return member_words.zabstate(node)


SERVING: Final = Access.SERVING
ALWAYS: Final = Access.ALWAYS
COMMANDS: Final[dict[str, Command]] = {
    command.name: command
    for command in (
        Command("configuration", SERVING, configuration),
        Command("connection_stat_reset", SERVING, connection_stat_reset),
        Command("connections", SERVING, connections),
        Command("dirs", SERVING, dirs),
        Command("dump", SERVING, dump),
        Command("environment", ALWAYS, environment),
        Command("get_trace_mask", ALWAYS, get_trace_mask),
        Command("hash", SERVING, hashes),
        Command("initial_configuration", SERVING, initial_configuration),
        Command("is_read_only", SERVING, is_read_only),
        Command("last_snapshot", SERVING, last_snapshot),
        Command("leader", SERVING, leader),
        Command("monitor", SERVING, monitor),
        Command("observer_connection_stat_reset", SERVING, nothing),
        Command("observers", SERVING, observers),
        Command("restore", Access.ALL_ON_ROOT, None, "POST", AdminPort.restore),
        Command("ruok", SERVING, nothing),
        Command("server_stats", SERVING, server_stats),
        Command("set_trace_mask", ALWAYS, set_trace_mask),
        Command("snapshot", Access.ALL_ON_ROOT, None, "GET", AdminPort.snapshot),
        Command("stat_reset", SERVING, stat_reset),
        Command("stats", SERVING, stats),
        Command("system_properties", ALWAYS, system_properties),
        Command("voting_view", SERVING, voting_view),
        Command("watch_summary", SERVING, watch_summary),
        Command("watches", SERVING, watches),
        Command("watches_by_path", SERVING, watches_by_path),
        Command("zabstate", ALWAYS, zabstate),
    )
}
ALIASES: Final = {
    "conf": "configuration",
    "config": "configuration",
    "crst": "connection_stat_reset",
    "cons": "connections",
    "env": "environment",
    "envi": "environment",
    "gtmk": "get_trace_mask",
    "icfg": "initial_configuration",
    "isro": "is_read_only",
    "lsnp": "last_snapshot",
    "lead": "leader",
    "mntr": "monitor",
    "orst": "observer_connection_stat_reset",
    "obsr": "observers",
    "rest": "restore",
    "srvr": "server_stats",
    "stat": "stats",
    "stmk": "set_trace_mask",
    "srst": "stat_reset",
    "snap": "snapshot",
    "sysp": "system_properties",
    "wchc": "watches",
    "wchp": "watches_by_path",
    "wchs": "watch_summary",
}
