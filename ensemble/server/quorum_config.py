"""The ensemble's part of the configuration: members, limits in ticks, how servers prove themselves.

Source: admin.md 5.2 to 5.5. Every key is read and checked for a server that stands alone, too;
which of the two it is follows from the members, as in Apache's server.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Final

from ensemble.errors import ConfigError
from ensemble.server.auth.jaas import read_options, read_users
from ensemble.server.keys import Keys
from ensemble.storage import members_file
from ensemble.storage.disk import OsDisk
from ensemble.zab.members import Member, Members, parse_member, parse_members
from ensemble.zab.timing import Timing

MEMBER_KEY: Final = re.compile(r"(server|group|weight)\.\w+$")
LINE: Final = re.compile(r"^line \d+: ")
COMMIT_LOG_MIN: Final = 500
TICKS_MAX: Final = 1 << 20
MYID_MAX: Final = 255  # it is the top byte of the session ids that the server gives
LEARNER: Final = "QuorumLearner"
SERVER: Final = "QuorumServer"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSasl:
    """SASL between servers (quorum.auth.*). `users` None: it is not spoken."""

    user: str = ""
    password: str = field(default="", repr=False)
    users: dict[str, str] | None = field(default=None, repr=False)
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumOptions:
    """What makes this server one of several."""

    sid: int
    members: Members  # as configured; what was committed later lies in `config_path`.dynamic.*
    config_path: str  # zoo.cfg
    dynamic_path: str = ""  # the file that zoo.cfg names; "": the members stand in zoo.cfg
    timing: Timing
    learner_connect_ms: int  # to reach a leader, all attempts together
    connect_ms: int = 5_000  # one attempt
    handshake_ms: int
    listen_everywhere: bool = False
    standalone_enabled: bool = True
    leader_serves: bool = True
    local_sessions: bool = False
    local_sessions_upgrade: bool = False
    read_only: bool = False
    commit_log_count: int = COMMIT_LOG_MIN
    snap_syncs_max: int = 10
    tls: bool = False
    unification: bool = False  # TLS and plain on one port
    check_names: bool = True
    reload_certificates: bool = False
    sasl: PeerSasl = field(default_factory=PeerSasl)
    warnings: tuple[str, ...] = ()

    @property
    def tls_wanted(self) -> bool:
        """Whether certificates are needed: to call, or only to be called."""
        return self.tls or self.unification

    @property
    def member(self) -> Member:
        """This server's own line."""
        return self.members.servers[self.sid]


