"""ACLs: lists kept once, the table that numbers them for snapshots, schemes, the decision.

Source: auth.md sections 2 and 3, storage.md 4.1. Nearly all znodes share a handful of lists, so a
node points to an `AclList`, and whether everybody may do something is one comparison of bits.
"""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from ensemble.errors import ConfigError, KeeperError
from ensemble.tree.addresses import parse_address, parse_network
from ensemble.wire import codes
from ensemble.wire.jute import reader_of
from ensemble.wire.records import ACL_VECTOR_COUNT_MAX, Acl, Id, read_acl_vector

WORLD: Final = "world"
ANYONE: Final = "anyone"
SUPER: Final = "super"
AUTH: Final = "auth"
DIGEST: Final = "digest"
IP: Final = "ip"

OPEN_ACL_ID: Final = -1
RAW_CACHE_MAX: Final = 1_024  # validated ACLs remembered by their bytes
RAW_CACHE_BYTES_MAX: Final = 512  # longer ones are decoded each time


@final
@mypyc_attr(acyclic=True)
class AclList:
    """One ACL, shared by every node that carries it. Not changed after it is made.

    `world_perms`: the bits that world:anyone has; all bits for an empty list, which grants
    everything. `id` and `users` belong to the table: the number in snapshots (0: not in a table),
    and how many nodes carry the list. `wire_bytes`: the size of the encoded vector.
    """

    __slots__ = ("entries", "id", "users", "wire_bytes", "world_perms")

    def __init__(self, entries: list[Acl]) -> None:
        self.entries: Final = entries
        self.id: i64 = 0
        self.users: i64 = 0
        perms: i64 = 0 if entries else -1
        size: i64 = 4
        for entry in entries:
            scheme = entry.id.scheme or ""
            name = entry.id.id or ""
            size += 12 + _utf8_bytes(scheme) + _utf8_bytes(name)
            if scheme == WORLD and name == ANYONE:
                perms |= entry.perms
        self.world_perms: Final[i64] = perms
        self.wire_bytes: Final[i64] = size

    def __repr__(self) -> str:
        return f"AclList({self.entries!r})"


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def open_entries() -> list[Acl]:
    """world:anyone with all permissions."""
    return [Acl(codes.PERM_ALL, Id(WORLD, ANYONE))]


def read_only_entries() -> list[Acl]:
    """world:anyone may read, nobody may write: the ACL of /zookeeper/config."""
    return [Acl(codes.PERM_READ, Id(WORLD, ANYONE))]


def closed_entries() -> list[Acl]:
    """Nobody may do anything, the super user aside."""
    return [Acl(0, Id(WORLD, ANYONE))]


@final
class AclTable:
    """The lists that the nodes of one tree carry, each once, numbered from 1; the open one is -1.

    A list leaves the table with its last node, so clients cannot make it grow beyond the tree.
    """

    __slots__ = ("by_entries", "by_id", "by_object", "next_id", "open_list")

    def __init__(self) -> None:
        self.by_entries: Final[dict[tuple[Acl, ...], AclList]] = {}
        self.by_id: Final[dict[int, AclList]] = {}
        # By id() of the list object of a table entry: a txn mostly carries that very object.
        self.by_object: Final[dict[int, AclList]] = {}
        self.next_id: i64 = 1
        self.open_list: Final = AclList(open_entries())
        self.open_list.users = 1  # never leaves
        self._add(self.open_list, OPEN_ACL_ID)

    def find(self, entries: list[Acl]) -> AclList | None:
        """The list with these entries, if a node carries it."""
        known = self.by_object.get(id(entries))
        if known is not None and known.entries is entries:
            return known
        return self.by_entries.get(tuple(entries))

    def take(self, entries: list[Acl]) -> AclList:
        """The list with these entries, for one more node."""
        known = self.find(entries)
        if known is None:
            known = AclList(entries)
            self._add(known, self.next_id)
            self.next_id += 1
        known.users += 1
        return known

    def release(self, acl: AclList) -> None:
        """A node that carried `acl` is gone, or carries another one."""
        acl.users -= 1
        if acl.users <= 0 and acl.id > 0:
            # A list under a second number (from a snapshot) must not take the first one's place.
            key = tuple(acl.entries)
            if self.by_entries.get(key) is acl:
                del self.by_entries[key]
            self.by_object.pop(id(acl.entries), None)
            del self.by_id[acl.id]
            acl.id = 0

    def load(self, acl_id: int, entries: list[Acl]) -> AclList:
        """A numbered list of a snapshot, without nodes yet. `prune` when all nodes are read."""
        known = AclList(entries)
        self._add(known, acl_id)
        self.next_id = max(self.next_id, acl_id + 1)
        return known

    def take_by_id(self, acl_id: int) -> AclList:
        """The list of one more node of a snapshot. For an unknown number: closed to everybody.

        A fuzzy file can name an ACL that came after its table; replaying the node's create brings
        the list that it really has (storage.md 6.2).
        """
        known = self.by_id.get(acl_id)
        if known is None:
            return self.take(closed_entries())
        known.users += 1
        return known

    def prune(self) -> None:
        """Drop lists that no node carries, after a snapshot was read."""
        for acl in list(self.by_id.values()):
            if acl.users <= 0:
                acl.users = 1
                self.release(acl)

    def _add(self, acl: AclList, acl_id: i64) -> None:
        acl.id = acl_id
        self.by_id[acl_id] = acl
        self.by_object[id(acl.entries)] = acl
        self.by_entries.setdefault(tuple(acl.entries), acl)


