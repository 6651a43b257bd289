"""The plane is killed, run twice, locked out of its database; nodes and ensembles are down."""

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from ensemble.admin import provision
from ensemble.client import AuthFailedError
from tenants import nodes, publication
from tenants.actions import credentials, ensembles, tenants
from tenants.actions.ensembles import NodeSpec
from tenants.audit import PLANE
from tenants.errors import UnavailableError
from tenants.models import AuditEvent, Credential, Ensemble, Plan, Publication, Tenant
from tests import ensembles as processes
from tests.harness import Node
from tests.tenants import trusting
from tests.tenants_app.conftest import Cast, acts, clear, init, put_keys
from tests.tenants_app.databases import environment_of_fresh
from tests.tenants_app.planes import WITHIN_S, Plane
from tests.tenants_app.test_publication import admin_does, make, row, standing, tenant_does

transactional = pytest.mark.django_db(transaction=True)


# Killed, and run twice: processes over a database of their own


@pytest.fixture
def plane(
    home: Path,
    registry_node: Node,
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
) -> Plane:
    """A plane of its own with one ensemble, which has one tenant, `first`."""
    asyncio.run(clear(registry_node))
    with django_db_blocker.unblock():
        plane = Plane(home, environment_of_fresh(home))
        connection.close()
    admin_url = f"http://127.0.0.1:{registry_node.admin_port}"  # type: ignore[attr-defined]
    told = plane.run(f"""
call_command("migrate", verbosity=0)
plans.create_defaults()
nodes = [NodeSpec("node1", {registry_node.address!r}, {admin_url!r})]
one = ensembles.register(PLANE, name="one", hosts={registry_node.address!r}, nodes=nodes)
tenant = tenants.create(PLANE, slug="first", plan=Plan.objects.get(name="small"), owner=None)
tell(status=tenant.publication.status, error=tenant.publication.error)
""")
    assert told == {"status": "applied", "error": ""}
    return plane


WAIT_IS_OVER = """
from datetime import timedelta
from django.utils import timezone
Publication.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
"""
AGAIN = """
publication.publish_due()
for slug in ("first", "second"):
    if tenant := Tenant.objects.filter(slug=slug).first():
        row = tenant.publication
        print(slug, row.status, row.error, file=sys.stderr)
        assert row.status == "applied", (row.error, row.nodes)
        assert row.applied == row.wanted == tenant.revision
assert list(verify()) == []
assert reconcile.drift(Ensemble.objects.get()) == []
tell(ok=True, actions=AuditEvent.objects.count())
"""
POINTS = {
    "after-the-commit": "base.publish_quietly = die",
    "before-the-write": "registry.put = registry.add = die",
    "after-the-write": "publication.confirm = die",
    "before-the-outcome": "publication.settle = die",
}


@pytest.mark.parametrize("point", POINTS)
def test_F26_a_plane_that_is_killed_on_the_way_is_followed_by_one_that_ends_it(
    point: str, plane: Plane, registry_node: Node
) -> None:
    plane.run(
        f"""
{POINTS[point]}
tenants.set_mode(PLANE, tenant=Tenant.objects.get(slug="first"), mode="observe")
""",
        status=-signal.SIGKILL,
    )
    kept = standing(registry_node, "first").draft
    assert kept is not None
    assert kept.mode == (
        "enforce" if point in ("after-the-commit", "before-the-write") else "observe"
    )
    version_then = standing(registry_node, "first").version
    plane.run(WAIT_IS_OVER + AGAIN)
    stands = standing(registry_node, "first")
    assert stands.draft is not None
    assert stands.draft.mode == "observe"
    assert stands.version == 1 >= version_then  # what was written is not written again

    plane.run(
        f"""
{POINTS[point]}
tenants.create(PLANE, slug="second", plan=Plan.objects.get(name="small"), owner=None)
""",
        status=-signal.SIGKILL,
    )
    # Before the next look somebody wishes for something else: what stands is still known.
    plane.run(
        WAIT_IS_OVER
        + """
base.publish_quietly = lambda tenant_id: None
tenants.set_mode(PLANE, tenant=Tenant.objects.get(slug="second"), mode="permissive")
"""
        + AGAIN
    )
    second = standing(registry_node, "second").draft
    assert second is not None
    assert second.mode == "permissive"


