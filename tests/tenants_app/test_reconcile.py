"""SQL and the registry say different things: nothing happens by itself, only what is told."""

import json
from collections.abc import Callable

import pytest
from django.core import serializers

from ensemble.admin import provision
from ensemble.admin.draft import Draft
from ensemble.client import AuthFailedError, Client
from tenants import publication, reconcile
from tenants.actions import credentials, plans, tenants
from tenants.errors import ConflictError, InvalidError, UnavailableError
from tenants.models import (
    AuditEvent,
    Credential,
    CredentialSecret,
    Ensemble,
    Plan,
    Publication,
    Tenant,
)
from tests.harness import Node
from tests.tenants_app.conftest import Cast, acts
from tests.tenants_app.test_publication import admin_does, make, row, standing, tenant_does

pytestmark = pytest.mark.django_db(transaction=True)


def backup(tenant: Tenant) -> Callable[[], None]:
    """What SQL says of a tenant now; called, it says so again: restored from a backup."""
    querysets = [
        Tenant.objects.filter(pk=tenant.pk),
        Publication.objects.filter(tenant=tenant),
        Credential.objects.filter(tenant=tenant),
        CredentialSecret.objects.filter(credential__tenant=tenant),
    ]
    text = serializers.serialize("json", [one for rows in querysets for one in rows.all()])

    def restore() -> None:
        CredentialSecret.objects.filter(credential__tenant=tenant).delete()
        Credential.objects.filter(tenant=tenant).delete()
        for kept in serializers.deserialize("json", text):
            kept.save()

    return restore


def change_behind(node: Node, slug: str, change: Callable[[Draft], None]) -> None:
    admin_does(node, lambda client: provision.update(client, slug, change))


def lower(draft: Draft) -> None:
    draft.limits["znodes"] = 3
    draft.mode = "observe"


def test_F26_yesterdays_database_overwrites_nothing(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "restored")
    old = credentials.create(acts(cast.alice), tenant=tenant, name="app", role="writer")
    restore = backup(tenant)
    credential = Credential.objects.get(tenant=tenant)
    new = credentials.rotate(acts(cast.alice), credential=credential)
    stands = standing(registry_node, "restored")

    restore()
    tenant.refresh_from_db()
    tenants.set_limits(acts(cast.olga), tenant=tenant, overrides={"znodes": 9}, weight=None)
    failed = row(tenant)
    assert failed.status == "failed"
    assert "is not the one that this plane wrote last" in failed.error
    assert standing(registry_node, "restored") == stands
    with pytest.raises(AuthFailedError):
        tenant_does(registry_node, old.token, lambda client: client.children("/"))
    assert tenant_does(registry_node, new.token, lambda client: client.children("/"))

    (found,) = reconcile.drift(one)
    assert (found.slug, found.kind, found.repairs) == ("restored", "changed", ("registry", "sql"))
    assert {name for name, _, _ in found.differences} == {"limit znodes", "credential app"}
    reconcile.repair(acts(cast.olga), ensemble=one, slug="restored", direction="sql")
    assert row(tenant).status == "applied", row(tenant).error
    assert reconcile.drift(one) == []
    assert tenant_does(registry_node, new.token, lambda client: client.children("/"))
    assert standing(registry_node, "restored").draft == stands.draft


def test_F26_a_restored_database_goes_on_where_nothing_has_changed_since(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "unchanged")
    restore = backup(tenant)
    tenants.set_mode(acts(cast.alice), tenant=tenant, mode="permissive")
    tenants.set_mode(acts(cast.alice), tenant=tenant, mode="enforce")
    restore()
    tenant.refresh_from_db()
    tenants.set_mode(acts(cast.alice), tenant=tenant, mode="observe")
    assert row(tenant).status == "applied", row(tenant).error


def test_F26_a_tenant_that_was_restored_since_is_not_purged_by_an_old_database(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "alive")
    tenants.delete(acts(cast.alice), tenant=tenant, confirm="alive")
    restore = backup(tenant)
    tenants.restore(acts(cast.alice), tenant=tenant)
    stands = standing(registry_node, "alive")

    restore()
    tenant.refresh_from_db()
    tenants.purge(acts(cast.olga), tenant=tenant)
    assert row(tenant).status == "failed"
    assert standing(registry_node, "alive") == stands
    reconcile.repair(acts(cast.olga), ensemble=one, slug="alive", direction="sql")
    tenant.refresh_from_db()
    assert tenant.lifecycle == "alive"
    assert row(tenant).status == "applied", row(tenant).error


