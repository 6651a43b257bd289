"""The pages of the admin plane and what each needs; `access.ROUTES` takes them in.

A right of `tenants.access.RIGHTS` is checked in the tenant that the address names: a stranger gets
the same 404 whether it exists or not. Where a page's parts need different rights, the view asks.
"""

from typing import Final

from console.routes_alerts import ALERT_ROUTES
from console.routes_bulk import BULK_ROUTES
from console.routes_figures import FIGURE_ROUTES
from console.routes_overview import ROUTES as INSIDE
from console.routes_search import SEARCH_ROUTES
from tenants.access import Standing

PLANE_ROUTES: Final[dict[str, Standing | str]] = {
    "tenants": Standing.PERSON,
    "tenant-new": "tenant.create",
    "tenant-new-slug": "tenant.create",
    "tenant": "tenant.read",
    "tenant-try": "credential.read",
    "tenant-credentials": "credential.read",
    "credential-new": "credential.change",
    "credential-rotate": "credential.change",
    "credential-revoke": "credential.change",
    "credential-subjects": "credential.change",
    "tenant-members": "member.read",
    "tenant-member-add": "member.change",
    "tenant-member-role": "member.change",
    "tenant-member-remove": "member.change",
    "tenant-invite": "member.change",
    "invitation-revoke": "member.change",
    "tenant-settings": "tenant.read",
    "tenant-describe": "tenant.describe",
    "tenant-mode": "tenant.mode",
    "tenant-plan": "tenant.plan",
    "tenant-delete": "tenant.delete",
    "tenant-restore": "tenant.restore",
    "tenant-audit": "tenant.audit",
    "tenant-history": "tenant.history",
    "tenant-steer": "tenant.state",
    "tenant-limits": "tenant.limits",
    "tenant-suspend": "tenant.state",
    "tenant-throttle": "tenant.state",
    "tenant-resume": "tenant.state",
    "tenant-purge": "tenant.purge",
    "tenant-repair": "tenant.publish",
    "tenant-publish": "tenant.publish",
    "invitation": Standing.PERSON,
    "requests": Standing.PERSON,
    "request-approve": "request.decide",
    "request-reject": "request.decide",
    "request-withdraw": "request.make",
    "tokens": "token.own",
    "token-revoke": "token.own",
    "plans": "plan.read",
    "plan-new": "plan.change",
    "plan": "plan.change",
    "plan-retire": "plan.change",
    "ensembles": "ensemble.read",
    "ensemble-new": "ensemble.change",
    "ensemble": "ensemble.read",
    "ensemble-change": "ensemble.change",
    "ensemble-remove": "ensemble.change",
    "ensemble-repair": "ensemble.change",
    "plane-audit": "audit.read",
    **SEARCH_ROUTES,
    **INSIDE,
    **FIGURE_ROUTES,
    **ALERT_ROUTES,
    **BULK_ROUTES,
}
