"""Who belongs to a tenant, and whom it has invited."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.forms.base import PlaneForm
from console.forms.tenants import InviteForm, MemberForm, RoleForm
from console.views.tenants.common import tenant_page
from console.who import actor_of
from tenants.access import tenant_for
from tenants.actions import members as actions
from tenants.models import Invitation, Membership, Tenant


@require_GET
def members(request: HttpRequest, slug: str) -> HttpResponse:
    return page(request, tenant_for(request.user, slug, "member.read"))


@require_POST
def add(request: HttpRequest, slug: str) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "member.change")
    form = MemberForm(request.POST, auto_id="add-%s")
    if form.is_valid():
        name, role = form.cleaned_data["username"], form.cleaned_data["role"]
        user = User.objects.filter(username=name, is_active=True).first()
        if user is None:
            form.add_error("username", "There is no such account. Invite the person by a link.")
        else:
            with form.refusals(user="username"):
                actions.add(actor_of(request), tenant=tenant, user=user, role=role)
                messages.success(request, f"{name} is a member.")
                return redirect("tenant-members", slug=slug)
    return page(request, tenant, form.status, add=form)


@require_POST
def set_role(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "member.change")
    membership = one_of(tenant, pk)
    form = RoleForm(request.POST)
    if form.is_valid():
        with form.refusals():
            actions.set_role(
                actor_of(request), membership=membership, role=form.cleaned_data["role"]
            )
            messages.success(request, f"The role of {membership.user} is changed.")
            return redirect("tenant-members", slug=slug)
    return page(request, tenant, form.status, problem=form.problem)


@require_POST
def remove(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "member.change")
    membership = one_of(tenant, pk)
    form = PlaneForm(request.POST)
    if form.is_valid():
        with form.refusals():
            actions.remove(actor_of(request), membership=membership)
            messages.success(request, f"{membership.user} is no member any more.")
            return redirect("tenants" if membership.user == request.user else here(slug))
    return page(request, tenant, form.status, problem=form.problem)


@require_POST
@never_cache
def invite(request: HttpRequest, slug: str) -> HttpResponse:
    """A link that makes whoever opens it a member; the answer shows it, this once."""
    tenant = tenant_for(request.user, slug, "member.change")
    form = InviteForm(request.POST, auto_id="invite-%s")
    if form.is_valid():
        with form.refusals(expires_at="days"):
            invitation, secret = actions.invite(
                actor_of(request), tenant=tenant, **form.cleaned_data
            )
            link = request.build_absolute_uri(reverse("invitation", kwargs={"secret": secret}))
            return page(request, tenant, link=link, invitation=invitation)
    return page(request, tenant, form.status, invite=form)


@require_POST
def revoke(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    tenant = tenant_for(request.user, slug, "member.change")
    invitation = Invitation.objects.filter(tenant=tenant, pk=pk).first()
    if invitation is None:
        raise Http404(f"{slug} has no invitation {pk}")
    form = PlaneForm(request.POST)
    if form.is_valid():
        with form.refusals():
            actions.revoke_invitation(actor_of(request), invitation=invitation)
            messages.success(request, "The invitation is void.")
            return redirect("tenant-members", slug=slug)
    return page(request, tenant, form.status, problem=form.problem)


@require_http_methods(["GET", "POST"])
@never_cache
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Whoever has the link becomes a member, by a button: links are opened by others, too."""
    form = PlaneForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        with form.refusals():
            membership = actions.accept(actor_of(request), secret=secret)
            messages.success(request, "You are a member now.")
            return redirect("tenant", slug=membership.tenant.slug)
    status = form.status if form.refused else 200
    response = render(
        request, "console/pages/tenants/invitation.html", {"form": form}, status=status
    )
    response["Referrer-Policy"] = "no-referrer"  # the address is the secret
    return response


def one_of(tenant: Tenant, pk: int) -> Membership:
    found = Membership.objects.filter(tenant=tenant, pk=pk).select_related("user", "tenant").first()
    if found is None:
        raise Http404(f"{tenant.slug} has no member {pk}")
    return found


def here(slug: str) -> str:
    return reverse("tenant-members", kwargs={"slug": slug})


def page(request: HttpRequest, tenant: Tenant, status: int = 200, **parts: Any) -> HttpResponse:
    kept = Membership.objects.filter(tenant=tenant).select_related("user")
    invitations = Invitation.objects.filter(
        tenant=tenant, used_at=None, revoked_at=None, expires_at__gt=timezone.now()
    ).select_related("made_by")
    context = {
        "members": [
            (m, RoleForm(initial={"role": m.role}, auto_id=f"role-{m.pk}-%s")) for m in kept
        ],
        "invitations": invitations,
        "add": MemberForm(auto_id="add-%s"),
        "invite": InviteForm(auto_id="invite-%s"),
        **parts,
    }
    return tenant_page(request, tenant, "members", context, status)
