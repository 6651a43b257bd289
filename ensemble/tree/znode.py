"""One znode: data, ACL, stat fields, the set of its children.

A million of them must fit into half a gigabyte (design: at most 500 bytes each with 100 bytes of
data), so numbers are unboxed when compiled, ACLs are shared, and children are named by the very
bytes objects that are the keys of the tree.
"""

from typing import Final, final

from mypy_extensions import i64, mypyc_attr

from ensemble.tree.acl import AclList

# Owners that are no session (storage.md 5.3), as signed 64-bit numbers
OWNER_CONTAINER: Final = -0x8000000000000000
OWNER_TTL_PREFIX: Final = -0x100000000000000  # 0xff00000000000000
TTL_MAX: Final = (1 << 40) - 1


@final
@mypyc_attr(acyclic=True)
class Znode:
    """`cversion` counts creations of children only; clients see another number (storage.md 5.2).

    `owner`: 0 persistent, a session id for ephemerals, or one of the special owners. `digest` is
    the node's share of the tree digest (unsigned 32 bit), kept so that a change needs one CRC, not
    two.
    """

    __slots__ = (
        "acl",
        "aversion",
        "children",
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
        self.version: i64 = 0
        self.cversion: i64 = 0
        self.aversion: i64 = 0
        self.owner: i64 = owner
        self.digest: i64 = 0

    def num_children(self) -> i64:
        children = self.children
        return 0 if children is None else len(children)

    def data_bytes(self) -> i64:
        data = self.data
        return 0 if data is None else len(data)


def ttl_owner(ttl_ms: i64) -> i64:
    """The owner of a TTL node: 0xff in the top byte, the TTL in the low 40 bits."""
    return OWNER_TTL_PREFIX | ttl_ms


def is_ttl_owner(owner: i64) -> bool:
    """Whether the owner's top byte is 0xff and the reserved bits are 0."""
    return owner < 0 and (owner >> 40) == -0x10000


def ttl_of(owner: i64) -> i64:
    """Milliseconds, for a TTL owner."""
    return owner & TTL_MAX


def wrap32(value: i64) -> i64:
    """A 32-bit counter after it grew, as Java's int would have it."""
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value >= 0x80000000 else value
