"""The configuration: read once, checked once, frozen.

Source: admin.md section 5. zoo.cfg and the system properties (-Dzookeeper.key=value) of the Java
server are taken as they are; our own keys begin with `ensemble.`. A key that nobody knows is named
in `Config.unknown`, those without effect stand in `ignored_keys`; a value that cannot be used
refuses the start, with key, value and reason.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Final

from ensemble.errors import ConfigError
from ensemble.server import ignored_keys
from ensemble.server.audit_config import AuditOptions, read_audit
from ensemble.server.ignored_keys import TUNING
from ensemble.server.keys import SECRET_KEY, Keys, shown
from ensemble.server.observe_config import (
    AccessOptions,
    ObserveOptions,
    TelemetryOptions,
    access,
    observe,
    telemetry,
)
from ensemble.server.properties import logical_lines, parse_properties, split_key, unescape
from ensemble.server.quorum_config import QuorumOptions, read_quorum
from ensemble.server.tenancy_config import WallOptions, wall

COMMAND_URL: Final = re.compile(r"(/[\w.~-]+)+")


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
    large_threshold: int = -1
    large_bytes_max: int = 104_857_600
    keep_alive: bool = False
    is_fair: bool = True
    rate_wait_ms: int = 500
    unified: bool = False
    reload_certificates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTokens:
    """How fast sessions may be opened (connection_throttle_*); 0 tokens: as fast as they come."""

    tokens: int = 0
    fill_ms: int = 1
    fill_count: int = 1
    freeze_ms: int = -1
    drop_increase: float = 0.02
    drop_decrease: float = 0.002
    decrease_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """Folders, the log, snapshots, purging."""

    data_dir: str
    log_dir: str
    prealloc_kb: int = 65_536
    log_size_kb: int = -1
    force_sync: bool = True
    snap_count: int = 100_000
    snap_size_kb: int = 4_194_304
    compression: str = ""
    digest_enabled: bool = True
    last_zxid_enabled: bool = True
    trust_empty: bool = False
    autocreate: bool = True
    create_folders: bool = True
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
    any_sasl_user_as: str = ""
    providers: tuple[str, ...] = ()
    jaas_file: str = ""
    enforce_schemes: tuple[str, ...] = ()
    allow_failed_sasl: bool = False
    session_password: str = "secret"
    ensemble_names: tuple[str, ...] = ()
    operator_keys: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """Key and trust stores: of the secure client port (ssl.*), of the others (ssl.quorum.*)."""

    prefix: str = "ssl."
    key_store: str = ""
    key_password: str = ""
    key_type: str = ""
    trust_store: str = ""
    trust_password: str = ""
    trust_type: str = ""
    client_auth: str = "need"
    protocol: str = ""
    enabled_protocols: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    crl: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminOptions:
    """The operator's ports: four-letter words, the AdminServer, metrics, the audit log, logs."""

    words: tuple[str, ...] = ()
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 8_080
    command_url: str = "/commands"
    idle_timeout_ms: int = 30_000
    snapshot_enabled: bool = True
    restore_enabled: bool = True
    rate_limit_ms: int = 300_000
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    audit: bool = False
    audit_file: str = ""
    tls: TlsOptions | None = None
    log_level: str = "INFO"
    log_format: str = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything, in sections. `text` is the file as read.

    For the log: `unknown` keys, `ignored` ones, and sentences on `unsupported` settings.
    """

    server_id: int
    sessions: SessionLimits
    ports: ClientPorts
    tokens: ConnectionTokens
    storage: StorageOptions
    tree: TreeOptions
    auth: AuthOptions
    tls: TlsOptions
    admin: AdminOptions
    access: AccessOptions
    observe: ObserveOptions
    telemetry: TelemetryOptions
    wall: WallOptions
    audit: AuditOptions
    quorum: QuorumOptions | None = None  # None: this server stands alone
    quorum_tls: TlsOptions | None = None
    text: str = ""
    unknown: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    system_properties: dict[str, str] = field(default_factory=dict)

    def masked_text(self) -> str:
        """The file's settings as read, without comments and secrets (trust.md E7)."""
        lines: list[str] = []
        for _, line in logical_lines(self.text):
            key = unescape(split_key(line)[0], "").strip()
            lines.append(f"{key}=***" if SECRET_KEY.search(key) else line)
        return "\n".join(lines)


def load_config(arguments: list[str], properties: dict[str, str]) -> Config:
    """From the arguments of the Java server: a zoo.cfg, or `port dataDir [tickTime
    [maxClientCnxns]]`.

    Raises:
        ConfigError: names the key, the value and the reason.
    """
    text = ""
    path = ""
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
    return build(Keys(file_keys, properties), text, properties, path)