def read_quorum(keys: Keys, config_path: str, data_dir: str, tick_ms: int) -> QuorumOptions | None:
    """The ensemble, or None for a server that stands alone.

    Raises:
        ConfigError: a value, or values that cannot go together; names them.
    """
    dynamic_path = keys.text("dynamicConfigFile")
    members = read_members(keys, dynamic_path)
    standalone_enabled = keys.flag("standaloneEnabled", True)
    peer_type = keys.one_of("peerType", "participant", ("participant", "observer"))
    init = keys.number("initLimit", 0, 1, TICKS_MAX)
    sync = keys.number("syncLimit", 0, 1, TICKS_MAX)
    connect = keys.number("connectToLearnerMasterLimit", 0, 0, TICKS_MAX)
    handshake_ms = keys.number("quorumCnxnTimeoutMs", -1, -1)
    connect_ms = keys.number("cnxTimeout", 5_000, 1)
    listen_everywhere = keys.flag("quorumListenOnAllIPs", False)
    leader_serves = keys.flag("leaderServes", True, yes_no=True)
    local_sessions = keys.flag("localSessionsEnabled", False)
    local_sessions_upgrade = keys.flag("localSessionsUpgradingEnabled", False)
    read_only = keys.flag("readonlymode.enabled", False)
    commit_log_count = keys.number("commitLogCount", COMMIT_LOG_MIN, 0, 1 << 24)
    force_snapshot_sync = keys.flag("forceSnapshotSync", False)
    snap_syncs_max = keys.number("leader.maxConcurrentSnapSyncs", 10, 1)
    least_ms = keys.number("fastleader.minNotificationInterval", 200, 1)
    most_ms = keys.number("fastleader.maxNotificationInterval", 60_000, 1)
    tls = keys.flag("sslQuorum", False)
    unification = keys.flag("portUnification", False)
    check_names = keys.flag("ssl.quorum.hostnameVerification", True)
    if not keys.flag("ssl.quorum.clientHostnameVerification", check_names):
        check_names = False
    reload_certificates = keys.flag("sslQuorumReloadCertFiles", False)
    several_addresses = keys.flag("multiAddress.enabled", False)
    sasl = read_sasl(keys)
    frame = keys.number("jute.maxbuffer", 0xFFFFF, 1, (1 << 30) - 1)
    extra = max(1_024, keys.number("jute.maxbuffer.extrasize", frame, 0, 1 << 30))
    if members is None or (standalone_enabled and len(members.voters) == 1):
        if members is not None and members.observers:
            raise ConfigError(
                "one participant beside observers: nothing would be left when it is away; "
                "standaloneEnabled=false allows it",
                f"server.{min(members.voters)}",
            )
        if members is None and not standalone_enabled:
            raise ConfigError("false, but there is no server line", "standaloneEnabled")
        if members is not None:
            take_client_port(keys, members.servers[min(members.voters)])
        return None
    for name, ticks in (("initLimit", init), ("syncLimit", sync)):
        if ticks == 0:
            raise ConfigError("is missing: an ensemble needs it, in ticks", name)
    sid = read_myid(data_dir)
    if sid not in members.servers:
        listed = ", ".join(str(each) for each in sorted(members.servers))
        raise ConfigError(f"{sid} in {data_dir}/myid is none of the servers {listed}", "myid")
    if least_ms > most_ms:
        raise ConfigError(
            f"{least_ms} is above fastleader.maxNotificationInterval={most_ms}",
            "fastleader.minNotificationInterval",
        )
    if not several_addresses:
        for each, member in members.servers.items():
            if len(member.quorum_addresses) > 1:
                raise ConfigError(
                    f"{len(member.quorum_addresses)} addresses, one without multiAddress.enabled",
                    f"server.{each}",
                )
    take_client_port(keys, members.servers[sid])
    warnings: list[str] = []
    if keys.text("peerType") and (peer_type == "observer") != members.servers[sid].is_observer:
        warnings.append(f"peerType={peer_type}, but server.{sid} says otherwise and counts")
    if len(members.voters) == 2:
        warnings.append("two participants: when either is away nothing can be written")
    if unification and not tls:
        warnings.append("portUnification: servers call each other in plain text, sslQuorum=false")
    return QuorumOptions(
        sid=sid,
        members=members,
        config_path=config_path,
        dynamic_path=dynamic_path,
        timing=Timing(
            tick_ms,
            init,
            sync,
            frame + extra,
            force_snapshot_sync,
            resend_ms_min=least_ms,
            resend_ms_max=most_ms,
        ),
        learner_connect_ms=(connect or init) * tick_ms,
        connect_ms=connect_ms,
        handshake_ms=sync * tick_ms if handshake_ms <= 0 else handshake_ms,
        listen_everywhere=listen_everywhere,
        standalone_enabled=standalone_enabled,
        leader_serves=leader_serves,
        local_sessions=local_sessions,
        local_sessions_upgrade=local_sessions_upgrade,
        read_only=read_only,
        commit_log_count=max(COMMIT_LOG_MIN, commit_log_count),
        snap_syncs_max=snap_syncs_max,
        tls=tls,
        unification=unification,
        check_names=check_names,
        reload_certificates=reload_certificates,
        sasl=sasl,
        warnings=tuple(warnings),
    )


