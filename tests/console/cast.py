"""The cast: people with roles, one tenant, and what they see of it."""

from django.contrib.auth.models import AbstractBaseUser, Group, User
from django.test import Client as Browser

from tenants.access import AUDITORS
from tenants.models import Ensemble, MemberRole, Membership, Plan, Publication, Tenant

PASSWORD = "correct horse battery"
SLUG = "payments"
CAST = {
    "olga": "operator",
    "ada": "auditor",
    "alice": "owner",
    "dan": "developer",
    "bob": "viewer",
    "carol": "stranger",
    "": "anonymous",
}
"""Everybody whom access tables are walked with; nobody is signed in under the empty name."""

ROLES = {"alice": MemberRole.OWNER, "dan": MemberRole.DEVELOPER, "bob": MemberRole.VIEWER}


def make_person(name: str) -> User:
    """Somebody of the cast; memberships come with `make_tenant`."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=name == "olga")
    if name == "ada":
        user.groups.add(Group.objects.get_or_create(name=AUDITORS)[0])
    return user


def make_cast() -> dict[str, AbstractBaseUser]:
    return {name: make_person(name) for name in CAST if name}


def make_tenant(people: dict[str, AbstractBaseUser], slug: str = SLUG) -> Tenant:
    """A tenant with an owner, a developer and a viewer; no ensemble answers for it."""
    ensemble, _ = Ensemble.objects.get_or_create(name="main", defaults={"hosts": "127.0.0.1:1"})
    plan, _ = Plan.objects.get_or_create(name="cast", defaults={"title": "Cast", "limits": {}})
    tenant = Tenant.objects.create(
        slug=slug, ensemble=ensemble, plan=plan, root=f"/tenants/{slug}", title="Payments"
    )
    Publication.objects.create(tenant=tenant)
    for name, role in ROLES.items():
        Membership.objects.create(tenant=tenant, user=people[name], role=role)
    return tenant


def browser_of(people: dict[str, AbstractBaseUser], name: str) -> Browser:
    browser = Browser()
    if name:
        browser.force_login(people[name])
    return browser
