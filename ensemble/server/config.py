"""The configuration: read once, checked once, frozen.

Source: admin.md section 5. zoo.cfg and the system properties (-Dzookeeper.key=value) of the Java
server are taken as they are; our own keys begin with `ensemble.`. A key that nobody knows is named
in `Config.unknown`; a value that cannot be used refuses the start, with key, value and reason.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Final

from ensemble.errors import ConfigError
from ensemble.server.properties import logical_lines, parse_properties, split_key, unescape
from ensemble.server.quorum_config import QuorumOptions, quorum

# Known and without effect here: they tune machinery that this server does not have.
IGNORED_PREFIXES: Final = (
    "nio.",
    "netty.",
    "commitProcessor.",
    "jvm.pause.",
    "pathStats.",
    "messageTracker.",
    "kerberos.",
    "jmx",
    "jaas",
    "java.",
    "sun.",
    "javax.",
    "user.",
    "os.",
    "file.",
    "log4j",
    "logback",
    "slf4j",
    "metricsProvider.",
    "quorum.",
    "leader.",
    "observer.",
    "fastleader.",
    "multiAddress.",
    "com.sun.",
)
IGNORED: Final = frozenset(
    """serverCnxnFactory watchManagerName watcherCleanThreadsNum watcherCleanIntervalInSeconds
    watcherCleanThreshold maxInProcessingDeadWatchers bitHashCacheSize intBufferStartingSizeBytes
    electionAlg initLimit syncLimit standaloneEnabled quorumListenOnAllIPs leaderServes cnxTimeout
    quorumCnxnTimeoutMs electionPortBindRetry syncEnabled connectToLearnerMasterLimit
    observerMasterPort snapshotSizeFactor commitLogCount maxResponseCacheSize
    maxGetChildrenResponseCacheSize enableEagerACLCheck sslQuorum portUnification
    localSessionsEnabled localSessionsUpgradingEnabled readonlymode.enabled tcpKeepAlive
    follower.nodelay oraclePath flushDelay maxWriteQueuePollTime maxBatchSize peerType
    sslQuorumReloadCertFiles advancedFlowControlEnabled admin.httpVersion""".split()
)
# Apache's server does something with these that this one does not, yet: who asks for it is told.
# Key -> the value that asks for nothing.
NOT_YET: Final = {
    "audit.enable": "false",
    "clientTcpKeepAlive": "false",
    "emulate353TTLNodes": "false",
    "largeRequestThreshold": "-1",
    "txnLogSizeLimitInKb": "-1",
}
SPELLINGS: Final = {
    "requestThrottleLimit": "request_throttle_max_requests",
    "requestThrottleStallTime": "request_throttle_stall_time",
    "requestThrottleDropStale": "request_throttle_drop_stale",
    "connectionMaxTokens": "connection_throttle_tokens",
    "throttledOpWaitTime": "throttled_op_wait_time",
}
SECRET_KEY: Final = re.compile(r"(password|secret|superdigest)$", re.IGNORECASE)
MEMBER_KEY: Final = re.compile(r"(server|group|weight)\.\d+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """Bounds on session timeouts (tickTime, min/maxSessionTimeout), milliseconds."""

    tick_ms: int = 3_000
    timeout_min_ms: int = 6_000
    timeout_max_ms: int = 60_000

    def __post_init__(self) -> None:
        if self.tick_ms <= 0:
            raise ConfigError(f"{self.tick_ms}, at least 1", "tickTime")
        if self.timeout_min_ms > self.timeout_max_ms:
            raise ConfigError(
                f"{self.timeout_min_ms} is above maxSessionTimeout={self.timeout_max_ms}",
                "minSessionTimeout",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPorts:
    """Where clients connect, and how many may."""

    host: str = ""
    port: int = -1
    secure_host: str = ""
    secure_port: int = -1
    backlog: int = -1
    per_host_max: int = 60
    total_max: int = 0
    frame_bytes_max: int = 0xFFFFF
    extra_bytes_max: int = 0xFFFFF
    outstanding_max: int = 1_000
    throttle_max_requests: int = 0
    throttled_op_wait_ms: int = 0
    sessionless_ms: int = 10_000
    watches_max: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """Folders, the log, snapshots, purging."""

    data_dir: str
    log_dir: str
    prealloc_kb: int = 65_536
    force_sync: bool = True
    snap_count: int = 100_000
    snap_size_kb: int = 4_194_304
    compression: str = ""
    digest_enabled: bool = True
    last_zxid_enabled: bool = True
    trust_empty: bool = False
    autocreate: bool = True
    fsync_warning_ms: int = 1_000
    purge_retain: int = 3
    purge_hours: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeOptions:
    """What the tree allows."""

    extended_types: bool = False
    enforce_quota: bool = False
    skip_acl: bool = False
    close_session_txn: bool = True
    reconfig_enabled: bool = False
    container_check_ms: int = 60_000
    container_max_per_minute: int = 10_000
    container_never_used_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthOptions:
    """Schemes, the super user, enforced authentication."""

    digest_enabled: bool = True
    digest_algorithm: str = "sha1"
    super_digest: str = ""
    x509_super: str = ""
    sasl_super: tuple[str, ...] = ()
    sasl_super_password: str = ""
    providers: tuple[str, ...] = ()
    jaas_file: str = ""
    enforce_schemes: tuple[str, ...] = ()
    allow_failed_sasl: bool = False
    session_password: str = "secret"
    ensemble_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """The secure client port's key and trust stores (ssl.*)."""

    key_store: str = ""
    key_password: str = ""
    key_type: str = ""
    trust_store: str = ""
    trust_password: str = ""
    trust_type: str = ""
    client_auth: str = "need"
    protocol: str = ""
    ciphers: str = ""
    crl: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminOptions:
    """The operator's ports: four-letter words, the AdminServer, metrics, the audit log, logs."""

    words: tuple[str, ...] = ()
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 8_080
    command_url: str = "/commands"
    snapshot_enabled: bool = True
    restore_enabled: bool = True
    rate_limit_ms: int = 300_000
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    audit: bool = False
    audit_file: str = ""
    log_level: str = "INFO"
    log_format: str = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything, in sections. `text` is the file as read, `unknown` the keys without effect."""

    server_id: int
    sessions: SessionLimits
    ports: ClientPorts
    storage: StorageOptions
    tree: TreeOptions
    auth: AuthOptions
    tls: TlsOptions
    admin: AdminOptions
    quorum: QuorumOptions | None = None  # None: this server stands alone
    text: str = ""
    unknown: tuple[str, ...] = ()
    system_properties: dict[str, str] = field(default_factory=dict)

    def masked_text(self) -> str:
        """The file's settings as read, without comments and secrets (trust.md E7)."""
        lines: list[str] = []
        for _, line in logical_lines(self.text):
            key = unescape(split_key(line)[0], "").strip()
            lines.append(f"{key}=***" if SECRET_KEY.search(key) else line)
        return "\n".join(lines)


