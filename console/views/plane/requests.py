"""Wishes: an operator's inbox, and what became of one's own."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from console.forms.base import PlaneForm
from console.forms.operators import AnswerForm
from console.views.tenants.common import page_of, query_without
from console.who import actor_of
from tenants import access
from tenants.actions import requests as actions
from tenants.models import Request


@require_GET
def requests(request: HttpRequest) -> HttpResponse:
    return page(request)


@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    asked = pending(pk)
    form = AnswerForm(request.POST)
    if form.is_valid():
        with form.refusals():
            answer = form.cleaned_data["answer"]
            tenant = actions.approve(actor_of(request), request=asked, answer=answer)
            messages.success(request, f"{tenant.slug}: approved.")
            return redirect("requests")
    return page(request, form.status, pk, form)


@require_POST
def reject(request: HttpRequest, pk: int) -> HttpResponse:
    asked = pending(pk)
    form = AnswerForm(request.POST)
    if form.is_valid():
        with form.refusals():
            answer = form.cleaned_data["answer"]
            actions.reject(actor_of(request), request=asked, answer=answer)
            messages.success(request, f"{asked.slug}: rejected.")
            return redirect("requests")
    return page(request, form.status, pk, form)


@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    asked = Request.objects.filter(pk=pk, asked_by_id=request.user.pk).first()
    if asked is None:
        raise Http404(f"you have no request {pk}")
    form = PlaneForm(request.POST)
    if form.is_valid():
        with form.refusals():
            actions.withdraw(actor_of(request), request=asked)
            messages.success(request, f"Your request for {asked.slug} is withdrawn.")
            return redirect("requests")
    return page(request, form.status, pk, form)


def pending(pk: int) -> Request:
    found = Request.objects.select_related("plan", "ensemble", "asked_by").filter(pk=pk).first()
    if found is None:
        raise Http404(f"there is no request {pk}")
    return found


def page(
    request: HttpRequest, status: int = 200, at: int = 0, refused: PlaneForm | None = None
) -> HttpResponse:
    """Those that wait first; `at`, `refused`: the one whose form is shown again."""
    standing = access.standing_of(request.user)
    found = Request.objects.select_related("plan", "ensemble", "asked_by", "decided_by", "tenant")
    if standing < access.Standing.AUDITOR:
        found = found.filter(asked_by_id=request.user.pk)
    waiting = found.filter(status=Request.Status.PENDING).order_by("asked_at")[:100]
    rows = [
        (asked, refused if asked.pk == at and refused is not None else AnswerForm(auto_id=False))
        for asked in waiting
    ]
    done = page_of(request, found.exclude(status=Request.Status.PENDING), 25)
    context = {
        "waiting": rows,
        "page": done,
        "query": query_without(request, "page"),
        "may_decide": standing is access.Standing.OPERATOR,
    }
    return render(request, "console/pages/requests.html", context, status=status)
