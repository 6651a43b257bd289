"""The cast's browsers, over an ensemble of one real node with a registry."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpResponse
from django.test import Client as Browser
from django.test import TestCase

from tenants.actions import plans, tenants
from tenants.audit import PLANE
from tenants.models import Ensemble, MemberRole, Membership, Plan, Tenant
from tests.console.cast import ROLES, browser_of
from tests.tenants_app.conftest import home, nowhere, one, patient, registry_node

__all__ = ["home", "nowhere", "one", "patient", "registry_node"]

committed = partial(TestCase.captureOnCommitCallbacks, execute=True)
"""What is done after a commit is done at the block's end: a test's transaction never commits."""

Go = Callable[..., HttpResponse]


@pytest.fixture
def go(cast: dict[str, AbstractBaseUser]) -> Go:
    """`go("alice", "/tenants/")` is a page; with values it is a form that was sent."""
    browsers: dict[str, Browser] = {}

    def ask(name: str, where: str, values: dict[str, Any] | None = None, **options: Any) -> Any:
        if name not in browsers:
            browsers[name] = browser_of(cast, name)
        browser = browsers[name]
        if values is None:
            return browser.get(where, **options)
        with committed():
            return browser.post(where, values, **options)

    return ask


@pytest.fixture
def three_plans(db: None) -> dict[str, Plan]:
    plans.create_defaults()
    return {plan.name: plan for plan in Plan.objects.all()}


@pytest.fixture
def shop(cast: dict[str, Any], one: Ensemble, three_plans: dict[str, Plan]) -> Tenant:
    """`shop` at the real node, with alice, dan and bob in it."""
    small = three_plans["small"]
    with committed():
        made = tenants.create(PLANE, slug="shop", title="The shop", plan=small, owner=cast["alice"])
    for name, role in ROLES.items():
        if role != MemberRole.OWNER:
            Membership.objects.create(tenant=made, user=cast[name], role=role)
    return made


def text_of(answer: HttpResponse) -> str:
    return answer.content.decode()
