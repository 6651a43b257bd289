"""A tenant on a real node, a runner that is driven by hand, and what is in the tree."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.test import TestCase

from ensemble.client import Client, CreateMode, walk
from observability.collect.runner import PLANNERS, Observed
from tenants.actions import jobs, tenants
from tenants.audit import PLANE, Actor
from tenants.bulk.runner import Runner
from tenants.bulk.steps import Kind
from tenants.bulk.work import Created
from tenants.models import Ensemble, Job, MemberRole, Membership, Plan, Tenant
from tests.harness import Node
from tests.tenants import operator
from tests.tenants_app.conftest import Cast, acts

Tree = dict[str, bytes]
Do = Callable[..., Any]


@pytest.fixture
def shop(cast: Cast, one: Ensemble, small: Plan) -> Tenant:
    """Alice owns it, dan develops, bob views."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        made = tenants.create(PLANE, slug="shop", title="", plan=small, owner=cast.alice)
    Membership.objects.create(tenant=made, user=cast.dan, role=MemberRole.DEVELOPER)
    Membership.objects.create(tenant=made, user=cast.bob, role=MemberRole.VIEWER)
    return made


@pytest.fixture
def do(registry_node: Node) -> Do:
    """Do something with an operator's client of the whole tree."""

    def run(work: Callable[[Client], Any]) -> Any:
        async def session() -> Any:
            async with operator(registry_node.address) as client:
                return await work(client)

        return asyncio.run(session())

    return run


@pytest.fixture
def fill(do: Do, shop: Tenant) -> Callable[[Tree], None]:
    """Make znodes in the shop."""

    def make(tree: Tree) -> None:
        async def work(client: Client) -> None:
            for path, data in tree.items():
                mode = CreateMode.CONTAINER if "box" in path else CreateMode.PERSISTENT
                await client.create(shop.root + path, data, mode=mode)

        do(work)

    return make


@pytest.fixture
def tree(do: Do, shop: Tenant) -> Callable[[], Tree]:
    """All that is in the shop now."""

    async def work(client: Client) -> Tree:
        found = [path async for path in walk(client, shop.root)]
        return {path[len(shop.root) :]: (await client.get(path))[0] for path in found[1:]}

    return lambda: dict(sorted(do(work).items()))


class Known(Observed):
    """What the collector would know."""

    def used(self, tenant: Tenant) -> dict[str, int]:
        return {"znodes": 10, "bytes": 1_000}

    def kinds(self, job: Job, made: Sequence[Created]) -> dict[str, Kind]:
        return {path: Kind("container") for path, _ in made if path.endswith("/box")}


@pytest.fixture
def runner() -> Runner:
    return Runner(PLANNERS, Known())


class Desk:
    """Asks for jobs as somebody, and has them run."""

    def __init__(self, person: Any, shop: Tenant, runner: Runner) -> None:
        self.actor: Actor = acts(person)
        self.shop = shop
        self.runner = runner

    def ask(self, kind: str, path: str, **parameters: Any) -> Job:
        sent = parameters.pop("sent", None)
        return jobs.make(
            self.actor,
            kind=kind,
            where="tenant",
            tenant=self.shop,
            path=path,
            parameters=parameters,
            sent=sent,
        )

    def look(self, kind: str, path: str, **parameters: Any) -> Job:
        """The dry run."""
        job = self.ask(kind, path, **parameters)
        assert self.runner.run_one()
        return fresh(job)

    def have_done(self, kind: str, path: str, **parameters: Any) -> Job:
        """Looked at, confirmed, done."""
        job = self.look(kind, path, **parameters)
        return self.confirm(job) if job.state == "ready" else job

    def confirm(self, job: Job) -> Job:
        jobs.confirm(self.actor, job=job)
        assert self.runner.run_one()
        return fresh(job)

    def undo(self, job: Job) -> Job:
        made = jobs.undo(self.actor, job=job)
        assert self.runner.run_one()
        made = fresh(made)
        return self.confirm(made) if made.state == "ready" else made


def fresh(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


@pytest.fixture
def dan(cast: Cast, shop: Tenant, runner: Runner) -> Desk:
    return Desk(cast.dan, shop, runner)


@pytest.fixture
def alice(cast: Cast, shop: Tenant, runner: Runner) -> Desk:
    return Desk(cast.alice, shop, runner)
