"""How far the ensemble knows what SQL wishes: one row a tenant, an outbox and its outcome."""

from django.db import models
from django.db.models import Q

from tenants.models.tenants import Tenant


class Publication(models.Model):
    """`wanted` is the tenant's revision that has to get there, `written` the one in the registry,
    `applied` the one that every node has in force."""

    class Status(models.TextChoices):
        PENDING = "pending", "on its way"
        APPLIED = "applied", "in force on every node"
        FAILED = "failed", "failed; tried again"

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, related_name="publication")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    wanted = models.PositiveBigIntegerField(default=1)
    written = models.PositiveBigIntegerField(default=0)
    applied = models.PositiveBigIntegerField(default=0)
    document_version = models.BigIntegerField(
        null=True, blank=True, help_text="of the znode, as it was written"
    )
    document_digest = models.CharField(
        max_length=64, blank=True, help_text="`documents.digest_of` it"
    )
    intended_digest = models.CharField(
        max_length=64, blank=True, help_text="of what was about to be written, noted before it was"
    )
    nodes = models.JSONField(default=dict, blank=True, help_text="per node: version, or a problem")
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(
        null=True, blank=True, help_text="one publisher at a time has it until then"
    )
    error = models.TextField(blank=True)
    changed_at = models.DateTimeField(auto_now=True)
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["pending", "applied", "failed"]),
                name="publication_status_known",
            )
        ]

    def __str__(self) -> str:
        return f"{self.tenant.slug}: {self.status} {self.applied}/{self.wanted}"
