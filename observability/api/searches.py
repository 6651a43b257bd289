"""Saved searches of the trail: everybody's own."""

from django.db.models import QuerySet
from django.http import Http404, QueryDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability.asked import NAMES, asked_of
from observability.trail import QueryError
from tenants import access
from tenants.actions import searches as actions
from tenants.api.documented import documented
from tenants.api.views.base import PageQuery, Strict, View
from tenants.errors import InvalidError
from tenants.models import SavedSearch

QUERY_MAX = 2_000


class SavedSearchOut(serializers.ModelSerializer[SavedSearch]):
    number = serializers.IntegerField(source="pk")

    class Meta:
        model = SavedSearch
        fields = ("number", "name", "tenant", "query", "made_at")


class SavedSearchIn(Strict):
    name = serializers.CharField(max_length=100, help_text="one of this name is replaced")
    tenant = serializers.CharField(
        max_length=63, required=False, default="", allow_blank=True, help_text="empty: everywhere"
    )
    query = serializers.CharField(
        max_length=QUERY_MAX,
        required=False,
        default="",
        allow_blank=True,
        help_text=f"as in the address of the audit page: path=/a&failed=1; {', '.join(NAMES)}",
    )


def mine(view: View) -> QuerySet[SavedSearch]:
    """One's own; by a token of one tenant those of it."""
    rows = SavedSearch.objects.filter(user=view.user)
    bounds = access.bounds_of(view.user)
    if bounds is None or bounds.tenant_id is None:
        return rows
    return rows.filter(tenant__in=access.visible_to(view.user).values_list("slug", flat=True))


class Searches(View):
    @documented("Your saved searches of the trail", query=PageQuery, rows=SavedSearchOut)
    def get(self, request: Request) -> Response:
        self.asked(PageQuery)
        return self.page(mine(self), SavedSearchOut, ("name", "pk"))

    @documented("Keep a search", body=SavedSearchIn, answer=SavedSearchOut, status=201)
    def post(self, request: Request) -> Response:
        given = self.given(SavedSearchIn)
        slug = given["tenant"]
        if slug:
            access.tenant_for(self.user, slug, "tenant.audit")
        else:
            access.require(self.user, "audit.read")
        query = checked(given["query"], of_tenant=bool(slug))
        made = actions.save(self.actor, name=given["name"], query=query, tenant=slug)
        return Response(SavedSearchOut(made).data, status=201)


class OneSearch(View):
    def search(self, number: int) -> SavedSearch:
        """Raises Http404: it is none of one's own."""
        found = mine(self).filter(pk=number).first()
        if found is None:
            raise Http404(f"you have no search {number}")
        return found

    @documented("A saved search of yours", answer=SavedSearchOut)
    def get(self, request: Request, number: int) -> Response:
        return Response(SavedSearchOut(self.search(number)).data)

    @documented("Forget a saved search")
    def delete(self, request: Request, number: int) -> Response:
        actions.remove(self.actor, search=self.search(number))
        return Response(status=204)


def checked(text: str, *, of_tenant: bool) -> str:
    """The query as it is kept.

    Raises:
        InvalidError: a name or a value in it is none.
    """
    given = QueryDict(text.removeprefix("?"))
    taken = [name for name in NAMES if not (of_tenant and name in ("tenant", "ensemble"))]
    for name in given:
        if name not in taken:
            words = f"{name[:40]!r} is nothing to search by; there are {', '.join(taken)}"
            raise InvalidError(words, field="query")
    asked = asked_of(given, of_tenant=of_tenant)
    try:
        asked.query()
    except QueryError as error:
        raise InvalidError(str(error), field="query") from None
    return asked.address()[1:]
