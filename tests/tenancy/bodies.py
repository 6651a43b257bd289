"""Bodies of requests as bytes, for the tests of the wall."""

from collections.abc import Sequence

from librt.strings import BytesWriter

from ensemble.wire import codes
from ensemble.wire.jute import write_buffer, write_int
from ensemble.wire.records import Acl, Id, write_acl_vector, write_path_vector
from ensemble.wire.requests import CreateRequest, write_create


def acl_of(perms: int, who: Id) -> bytes:
    out = BytesWriter()
    write_acl_vector(out, [Acl(perms, who)])
    return out.getvalue()


OPEN_ACL = acl_of(codes.PERM_ALL, Id("world", "anyone"))
CLOSED_ACL = acl_of(codes.PERM_ALL, Id("digest", "nobody:x"))


def path_body(path: bytes, *rest: bytes) -> bytes:
    """A body whose first field is a path; what follows stands in `rest`."""
    out = BytesWriter()
    write_buffer(out, path)
    for piece in rest:
        out.write(piece)
    return out.getvalue()


def number(value: int) -> bytes:
    return value.to_bytes(4, signed=True)


def create_body(
    path: bytes, data: bytes = b"", flags: int = 0, acl: bytes = OPEN_ACL, op: int = codes.OP_CREATE
) -> bytes:
    out = BytesWriter()
    write_create(out, CreateRequest(path, data, acl, flags, 1_000), op)
    return out.getvalue()


def watches_body(zxid: int, *lists: Sequence[bytes]) -> bytes:
    out = BytesWriter()
    out.write(zxid.to_bytes(8))
    for paths in lists:
        write_path_vector(out, list(paths))
    return out.getvalue()


def auth_body(scheme: str, token: bytes) -> bytes:
    out = BytesWriter()
    write_int(out, 0)
    write_buffer(out, scheme.encode())
    write_buffer(out, token)
    return out.getvalue()
