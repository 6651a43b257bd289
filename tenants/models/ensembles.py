"""Where tenants live: ensembles and their nodes."""

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

NAME = RegexValidator(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    "1 to 63 of a-z 0-9 -, a letter or digit at both ends",
)


class Ensemble(models.Model):
    """An ensemble that the plane knows, ours or Apache's.

    What the plane signs in with are files of its own machine, never rows: a copy of the database
    opens no ensemble. They lie in `<ENSEMBLE_VAR>/ensembles/<name>/` unless the settings that
    `ensemble up` gives say otherwise: see `tenants.keys`.
    """

    class Kind(models.TextChoices):
        OURS = "ours", "Ensemble"
        APACHE = "apache", "Apache ZooKeeper"

    name = models.CharField(max_length=63, unique=True, validators=[NAME])
    title = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.OURS)
    hosts = models.CharField(max_length=2_000, help_text="host:port,host:port")
    takes_tenants = models.BooleanField(default=True, help_text="new tenants may be placed here")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["ours", "apache"]), name="ensemble_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(kind="ours") | Q(takes_tenants=False),
                name="ensemble_apache_takes_no_tenants",
            ),
        ]

    def __str__(self) -> str:
        return self.title or self.name


class Node(models.Model):
    """One server of an ensemble, and where its admin port is."""

    ensemble = models.ForeignKey(Ensemble, on_delete=models.CASCADE, related_name="nodes")
    name = models.CharField(max_length=100, help_text="node1; shown, and the key of its figures")
    client = models.CharField(max_length=300, help_text="host:port of its client port")
    admin_url = models.CharField(max_length=300, blank=True, help_text="http://host:port, or empty")

    class Meta:
        ordering = ("ensemble", "name")
        constraints = [
            models.UniqueConstraint(fields=["ensemble", "name"], name="node_name_unique"),
            models.UniqueConstraint(fields=["ensemble", "client"], name="node_client_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.ensemble.name}/{self.name}"
