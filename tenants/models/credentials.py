"""How applications get into a tenant: credentials, and the hashes of their secrets."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from tenants.models.tenants import Tenant


class CredentialRole(models.TextChoices):
    READER = "reader", "reader"
    WRITER = "writer", "writer"
    ADMIN = "admin", "admin: passes every ACL inside the tenant"


class Credential(models.Model):
    """A named way in. The name outlives its secrets: ACLs carry `name@slug`."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="credentials")
    name = models.CharField(
        max_length=63,
        validators=[RegexValidator(r"^[a-z0-9_.-]{1,63}$", "1 to 63 of a-z 0-9 - _ .")],
    )
    role = models.CharField(max_length=10, choices=CredentialRole.choices)
    subjects = models.JSONField(default=list, blank=True, help_text="of TLS client certificates")
    sasl = models.BooleanField(default=True, help_text="keeps what SASL DIGEST-MD5 needs")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                condition=Q(revoked_at__isnull=True),
                name="credential_name_unique",
            ),
            models.CheckConstraint(
                condition=Q(role__in=["reader", "writer", "admin"]), name="credential_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.tenant.slug}"


class CredentialSecret(models.Model):
    """What is kept of a secret: what the registry keeps, keyed by the ensemble's own key."""

    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, related_name="secrets")
    hash = models.CharField(max_length=64)
    digest_md5 = models.CharField(max_length=32, blank=True)
    made_at = models.DateTimeField(auto_now_add=True)
    until = models.DateTimeField(null=True, blank=True, help_text="void from then on")

    class Meta:
        ordering = ("made_at", "pk")

    def __str__(self) -> str:
        return f"a secret of {self.credential_id}"