@mypyc_attr(allow_interpreted_subclasses=True)
class Scheme:
    """A kind of identity. Subclass it to add one; `authenticating` ids are what `auth` stands for.

    A subclass sets both attributes in `__init__`: as class attributes they are invisible to
    compiled code.

    How somebody comes to hold an id is the business of `server.auth`. Subclasses need not be
    compiled.
    """

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
        """Whether a null id is a marshalling error (-5) rather than an invalid ACL."""
        return False


class WorldScheme(Scheme):
    """`world:anyone`, held by nobody and met by everybody."""

    def __init__(self) -> None:
        self.name = WORLD

    def is_valid(self, id: str) -> bool:
        return id == ANYONE

    def needs_id(self) -> bool:
        return True


class DigestScheme(Scheme):
    """`digest:user:base64(sha1(user:password))`, opaque here."""

    def __init__(self) -> None:
        self.name = DIGEST
        self.authenticating = True

    def is_valid(self, id: str) -> bool:
        """Two parts once empty ones at the end are dropped, as Java's split does."""
        parts = id.split(":")
        while parts and not parts[-1]:
            parts.pop()
        return len(parts) == 2

    def user_name(self, id: str) -> str:
        return id.partition(":")[0]

    def needs_id(self) -> bool:
        return True


class IpScheme(Scheme):
    """`ip:address[/bits]`, IPv4 and IPv6. Every connection holds its peer's address."""

    def __init__(self) -> None:
        self.name = IP

    def is_valid(self, id: str) -> bool:
        return parse_network(id) is not None

    def matches(self, held: str, entry: str) -> bool:
        network = parse_network(entry)
        address = parse_address(held.partition("%")[0])
        if network is None or address is None or len(network[0]) != len(address):
            return False
        shift = 8 * len(address) - network[1]
        return int.from_bytes(address, "big") >> shift == int.from_bytes(network[0], "big") >> shift

    def needs_id(self) -> bool:
        return True


