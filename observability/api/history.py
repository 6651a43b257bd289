"""What znodes were, who changed them and when; and whether what was collected can be trusted."""

import time
from dataclasses import asdict
from typing import Any, Final

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability import health, history
from observability.api.views import TIME_MAX
from observability.history import Change, HistoryError
from tenants import access
from tenants.access import ensemble_named
from tenants.api.documented import documented
from tenants.api.views.base import Strict, View
from tenants.api.znodes import PathField, PathQuery, shown
from tenants.errors import InvalidError

ZXID: Final = r"^0x[0-9a-f]{1,16}$"
HOUR_MS: Final = 3_600_000


class ChangeOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    zxid = serializers.CharField()
    at_ms = serializers.IntegerField()
    operation = serializers.CharField()
    is_delete = serializers.BooleanField()
    within = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    principal = serializers.CharField(help_text="who; empty: not known")
    session = serializers.CharField()
    size = serializers.IntegerField(allow_null=True, help_text="bytes of the value")
    has_value = serializers.BooleanField(help_text="whether it is kept")
    why = serializers.CharField(help_text="why it is not kept, where it is not")
    acl = serializers.ListField(
        child=serializers.CharField(),
        help_text="that a creation or a setACL gave it, digests hidden; empty: none, or not known",
    )
    encoding = serializers.ChoiceField(choices=["text", "base64"], allow_null=True)
    value = serializers.CharField(allow_null=True)


class HistoryOut(serializers.Serializer[Any]):
    results = ChangeOut(many=True)
    cursor = serializers.CharField(allow_null=True, help_text="of the next page; null: no more")


class ChangedPathOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    times = serializers.IntegerField()
    first_at_ms = serializers.IntegerField()
    last_at_ms = serializers.IntegerField()
    last_operation = serializers.CharField()
    last_zxid = serializers.CharField()


class ChangedOut(serializers.Serializer[Any]):
    results = ChangedPathOut(many=True)
    is_all = serializers.BooleanField(help_text="false: more changed; narrow the times")


class FollowOut(serializers.Serializer[Any]):
    kind = serializers.CharField()
    node = serializers.CharField()
    behind_s = serializers.FloatField()
    looked_at = serializers.DateTimeField(allow_null=True)
    taken_at = serializers.DateTimeField(allow_null=True)
    problem = serializers.CharField(help_text="why nothing comes; empty: it does")
    problem_since = serializers.DateTimeField(allow_null=True)


class VerdictOut(serializers.Serializer[Any]):
    ensemble = serializers.CharField()
    node = serializers.CharField(help_text="empty: the plane's own trail")
    lines = serializers.IntegerField()
    missing = serializers.IntegerField()
    problems = serializers.IntegerField(help_text="0: its lines hold each other")
    first_problem = serializers.CharField()
    first_problem_seq = serializers.IntegerField(allow_null=True)
    anchor_seq = serializers.IntegerField(
        allow_null=True, help_text="confirmed by a quorum up to this line"
    )


class CollectedOut(serializers.Serializer[Any]):
    is_alive = serializers.BooleanField(help_text="whether a collector is at work")
    follows = FollowOut(many=True)


class VerdictsOut(serializers.Serializer[Any]):
    results = VerdictOut(many=True)


class HistoryQuery(PathQuery):
    limit = serializers.IntegerField(min_value=1, max_value=history.PAGE_MAX, default=50)
    cursor = serializers.CharField(required=False, default="", max_length=60)
    values = serializers.BooleanField(default=False, help_text="the values, too")


class AtQuery(PathQuery):
    """Either of the two."""

    zxid = serializers.RegexField(ZXID, required=False, max_length=18)
    at_ms = serializers.IntegerField(required=False, min_value=0, max_value=TIME_MAX * 1_000)


class ChangedQuery(Strict):
    path = PathField(default="/")
    since_ms = serializers.IntegerField(
        required=False, min_value=0, max_value=TIME_MAX * 1_000, help_text="an hour ago by default"
    )
    until_ms = serializers.IntegerField(
        required=False, min_value=0, max_value=TIME_MAX * 1_000, help_text="now by default"
    )


class Past(View):
    """Of a tenant, or of a whole ensemble where the address names one."""

    def whose(self) -> dict[str, Any]:
        if "slug" in self.kwargs:
            return {"tenant": self.tenant}
        return {"ensemble": ensemble_named(self.kwargs["name"]).name}

    @property
    def sees_closed(self) -> bool:
        tenant = self.tenant if "slug" in self.kwargs else None
        return access.sees_closed(self.request.user, tenant)


class History(Past):
    @documented("The changes of a znode, newest first", query=HistoryQuery, answer=HistoryOut)
    def get(self, request: Request, **_: str) -> Response:
        try:
            found = history.revisions(
                **self.asked(HistoryQuery), **self.whose(), sees_closed=self.sees_closed
            )
        except HistoryError as error:
            raise InvalidError(str(error)) from None
        rows = [told(change) for change in found.changes]
        return Response({"results": rows, "cursor": found.cursor or None})


class HistoryAt(Past):
    @documented("What a znode was, at a time or transaction", query=AtQuery, answer=ChangeOut)
    def get(self, request: Request, **_: str) -> Response:
        asked = self.asked(AtQuery)
        if "zxid" in asked:
            asked["zxid"] = int(asked["zxid"], 16)
        try:
            found = history.value_at(**asked, **self.whose(), sees_closed=self.sees_closed)
        except HistoryError as error:
            raise InvalidError(str(error)) from None
        if found is None:
            raise Http404(f"nothing is known of {asked['path'][:100]} at that time")
        return Response(told(found))


class HistoryChanged(Past):
    @documented("What changed at and below a path", query=ChangedQuery, answer=ChangedOut)
    def get(self, request: Request, **_: str) -> Response:
        asked = self.asked(ChangedQuery)
        until = asked.get("until_ms", int(time.time() * 1_000))
        found = history.changed(
            asked["path"],
            since_ms=asked.get("since_ms", max(0, until - HOUR_MS)),
            until_ms=until,
            **self.whose(),
        )
        rows = [
            {
                "path": one.path,
                "times": one.times,
                "first_at_ms": one.first_at,
                "last_at_ms": one.last_at,
                "last_operation": one.last_operation,
                "last_zxid": hex(one.last_zxid),
            }
            for one in found.paths
        ]
        return Response({"results": rows, "is_all": found.is_all})


class Collected(View):
    @documented("What is collected of an ensemble, and how far behind", answer=CollectedOut)
    def get(self, request: Request, name: str) -> Response:
        rows = [asdict(follow) for follow in health.follows(ensemble_named(name).name)]
        found = {"is_alive": health.collector().is_alive, "follows": rows}
        return Response(CollectedOut(found).data)


class Verdicts(View):
    @documented("Whether the journals' lines hold each other", answer=VerdictsOut)
    def get(self, request: Request) -> Response:
        return Response(VerdictsOut({"results": health.verdicts()}).data)


def told(change: Change) -> dict[str, object]:
    encoding, value = (None, None) if change.value is None else shown(change.value, "auto")
    return {
        "path": change.path,
        "zxid": hex(change.zxid),
        "at_ms": change.at,
        "operation": change.operation,
        "is_delete": change.is_delete,
        "within": change.within,
        "version": change.version,
        "principal": change.principal,
        "session": change.session,
        "size": change.size,
        "has_value": change.has_value,
        "why": change.why,
        "acl": list(change.acl),
        "encoding": encoding,
        "value": value,
    }