class Keys:
    """All settings under the names of zoo.cfg, and the reading of their values."""

    def __init__(self, file_keys: dict[str, str], properties: dict[str, str]) -> None:
        self.values: dict[str, str] = {}
        for name, value in properties.items():
            self.put(name.removeprefix("zookeeper."), value)
        for name, value in file_keys.items():
            self.put(name, value)  # zoo.cfg overrides the system property of the same meaning
        self.used: set[str] = set()

    def put(self, name: str, value: str) -> None:
        self.values[SPELLINGS.get(name, name)] = value

    def text(self, name: str, default: str = "") -> str:
        self.used.add(name)
        return self.values.get(name, default)

    def number(self, name: str, default: int, least: int, most: int = 1 << 31) -> int:
        """A decimal number within bounds."""
        self.used.add(name)
        raw = self.values.get(name)
        if raw is None:
            return default
        try:
            value = int(raw, 0) if raw.lower().startswith("0x") else int(raw)
        except ValueError:
            raise ConfigError(f"{shown(name, raw)!r} is no number", name) from None
        if not least <= value <= most:
            raise ConfigError(f"{value}, it must be within {least} and {most}", name)
        return value

    def flag(self, name: str, default: bool, yes_no: bool = False) -> bool:
        """true or false in any case; with `yes_no` also yes and no."""
        self.used.add(name)
        raw = self.values.get(name)
        if raw is None:
            return default
        lower = raw.lower()
        if lower == "true" or (yes_no and lower == "yes"):
            return True
        if lower == "false" or (yes_no and lower == "no"):
            return False
        raise ConfigError(f"{raw!r} is neither true nor false", name)

    def one_of(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default).lower()
        if value not in allowed:
            raise ConfigError(f"{value!r}, one of {', '.join(repr(a) for a in allowed)}", name)
        return value

    def listed(self, name: str) -> tuple[str, ...]:
        """Comma-separated words."""
        return tuple(word.strip() for word in self.text(name).split(",") if word.strip())

    def password(self, name: str) -> str:
        """A password, or the first line of the file that `<name>Path` names."""
        value = self.text(name)
        path = self.text(f"{name}Path")
        if not path:
            return value
        try:
            with open(path, encoding="utf-8") as file:
                return file.readline().rstrip("\r\n")
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}", f"{name}Path") from None

    def with_prefix(self, prefix: str) -> dict[str, str]:
        """The settings whose names begin with `prefix`, by the rest of the name."""
        names = [name for name in self.values if name.startswith(prefix)]
        self.used.update(names)
        return {name[len(prefix) :]: self.values[name] for name in sorted(names)}

    def unknown(self) -> tuple[str, ...]:
        """Keys that ask for something that does not happen here."""
        found = [
            name
            for name in self.values
            if name not in self.used
            and name not in IGNORED
            and name not in NOT_YET
            and not name.startswith(IGNORED_PREFIXES)
        ]
        found += [
            name
            for name, nothing in NOT_YET.items()
            if self.values.get(name, nothing).lower() != nothing
        ]
        return tuple(sorted(found))


