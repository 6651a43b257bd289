"""Jobs: one's own, their dry runs and progress; confirmed, resumed, cancelled, undone, removed."""

from collections.abc import Callable
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from console.views.tenants.common import is_operator, page_of, person_of, query_without
from console.who import actor_of
from observability.collect import lease
from tenants import access
from tenants.actions import jobs as actions
from tenants.bulk import places
from tenants.bulk.preview import changes_something
from tenants.bulk.work import right_for
from tenants.errors import ActionError
from tenants.models import Job

TITLES: Final = {
    "duplicate": "Duplicate",
    "move": "Move",
    "delete": "Delete",
    "acl": "Change ACLs of",
    "export": "Export",
    "import": "Import below",
    "restore": "Bring back",
    "undo": "Undo at",
}


VERBS: Final = {
    "duplicate": "Duplicate",
    "move": "Move",
    "delete": "Delete",
    "acl": "Change the ACLs",
    "export": "Export",
    "import": "Import",
    "restore": "Bring it back",
    "undo": "Undo",
}


@require_GET
def jobs(request: HttpRequest) -> HttpResponse:
    """One's own; for operators everybody's, where they ask for them."""
    sees_all = is_operator(request)
    rows = Job.objects.select_related("person", "tenant")
    of_all = sees_all and request.GET.get("of") == "all"
    if not of_all:
        rows = rows.filter(person=person_of(request))
    page = page_of(request, rows)
    for row in page.object_list:
        row.title = TITLES[row.kind]
    context = {
        "page": page,
        "query": query_without(request, "page"),
        "sees_all": sees_all,
        "of_all": of_all,
    }
    response = render(request, "console/pages/jobs.html", context)
    response["Cache-Control"] = "no-store"
    return response


@require_GET
def job(request: HttpRequest, key: str) -> HttpResponse:
    return page(request, job_of(request, key))


def page(
    request: HttpRequest,
    found: Job,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    word = found.name
    if word == "/":
        word = found.tenant.slug if found.tenant is not None else found.ensemble
    held = lease.holder() if found.is_busy else None
    context = {
        "job": found,
        "title": TITLES[found.kind],
        "verb": VERBS[found.kind],
        "is_mine": found.person_id == person_of(request).pk,
        "word": word,
        "is_typed": changes_something(found.preview.get("counts", {})),
        "can_confirm": found.state == Job.State.READY
        and not found.preview.get("stops")
        and found.total > 0,
        "can_resume": actions.can_resume(found),
        "can_undo": actions.can_undo(found),
        "nobody_runs": found.is_busy and (held is None or held.until < now_ms()),
        "znode_url": znode_url(found),
        "again_url": again_url(found),
        **more,
    }
    response = render(request, "console/pages/job.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def now_ms() -> int:
    return int(timezone.now().timestamp() * 1_000)


def where_of(found: Job) -> tuple[str, dict[str, str]]:
    """The prefix of its routes, and their arguments."""
    if found.tenant is not None:
        return "tenant-", {"slug": found.tenant.slug}
    if found.where == Job.Where.ENSEMBLE:
        return "ensemble-", {"ensemble": found.ensemble}
    return "", {}


def znode_url(found: Job) -> str:
    prefix, args = where_of(found)
    path = str(found.parameters.get("to", found.path))
    return reverse(f"{prefix}znode", kwargs=args | {"name": path[1:]})


def again_url(found: Job) -> str:
    """The form that made it; none of what undoes another."""
    names = {"delete": "delete-tree", "acl": "acl-tree"}
    if found.kind == Job.Kind.UNDO:
        return ""
    prefix, args = where_of(found)
    return reverse(f"{prefix}znode-{names.get(found.kind, found.kind)}", kwargs=args)


def job_of(request: HttpRequest, key: str, *, own: bool = False) -> Job:
    """One's own job, as long as one may do such a thing; operators see everybody's.

    Raises:
        Http404: there is none that this person may know of.
    """
    rows = Job.objects.select_related("person", "tenant__ensemble", "token")
    found = rows.filter(key=key[:40]).first()
    person = person_of(request)
    if found is None:
        raise Http404("there is no such job; jobs are kept for a while only")
    if found.person_id != person.pk:
        if own or not is_operator(request):
            raise Http404("there is no such job; jobs are kept for a while only")
        return found
    if found.tenant is not None:
        access.tenant_for(person, found.tenant.slug, right_for(found))
    elif access.standing_of(person) < access.Standing.AUDITOR:
        raise PermissionDenied("The whole tree is for operators and auditors.")
    return found


def done(
    request: HttpRequest, key: str, action: Callable[[Job], Job | None], said: str
) -> HttpResponse:
    """Do something with one's own job; what is refused stands on its page."""
    found = job_of(request, key, own=True)
    try:
        made = action(found)
    except ActionError as error:
        found.refresh_from_db()
        return page(request, found, 422, problem=str(error))
    if said:
        messages.success(request, said)
    return redirect("job", key=(made or found).key)


@require_POST
def confirm(request: HttpRequest, key: str) -> HttpResponse:
    """Have it done; its name was typed once more where something would change or go."""
    found = job_of(request, key, own=True)
    word = found.name
    if word == "/":
        word = found.tenant.slug if found.tenant is not None else found.ensemble
    is_typed = changes_something(found.preview.get("counts", {}))
    if is_typed and request.POST.get("confirm", "") != word:
        return page(request, found, 422, problem=f"Type {word} to confirm that it is meant.")
    return done(request, key, lambda one: actions.confirm(actor_of(request), job=one), "")


@require_POST
def resume(request: HttpRequest, key: str) -> HttpResponse:
    return done(request, key, lambda one: actions.resume(actor_of(request), job=one), "")


@require_POST
def cancel(request: HttpRequest, key: str) -> HttpResponse:
    return done(request, key, lambda one: actions.cancel(actor_of(request), job=one), "")


@require_POST
def undo(request: HttpRequest, key: str) -> HttpResponse:
    return done(request, key, lambda one: actions.undo(actor_of(request), job=one), "")


@require_POST
def remove(request: HttpRequest, key: str) -> HttpResponse:
    found = job_of(request, key, own=True)
    try:
        actions.remove(actor_of(request), job=found)
    except ActionError as error:
        return page(request, found, 422, problem=str(error))
    messages.success(request, "The job is removed, with its files.")
    return redirect("jobs")


@require_GET
def download(request: HttpRequest, key: str) -> StreamingHttpResponse:
    """The file of an export, for who has made it alone."""
    response = places.download(job_of(request, key, own=True))
    if response is None:
        raise Http404("the file is not there any more: export it anew")
    return response