@pytest.mark.parametrize("point", ["before-the-document", "before-the-outcome"])
def test_F26_a_plane_that_is_killed_in_a_purge_is_followed_by_one_that_ends_it(
    point: str, plane: Plane, registry_node: Node
) -> None:
    patch = {
        "before-the-document": "registry.wait_for_sessions = die",
        "before-the-outcome": "publication.settle = die",
    }[point]
    plane.run(
        f"""
first = Tenant.objects.get(slug="first")
tenants.delete(PLANE, tenant=first, confirm="first")
{patch}
tenants.purge(PLANE, tenant=first)
""",
        status=-signal.SIGKILL,
    )
    plane.run(WAIT_IS_OVER + AGAIN)
    for path in ("/zookeeper/tenants/first", "/tenants/first"):
        assert admin_does(registry_node, lambda client, p=path: client.exists(p)) is None


def test_F26_two_planes_over_one_database_do_not_fight(plane: Plane, registry_node: Node) -> None:
    code = """
for at in range(15):
    tenant = Tenant.objects.get(slug="first")
    tenants.set_limits(PLANE, tenant=tenant, overrides={"znodes": WHO * 100 + at}, weight=None)
    publication.publish_due()
tell(ok=True)
"""
    both = [plane.start(code.replace("WHO", str(who))) for who in (1, 2)]
    for process in both:
        assert plane.end(process) == {"ok": True}
    told = plane.run(AGAIN)
    stands = standing(registry_node, "first")
    assert stands.draft is not None
    assert stands.draft.limits["znodes"] in (114, 214)
    assert stands.version <= 30
    actions = told["actions"]
    assert isinstance(actions, int)
    assert actions == 3 + 1 + 1 + 30  # plans, ensemble, tenant, and no change was lost


# A node, an ensemble, the database


