"""What znodes were: a row for each change, values kept once and compressed."""

from django.db import models


class Value(models.Model):
    """Bytes that a znode had; the same bytes of the same tenant are kept once.

    Not shared between tenants: what one keeps must not show what another one has.
    """

    ensemble = models.CharField(max_length=63)
    tenant = models.CharField(max_length=63)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the value")
    size = models.PositiveIntegerField(help_text="bytes of the value")
    stored = models.PositiveIntegerField(help_text="bytes of `data`")
    data = models.BinaryField(help_text="zlib")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ensemble", "tenant", "digest"], name="value_unique")
        ]

    def __str__(self) -> str:
        return f"{self.digest[:12]} of {self.size} bytes"


class Revision(models.Model):
    """One change of one znode, by the change feed."""

    class Why(models.TextChoices):
        """Why there is no value."""

        SECRET = "secret", "the tenant marks this path as secret"
        LARGE = "large", "larger than the history keeps"
        BUDGET = "budget", "the tenant's history is full"
        TOKEN = "token", "the plane has no token of the control right"
        OWN = "own", "ZooKeeper's own"

    ensemble = models.CharField(max_length=63)
    tenant = models.CharField(max_length=63)
    path = models.CharField(max_length=600, help_text="as the tree has it; cut beyond that")
    zxid = models.BigIntegerField()
    part = models.IntegerField(default=0)
    at = models.BigIntegerField(help_text="ms since 1970, by the leader's clock")
    operation = models.CharField(max_length=30)
    within = models.CharField(max_length=20)
    version = models.IntegerField(null=True)
    principal = models.CharField(max_length=500)
    session = models.CharField(max_length=20)
    size = models.PositiveIntegerField(null=True, help_text="bytes of the value; null: none")
    why = models.CharField(max_length=10, choices=Why.choices, blank=True)
    value = models.ForeignKey(Value, null=True, on_delete=models.SET_NULL, related_name="+")
    # Null, so that the column is added to a table of millions of rows without copying it.
    acl = models.TextField(  # noqa: DJ001
        null=True, help_text="from a creation or a setACL on: JSON; null: not known"
    )

    class Meta:
        indexes = [
            models.Index(fields=["ensemble", "path", "zxid", "part"], name="revision_path"),
            models.Index(fields=["ensemble", "tenant", "at"], name="revision_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.path} at {self.zxid:#x}: {self.operation}"
