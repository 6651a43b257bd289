"""Whose tree a page of znodes shows, and in whose name: the whole one, an ensemble's, a tenant's.

A tenant's is reached in the person's own name with the role that this person has: the node itself
keeps them within the wall (`tenants.reach`).
"""

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.urls import reverse

from console.zk import bridge
from tenants import access, reach
from tenants.models import Ensemble, Tenant
from tenants.zk import Bridge

User = AbstractBaseUser | AnonymousUser
PAGES: Final = ("children", "data", "raw", "save", "create", "delete")


@dataclass(frozen=True, slots=True)
class Scope:
    """A tree, the way to it, and what may be done there."""

    bridge: Bridge
    may_write: bool
    prefix: str  # of the routes' names
    where: dict[str, str]  # the routes' arguments, and what the audit line says
    live: str  # the websocket's path
    tenant: Tenant | None = None
    ensemble: Ensemble | None = None

    def urls(self) -> dict[str, str]:
        """Where the page's script finds what, and `root`, the page of `/`."""
        found = {page: reverse(f"{self.prefix}znode-{page}", kwargs=self.where) for page in PAGES}
        return {**found, "root": reverse(f"{self.prefix}znode", kwargs=self.where)}


def scope_of(user: User, slug: str = "", ensemble: str = "", *, writes: bool = False) -> Scope:
    """The tree that the address names, for somebody who may read (or write) it.

    Raises:
        Http404: there is none that this person may know of.
        PermissionDenied: it is there, but not for this.
        BusyError, NoKeyError: it cannot be reached, with a text for people.
    """
    if slug:
        return of_tenant(user, slug, writes)
    if ensemble:
        return of_ensemble(user, ensemble)
    standing = access.standing_of(user)
    if standing < access.Standing.AUDITOR:
        raise PermissionDenied("The whole tree is for operators and auditors.")
    return Scope(bridge(), standing is access.Standing.OPERATOR, "", {}, "/live")


def of_tenant(user: User, slug: str, writes: bool) -> Scope:
    tenant = access.tenant_for(user, slug, "znode.write" if writes else "znode.read")
    assert isinstance(user, AbstractBaseUser)
    return Scope(
        bridge=reach.as_person(tenant, user, access.acting_role(user, tenant)),
        may_write=access.may(user, "znode.write", tenant),
        prefix="tenant-",
        where={"slug": slug},
        live=f"/live/tenants/{slug}",
        tenant=tenant,
    )


def of_ensemble(user: User, name: str) -> Scope:
    if access.standing_of(user) is not access.Standing.OPERATOR:
        raise PermissionDenied("The whole tree of an ensemble is for operators.")
    assert isinstance(user, AbstractBaseUser)
    ensemble = Ensemble.objects.filter(name=name).first()
    if ensemble is None:
        raise Http404(f"there is no ensemble {name[:70]}")
    return Scope(
        bridge=reach.as_operator(ensemble, user),
        may_write=True,
        prefix="ensemble-",
        where={"ensemble": name},
        live=f"/live/ensembles/{name}",
        ensemble=ensemble,
    )
