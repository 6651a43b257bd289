"""The tenants that are known here: by name, root, path, secret; and whose each session is.

Everything is read from the tree, at the start and whenever `/zookeeper/tenants` changes below, so
every server comes to the same by itself. Of two documents that contradict each other (roots that
lie within one another, a subject twice) the one whose znode is older is in force.

A document that cannot be used leaves the last good one in force. Where there is none, as after a
restart, its root is closed to everybody but operators: a mistake never opens the wall.
"""

from typing import Final, final

from mypy_extensions import i64

from ensemble.tenancy.entries import (
    Binding,
    Document,
    Way,
    age,
    clash_of,
    paths_above,
    read_who,
    session_of,
    slug_in,
    subjects_of,
)
from ensemble.tenancy.fields import RegistryError
from ensemble.tenancy.registry import (
    DIGEST_BYTES,
    TENANTS,
    TENANTS_PREFIX,
    TopSpec,
    closed_at,
    closed_tenant,
    read_tenant,
    read_top,
)
from ensemble.tenancy.seat import Tenant
from ensemble.tenancy.shares import Split
from ensemble.tenancy.spec import ENFORCE, Credential, TenantSpec
from ensemble.tree.apply import Applied
from ensemble.tree.datatree import DataTree
from ensemble.tree.paths import may_be_system, parent_of
from ensemble.tree.roots import Roots
from ensemble.wire import codes

NO_TOP: Final = TopSpec(b"", {})


