"""Alerts as they were: pending, firing, resolved; what was said of them to whom; facts of nodes."""

from django.db import models
from django.db.models import Q


class Alert(models.Model):
    """One time that a rule held for one subject. The collector alone writes it.

    Times are ms since 1970. `since`: from when on it held; `fired_at`: when it had held for long
    enough; `clear_since`: from when on it does not hold any more (it is resolved after a while);
    `seen_at`: when there were figures last. `times` rises when it comes back soon after it went.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "pending"
        FIRING = "firing", "firing"
        RESOLVED = "resolved", "resolved"

    rule = models.CharField(max_length=40)
    ensemble = models.CharField(max_length=63, blank=True)
    node = models.CharField(max_length=100, blank=True)
    tenant = models.CharField(max_length=63, blank=True)
    of = models.CharField(max_length=100, blank=True, help_text="which limit, credential, line")
    severity = models.CharField(max_length=10)
    status = models.CharField(max_length=10, choices=Status.choices)
    summary = models.CharField(max_length=500)
    evidence = models.JSONField(default=dict, help_text="figures and times then")
    since = models.BigIntegerField()
    seen_at = models.BigIntegerField()
    fired_at = models.BigIntegerField(null=True)
    clear_since = models.BigIntegerField(null=True)
    resolved_at = models.BigIntegerField(null=True)
    times = models.PositiveIntegerField(default=1)
    told_at = models.BigIntegerField(null=True, help_text="when operators' channels were told")
    told_own_at = models.BigIntegerField(null=True, help_text="when the tenant's own were")
    is_blind = models.BooleanField(default=False, help_text="no figures now: kept as it was")

    class Meta:
        indexes = [
            models.Index(fields=["status", "fired_at"], name="alert_status"),
            models.Index(fields=["tenant", "fired_at"], name="alert_tenant"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "ensemble", "node", "tenant", "of"],
                condition=~Q(status="resolved"),
                name="alert_open_unique",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.ensemble}/{self.node}{self.tenant} {self.status}"


class Delivery(models.Model):
    """The outbox: one message to one channel, made in the transaction of the change it tells of."""

    class Event(models.TextChoices):
        FIRING = "firing", "fires"
        RESOLVED = "resolved", "resolved"
        TEST = "test", "test"

    class Status(models.TextChoices):
        WAITING = "waiting", "on its way"
        SENT = "sent", "sent"
        GIVEN_UP = "given-up", "given up"

    message = models.CharField(max_length=36, unique=True, help_text="its id, for who receives it")
    channel = models.BigIntegerField(db_index=True, help_text="of tenants.AlertChannel")
    alert = models.BigIntegerField(null=True)
    event = models.CharField(max_length=10, choices=Event.choices)
    body = models.JSONField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    tries = models.PositiveIntegerField(default=0)
    made_at = models.BigIntegerField()
    next_try_at = models.BigIntegerField()
    done_at = models.BigIntegerField(null=True)
    answer = models.CharField(max_length=300, blank=True, help_text="what the other end said")

    class Meta:
        indexes = [models.Index(fields=["status", "next_try_at"], name="delivery_due")]

    def __str__(self) -> str:
        return f"{self.event} to {self.channel}: {self.status}"


class Fact(models.Model):
    """Something that was found out and is not counted: kept until the next look."""

    name = models.CharField(max_length=100, primary_key=True)
    at = models.BigIntegerField(help_text="ms since 1970")
    value = models.JSONField()

    def __str__(self) -> str:
        return self.name
