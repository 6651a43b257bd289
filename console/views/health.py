"""For who supervises the plane: does it answer, is it ready, and its figures."""

import hmac
import logging
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connections
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from console.health import ask_all
from console.plane_metrics import collector_up, exposition
from console.zk import bridge
from tenants.reach import BusyError

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger("console.health")


@require_GET
def health(request: HttpRequest) -> HttpResponse:
    """The process answers; nothing more is said."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_GET
def ready(request: HttpRequest) -> HttpResponse:
    """503 while this process cannot serve pages: its databases do not answer.

    An ensemble or a collector that is down is said, and is no reason to take the pages away with
    which people would look for it.
    """
    databases = "ok"
    for alias in {"default", settings.OBSERVED_DATABASE}:
        try:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT count(*) FROM django_migrations")
        except DatabaseError as error:
            log.warning("database %s: %s", alias, error)
            databases = "do not answer"
    said = {"ready": databases == "ok", "databases": databases}
    if databases == "ok":
        said |= {"ensemble": ensemble_word(), "collector": "ok" if collector_up() else "none"}
    response = JsonResponse(said, status=200 if said["ready"] else 503)
    response["Cache-Control"] = "no-store"
    return response


def ensemble_word() -> str:
    """How the ensemble `main` does; answers of a second ago are good enough."""
    try:
        zookeeper = bridge()
        serving = [not node.problem for node in ask_all(zookeeper, zookeeper.hosts)]
    except (BusyError, TimeoutError):
        return "unknown"
    if all(serving):
        return "ok"
    return "degraded" if any(serving) else "does not answer"


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """The plane's figures, for who has the token; closed where no file of one is named."""
    if not settings.METRICS_TOKEN_FILE:
        raise Http404("no token for metrics is set: ENSEMBLE_METRICS_TOKEN_FILE")
    try:
        token = Path(settings.METRICS_TOKEN_FILE).read_text().strip()
    except OSError as error:
        log.warning("ENSEMBLE_METRICS_TOKEN_FILE: %s", error)
        token = ""
    given = request.headers.get("Authorization", "")
    if not token or not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        response = HttpResponse("a bearer token is needed\n", status=401, content_type="text/plain")
        response["WWW-Authenticate"] = "Bearer"
        return response
    return HttpResponse(exposition(), content_type=CONTENT_TYPE)
