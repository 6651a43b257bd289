"""The directory follows the tree: documents, contradictions, mistakes, bindings."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ensemble.tenancy.spec import ADMIN, ENFORCE, SUSPENDED
from tests.tenancy.documents import TENANTS, Registry, encoded, tenant, top


def test_a_document_is_in_force_with_its_transaction() -> None:
    registry = Registry()
    registry.put("a")
    directory = registry.directory
    assert registry.changed
    assert directory.by_slug["a"].spec.mode == ENFORCE
    assert directory.tenant_at(b"/tenants/a/x") is directory.by_slug["a"]
    assert not directory.errors
    registry.put("a", tenant("a", root="/kafka", weight=5))
    assert directory.tenant_at(b"/tenants/a/x") is None
    assert directory.tenant_at(b"/kafka") is directory.by_slug["a"]
    registry.delete(f"{TENANTS}/a")
    assert directory.is_empty
    assert not directory.ways


def test_other_writes_change_nothing() -> None:
    registry = Registry()
    registry.put("a")
    for path in ("/tenants", "/zookeeper/tenantsx", "/zookeeper/quota/x", "/a"):
        if path.count("/") > 2:
            continue
        registry.create(path)
        assert not registry.changed, path


def test_a_bad_document_leaves_the_last_good_one_in_force() -> None:
    registry = Registry()
    registry.put("a", tenant("a", weight=7))
    for raw in (b"", b"{}", b"[" * 9_999, encoded(tenant("a", mode="open")), b"\xff"):
        registry.put_raw("a", raw)
        directory = registry.directory
        assert directory.by_slug["a"].spec.weight == 7
        assert directory.errors["a"]
        assert len(directory.ways) == 1
    registry.put("a")
    assert not registry.directory.errors


def test_where_there_is_no_good_one_the_root_is_closed() -> None:
    """After a restart with a bad document: a mistake never opens the wall."""
    registry = Registry()
    registry.put("a", tenant("a", root="/kafka"))
    registry.put("a", tenant("a", root="/kafka", weight=0))
    registry.put("b")
    registry.put_raw("b", b"not JSON")
    directory = registry.reloaded()
    for slug, root in (("a", b"/kafka"), ("b", b"/tenants/b")):
        spec = directory.by_slug[slug].spec
        assert (spec.root, spec.mode, spec.state) == (root, ENFORCE, SUSPENDED)
        assert not spec.credentials
        assert slug in directory.errors
    assert not directory.ways


def test_a_bad_top_leaves_the_key_in_force() -> None:
    registry = Registry()
    registry.put("a")
    key = registry.directory.hash_key
    registry.set(TENANTS, b"nonsense")
    assert registry.directory.hash_key == key
    assert registry.directory.errors[""]
    assert registry.reloaded().hash_key == b""
    registry.set(TENANTS, top(hash_key="00" * 32))
    assert registry.directory.hash_key == bytes(32)
    assert not registry.directory.errors


def test_roots_within_one_another_are_refused_to_the_younger() -> None:
    registry = Registry()
    registry.put("z", tenant("z", root="/x/y"))
    registry.put("a", tenant("a", root="/x/y/deep"))
    registry.put("b", tenant("b", root="/x"))
    registry.put("c", tenant("c", root="/x/y"))
    registry.put("d", tenant("d", root="/x/yy"))
    for directory in (registry.directory, registry.reloaded()):
        assert set(directory.by_slug) == {"z", "d"}
        assert "lies within that of z" in directory.errors["a"]
        assert "lies around that of z" in directory.errors["b"]
        assert "is that of z, too" in directory.errors["c"]
        assert directory.tenant_at(b"/x/y/deep/1") is directory.by_slug["z"]
    registry.delete(f"{TENANTS}/z")
    assert set(registry.directory.by_slug) == {"a", "d"}


def test_a_change_that_contradicts_leaves_the_last_good_one_in_force() -> None:
    registry = Registry()
    registry.put("a", tenant("a", root="/x"))
    registry.put("b", tenant("b", root="/y"))
    registry.put("b", tenant("b", root="/x/b"))
    assert registry.directory.by_slug["b"].spec.root == b"/y"
    assert "lies within" in registry.directory.errors["b"]


def test_two_tenants_may_change_places() -> None:
    registry = Registry()
    registry.put("a", tenant("a", root="/x"))
    registry.put("b", tenant("b", root="/y"))
    registry.put("a", tenant("a", root="/z"))
    registry.put("b", tenant("b", root="/x"))
    registry.put("a", tenant("a", root="/y"))
    directory = registry.directory
    assert directory.tenant_at(b"/x") is directory.by_slug["b"]
    assert directory.tenant_at(b"/y") is directory.by_slug["a"]
    assert directory.tenant_at(b"/z") is None


def test_a_subject_belongs_to_the_older_document() -> None:
    credential = {"name": "x", "role": "reader", "subjects": ["CN=x"]}
    registry = Registry()
    registry.put("b", tenant("b", credentials=[credential]))
    registry.put("a", tenant("a", credentials=[credential]))
    directory = registry.directory
    assert directory.subjects["CN=x"].tenant.spec.slug == "b"
    assert "belongs to b, too" in directory.errors["a"]
    assert directory.by_slug["a"].spec.state == SUSPENDED  # a first document in error: closed
    registry.delete(f"{TENANTS}/b")
    assert directory.subjects["CN=x"].tenant.spec.slug == "a"


def test_a_role_changes_with_the_document() -> None:
    registry = Registry()
    registry.put("a")
    document = tenant("a")
    document["credentials"][0]["role"] = "admin"  # type: ignore[index]
    registry.put("a", document)
    credential = registry.directory.credential("a", "app")
    assert credential is not None
    assert credential.role == ADMIN


def test_a_session_belongs_to_whom_its_znode_says() -> None:
    registry = Registry()
    registry.put("a")
    registry.put("b")
    registry.bind("a", 7)
    registry.bind("a", -5)
    assert registry.directory.newly_bound == [-5]
    registry.bind("b", 7)  # a race between two servers: the first one counts
    for directory in (registry.directory, registry.reloaded()):
        assert {s: b.slug for s, b in directory.bindings.items()} == {7: "a", -5: "a"}
        assert directory.bindings[7].principal == "app@a"
        assert directory.by_slug["a"].sessions == 2
    registry.delete(f"{TENANTS}/a/0000000000000007")
    assert registry.directory.by_slug["a"].sessions == 1
    assert not registry.directory.newly_bound


def test_znodes_that_only_look_like_bindings_bind_nobody() -> None:
    registry = Registry()
    registry.put("a")
    for name, session in (
        ("0000000000000007", 8),  # of another session
        ("7", 7),
        ("000000000000000A", 10),
        ("+000000000000007", 7),
        ("0x00000000000007", 7),
        ("0000000000000000", 0),
    ):
        registry.create(f"{TENANTS}/a/{name}", b"{}", session)
    registry.create(f"{TENANTS}/a/0000000000000009", b"{}")  # not ephemeral
    assert not registry.directory.bindings
    registry.create(f"{TENANTS}/a/000000000000000b", b"\xff not JSON", 11)
    assert registry.directory.bindings[11].slug == "a"
    assert registry.directory.bindings[11].principal == ""


SLUGS = st.sampled_from(["a", "b", "c", "d"])
ROOTS = st.sampled_from(["/x", "/x/y", "/x/y/z", "/y", "/xy", "/tenants/a", "/zookeeper/q"])


class Changes(RuleBasedStateMachine):
    """Whatever is written in whatever order: what follows each change equals a fresh start, as
    far as a start can know, and no two roots overlap.
    """

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry()
        self.broken: set[str] = set()
        self.clashed = False

    @rule(slug=SLUGS, root=ROOTS, weight=st.integers(0, 3))
    def write(self, slug: str, root: str, weight: int) -> None:
        self.registry.put(slug, tenant(slug, root=root, weight=weight))

    @rule(slug=SLUGS)
    def spoil(self, slug: str) -> None:
        self.registry.put_raw(slug, b"{")

    @rule(slug=SLUGS)
    def remove(self, slug: str) -> None:
        path = f"{TENANTS}/{slug}"
        if path.encode() in self.registry.tree.nodes:
            self.registry.delete(path)

    @invariant()
    def roots_do_not_overlap(self) -> None:
        roots = [t.spec.root + b"/" for t in self.registry.directory.by_slug.values()]
        for i, one in enumerate(roots):
            for other in roots[i + 1 :]:
                assert not one.startswith(other)
                assert not other.startswith(one)

    @invariant()
    def indexes_agree_with_the_tenants(self) -> None:
        directory = self.registry.directory
        assert {t.spec.root: s for s, t in directory.by_slug.items()} == {
            root: t.spec.slug for root, t in directory.by_root.items()
        }
        above: dict[bytes, int] = {}
        for root in directory.by_root:
            for at in range(1, len(root)):
                if root[at : at + 1] == b"/":
                    above[root[:at]] = above.get(root[:at], 0) + 1
        assert directory.above == above
        assert directory.enforcing == len(directory.by_slug)
        assert len(directory.ways) == sum(
            len(c.secrets) for t in directory.by_slug.values() for c in t.spec.credentials
        )
        for slug in directory.by_slug:
            assert f"{TENANTS}/{slug}".encode() in self.registry.tree.nodes

    @invariant()
    def without_errors_it_is_what_a_start_would_know(self) -> None:
        directory = self.registry.directory
        fresh = self.registry.reloaded()
        assert set(fresh.errors) == set(directory.errors) or directory.errors
        if not directory.errors:
            assert {s: t.spec.root for s, t in fresh.by_slug.items()} == {
                s: t.spec.root for s, t in directory.by_slug.items()
            }


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
