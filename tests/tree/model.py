"""A slow and obvious model of the tree: a dictionary of dictionaries, one request at a time.

Nothing here is shared with the implementation. It knows no pipeline: it does at once what the real
one proposes, logs and applies, and both must agree on every error and on every field.
"""

from copy import deepcopy
from typing import Any

READ, WRITE, CREATE, DELETE, ADMIN = 1, 2, 4, 8, 16
PERSISTENT, EPHEMERAL, SEQUENTIAL, EPHEMERAL_SEQUENTIAL, CONTAINER = range(5)
Node = dict[str, Any]


def new_node(data: bytes | None, perms: int, zxid: int, time: int, owner: object) -> Node:
    return {
        "data": data,
        "perms": perms,
        "czxid": zxid,
        "mzxid": zxid,
        "pzxid": zxid,
        "ctime": time,
        "mtime": time,
        "version": 0,
        "creates": 0,
        "aversion": 0,
        "owner": owner,
    }


class Refused(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Model:
    """Permissions are bits for everybody; that is enough to tell whether they are asked for."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {"/": new_node(b"", 31, 0, 0, None)}
        self.sessions: set[int] = set()
        self.zxid = 0
        self.time = 0

    def children(self, path: str) -> set[str]:
        prefix = "/" if path == "/" else path + "/"
        return {
            other
            for other in self.nodes
            if other != "/" and other.startswith(prefix) and "/" not in other[len(prefix) :]
        }

    def parent(self, path: str) -> str:
        return path.rpartition("/")[0] or "/"

    def need(self, path: str, perm: int) -> Node:
        if path not in self.nodes:
            raise Refused(-101)
        if not self.nodes[path]["perms"] & perm:
            raise Refused(-102)
        return self.nodes[path]

    # Requests. Each takes a zxid, whatever becomes of it.

    def run(self, session: int, operation: tuple[Any, ...]) -> int:
        """The error of one operation, 0 for success."""
        self.zxid += 1
        try:
            self.do(session, operation)
        except Refused as refused:
            return refused.code
        return 0

    def multi(self, session: int, operations: list[tuple[Any, ...]]) -> list[int]:
        """The errors of a multi's parts."""
        self.zxid += 1
        before = deepcopy(self.nodes)
        for at, operation in enumerate(operations):
            try:
                self.do(session, operation)
            except Refused as refused:
                self.nodes = before
                return [0] * at + [refused.code] + [-2] * (len(operations) - at - 1)
        return [0] * len(operations)

    def do(self, session: int, operation: tuple[Any, ...]) -> None:
        if session not in self.sessions:
            raise Refused(-112)
        getattr(self, operation[0])(session, *operation[1:])

    def create(self, session: int, path: str, data: bytes | None, mode: int, perms: int) -> None:
        above = self.parent(path)
        parent = self.need(above, CREATE)
        if mode in (SEQUENTIAL, EPHEMERAL_SEQUENTIAL):
            path += str(parent["creates"]).zfill(10)
        if path in self.nodes:
            raise Refused(-110)
        if isinstance(parent["owner"], int):
            raise Refused(-108)
        owner: object = None
        if mode in (EPHEMERAL, EPHEMERAL_SEQUENTIAL):
            owner = session
        elif mode == CONTAINER:
            owner = "container"
        parent["creates"] += 1
        parent["pzxid"] = self.zxid
        self.nodes[path] = new_node(data, perms, self.zxid, self.time, owner)

    def delete(self, session: int, path: str, version: int) -> None:
        parent = self.need(self.parent(path), DELETE)
        if path not in self.nodes:
            raise Refused(-101)
        if version not in (-1, self.nodes[path]["version"]):
            raise Refused(-103)
        if self.children(path):
            raise Refused(-111)
        del self.nodes[path]
        parent["pzxid"] = self.zxid

    def set_data(self, session: int, path: str, data: bytes | None, version: int) -> None:
        node = self.need(path, WRITE)
        if version not in (-1, node["version"]):
            raise Refused(-103)
        node.update(data=data, version=node["version"] + 1, mzxid=self.zxid, mtime=self.time)

    def set_acl(self, session: int, path: str, perms: int, version: int) -> None:
        node = self.need(path, ADMIN)
        if version not in (-1, node["aversion"]):
            raise Refused(-103)
        node.update(perms=perms, aversion=node["aversion"] + 1)

    def check(self, session: int, path: str, version: int) -> None:
        node = self.need(path, READ)
        if version not in (-1, node["version"]):
            raise Refused(-103)

    def open_session(self, session: int) -> None:
        self.zxid += 1
        self.sessions.add(session)

    def close_session(self, session: int) -> int:
        self.zxid += 1
        if session not in self.sessions:
            return 0
        self.sessions.remove(session)
        for path in [path for path, node in self.nodes.items() if node["owner"] == session]:
            del self.nodes[path]
            self.nodes[self.parent(path)]["pzxid"] = self.zxid
        return 0
