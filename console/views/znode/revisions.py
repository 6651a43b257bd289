"""What a znode was, for the drawer in its page: who changed it when, and each value."""

from typing import Any, Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from console import formats
from console.http import RequestError, answering, number_of, path_of
from console.views.znode.changes import ZXID_MAX
from observability import history
from observability.history import Change, HistoryError
from observability.trail import where_from
from tenants import access
from tenants.models import Tenant

REVISIONS_A_PAGE: Final = 30


@require_GET
@answering
def revisions(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """A page of the changes of one znode, newest first, without their values."""
    values = request.GET.dict()
    place = place_of(request, slug, ensemble)
    try:
        found = history.revisions(
            path_of(values),
            limit=REVISIONS_A_PAGE,
            cursor=values.get("cursor", ""),
            **place,
            sees_closed=access.sees_closed(request.user, place.get("tenant")),
        )
    except HistoryError as error:
        raise RequestError(f"{error}.") from None
    zxids = [change.zxid for change in found.changes]
    addresses = where_from(name_of(place), zxids, place.get("tenant"))
    rows = [row_of(change, addresses.get(change.zxid, "")) for change in found.changes]
    return JsonResponse({"rows": rows, "cursor": found.cursor})


@require_GET
@answering
def revision(request: HttpRequest, slug: str = "", ensemble: str = "") -> HttpResponse:
    """The value that a znode had from a transaction on."""
    values = request.GET.dict()
    place = place_of(request, slug, ensemble)
    zxid = number_of(values, "zxid", None, 0, ZXID_MAX)
    try:
        sight = access.sees_closed(request.user, place.get("tenant"))
        found = history.value_at(path_of(values), zxid=zxid, **place, sees_closed=sight)
    except HistoryError as error:
        raise RequestError(f"{error}.") from None
    if found is None:
        raise Http404("nothing is known of that time")
    row = row_of(found, "")
    if found.value is not None:
        shown = formats.show(found.value[: formats.SHOWN_BYTES_MAX], values.get("format", ""))
        row |= {"text": shown.text, "format": shown.format}
    return JsonResponse(row)


def place_of(request: HttpRequest, slug: str, ensemble: str) -> dict[str, Any]:
    """The tree, as the history's functions name it; no node is asked for it."""
    if slug:
        return {"tenant": access.tenant_for(request.user, slug, "tenant.history")}
    access.require(request.user, "tree.read")
    return {
        "ensemble": access.ensemble_named(ensemble).name if ensemble else settings.MAIN_ENSEMBLE
    }


def name_of(place: dict[str, Any]) -> str:
    tenant = place.get("tenant")
    return tenant.ensemble.name if isinstance(tenant, Tenant) else str(place["ensemble"])


def row_of(change: Change, address: str) -> dict[str, Any]:
    return {
        "zxid": f"{change.zxid:#x}",
        "at": change.at,
        "operation": change.operation,
        "version": change.version,
        "who": change.principal,
        "from": address,
        "session": change.session,
        "bytes": change.size,
        "has_value": change.has_value,
        "is_delete": change.is_delete,
        "why": history.words(change.why),
        "acl": list(change.acl),
    }
