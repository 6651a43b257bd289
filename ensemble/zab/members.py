"""Who belongs to an ensemble: its servers, their roles, and which sets of them are a quorum.

Text and value of a configuration as servers tell it to each other, as `zoo.cfg` and the dynamic
file spell it, and as `/zookeeper/config` shows it. Source: election.md 2 ("Config text") and 5.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.errors import ConfigError

# What a notification can carry at most (election.md 1.3), so no longer text can be of any use.
MEMBERS_TEXT_BYTES_MAX: Final = 524_288
SERVERS_MAX: Final = 1_000
ADDRESSES_MAX: Final = 16  # of one server
WEIGHT_MAX: Final = 1_000_000
PORT_MAX: Final = 65_535
NUMBER_MAX: Final = 0x7FFFFFFFFFFFFFFF
HEX_DIGITS: Final = b"0123456789abcdefABCDEF"
SHOWN_CHARS_MAX: Final = 80  # of a wrong value, in an error

PARTICIPANT: Final = "participant"
OBSERVER: Final = "observer"
EVERY_ADDRESS: Final = "0.0.0.0"


@final
class Member:
    """One server of a configuration. `client_address` is "host:port", or "" where it is not known.

    The addresses belong together by index: one quorum and one election address per network.
    """

    __slots__ = ("client_address", "election_addresses", "is_observer", "quorum_addresses", "sid")

    def __init__(
        self,
        sid: i64,
        quorum_addresses: list[tuple[str, int]],
        election_addresses: list[tuple[str, int]],
        is_observer: bool = False,
        client_address: str = "",
    ) -> None:
        assert 0 < len(quorum_addresses) == len(election_addresses)
        self.sid: Final = sid
        self.quorum_addresses: Final = quorum_addresses
        self.election_addresses: Final = election_addresses
        self.is_observer: Final = is_observer
        self.client_address: Final = client_address

    def spec(self) -> str:
        """What stands behind `server.<sid>=`, always in the one full spelling."""
        parts: list[str] = []
        for at in range(len(self.quorum_addresses)):
            host, port = self.quorum_addresses[at]
            parts.append(f"{_with_brackets(host)}:{port}:{self.election_addresses[at][1]}")
        role = OBSERVER if self.is_observer else PARTICIPANT
        client = f";{self.client_address}" if self.client_address else ""
        return f"{'|'.join(parts)}:{role}{client}"


@final
class Members:
    """A configuration, never changed once made: a reconfiguration makes another.

    Groups and weights are empty for majorities; in a hierarchy every voter has both.
    """

    __slots__ = (
        "_group_weights",
        "groups",
        "hierarchical",
        "observers",
        "servers",
        "version",
        "voters",
        "weights",
    )

    def __init__(
        self,
        version: i64,
        servers: dict[int, Member],
        groups: dict[int, int] | None = None,
        weights: dict[int, int] | None = None,
    ) -> None:
        self.version: Final = version
        self.servers: Final = servers
        self.groups: Final[dict[int, int]] = groups if groups is not None else {}
        self.weights: Final[dict[int, int]] = weights if weights is not None else {}
        self.hierarchical: Final = len(self.groups) > 0
        self.voters: Final[set[int]] = {s for s, m in servers.items() if not m.is_observer}
        self.observers: Final[set[int]] = {s for s, m in servers.items() if m.is_observer}
        totals: dict[int, int] = {}
        for sid in sorted(self.voters):
            if self.hierarchical:
                group = self.groups[sid]
                totals[group] = totals.get(group, 0) + self.weights.get(sid, 1)
        # A group that weighs nothing does not count among the groups, either.
        self._group_weights: Final[dict[int, int]] = {g: w for g, w in totals.items() if w > 0}

    def is_quorum(self, sids: set[int]) -> bool:
        """Do these servers decide? Any two quorums share a server; only voters count."""
        if not self.hierarchical:
            return 2 * len(sids & self.voters) > len(self.voters)
        present: dict[int, int] = {}
        for sid in sids & self.voters:
            group = self.groups[sid]
            present[group] = present.get(group, 0) + self.weights.get(sid, 1)
        won = 0
        for group, total in self._group_weights.items():
            if 2 * present.get(group, 0) > total:
                won += 1
        return 2 * won > len(self._group_weights)

    def weight(self, sid: i64) -> i64:
        """What a vote weighs: 1 under majorities. A voter of weight 0 cannot be elected."""
        return self.weights.get(sid, 1) if self.hierarchical else 1

    def with_version(self, version: i64) -> "Members":
        """The same servers under another version."""
        return Members(version, self.servers, self.groups, self.weights)

    def has_the_servers_of(self, other: "Members") -> bool:
        """Is nothing different but perhaps the version?"""
        return self._lines() == other._lines()

    def text(self) -> bytes:
        """As servers exchange it: servers, groups, weights, version; no last newline."""
        return "\n".join([*self._lines(), f"version={self.version:x}"]).encode()

    def _lines(self) -> list[str]:
        lines = [f"server.{sid}={self.servers[sid].spec()}" for sid in sorted(self.servers)]
        if self.hierarchical:
            for group in sorted(set(self.groups.values())):
                sids = [str(sid) for sid in sorted(self.groups) if self.groups[sid] == group]
                lines.append(f"group.{group}={':'.join(sids)}")
            lines += [f"weight.{sid}={self.weights[sid]}" for sid in sorted(self.weights)]
        return lines


def parse_members(text: bytes) -> Members:
    """Read a configuration; blank lines and those with # in front mean nothing, no version is 0.

    Raises:
        ConfigError: names the line and what is wrong with it, or what the lines together lack.
    """
    servers: dict[int, Member] = {}
    groups: dict[int, int] = {}
    weights: dict[int, int] = {}
    version: i64 = 0
    seen: set[str] = set()
    number = 0
    for line in _decode(text).split("\n"):
        number += 1
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, value = stripped.partition("=")
        key = key.strip()
        value = value.strip()
        where = f"line {number}"
        if not equals:
            raise ConfigError(f"{where}: {_shown(stripped)} is not key=value")
        if key in seen:
            raise ConfigError(f"{where}: {_shown(key)} is given twice")
        seen.add(key)
        kind, _, suffix = key.partition(".")
        if key == "version":
            version = _hexadecimal(value, where)
        elif kind == "server":
            sid = _number(suffix, NUMBER_MAX - 1, f"{where}: the server id")
            _refuse_twice(sid in servers, key, where)
            servers[sid] = parse_member(sid, value, where)
        elif kind == "group":
            group = _number(suffix, NUMBER_MAX, f"{where}: the group id")
            _refuse_twice(group in groups.values(), key, where)
            _add_group(groups, group, value, where)
        elif kind == "weight":
            sid = _number(suffix, NUMBER_MAX - 1, f"{where}: the server id")
            _refuse_twice(sid in weights, key, where)
            weights[sid] = _number(value, WEIGHT_MAX, f"{where}: {key}")
        else:
            raise ConfigError(
                f"{where}: unknown key {_shown(key)}; need server, group, weight, version"
            )
        if len(servers) > SERVERS_MAX:
            raise ConfigError(f"{where}: more than {SERVERS_MAX} servers")
    return _checked(Members(version, servers), groups, weights)


def parse_member(sid: i64, value: str, where: str = "") -> Member:
    """Read what stands behind `server.<sid>=`: host:port:port[:role][|…][;[host:]port].

    Raises:
        ConfigError: `where` and the server come first in its text.
    """
    at = f"{where}: server.{sid}" if where else f"server.{sid}"
    peer, semicolon, client = value.partition(";")
    quorum: list[tuple[str, int]] = []
    election: list[tuple[str, int]] = []
    role = ""
    for address in peer.split("|"):
        if len(quorum) == ADDRESSES_MAX:
            raise ConfigError(f"{at}: more than {ADDRESSES_MAX} addresses")
        host, rest = _split_host(address.strip(), at)
        if len(rest) not in (2, 3):
            raise ConfigError(
                f"{at}: {_shown(address)} is not host:port:port or host:port:port:role"
            )
        quorum.append((host, _port(rest[0], at)))
        election.append((host, _port(rest[1], at)))
        if len(rest) == 3:
            role = _role(rest[2], role, at)
    return Member(sid, quorum, election, role == OBSERVER, _client(client, at) if semicolon else "")


def text_version(text: bytes) -> i64:
    """The version that a configuration's text claims, -1 if none can be read. Cheap."""
    start = text.rfind(b"version=")
    if start < 0 or (start > 0 and text[start - 1] != 10):  # 10: a newline
        return -1
    digits = text[start + 8 :].strip()
    if not 0 < len(digits) <= 16 or digits.strip(HEX_DIGITS):
        return -1
    version = int(digits, 16)
    return version if version <= NUMBER_MAX else -1


