"""What the plane keeps in SQL. The database refuses what must not be; `actions` change it."""

from tenants.models.alerts import (
    AlertChannel,
    AlertNote,
    AlertRule,
    AlertSilence,
    SavedSearch,
)
from tenants.models.api import ApiAnswer, ApiBucket
from tenants.models.audit import AuditEvent
from tenants.models.bookmarks import Bookmark
from tenants.models.credentials import Credential, CredentialRole, CredentialSecret
from tenants.models.ensembles import Ensemble, Node
from tenants.models.jobs import Job
from tenants.models.people import ApiToken, Invitation, MemberRole, Membership, SignInTries
from tenants.models.plans import Plan
from tenants.models.publication import Publication
from tenants.models.requests import Request
from tenants.models.tenants import Tenant

__all__ = [
    "AlertChannel",
    "AlertNote",
    "AlertRule",
    "AlertSilence",
    "ApiAnswer",
    "ApiBucket",
    "ApiToken",
    "AuditEvent",
    "Bookmark",
    "Credential",
    "CredentialRole",
    "CredentialSecret",
    "Ensemble",
    "Invitation",
    "Job",
    "MemberRole",
    "Membership",
    "Node",
    "Plan",
    "Publication",
    "Request",
    "SavedSearch",
    "SignInTries",
    "Tenant",
]
