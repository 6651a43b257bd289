"""Searching by path and value, from the index."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability.index import scope as scopes
from observability.index.fresh import fresh
from observability.index.query import QUERY_MAX, QueryError, parse
from observability.index.scope import Scope
from observability.index.search import PAGE_MAX, Facet, Hit, search
from tenants.access import ensemble_named
from tenants.api.documented import documented
from tenants.api.views.base import Strict, View
from tenants.errors import InvalidError
from tenants.models import Ensemble


class HitOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    tenant = serializers.CharField(help_text="empty: nobody's")
    zxid = serializers.CharField(help_text="of the last change of the value")
    at_ms = serializers.IntegerField()
    version = serializers.IntegerField()
    size = serializers.IntegerField(help_text="bytes of the value")
    ephemeral_owner = serializers.CharField(allow_null=True)
    principal = serializers.CharField(help_text="who changed it last; empty: not known")
    why = serializers.CharField(help_text="why not all of the value can be searched; empty: it can")
    snippet = serializers.CharField(help_text="around the first hit in the value, in one line")


class FacetOut(serializers.Serializer[Any]):
    value = serializers.CharField()
    count = serializers.IntegerField()
    add = serializers.CharField(help_text="to the query, to narrow it to these")


class FreshOut(serializers.Serializer[Any]):
    is_complete = serializers.BooleanField(help_text="whether everything was read once")
    filled_at_ms = serializers.IntegerField(help_text="when it was; 0: never")
    behind_s = serializers.FloatField(
        allow_null=True, help_text="behind the nodes; null: nobody tells what changes"
    )
    unknown = serializers.ListField(child=serializers.CharField(), help_text="what it may miss")


class SearchOut(serializers.Serializer[Any]):
    results = HitOut(many=True)
    cursor = serializers.CharField(allow_null=True, help_text="of the next page; null: no more")
    is_all = serializers.BooleanField(help_text="whether `total` counts everything that fits")
    total = serializers.IntegerField(help_text="found by now, 500 at most")
    tenants = FacetOut(many=True)
    subtrees = FacetOut(many=True)
    index = FreshOut()


class SearchQuery(Strict):
    q = serializers.CharField(
        max_length=QUERY_MAX,
        help_text='words and filters: timeout "two words" path:/a name:*.json in:value size:>10k '
        "changed:<1h ephemeral:yes tenant:x /regular expression/",
    )
    limit = serializers.IntegerField(min_value=1, max_value=PAGE_MAX, default=50)
    cursor = serializers.CharField(required=False, default="", max_length=8_000)


class TenantSearch(View):
    @documented("Search a tenant by path and value", query=SearchQuery, answer=SearchOut)
    def get(self, request: Request, slug: str) -> Response:
        scope = scopes.of_tenant(request.user, self.tenant)
        return Response(answer(self.asked(SearchQuery), scope, self.tenant.ensemble))


class EnsembleSearch(View):
    @documented("Search a whole ensemble by path and value", query=SearchQuery, answer=SearchOut)
    def get(self, request: Request, name: str) -> Response:
        found = ensemble_named(name)
        scope = scopes.of_ensemble(request.user, found)
        return Response(answer(self.asked(SearchQuery), scope, found))


def answer(asked: dict[str, Any], scope: Scope, ensemble: Ensemble) -> dict[str, object]:
    try:
        page = search(parse(asked["q"]), scope, limit=asked["limit"], cursor=asked["cursor"])
    except QueryError as error:
        raise InvalidError(str(error), field="q") from None
    state = fresh(ensemble, whole=scope.tenant is None)
    return {
        "results": [told(hit) for hit in page.hits],
        "cursor": page.cursor or None,
        "is_all": page.is_all,
        "total": page.total,
        "tenants": [counted(one) for one in page.tenants],
        "subtrees": [counted(one) for one in page.subtrees],
        "index": {
            "is_complete": bool(state.filled_at_ms),
            "filled_at_ms": state.filled_at_ms,
            "behind_s": state.behind_s,
            "unknown": state.unknown,
        },
    }


def told(hit: Hit) -> dict[str, object]:
    return {
        "path": hit.path,
        "tenant": hit.tenant,
        "zxid": hex(hit.zxid),
        "at_ms": hit.at,
        "version": hit.version,
        "size": hit.size,
        "ephemeral_owner": hit.owner or None,
        "principal": hit.principal,
        "why": hit.why,
        "snippet": "".join(piece.text for piece in hit.value),
    }


def counted(facet: Facet) -> dict[str, object]:
    return {"value": facet.label, "count": facet.count, "add": facet.add}
