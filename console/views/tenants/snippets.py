"""A credential, shown once: programs that use it, and a try from here whether it works."""

import asyncio
import threading
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from console.forms.tenants import TryForm
from console.programs import VARIABLE, programs
from console.views.tenants.common import tenant_page
from ensemble.admin.provision import NewSecret
from ensemble.client import AuthFailedError, Client, ClientError
from tenants.access import tenant_for
from tenants.models import Credential, Tenant

CONNECT_WITHIN_S: Final = 5.0
TRIES_MAX: Final = 2  # at a time, in one process
_tries: Final = threading.BoundedSemaphore(TRIES_MAX)


def shown_once(tenant: Tenant, secret: NewSecret) -> dict[str, Any]:
    """What the page of a new secret shows."""
    return shown(tenant, secret.name, secret.token)


def shown(tenant: Tenant, name: str, token: str) -> dict[str, Any]:
    hosts = tenant.ensemble.hosts
    user, secret = f"{name}@{tenant.slug}", token.partition(":")[2]
    sasl = Credential.objects.filter(tenant=tenant, name=name, revoked_at=None, sasl=True).exists()
    return {
        "credential": name,
        "token": token,
        "sasl": sasl,
        "sasl_user": user,
        "secret": secret,
        "hosts": hosts,
        "variable": VARIABLE,
        "programs": programs(hosts, user, secret, sasl=sasl),
    }


@require_POST
@never_cache
def try_it(request: HttpRequest, slug: str) -> HttpResponse:
    """Connect with the credential that the page still shows. It is kept nowhere."""
    tenant = tenant_for(request.user, slug, "credential.read")
    form = TryForm(request.POST)
    if not form.is_valid() or not form.cleaned_data["token"].startswith(f"{slug}:"):
        outcome: dict[str, Any] = {"problem": "This is no credential of this tenant."}
        return render(request, "console/parts/tried.html", outcome, status=422)
    token = form.cleaned_data["token"]
    outcome = tried(tenant.ensemble.hosts, token)
    if "HX-Request" in request.headers:
        return render(request, "console/parts/tried.html", outcome)
    context = {**shown(tenant, form.cleaned_data["name"], token), **outcome, "tried": True}
    return tenant_page(request, tenant, "secret", context)


def tried(hosts: str, token: str) -> dict[str, Any]:
    """One try, unless too many are under way: each may hold a thread for a while."""
    if not _tries.acquire(blocking=False):
        return {"problem": f"{TRIES_MAX} other tries are under way: press again in a moment."}
    try:
        return asyncio.run(connect(hosts, token))
    finally:
        _tries.release()


async def connect(hosts: str, token: str) -> dict[str, Any]:
    """What a client meets that signs in so."""
    client = Client(hosts, auth=[("tenant", token.encode())])
    try:
        await client.connect(CONNECT_WITHIN_S)
        async with asyncio.timeout(CONNECT_WITHIN_S):
            names = await client.children("/")
    except AuthFailedError:
        problem = (
            "The ensemble does not take this credential. Where the change is still on its way, "
            "wait a moment and try again; else rotate it."
        )
        return {"problem": problem}
    except (ClientError, TimeoutError) as error:
        return {"problem": f"No connection to {hosts}: {error or 'no answer in time'}."}
    finally:
        await client.close()
    return {"sees": sorted(names)[:10], "count": len(names), "host": hosts}
