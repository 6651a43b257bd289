"""Usage, figures over time, the trail and its export."""

import time
from dataclasses import asdict
from typing import Any, Final

from django.http import Http404, StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability import export, series, trail
from observability.series import SeriesError
from observability.trail import Query, QueryError
from tenants.access import ensemble_named
from tenants.api.documented import documented
from tenants.api.views.base import Strict, View
from tenants.errors import InvalidError
from tenants.models import Tenant

HOUR: Final = 3_600
TIME_MAX: Final = 1 << 40  # seconds since 1970
TEXT_MAX: Final = 1_000


class UsageOut(serializers.Serializer[Any]):
    at = serializers.IntegerField(help_text="s since 1970; 0: nothing was collected yet")
    used = serializers.DictField(child=serializers.IntegerField())
    limits = serializers.DictField(child=serializers.IntegerField(allow_null=True))
    rates = serializers.DictField(child=serializers.FloatField(), help_text="of the last 10 s")
    shares = serializers.DictField(child=serializers.FloatField(), help_text="1.0: all of it")


class LatencyOut(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    errors = serializers.IntegerField()  # type: ignore[assignment]  # a field, not the property
    p50_us = serializers.IntegerField()
    p95_us = serializers.IntegerField()
    p99_us = serializers.IntegerField()
    max_us = serializers.IntegerField()
    codes = serializers.DictField(child=serializers.IntegerField(), help_text="errors by name")


class PointOut(serializers.Serializer[Any]):
    at = serializers.IntegerField(help_text="the last second of the point")
    span = serializers.IntegerField(help_text="seconds")
    rates = serializers.DictField(child=serializers.FloatField(), help_text="a second")
    classes = serializers.DictField(child=LatencyOut(), help_text="by class of operations")
    usage = serializers.DictField(child=serializers.IntegerField())
    own = serializers.DictField(help_text="a node's own figures")


class SeriesOut(serializers.Serializer[Any]):
    since = serializers.IntegerField()
    until = serializers.IntegerField()
    resolution = serializers.IntegerField(help_text="of the samples, seconds")
    points = PointOut(many=True)


class CostOut(serializers.Serializer[Any]):
    tenant = serializers.CharField()
    rates = serializers.DictField(child=serializers.FloatField())
    share = serializers.FloatField()


class TopOut(serializers.Serializer[Any]):
    results = CostOut(many=True)


class LineOut(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    at = serializers.IntegerField(help_text="ms since 1970")
    origin = serializers.CharField(help_text="node or plane")
    ensemble = serializers.CharField()
    node = serializers.CharField()
    chain = serializers.IntegerField()
    seq = serializers.IntegerField(allow_null=True)
    part = serializers.IntegerField()
    tenant = serializers.CharField()
    is_foreign = serializers.BooleanField()
    principal = serializers.CharField()
    operation = serializers.CharField()
    within = serializers.CharField()
    path = serializers.CharField()
    is_asked = serializers.BooleanField()
    result = serializers.CharField()
    zxid = serializers.CharField(allow_null=True)
    session = serializers.CharField()
    address = serializers.CharField()
    detail = serializers.DictField()
    hash = serializers.CharField()
    prev = serializers.CharField()


class TrailOut(serializers.Serializer[Any]):
    results = LineOut(many=True)
    cursor = serializers.CharField(allow_null=True, help_text="of the next page; null: no more")
    is_cut = serializers.BooleanField(help_text="looked far enough for one page: ask on")
    looked_back_to = serializers.IntegerField(allow_null=True, help_text="ms since 1970")


class FacetsOut(serializers.Serializer[Any]):
    of = serializers.IntegerField()
    is_all = serializers.BooleanField()
    counts = serializers.DictField(
        child=serializers.ListField(
            child=serializers.ListField(help_text="value, how often")  # text and number
        )
    )


class SeriesQuery(Strict):
    since = serializers.IntegerField(
        required=False, min_value=0, max_value=TIME_MAX, help_text="s; an hour ago by default"
    )
    until = serializers.IntegerField(
        required=False, min_value=0, max_value=TIME_MAX, help_text="s; now by default"
    )
    points = serializers.IntegerField(min_value=1, max_value=series.POINTS_MAX, default=300)


class TopQuery(Strict):
    by = serializers.ChoiceField(choices=list(series.ORDERS), default="busy")
    limit = serializers.IntegerField(min_value=1, max_value=series.TOP_MAX, default=20)


class TrailQuery(Strict):
    """What is looked for; all that is given must hold."""

    person = serializers.CharField(required=False, max_length=200)
    path = serializers.CharField(
        required=False, max_length=TEXT_MAX, help_text="it and what is below it"
    )
    operation = serializers.CharField(required=False, max_length=100)
    result = serializers.CharField(required=False, max_length=100)
    failed = serializers.BooleanField(required=False, help_text="everything but ok")
    node = serializers.CharField(required=False, max_length=100)
    origin = serializers.CharField(required=False, max_length=20, help_text="node or plane")
    since_ms = serializers.IntegerField(required=False, min_value=0, max_value=TIME_MAX * 1_000)
    until_ms = serializers.IntegerField(required=False, min_value=0, max_value=TIME_MAX * 1_000)


class WholeTrailQuery(TrailQuery):
    ensemble = serializers.CharField(required=False, max_length=63)
    tenant = serializers.CharField(required=False, max_length=63)
    zxid = serializers.RegexField(r"^0x[0-9a-f]{1,16}$", required=False, max_length=18)


class Paged(Strict):
    cursor = serializers.CharField(required=False, default="", max_length=60)
    limit = serializers.IntegerField(min_value=1, max_value=trail.PAGE_MAX, default=100)


class TrailPageQuery(Paged, TrailQuery):
    pass


class WholeTrailPageQuery(Paged, WholeTrailQuery):
    pass


class ExportQuery(Strict):
    form = serializers.ChoiceField(choices=list(export.FORMATS), default="jsonl")


class TrailExportQuery(ExportQuery, TrailQuery):
    pass


class WholeTrailExportQuery(ExportQuery, WholeTrailQuery):
    pass


def query_of(asked: dict[str, Any]) -> Query:
    if "zxid" in asked:
        asked["zxid"] = int(asked["zxid"], 16)
    return Query(**{k: v for k, v in asked.items() if k not in ("cursor", "limit", "form")})


class Usage(View):
    @documented("What a tenant uses now, against its limits", answer=UsageOut)
    def get(self, request: Request, slug: str) -> Response:
        found = series.usage(self.tenant)
        return Response({**asdict(found), "shares": found.shares})


class TenantMetrics(View):
    @documented("A tenant's figures over time", query=SeriesQuery, answer=SeriesOut)
    def get(self, request: Request, slug: str) -> Response:
        since, until, points = times(self.asked(SeriesQuery))
        try:
            found = series.of_tenant(self.tenant, since, until, points)
        except SeriesError as error:
            raise InvalidError(str(error)) from None
        return Response(asdict(found))


class NodeMetrics(View):
    @documented("A node's figures over time", query=SeriesQuery, answer=SeriesOut)
    def get(self, request: Request, name: str, node: str) -> Response:
        since, until, points = times(self.asked(SeriesQuery))
        ensemble = ensemble_named(name)
        if not ensemble.nodes.filter(name=node).exists():
            raise Http404(f"{name} has no node {node[:100]}")
        try:
            found = series.of_node(name, node, since, until, points)
        except SeriesError as error:
            raise InvalidError(str(error)) from None
        return Response(asdict(found))


class Top(View):
    @documented("Which tenants cost most, now", query=TopQuery, answer=TopOut)
    def get(self, request: Request, name: str) -> Response:
        asked = self.asked(TopQuery)
        ensemble_named(name)
        found = series.top(name, asked["by"], asked["limit"])
        return Response({"results": [asdict(cost) for cost in found]})


class Searching(View):
    """The trail, of one tenant or of all."""

    of_tenant = False

    def search(self, asked: dict[str, Any]) -> Response:
        limit, cursor = asked["limit"], asked["cursor"]
        try:
            page = trail.search(query_of(asked), tenant=self.whose(), limit=limit, cursor=cursor)
        except QueryError as error:
            raise InvalidError(str(error)) from None
        return Response(
            {
                "results": [line.fields() for line in page.lines],
                "cursor": page.cursor or None,
                "is_cut": page.is_cut,
                "looked_back_to": page.looked_back_to,
            }
        )

    def counted(self, asked: dict[str, Any]) -> Response:
        return Response(asdict(trail.facets(query_of(asked), tenant=self.whose())))

    def exported(self, asked: dict[str, Any]) -> StreamingHttpResponse:
        form = asked["form"]
        found = export.lines_of(query_of(asked), form=form, tenant=self.whose())
        response = StreamingHttpResponse(found, content_type=export.FORMATS[form])
        response["Content-Disposition"] = f'attachment; filename="trail.{form}"'
        return response

    def whose(self) -> Tenant | None:
        return self.tenant if self.of_tenant else None


class TenantTrail(Searching):
    of_tenant = True

    @documented("Who did what in a tenant, newest first", query=TrailPageQuery, answer=TrailOut)
    def get(self, request: Request, slug: str) -> Response:
        return self.search(self.asked(TrailPageQuery))


class TenantTrailFacets(Searching):
    of_tenant = True

    @documented("How often each value occurs in a search", query=TrailQuery, answer=FacetsOut)
    def get(self, request: Request, slug: str) -> Response:
        return self.counted(self.asked(TrailQuery))


class TenantTrailExport(Searching):
    of_tenant = True

    @documented("A search as a file", query=TrailExportQuery, file=tuple(export.FORMATS.values()))
    def get(self, request: Request, slug: str) -> StreamingHttpResponse:
        return self.exported(self.asked(TrailExportQuery))


class Trail(Searching):
    @documented("Who did what anywhere, newest first", query=WholeTrailPageQuery, answer=TrailOut)
    def get(self, request: Request) -> Response:
        return self.search(self.asked(WholeTrailPageQuery))


class TrailFacets(Searching):
    @documented("How often each value occurs in a search", query=WholeTrailQuery, answer=FacetsOut)
    def get(self, request: Request) -> Response:
        return self.counted(self.asked(WholeTrailQuery))


class TrailExport(Searching):
    @documented(
        "A search as a file", query=WholeTrailExportQuery, file=tuple(export.FORMATS.values())
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        return self.exported(self.asked(WholeTrailExportQuery))


def times(asked: dict[str, Any]) -> tuple[int, int, int]:
    until = asked.get("until", int(time.time()))
    return asked.get("since", max(0, until - HOUR)), until, asked["points"]
