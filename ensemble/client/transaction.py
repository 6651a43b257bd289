"""Many operations in one request: transactions, which happen wholly or not at all, and bulk reads.

Source: client.md section 12.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ensemble.client.acl import OPEN_ACL
from ensemble.client.arguments import check_permissions, check_version
from ensemble.client.errors import BadArgumentsError, ClientError, RolledBackError, error_of
from ensemble.client.modes import CreateMode, op_of_create
from ensemble.client.paths import Chroot, check_path
from ensemble.wire import codes
from ensemble.wire.jute import BytesWriter, Reader
from ensemble.wire.records import Acl, Stat, read_stat, write_acl_vector
from ensemble.wire.requests import (
    MULTI_OPS_MAX,
    CreateRequest,
    DeleteRequest,
    MultiItem,
    MultiReadItem,
    SetDataRequest,
    read_multi_header,
    write_multi,
    write_multi_read,
)

OPS_MAX: Final = MULTI_OPS_MAX
FAILED: Final = -1  # the type in the header of a failed operation

Result = str | tuple[str, Stat] | Stat | None
"""Of create: the path, with the stat where it was asked for; of set: the stat; else None."""

ReadResult = tuple[bytes, Stat] | list[str] | ClientError
"""Of get: data and stat; of children: names; or why that one failed."""


class SubmitMulti(Protocol):
    """How a finished multi gets to the session."""

    def __call__(
        self, op: int, body: bytes, finish: Callable[[int, Reader], list[Result]]
    ) -> asyncio.Future[list[Result]]: ...


class SubmitMultiRead(Protocol):
    """How a finished multiRead gets to the session."""

    def __call__(
        self, op: int, body: bytes, finish: Callable[[int, Reader], list[ReadResult]]
    ) -> asyncio.Future[list[ReadResult]]: ...


class Transaction:
    """Writes that all happen, in order, or none of them.

    The methods only note; `commit` sends. They return the transaction, so that they can be chained.
    """

    def __init__(self, submit: SubmitMulti, chroot: Chroot) -> None:
        self._submit = submit
        self._chroot = chroot
        self._items: list[MultiItem] = []
        self._paths: list[str] = []
        self._committed = False

    def __len__(self) -> int:
        return len(self._items)

    def create(
        self,
        path: str,
        data: bytes | None = b"",
        *,
        acl: Sequence[Acl] = OPEN_ACL,
        mode: CreateMode = CreateMode.PERSISTENT,
        ttl_ms: int | None = None,
        with_stat: bool = False,
    ) -> "Transaction":
        """See `Client.create`."""
        op = op_of_create(mode, ttl_ms, with_stat)
        raw = self._raw(check_path(path, sequential=mode.is_sequential))
        ttl = -1 if ttl_ms is None else ttl_ms
        return self._note(op, CreateRequest(raw, data, raw_acl(acl), mode, ttl), path)

    def delete(self, path: str, version: int = codes.VERSION_ANY) -> "Transaction":
        """See `Client.delete`."""
        request = DeleteRequest(self._checked(path), check_version(version, path))
        return self._note(codes.OP_DELETE, request, path)

    def set(self, path: str, data: bytes | None, version: int = codes.VERSION_ANY) -> "Transaction":
        """See `Client.set`."""
        request = SetDataRequest(self._checked(path), data, check_version(version, path))
        return self._note(codes.OP_SET_DATA, request, path)

    def check(self, path: str, version: int) -> "Transaction":
        """Nothing happens unless the znode is there, at this version (-1: at any)."""
        request = DeleteRequest(self._checked(path), check_version(version, path))
        return self._note(codes.OP_CHECK, request, path)

    def commit(self) -> asyncio.Future[list[Result]]:
        """Send it. One result for each operation, in order.

        Raises (through the future):
            ClientError: the error of the first operation that failed, with its `index` and `path`;
                none of the operations happened.
        """
        if self._committed:
            raise BadArgumentsError("this transaction was committed before")
        out = BytesWriter()
        write_multi(out, self._items)
        future = self._submit(codes.OP_MULTI, out.getvalue(), self._finish)
        self._committed = True  # not before: after QueueFullError it can be committed again
        return future

    def _raw(self, path: str) -> bytes:
        return self._chroot.to_server(path).encode()

    def _checked(self, path: str) -> bytes:
        return self._raw(check_path(path))

    def _note(
        self, op: int, request: CreateRequest | DeleteRequest | SetDataRequest, path: str
    ) -> "Transaction":
        if self._committed:
            raise BadArgumentsError("this transaction was committed before", path=path)
        if len(self._items) >= OPS_MAX:
            raise BadArgumentsError(f"a transaction has at most {OPS_MAX} operations", path=path)
        self._items.append(MultiItem(op, request))
        self._paths.append(path)
        return self

    def _finish(self, err: int, reader: Reader) -> list[Result]:
        if err:
            raise error_of(err)
        results: list[Result] = []
        failure: ClientError | None = None
        while True:
            kind = read_multi_header(reader)
            if kind is None:
                break
            index = len(results)
            if index >= len(self._items):
                raise error_of(codes.MARSHALLING_ERROR, index=index)
            if kind == FAILED:
                code = reader.read_int()
                if code not in (codes.OK, codes.RUNTIME_INCONSISTENCY) and failure is None:
                    failure = error_of(code, self._paths[index], index)
                elif failure is None and code:
                    failure = RolledBackError(index=index)
                results.append(None)
            else:
                results.append(self._read_result(kind, self._items[index].op, reader))
        if failure is not None:
            raise failure
        return results

    def _read_result(self, kind: int, op: int, reader: Reader) -> Result:
        if kind in (codes.OP_CREATE, codes.OP_CREATE2):
            server_path = reader.read_path().decode("utf-8", "replace")
            path = self._chroot.to_client(server_path) or server_path
            if kind == codes.OP_CREATE:
                return path
            stat = read_stat(reader)
            return (path, stat) if op == codes.OP_CREATE2 else path
        if kind == codes.OP_SET_DATA:
            return read_stat(reader)
        return None


class MultiRead:
    """Reads in one request, at one moment of the tree; each succeeds or fails by itself."""

    def __init__(self, submit: SubmitMultiRead, chroot: Chroot) -> None:
        self._submit = submit
        self._chroot = chroot
        self._items: list[MultiReadItem] = []
        self._paths: list[str] = []

    def __len__(self) -> int:
        return len(self._items)

    def get(self, path: str) -> "MultiRead":
        """Data and stat."""
        return self._note(codes.OP_GET_DATA, path)

    def children(self, path: str) -> "MultiRead":
        """The children's names."""
        return self._note(codes.OP_GET_CHILDREN, path)

    def fetch(self) -> asyncio.Future[list[ReadResult]]:
        """Send it. One result for each read, in order; a failed one is its error."""
        out = BytesWriter()
        write_multi_read(out, self._items)
        return self._submit(codes.OP_MULTI_READ, out.getvalue(), self._finish)

    def _note(self, op: int, path: str) -> "MultiRead":
        if len(self._items) >= OPS_MAX:
            raise BadArgumentsError(f"a bulk read has at most {OPS_MAX} operations", path=path)
        self._items.append(MultiReadItem(op, self._chroot.to_server(check_path(path)).encode()))
        self._paths.append(path)
        return self

    def _finish(self, err: int, reader: Reader) -> list[ReadResult]:
        if err:
            raise error_of(err)
        results: list[ReadResult] = []
        while True:
            kind = read_multi_header(reader)
            if kind is None:
                return results
            index = len(results)
            if index >= len(self._paths):
                raise error_of(codes.MARSHALLING_ERROR, index=index)
            if kind == FAILED:
                results.append(error_of(reader.read_int(), self._paths[index], index))
            elif kind == codes.OP_GET_DATA:
                data = reader.read_buffer() or b""
                results.append((data, read_stat(reader)))
            else:
                results.append(read_names(reader))


def read_names(reader: Reader) -> list[str]:
    """A vector of names or paths."""
    return [reader.read_text() or "" for _ in range(reader.read_count())]


def raw_acl(acl: Sequence[Acl]) -> bytes:
    """An ACL's vector, as requests carry it."""
    for entry in acl:
        check_permissions(entry.perms)
    out = BytesWriter()
    write_acl_vector(out, list(acl))
    return out.getvalue()
