"""Records that several messages share: Id, ACL, Stat.

Source: client.md section 6, storage.md section 1.
"""

from typing import Final, final

from librt.strings import BytesWriter, write_i32_be, write_i64_be
from mypy_extensions import i64, mypyc_attr

from ensemble.wire.jute import Reader, write_buffer, write_int, write_text

ACL_VECTOR_COUNT_MAX: Final = 100_000


@final
@mypyc_attr(acyclic=True)
class Id:
    """An identity: a scheme and a text that the scheme understands. Null reads as None."""

    __slots__ = ("id", "scheme")

    def __init__(self, scheme: str | None, id: str | None) -> None:
        self.scheme: Final = scheme
        self.id: Final = id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Id) and self.scheme == other.scheme and self.id == other.id

    def __hash__(self) -> int:
        return hash((self.scheme, self.id))

    def __repr__(self) -> str:
        return f"{self.scheme}:{self.id}"


@final
@mypyc_attr(acyclic=True)
class Acl:
    """One entry of an ACL: permission bits (stored as sent, 32-bit signed) for one identity."""

    __slots__ = ("id", "perms")

    def __init__(self, perms: int, id: Id) -> None:
        self.perms: Final = perms
        self.id: Final = id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Acl) and self.perms == other.perms and self.id == other.id

    def __hash__(self) -> int:
        return hash((self.perms, self.id))

    def __repr__(self) -> str:
        return f"{self.perms}@{self.id!r}"


def read_id(reader: Reader) -> Id:
    scheme = reader.read_text()
    return Id(scheme, reader.read_text())


def write_id(out: BytesWriter, id: Id) -> None:
    write_text(out, id.scheme)
    write_text(out, id.id)


def read_acl_vector(reader: Reader) -> list[Acl]:
    """A vector of ACL entries; null reads as the empty list (both are invalid ACLs)."""
    entries: list[Acl] = []
    for _ in range(reader.read_count()):
        perms = reader.read_int()
        entries.append(Acl(perms, read_id(reader)))
    return entries


def skip_acl_vector(reader: Reader) -> bytes:
    """Step over a vector of ACL entries and give its raw bytes, the key for interning it."""
    start = reader.at
    count = reader.read_int()
    while count > 0:
        count -= 1
        reader.read_int()
        skip_buffer(reader)
        skip_buffer(reader)
    return reader.buf[start : reader.at]


def skip_buffer(reader: Reader) -> None:
    """Step over a buffer or string without copying it."""
    size = reader.read_int()
    if size == -1:
        return
    if size < 0 or reader.at + size > reader.end:
        raise reader.short(size)
    reader.at += size


def write_acl_vector(out: BytesWriter, entries: list[Acl]) -> None:
    write_int(out, len(entries))
    for entry in entries:
        write_int(out, entry.perms)
        write_id(out, entry.id)


@final
@mypyc_attr(acyclic=True, free_list_len=1)
class Stat:
    """What clients see of a znode beside its data: 68 bytes (client.md section 9).

    zxids: czxid mzxid pzxid; milliseconds: ctime mtime; counters: version cversion aversion.
    `cversion` is the visible one, creations plus deletions of children.
    """

    __slots__ = (
        "aversion",
        "ctime",
        "cversion",
        "czxid",
        "data_bytes",
        "ephemeral_owner",
        "mtime",
        "mzxid",
        "num_children",
        "pzxid",
        "version",
    )

    def __init__(
        self,
        czxid: i64,
        mzxid: i64,
        ctime: i64,
        mtime: i64,
        version: i64,
        cversion: i64,
        aversion: i64,
        ephemeral_owner: i64,
        data_bytes: i64,
        num_children: i64,
        pzxid: i64,
    ) -> None:
        self.czxid: Final = czxid
        self.mzxid: Final = mzxid
        self.ctime: Final = ctime
        self.mtime: Final = mtime
        self.version: Final = version
        self.cversion: Final = cversion
        self.aversion: Final = aversion
        self.ephemeral_owner: Final = ephemeral_owner
        self.data_bytes: Final = data_bytes
        self.num_children: Final = num_children
        self.pzxid: Final = pzxid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stat) and self.as_tuple() == other.as_tuple()

    def __hash__(self) -> int:
        return hash(self.as_tuple())

    def __repr__(self) -> str:
        return "Stat" + repr(self.as_tuple())

    def as_tuple(self) -> tuple[int, int, int, int, int, int, int, int, int, int, int]:
        """The fields in wire order."""
        return (
            self.czxid,
            self.mzxid,
            self.ctime,
            self.mtime,
            self.version,
            self.cversion,
            self.aversion,
            self.ephemeral_owner,
            self.data_bytes,
            self.num_children,
            self.pzxid,
        )


def read_stat(reader: Reader) -> Stat:
    czxid = reader.read_long()
    mzxid = reader.read_long()
    ctime = reader.read_long()
    mtime = reader.read_long()
    version = reader.read_int()
    cversion = reader.read_int()
    aversion = reader.read_int()
    owner = reader.read_long()
    data_bytes = reader.read_int()
    num_children = reader.read_int()
    pzxid = reader.read_long()
    return Stat(
        czxid,
        mzxid,
        ctime,
        mtime,
        version,
        cversion,
        aversion,
        owner,
        data_bytes,
        num_children,
        pzxid,
    )


def write_stat(out: BytesWriter, stat: Stat) -> None:
    """68 bytes."""
    write_i64_be(out, stat.czxid)
    write_i64_be(out, stat.mzxid)
    write_i64_be(out, stat.ctime)
    write_i64_be(out, stat.mtime)
    write_int(out, stat.version)
    write_int(out, stat.cversion)
    write_int(out, stat.aversion)
    write_i64_be(out, stat.ephemeral_owner)
    write_int(out, stat.data_bytes)
    write_int(out, stat.num_children)
    write_i64_be(out, stat.pzxid)


def write_path_vector(out: BytesWriter, paths: list[bytes]) -> None:
    """A vector of strings given as UTF-8."""
    write_i32_be(out, len(paths))
    for path in paths:
        write_buffer(out, path)