@final
class Directory:
    """Every tenant in force. Roots do not lie within one another.

    `is_empty` is what the hot path asks first. `enforcing`: tenants in mode enforce. `errors`: why
    a document is not in force, by slug; the empty slug is `/zookeeper/tenants` itself.
    `walled_below`: the roots in mode enforce, by parent.
    """

    __slots__ = (
        "above",
        "bindings",
        "bound",
        "by_root",
        "by_slug",
        "digests",
        "documents",
        "enforcing",
        "errors",
        "hash_key",
        "is_empty",
        "moved",
        "newly_bound",
        "roots",
        "signing_keys",
        "split",
        "subjects",
        "trusted_keys",
        "walled_below",
        "ways",
    )

    def __init__(self) -> None:
        self.by_slug: Final[dict[str, Tenant]] = {}
        self.roots: Final[Roots[Tenant]] = Roots()
        self.by_root: Final[dict[bytes, Tenant]] = self.roots.by_path
        self.above: Final[dict[bytes, int]] = {}  # paths above roots -> above how many
        self.split: Final = Split()  # what this server may use of limits
        self.enforcing: i64 = 0
        self.is_empty = True
        self.walled_below: Final[dict[bytes, list[bytes]]] = {}
        self.errors: Final[dict[str, str]] = {}
        self.documents: Final[dict[str, Document]] = {}
        self.hash_key = b""
        self.signing_keys: dict[str, bytes] = {}
        self.trusted_keys: dict[str, bytes] = {}  # of this server's configuration
        self.ways: Final[dict[bytes, Way]] = {}  # by the hash of a secret
        self.subjects: Final[dict[str, Way]] = {}
        self.digests: i64 = 0  # secrets that can be used with SASL
        self.bindings: Final[dict[int, Binding]] = {}
        self.bound: Final[dict[str, int]] = {}  # slug -> sessions
        self.newly_bound: list[int] = []  # sessions, by the last transaction
        # Whose document in force came, went or changed; who makes use of it clears it.
        self.moved: Final[dict[str, None]] = {}

    # Tenants in force

    def put(self, spec: TenantSpec) -> Tenant:
        """A new document of a tenant, known or not; what was counted goes on being counted."""
        return self._place(spec)

    def remove(self, slug: str) -> None:
        """A tenant that has no document any more; unknown names are ignored."""
        if slug in self.by_slug:
            self._displace(slug)

    def clear(self) -> None:
        """Nobody is known: there is no tree."""
        for slug in list(self.by_slug):
            self._displace(slug)
        self.documents.clear()
        self.errors.clear()
        self.bindings.clear()
        self.bound.clear()
        self.hash_key = b""
        self.signing_keys = {}

    def tenant_at(self, path: bytes) -> Tenant | None:
        """Whose root is `path`, or is above it."""
        return self.roots.owner_of(path)

    def keys_of(self, slug: str, key_id: str) -> list[bytes]:
        """The keys of this name that may sign assertions for a tenant (empty: for all of them)."""
        found: list[bytes] = []
        tenant = self.by_slug.get(slug)
        for keys in (
            self.trusted_keys,
            self.signing_keys,
            {} if tenant is None else tenant.spec.signing_keys,
        ):
            key = keys.get(key_id)
            if key is not None:
                found.append(key)
        return found

    def credential(self, slug: str, name: str) -> Credential | None:
        """A credential by its names; None where either is not known."""
        tenant = self.by_slug.get(slug)
        if tenant is not None:
            for credential in tenant.spec.credentials:
                if credential.name == name:
                    return credential
        return None

    # The tree

    def load(self, tree: DataTree) -> None:
        """Read everything: at the start, and whenever the tree is another one.

        Documents that cannot be used leave in force what was in force here before.
        """
        old = dict(self.documents)
        self.documents.clear()
        self.bindings.clear()
        self.bound.clear()
        self._read_top(tree)
        top = tree.nodes.get(TENANTS)
        if top is not None and top.children is not None:
            for path in sorted(top.children):
                slug = slug_in(path)
                before = old.get(slug)
                node = tree.nodes[path]
                if before is not None and before.czxid == node.czxid:
                    self.documents[slug] = before
                self._read_document(tree, path, slug)
                if node.children is not None:
                    for child in node.children:
                        self._read_binding(tree, child)
        self.newly_bound = []
        self._settle()

    def on_applied(self, tree: DataTree, applied: Applied) -> bool:
        """A transaction is in the tree. True: documents have changed."""
        is_changed = False
        is_settled = True
        if self.newly_bound:
            self.newly_bound = []
        for change in applied.changes:
            path = change.path
            if (
                may_be_system(path)
                and path.startswith(TENANTS)
                and change.event != codes.EVENT_NODE_CHILDREN_CHANGED
                and self._on_change(tree, path)
            ):
                is_changed = True
                if path != TENANTS and not self._settle_one(slug_in(path)):
                    is_settled = False
        if not is_settled:
            self._settle()
        return is_changed

    def _on_change(self, tree: DataTree, path: bytes) -> bool:
        """Something at or below `/zookeeper/tenants`; bindings come and go, documents change."""
        if path == TENANTS:
            return self._read_top(tree)
        if not path.startswith(TENANTS_PREFIX):
            return False
        name = path[len(TENANTS_PREFIX) :]
        if b"/" in name:
            self._read_binding(tree, path)
            return False
        return self._read_document(tree, path, slug_in(path))

    def _read_top(self, tree: DataTree) -> bool:
        """True: it says something else than before."""
        node = tree.nodes.get(TENANTS)
        self.errors.pop("", None)
        top = NO_TOP
        if node is not None and node.data:
            try:
                top = read_top(node.data)
            except RegistryError as error:
                self.errors[""] = str(error)
                return False
        if top.hash_key == self.hash_key and top.signing_keys == self.signing_keys:
            return False
        self.hash_key = top.hash_key
        self.signing_keys = top.signing_keys
        return True

    def _read_document(self, tree: DataTree, path: bytes, slug: str) -> bool:
        """True: it is another document, or there is none any more."""
        node = tree.nodes.get(path)
        known = self.documents.get(slug)
        if node is None:
            if known is None:
                return False
            del self.documents[slug]
            return True
        if known is None or known.czxid != node.czxid:
            known = Document(slug, node.czxid)
            self.documents[slug] = known
        elif known.mzxid == node.mzxid:
            return False
        known.mzxid = node.mzxid
        try:
            spec = read_tenant(slug, node.data, node.version)
            known.spec = spec
            known.error = ""
            known.closed = closed_at(slug, spec.root, node.version)
        except RegistryError as error:
            known.spec = None
            known.error = str(error)
            known.closed = closed_tenant(slug, node.data, node.version)
        return True

    def _settle_one(self, slug: str) -> bool:
        """One document has changed: put it in force if that is all there is to decide."""
        if len(self.errors) > (1 if "" in self.errors else 0):
            return False  # what is in error may come into force now
        tenant = self.by_slug.get(slug)
        document = self.documents.get(slug)
        if document is None:
            if tenant is not None:
                self.remove(slug)
            return True
        spec = document.spec
        if spec is None:
            return False
        if tenant is None:
            if spec.root in self.by_root or spec.root in self.above:
                return False
            for path in paths_above(spec.root):
                if path in self.by_root:
                    return False
            for subject in subjects_of(spec):
                if subject in self.subjects:
                    return False
        elif tenant.spec.root != spec.root or subjects_of(tenant.spec) != subjects_of(spec):
            return False
        document.good = spec
        self.put(spec)
        return True

    def _settle(self) -> None:
        """Decide which documents are in force: the older first, each as far as they leave room."""
        of_top = self.errors.get("", "")
        self.errors.clear()
        if of_top:
            self.errors[""] = of_top
        wanted: dict[str, TenantSpec] = {}
        roots: dict[bytes, str] = {}
        above: dict[bytes, str] = {}
        subjects: dict[str, str] = {}
        for document in sorted(self.documents.values(), key=age):
            if document.error:
                self.errors[document.slug] = document.error
            for spec in (document.spec, document.good, document.closed):
                if spec is None or document.slug in wanted:
                    continue
                clash = clash_of(spec, roots, above, subjects)
                if clash:
                    self.errors.setdefault(document.slug, clash)
                    continue
                wanted[document.slug] = spec
                roots[spec.root] = document.slug
                for path in paths_above(spec.root):
                    above[path] = document.slug
                for subject in subjects_of(spec):
                    subjects[subject] = document.slug
                if spec is not document.closed:
                    document.good = spec
        for slug in list(self.by_slug):
            if slug not in wanted or self.by_slug[slug].spec.root != wanted[slug].root:
                self._displace_root(slug)
            if slug not in wanted:
                self._displace(slug)
        for slug, spec in wanted.items():
            tenant = self.by_slug.get(slug)
            if tenant is None or tenant.spec is not spec:
                self._place(spec)

    # Bindings

    def _read_binding(self, tree: DataTree, path: bytes) -> None:
        """A session's znode came, went or was changed."""
        slug, _, name = path[len(TENANTS_PREFIX) :].decode("utf-8", "replace").partition("/")
        session_id = session_of(name)
        if session_id == 0:
            return
        node = tree.nodes.get(path)
        known = self.bindings.get(session_id)
        if node is None or node.owner != session_id:
            if known is not None and known.slug == slug:
                del self.bindings[session_id]
                self._count_bound(slug, -1)
            return
        if known is not None and known.slug != slug:
            if known.czxid <= node.czxid:
                return  # a session is its first tenant's
            self._count_bound(known.slug, -1)
        if known is None or known.slug != slug:
            self._count_bound(slug, 1)
            self.newly_bound.append(session_id)
        principal, role = read_who(node.data)
        self.bindings[session_id] = Binding(session_id, slug, principal, role, node.czxid)

    def _count_bound(self, slug: str, difference: int) -> None:
        count = self.bound.get(slug, 0) + difference
        if count:
            self.bound[slug] = count
        else:
            self.bound.pop(slug, None)
        tenant = self.by_slug.get(slug)
        if tenant is not None:
            tenant.sessions = count

    # Inner

    def _place(self, spec: TenantSpec) -> Tenant:
        """Make a document the one in force."""
        tenant = self.by_slug.get(spec.slug)
        if tenant is None:
            tenant = Tenant(spec, self.split)
            self.by_slug[spec.slug] = tenant
        else:
            self._forget_ways(tenant.spec)
            self._displace_root(spec.slug)
            tenant.use(spec)
        tenant.sessions = self.bound.get(spec.slug, 0)
        self.roots.put(spec.root, tenant)
        if spec.mode == ENFORCE:
            self._wall_off(spec.root, 1)
        self.is_empty = False
        self.moved[spec.slug] = None
        for path in paths_above(spec.root):
            self.above[path] = self.above.get(path, 0) + 1
        for credential in spec.credentials:
            for secret in credential.secrets:
                self.ways[secret.hash] = Way(tenant, credential, secret)
                if len(secret.digest_md5) == DIGEST_BYTES:
                    self.digests += 1
            for subject in credential.subjects:
                self.subjects[subject] = Way(tenant, credential, None)
        return tenant

    def _displace(self, slug: str) -> None:
        tenant = self.by_slug[slug]
        self._forget_ways(tenant.spec)
        self._displace_root(slug)
        del self.by_slug[slug]
        self.is_empty = not self.by_slug
        self.moved[slug] = None

    def _displace_root(self, slug: str) -> None:
        tenant = self.by_slug[slug]
        if self.by_root.get(tenant.spec.root) is tenant:
            self.roots.remove(tenant.spec.root)
            if tenant.spec.mode == ENFORCE:
                self._wall_off(tenant.spec.root, -1)
            for path in paths_above(tenant.spec.root):
                self.above[path] -= 1
                if self.above[path] == 0:
                    del self.above[path]

    def _forget_ways(self, spec: TenantSpec) -> None:
        for credential in spec.credentials:
            for secret in credential.secrets:
                way = self.ways.get(secret.hash)
                if way is not None and way.tenant.spec.slug == spec.slug:
                    del self.ways[secret.hash]
                if len(secret.digest_md5) == DIGEST_BYTES:
                    self.digests -= 1
            for subject in credential.subjects:
                way = self.subjects.get(subject)
                if way is not None and way.tenant.spec.slug == spec.slug:
                    del self.subjects[subject]

    def _wall_off(self, root: bytes, sign: int) -> None:
        """A root in mode enforce is there (1), or not any more (-1)."""
        self.enforcing += sign
        parent = parent_of(root)
        if sign > 0:
            self.walled_below.setdefault(parent, []).append(root)
            return
        left = self.walled_below[parent]
        left.remove(root)
        if not left:
            del self.walled_below[parent]
