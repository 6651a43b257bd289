"""What the plane keeps in SQL. The database refuses what must not be; `actions` change it."""

from tenants.models.api import ApiAnswer, ApiBucket
from tenants.models.audit import AuditEvent
from tenants.models.bookmarks import Bookmark
from tenants.models.credentials import Credential, CredentialRole, CredentialSecret
from tenants.models.ensembles import Ensemble, Node
from tenants.models.people import ApiToken, Invitation, MemberRole, Membership
from tenants.models.plans import Plan
from tenants.models.publication import Publication
from tenants.models.requests import Request
from tenants.models.tenants import Tenant

__all__ = [
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
    "MemberRole",
    "Membership",
    "Node",
    "Plan",
    "Publication",
    "Request",
    "Tenant",
]
