"""Counters that the hot path increments; everybody else only reads them.

Names and meanings are those of ZooKeeper's own statistics (admin.md sections 1.4 and 1.5).
"""

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from ensemble.wire import codes

BUCKETS_PER_POWER: Final = 8
HISTOGRAM_SIZE: Final = 24 * BUCKETS_PER_POWER

LAST_OP_NAMES: Final = {
    codes.OP_CREATE: "CREA",
    codes.OP_CREATE2: "CREA",
    codes.OP_CREATE_CONTAINER: "CREA",
    codes.OP_CREATE_TTL: "CREA",
    codes.OP_DELETE: "DELE",
    codes.OP_DELETE_CONTAINER: "DELE",
    codes.OP_EXISTS: "EXIS",
    codes.OP_GET_DATA: "GETD",
    codes.OP_SET_DATA: "SETD",
    codes.OP_GET_ACL: "GETA",
    codes.OP_SET_ACL: "SETA",
    codes.OP_GET_CHILDREN: "GETC",
    codes.OP_GET_CHILDREN2: "GETC",
    codes.OP_GET_ALL_CHILDREN_NUMBER: "GETACN",
    codes.OP_GET_EPHEMERALS: "GETE",
    codes.OP_CHECK: "CHEC",
    codes.OP_SYNC: "SYNC",
    codes.OP_MULTI: "MULT",
    codes.OP_MULTI_READ: "MLTR",
    codes.OP_SET_WATCHES: "SETW",
    codes.OP_SET_WATCHES2: "STW2",
    codes.OP_ADD_WATCH: "ADDW",
    codes.OP_CHECK_WATCHES: "CHKW",
    codes.OP_REMOVE_WATCHES: "REMW",
    codes.OP_RECONFIG: "RECO",
    codes.OP_WHO_AM_I: "HOMI",
    codes.OP_PING: "PING",
    codes.OP_CREATE_SESSION: "SESS",
    codes.OP_CLOSE_SESSION: "CLOS",
}


@final
class Histogram:
    """A log-linear histogram of non-negative integers: 8 buckets for each power of two.

    Percentiles are exact to an eighth; `count`, `sum`, `min` and `max` are exact. `min` and `max`
    are 0 while it is empty, as ZooKeeper prints them.
    """

    __slots__ = ("buckets", "count", "max", "min", "sum")

    def __init__(self) -> None:
        self.buckets: Final = vec[i64]([0] * HISTOGRAM_SIZE)
        self.count: i64 = 0
        self.sum: i64 = 0
        self.min: i64 = 0
        self.max: i64 = 0

    def record(self, value: i64) -> None:
        if value < 0:
            value = 0
        if self.count == 0 or value < self.min:
            self.min = value
        if value > self.max:
            self.max = value
        self.count += 1
        self.sum += value
        self.buckets[bucket_of(value)] += 1

    def average(self) -> float:
        return int(self.sum) / int(self.count) if self.count else 0.0

    def quantile(self, q: float) -> int:
        """The value that a share `q` of all recorded ones does not exceed."""
        wanted = q * int(self.count)
        seen = 0
        for index in range(HISTOGRAM_SIZE):
            seen += self.buckets[index]
            if seen and seen >= wanted:
                return int(min(bucket_top(index), self.max))
        return int(self.max)

    def reset(self) -> None:
        for index in range(HISTOGRAM_SIZE):
            self.buckets[index] = 0
        self.count = 0
        self.sum = 0
        self.min = 0
        self.max = 0


def bucket_of(value: i64) -> i64:
    """0 to 7 have a bucket each; beyond, 8 buckets for each power of two."""
    power: i64 = 0
    while value >= 2 * BUCKETS_PER_POWER:
        value >>= 1
        power += 1
    if value >= BUCKETS_PER_POWER:
        power += 1
        value -= BUCKETS_PER_POWER
    index = power * BUCKETS_PER_POWER + value
    return index if index < HISTOGRAM_SIZE else HISTOGRAM_SIZE - 1


def bucket_top(index: i64) -> i64:
    """The largest value of a bucket."""
    power = index // BUCKETS_PER_POWER
    value = index % BUCKETS_PER_POWER
    if power == 0:
        return value
    return ((value + BUCKETS_PER_POWER + 1) << (power - 1)) - 1