def until(holds: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        meanwhile()
        time.sleep(0.02)


@transactional
def test_a_node_that_is_down_is_named_and_followed_up(
    cast: Cast, small: Plan, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "ASK_WITHIN_S", 3.0)
    config = trusting(tmp_path / "keys")
    put_keys(home / "ensembles" / "three")
    software = processes.ours(
        f"-Dzookeeper.ensemble.operator.keys={config['ensemble.operator.keys']}"
    )
    with processes.Ensemble(tmp_path, [software] * 3) as servers:
        servers.start()
        until(lambda: all(m.mode() in ("leader", "follower") for m in servers.all))
        three = ensembles.register(
            PLANE,
            name="three",
            hosts=servers.address,
            nodes=[NodeSpec(f"node{m.sid}", m.address) for m in servers.all],
        )
        asyncio.run(init(servers))  # type: ignore[arg-type]
        followers = [m for m in servers.all if m.mode() != "leader"]
        followers[0].kill9()
        down = f"node{followers[0].sid}"
        tenant = make(cast, small, three, "shared")
        alive = {f"node{m.sid}": 0 for m in servers.running}

        def publish_again() -> None:
            publication.publish_due(timezone.now() + timedelta(minutes=5))

        until(lambda: row(tenant).nodes.items() >= alive.items(), publish_again)
        waiting = row(tenant)
        assert (waiting.status, waiting.written, waiting.applied) == ("pending", 1, 0)
        assert waiting.error == f"written; not in force yet on {down}"
        assert isinstance(waiting.nodes[down], str)

        servers.start(followers[0].sid)
        until(lambda: row(tenant).status == "applied", publish_again)
        assert set(row(tenant).nodes.values()) == {0}


@transactional
def test_an_ensemble_that_does_not_answer_leaves_its_tenants_pending(
    cast: Cast, small: Plan, one: Ensemble, nowhere: Ensemble
) -> None:
    away = [
        tenants.create(acts(cast.olga), slug=f"away{n}", plan=small, ensemble=nowhere, owner=None)
        for n in range(3)
    ]
    for tenant in away:
        assert row(tenant).status == "pending"
        assert "no server at" in row(tenant).error
        assert row(tenant).next_try_at is not None
    with pytest.raises(UnavailableError, match="nowhere is needed to make a secret"):
        credentials.create(acts(cast.olga), tenant=away[0], name="app", role="reader")
    assert not Credential.objects.exists()
    here = make(cast, small, one, "here")
    Publication.objects.filter(tenant=here).update(status="pending", next_try_at=timezone.now())
    later = timezone.now() + timedelta(minutes=5)
    assert publication.publish_due(later) == 2  # one attempt at the ensemble that is away
    assert row(here).status == "applied"

    # It comes back, at another address.
    ensembles.change(acts(cast.olga), ensemble=nowhere, hosts=one.hosts)
    assert publication.publish_due(later) == 3
    assert {row(tenant).status for tenant in away} == {"applied"}


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Somebody else writes into the database, and does not end."""
    name = str(connection.settings_dict["NAME"])
    with contextlib.closing(sqlite3.connect(name, uri=True, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE tenants_plan SET position = position")
        yield
        other.execute("ROLLBACK")


@transactional
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL locks rows, not all of it")
def test_F26_a_locked_database_refuses_the_action_and_shuts_nobody_out(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    tenant = make(cast, small, one, "locked")
    made = credentials.create(acts(cast.alice), tenant=tenant, name="app", role="writer")
    stands = standing(registry_node, "locked")
    lines = AuditEvent.objects.count()
    with locked():
        with pytest.raises(UnavailableError, match="nothing was done: try again"):
            tenants.set_mode(acts(cast.alice), tenant=tenant, mode="observe")
        with pytest.raises(UnavailableError, match="nothing was done: try again"):
            credentials.create(acts(cast.alice), tenant=tenant, name="more", role="writer")
        assert tenant_does(registry_node, made.token, lambda client: client.children("/"))
    assert AuditEvent.objects.count() == lines
    assert standing(registry_node, "locked") == stands
    tenants.set_mode(acts(cast.alice), tenant=tenant, mode="observe")
    assert row(tenant).status == "applied"


@transactional
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="PostgreSQL locks rows, not all of it")
def test_F26_a_database_that_locks_after_the_commit_publishes_later(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = make(cast, small, one, "late")
    publish = publication.publish

    def while_locked(tenant_id: int) -> Publication:
        with locked():
            return publish(tenant_id)

    monkeypatch.setattr(publication, "publish", while_locked)
    tenants.set_mode(acts(cast.alice), tenant=tenant, mode="observe")
    monkeypatch.undo()
    assert row(tenant).status == "pending"
    assert publication.publish_due() == 1
    assert row(tenant).status == "applied"


@transactional
def test_F26_a_claim_is_one_publishers_until_its_time_is_over(
    cast: Cast, small: Plan, one: Ensemble
) -> None:
    tenant = make(cast, small, one, "claimed")
    Publication.objects.filter(tenant=tenant).update(status="pending")
    claim = publication.take(tenant.pk)
    assert claim is not None
    assert publication.take(tenant.pk) is None
    assert publication.publish(tenant.pk).status == "pending"
    Publication.objects.filter(tenant=tenant).update(claimed_until=timezone.now())
    again = publication.take(tenant.pk)
    assert again is not None
    publication.settle(tenant.pk, claim, publication.Outcome(status="failed", error="too late"))
    assert (row(tenant).error, row(tenant).claimed_until) == ("", again)


@transactional
def test_a_root_that_exists_is_not_taken_by_a_new_tenant(
    cast: Cast, small: Plan, one: Ensemble, registry_node: Node
) -> None:
    admin_does(registry_node, lambda client: client.create("/kept-by-others", b"x"))
    olga = acts(cast.olga)

    def new(slug: str, *, adopt: bool) -> Tenant:
        return tenants.create(
            olga,
            slug=slug,
            plan=small,
            ensemble=one,
            owner=None,
            root="/kept-by-others",
            adopt=adopt,
        )

    failed = new("taker", adopt=False)
    assert row(failed).status == "failed"
    assert "/kept-by-others exists already" in row(failed).error
    tenants.delete(olga, tenant=failed, confirm="taker")
    tenants.purge(olga, tenant=failed)
    assert row(failed).status == "applied", row(failed).error

    adopted = new("adopter", adopt=True)
    assert row(adopted).status == "applied", row(adopted).error
    made = credentials.create(olga, tenant=adopted, name="app", role="reader")
    data, _ = tenant_does(registry_node, made.token, lambda client: client.get("/"))
    assert data == b"x"
    tenants.delete(olga, tenant=adopted, confirm="adopter")
    tenants.purge(olga, tenant=adopted)
    assert row(adopted).status == "applied", row(adopted).error
    with pytest.raises(AuthFailedError):
        tenant_does(registry_node, made.token, lambda client: client.get("/"))
    data, _ = admin_does(registry_node, lambda client: client.get("/kept-by-others"))
    assert data == b"x"
    admin_does(registry_node, lambda client: client.delete("/kept-by-others"))
    with pytest.raises(provision.UnknownTenantError):
        standing(registry_node, "adopter")


@transactional
def test_an_ensemble_without_a_key_is_told_without_the_path_of_the_file(
    cast: Cast, small: Plan, one: Ensemble, home: Path
) -> None:
    (home / "ensembles" / "one" / "operator.key").unlink()
    tenant = make(cast, small, one, "keyless")
    assert row(tenant).status == "failed"
    assert row(tenant).error.startswith("the plane has no key for one: an operator has to put one")
    with pytest.raises(UnavailableError, match="the plane has no key for one") as refusal:
        credentials.create(acts(cast.alice), tenant=tenant, name="app", role="reader")
    assert str(home) not in row(tenant).error + str(refusal.value)
