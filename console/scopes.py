"""Whose tree a page of znodes shows, and in whose name: the whole one, an ensemble's, a tenant's.

Each is reached in the person's own name with the role that this person has, so the node itself
holds role and wall and writes the name into its journal (`tenants.reach`). Auditors come as
readers, who see across all walls and nothing that an ACL closes.
"""

from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.urls import reverse

from console import zk
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
        return of_ensemble(user, ensemble, writes)
    may_write = may_change(user, writes)
    assert isinstance(user, AbstractBaseUser)
    return Scope(zk.bridge_as(user, reads=not may_write), may_write, "", {}, "/live")


def may_change(user: User, writes: bool) -> bool:
    """Whether somebody changes whole trees, too.

    Raises:
        PermissionDenied: they do not even read them, or are about to change one.
    """
    standing = access.standing_of(user)
    if standing < access.PLANE["tree.read"]:
        raise PermissionDenied("The whole tree is for operators and auditors.")
    if writes and standing < access.PLANE["tree.change"]:
        raise PermissionDenied("Your account may read, not change. Ask an operator.")
    return standing >= access.PLANE["tree.change"]


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


def of_ensemble(user: User, name: str, writes: bool) -> Scope:
    may_write = may_change(user, writes)
    assert isinstance(user, AbstractBaseUser)
    ensemble = Ensemble.objects.filter(name=name).first()
    if ensemble is None:
        raise Http404(f"there is no ensemble {name[:70]}")
    return Scope(
        bridge=reach.as_operator(ensemble, user, reads=not may_write),
        may_write=may_write,
        prefix="ensemble-",
        where={"ensemble": name},
        live=f"/live/ensembles/{name}",
        ensemble=ensemble,
    )