@final
class AclSchemes:
    """The schemes of this server, and every decision about permissions."""

    __slots__ = ("raw_cache", "schemes", "skip_acl")

    def __init__(self, schemes: list[Scheme], skip_acl: bool = False) -> None:
        self.schemes: Final[dict[str, Scheme]] = {}
        for scheme in schemes:
            if not scheme.name:
                raise ConfigError(f"{type(scheme).__name__} is a scheme without a name")
            self.schemes[scheme.name] = scheme
        self.skip_acl: Final = skip_acl
        # Validated ACLs that do not depend on who asks, by the bytes in which they came.
        self.raw_cache: Final[dict[bytes, list[Acl]]] = {}

    def check(self, acl: AclList, perm: i64, ids: list[Id]) -> bool:
        """Whether one of `ids` has the permission bit `perm`. Ask for one bit at a time."""
        if acl.world_perms & perm or self.skip_acl:
            return True
        return self._check_ids(acl, perm, ids)

    def _check_ids(self, acl: AclList, perm: i64, ids: list[Id]) -> bool:
        for held in ids:
            if held.scheme == SUPER:
                return True
        for entry in acl.entries:
            wanted = entry.id
            if not entry.perms & perm or wanted.scheme is None or wanted.id is None:
                continue
            scheme = self.schemes.get(wanted.scheme)
            if scheme is None:
                continue
            for held in ids:
                if (
                    held.scheme == wanted.scheme
                    and held.id is not None
                    and scheme.matches(held.id, wanted.id)
                ):
                    return True
        return False

    def fix(self, raw: bytes, ids: list[Id]) -> list[Acl]:
        """The ACL that is stored for the raw vector that a client sent (auth.md section 3).

        Duplicates are removed and `auth` is replaced by what the connection holds. The list may be
        shared with other answers: it is not to be changed.

        Raises:
            KeeperError: -114 for an ACL that is empty or names what no scheme knows, -5 for a null
                id where the scheme needs one.
        """
        cached = self.raw_cache.get(raw)
        if cached is not None:
            return cached
        cacheable = len(raw) <= RAW_CACHE_BYTES_MAX
        fixed: dict[Acl, bool] = {}
        for entry in read_acl_vector(reader_of(raw)):
            if entry.id.scheme == AUTH:
                cacheable = False
                self._expand_auth(entry, ids, fixed)
            else:
                self._validate(entry)
                fixed[entry] = True
        if not fixed:
            raise KeeperError(codes.INVALID_ACL, "an ACL without entries")
        entries = list(fixed)
        if cacheable:
            if len(self.raw_cache) >= RAW_CACHE_MAX:
                self.raw_cache.clear()
            self.raw_cache[raw] = entries
        return entries

    def _validate(self, entry: Acl) -> None:
        name = entry.id.scheme
        if name is None:
            raise KeeperError(codes.INVALID_ACL, "an ACL entry without a scheme")
        scheme = self.schemes.get(name)
        if scheme is None:
            raise KeeperError(codes.INVALID_ACL, f"no scheme {name!r} for ACLs")
        id = entry.id.id
        if id is None:
            code = codes.MARSHALLING_ERROR if scheme.needs_id() else codes.INVALID_ACL
            raise KeeperError(code, f"a null id for scheme {name!r}")
        if not scheme.is_valid(id):
            raise KeeperError(codes.INVALID_ACL, f"{name}:{id!r} names nobody")

    def _expand_auth(self, entry: Acl, ids: list[Id], fixed: dict[Acl, bool]) -> None:
        """`auth` stands for every authenticated identity of the connection."""
        found = False
        for held in ids:
            scheme = None if held.scheme is None else self.schemes.get(held.scheme)
            if scheme is not None and scheme.authenticating:
                found = True
                fixed[Acl(entry.perms, held)] = True
        if not found:
            raise KeeperError(codes.INVALID_ACL, "auth: the connection holds no authenticated id")
        if len(fixed) > ACL_VECTOR_COUNT_MAX:
            raise KeeperError(
                codes.INVALID_ACL, f"an ACL of {len(fixed)} entries, {ACL_VECTOR_COUNT_MAX} at most"
            )

    def redact(self, acl: AclList) -> list[Acl]:
        """What getACL shows without ADMIN: digest ids lose their hashes (CVE-2019-0201)."""
        shown: list[Acl] = []
        for entry in acl.entries:
            text = entry.id.id
            if entry.id.scheme == DIGEST and text is not None:
                entry = Acl(entry.perms, Id(DIGEST, text.partition(":")[0] + ":x"))
            shown.append(entry)
        return shown

    def user_name(self, id: Id) -> str:
        """The name of an identity for whoAmI; empty for schemes that this server does not know."""
        scheme = None if id.scheme is None else self.schemes.get(id.scheme)
        return "" if scheme is None or id.id is None else scheme.user_name(id.id)
