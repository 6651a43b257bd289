"""What people decide about alerts: rules, silences, acknowledgements, where they are sent."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from tenants.models.tenants import Tenant

SEVERITIES = [("page", "page"), ("ticket", "ticket"), ("note", "note")]


class AlertRule(models.Model):
    """What differs from `tenants.alerts.table`; a rule without a row is as it stands there."""

    name = models.CharField(max_length=40, primary_key=True)
    is_on = models.BooleanField(default=True)
    threshold = models.FloatField(null=True, blank=True)
    hold_s = models.PositiveIntegerField(null=True, blank=True)
    severity = models.CharField(max_length=10, choices=SEVERITIES, blank=True)
    changed_at = models.DateTimeField(auto_now=True)
    changed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class AlertSilence(models.Model):
    """Alerts that fit are shown, and nobody is told, until it ends. Empty fields fit everything.

    One that a tenant's people made (`is_own`) holds back what is sent to channels of their tenant:
    operators are told all the same.
    """

    rule = models.CharField(max_length=40, blank=True)
    ensemble = models.CharField(max_length=63, blank=True)
    node = models.CharField(max_length=100, blank=True)
    tenant = models.CharField(max_length=63, blank=True)
    is_own = models.BooleanField(default=False, help_text="made by the tenant's own people")
    reason = models.CharField(max_length=500)
    made_by = models.CharField(max_length=150)
    made_at = models.DateTimeField(auto_now_add=True)
    ends_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("-ends_at",)
        constraints = [
            models.CheckConstraint(
                condition=~Q(rule="", ensemble="", node="", tenant=""),
                name="alert_silence_is_of_something",
            ),
        ]

    def __str__(self) -> str:
        return f"silence {self.pk} until {self.ends_at:%F %R}"

    def fits(self, rule: str, ensemble: str, node: str, tenant: str) -> bool:
        """Whether an alert of this kind and place is silenced by it."""
        asked = ((self.rule, rule), (self.ensemble, ensemble), (self.node, node))
        return all(not mine or mine == its for mine, its in (*asked, (self.tenant, tenant)))


class AlertNote(models.Model):
    """Somebody has seen an alert, and says what is done about it. The newest one counts."""

    alert = models.BigIntegerField(db_index=True, help_text="of observability.Alert")
    person = models.CharField(max_length=150)
    note = models.CharField(max_length=500)
    is_taken_back = models.BooleanField(default=False)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.person} of {self.alert}"


class AlertChannel(models.Model):
    """Where alerts are sent. With a tenant: alerts of that tenant that its people see."""

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", "webhook"
        MAIL = "mail", "mail"

    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="alert_channels"
    )
    of_tenant = models.CharField(
        max_length=63, blank=True, help_text="an operator's channel for one tenant's alerts alone"
    )
    url = models.CharField(max_length=1_000, blank=True)
    addresses = models.JSONField(default=list, blank=True)
    secret = models.CharField(
        max_length=300, blank=True, help_text="encrypted with a key that is not in the database"
    )
    severity = models.CharField(
        max_length=10, choices=SEVERITIES, default="ticket", help_text="this one and weightier"
    )
    is_on = models.BooleanField(default=True)
    made_by = models.CharField(max_length=150)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "pk")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="alert_channel_name_unique"),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(tenant__isnull=True),
                name="alert_channel_name_unique_of_plane",
            ),
            models.CheckConstraint(
                condition=Q(kind="webhook", url__gt="") | Q(kind="mail", url=""),
                name="alert_channel_leads_somewhere",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SavedSearch(models.Model):
    """A search of the trail that somebody wants again; `tenant` empty: of the whole plane."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_searches"
    )
    tenant = models.CharField(max_length=63, blank=True)
    name = models.CharField(max_length=100)
    query = models.CharField(max_length=2_000, help_text="as in the address")
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(
                fields=["user", "tenant", "name"], name="saved_search_name_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.name
