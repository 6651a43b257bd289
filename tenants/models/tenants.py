"""The tenant: one isolated part of an ensemble's tree, as it is wished to be."""

from typing import Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q

from ensemble.admin.draft import LIMIT_NAMES
from tenants.limits import check_limits, check_overrides, limits_in_force
from tenants.models.ensembles import NAME, Ensemble
from tenants.models.plans import Plan
from tenants.objectives import check_objectives, objectives_in_force


class TenantQuerySet(models.QuerySet["Tenant"]):
    def member_of(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """Those that somebody belongs to; `access.visible_to` adds what operators see."""
        return self.filter(memberships__user_id=user.pk)

    def alive(self) -> Self:
        """Neither on their way out nor gone."""
        return self.filter(lifecycle=Tenant.Lifecycle.ALIVE)


class Tenant(models.Model):
    """What an operator or owner wants of a tenant. What nodes enforce is the registry's document.

    `revision` rises with every change that the ensemble has to know; `publication.applied` says
    how far the ensemble is.
    """

    class Mode(models.TextChoices):
        OBSERVE = "observe", "observe: measure, refuse nothing"
        PERMISSIVE = "permissive", "permissive: limits hold, the root is open as before"
        ENFORCE = "enforce", "enforce: only the tenant's own credentials reach its root"

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        SUSPENDED = "suspended", "suspended: reads pass, writes are refused"
        DRAINING = "draining", "draining: no new sessions"

    class Lifecycle(models.TextChoices):
        ALIVE = "alive", "alive"
        DELETED = "deleted", "deleted, and can be brought back until purge_at"
        GONE = "gone", "removed from its ensemble; the row stays for the trail"

    slug = models.CharField(max_length=63, validators=[NAME])
    title = models.CharField(max_length=100, blank=True)
    ensemble = models.ForeignKey(Ensemble, on_delete=models.PROTECT, related_name="tenants")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="tenants")
    root = models.CharField(max_length=1_000)
    adopted = models.BooleanField(default=False, help_text="the root was there before the tenant")
    overrides = models.JSONField(default=dict, blank=True, validators=[check_overrides])
    objectives = models.JSONField(
        default=dict, blank=True, validators=[check_objectives], help_text="in the plan's place"
    )
    weight = models.PositiveIntegerField(null=True, blank=True, help_text="in the plan's place")
    mode = models.CharField(max_length=12, choices=Mode.choices, default=Mode.ENFORCE)
    state = models.CharField(max_length=12, choices=State.choices, default=State.ACTIVE)
    state_until = models.DateTimeField(
        null=True, blank=True, help_text="a suspension that ends by itself"
    )
    state_reason = models.CharField(max_length=500, blank=True)
    throttle = models.JSONField(
        default=dict, blank=True, validators=[check_limits], help_text="lower limits for a while"
    )
    throttle_until = models.DateTimeField(null=True, blank=True)
    throttle_reason = models.CharField(max_length=500, blank=True)
    audit_reads = models.BooleanField(default=False)
    secret_paths = models.JSONField(
        default=list, blank=True, help_text="path prefixes whose values the history does not keep"
    )
    history_days = models.PositiveIntegerField(default=30)
    history_bytes = models.PositiveBigIntegerField(default=50_000_000)
    lifecycle = models.CharField(max_length=10, choices=Lifecycle.choices, default=Lifecycle.ALIVE)
    deleted_at = models.DateTimeField(null=True, blank=True)
    purge_at = models.DateTimeField(null=True, blank=True)
    keeps_data = models.BooleanField(default=False, help_text="its purge leaves the root's znodes")
    revision = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ("slug",)
        constraints = [
            # A slug names one tenant all over the plane: addresses, tokens and the trail use it.
            models.UniqueConstraint(
                fields=["slug"], condition=~Q(lifecycle="gone"), name="tenant_slug_unique"
            ),
            models.UniqueConstraint(
                fields=["ensemble", "root"],
                condition=~Q(lifecycle="gone"),
                name="tenant_root_unique",
            ),
            models.CheckConstraint(
                condition=Q(mode__in=["observe", "permissive", "enforce"]),
                name="tenant_mode_known",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["active", "suspended", "draining"]),
                name="tenant_state_known",
            ),
            models.CheckConstraint(
                condition=Q(weight__isnull=True) | Q(weight__gte=1, weight__lte=10_000),
                name="tenant_weight_1_10000",
            ),
            models.CheckConstraint(
                condition=Q(lifecycle="alive", purge_at__isnull=True)
                | Q(lifecycle="deleted", purge_at__isnull=False)
                | Q(lifecycle="gone"),
                name="tenant_deleted_has_purge_at",
            ),
        ]

    def __str__(self) -> str:
        return self.title or self.slug

    @property
    def limits(self) -> dict[str, int]:
        """The limits in force, by name; none where one is missing. A throttle only lowers."""
        limits = limits_in_force(self.plan.limits, self.overrides)
        for name, value in self.throttle.items():
            limits[name] = min(value, limits.get(name, value))
        return {name: limits[name] for name in LIMIT_NAMES if name in limits}

    @property
    def objectives_in_force(self) -> dict[str, float | int | str]:
        """What it is promised: its own, else the plan's, else the defaults."""
        return objectives_in_force(self.plan.objectives, self.objectives)

    @property
    def weight_in_force(self) -> int:
        return self.weight if self.weight is not None else self.plan.weight