def build(keys: Keys, text: str, properties: dict[str, str], path: str = "") -> Config:
    keys.number("electionAlg", 3, 3, 3)
    data_dir = keys.text("dataDir")
    if not data_dir:
        raise ConfigError("is missing: the folder that holds the data", "dataDir")
    tick_ms = keys.number("tickTime", 3_000, 1)
    quorum = read_quorum(keys, path, data_dir, tick_ms)
    quorum_tls = tls(keys, "ssl.quorum.")
    least_ms = keys.number("minSessionTimeout", -1, -1)
    most_ms = keys.number("maxSessionTimeout", -1, -1)
    config = Config(
        server_id=read_server_id(data_dir) if quorum is None else quorum.sid,
        sessions=SessionLimits(
            tick_ms=tick_ms,
            timeout_min_ms=2 * tick_ms if least_ms == -1 else least_ms,
            timeout_max_ms=20 * tick_ms if most_ms == -1 else most_ms,
        ),
        ports=client_ports(keys),
        tokens=connection_tokens(keys),
        storage=storage(keys, data_dir),
        tree=tree(keys),
        auth=auth(keys, quorum is not None),
        tls=tls(keys, "ssl."),
        admin=admin(keys),
        access=access(keys, keys.flag("admin.forceHttps", False)),
        observe=observe(keys),
        telemetry=telemetry(keys),
        wall=wall(keys),
        audit=read_audit(keys, data_dir),
        quorum=quorum,
        quorum_tls=quorum_tls if quorum is not None and quorum.tls_wanted else None,
        text=text,
        unknown=tuple(sorted(n for n in keys.unused() if not ignored_keys.is_known(n))),
        ignored=tuple(sorted(n for n in keys.unused() if ignored_keys.find(n, TUNING))),
        unsupported=ignored_keys.unsupported(
            {name: shown(name, value) for name, value in keys.unused().items()}
        ),
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
        large_threshold=keys.number("largeRequestThreshold", -1, -1),
        large_bytes_max=keys.number("largeRequestMaxBytes", 104_857_600, 1, 1 << 40),
        keep_alive=keys.flag("clientTcpKeepAlive", False),
        unified=keys.flag("client.portUnification", False),
        reload_certificates=keys.flag("client.certReload", False),
        is_fair=keys.one_of("ensemble.tenancy.fairness", "on", ("on", "off")) == "on",
        rate_wait_ms=keys.number("ensemble.tenancy.throttleWaitMs", 500, 0, 60_000),
    )


def connection_tokens(keys: Keys) -> ConnectionTokens:
    return ConnectionTokens(
        tokens=keys.number("connection_throttle_tokens", 0, 0),
        fill_ms=keys.number("connection_throttle_fill_time", 1, 1),
        fill_count=keys.number("connection_throttle_fill_count", 1, 1),
        freeze_ms=keys.number("connection_throttle_freeze_time", -1, -1),
        drop_increase=keys.share("connection_throttle_drop_increase", 0.02),
        drop_decrease=keys.share("connection_throttle_drop_decrease", 0.002),
        decrease_ratio=keys.share("connection_throttle_decrease_ratio", 0.0),
    )


def storage(keys: Keys, data_dir: str) -> StorageOptions:
    return StorageOptions(
        data_dir=data_dir,
        log_dir=keys.text("dataLogDir", data_dir) or data_dir,
        prealloc_kb=keys.number("preAllocSize", 65_536, 0, 1 << 24),
        log_size_kb=keys.number("txnLogSizeLimitInKb", -1, -1, 1 << 40),
        force_sync=keys.flag("forceSync", True, yes_no=True),
        snap_count=keys.number("snapCount", 100_000, 0),
        snap_size_kb=keys.number("snapSizeLimitInKb", 4_194_304, -1, 1 << 40),
        compression=keys.one_of("snapshot.compression.method", "", ("", "gz", "snappy")),
        digest_enabled=keys.flag("digest.enabled", True),
        last_zxid_enabled=keys.flag("serializeLastProcessedZxid.enabled", True),
        trust_empty=keys.flag("snapshot.trust.empty", False),
        autocreate=keys.flag("db.autocreate", True),
        create_folders=keys.flag("datadir.autocreate", True),
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
    enforced = keys.listed("enforce.auth.schemes")
    if not keys.flag("enforce.auth.enabled", False):
        enforced = ()
    elif not enforced:
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
        any_sasl_user_as=keys.text("letAnySaslUserDoX"),
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
        operator_keys=keys.text("ensemble.operator.keys"),
    )


def tls(keys: Keys, prefix: str, client_auth: str = "") -> TlsOptions:
    return TlsOptions(
        prefix=prefix,
        key_store=keys.text(f"{prefix}keyStore.location"),
        key_password=keys.password(f"{prefix}keyStore.password"),
        key_type=keys.text(f"{prefix}keyStore.type").upper(),
        trust_store=keys.text(f"{prefix}trustStore.location"),
        trust_password=keys.password(f"{prefix}trustStore.password"),
        trust_type=keys.text(f"{prefix}trustStore.type").upper(),
        client_auth=client_auth
        or keys.one_of(f"{prefix}clientAuth", "need", ("need", "want", "none")),
        protocol=keys.text(f"{prefix}protocol"),
        enabled_protocols=keys.listed(f"{prefix}enabledProtocols"),
        ciphers=keys.listed(f"{prefix}ciphersuites"),
        crl=keys.flag(f"{prefix}crl", False),
    )


def admin(keys: Keys) -> AdminOptions:
    prometheus = "Prometheus" in keys.text("metricsProvider.className")
    words = keys.listed("4lw.commands.whitelist")
    if keys.flag("readonlymode.enabled", False):
        words = (*words, "isro")
    url = keys.text("admin.commandURL", "/commands").rstrip("/")
    if not COMMAND_URL.fullmatch(url):
        raise ConfigError(f"{url!r}, a path such as /commands is expected", "admin.commandURL")
    https = keys.flag("admin.forceHttps", False)
    client_auth = "need" if keys.flag("admin.needClientAuth", False) else "none"
    if client_auth == "none" and keys.text("ensemble.admin.readSubjects", "") + keys.text(
        "ensemble.admin.controlSubjects"
    ):
        client_auth = "want"  # who has a token needs no certificate
    return AdminOptions(
        tls=tls(keys, "ssl.quorum.", client_auth) if https else None,
        words=words,
        enabled=keys.flag("admin.enableServer", True),
        host=keys.text("admin.serverAddress", "127.0.0.1"),
        port=keys.number("admin.serverPort", 8_080, 0, 65_535),
        command_url=url,
        idle_timeout_ms=keys.number("admin.idleTimeout", 30_000, 1),
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
