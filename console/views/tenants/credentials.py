"""How applications get in: credentials, their secrets (shown once), their certificates."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from console.forms.tenants import ConfirmForm, CredentialForm, RotateForm, SubjectsForm
from console.views.tenants.common import access_to, tenant_page
from console.views.tenants.snippets import shown_once
from console.who import actor_of
from tenants.access import tenant_for
from tenants.actions import credentials as actions
from tenants.models import Credential, CredentialRole, Tenant


@require_GET
def credentials(request: HttpRequest, slug: str) -> HttpResponse:
    return page(request, tenant_for(request.user, slug, "credential.read"))


@require_POST
@never_cache
def create(request: HttpRequest, slug: str) -> HttpResponse:
    """A further way in; the answer shows its secret, this once."""
    tenant = tenant_for(request.user, slug, "credential.change")
    form = CredentialForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data
        check_role(request, tenant, values["role"])
        days = int(values["expires"] or 0)
        with form.refusals(expires_at="expires"):
            secret = actions.create(
                actor_of(request),
                tenant=tenant,
                name=values["name"],
                role=values["role"],
                subjects=tuple(values["subjects"]),
                sasl=values["sasl"],
                expires_at=timezone.now() + timedelta(days=days) if days else None,
            )
            return tenant_page(request, tenant, "secret", shown_once(tenant, secret))
    return page(request, tenant, form.status, new=form)


@require_POST
@never_cache
def rotate(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """A new secret; the old one is valid for a while more."""
    tenant = tenant_for(request.user, slug, "credential.change")
    credential = one_of(request, tenant, name)
    form = RotateForm(request.POST, auto_id=f"{name}-%s")
    if form.is_valid():
        overlap = timedelta(hours=int(form.cleaned_data["overlap"]))
        with form.refusals():
            secret = actions.rotate(actor_of(request), credential=credential, overlap=overlap)
            context = {**shown_once(tenant, secret), "overlap": overlap}
            return tenant_page(request, tenant, "secret", context)
    return page(request, tenant, form.status, at=name, rotate=form)


@require_POST
def revoke(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Its sessions end within a second."""
    tenant = tenant_for(request.user, slug, "credential.change")
    credential = one_of(request, tenant, name)
    form = ConfirmForm(request.POST, name=name, auto_id=f"{name}-%s")
    if form.is_valid():
        with form.refusals():
            actions.revoke(actor_of(request), credential=credential)
            messages.success(request, f"{name} is revoked: its sessions end.")
            return redirect("tenant-credentials", slug=slug)
    return page(request, tenant, form.status, at=name, revoke=form)


@require_POST
def subjects(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """The certificates that come in as this credential."""
    tenant = tenant_for(request.user, slug, "credential.change")
    credential = one_of(request, tenant, name)
    form = SubjectsForm(request.POST, auto_id=f"{name}-%s")
    if form.is_valid():
        with form.refusals():
            actions.set_subjects(
                actor_of(request), credential=credential, subjects=form.cleaned_data["subjects"]
            )
            messages.success(request, f"The certificates of {name} are changed.")
            return redirect("tenant-credentials", slug=slug)
    return page(request, tenant, form.status, at=name, subjects=form)


def one_of(request: HttpRequest, tenant: Tenant, name: str) -> Credential:
    """The credential that is not revoked, for somebody who may change its kind."""
    found = Credential.objects.filter(tenant=tenant, name=name, revoked_at=None).first()
    if found is None:
        raise Http404(f"{tenant.slug} has no credential {name[:70]}")
    check_role(request, tenant, found.role)
    return found


def check_role(request: HttpRequest, tenant: Tenant, role: str) -> None:
    """Credentials of role admin are for owners."""
    if role == CredentialRole.ADMIN and not access_to(request, "credential.admin", tenant):
        raise PermissionDenied("Credentials of role admin are for owners. Ask one of them.")


def page(
    request: HttpRequest, tenant: Tenant, status: int = 200, at: str = "", **forms: Any
) -> HttpResponse:
    """The list. `at`: the credential whose form is shown again."""
    kept = Credential.objects.filter(tenant=tenant, revoked_at=None).prefetch_related("secrets")
    now = timezone.now()
    rows = []
    for credential in kept:
        secrets = [s for s in credential.secrets.all() if s.until is None or s.until > now]
        mine = forms if credential.name == at else {}
        may_change = access_to(request, "credential.change", tenant) and (
            credential.role != CredentialRole.ADMIN
            or access_to(request, "credential.admin", tenant)
        )
        ids = f"{credential.name}-%s"
        listed = "\n".join(credential.subjects)
        rows.append(
            {
                "credential": credential,
                "secrets": secrets,
                "may_change": may_change,
                "rotate": mine.get("rotate", RotateForm(auto_id=ids)),
                "revoke": mine.get("revoke", ConfirmForm(name=credential.name, auto_id=ids)),
                "subjects": mine.get(
                    "subjects", SubjectsForm(initial={"subjects": listed}, auto_id=ids)
                ),
                "open": credential.name == at,
            }
        )
    new = forms.get("new", CredentialForm())
    if not access_to(request, "credential.admin", tenant):
        new.fields["role"].choices = [
            choice for choice in CredentialRole.choices if choice[0] != CredentialRole.ADMIN
        ]
    return tenant_page(request, tenant, "credentials", {"rows": rows, "new": new}, status)
