"""One znode: data, ACL, children and the numbers of its stat.

Source: client.md section 9, storage.md section 5. A million of them fit into half a gigabyte, so
integers are unboxed, a leaf has no set of children, and a child in that set is the very object that is
the key of `DataTree.nodes`.
"""

from typing import Final, final

from mypy_extensions import i32, i64, mypyc_attr

from ensemble.tree.acl import AclList
from ensemble.wire.records import Stat

# What the stored owner means (storage.md 5.3)
PERSISTENT: Final = 0
EPHEMERAL: Final = 1
CONTAINER: Final = 2
TTL: Final = 3

CONTAINER_OWNER: Final[i64] = -0x8000000000000000
TTL_OWNER_TOP: Final[i64] = -0x0100000000000000  # 0xff00000000000000; the low 40 bits are the ttl
TTL_MS_MAX: Final[i64] = 0xFFFFFFFFFF
TTL_FEATURE_SHIFT: Final[i64] = 40


def owner_of_ttl(ttl_ms: i64) -> i64:
    """The stored owner of a TTL node."""
    return TTL_OWNER_TOP | ttl_ms


def is_ttl_owner(owner: i64) -> bool:
    """Whether an owner has the shape of a TTL: top byte 0xff, feature bits 55..40 all 0."""
    return owner < 0 and (owner >> TTL_FEATURE_SHIFT) == (TTL_OWNER_TOP >> TTL_FEATURE_SHIFT)


def kind_of_owner(owner: i64, extended_types: bool) -> int:
    """PERSISTENT, EPHEMERAL, CONTAINER or TTL. Without extended types a TTL looks like a session."""
    if owner == 0:
        return PERSISTENT
    if owner == CONTAINER_OWNER:
        return CONTAINER
    if extended_types and is_ttl_owner(owner):
        return TTL
    return EPHEMERAL


def wrap_i32(value: i64) -> i64:
    """`value` as a 32-bit signed integer, the way Java's counters overflow."""
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value >= 0x80000000 else value


@final
@mypyc_attr(acyclic=True)
class Znode:
    """A znode. `cversion` is the stored one: creations of children, no deletions.

    `content_crc` covers path and data, `digest` the node's share of the tree digest (see `digest`).
    """

    __slots__ = (
        "acl",
        "aversion",
        "children",
        "content_crc",
        "ctime",
        "cversion",
        "czxid",
        "data",
        "digest",
        "mtime",
        "mzxid",
        "owner",
        "pzxid",
        "version",
    )

    def __init__(
        self, data: bytes | None, acl: AclList, zxid: i64, time_ms: i64, owner: i64
    ) -> None:
        self.data: bytes | None = data
        self.acl: AclList = acl
        self.children: set[bytes] | None = None
        self.czxid: i64 = zxid
        self.mzxid: i64 = zxid
        self.pzxid: i64 = zxid
        self.ctime: i64 = time_ms
        self.mtime: i64 = time_ms
        self.owner: i64 = owner
        self.version: i32 = 0
        self.cversion: i32 = 0
        self.aversion: i32 = 0
        self.content_crc: i64 = 0
        self.digest: i64 = 0

    def num_children(self) -> int:
        children = self.children
        return 0 if children is None else len(children)

    def data_bytes(self) -> int:
        data = self.data
        return 0 if data is None else len(data)

    def visible_owner(self) -> i64:
        """`ephemeralOwner` as clients see it: the session of an ephemeral, else 0."""
        owner = self.owner
        if owner == CONTAINER_OWNER or is_ttl_owner(owner):
            return 0
        return owner

    def stat(self) -> Stat:
        """The stat that clients see."""
        num_children: i64 = self.num_children()
        return Stat(
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            i64(self.version),
            wrap_i32(2 * i64(self.cversion) - num_children),
            i64(self.aversion),
            self.visible_owner(),
            self.data_bytes(),
            num_children,
            self.pzxid,
        )
