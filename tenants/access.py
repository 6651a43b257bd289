"""Who may do what with tenants: the only door from (person, name) to an object.

Strangers get Http404, as they must not learn that a tenant exists; members with too small a role
get PermissionDenied. Operators (`is_staff`) hold every right; auditors (the group `auditors`) the
reading ones of every tenant. A right that is not in `RIGHTS` is nobody's.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404

from tenants.models import Ensemble, MemberRole, Membership, Tenant
from tenants.models.tenants import TenantQuerySet

User = AbstractBaseUser | AnonymousUser

AUDITORS: Final = "auditors"  # the group's name

VIEWER: Final = MemberRole.VIEWER
DEVELOPER: Final = MemberRole.DEVELOPER
OWNER: Final = MemberRole.OWNER


class Standing(enum.IntEnum):
    """What somebody is to the plane as a whole."""

    NOBODY = 0  # not signed in, or switched off
    PERSON = 1
    AUDITOR = 2  # reads everything
    OPERATOR = 3  # does everything


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a token leaves of its person's rights. A viewer's token reads, whatever else it may."""

    tenant_id: int | None  # None: all that the person reaches
    role: MemberRole
    as_operator: bool  # whether an operator's or auditor's rights count
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Need:
    """Who holds a right. `member` None: no role in the tenant gives it."""

    member: MemberRole | None
    auditor: bool = False


RIGHTS: Final[dict[str, Need]] = {
    "tenant.read": Need(VIEWER, auditor=True),
    "tenant.usage": Need(VIEWER, auditor=True),
    "tenant.audit": Need(VIEWER, auditor=True),
    "tenant.alerts": Need(VIEWER, auditor=True),
    "tenant.alerts.act": Need(DEVELOPER),  # acknowledge, silence
    "tenant.alerts.channels": Need(OWNER),  # where its alerts are sent
    "tenant.history": Need(VIEWER, auditor=True),
    "tenant.describe": Need(OWNER),  # title, secret paths, audit of reads, history's bounds
    "tenant.mode": Need(OWNER),
    "tenant.plan": Need(OWNER),  # within self-service plans; others become a request
    "tenant.delete": Need(OWNER),
    "tenant.restore": Need(OWNER),
    "tenant.limits": Need(None),
    "tenant.state": Need(None),
    "tenant.adopt": Need(None),
    "tenant.purge": Need(None),
    "tenant.publish": Need(None),  # reconcile, repair
    "member.read": Need(VIEWER, auditor=True),
    "member.change": Need(OWNER),
    "credential.read": Need(VIEWER, auditor=True),
    "credential.change": Need(DEVELOPER),  # readers and writers
    "credential.admin": Need(OWNER),  # those of role admin
    "session.read": Need(VIEWER, auditor=True),
    "session.close": Need(OWNER),
    # Auditors read whole trees (`tree.read`), and with them what tenants keep: a wall around the
    # same values on a tenant's page would only send them there.
    "znode.read": Need(VIEWER, auditor=True),
    "znode.write": Need(DEVELOPER),
    "znode.acl": Need(OWNER),
}
"""What can be done with one tenant, and from which role on."""

PLANE: Final[dict[str, Standing]] = {
    "tenant.create": Standing.PERSON,  # by self-service plans
    "request.make": Standing.PERSON,
    "invitation.accept": Standing.PERSON,
    "request.decide": Standing.OPERATOR,
    "plan.read": Standing.PERSON,
    "plan.change": Standing.OPERATOR,
    "ensemble.read": Standing.AUDITOR,
    "ensemble.change": Standing.OPERATOR,
    "tree.read": Standing.AUDITOR,  # a whole tree, across all walls
    "tree.change": Standing.OPERATOR,
    "audit.read": Standing.AUDITOR,  # of all tenants and of the plane
    "alert.read": Standing.AUDITOR,
    "alert.act": Standing.OPERATOR,  # acknowledge, silence
    "alert.change": Standing.OPERATOR,  # rules and channels
    "search.own": Standing.PERSON,  # saved searches of the trail
    "people.read": Standing.AUDITOR,
    "people.change": Standing.OPERATOR,
    "policy.export": Standing.AUDITOR,
    "policy.apply": Standing.OPERATOR,
    "token.own": Standing.PERSON,
}
"""What can be done with the plane as a whole, and from which standing on."""

READING: Final = frozenset({name for name in PLANE if name.endswith((".read", ".export"))})
"""Of these, what a viewer's token may do, too."""


def bounds_of(user: User) -> Bounds | None:
    """What the token leaves by which somebody came; None where it was none."""
    found: Bounds | None = getattr(user, "token_bounds", None)
    return found