def _checked(plain: Members, groups: dict[int, int], weights: dict[int, int]) -> Members:
    """What only all lines together can show."""
    if not plain.voters:
        raise ConfigError("no server is a participant: there would be nobody to elect")
    if not groups and not weights:
        return plain
    for sid in sorted(set(groups) | set(weights)):
        if sid not in plain.servers:
            raise ConfigError(
                f"a group or weight names server {sid}, which has no server.{sid} line"
            )
    for sid in sorted(groups):
        if sid in plain.observers:
            raise ConfigError(
                f"group.{groups[sid]} lists server {sid}, an observer: it has no vote"
            )
    for sid in sorted(plain.voters):
        if sid not in groups:
            raise ConfigError(
                f"server {sid} is in no group; with groups every participant needs one"
            )
        if sid not in weights:
            weights[sid] = 1
    members = Members(plain.version, plain.servers, groups, weights)
    if not members.is_quorum(members.voters):
        raise ConfigError("every group weighs 0: no set of servers would be a quorum")
    return members


def _add_group(groups: dict[int, int], group: int, value: str, where: str) -> None:
    for part in value.split(":"):
        sid = _number(part.strip(), NUMBER_MAX - 1, f"{where}: group.{group}")
        if sid in groups:
            raise ConfigError(f"{where}: server {sid} is in group {groups[sid]} and {group}")
        groups[sid] = group


