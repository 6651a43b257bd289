"""Settings of Apache's server that have no effect here, each with the reason.

`TUNING` concerns machinery that this server does not have: leaving it out changes nothing that a
client or an operator could count on, so one line of the log names what was found. `UNSUPPORTED`
is what somebody may count on: a value other than the default is a warning of its own.
"""

from typing import Final

NO_JVM: Final = "there is no JVM"

# A name that ends with `*` stands for all that begin so.
TUNING: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("nio.*", "netty.*", "serverCnxnFactory", "advancedFlowControlEnabled"),
        "one epoll serves all connections",
    ),
    **dict.fromkeys(
        ("commitProcessor.*", "flushDelay", "maxWriteQueuePollTime", "maxBatchSize"),
        "a batch is what came in while the one before was synced",
    ),
    **dict.fromkeys(
        (
            *("watchManagerName", "watcherClean*", "maxInProcessingDeadWatchers"),
            "bitHashCacheSize",
        ),
        "the watches of a connection go when it goes",
    ),
    **dict.fromkeys(
        (
            *("maxResponseCacheSize", "maxGetChildrenResponseCacheSize"),
            "intBufferStartingSizeBytes",
        ),
        "replies are written straight from the tree",
    ),
    **dict.fromkeys(
        (
            *("jvm.pause.*", "java.*", "javax.*", "sun.*", "com.sun.*", "jmx*", "jaas*"),
            *("user.*", "os.*", "file.*", "metricsProvider.*"),
        ),
        NO_JVM,
    ),
    **dict.fromkeys(("log4j*", "logback*", "slf4j*"), "see ensemble.log.level and .format"),
    **dict.fromkeys(("pathStats.*", "messageTracker.*"), "an aid for that server's developers"),
    **dict.fromkeys(
        ("multiAddress.*", "leaderConnectDelayDuringRetryMs"),
        "a server's addresses are tried side by side, and again after 10 to 100 ms",
    ),
    **dict.fromkeys(
        ("tcpKeepAlive", "follower.nodelay", "leader.nodelay"), "always, between servers"
    ),
    **dict.fromkeys(
        ("quorum.cnxn.threads.size", "leader.closeSocketAsync", "learner.*"),
        "one epoll serves all connections, and nothing in it waits",
    ),
    "leader.maxConcurrentDiffSyncs": "a DIFF takes no process of its own",
    "snapshotSizeFactor": "a learner gets what the log holds, if that is whole, else the snapshot",
    "electionPortBindRetry": "a port that is taken refuses the start",
    "syncEnabled": "an observer keeps its log, always",
    "request_throttle_*": "what is over a limit is not read, so there is no queue to tune",
    **dict.fromkeys(
        (
            *(
                "connection_throttle_global_session_weight",
                "connection_throttle_renew_session_weight",
            ),
            "connection_throttle_local_session_weight",
        ),
        "every new session takes one token",
    ),
    "enableEagerACLCheck": "permissions are always checked when a request arrives",
    "admin.httpVersion": "HTTP/1.1",
    "ssl.hostnameVerification": "a server verifies no server's name",
    "ssl.allowReverseDnsLookup": "names are never looked up by address",
    "ssl.sslProvider": "OpenSSL",
    "ssl.handshakeDetectionTimeoutMillis": "nio.sessionlessCnxnTimeout bounds handshakes, too",
    "fips-mode": "it concerns Java's TLS",
}

# name -> (the values that ask for nothing, reason)
UNSUPPORTED: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "leader.maxTimeToWaitForEpoch": (("-1",), "a leader without a quorum gives up after initLimit"),
    "observer.reconnectDelayMs": (("0",), "an observer looks for a leader again at once"),
    "observer.election.DelayMs": (("0", "200"), "an observer looks for a leader again at once"),
    "observerMasterPort": ((), "observers learn from the leader only"),
    "oraclePath": ((), "a quorum is a majority, or one of a hierarchy"),
    "quorum.auth.kerberos.*": ((), "SASL GSSAPI is not supported, DIGEST-MD5 is"),
    "connection_throttle_weight_enabled": (("false",), "every new session takes one token"),
    "emulate353TTLNodes": (("false",), "TTL nodes have the layout of 3.6 and later"),
    "kerberos.*": ((), "SASL GSSAPI is not supported, DIGEST-MD5 is"),
    "admin.portUnification": (("false",), "use admin.forceHttps: one protocol on the admin port"),
    "IPAuthenticationProvider.usexforwardedfor": (
        ("false",),
        "X-Forwarded-For is never believed, whoever sends it",
    ),
    "audit.impl.class": (
        ("org.apache.zookeeper.audit.slf4jauditlogger",),
        "Java classes cannot be loaded, the built-in journal writes",
    ),
    "ssl.ocsp": (("false",), "revocation is checked by lists, see ssl.crl"),
    "ssl.clientHostnameVerification": (
        ("false",),
        "the name in a client's certificate is not compared with its address",
    ),
    "ssl.authProvider": (("x509",), "Java classes cannot be loaded"),
    "ssl.context.supplier.class": (("",), "Java classes cannot be loaded"),
}


def find(name: str, names: dict[str, str] | dict[str, tuple[tuple[str, ...], str]]) -> str | None:
    """The entry that `name` falls under: its own, or one with `*`."""
    if name in names:
        return name
    return next((key for key in names if key[-1] == "*" and name.startswith(key[:-1])), None)


def unsupported(values: dict[str, str]) -> tuple[str, ...]:
    """`key=value: reason` for what somebody may count on in vain."""
    found: list[str] = []
    for name, value in sorted(values.items()):
        key = find(name, UNSUPPORTED)
        if key is not None:
            harmless, reason = UNSUPPORTED[key]
            if value.lower() not in harmless:
                found.append(f"{name}={value} has no effect: {reason}")
    return tuple(found)


def is_known(name: str) -> bool:
    return find(name, TUNING) is not None or find(name, UNSUPPORTED) is not None
