"""Actions on SQL alone: what they refuse, what they write down. No ensemble is asked."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from tenants import audit
from tenants.actions import ensembles, members, plans, requests, tenants
from tenants.actions.ensembles import NodeSpec
from tenants.audit import PLANE
from tenants.errors import (
    ActionError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    LimitError,
)
from tenants.models import AuditEvent, Ensemble, MemberRole, Membership, Plan, Publication, Tenant
from tests.tenants_app.conftest import Cast, acts

pytestmark = pytest.mark.django_db


@pytest.fixture
def far(db: None) -> Ensemble:
    return ensembles.register(PLANE, name="far", hosts="127.0.0.1:1")


@pytest.fixture
def shop(cast: Cast, small: Plan, far: Ensemble) -> Tenant:
    return tenants.create(acts(cast.alice), slug="shop", plan=small, owner=cast.alice)


def refused(error: type[ActionError], words: str, work: Callable[[], object]) -> None:
    """It is refused in these words, and nothing is written, not even into the trail."""
    before = AuditEvent.objects.count()
    with pytest.raises(error, match=words):
        work()
    assert AuditEvent.objects.count() == before


def test_three_plans_are_made_once(db: None) -> None:
    assert [plan.name for plan in plans.create_defaults()] == ["small", "medium", "large"]
    assert plans.create_defaults() == []
    assert {plan.entry for plan in Plan.objects.all()} == {
        "self-service",
        "approval",
        "operators",
    }


def test_a_self_service_tenant_has_an_owner_and_a_line_in_the_trail(
    cast: Cast, shop: Tenant
) -> None:
    assert Membership.objects.get(tenant=shop).role == MemberRole.OWNER
    assert Publication.objects.get(tenant=shop).status == "pending"
    line = AuditEvent.objects.get(verb="tenant.created")
    assert (line.actor, line.tenant, line.ensemble, line.via) == ("alice", "shop", "far", "form")
    assert list(audit.verify()) == []


def test_what_a_person_cannot_have_by_self_service(
    cast: Cast, small: Plan, far: Ensemble, shop: Tenant
) -> None:
    alice = acts(cast.alice)
    medium = Plan.objects.get(name="medium")

    def make(**given: object) -> Callable[[], object]:
        values = {"slug": "more", "plan": small, "owner": cast.alice, **given}
        return lambda: tenants.create(alice, **values)  # type: ignore[arg-type]

    refused(ForbiddenError, "medium is not self-service", make(plan=medium))
    refused(ForbiddenError, "made by its owner", make(owner=cast.bob))
    refused(ForbiddenError, "operator's to set", make(overrides={"znodes": 9}))
    refused(ForbiddenError, "operator's to set", make(root="/kafka", adopt=True))
    refused(ConflictError, "shop is taken", make(slug="shop"))
    refused(InvalidError, "'Shop' cannot be a tenant's name", make(slug="Shop"))
    refused(
        ForbiddenError,
        "medium is not self",
        lambda: tenants.set_plan(alice, tenant=shop, plan=medium),
    )
    for number in range(2, small.tenants_per_person_max + 1):
        tenants.create(alice, slug=f"t{number}", plan=small, owner=cast.alice)
    refused(LimitError, "you own 3 tenants of the plan small, at most 3", make())


def test_what_even_an_operator_cannot_set(
    cast: Cast, small: Plan, far: Ensemble, shop: Tenant
) -> None:
    olga = acts(cast.olga)

    def make(**given: object) -> Callable[[], object]:
        values = {"slug": "more", "plan": small, "owner": None, **given}
        return lambda: tenants.create(olga, **values)  # type: ignore[arg-type]

    refused(InvalidError, "root: '/zookeeper/x' lies in /zookeeper", make(root="/zookeeper/x"))
    refused(InvalidError, "name the path to adopt", make(adopt=True))
    refused(ConflictError, "the root of shop", make(root="/tenants"))
    refused(ConflictError, "the root of shop", make(root="/tenants/shop/inner"))
    refused(InvalidError, "weight is 10001, a number from 1 to 10000", make(weight=10_001))
    refused(InvalidError, "no limit 'znode'", make(overrides={"znode": 1}))
    refused(InvalidError, "znodes is -1", make(overrides={"znodes": -1}))
    refused(InvalidError, "mode: ", make(mode="loose"))
    far.takes_tenants = False
    far.save()
    refused(ConflictError, "no ensemble takes tenants", make())
    refused(ConflictError, "far takes no new tenants", make(ensemble=far))


def test_a_throttle_only_lowers_and_ends_by_itself(cast: Cast, shop: Tenant) -> None:
    olga, now = acts(cast.olga), timezone.now()
    until = now + timedelta(hours=1)
    lower = {"writes_per_second": 5, "requests_per_second": 10**9}
    tenants.throttle(olga, tenant=shop, limits=lower, until=until, reason="too loud")
    assert shop.limits["writes_per_second"] == 5
    assert shop.limits["requests_per_second"] == shop.plan.limits["requests_per_second"]
    tenants.suspend(olga, tenant=shop, reason="much too loud", until=now + timedelta(minutes=5))

    assert tenants.expire_due(now) == 0
    assert tenants.expire_due(now + timedelta(minutes=6)) == 1
    shop.refresh_from_db()
    assert (shop.state, bool(shop.throttle)) == ("active", True)
    assert tenants.expire_due(now + timedelta(hours=2)) == 1
    shop.refresh_from_db()
    assert shop.limits == shop.plan.limits
    refused(
        InvalidError,
        "not within the next 365 days",
        lambda: tenants.suspend(olga, tenant=shop, reason="", until=now),
    )


def test_deleted_restored_and_purged_after_its_time(
    cast: Cast, shop: Tenant, settings: object
) -> None:
    settings.TENANT_GRACE_DAYS = 7  # type: ignore[attr-defined]
    alice = acts(cast.alice)
    refused(
        InvalidError,
        "'shap' is not the tenant's name; type shop",
        lambda: tenants.delete(alice, tenant=shop, confirm="shap"),
    )
    tenants.delete(alice, tenant=shop, confirm="shop")
    refused(ForbiddenError, "can be brought back until", lambda: tenants.purge(alice, tenant=shop))
    refused(
        ConflictError,
        "shop is deleted: restore it first",
        lambda: tenants.set_mode(alice, tenant=shop, mode="observe"),
    )
    tenants.restore(alice, tenant=shop)
    assert (shop.lifecycle, shop.purge_at) == ("alive", None)
    refused(ConflictError, "is alive", lambda: tenants.restore(alice, tenant=shop))

    tenants.delete(alice, tenant=shop, confirm="shop")
    assert tenants.expire_due(timezone.now() + timedelta(days=6)) == 0
    assert tenants.expire_due(timezone.now() + timedelta(days=8)) == 1
    shop.refresh_from_db()
    assert shop.lifecycle == "gone"
    refused(
        ConflictError,
        "still being removed",
        lambda: tenants.create(
            alice, slug="shop", plan=Plan.objects.get(name="small"), owner=cast.alice
        ),
    )


def test_a_changed_plan_reaches_its_tenants(cast: Cast, small: Plan, shop: Tenant) -> None:
    olga, before = acts(cast.olga), shop.revision
    plans.change(olga, plan=small, limits={**small.limits, "znodes": 7})
    shop.refresh_from_db()
    assert shop.revision == before + 1
    assert shop.limits["znodes"] == 7
    plans.change(olga, plan=small, title="Smaller")
    shop.refresh_from_db()
    assert shop.revision == before + 1
    plans.retire(olga, plan=small)
    refused(
        InvalidError,
        "small is not given any more",
        lambda: tenants.create(olga, slug="x", plan=small, owner=None),
    )


def test_the_last_owner_stays(cast: Cast, shop: Tenant) -> None:
    alice = acts(cast.alice)
    mine = Membership.objects.get(tenant=shop)
    words = "alice is the last owner of shop"
    refused(ConflictError, words, lambda: members.remove(alice, membership=mine))
    refused(
        ConflictError,
        words,
        lambda: members.set_role(alice, membership=mine, role=MemberRole.VIEWER),
    )
    other = members.add(alice, tenant=shop, user=cast.bob, role=MemberRole.VIEWER)
    refused(
        InvalidError,
        "role: 4 is none",
        lambda: members.set_role(alice, membership=other, role=4),
    )
    members.set_role(alice, membership=other, role=MemberRole.OWNER)
    members.remove(alice, membership=mine)
    assert Membership.objects.get(tenant=shop).user == cast.bob


def test_an_invitation_makes_one_person_a_member_once(cast: Cast, shop: Tenant) -> None:
    invitation, secret = members.invite(
        acts(cast.alice), tenant=shop, role=MemberRole.DEVELOPER, note="dan", days=1
    )
    assert secret not in repr(AuditEvent.objects.values_list("detail", "target"))
    assert members.accept(acts(cast.dan), secret=secret).role == MemberRole.DEVELOPER
    words = "not valid any more"
    refused(ForbiddenError, words, lambda: members.accept(acts(cast.carol), secret=secret))
    refused(ForbiddenError, words, lambda: members.accept(acts(cast.carol), secret="made up"))
    refused(
        ConflictError,
        "was used",
        lambda: members.revoke_invitation(acts(cast.alice), invitation=invitation),
    )
    other, secret = members.invite(acts(cast.alice), tenant=shop, role=MemberRole.VIEWER)
    members.revoke_invitation(acts(cast.alice), invitation=other)
    refused(ForbiddenError, words, lambda: members.accept(acts(cast.carol), secret=secret))
    late, secret = members.invite(acts(cast.alice), tenant=shop, role=MemberRole.VIEWER)
    late.expires_at = timezone.now()
    late.save()
    refused(ForbiddenError, words, lambda: members.accept(acts(cast.carol), secret=secret))


def test_a_request_becomes_a_tenant_of_who_asked(cast: Cast, small: Plan, far: Ensemble) -> None:
    medium = Plan.objects.get(name="medium")
    asked = requests.ask(
        acts(cast.bob), kind="create", slug="big", title="Big", plan=medium, purpose="a try"
    )
    refused(
        ConflictError,
        "a request for big waits already",
        lambda: requests.ask(acts(cast.dan), kind="create", slug="big", plan=medium),
    )
    refused(
        ForbiddenError,
        "withdrawn by who has made it",
        lambda: requests.withdraw(acts(cast.dan), request=asked),
    )
    tenant = requests.approve(acts(cast.olga), request=asked, overrides={"znodes": 12})
    assert tenant.limits["znodes"] == 12
    assert Membership.objects.get(tenant=tenant).user == cast.bob
    refused(
        ConflictError,
        "is approved already",
        lambda: requests.reject(acts(cast.olga), request=asked, answer="no"),
    )
    larger = requests.ask(
        acts(cast.bob), kind="plan", tenant=tenant, plan=Plan.objects.get(name="large")
    )
    refused(
        InvalidError,
        "say why",
        lambda: requests.reject(acts(cast.olga), request=larger, answer=" "),
    )
    requests.approve(acts(cast.olga), request=larger)
    tenant.refresh_from_db()
    assert tenant.plan.name == "large"


def test_an_adoption_by_request_begins_by_observing(cast: Cast, small: Plan, far: Ensemble) -> None:
    asked = requests.ask(acts(cast.bob), kind="adopt", slug="kafka", plan=small, root="/kafka")
    tenant = requests.approve(acts(cast.olga), request=asked)
    assert (tenant.mode, tenant.adopted, tenant.root) == ("observe", True, "/kafka")


def test_whose_path_it_is_operators_alone_learn(
    cast: Cast, small: Plan, far: Ensemble, shop: Tenant
) -> None:
    tenants.create(
        acts(cast.olga), slug="hidden", plan=small, owner=None, root="/tenants/taken", adopt=True
    )
    refused(
        ConflictError,
        "^this name cannot be had: choose another one$",
        lambda: tenants.create(acts(cast.bob), slug="taken", plan=small, owner=cast.bob),
    )
    asked = requests.ask(acts(cast.bob), kind="adopt", slug="x", plan=small, root="/tenants/shop/a")
    refused(
        ConflictError,
        "the root of shop",
        lambda: requests.approve(acts(cast.olga), request=asked),
    )
    asked.refresh_from_db()
    assert asked.status == "pending"


def test_requests_of_one_person_are_bounded(cast: Cast, small: Plan, far: Ensemble) -> None:
    for number in range(requests.PENDING_MAX):
        requests.ask(acts(cast.carol), kind="create", slug=f"c{number}", plan=small)
    refused(
        LimitError,
        "10 requests of yours wait already",
        lambda: requests.ask(acts(cast.carol), kind="create", slug="c", plan=small),
    )


def test_ensembles_that_cannot_be(cast: Cast, far: Ensemble, shop: Tenant) -> None:
    olga = acts(cast.olga)

    def make(**given: object) -> Callable[[], object]:
        values = {"name": "new", "hosts": "127.0.0.1:1", **given}
        return lambda: ensembles.register(olga, **values)  # type: ignore[arg-type]

    refused(ConflictError, "an ensemble far already", make(name="far"))
    refused(InvalidError, "hosts: ", make(hosts="127.0.0.1:99999"))
    refused(InvalidError, "ends in a path", make(hosts="127.0.0.1:1/kafka"))
    refused(InvalidError, "do not keep tenants apart", make(kind="apache"))
    refused(InvalidError, "is no address", make(nodes=[NodeSpec("a", "h:1", "ftp://h")]))
    twice = [NodeSpec("a", "h:1"), NodeSpec("b", "h:1")]
    refused(InvalidError, "two have the client port 'h:1'", make(nodes=twice))
    refused(ConflictError, "1 tenants live on far", lambda: ensembles.remove(olga, ensemble=far))


def test_nodes_that_swap_their_ports_keep_their_names(cast: Cast, far: Ensemble) -> None:
    for ports in ((1, 2), (2, 1), (1, 3)):
        specs = [NodeSpec(f"n{at}", f"h:{port}") for at, port in enumerate(ports)]
        ensembles.change(acts(cast.olga), ensemble=far, nodes=specs)
        found = [node.client for node in far.nodes.order_by("name")]
        assert found == [f"h:{port}" for port in ports]


def test_the_main_ensemble_follows_the_environment(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ensembles.register_main() is None
    monkeypatch.setenv("ENSEMBLE_NODES", "node1=127.0.0.1:2181=http://127.0.0.1:8080")
    main = ensembles.register_main()
    assert main is not None
    monkeypatch.setenv("ENSEMBLE_NODES", "node1=127.0.0.1:2181=http://127.0.0.1:8080,node2=h:1")
    for _ in range(2):
        ensembles.register_main()
    assert main.nodes.count() == 2
    assert AuditEvent.objects.count() == 2
    monkeypatch.setenv("ENSEMBLE_NODES", "node1")
    with pytest.raises(ValueError, match="ENSEMBLE_NODES says 'node1'; use name=host:port"):
        ensembles.register_main()


def test_the_main_ensemble_follows_the_file_of_its_nodes(
    db: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nodes = tmp_path / "nodes"
    monkeypatch.setenv("ENSEMBLE_NODES_FILE", str(nodes))
    with pytest.raises(ValueError, match=r"ENSEMBLE_NODES_FILE is '.+': No such"):
        ensembles.follow_main()
    nodes.write_text("node1=h:1=http://h:8080\nnode2=h:2=\n")
    assert [ensembles.follow_main() for _ in range(2)] == [1, 0]
    nodes.write_text("node1=h:1=http://h:8080\n")
    assert [ensembles.follow_main() for _ in range(2)] == [1, 0]
    assert [node.name for node in Ensemble.objects.get(name="main").nodes.all()] == ["node1"]
