"""What the server measures, under ZooKeeper's names: for mntr, /commands/monitor and Prometheus.

Source: admin.md 1.5 and 3. Counters and summaries of machinery that this server does not have are
reported as zero, so that dashboards and alerts made for ZooKeeper keep working.
"""

import os
import resource
from typing import TYPE_CHECKING, Final

from ensemble.server import member_words
from ensemble.server.namespaces import Summary
from ensemble.server.stats import Histogram

if TYPE_CHECKING:
    from ensemble.server.node import Node

COUNTERS: Final = """
    add_dead_watcher_stall_time bytes_received_count cnxn_closed_without_zk_server_running
    commit_count connection_drop_count connection_rejected connection_request_count
    connection_revalidate_count dead_watchers_cleared dead_watchers_queued diff_count
    digest_mismatches_count ensemble_auth_fail ensemble_auth_skip ensemble_auth_success
    insecure_admin_count large_requests_rejected learner_commit_received_count
    learner_proposal_received_count looking_count outstanding_changes_queued
    outstanding_changes_removed prep_processor_request_queued proposal_count
    quit_leading_due_to_disloyal_voter request_commit_queued request_throttle_wait_count
    requests_not_forwarded_to_commit_processor response_bytes response_packet_cache_hits
    response_packet_cache_misses response_packet_get_children_cache_hits
    response_packet_get_children_cache_misses restore_error_count restore_rate_limited_count
    revalidate_count sessionless_connections_expired
    skip_learner_request_to_next_processor_count snap_count snapshot_error_count
    snapshot_rate_limited_count stale_replies stale_requests stale_requests_dropped
    stale_sessions_expired sync_processor_request_queued throttled_ops tls_handshake_exceeded
    unrecoverable_error_count unsuccessful_handshake watch_bytes
""".split()
SUMMARIES: Final = """
    commit_commit_proc_req_queued commit_process_time
    concurrent_request_processing_in_commit_processor connection_token_deficit dbinittime
    election_time follower_sync_time fsynctime inflight_diff_count inflight_snap_count
    leader_unavailable_time learner_request_processor_queue_size netty_queued_buffer_capacity
    node_changed_watch_count node_children_watch_count node_created_watch_count
    node_deleted_watch_count observer_sync_time pending_session_queue_size prep_process_time
    prep_processor_queue_size proposal_process_time read_commit_proc_issued
    read_commit_proc_req_queued reads_after_write_in_session_queue
    reads_issued_from_session_queue requests_in_session_queue restore_time
    session_queues_drained snapshottime socket_closing_time startup_snap_load_time
    startup_txns_load_time startup_txns_loaded sync_process_time sync_processor_batch_size
    sync_processor_queue_size time_waiting_empty_pool_in_commit_processor_read_ms
    unavailable_time write_batch_time_in_commit_processor write_commit_proc_issued
    write_commit_proc_req_queued
""".split()
PERCENTILE_SUMMARIES: Final = """
    close_session_prep_time commit_propagation_latency dead_watchers_cleaner_latency
    jvm_pause_time_ms local_write_committed_time_ms om_commit_process_time_ms
    om_proposal_process_time_ms prep_processor_queue_time_ms propagation_latency
    proposal_ack_creation_latency proposal_latency quorum_ack_latency read_commitproc_time_ms
    read_final_proc_time_ms readlatency request_throttle_queue_time_ms
    server_write_committed_time_ms sync_processor_queue_and_flush_time_ms
    sync_processor_queue_flush_time_ms sync_processor_queue_time_ms updatelatency
    write_commitproc_time_ms write_final_proc_time_ms
""".split()
NAMESPACES_MAX: Final = 200  # per-namespace series: one for each top-level name with a quota


def node_count(node: "Node") -> int:
    """The Java server counts the root twice; so do those who compare."""
    return len(node.tree.nodes) + 1


