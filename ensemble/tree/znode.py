"""One znode: data, ACL, children and the numbers of its stat.

Source: client.md section 9, storage.md section 5. A million of them fit into half a gigabyte, so
integers are unboxed, a leaf has no set of children, and a child in that set is the very object that
is the key of `DataTree.nodes`.
"""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from ensemble.tree.acl import AclList

# What the stored owner means (storage.md 5.3)
PERSISTENT: Final = 0
EPHEMERAL: Final = 1
CONTAINER: Final = 2
TTL: Final = 3

OWNER_CONTAINER: Final[i64] = -0x8000000000000000
OWNER_TTL_PREFIX: Final[i64] = -0x0100000000000000  # 0xff00000000000000
TTL_MAX: Final[i64] = 0xFFFFFFFFFF  # 40 bits of milliseconds


def ttl_owner(ttl_ms: i64) -> i64:
    """The owner of a TTL node: 0xff in the top byte, the TTL in the low 40 bits."""
    return OWNER_TTL_PREFIX | ttl_ms


def is_ttl_owner(owner: i64) -> bool:
    """Whether the owner's top byte is 0xff and the reserved bits are 0."""
    return owner < 0 and (owner >> 40) == -0x10000


def ttl_of(owner: i64) -> i64:
    """Milliseconds, for a TTL owner."""
    return owner & TTL_MAX


def kind_of_owner(owner: i64, extended_types: bool) -> int:
    """PERSISTENT, EPHEMERAL, CONTAINER or, with extended types, TTL."""
    if owner == 0:
        return PERSISTENT
    if owner == OWNER_CONTAINER:
        return CONTAINER
    if extended_types and is_ttl_owner(owner):
        return TTL
    return EPHEMERAL


def wrap32(value: i64) -> i64:
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
        self, data: bytes | None, acl: AclList, owner: i64, zxid: i64, time_ms: i64
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
        self.version: i64 = 0
        self.cversion: i64 = 0
        self.aversion: i64 = 0
        self.content_crc: i64 = 0
        self.digest: i64 = 0

    def num_children(self) -> i64:
        children = self.children
        return 0 if children is None else len(children)

    def data_bytes(self) -> i64:
        data = self.data
        return 0 if data is None else len(data)
