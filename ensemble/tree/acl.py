"""Access control: lists, schemes, and the rule that decides.

Source: auth.md sections 1 to 3. A scheme is one small class: how its ids look and when a held id
meets an entry. How somebody comes to hold an id is the business of `server.auth`.
"""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from ensemble.errors import KeeperError
from ensemble.wire import codes
from ensemble.wire.jute import reader_of
from ensemble.wire.records import Acl, Id, read_acl_vector

RAW_CACHE_MAX: Final = 1_024
OPEN_ACL_ID: Final = -1


@final
@mypyc_attr(acyclic=True)
class AclList:
    """A distinct ACL, shared by all znodes that have it. `open`: anyone may do everything.

    `id` is its number in this server's table, used in snapshots only (storage.md 4.1).
    """

    __slots__ = ("entries", "id", "open")

    def __init__(self, entries: list[Acl], id: i64) -> None:
        self.entries: Final = entries
        self.id: Final = id
        self.open: Final = (
            len(entries) == 1
            and entries[0].perms == codes.PERM_ALL
            and entries[0].id.scheme == "world"
        )


@mypyc_attr(allow_interpreted_subclasses=True)
class Scheme:
    """A kind of identity. Subclass it to add one; `authenticating` ids are what `auth` stands for."""

    name: str = ""
    authenticating: bool = False

    def is_valid(self, id: str) -> bool:
        """Whether an ACL entry may carry this id."""
        return False

    def matches(self, held: str, entry: str) -> bool:
        """Whether a connection that holds `held` meets an entry for `entry`."""
        return held == entry

    def user_name(self, id: str) -> str:
        """What whoAmI and the audit journal show."""
        return id

    def needs_id(self) -> bool:
        """Whether a null id is a marshalling error rather than an invalid ACL."""
        return False


class WorldScheme(Scheme):
    """`world:anyone`, held by nobody and met by everybody."""

    def __init__(self) -> None:
        self.name = "world"

    def is_valid(self, id: str) -> bool:
        return id == "anyone"

    def needs_id(self) -> bool:
        return True


class IpScheme(Scheme):
    """`ip:address[/bits]`. Every connection holds its peer's address."""

    def __init__(self) -> None:
        self.name = "ip"

    def is_valid(self, id: str) -> bool:
        return parse_network(id) is not None

    def matches(self, held: str, entry: str) -> bool:
        network = parse_network(entry)
        address = parse_address(held)
        if network is None or address is None or len(network[0]) != len(address):
            return False
        bits = network[1]
        shift = len(address) * 8 - bits
        return int.from_bytes(address, "big") >> shift == int.from_bytes(network[0], "big") >> shift

    def needs_id(self) -> bool:
        return True


class DigestScheme(Scheme):
    """`digest:user:base64(sha1(user:password))`, opaque here."""

    def __init__(self) -> None:
        self.name = "digest"
        self.authenticating = True

    def is_valid(self, id: str) -> bool:
        """Two parts once empty ones at the end are dropped, as Java's split does."""
        parts = id.split(":")
        while parts and parts[-1] == "":
            parts.pop()
        return len(parts) == 2

    def user_name(self, id: str) -> str:
        return id.partition(":")[0]

    def needs_id(self) -> bool:
        return True


def parse_network(text: str) -> tuple[bytes, int] | None:
    """`address[/bits]` as bytes and a number of bits, or None."""
    host, slash, bits_text = text.partition("/")
    address = parse_address(host)
    if address is None:
        return None
    bits_max = len(address) * 8
    if not slash:
        return address, bits_max
    if not bits_text.isascii() or not bits_text.isdigit() or len(bits_text) > 3:
        return None
    bits = int(bits_text)
    return (address, bits) if bits <= bits_max else None


def parse_address(text: str) -> bytes | None:
    """A dotted quad or an IPv6 address without zone or embedded IPv4, as 4 or 16 bytes."""
    if ":" in text:
        return parse_ipv6(text)
    parts = text.split(".")
    if len(parts) != 4:
        return None
    quad: list[int] = []
    for part in parts:
        if not part.isascii() or not part.isdigit() or len(part) > 3 or int(part) > 255:
            return None
        quad.append(int(part))
    return bytes(quad)


def parse_ipv6(text: str) -> bytes | None:
    text = text.partition("%")[0]
    head, gap, tail = text.partition("::")
    front = head.split(":") if head else []
    back = tail.split(":") if tail else []
    count = len(front) + len(back)
    if (gap and count > 7) or (not gap and count != 8):
        return None
    groups = front + ["0"] * (8 - count) + back
    address = b""
    for group in groups:
        if not 1 <= len(group) <= 4:
            return None
        try:
            value = int(group, 16)
        except ValueError:
            return None
        if not group.isalnum():
            return None
        address += value.to_bytes(2, "big")
    return address


