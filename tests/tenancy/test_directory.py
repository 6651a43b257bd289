"""Whose a path is."""

from ensemble.tenancy.directory import Directory
from ensemble.tenancy.spec import ACTIVE, ENFORCE, OBSERVE, Limits, TenantSpec


def spec(slug: str, root: bytes, mode: int = ENFORCE) -> TenantSpec:
    return TenantSpec(slug, root, ACTIVE, mode, 100, Limits(), [], {}, False, 0)


def test_a_path_belongs_to_the_tenant_whose_root_is_above_it() -> None:
    directory = Directory()
    a = directory.put(spec("a", b"/tenants/a"))
    kafka = directory.put(spec("kafka", b"/kafka"))
    deep = directory.put(spec("deep", b"/x/y/z"))
    for path, tenant in [
        (b"/tenants/a", a),
        (b"/tenants/a/b/c", a),
        (b"/kafka", kafka),
        (b"/kafka/brokers/ids/1", kafka),
        (b"/x/y/z", deep),
        (b"/x/y/z/", deep),
        (b"/x/y", None),
        (b"/tenants", None),
        (b"/tenants/ab", None),
        (b"/tenants/a2/b", None),
        (b"/", None),
        (b"", None),
        (b"kafka", None),
    ]:
        assert directory.tenant_at(path) is tenant, path


def test_a_new_document_keeps_what_was_counted() -> None:
    directory = Directory()
    before = directory.put(spec("a", b"/tenants/a", OBSERVE))
    assert directory.enforcing == 0
    after = directory.put(spec("a", b"/kafka", ENFORCE))
    assert after is before
    assert directory.enforcing == 1
    assert directory.tenant_at(b"/kafka/x") is after
    assert directory.tenant_at(b"/tenants/a") is None
    assert after.view.root == b"/kafka"
    directory.remove("a")
    assert directory.is_empty
    assert directory.tenant_at(b"/kafka/x") is None
