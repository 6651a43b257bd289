"""Whose tree a page of znodes shows, and in whose name: the whole one, an ensemble's, a tenant's.

Each is reached in the person's own name with the role that this person has, so the node itself
holds role and wall and writes the name into its journal (`tenants.reach`). Auditors come as
readers, who see across all walls and nothing that an ACL closes.
"""

from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.urls import reverse

from console import zk
from tenants import access, reach
from tenants.models import Ensemble, Tenant
from tenants.zk import Bridge

User = AbstractBaseUser | AnonymousUser
PAGES: Final = (
    *("children", "complete", "data", "raw", "save", "create", "delete", "acl", "acl-test"),
    *("check", "bookmark", "revisions", "revision"),
)


@dataclass(frozen=True, slots=True)
class Scope:
    """A tree, the way to it, and what may be done there."""

    bridge: Bridge
    may_write: bool
    may_acl: bool
    prefix: str  # of the routes' names
    where: dict[str, str]  # the routes' arguments, and what the audit line says
    live: str  # the websocket's path
    tenant: Tenant | None = None
    ensemble: Ensemble | None = None
    is_shared: bool = False  # with the console's own credential: the node does not know who it is

    @property
    def history(self) -> str:
        """The ensemble whose collected history this tree's is."""
        if self.tenant is not None:
            return self.tenant.ensemble.name
        return settings.MAIN_ENSEMBLE if self.ensemble is None else self.ensemble.name

    def urls(self) -> dict[str, str]:
        """Where the page's script finds what, and `root`, the page of `/`."""
        found = {page: reverse(f"{self.prefix}znode-{page}", kwargs=self.where) for page in PAGES}
        kind, name = ("tenant", self.tenant.slug) if self.tenant else ("ensemble", self.history)
        return {
            **found,
            "root": reverse(f"{self.prefix}znode", kwargs=self.where),
            "api": f"/api/v1/{kind}s/{name}/znodes",
        }


def scope_of(
    user: User, slug: str = "", ensemble: str = "", *, writes: bool = False, acl: bool = False
) -> Scope:
    """The tree that the address names, for somebody who may read it (or write, or change ACLs).

    Raises:
        Http404: there is none that this person may know of.
        PermissionDenied: it is there, but not for this.
        BusyError, NoKeyError: it cannot be reached, with a text for people.
    """
    if slug:
        return of_tenant(
            user, slug, "znode.acl" if acl else "znode.write" if writes else "znode.read"
        )
    may_write = may_change(user, writes or acl)
    if ensemble:
        return of_ensemble(user, ensemble, may_write)
    assert isinstance(user, AbstractBaseUser)
    main = zk.main_ensemble()
    bridge = zk.bridge_as(main, user, reads=not may_write)
    is_shared = not zk.knows_persons(main)
    return Scope(bridge, may_write, may_write, "", {}, "/live", is_shared=is_shared)


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


def of_tenant(user: User, slug: str, right: str) -> Scope:
    tenant = access.tenant_for(user, slug, right)
    assert isinstance(user, AbstractBaseUser)
    return Scope(
        bridge=reach.as_person(tenant, user, access.acting_role(user, tenant)),
        may_write=access.may(user, "znode.write", tenant),
        may_acl=access.may(user, "znode.acl", tenant),
        prefix="tenant-",
        where={"slug": slug},
        live=f"/live/tenants/{slug}",
        tenant=tenant,
    )


def of_ensemble(user: User, name: str, may_write: bool) -> Scope:
    assert isinstance(user, AbstractBaseUser)
    ensemble = access.ensemble_named(name)
    return Scope(
        bridge=reach.as_operator(ensemble, user, reads=not may_write),
        may_write=may_write,
        may_acl=may_write,
        prefix="ensemble-",
        where={"ensemble": name},
        live=f"/live/ensembles/{name}",
        ensemble=ensemble,
        is_shared=not zk.knows_persons(ensemble),
    )