def shown(name: str, value: str) -> str:
    """A value as it may be printed: secrets never (trust.md E7)."""
    return "***" if SECRET_KEY.search(name) else value


def load_config(arguments: list[str], properties: dict[str, str]) -> Config:
    """From the arguments of the Java server: a zoo.cfg, or `port dataDir [tickTime
    [maxClientCnxns]]`.

    Raises:
        ConfigError: names the key, the value and the reason.
    """
    text = ""
    if len(arguments) == 1:
        path = arguments[0]
        try:
            with open(path, "rb") as file:
                raw = file.read()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        text = raw.decode("iso-8859-1")
        file_keys = parse_properties(raw, path)
    elif 2 <= len(arguments) <= 4:
        names = ("clientPort", "dataDir", "tickTime", "maxClientCnxns")
        file_keys = dict(zip(names, arguments, strict=False))
    else:
        raise ConfigError("give a zoo.cfg, or: port dataDir [tickTime [maxClientCnxns]]")
    return build(Keys(file_keys, properties), text, properties)


def build(keys: Keys, text: str, properties: dict[str, str]) -> Config:
    data_dir = keys.text("dataDir")
    if not data_dir:
        raise ConfigError("is missing: the folder that holds the data", "dataDir")
    tick_ms = keys.number("tickTime", 3_000, 1)
    least_ms = keys.number("minSessionTimeout", -1, -1)
    most_ms = keys.number("maxSessionTimeout", -1, -1)
    server_id = read_server_id(data_dir)
    quorum_options = quorum(keys, server_id, tick_ms)
    config = Config(
        server_id=server_id,
        quorum=quorum_options,
        sessions=SessionLimits(
            tick_ms=tick_ms,
            timeout_min_ms=2 * tick_ms if least_ms == -1 else least_ms,
            timeout_max_ms=20 * tick_ms if most_ms == -1 else most_ms,
        ),
        ports=client_ports(keys),
        storage=storage(keys, data_dir),
        tree=tree(keys),
        auth=auth(keys, quorum_options is not None),
        tls=tls(keys),
        admin=admin(keys),
        text=text,
        unknown=keys.unknown(),
        system_properties={n: shown(n, v) for n, v in sorted(properties.items())},
    )
    if config.ports.port < 0 and config.ports.secure_port < 0:
        raise ConfigError("is missing: set clientPort, secureClientPort, or both", "clientPort")
    return config


