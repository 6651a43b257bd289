"""Documents of the registry for tests, and trees that hold them."""

import hashlib
import json

from ensemble.tenancy.directory import Directory
from ensemble.tenancy.identity import hash_secret
from ensemble.tree.acl import open_entries
from ensemble.tree.apply import Applied, apply
from ensemble.tree.datatree import DataTree
from ensemble.wire import codes
from ensemble.wire.txns import CreateTxn, DeleteTxn, SetDataTxn, TxnHeader

HASH_KEY = bytes(range(32))
TENANTS = "/zookeeper/tenants"


def top(**changes: object) -> bytes:
    return json.dumps({"schema": 1, "hash_key": HASH_KEY.hex(), **changes}).encode()


def tenant(slug: str, /, **changes: object) -> dict[str, object]:
    """A document with a credential `app`, whose secret is `secret-of-<slug>`."""
    secret = f"secret-of-{slug}"
    digest = hashlib.md5(f"app@{slug}:zk-sasl-md5:{secret}".encode(), usedforsecurity=False)
    kept = {
        "hash": hash_secret(HASH_KEY, slug, secret.encode()).hex(),
        "digest_md5": digest.hexdigest(),
        "until": None,
    }
    document: dict[str, object] = {
        "schema": 1,
        "slug": slug,
        "root": f"/tenants/{slug}",
        "mode": "enforce",
        "credentials": [{"name": "app", "role": "writer", "secrets": [kept]}],
    }
    return {**document, **changes}


def encoded(document: dict[str, object]) -> bytes:
    return json.dumps(document).encode()


class Registry:
    """A tree with a registry, and a directory that hears of every change."""

    def __init__(self) -> None:
        self.tree = DataTree(False)
        self.directory = Directory()
        self.zxid = 0
        self.changed = False
        self.create(TENANTS, top())

    def header(self, kind: int, session: int = 1) -> TxnHeader:
        self.zxid += 1
        return TxnHeader(session, 1, self.zxid, 1_000, kind)

    def create(self, path: str, data: bytes = b"", session: int = 0) -> None:
        header = self.header(codes.OP_CREATE, session)
        txn = CreateTxn(path.encode(), data, open_entries(), session != 0, -1, 0)
        self.tell(apply(self.tree, header, txn))

    def set(self, path: str, data: bytes) -> None:
        version = int(self.tree.nodes[path.encode()].version) + 1
        header = self.header(codes.OP_SET_DATA)
        self.tell(apply(self.tree, header, SetDataTxn(path.encode(), data, version)))

    def delete(self, path: str) -> None:
        self.tell(apply(self.tree, self.header(codes.OP_DELETE), DeleteTxn(path.encode())))

    def tell(self, applied: Applied) -> None:
        assert applied.error == 0, applied.error
        self.changed = self.directory.on_applied(self.tree, applied)

    def put(self, slug: str, document: dict[str, object] | None = None) -> None:
        """A tenant's document, new or in place of the old one."""
        raw = encoded(tenant(slug) if document is None else document)
        self.put_raw(slug, raw)

    def put_raw(self, slug: str, raw: bytes) -> None:
        path = f"{TENANTS}/{slug}"
        if path.encode() in self.tree.nodes:
            self.set(path, raw)
        else:
            self.create(path, raw)

    def bind(self, slug: str, session: int) -> None:
        name = f"{session & 0xFFFFFFFFFFFFFFFF:016x}"
        data = encoded({"who": f"app@{slug}", "role": "writer"})
        self.create(f"{TENANTS}/{slug}/{name}", data, session)

    def reloaded(self) -> Directory:
        """What a server that starts on this tree knows."""
        directory = Directory()
        directory.load(self.tree)
        return directory