@final
class ConnectionStats:
    """What `cons` shows of one connection. Times in milliseconds, monotonic but for `since_ms`."""

    __slots__ = (
        "count",
        "last_cxid",
        "last_latency_ms",
        "last_op",
        "last_response_ms",
        "last_zxid",
        "max_ms",
        "min_ms",
        "received",
        "sent",
        "session_id",
        "since_ms",
        "sum_ms",
        "timeout_ms",
    )

    def __init__(self, since_ms: i64) -> None:
        self.since_ms: Final = since_ms
        self.received: i64 = 0
        self.sent: i64 = 0
        self.session_id: i64 = 0
        self.timeout_ms: i64 = 0
        self.last_op: i64 = 0
        self.last_cxid: i64 = -1
        self.last_zxid: i64 = -1
        self.last_response_ms: i64 = 0
        self.last_latency_ms: i64 = 0
        self.count: i64 = 0
        self.sum_ms: i64 = 0
        self.min_ms: i64 = -1
        self.max_ms: i64 = 0

    def on_connect(self) -> None:
        self.received += 1

    def on_session(self, session_id: i64, timeout_ms: i64) -> None:
        self.session_id = session_id
        self.timeout_ms = timeout_ms
        self.last_op = codes.OP_CREATE_SESSION

    def on_request(self, op: i64, cxid: i64) -> None:
        self.received += 1
        self.last_op = op
        if cxid > 0:
            self.last_cxid = cxid

    def on_reply(self, zxid: i64, now_ms: i64, latency_ms: i64) -> None:
        self.sent += 1
        self.last_zxid = zxid
        self.last_response_ms = now_ms
        self.last_latency_ms = latency_ms
        self.count += 1
        self.sum_ms += latency_ms
        if self.min_ms < 0 or latency_ms < self.min_ms:
            self.min_ms = latency_ms
        if latency_ms > self.max_ms:
            self.max_ms = latency_ms

    def reset(self) -> None:
        """crst."""
        self.received = 0
        self.sent = 0
        self.last_op = 0
        self.last_cxid = -1
        self.last_zxid = -1
        self.last_response_ms = 0
        self.last_latency_ms = 0
        self.count = 0
        self.sum_ms = 0
        self.min_ms = -1
        self.max_ms = 0

    def last_op_name(self) -> str:
        return LAST_OP_NAMES.get(int(self.last_op), "NA")


@final
class ServerStats:
    """Counters of the whole server. Latencies in milliseconds, sizes in bytes."""

    __slots__ = (
        "auth_failures",
        "bytes_received",
        "bytes_sent",
        "connection_requests",
        "connections_dropped",
        "connections_rejected",
        "digest_mismatches",
        "election_ms",
        "ensemble_auth_failures",
        "ensemble_auth_successes",
        "follower_sync_ms",
        "fsync_ms",
        "fsync_slow",
        "insecure_admin",
        "large_requests_rejected",
        "latency",
        "leader_unavailable_ms",
        "observer_sync_ms",
        "protocol_errors",
        "read_latency",
        "reattachments",
        "received",
        "recovered_txns",
        "recovery_ms",
        "restore_errors",
        "restore_ms",
        "restores_limited",
        "revalidations",
        "sent",
        "sessionless_expired",
        "sessions_expired",
        "snapshot_errors",
        "snapshot_ms",
        "snapshots_limited",
        "sync_batch",
        "throttled_ops",
        "token_deficit",
        "unavailable_ms",
        "unsuccessful_handshakes",
        "update_latency",
    )

    def __init__(self) -> None:
        self.received: i64 = 0
        self.sent: i64 = 0
        self.bytes_received: i64 = 0
        self.bytes_sent: i64 = 0
        self.latency: Final = Histogram()
        self.read_latency: Final = Histogram()
        self.update_latency: Final = Histogram()
        self.fsync_ms: Final = Histogram()
        self.snapshot_ms: Final = Histogram()
        self.recovered_txns: Final = Histogram()
        self.recovery_ms: Final = Histogram()
        self.restore_ms: Final = Histogram()
        self.sync_batch: Final = Histogram()
        self.token_deficit: Final = Histogram()
        # Of an ensemble's member: from the begin of a search, and from its end, to serving.
        self.election_ms: Final = Histogram()
        self.unavailable_ms: Final = Histogram()
        self.leader_unavailable_ms: Final = Histogram()
        self.follower_sync_ms: Final = Histogram()
        self.observer_sync_ms: Final = Histogram()
        self.auth_failures: i64 = 0
        self.connection_requests: i64 = 0
        self.connections_dropped: i64 = 0
        self.connections_rejected: i64 = 0
        self.digest_mismatches: i64 = 0
        self.ensemble_auth_failures: i64 = 0
        self.ensemble_auth_successes: i64 = 0
        self.fsync_slow: i64 = 0
        self.insecure_admin: i64 = 0
        self.large_requests_rejected: i64 = 0
        self.protocol_errors: i64 = 0
        self.reattachments: i64 = 0  # clients that came back with a session
        self.restore_errors: i64 = 0
        self.restores_limited: i64 = 0
        self.revalidations: i64 = 0
        self.sessionless_expired: i64 = 0
        self.sessions_expired: i64 = 0
        self.snapshot_errors: i64 = 0
        self.snapshots_limited: i64 = 0
        self.throttled_ops: i64 = 0
        self.unsuccessful_handshakes: i64 = 0

    def on_read(self, latency_ms: i64) -> None:
        self.sent += 1
        self.latency.record(latency_ms)
        self.read_latency.record(latency_ms)

    def on_update(self, latency_ms: i64) -> None:
        self.sent += 1
        self.latency.record(latency_ms)
        self.update_latency.record(latency_ms)

    def reset(self) -> None:
        """srst: latencies and packet counts begin anew."""
        self.received = 0
        self.sent = 0
        self.latency.reset()
