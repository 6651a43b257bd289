"""What single sign-on does: takes over or makes an account, and gives what its groups mean.

What it gave it takes away again when the groups say so no more; what a person decided by hand it
leaves alone. A standing that it gave is marked by a group of ours (`GAVE_OPERATOR`), a membership
by `from_group`.
"""

from typing import Final

from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group, User
from django.db import transaction

from tenants import audit
from tenants.access import AUDITORS
from tenants.actions.people import check, set_auditor
from tenants.audit import Actor
from tenants.groups import Given
from tenants.models import MemberRole, Membership, Tenant

GAVE_OPERATOR: Final = "operators by sign-on"
GAVE_AUDITOR: Final = "auditors by sign-on"
NAMES_TRIED_MAX: Final = 100


class NotAllowedError(Exception):
    """Whoever signed on has no account here, and gets none. The text is for them."""


def waiting_for(email: str, verified: bool) -> User | None:
    """The account that an operator has made for this person, and nobody has taken over yet.

    Only where the provider vouches for the address, and only an account without a password: nobody
    gets into an account that somebody else uses already.
    """
    if not email or not verified:
        return None
    found = User.objects.filter(email__iexact=email, is_active=True)
    unused = found.exclude(pk__in=SocialAccount.objects.values("user"))
    free = [user for user in unused if not user.has_usable_password()]
    return free[0] if len(free) == 1 else None


def make_account(actor: Actor, *, name: str, email: str) -> User:
    """An account for somebody new; with a number at its name where that is somebody else's.

    Raises:
        NotAllowedError: the provider's name cannot be one here.
    """
    base = "".join(char if char.isalnum() or char in "@.+-_" else "-" for char in name)[:140]
    with transaction.atomic():
        for number in range(1, NAMES_TRIED_MAX):
            username = base if number == 1 else f"{base}-{number}"
            if base and not User.objects.filter(username__iexact=username).exists():
                break
        else:
            raise NotAllowedError(f"The name {name[:100]!r} cannot be used here. Ask an operator.")
        user = User(username=username, email=email)
        user.set_unusable_password()
        check(user)
        user.save()
        audit.record(actor, "person.created", target=username, detail={"sso": True})
    return user


def apply_groups(actor: Actor, *, user: User, given: Given) -> dict[str, object]:
    """Give what the groups mean now, take what they gave before; what has changed."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=user.pk)
        changed: dict[str, object] = {}
        marks = set(user.groups.values_list("name", flat=True))
        for name, mark, has, wanted in (
            ("operator", GAVE_OPERATOR, user.is_staff, given.operator),
            ("auditor", GAVE_AUDITOR, AUDITORS in marks, given.auditor),
        ):
            if wanted and not has:
                set_standing(user, name, True)
                user.groups.add(Group.objects.get_or_create(name=mark)[0])
                changed[name] = True
            elif not wanted and mark in marks:
                user.groups.remove(Group.objects.get(name=mark))
                if has:
                    set_standing(user, name, False)
                    changed[name] = False
        changed |= apply_roles(user, given)
        if changed:
            audit.record(actor, "person.groups_applied", target=user.username, detail=changed)
    return changed


def set_standing(user: User, name: str, wanted: bool) -> None:
    if name == "auditor":
        set_auditor(user, wanted)
        return
    user.is_staff = wanted
    user.is_superuser = user.is_superuser and wanted
    user.save(update_fields=["is_staff", "is_superuser"])


def apply_roles(user: User, given: Given) -> dict[str, object]:
    tenants = {
        tenant.slug: tenant for tenant in Tenant.objects.alive().filter(slug__in=given.roles)
    }
    there = {m.tenant.slug: m for m in user.memberships.select_related("tenant")}
    changed: dict[str, object] = {}
    for slug, (role, group) in given.roles.items():
        membership = there.get(slug)
        if slug not in tenants or (membership is not None and not membership.from_group):
            continue
        if membership is None:
            membership = Membership(tenant=tenants[slug], user=user)
        elif (membership.role, membership.from_group) == (role, group):
            continue
        membership.role, membership.from_group = role, group
        membership.save()
        changed[slug] = MemberRole(role).label
    for slug, membership in there.items():
        if membership.from_group and slug not in given.roles:
            membership.delete()
            changed[slug] = None
    return changed