@pytest.mark.parametrize("direction", ["registry", "sql"])
def test_a_document_changed_behind_the_planes_back_is_put_right_as_told(
    direction: str, cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    slug = f"behind-{direction}"
    tenant = make(cast, small, one, slug)
    made = credentials.create(acts(cast.alice), tenant=tenant, name="app", role="writer")
    change_behind(registry_node, slug, lower)

    (found,) = reconcile.drift(one)
    assert found.differences == (
        ("limit znodes", str(small.limits["znodes"]), "3"),
        ("mode", "enforce", "observe"),
    )
    assert made.secret not in repr(found)
    publication.publish(tenant.pk)
    assert row(tenant).status == "failed"
    reconcile.repair(acts(cast.olga), ensemble=one, slug=slug, direction=direction)
    tenant.refresh_from_db()
    kept = standing(registry_node, slug).draft
    assert kept is not None
    is_lower = direction == "sql"
    assert (kept.mode, kept.limits["znodes"] == 3) == (
        ("observe", True) if is_lower else ("enforce", False)
    )
    assert (tenant.mode, tenant.limits["znodes"] == 3) == (kept.mode, is_lower)
    assert row(tenant).status == "applied"
    assert reconcile.drift(one) == []
    assert tenant_does(registry_node, made.token, lambda client: client.children("/"))
    line = AuditEvent.objects.get(verb="tenant.repaired")
    assert line.detail["direction"] == direction


def test_signing_keys_of_a_tenant_are_no_drift_and_stay(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "signed")

    def sign(draft: Draft) -> None:
        draft.signing_keys["console-1"] = bytes(32)

    change_behind(registry_node, "signed", sign)
    assert reconcile.drift(one) == []
    tenants.set_mode(acts(cast.alice), tenant=tenant, mode="observe")
    kept = standing(registry_node, "signed").draft
    assert kept is not None
    assert (kept.mode, kept.signing_keys) == ("observe", {"console-1": bytes(32)})


def test_a_tenant_that_only_the_registry_has_is_taken_in(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    async def by_hand(client: Client) -> provision.NewSecret:
        await provision.create(client, Draft(slug="byhand", limits={"znodes": 77}, weight=7))
        return await provision.add_credential(client, "byhand", "app", "writer")

    made = admin_does(registry_node, by_hand)
    (found,) = reconcile.drift(one)
    assert (found.slug, found.kind, found.repairs) == ("byhand", "unknown", ("sql",))
    with pytest.raises(InvalidError, match="cannot be repaired towards registry; possible: sql"):
        reconcile.repair(acts(cast.olga), ensemble=one, slug="byhand", direction="registry")
    tenant = make(cast, small, one, "other")
    assert row(tenant).status == "applied"
    reconcile.repair(acts(cast.olga), ensemble=one, slug="byhand", direction="sql")
    tenant = Tenant.objects.get(slug="byhand")
    assert (tenant.limits, tenant.weight_in_force) == ({"znodes": 77}, 7)
    assert row(tenant).status == "applied", row(tenant).error
    assert tenant_does(registry_node, made.token, lambda client: client.children("/"))
    tenants.delete(acts(cast.olga), tenant=tenant, confirm="byhand")
    tenants.purge(acts(cast.olga), tenant=tenant, keep_data=False)
    assert row(tenant).status == "applied", row(tenant).error


@pytest.mark.parametrize("direction", ["registry", "sql"])
def test_a_document_that_has_gone_comes_back_only_when_told(
    direction: str, cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    slug = f"gone-{direction}"
    tenant = make(cast, small, one, slug)
    admin_does(registry_node, lambda client: provision.release(client, slug))
    publication.publish(tenant.pk)
    assert "has gone from the registry" in row(tenant).error
    (found,) = reconcile.drift(one)
    assert found.kind == "missing"
    reconcile.repair(acts(cast.olga), ensemble=one, slug=slug, direction=direction)
    tenant.refresh_from_db()
    assert row(tenant).status == "applied", row(tenant).error
    if direction == "registry":
        assert standing(registry_node, slug).draft is not None
    else:
        assert tenant.lifecycle == "gone"
    assert reconcile.drift(one) == []


def test_a_document_that_nobody_can_read_is_written_anew(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "broken")
    path = provision.path_of("broken")
    admin_does(registry_node, lambda client: client.set(path, b'{"schema": 1, "limts": {}}'))
    tenants.set_mode(acts(cast.alice), tenant=tenant, mode="observe")
    assert "cannot be read" in row(tenant).error
    (found,) = reconcile.drift(one)
    assert (found.kind, found.repairs) == ("unreadable", ("registry",))
    reconcile.repair(acts(cast.olga), ensemble=one, slug="broken", direction="registry")
    assert row(tenant).status == "applied", row(tenant).error
    raw, _ = admin_does(registry_node, lambda client: client.get(path))
    assert json.loads(raw)["mode"] == "observe"


def test_what_agrees_and_what_does_not_answer_is_not_repaired(
    cast: Cast, small: Plan, one: Ensemble, nowhere: Ensemble
) -> None:
    make(cast, small, one, "fine")
    with pytest.raises(ConflictError, match="there is nothing to repair"):
        reconcile.repair(acts(cast.olga), ensemble=one, slug="fine", direction="sql")
    with pytest.raises(InvalidError, match="direction: 'up' is none"):
        reconcile.repair(acts(cast.olga), ensemble=one, slug="fine", direction="up")
    with pytest.raises(UnavailableError, match="nowhere cannot be asked now"):
        reconcile.drift(nowhere)


def test_a_plan_reaches_more_tenants_than_one_action_waits_for(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    slugs = [f"many{number}" for number in range(7)]
    for slug in slugs:
        tenants.create(acts(cast.olga), slug=slug, plan=small, ensemble=one, owner=None)
    plans.change(acts(cast.olga), plan=small, limits={"znodes": 70})
    waiting = Publication.objects.filter(tenant__slug__in=slugs, status="pending")
    assert waiting.count() == 2
    assert publication.publish_due() == 2
    assert waiting.count() == 0
    for slug in slugs:
        kept = standing(registry_node, slug).draft
        assert kept is not None
        assert kept.limits == {"znodes": 70}
