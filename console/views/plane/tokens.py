"""One's own tokens for the REST API: made once, shown once."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from console.forms.base import PlaneForm
from console.forms.operators import TokenForm
from console.views.tenants.common import person_of
from console.who import actor_of
from tenants import access
from tenants.actions import tokens as actions
from tenants.models import ApiToken, MemberRole, Tenant


@require_http_methods(["GET", "POST"])
@never_cache
def tokens(request: HttpRequest) -> HttpResponse:
    form = form_of(request, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        with form.refusals(expires_at="days"):
            token, text = actions.make(
                actor_of(request),
                user=person_of(request),
                name=values["name"],
                tenant=values["tenant"],
                role=MemberRole(values["role"]),
                as_operator=values.get("as_operator", False),
                expires_at=timezone.now() + timedelta(days=values["days"]),
            )
            return page(request, form_of(request, None), made=token, text=text)
    return page(request, form, form.status if form.refused else 200)


@require_POST
def revoke(request: HttpRequest, prefix: str) -> HttpResponse:
    found = ApiToken.objects.filter(user=person_of(request), prefix=prefix).first()
    if found is None:
        raise Http404(f"you have no token {prefix[:20]}")
    form = PlaneForm(request.POST)
    if form.is_valid():
        with form.refusals():
            actions.revoke(actor_of(request), token=found)
            messages.success(request, f"{found.name} is void.")
            return redirect("tokens")
    return page(request, form_of(request, None), form.status, refused=form)


def form_of(request: HttpRequest, data: Any) -> TokenForm:
    return TokenForm(
        data,
        tenants=Tenant.objects.member_of(request.user).alive(),
        may_operate=access.standing_of(request.user) >= access.Standing.AUDITOR,
    )


def page(request: HttpRequest, form: TokenForm, status: int = 200, **more: Any) -> HttpResponse:
    own = ApiToken.objects.filter(user=person_of(request), revoked_at=None)
    kept = own.select_related("tenant")
    context = {"form": form, "tokens": kept, "now": timezone.now(), **more}
    return render(request, "console/pages/tokens.html", context, status=status)
