"""Plans: limits with a name, which a tenant is made with."""

from django.db import models
from django.db.models import Q

from tenants.limits import check_limits
from tenants.models.ensembles import NAME
from tenants.objectives import check_objectives


class PlanQuerySet(models.QuerySet["Plan"]):
    def offered(self, *, to_operator: bool) -> "PlanQuerySet":
        """The plans that somebody may choose or ask for."""
        found = self.filter(retired=False)
        return found if to_operator else found.exclude(entry=Plan.Entry.OPERATORS)


class Plan(models.Model):
    """What a tenant may use, and who may have it."""

    class Entry(models.TextChoices):
        SELF_SERVICE = "self-service", "at once, by anybody who is signed in"
        APPROVAL = "approval", "after an operator has approved"
        OPERATORS = "operators", "given by operators only"

    name = models.CharField(max_length=63, unique=True, validators=[NAME])
    title = models.CharField(max_length=100)
    description = models.TextField(max_length=2_000, blank=True)
    entry = models.CharField(max_length=20, choices=Entry.choices, default=Entry.APPROVAL)
    limits = models.JSONField(default=dict, blank=True, validators=[check_limits])
    objectives = models.JSONField(default=dict, blank=True, validators=[check_objectives])
    weight = models.PositiveIntegerField(default=100, help_text="share when work queues, 1-10000")
    tenants_per_person_max = models.PositiveIntegerField(
        default=3, help_text="self-service: how many of this plan one person may own"
    )
    position = models.PositiveIntegerField(default=100, help_text="order in lists")
    retired = models.BooleanField(default=False, help_text="kept for its tenants, not for new ones")

    objects = PlanQuerySet.as_manager()

    class Meta:
        ordering = ("position", "name")
        constraints = [
            models.CheckConstraint(
                condition=Q(entry__in=["self-service", "approval", "operators"]),
                name="plan_entry_known",
            ),
            models.CheckConstraint(
                condition=Q(weight__gte=1, weight__lte=10_000), name="plan_weight_1_10000"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def is_at_once(self, *, by_operator: bool) -> bool:
        """Whether it is had for the asking; else an operator decides on a request."""
        return by_operator or self.entry == Plan.Entry.SELF_SERVICE
