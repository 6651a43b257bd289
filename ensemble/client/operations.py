"""What can be asked of the tree: reads, writes, bulk requests. The client is these plus a session.

Each operation sends its request at once, in the order of the calls, and gives a future: awaited one
by one they are sequential, kept and awaited later they are pipelined. What the caller got wrong
raises at the call; what the server or the connection did comes through the future. Paths are `str`
and relative to the chroot, data is `bytes`; null data reads as `b""`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ensemble.client.acl import OPEN_ACL
from ensemble.client.arguments import check_config_version, check_version
from ensemble.client.connection import check
from ensemble.client.errors import error_of
from ensemble.client.modes import CreateMode, op_of_create
from ensemble.client.paths import ROOT, Chroot, check_path
from ensemble.client.transaction import (
    MultiRead,
    ReadResult,
    Result,
    Transaction,
    raw_acl,
    read_names,
)
from ensemble.client.watches import Watcher, WatchTable
from ensemble.wire import codes
from ensemble.wire.jute import BytesWriter, Reader, write_buffer
from ensemble.wire.records import Acl, Id, Stat, read_acl_vector, read_id, read_stat
from ensemble.wire.requests import (
    CreateRequest,
    DeleteRequest,
    PathWatchRequest,
    ReconfigRequest,
    SetAclRequest,
    SetDataRequest,
    write_create,
    write_delete,
    write_path_watch,
    write_reconfig,
    write_set_acl,
    write_set_data,
)

CONFIG_PATH: Final = "/zookeeper/config"

T = TypeVar("T")
R = TypeVar("R")


class Operations(ABC):
    """The operations, on top of `_call`."""

    def __init__(self, chroot: Chroot) -> None:
        self.chroot: Final = chroot
        self._watches = WatchTable(chroot)

    @abstractmethod
    def _call(
        self,
        op: int,
        body: bytes,
        path: str | None,
        finish: Callable[[int, Reader], T],
        undo: Callable[[], None] | None = None,
    ) -> asyncio.Future[T]:
        """Send a request; `finish` makes the result of an error code and the reply's body."""

    # Reads

    def exists(self, path: str, watch: Watcher | None = None) -> asyncio.Future[Stat | None]:
        """The stat, or None. `watch` is called once: the znode is created, changed or deleted."""

        def finish(err: int, reader: Reader) -> Stat | None:
            if err == codes.NO_NODE:
                if watch is not None and not future.cancelled():
                    self._watches.add_exist(path, watch)
                return None
            check(err, path)
            if watch is not None and not future.cancelled():
                self._watches.add_data(path, watch)
            return read_stat(reader)

        future = self._read(codes.OP_EXISTS, path, watch, finish)
        return future

    def get(self, path: str, watch: Watcher | None = None) -> asyncio.Future[tuple[bytes, Stat]]:
        """Data and stat. `watch` is called once: the znode is changed or deleted."""

        def finish(err: int, reader: Reader) -> tuple[bytes, Stat]:
            check(err, path)
            if watch is not None and not future.cancelled():
                self._watches.add_data(path, watch)
            data = reader.read_buffer() or b""
            return data, read_stat(reader)

        future = self._read(codes.OP_GET_DATA, path, watch, finish)
        return future

    def children(self, path: str, watch: Watcher | None = None) -> asyncio.Future[list[str]]:
        """The children's names. `watch` is called once: one comes or goes, or the znode goes."""

        def finish(err: int, reader: Reader) -> list[str]:
            check(err, path)
            if watch is not None and not future.cancelled():
                self._watches.add_child(path, watch)
            return read_names(reader)

        future = self._read(codes.OP_GET_CHILDREN, path, watch, finish)
        return future

    def children_with_stat(
        self, path: str, watch: Watcher | None = None
    ) -> asyncio.Future[tuple[list[str], Stat]]:
        """The children's names, and the stat of the parent."""

        def finish(err: int, reader: Reader) -> tuple[list[str], Stat]:
            check(err, path)
            if watch is not None and not future.cancelled():
                self._watches.add_child(path, watch)
            names = read_names(reader)
            return names, read_stat(reader)

        future = self._read(codes.OP_GET_CHILDREN2, path, watch, finish)
        return future

    def get_acl(self, path: str) -> asyncio.Future[tuple[list[Acl], Stat]]:
        """The ACL; digests are masked for who may not change it."""

        def finish(err: int, reader: Reader) -> tuple[list[Acl], Stat]:
            check(err, path)
            acl = read_acl_vector(reader)
            return acl, read_stat(reader)

        return self._call(codes.OP_GET_ACL, self._path_body(path), path, finish)

    def multi_read(self) -> MultiRead:
        """A bulk read to fill: `await zk.multi_read().get("/a").children("/b").fetch()`."""

        def submit(
            op: int, body: bytes, finish: Callable[[int, Reader], list[ReadResult]]
        ) -> asyncio.Future[list[ReadResult]]:
            return self._call(op, body, None, finish)

        return MultiRead(submit, self.chroot)

    def ephemerals(self, prefix: str = ROOT) -> asyncio.Future[list[str]]:
        """The paths of this session's ephemerals that start with `prefix`, a mere text."""

        def finish(err: int, reader: Reader) -> list[str]:
            check(err, prefix)
            paths = [self.chroot.to_client(path) for path in read_names(reader)]
            # The chroot /app is a prefix of /apple too, which is none of ours.
            return [path for path in paths if path is not None]

        # As of a sequential name, its end may be missing.
        body = body_of(write_buffer, self._raw(check_path(prefix, sequential=True)))
        return self._call(codes.OP_GET_EPHEMERALS, body, prefix, finish)

    def all_children_count(self, path: str) -> asyncio.Future[int]:
        """How many znodes there are below `path`, at any depth."""

        def finish(err: int, reader: Reader) -> int:
            check(err, path)
            return reader.read_int()

        return self._call(codes.OP_GET_ALL_CHILDREN_NUMBER, self._path_body(path), path, finish)

    def whoami(self) -> asyncio.Future[list[Id]]:
        """The identities of this connection; of a digest, the user alone."""

        def finish(err: int, reader: Reader) -> list[Id]:
            check(err)
            return [read_id(reader) for _ in range(reader.read_count())]

        return self._call(codes.OP_WHO_AM_I, b"", None, finish)

    def sync(self, path: str = ROOT) -> asyncio.Future[str]:
        """Catch up: reads that follow see everything that was acknowledged before this."""

        def finish(err: int, reader: Reader) -> str:
            check(err, path)
            return path

        return self._call(codes.OP_SYNC, self._path_body(path), path, finish)

    def config(self) -> asyncio.Future[tuple[bytes, Stat]]:
        """The ensemble's dynamic configuration, whatever the chroot; empty when standalone."""

        def finish(err: int, reader: Reader) -> tuple[bytes, Stat]:
            check(err, CONFIG_PATH)
            data = reader.read_buffer() or b""
            return data, read_stat(reader)

        body = body_of(write_path_watch, PathWatchRequest(CONFIG_PATH.encode(), False))
        return self._call(codes.OP_GET_DATA, body, CONFIG_PATH, finish)

    # Writes

    def create(
        self,
        path: str,
        data: bytes | None = b"",
        *,
        acl: Sequence[Acl] = OPEN_ACL,
        mode: CreateMode = CreateMode.PERSISTENT,
        ttl_ms: int | None = None,
    ) -> asyncio.Future[str]:
        """The new znode's path, with its number where the mode is sequential."""

        def finish(err: int, reader: Reader) -> str:
            check(err, path)
            return self._client_path(reader)

        return self._create(path, data, acl, mode, ttl_ms, False, finish)

    def create_with_stat(
        self,
        path: str,
        data: bytes | None = b"",
        *,
        acl: Sequence[Acl] = OPEN_ACL,
        mode: CreateMode = CreateMode.PERSISTENT,
        ttl_ms: int | None = None,
    ) -> asyncio.Future[tuple[str, Stat]]:
        """As `create`, and the stat."""

        def finish(err: int, reader: Reader) -> tuple[str, Stat]:
            check(err, path)
            created = self._client_path(reader)
            return created, read_stat(reader)

        return self._create(path, data, acl, mode, ttl_ms, True, finish)

    def delete(self, path: str, version: int = codes.VERSION_ANY) -> asyncio.Future[None]:
        """Delete a znode without children, if `version` is its version."""
        request = DeleteRequest(self._raw(check_path(path)), check_version(version, path))
        body = body_of(write_delete, request)
        return self._call(codes.OP_DELETE, body, path, lambda err, _: check(err, path))

    def set(
        self, path: str, data: bytes | None, version: int = codes.VERSION_ANY
    ) -> asyncio.Future[Stat]:
        """Replace the data, if `version` is its version."""
        request = SetDataRequest(self._raw(check_path(path)), data, check_version(version, path))
        return self._call(codes.OP_SET_DATA, body_of(write_set_data, request), path, stat_of(path))

    def set_acl(
        self, path: str, acl: Sequence[Acl], version: int = codes.VERSION_ANY
    ) -> asyncio.Future[Stat]:
        """Replace the ACL, if `version` is the ACL's version (`Stat.aversion`)."""
        raw = self._raw(check_path(path))
        request = SetAclRequest(raw, raw_acl(acl), check_version(version, path))
        return self._call(codes.OP_SET_ACL, body_of(write_set_acl, request), path, stat_of(path))

    def transaction(self) -> Transaction:
        """A transaction to fill: `await zk.transaction().check("/a", 3).delete("/b").commit()`."""

        def submit(
            op: int, body: bytes, finish: Callable[[int, Reader], list[Result]]
        ) -> asyncio.Future[list[Result]]:
            return self._call(op, body, None, finish)

        return Transaction(submit, self.chroot)

    def reconfig(
        self,
        *,
        joining: str | None = None,
        leaving: str | None = None,
        members: str | None = None,
        config_version: int = -1,
    ) -> asyncio.Future[tuple[bytes, Stat]]:
        """Change the ensemble's members. Gives the new configuration."""

        def finish(err: int, reader: Reader) -> tuple[bytes, Stat]:
            check(err)
            data = reader.read_buffer() or b""
            return data, read_stat(reader)

        version = check_config_version(config_version)
        request = ReconfigRequest(joining, leaving, members, version)
        return self._call(codes.OP_RECONFIG, body_of(write_reconfig, request), None, finish)

    # Inner

    def _read(
        self, op: int, path: str, watch: Watcher | None, finish: Callable[[int, Reader], T]
    ) -> asyncio.Future[T]:
        request = PathWatchRequest(self._raw(check_path(path)), watch is not None)
        return self._call(op, body_of(write_path_watch, request), path, finish)

    def _create(
        self,
        path: str,
        data: bytes | None,
        acl: Sequence[Acl],
        mode: CreateMode,
        ttl_ms: int | None,
        with_stat: bool,
        finish: Callable[[int, Reader], T],
    ) -> asyncio.Future[T]:
        op = op_of_create(mode, ttl_ms, with_stat)
        raw = self._raw(check_path(path, sequential=mode.is_sequential))
        request = CreateRequest(raw, data, raw_acl(acl), mode, ttl_ms or -1)
        out = BytesWriter()
        write_create(out, request, op)
        return self._call(op, out.getvalue(), path, finish)

    def _raw(self, path: str) -> bytes:
        return self.chroot.to_server(path).encode()

    def _path_body(self, path: str) -> bytes:
        return body_of(write_buffer, self._raw(check_path(path)))

    def _client_path(self, reader: Reader) -> str:
        server_path = reader.read_path().decode("utf-8", "replace")
        return self.chroot.to_client(server_path) or server_path


def body_of(write: Callable[[BytesWriter, R], None], request: R) -> bytes:
    """The bytes of a request's body."""
    out = BytesWriter()
    write(out, request)
    return out.getvalue()


def stat_of(path: str) -> Callable[[int, Reader], Stat]:
    """Finish a request whose reply is a stat."""

    def finish(err: int, reader: Reader) -> Stat:
        if err:
            raise error_of(err, path)
        return read_stat(reader)

    return finish
