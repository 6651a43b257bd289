"""What the audit journal says of a request: the paths in its body, and who asks.

Bodies come from clients and may be anything: what cannot be decoded has no path.
"""

from typing import Final

from mypy_extensions import i64

from ensemble.tenancy.seat import Seat
from ensemble.wire import codes
from ensemble.wire.jute import MarshallingError, Reader
from ensemble.wire.records import Id
from ensemble.wire.requests import read_multi, read_multi_read

PRINCIPAL_MAX: Final = 512  # characters of who asks; more identities than that are cut


def failed_parts(op: i64, body: Reader | None) -> list[tuple[int, bytes]]:
    """(operation, path) of each part of a write that was refused."""
    parts: list[tuple[int, bytes]] = []
    if body is None or op == codes.OP_CLOSE_SESSION or op == codes.OP_RECONFIG:
        return parts
    reader = Reader(body.buf, body.at, body.end)
    try:
        if op == codes.OP_MULTI:
            for item in read_multi(reader):
                if item.op != codes.OP_CHECK:
                    parts.append((item.op, item.request.path))
        else:
            parts.append((int(op), reader.read_path()))
    except MarshallingError:
        pass
    return parts


def read_parts(op: i64, body: Reader | None) -> list[tuple[int, bytes]]:
    """The same of a read. Re-armed watches carry paths that the client has asked for before."""
    parts: list[tuple[int, bytes]] = []
    if body is None or op == codes.OP_SET_WATCHES or op == codes.OP_SET_WATCHES2:
        return parts
    if op == codes.OP_WHO_AM_I or op == codes.OP_PING:
        return parts
    reader = Reader(body.buf, body.at, body.end)
    try:
        if op == codes.OP_MULTI_READ:
            for item in read_multi_read(reader):
                parts.append((item.op, item.path))
        else:
            parts.append((int(op), reader.read_path()))
    except MarshallingError:
        pass
    return parts


def scheme_of(body: Reader) -> bytes:
    """The scheme that an auth packet names; never what comes with it."""
    reader = Reader(body.buf, body.at, body.end)
    try:
        reader.read_int()
        return reader.read_buffer() or b""
    except MarshallingError:
        return b""


def scheme_by(op: i64) -> bytes:
    """By which way a tenant's credential came that a session was bound for."""
    if op == codes.OP_AUTH:
        return b"tenant"
    return b"sasl" if op == codes.OP_SASL else b"x509"


def principal_of(seat: Seat, ids: list[Id]) -> str:
    """Who asks: as the seat says, else the identities of the connection, without secrets."""
    if seat.principal:
        return f"operator:{seat.principal}" if seat.is_operator else seat.principal
    names: list[str] = []
    size = 0
    for id in ids:
        if id.scheme == "ip" or id.scheme == "world":
            continue
        name = id.id or ""
        if id.scheme == "digest":
            name = name.partition(":")[0]
        shown = f"{id.scheme}:{name}" if name else id.scheme or ""
        if shown in names:
            continue
        size += len(shown) + 1
        if size > PRINCIPAL_MAX:
            names.append("…")
            break
        names.append(shown)
    return ",".join(names)
