"""The plane's own trail: a row for every action, chained by hashes, never changed."""

from django.db import models


class AuditEvent(models.Model):
    """What somebody did through the plane. Written by `tenants.audit.record` alone.

    `actor` and `tenant` are texts: the trail outlives people and tenants. `hash` is SHA-256 over
    the row before and this one (`tenants.audit`); triggers refuse UPDATE and DELETE.
    """

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=150, help_text="user name; empty: nobody was signed in")
    via = models.CharField(max_length=60, help_text="form, api:<prefix>, command, plane")
    address = models.CharField(max_length=60, blank=True)
    verb = models.CharField(max_length=60, help_text="tenant.created")
    ensemble = models.CharField(max_length=63, blank=True)
    tenant = models.CharField(max_length=63, blank=True)
    target = models.CharField(max_length=1_000, blank=True, help_text="credential, path, person")
    result = models.CharField(max_length=20, default="ok", help_text="ok, refused, failed")
    detail = models.JSONField(default=dict, help_text="never secrets, never values")
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ("-seq",)
        indexes = [
            models.Index(fields=["tenant", "-seq"], name="audit_tenant"),
            models.Index(fields=["at"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.seq}: {self.actor} {self.verb} {self.tenant} {self.target}"
