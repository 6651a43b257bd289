"""The commands that Apache's AdminServer has, as far as they only tell: one function each.

Source: admin.md 2.2. Names and fields are Apache's.
"""

from typing import TYPE_CHECKING

from aiohttp import web

from ensemble.server import four_letter, member_words, metrics
from ensemble.server.admin_protocol import JsonObject
from ensemble.server.connection import Connection

if TYPE_CHECKING:
    from ensemble.server.node import Node


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


def elections(node: "Node", request: web.Request) -> JsonObject:
    """Ours: which roles this server has had, and why they ended; none for one that stands alone."""
    peering = node.peering
    if peering is None:
        return {"total": 0, "roles": []}
    return {"total": peering.roles.total, "roles": peering.roles.entries()}


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