def _role(word: str, before: str, at: str) -> str:
    role = word.strip().lower()
    if role not in (PARTICIPANT, OBSERVER):
        raise ConfigError(f"{at}: role {_shown(word)} is neither {PARTICIPANT} nor {OBSERVER}")
    if before not in ("", role):
        raise ConfigError(f"{at}: its addresses name different roles, {before} and {role}")
    return role


def _client(text: str, at: str) -> str:
    """`port` or `host:port`; the port alone means every address, and is told to others so."""
    stripped = text.strip()
    if ":" not in stripped:
        return f"{EVERY_ADDRESS}:{_port(stripped, at)}"
    host, rest = _split_host(stripped, at)
    if len(rest) != 1:
        raise ConfigError(f"{at}: client address {_shown(text)} is not port or host:port")
    return f"{_with_brackets(host)}:{_port(rest[0], at)}"


def _split_host(address: str, at: str) -> tuple[str, list[str]]:
    """The host, without the brackets of IPv6, and what is between the colons after it."""
    if address.startswith("["):
        host, bracket, rest = address[1:].partition("]")
        if not bracket or ":" not in host or not rest.startswith(":"):
            raise ConfigError(f"{at}: {_shown(address)} is not [IPv6 address]:port…")
        return host, rest[1:].split(":")
    parts = address.split(":")
    host = parts[0].strip()
    if not host or any(c.isspace() for c in host):
        raise ConfigError(f"{at}: {_shown(address)} has no usable host")
    return host, parts[1:]


def _with_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port(digits: str, at: str) -> int:
    port = _number(digits.strip(), PORT_MAX, f"{at}: port")
    if port == 0:
        raise ConfigError(f"{at}: port 0 cannot be reached; need 1 to {PORT_MAX}")
    return port


def _number(digits: str, most: int, what: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19 and int(digits) <= most):
        raise ConfigError(f"{what}: {_shown(digits)} is not a number from 0 to {most}")
    return int(digits)


def _hexadecimal(digits: str, where: str) -> int:
    version = text_version(b"version=" + digits.encode())
    if version < 0:
        raise ConfigError(
            f"{where}: version {_shown(digits)} is not hexadecimal, 0 to {NUMBER_MAX:x}"
        )
    return version


def _refuse_twice(is_there: bool, key: str, where: str) -> None:
    """`server.1` and `server.01` are two keys and one server."""
    if is_there:
        raise ConfigError(f"{where}: {_shown(key)} is given twice")


def _decode(text: bytes) -> str:
    if len(text) > MEMBERS_TEXT_BYTES_MAX:
        raise ConfigError(
            f"{len(text)} bytes; a configuration has at most {MEMBERS_TEXT_BYTES_MAX}"
        )
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration is not UTF-8 at byte {error.start}") from error


def _shown(value: str) -> str:
    return repr(value if len(value) <= SHOWN_CHARS_MAX else value[:SHOWN_CHARS_MAX] + "…")
