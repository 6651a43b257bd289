"""Wishes that an operator decides on: a tenant, a larger plan, the adoption of a path."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from tenants.limits import check_overrides
from tenants.models.ensembles import NAME, Ensemble
from tenants.models.plans import Plan
from tenants.models.tenants import Tenant


class Request(models.Model):
    class Kind(models.TextChoices):
        CREATE = "create", "a new tenant"
        ADOPT = "adopt", "a tenant of a path that is there"
        PLAN = "plan", "another plan"

    class Status(models.TextChoices):
        PENDING = "pending", "waits for an operator"
        APPROVED = "approved", "approved"
        REJECTED = "rejected", "rejected"
        WITHDRAWN = "withdrawn", "withdrawn"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="requests"
    )
    asked_at = models.DateTimeField(auto_now_add=True)
    purpose = models.TextField(max_length=2_000, blank=True)
    slug = models.CharField(max_length=63, validators=[NAME])
    title = models.CharField(max_length=100, blank=True)
    ensemble = models.ForeignKey(Ensemble, on_delete=models.CASCADE, related_name="requests")
    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="requests")
    root = models.CharField(max_length=1_000, blank=True, help_text="the path to adopt")
    overrides = models.JSONField(default=dict, blank=True, validators=[check_overrides])
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.SET_NULL, related_name="requests"
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    answer = models.TextField(max_length=2_000, blank=True)

    class Meta:
        ordering = ("-asked_at",)
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["pending", "approved", "rejected", "withdrawn"]),
                name="request_status_known",
            ),
            models.UniqueConstraint(
                fields=["slug", "kind"],
                condition=Q(status="pending"),
                name="request_pending_unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.slug} ({self.status})"