def standing_of(user: User) -> Standing:
    if not user.is_authenticated or not user.is_active:
        return Standing.NOBODY
    bounds = bounds_of(user)
    if bounds is not None and not bounds.as_operator:
        return Standing.PERSON
    if getattr(user, "is_staff", False):
        return Standing.OPERATOR
    groups = getattr(user, "groups", None)
    if groups is not None and groups.filter(name=AUDITORS).exists():
        return Standing.AUDITOR
    return Standing.PERSON


def visible_to(user: User) -> TenantQuerySet:
    """The tenants that somebody may know of; gone ones are for operators and auditors."""
    standing = standing_of(user)
    if standing is Standing.NOBODY:
        return Tenant.objects.none()
    bounds = bounds_of(user)
    if bounds is not None and bounds.tenant_id is not None:
        member = Tenant.objects.member_of(user).exclude(lifecycle=Tenant.Lifecycle.GONE)
        return member.filter(pk=bounds.tenant_id)
    if standing >= Standing.AUDITOR:
        return Tenant.objects.all()
    return Tenant.objects.member_of(user).exclude(lifecycle=Tenant.Lifecycle.GONE)


def role_in(user: User, tenant: Tenant) -> MemberRole | None:
    """The role of a member, whatever else somebody is; a token's where that is smaller."""
    bounds = bounds_of(user)
    if user.pk is None or (bounds is not None and bounds.tenant_id not in (None, tenant.pk)):
        return None
    found = Membership.objects.filter(tenant=tenant, user_id=user.pk).values_list("role", flat=True)
    role = found.first()
    if role is None:
        return None
    return MemberRole(role if bounds is None else min(role, bounds.role))


def acting_role(user: User, tenant: Tenant) -> MemberRole:
    """The role in which somebody with a right acts inside a tenant: operators as its owners."""
    bounds = bounds_of(user)
    if standing_of(user) is Standing.OPERATOR:
        return OWNER if bounds is None else bounds.role
    role = role_in(user, tenant)
    return VIEWER if role is None else role


def may(user: User, right: str, tenant: Tenant) -> bool:
    """Whether somebody holds a right in a tenant."""
    standing = standing_of(user)
    is_asked = standing in (Standing.PERSON, Standing.AUDITOR)
    role = role_in(user, tenant) if is_asked else None
    return allows(right, standing, role, bounds_of(user))


def allows(
    right: str, standing: Standing, role: MemberRole | None, bounds: Bounds | None = None
) -> bool:
    """The rule: whether this standing, or this role in the tenant, gives the right there."""
    need = RIGHTS[right]
    if standing is Standing.NOBODY:
        return False
    if bounds is not None and bounds.role < (need.member or OWNER):
        return False
    if standing is Standing.OPERATOR:
        return True
    if standing is Standing.AUDITOR and need.auditor:
        return True
    return need.member is not None and role is not None and role >= need.member


def sees_closed(user: User, tenant: Tenant | None) -> bool:
    """Whether somebody is shown kept values that a znode's ACL keeps from some.

    Their node would decide by the ACL; of what was, only who acts as an owner or operator is sure.
    """
    if tenant is None:
        return standing_of(user) >= PLANE["tree.change"]
    return acting_role(user, tenant) >= OWNER


def tenant_for(user: User, slug: str, right: str) -> Tenant:
    """The tenant, for somebody who holds the right.

    Raises:
        Http404: there is none, or this person may not know of it.
        PermissionDenied: a member without the right.
    """
    tenant = (
        visible_to(user)
        .exclude(lifecycle=Tenant.Lifecycle.GONE)
        .select_related("plan", "ensemble")
        .filter(slug=slug)
        .first()
    )
    if tenant is None:
        raise Http404(f"there is no tenant {slug[:70]} that you can see")
    if not may(user, right, tenant):
        raise PermissionDenied(f"Your role in {slug} does not allow this ({right}). Ask an owner.")
    return tenant


def ensemble_named(name: str) -> Ensemble:
    """The ensemble; the caller has asked for the right.

    Raises:
        Http404: there is none.
    """
    found = Ensemble.objects.filter(name=name).first()
    if found is None:
        raise Http404(f"there is no ensemble {name[:70]}")
    return found


def require(user: User, right: str) -> None:
    """Hold a right on the plane as a whole.

    Raises:
        PermissionDenied: this person does not.
    """
    if standing_of(user) < PLANE[right]:
        raise PermissionDenied(f"Your account does not allow this ({right}). Ask an operator.")
    bounds = bounds_of(user)
    if bounds is None:
        return
    if bounds.tenant_id is not None:
        raise PermissionDenied(f"This token is for one tenant only; {right} is of the whole plane.")
    if right not in READING and bounds.role < OWNER:
        raise PermissionDenied(f"This token is a {bounds.role.label}'s; {right} needs an owner's.")
