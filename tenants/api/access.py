"""Which right every route and method of the API needs: deny by default, in one table.

`View` asks it before any method runs, the console's middleware before any view; a test walks all
routes against it. A right of `access.RIGHTS` is one in the tenant that the address names, so such
routes have a `slug`; one of `access.PLANE` is on the plane as a whole.
"""

from typing import Final

NAMESPACE: Final = "api"
SIGNED_IN: Final = "signed in"  # the view bounds what is shown to what somebody may see

ROUTES: Final[dict[str, dict[str, str]]] = {
    "me": {"GET": SIGNED_IN},
    "schema": {"GET": SIGNED_IN},
    "tokens": {"GET": SIGNED_IN, "POST": "token.own"},
    "token": {"GET": SIGNED_IN, "DELETE": "token.own"},
    "plans": {"GET": "plan.read", "POST": "plan.change"},
    "plan": {"GET": "plan.read", "PATCH": "plan.change"},
    "plan-retire": {"POST": "plan.change"},
    "tenants": {"GET": SIGNED_IN, "POST": "tenant.create"},
    "tenant": {"GET": "tenant.read", "PATCH": "tenant.describe", "DELETE": "tenant.delete"},
    "tenant-mode": {"PUT": "tenant.mode"},
    "tenant-plan": {"PUT": "tenant.plan"},
    "tenant-limits": {"PUT": "tenant.limits"},
    "tenant-suspend": {"POST": "tenant.state"},
    "tenant-drain": {"POST": "tenant.state"},
    "tenant-resume": {"POST": "tenant.state"},
    "tenant-throttle": {"POST": "tenant.state"},
    "tenant-restore": {"POST": "tenant.restore"},
    "tenant-purge": {"POST": "tenant.purge"},
    "tenant-publication": {"GET": "tenant.read", "POST": "tenant.publish"},
    "members": {"GET": "member.read", "POST": "member.change"},
    "member": {"GET": "member.read", "PATCH": "member.change", "DELETE": "member.change"},
    "invitations": {"GET": "member.change", "POST": "member.change"},
    "invitation": {"DELETE": "member.change"},
    "invitation-accept": {"POST": "invitation.accept"},
    "credentials": {"GET": "credential.read", "POST": "credential.change"},
    "credential": {"GET": "credential.read", "DELETE": "credential.change"},
    "credential-rotate": {"POST": "credential.change"},
    "credential-subjects": {"PUT": "credential.change"},
    "tenant-znodes": {
        "GET": "znode.read",
        "PUT": "znode.write",
        "POST": "znode.write",
        "DELETE": "znode.write",
    },
    "tenant-children": {"GET": "znode.read"},
    "tenant-acl": {"GET": "znode.read", "PUT": "znode.acl"},
    "jobs": {"GET": SIGNED_IN},
    "job": {"GET": SIGNED_IN, "DELETE": SIGNED_IN},
    "job-confirm": {"POST": SIGNED_IN},
    "job-resume": {"POST": SIGNED_IN},
    "job-cancel": {"POST": SIGNED_IN},
    "job-undo": {"POST": SIGNED_IN},
    "job-file": {"GET": SIGNED_IN},
    "tenant-jobs": {"POST": "znode.read"},  # what changes something needs more: the view asks
    "ensemble-jobs": {"POST": "tree.read"},
    "requests": {"GET": SIGNED_IN, "POST": "request.make"},
    "request": {"GET": SIGNED_IN},
    "request-approve": {"POST": "request.decide"},
    "request-reject": {"POST": "request.decide"},
    "request-withdraw": {"POST": "request.make"},
    "ensembles": {"GET": "ensemble.read", "POST": "ensemble.change"},
    "ensemble": {"GET": "ensemble.read", "PATCH": "ensemble.change", "DELETE": "ensemble.change"},
    "ensemble-drift": {"GET": "ensemble.read"},
    "ensemble-repair": {"POST": "ensemble.change"},
    "ensemble-znodes": {
        "GET": "tree.read",
        "PUT": "tree.change",
        "POST": "tree.change",
        "DELETE": "tree.change",
    },
    "ensemble-children": {"GET": "tree.read"},
    "ensemble-acl": {"GET": "tree.read", "PUT": "tree.change"},
    # What was collected: observability.api
    "tenant-usage": {"GET": "tenant.usage"},
    "tenant-metrics": {"GET": "tenant.usage"},
    "tenant-objectives": {"GET": "tenant.usage", "PUT": "tenant.describe"},
    "plan-objectives": {"PUT": "plan.change"},
    "ensemble-neighbours": {"GET": "ensemble.read"},
    "tenant-audit": {"GET": "tenant.audit"},
    "tenant-audit-facets": {"GET": "tenant.audit"},
    "tenant-audit-export": {"GET": "tenant.audit"},
    "ensemble-metrics": {"GET": "ensemble.read"},
    "ensemble-top": {"GET": "ensemble.read"},
    "tenant-history": {"GET": "tenant.history"},
    "tenant-history-at": {"GET": "tenant.history"},
    "tenant-history-changed": {"GET": "tenant.history"},
    "ensemble-history": {"GET": "tree.read"},
    "ensemble-history-at": {"GET": "tree.read"},
    "ensemble-history-changed": {"GET": "tree.read"},
    "tenant-search": {"GET": "tenant.history"},  # values only with znode.read
    "ensemble-search": {"GET": "tree.read"},
    "ensemble-collected": {"GET": "ensemble.read"},
    "audit-verdicts": {"GET": "audit.read"},
    "audit": {"GET": "audit.read"},
    "audit-facets": {"GET": "audit.read"},
    "audit-export": {"GET": "audit.read"},
    "alerts": {"GET": "alert.read"},
    "alert-counts": {"GET": "alert.read"},
    "alert": {"GET": "alert.read"},
    "alert-acknowledge": {"POST": "alert.act"},
    "alert-take-back": {"POST": "alert.act"},
    "alert-silences": {"GET": "alert.read", "POST": "alert.act"},
    "alert-silence": {"GET": "alert.read", "DELETE": "alert.act"},
    "alert-channels": {"GET": "alert.read", "POST": "alert.change"},
    "alert-channel": {
        "GET": "alert.read",
        "PATCH": "alert.change",
        "DELETE": "alert.change",
    },
    "alert-channel-secret": {"POST": "alert.change"},
    "alert-channel-test": {"POST": "alert.change"},
    "alert-channel-log": {"GET": "alert.read"},
    "alert-rules": {"GET": "alert.read"},
    "alert-rule": {"GET": "alert.read", "PUT": "alert.change"},
    "tenant-alerts": {"GET": "tenant.alerts"},
    "tenant-alert-counts": {"GET": "tenant.alerts"},
    "tenant-alert": {"GET": "tenant.alerts"},
    "tenant-alert-acknowledge": {"POST": "tenant.alerts.act"},
    "tenant-alert-take-back": {"POST": "tenant.alerts.act"},
    "tenant-alert-silences": {"GET": "tenant.alerts", "POST": "tenant.alerts.act"},
    "tenant-alert-silence": {"GET": "tenant.alerts", "DELETE": "tenant.alerts.act"},
    "tenant-alert-channels": {"GET": "tenant.alerts.channels", "POST": "tenant.alerts.channels"},
    "tenant-alert-channel": {
        "GET": "tenant.alerts.channels",
        "PATCH": "tenant.alerts.channels",
        "DELETE": "tenant.alerts.channels",
    },
    "tenant-alert-channel-secret": {"POST": "tenant.alerts.channels"},
    "tenant-alert-channel-test": {"POST": "tenant.alerts.channels"},
    "tenant-alert-channel-log": {"GET": "tenant.alerts.channels"},
    "tenant-sessions": {"GET": "session.read"},
    "tenant-session": {"GET": "session.read", "DELETE": "session.close"},
    "tenant-locks": {"GET": "znode.read"},
    "ensemble-sessions": {"GET": "ensemble.read"},
    "ensemble-session": {"GET": "ensemble.read", "DELETE": "ensemble.change"},
    "ensemble-locks": {"GET": "tree.read"},
    "searches": {"GET": SIGNED_IN, "POST": "search.own"},
    "search": {"GET": SIGNED_IN, "DELETE": "search.own"},
    "policy": {"GET": "policy.export"},
    "policy-apply": {"POST": "policy.apply"},
    "people": {"GET": "people.read", "POST": "people.change"},
    "person": {"GET": "people.read", "PATCH": "people.change"},
    "person-password": {"POST": "people.change"},
    "person-activate": {"POST": "people.change"},
    "person-deactivate": {"POST": "people.change"},
    "person-mfa-reset": {"POST": "people.change"},
}


def right_of(view_name: str, method: str) -> str | None:
    """The right that a route needs, as the resolver names it: `api:tenants`. None: it is closed."""
    namespace, _, name = view_name.rpartition(":")
    if namespace != NAMESPACE:
        return None
    return ROUTES.get(name, {}).get("GET" if method == "HEAD" else method)


def is_open(view_name: str) -> bool:
    """Whether the table knows the route: its methods and people are then the view's matter."""
    namespace, _, name = view_name.rpartition(":")
    return namespace == NAMESPACE and name in ROUTES
