"""The first page of operators and auditors: is everything well, and if not, what to do?"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from console.access import PERSONS_HOME, standing_in
from console.health import ask_all, readable
from console.overview import EnsembleRow, Overview, last
from console.zk import bridge
from observability.alerts.read import Shown, firing
from tenants.access import Standing
from tenants.models import Ensemble

SHOWN = [
    ("Zxid", "Zxid"),
    ("zk_avg_latency", "Average latency, ms"),
    ("zk_max_latency", "Maximum latency, ms"),
    ("zk_outstanding_requests", "Outstanding requests"),
    ("zk_num_alive_connections", "Connections"),
    ("zk_global_sessions", "Sessions"),
    ("zk_znode_count", "Znodes"),
    ("zk_ephemerals_count", "Ephemerals"),
    ("zk_watch_count", "Watches"),
    ("zk_approximate_data_size", "Data, bytes"),
    ("zk_open_file_descriptor_count", "Open files"),
    ("zk_version", "Version"),
]


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    if standing_in(request) < Standing.AUDITOR:
        return redirect(PERSONS_HOME)
    if not Ensemble.objects.exists():
        return by_words(request)
    found = last.get()
    rows = with_alerts(request, found)
    return render(
        request,
        "console/pages/overview.html",
        {"overview": found, "rows": rows, "alerts_count": sum(len(alerts) for _, alerts in rows)},
    )


def with_alerts(request: HttpRequest, found: Overview) -> list[tuple[EnsembleRow, list[Shown]]]:
    """Each ensemble with its alerts that fire and that nobody sees to yet."""
    by_ensemble: dict[str, list[Shown]] = {}
    for one in firing(request.user):
        if not one.is_quiet:
            by_ensemble.setdefault(one.alert.ensemble, []).append(one)
    return [(row, by_ensemble.get(row.ensemble.name, [])) for row in found.rows]


def by_words(request: HttpRequest) -> HttpResponse:
    """Where no ensemble is registered: what the servers that the console knows say themselves."""
    zookeeper = bridge()
    nodes = [
        {
            "host": node.host,
            "problem": node.problem,
            "mode": node.mode,
            "rows": [
                (label, readable(node.numbers[key])) for key, label in SHOWN if key in node.numbers
            ],
        }
        for node in ask_all(zookeeper, zookeeper.hosts)
    ]
    context = {"nodes": nodes, "well": all(not node["problem"] for node in nodes)}
    return render(request, "console/pages/overview-words.html", context)
