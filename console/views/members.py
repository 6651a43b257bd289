"""The ensemble's members: who is there, what each does; an observer more or less.

Only an `ensemble up` can start and stop servers. Elsewhere the page shows what the servers that the
console knows say of themselves.
"""

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from console import actions
from console.access import standing_in
from console.health import NodeHealth, ask_all, readable
from console.http import RequestError, number_of
from console.zk import bridge
from ensemble.up import control
from ensemble.up.control import NodeReport
from ensemble.up.errors import NotRunningError, RefusedError
from tenants.access import Standing

ID_MAX = 255
PROCESS_WORDS = {"runs": "", "waits": "is started again soon", "ended": "is not started again"}


@dataclass(frozen=True)
class MemberRow:
    """A line of the page. `id` is 0 where only an address is known."""

    id: int
    name: str
    address: str
    mode: str
    problem: str
    zxid: str
    clients: str
    latency: str
    version: str
    restarts: int
    removable: bool


@require_GET
def members(request: HttpRequest) -> HttpResponse:
    return page(request)


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    """Start a further observer."""
    try:
        actions.add_observer(up_folder(), request.user.get_username())
    except NotRunningError as error:
        return page(request, f"Not added: {error}.", 503)
    except RefusedError as error:
        return page(request, f"Not added: {error}.", 409)
    return redirect("members")


@require_POST
def remove(request: HttpRequest) -> HttpResponse:
    """Stop an observer for good."""
    try:
        id = number_of(request.POST.dict(), "id", None, 1, ID_MAX)
        actions.remove_observer(up_folder(), request.user.get_username(), id)
    except RequestError as error:
        return page(request, str(error), 400)
    except NotRunningError as error:
        return page(request, f"Not removed: {error}.", 503)
    except RefusedError as error:
        return page(request, f"Not removed: {error}.", 409)
    return redirect("members")


def up_folder() -> Path:
    """Where the `ensemble up` works that has started this console.

    Raises:
        NotRunningError: none has.
    """
    if not settings.ENSEMBLE_UP:
        raise NotRunningError("this console was not started by `ensemble up`")
    return Path(settings.ENSEMBLE_UP)


def page(request: HttpRequest, problem: str = "", status: int = 200) -> HttpResponse:
    zookeeper = bridge()
    try:
        reports = control.list_nodes(up_folder())
        hint = ""
    except (NotRunningError, RefusedError) as error:
        reports, hint = [], str(error)
    if reports:
        hosts = ",".join(report.address for report in reports)
        answers = ask_all(zookeeper, hosts)
        rows = [of_report(r, a) for r, a in zip(reports, answers, strict=True)]
    else:
        rows = [of_health(answer) for answer in ask_all(zookeeper, zookeeper.hosts)]
    context = {
        "rows": rows,
        "title": title(rows),
        "problem": problem,
        "hint": hint,
        "may_change": bool(reports) and standing_in(request) >= Standing.OPERATOR,
    }
    return render(request, "console/pages/members.html", context, status=status)


def title(rows: list[MemberRow]) -> str:
    serving = sum(not row.problem for row in rows)
    leaders = [row.name for row in rows if row.mode == "leader"]
    if len(rows) > 1 and not leaders:
        return "No leader: writes wait"
    if serving < len(rows):
        return f"{serving} of {len(rows)} servers serve"
    return f"All {len(rows)} servers serve" if len(rows) > 1 else "The server serves"


def of_report(report: NodeReport, answer: NodeHealth) -> MemberRow:
    row = of_health(answer)
    problem = row.problem
    if problem and PROCESS_WORDS.get(report.state):
        problem = f"ended, {PROCESS_WORDS[report.state]}"
    return MemberRow(
        **{
            **row.__dict__,
            "id": report.id,
            "name": f"node{report.id}",
            "problem": problem,
            "restarts": max(0, report.starts - 1),
            "removable": report.role == "observer",
        }
    )


def of_health(answer: NodeHealth) -> MemberRow:
    said = answer.numbers
    return MemberRow(
        id=0,
        name=answer.host,
        address=answer.host,
        mode=answer.mode,
        problem=answer.problem,
        zxid=said.get("Zxid", ""),
        clients=answer.clients,
        latency=said.get("zk_avg_latency", ""),
        version=readable(said.get("zk_version", "")),
        restarts=0,
        removable=False,
    )