def read_server_id(data_dir: str) -> int:
    """`myid`, or 1: a standalone server needs none."""
    path = os.path.join(data_dir, "myid")
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            line = file.readline().rstrip("\n")
    except FileNotFoundError:
        return 1
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "myid") from None
    if not line.isascii() or not line.isdigit() or not 0 <= int(line) <= 255:
        raise ConfigError(f"{path} holds {line[:40]!r}, a number from 0 to 255 is expected", "myid")
    return int(line)


def client_ports(keys: Keys) -> ClientPorts:
    port = keys.number("clientPort", -1, -1, 65_535)
    host = keys.text("clientPortAddress")
    if host and port < 0:
        raise ConfigError(f"{host} is given without clientPort", "clientPortAddress")
    secure_port = keys.number("secureClientPort", -1, -1, 65_535)
    secure_host = keys.text("secureClientPortAddress")
    if secure_host and secure_port < 0:
        raise ConfigError(f"{secure_host} is given without secureClientPort", "secureClientPort")
    frame = keys.number("jute.maxbuffer", 0xFFFFF, 1, (1 << 30) - 1)
    return ClientPorts(
        host=host,
        port=port,
        secure_host=secure_host,
        secure_port=secure_port,
        backlog=keys.number("clientPortListenBacklog", -1, -1),
        per_host_max=keys.number("maxClientCnxns", 60, 0),
        total_max=keys.number("maxCnxns", 0, 0),
        frame_bytes_max=frame,
        extra_bytes_max=max(1_024, keys.number("jute.maxbuffer.extrasize", frame, 0, 1 << 30)),
        outstanding_max=keys.number("globalOutstandingLimit", 1_000, 1),
        throttle_max_requests=keys.number("request_throttle_max_requests", 0, 0),
        throttled_op_wait_ms=keys.number("throttled_op_wait_time", 0, 0),
        sessionless_ms=keys.number("nio.sessionlessCnxnTimeout", 10_000, 1),
        watches_max=keys.number("ensemble.watchesPerConnectionMax", 1_000_000, 0),
    )


def storage(keys: Keys, data_dir: str) -> StorageOptions:
    return StorageOptions(
        data_dir=data_dir,
        log_dir=keys.text("dataLogDir", data_dir) or data_dir,
        prealloc_kb=keys.number("preAllocSize", 65_536, 0, 1 << 24),
        force_sync=keys.flag("forceSync", True, yes_no=True),
        snap_count=keys.number("snapCount", 100_000, 0),
        snap_size_kb=keys.number("snapSizeLimitInKb", 4_194_304, -1, 1 << 40),
        compression=keys.one_of("snapshot.compression.method", "", ("", "gz", "snappy")),
        digest_enabled=keys.flag("digest.enabled", True),
        last_zxid_enabled=keys.flag("serializeLastProcessedZxid.enabled", True),
        trust_empty=keys.flag("snapshot.trust.empty", False),
        autocreate=keys.flag("db.autocreate", True) and keys.flag("datadir.autocreate", True),
        fsync_warning_ms=keys.number("fsync.warningthresholdms", 1_000, 0),
        purge_retain=max(3, keys.number("autopurge.snapRetainCount", 3, 0)),
        purge_hours=keys.number("autopurge.purgeInterval", 0, 0),
    )


def tree(keys: Keys) -> TreeOptions:
    return TreeOptions(
        extended_types=keys.flag("extendedTypesEnabled", False),
        enforce_quota=keys.flag("enforceQuota", False),
        skip_acl=keys.flag("skipACL", False, yes_no=True),
        close_session_txn=keys.flag("closeSessionTxn.enabled", True),
        reconfig_enabled=keys.flag("reconfigEnabled", False),
        container_check_ms=keys.number("znode.container.checkIntervalMs", 60_000, 1),
        container_max_per_minute=keys.number("znode.container.maxPerMinute", 10_000, 1),
        container_never_used_ms=keys.number("znode.container.maxNeverUsedIntervalMs", 0, 0),
    )