def file_descriptors() -> tuple[int, int]:
    """(open, allowed)."""
    return len(os.listdir("/proc/self/fd")), resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def decimal(value: float) -> str:
    text = f"{value:.4f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def gauges(node: "Node") -> dict[str, int | str]:
    tree = node.tree
    stats = node.stats
    latency = stats.latency
    descriptors = file_descriptors()
    plain = plain_connections(node)
    return {
        "ephemerals_count": tree.ephemerals_count(),
        "num_alive_connections": len(node.pipeline.connections),
        "avg_latency": decimal(latency.average()),
        "min_latency": int(latency.min),
        "max_latency": int(latency.max),
        "outstanding_requests": int(node.pipeline.outstanding),
        "znode_count": node_count(node),
        "approximate_data_size": int(tree.data_bytes),
        "watch_count": node.watches.total(),
        "global_sessions": len(tree.sessions),
        "local_sessions": member_words.local_sessions(node),
        "packets_received": int(stats.received),
        "packets_sent": int(stats.sent),
        "last_client_response_size": -1,
        "min_client_response_size": -1,
        "max_client_response_size": -1,
        "connection_drop_probability": decimal(node.throttle.drop if node.throttle else 0.0),
        "auth_failed_count": int(stats.auth_failures),
        "non_mtls_remote_conn_count": plain[0],
        "non_mtls_local_conn_count": plain[1],
        "outstanding_tls_handshake": node.port.handshakes(),
        "open_file_descriptor_count": descriptors[0],
        "max_file_descriptor_count": descriptors[1],
        "uptime": node.uptime_ms(),
        # Not in Apache's list since 3.6, but collectors ask for it and so should alerts.
        "fsync_threshold_exceed_count": int(stats.fsync_slow),
        **member_words.gauges(node),
        **node.upkeep.room.found,
        **({"client_certificate_end": node.certificate_end} if node.certificate_end else {}),
    }


def plain_connections(node: "Node") -> tuple[int, int]:
    """Connections whose client no certificate names: (from elsewhere, from this machine)."""
    elsewhere = here = 0
    for conn in node.pipeline.connections.values():
        if any(id.scheme == "x509" for id in conn.ids):
            continue
        if conn.peer_host.startswith("127.") or conn.peer_host == "::1":
            here += 1
        else:
            elsewhere += 1
    return elsewhere, here


def namespace_gauges(node: "Node") -> dict[str, int]:
    """Quota limits and usage by first path component; capped."""
    found: dict[str, int] = {}
    names: set[str] = set()
    tree = node.tree
    for quota in tree.quotas.by_path.values():
        name = quota.path.split(b"/")[1].decode("utf-8", "replace")
        names.add(name)
        if len(names) > NAMESPACES_MAX:
            break
        limits_node = tree.nodes.get(quota.limits_path)
        limits = quota.limits_of(None if limits_node is None else limits_node.data)
        tree.usage_of(quota)
        count = limits.count_hard if limits.count_hard > -1 else limits.count_soft
        size = limits.bytes_hard if limits.bytes_hard > -1 else limits.bytes_soft
        for key, value in (
            ("count_limit", count),
            ("count_usage", quota.count),
            ("bytes_limit", size),
            ("bytes_usage", quota.size),
        ):
            full = f"{name}_quota_{key}_per_namespace"
            found[full] = found.get(full, 0) + int(value)
    return found


def namespace_summaries(node: "Node") -> dict[str, dict[str, Summary]]:
    """Bytes read and written by namespace, in Apache's names."""
    found = node.pipeline.answers.namespaces
    return {
        f"{what}_per_namespace": {
            name.decode("utf-8", "replace"): summary for name, summary in kept.by_name.items()
        }
        for what, kept in (("write", found.written), ("read", found.read))
    }


def namespace_refusals(node: "Node") -> dict[str, int]:
    """Requests that a quota refused here, by namespace."""
    exceeded = node.pipeline.answers.namespaces.exceeded
    return {
        name.decode("utf-8", "replace"): int(summary.count)
        for name, summary in exceeded.by_name.items()
    }


def counters(node: "Node") -> dict[str, int]:
    stats = node.stats
    values = dict.fromkeys(COUNTERS, 0)
    values["bytes_received_count"] = int(stats.bytes_received)
    values["response_bytes"] = int(stats.bytes_sent)
    values["commit_count"] = int(stats.sync_batch.sum)
    values["proposal_count"] = int(stats.sync_batch.sum)
    values["connection_drop_count"] = int(stats.connections_dropped)
    values["connection_rejected"] = int(stats.connections_rejected)
    values["connection_revalidate_count"] = int(stats.reattachments)
    values["connection_request_count"] = int(stats.connection_requests)
    values["ensemble_auth_fail"] = int(stats.ensemble_auth_failures)
    values["ensemble_auth_success"] = int(stats.ensemble_auth_successes)
    values["insecure_admin_count"] = int(stats.insecure_admin)
    values["digest_mismatches_count"] = int(stats.digest_mismatches)
    values["revalidate_count"] = int(stats.revalidations)
    values["stale_sessions_expired"] = int(stats.sessions_expired)
    values["throttled_ops"] = int(stats.throttled_ops)
    values["unsuccessful_handshake"] = int(stats.unsuccessful_handshakes)
    values["large_requests_rejected"] = int(stats.large_requests_rejected)
    values["restore_error_count"] = int(stats.restore_errors)
    values["restore_rate_limited_count"] = int(stats.restores_limited)
    values["sessionless_connections_expired"] = int(stats.sessionless_expired)
    values["snapshot_error_count"] = int(stats.snapshot_errors)
    values["snapshot_rate_limited_count"] = int(stats.snapshots_limited)
    values.update(member_words.counters(node))
    if node.audit is not None:
        values.update(node.audit.counters())
    return values