@final
class AclTable:
    """Distinct ACLs and their numbers. A list that no znode uses any more stays until a restart;
    what one client can add is bounded by what it may write anyway."""

    __slots__ = ("by_entries", "by_id", "next_id", "open_list")

    def __init__(self) -> None:
        entries = [Acl(codes.PERM_ALL, Id("world", "anyone"))]
        # The open ACL of the built-in znodes has the number -1; one that a client sends gets its
        # own.
        self.open_list: Final = AclList(entries, OPEN_ACL_ID)
        self.by_id: Final[dict[int, AclList]] = {OPEN_ACL_ID: self.open_list}
        self.by_entries: Final[dict[tuple[Acl, ...], AclList]] = {}
        self.next_id: i64 = 1

    def intern(self, entries: list[Acl]) -> AclList:
        """The shared list with these entries."""
        key = tuple(entries)
        acl = self.by_entries.get(key)
        if acl is None:
            acl = self.add(self.next_id, entries)
        return acl

    def add(self, id: i64, entries: list[Acl]) -> AclList:
        """Enter a list under a given number: when a snapshot is read."""
        acl = AclList(entries, id)
        self.by_id[id] = acl
        if tuple(entries) not in self.by_entries:
            self.by_entries[tuple(entries)] = acl
        if id >= self.next_id:
            self.next_id = id + 1
        return acl


@final
class AclSchemes:
    """The schemes of this server, and the decision that uses them."""

    __slots__ = ("raw_cache", "schemes", "skip_acl")

    def __init__(self, schemes: list[Scheme], skip_acl: bool = False) -> None:
        self.schemes: Final = {scheme.name: scheme for scheme in schemes}
        self.skip_acl: Final = skip_acl
        # Validated ACLs that do not depend on who asks, by the bytes in which they came.
        self.raw_cache: Final[dict[bytes, list[Acl]]] = {}

    def check(self, acl: AclList, perm: i64, ids: list[Id]) -> bool:
        """Whether one of the identities may do what the one bit `perm` stands for."""
        if acl.open or self.skip_acl:
            return True
        entries = acl.entries
        if not entries:
            return True
        for held in ids:
            if held.scheme == "super":
                return True
        for entry in entries:
            if entry.perms & perm == 0:
                continue
            wanted = entry.id
            if wanted.scheme == "world" and wanted.id == "anyone":
                return True
            scheme = self.schemes.get(wanted.scheme or "")
            if scheme is None or wanted.id is None:
                continue
            for held in ids:
                if held.scheme == wanted.scheme and held.id is not None:
                    if scheme.matches(held.id, wanted.id):
                        return True
        return False

    def fix(self, raw: bytes, ids: list[Id]) -> list[Acl]:
        """The ACL that is stored for the raw vector that a client sent (auth.md section 3).

        Raises:
            KeeperError: -114 for an invalid ACL, -5 where Java fails to read it.
        """
        cached = self.raw_cache.get(raw)
        if cached is not None:
            return cached
        entries: list[Acl] = []
        cacheable = True
        for entry in read_acl_vector(reader_of(raw)):
            scheme_name = entry.id.scheme
            if scheme_name is None:
                raise KeeperError(codes.INVALID_ACL, "an ACL entry without a scheme")
            if scheme_name == "auth":
                cacheable = False
                self.expand_auth(entry, ids, entries)
                continue
            scheme = self.schemes.get(scheme_name)
            if scheme is None:
                raise KeeperError(codes.INVALID_ACL, f"unknown scheme {scheme_name}")
            id = entry.id.id
            if id is None:
                if scheme.needs_id():
                    raise KeeperError(codes.MARSHALLING_ERROR, f"a null {scheme_name} id")
                raise KeeperError(codes.INVALID_ACL, f"a null {scheme_name} id")
            if not scheme.is_valid(id):
                raise KeeperError(codes.INVALID_ACL, f"{scheme_name} id {id!r}")
            if entry not in entries:
                entries.append(entry)
        if not entries:
            raise KeeperError(codes.INVALID_ACL, "an empty ACL")
        if cacheable and len(raw) <= 256 and len(self.raw_cache) < RAW_CACHE_MAX:
            self.raw_cache[raw] = entries
        return entries

    def expand_auth(self, entry: Acl, ids: list[Id], entries: list[Acl]) -> None:
        """`auth` stands for every authenticated identity of the connection."""
        found = False
        for held in ids:
            scheme = self.schemes.get(held.scheme or "")
            if scheme is not None and scheme.authenticating:
                found = True
                expanded = Acl(entry.perms, held)
                if expanded not in entries:
                    entries.append(expanded)
        if not found:
            raise KeeperError(codes.INVALID_ACL, "auth without an authenticated identity")

    def redact(self, acl: AclList) -> list[Acl]:
        """What getACL shows without ADMIN: digest ids lose their hashes (CVE-2019-0201)."""
        shown: list[Acl] = []
        for entry in acl.entries:
            id = entry.id.id
            if entry.id.scheme == "digest" and id is not None:
                entry = Acl(entry.perms, Id("digest", id.partition(":")[0] + ":x"))
            shown.append(entry)
        return shown

    def user_name(self, id: Id) -> str:
        """The name of an identity for whoAmI; empty for schemes that this server does not know."""
        scheme = self.schemes.get(id.scheme or "")
        return "" if scheme is None or id.id is None else scheme.user_name(id.id)