def auth(keys: Keys, member: bool) -> AuthOptions:
    enforced: tuple[str, ...] = ()
    if keys.flag("enforce.auth.enabled", False):
        enforced = keys.listed("enforce.auth.schemes")
        if not enforced:
            raise ConfigError("is empty, though enforce.auth.enabled=true", "enforce.auth.schemes")
    if keys.flag("sessionRequireClientSASLAuth", False):
        enforced = (*enforced, "sasl")
    super_digest = keys.text("DigestAuthenticationProvider.superDigest")
    if super_digest and ":" not in super_digest:
        raise ConfigError(
            "has no colon: user:base64 is expected", "DigestAuthenticationProvider.superDigest"
        )
    return AuthOptions(
        digest_enabled=keys.flag("DigestAuthenticationProvider.enabled", True),
        digest_algorithm=keys.text("DigestAuthenticationProvider.digestAlg", "SHA1")
        .lower()
        .replace("-", ""),
        super_digest=super_digest,
        x509_super=keys.text("X509AuthenticationProvider.superUser"),
        sasl_super=tuple(keys.with_prefix("superUser").values()),
        sasl_super_password=keys.text("SASLAuthenticationProvider.superPassword"),
        providers=tuple(keys.with_prefix("authProvider.").values()),
        jaas_file=keys.text("java.security.auth.login.config"),
        enforce_schemes=enforced,
        allow_failed_sasl=keys.flag("allowSaslFailedClients", False),
        # Clients move between the servers of an ensemble: without a secret that all of them have,
        # only Apache's derivation lets them.
        session_password=keys.one_of(
            "ensemble.sessionPassword", "apache" if member else "secret", ("secret", "apache")
        ),
        ensemble_names=keys.listed("ensembleAuthName"),
    )


def tls(keys: Keys) -> TlsOptions:
    return TlsOptions(
        key_store=keys.text("ssl.keyStore.location"),
        key_password=keys.password("ssl.keyStore.password"),
        key_type=keys.text("ssl.keyStore.type").upper(),
        trust_store=keys.text("ssl.trustStore.location"),
        trust_password=keys.password("ssl.trustStore.password"),
        trust_type=keys.text("ssl.trustStore.type").upper(),
        client_auth=keys.one_of("ssl.clientAuth", "need", ("need", "want", "none")),
        protocol=keys.text("ssl.protocol"),
        ciphers=keys.text("ssl.ciphersuites"),
        crl=keys.flag("ssl.crl", False),
    )


def admin(keys: Keys) -> AdminOptions:
    prometheus = "Prometheus" in keys.text("metricsProvider.className")
    return AdminOptions(
        words=keys.listed("4lw.commands.whitelist"),
        enabled=keys.text("admin.enableServer", "true").lower() != "false",
        host=keys.text("admin.serverAddress", "127.0.0.1"),
        port=keys.number("admin.serverPort", 8_080, 0, 65_535),
        command_url=keys.text("admin.commandURL", "/commands"),
        snapshot_enabled=keys.flag("admin.snapshot.enabled", True),
        restore_enabled=keys.flag("admin.restore.enabled", True),
        rate_limit_ms=keys.number("admin.rateLimiterIntervalInMS", 300_000, 0),
        metrics_host=keys.text("metricsProvider.httpHost", "127.0.0.1"),
        metrics_port=keys.number("metricsProvider.httpPort", 7_000, 0, 65_535) if prometheus else 0,
        audit=keys.flag("audit.enable", False),
        audit_file=keys.text("ensemble.audit.file"),
        log_level=keys.one_of(
            "ensemble.log.level", "info", ("debug", "info", "warning", "error")
        ).upper(),
        log_format=keys.one_of("ensemble.log.format", "text", ("text", "json")),
    )
