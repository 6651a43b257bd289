"""From one configuration to the next: what a request asks for, and who leads afterwards.

Source: zab.md 7, client.md 11 ("reconfig"). Nothing here is remembered: `leader` keeps what is
proposed and what is committed. Errors carry the codes that ZooKeeper's clients know.
"""

from typing import Final

from mypy_extensions import i64

from ensemble.errors import ConfigError, KeeperError
from ensemble.wire import codes
from ensemble.zab.members import (
    MEMBERS_TEXT_BYTES_MAX,
    SERVERS_MAX,
    Member,
    Members,
    parse_member,
    parse_members,
)

SHOWN_CHARS_MAX: Final = 80
ANY_HOSTS: Final = ("0.0.0.0", "::", "0:0:0:0:0:0:0:0")
LOOPBACK_HOSTS: Final = ("localhost", "::1", "0:0:0:0:0:0:0:1")
LOOPBACK_PREFIX: Final = "127."


def next_members(
    current: Members,
    joining: str | None,
    leaving: str | None,
    members: str | None,
    version: i64,
    voters_min: i64,
) -> Members:
    """The configuration that follows `current`.

    Args:
        joining: `server.N=spec` by commas; who is a member already is replaced.
        leaving: server ids by commas; who leaves goes before anybody joins.
        members: a whole configuration by commas or newlines; the other two do not count then.
        version: of the result, the zxid of its transaction.
        voters_min: 2, or 1 where standaloneEnabled is off.

    Raises:
        KeeperError: BadArguments, or MarshallingError for a server id that is no number.
    """
    if members is not None:
        result = whole(members).with_version(version)
    else:
        result = Members(version, changed(current, joining, leaving))
    voters = len(result.voters)
    if voters < voters_min:
        raise refused(f"{voters} participants would be left, at least {voters_min} are needed")
    size = len(result.text())
    if size > MEMBERS_TEXT_BYTES_MAX:
        raise refused(f"{size} bytes, a configuration has at most {MEMBERS_TEXT_BYTES_MAX}")
    return result


def whole(text: str) -> Members:
    """All members at once; the only way to and from hierarchical quorums."""
    try:
        members = parse_members(text.replace(",", "\n").encode())
    except (ConfigError, UnicodeEncodeError) as error:
        raise refused(str(error)) from None
    for sid in sorted(members.servers):
        check_ports(members.servers[sid])
    return members


def changed(current: Members, joining: str | None, leaving: str | None) -> dict[int, Member]:
    """The members without those who leave, with those who join."""
    if current.hierarchical:
        raise refused("groups and weights can only be changed with the whole configuration")
    servers = dict(current.servers)
    for item in items_of(leaving):
        servers.pop(server_id(item, "leaving"), None)
    for item in items_of(joining):
        member = joiner(item)
        for sid in sorted(servers):
            if sid != member.sid:
                check_apart(member, servers[sid])
        servers[int(member.sid)] = member
        if len(servers) > SERVERS_MAX:
            raise refused(f"more than {SERVERS_MAX} servers")
    return servers


def items_of(text: str | None) -> list[str]:
    if text is None:
        return []
    return [item.strip() for item in text.split(",") if item.strip()]


def joiner(item: str) -> Member:
    """One `server.N=host:port:port[:role];[host:]port`."""
    parts = [part for part in item.split("=") if part]
    if len(parts) != 2:
        raise refused(f"joining: {shown(item)} is not server.N=host:port:port;port")
    sid = server_id(parts[0].rpartition(".")[2].strip(), "joining")
    if sid < 0:
        raise refused(f"joining: server id {sid} is negative")
    try:
        member = parse_member(sid, parts[1])
    except ConfigError as error:
        raise refused(f"joining: {error}") from None
    if not member.client_address:
        raise refused(f"joining: server.{sid} says no client port")
    check_ports(member)
    return member


def server_id(digits: str, where: str) -> int:
    """A number as Java reads it; what is none is an error of its own there."""
    plain = digits[1:] if digits[:1] in ("-", "+") else digits
    if not (plain.isascii() and plain.isdigit() and len(plain) <= 18):
        raise KeeperError(codes.MARSHALLING_ERROR, f"{where}: {shown(digits)} is no server id")
    return int(digits)


def check_ports(member: Member) -> None:
    for at in range(len(member.quorum_addresses)):
        port = member.quorum_addresses[at][1]
        if port == member.election_addresses[at][1]:
            raise refused(f"server.{member.sid}: port {port} for the quorum and for elections")


def check_apart(member: Member, other: Member) -> None:
    """Two servers do not share an address. Loopback and wildcard ones tell nothing."""
    taken = addresses_of(other)
    for address in addresses_of(member):
        if address in taken:
            host, port = address
            raise refused(f"{host}:{port} of server.{member.sid} is server.{other.sid}'s")


def addresses_of(member: Member) -> list[tuple[str, int]]:
    found = member.quorum_addresses + member.election_addresses
    host, _, port = member.client_address.rpartition(":")
    if host:
        found.append((host.strip("[]"), int(port)))
    plain: list[tuple[str, int]] = []
    for host, number in found:
        name = host.lower()
        if name in ANY_HOSTS or name in LOOPBACK_HOSTS or name.startswith(LOOPBACK_PREFIX):
            continue
        plain.append((name, number))
    return plain


def remains_leader(sid: i64, old: Members, new: Members) -> bool:
    """Whether a leader can go on leading: a voter, where its learners are connected to it."""
    before = old.servers.get(int(sid))
    after = new.servers.get(int(sid))
    if before is None or after is None or after.is_observer:
        return False
    return before.quorum_addresses == after.quorum_addresses


def next_leader(sid: i64, old: Members, new: Members, acked: dict[int, int]) -> i64:
    """Who leads once `new` is committed: this leader, or the voter whose log is the longest.

    `acked`: up to where the connected followers have everything on disk. An election would choose
    the same, only later. A leader that moves and is the only voter finds itself again.
    """
    if remains_leader(sid, old, new):
        return sid
    best = sid
    best_zxid: i64 = -1
    for candidate in sorted(new.voters):
        zxid = acked.get(candidate, -1)
        if candidate != sid and new.weight(candidate) != 0 and zxid > best_zxid:
            best = candidate
            best_zxid = zxid
    return best


def refused(reason: str) -> KeeperError:
    return KeeperError(codes.BAD_ARGUMENTS, reason)


def shown(value: str) -> str:
    return repr(value if len(value) <= SHOWN_CHARS_MAX else value[:SHOWN_CHARS_MAX] + "…")