def histograms(node: "Node") -> dict[str, Histogram]:
    stats = node.stats
    return {
        "connection_token_deficit": stats.token_deficit,
        "fsynctime": stats.fsync_ms,
        "dbinittime": stats.recovery_ms,
        "election_time": stats.election_ms,
        "follower_sync_time": stats.follower_sync_ms,
        "leader_unavailable_time": stats.leader_unavailable_ms,
        "observer_sync_time": stats.observer_sync_ms,
        "unavailable_time": stats.unavailable_ms,
        "startup_txns_loaded": stats.recovered_txns,
        "restore_time": stats.restore_ms,
        "snapshottime": stats.snapshot_ms,
        "sync_processor_batch_size": stats.sync_batch,
        "readlatency": stats.read_latency,
        "updatelatency": stats.update_latency,
    }


def monitor(node: "Node") -> dict[str, int | str]:
    """mntr's names without `zk_`, in its order: gauges, gauge sets, counters, summaries."""
    values: dict[str, int | str] = {"version": version(), "server_state": node.mode()}
    values.update(member_words.peer_state(node))
    values["last_zxid"] = f"{node.last_zxid() & 0xFFFFFFFFFFFFFFFF:#x}"
    values.update(gauges(node))
    values.update(namespace_gauges(node))
    values.update(counters(node))
    for name, refused in namespace_refusals(node).items():
        values[f"{name}_quota_exceeded_error_per_namespace"] = refused
    measured = histograms(node)
    for name in SUMMARIES + PERCENTILE_SUMMARIES:
        histogram = measured.get(name, EMPTY)
        values[f"avg_{name}"] = decimal(histogram.average())
        values[f"min_{name}"] = int(histogram.min)
        values[f"max_{name}"] = int(histogram.max)
        values[f"cnt_{name}"] = int(histogram.count)
        values[f"sum_{name}"] = int(histogram.sum)
    for name in PERCENTILE_SUMMARIES:
        histogram = measured.get(name, EMPTY)
        for label, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)):
            values[f"{label}_{name}"] = histogram.quantile(q)
    for full, summaries in namespace_summaries(node).items():
        for name, summary in summaries.items():
            count, total = int(summary.count), int(summary.sum)
            values[f"avg_{name}_{full}"] = decimal(total / count if count else 0.0)
            values[f"min_{name}_{full}"] = int(summary.min)
            values[f"max_{name}_{full}"] = int(summary.max)
            values[f"cnt_{name}_{full}"] = count
            values[f"sum_{name}_{full}"] = total
    return values


def version() -> str:
    from ensemble.server.four_letter import VERSION

    return VERSION


EMPTY: Final = Histogram()


def prometheus(node: "Node") -> str:
    """The text exposition format, names without `zk_` as the Java provider has them."""
    lines: list[str] = []
    for name, gauge in {**gauges(node), **namespace_gauges(node)}.items():
        name = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
        lines.append(f"# HELP {name} {name}\n# TYPE {name} gauge\n{name} {gauge}\n")
    for name, count in counters(node).items():
        lines.append(f"# HELP {name} {name}\n# TYPE {name} counter\n{name} {count}\n")
    measured = histograms(node)
    for name in SUMMARIES + PERCENTILE_SUMMARIES:
        histogram = measured.get(name, EMPTY)
        quantiles = ("0.5", "0.9", "0.99") if name in PERCENTILE_SUMMARIES else ("0.5",)
        lines.append(f"# HELP {name} {name}\n# TYPE {name} summary\n")
        lines += [f'{name}{{quantile="{q}"}} {histogram.quantile(float(q))}\n' for q in quantiles]
        lines.append(f"{name}_count {histogram.count}\n{name}_sum {histogram.sum}\n")
    lines += namespace_lines(node)
    return "".join(lines)


def namespace_lines(node: "Node") -> list[str]:
    """Sets by namespace as Apache's provider writes them: the name in the label `key`."""
    refused = "quota_exceeded_error_per_namespace"
    lines = [f"# HELP {refused} {refused}\n# TYPE {refused} counter\n"]
    for name, times in namespace_refusals(node).items():
        lines.append(f'{refused}{{key="{escaped(name)}"}} {times}\n')
    for full, summaries in namespace_summaries(node).items():
        lines.append(f"# HELP {full} {full}\n# TYPE {full} summary\n")
        for name, summary in summaries.items():
            label = f'key="{escaped(name)}"'
            lines.append(f"{full}_count{{{label}}} {summary.count}\n")
            lines.append(f"{full}_sum{{{label}}} {summary.sum}\n")
    return lines


def escaped(value: str) -> str:
    """A label's value in the text format."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
