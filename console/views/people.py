"""People and their accounts: auditors look, operators change. Passwords are shown once."""

from typing import Final

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django import forms
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.who import actor_of
from tenants.access import AUDITORS
from tenants.actions import people as actions
from tenants.errors import ActionError

PAGE: Final = 100
SEARCH_MAX: Final = 150


class NewPerson(forms.Form):
    username = forms.CharField(max_length=150, label="Name")
    email = forms.EmailField(required=False, label="Email")
    standing = forms.ChoiceField(
        choices=[
            ("person", "person: sees the tenants they belong to"),
            ("auditor", "auditor: reads everything"),
            ("operator", "operator: reads and changes everything"),
        ],
        initial="person",
        label="Standing",
    )
    single_sign_on = forms.BooleanField(
        required=False,
        label="By single sign-on",
        help_text="no password: the first sign-on with this email address takes the account over",
    )


class ChangedPerson(forms.Form):
    email = forms.EmailField(required=False, label="Email")
    operator = forms.BooleanField(required=False, label="Operator: reads and changes everything")
    auditor = forms.BooleanField(required=False, label="Auditor: reads everything")


@require_GET
def people(request: HttpRequest) -> HttpResponse:
    """Everybody, by name; `q` is part of a name or address."""
    wanted = request.GET.get("q", "").replace("\0", "")[:SEARCH_MAX]
    rows = User.objects.annotate(
        tenants=Count("memberships", distinct=True),
        is_auditor=Count("groups", filter=Q(groups__name=AUDITORS), distinct=True),
        has_mfa=Count(
            "authenticator", filter=Q(authenticator__type=Authenticator.Type.TOTP), distinct=True
        ),
        has_sso=Count("socialaccount", distinct=True),
    ).order_by("username")
    if wanted:
        rows = rows.filter(Q(username__icontains=wanted) | Q(email__icontains=wanted))
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    return render(request, "console/pages/people.html", {"page": page, "q": wanted})


@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    form = NewPerson(request.POST or None)
    if request.method == "GET":
        return render(request, "console/pages/person_new.html", {"form": NewPerson()})
    if form.is_valid():
        values = form.cleaned_data
        try:
            user, password = actions.create(
                actor_of(request),
                username=values["username"],
                email=values["email"],
                operator=values["standing"] == "operator",
                auditor=values["standing"] == "auditor",
                single_sign_on=values["single_sign_on"],
            )
        except ActionError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            return shown_once(request, user, password, "made")
    return render(request, "console/pages/person_new.html", {"form": form}, status=422)


@require_GET
def person(request: HttpRequest, pk: int) -> HttpResponse:
    return page_of(request, get_object_or_404(User, pk=pk))


@require_POST
def change(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    form = ChangedPerson(request.POST)
    if form.is_valid():
        try:
            actions.change(actor_of(request), user=user, **form.cleaned_data)
        except ActionError as error:
            form.add_error(error.field if error.field in form.fields else None, str(error))
        else:
            return redirect("person", pk=pk)
    return page_of(request, user, form, status=422)


@require_POST
def password(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    try:
        made = actions.set_password(actor_of(request), user=user)
    except ActionError as error:
        return page_of(request, user, problem=str(error), status=error.status)
    return shown_once(request, user, made, "given a new password")


@require_POST
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    try:
        actions.deactivate(actor_of(request), user=user)
    except ActionError as error:
        return page_of(request, user, problem=str(error), status=error.status)
    return redirect("person", pk=pk)


@require_POST
def activate(request: HttpRequest, pk: int) -> HttpResponse:
    user = get_object_or_404(User, pk=pk)
    made = actions.activate(actor_of(request), user=user)
    return shown_once(request, user, made, "switched on") if made else redirect("person", pk=pk)


@require_POST
def reset_mfa(request: HttpRequest, pk: int) -> HttpResponse:
    actions.reset_mfa(actor_of(request), user=get_object_or_404(User, pk=pk))
    return redirect("person", pk=pk)


def page_of(
    request: HttpRequest,
    user: User,
    form: ChangedPerson | None = None,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    is_auditor = actions.is_auditor(user)
    first = {"email": user.email, "operator": user.is_staff, "auditor": is_auditor}
    context = {
        "person": user,
        "form": form or ChangedPerson(first),
        "is_auditor": is_auditor,
        "factors": Authenticator.objects.filter(user=user).order_by("type"),
        "sign_ons": SocialAccount.objects.filter(user=user),
        "memberships": user.memberships.select_related("tenant").order_by("tenant__slug"),
        "problem": problem,
    }
    return render(request, "console/pages/person.html", context, status=status)


def shown_once(request: HttpRequest, user: User, password: str, what: str) -> HttpResponse:
    """The only page that ever holds this password: nothing keeps it."""
    context = {"person": user, "password": password, "what": what}
    response = render(request, "console/pages/person_secret.html", context)
    response["Cache-Control"] = "no-store"
    return response
