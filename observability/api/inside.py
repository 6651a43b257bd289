"""What views that look inside share: whose inside it is, and the way to its tree."""

from observability.index import scope as scopes
from observability.index.scope import Scope
from tenants import access, reach
from tenants.api.views.base import View
from tenants.models import Ensemble, Tenant
from tenants.zk import Bridge


class Inside(View):
    """An ensemble, or one tenant of it: then nothing is seen but what is the tenant's."""

    _ensemble: Ensemble | None = None

    @property
    def where(self) -> Tenant | None:
        return self.tenant if "slug" in self.kwargs else None

    @property
    def ensemble(self) -> Ensemble:
        """Raises Http404: there is none of this name."""
        if self._ensemble is None:
            own = self.where
            name = self.kwargs.get("name", "")
            self._ensemble = access.ensemble_named(name) if own is None else own.ensemble
        return self._ensemble

    def bridge(self) -> Bridge:
        """The way to the tree, in the caller's own name and no more rights than that has.

        Raises:
            BusyError, NoKeyError: with a text for people.
        """
        if self.where is not None:
            role = access.acting_role(self.user, self.where)
            return reach.as_person(self.where, self.user, role)
        # A reader is kept out by ACLs: what an operator may open is told to operators.
        return reach.as_operator(self.ensemble, self.user, reads=not self.may("tree.change"))

    def scope(self) -> Scope:
        """What the caller may be told from the index."""
        if self.where is not None:
            return scopes.of_tenant(self.user, self.where)
        return scopes.of_ensemble(self.user, self.ensemble)