def read_members(keys: Keys, dynamic_path: str) -> Members | None:
    """The members of zoo.cfg, or of the file that it names; None without any."""
    lines = {name: keys.text(name) for name in sorted(keys.values) if MEMBER_KEY.match(name)}
    if dynamic_path:
        if lines:
            raise ConfigError(
                f"{dynamic_path} is given beside {next(iter(lines))}: one place for members only",
                "dynamicConfigFile",
            )
        try:
            members = parse_members(members_file.load(OsDisk(), dynamic_path))
        except ConfigError as error:
            raise ConfigError(f"{dynamic_path}: {error}", "dynamicConfigFile") from None
    elif not lines:
        return None
    else:
        for name, value in lines.items():
            number = name.removeprefix("server.")
            if number != name and number.isascii() and number.isdigit() and len(number) < 19:
                parse_member(int(number), value)  # for an error that names the key, not the line
        text = "\n".join(f"{name}={value}" for name, value in lines.items())
        try:
            members = parse_members(text.encode("utf-8", "surrogateescape"))
        except ConfigError as error:
            raise ConfigError(LINE.sub("", str(error))) from None
    for sid, member in members.servers.items():
        for quorum, election in zip(
            member.quorum_addresses, member.election_addresses, strict=True
        ):
            if quorum == election:
                raise ConfigError(
                    f"port {quorum[1]} both for the quorum and for elections", f"server.{sid}"
                )
    return members


def take_client_port(keys: Keys, member: Member) -> None:
    """A server's own line may say where its clients connect; `clientPort` must not differ."""
    host, _, port = member.client_address.rpartition(":")
    if not port:
        return
    if keys.values.setdefault("clientPort", port) != port:
        raise ConfigError(
            f"{keys.values['clientPort']}, but server.{member.sid} says {port}", "clientPort"
        )
    if host not in ("", "0.0.0.0"):
        keys.values.setdefault("clientPortAddress", host.strip("[]"))


def read_myid(data_dir: str) -> int:
    """The server id in `<dataDir>/myid`, which an ensemble needs.

    Raises:
        ConfigError: no file, or no number in it.
    """
    path = os.path.join(data_dir, "myid")
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            line = file.readline(64).rstrip("\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; it holds this server's number, as in server.<number>",
            "myid",
        ) from None
    if not line.isascii() or not line.isdigit() or int(line) > MYID_MAX:
        raise ConfigError(
            f"{path} holds {line[:40]!r}, a number from 0 to {MYID_MAX} is expected", "myid"
        )
    return int(line)


def read_sasl(keys: Keys) -> PeerSasl:
    """quorum.auth.*, with user and password from the JAAS file's sections."""
    enabled = keys.flag("quorum.auth.enableSasl", False)
    learner = keys.flag("quorum.auth.learnerRequireSasl", False)
    server = keys.flag("quorum.auth.serverRequireSasl", False)
    learner_section = keys.text("quorum.auth.learner.saslLoginContext", LEARNER)
    server_section = keys.text("quorum.auth.server.saslLoginContext", SERVER)
    if learner and not enabled:
        raise ConfigError(
            "true, but quorum.auth.enableSasl is not", "quorum.auth.learnerRequireSasl"
        )
    if server and not learner:
        raise ConfigError(
            "true, but quorum.auth.learnerRequireSasl is not: nobody would be let in",
            "quorum.auth.serverRequireSasl",
        )
    if not enabled:
        return PeerSasl()
    path = keys.text("java.security.auth.login.config")
    if not path:
        raise ConfigError(
            "is missing: quorum.auth.enableSasl needs a JAAS file",
            "java.security.auth.login.config",
        )
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "java.security.auth.login.config") from None
    users = read_users(text, path, server_section)
    if users is None:
        raise ConfigError(f"{path} has no section {server_section}", "quorum.auth.enableSasl")
    options = read_options(text, path, learner_section) or {}
    user, password = options.get("username", ""), options.get("password", "")
    if learner and not (user and password):
        raise ConfigError(
            f"{path} has no section {learner_section} with username and password",
            "quorum.auth.learnerRequireSasl",
        )
    return PeerSasl(
        user=user if learner else "",
        password=password if learner else "",
        users=users,
        required=server,
    )
