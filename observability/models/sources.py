"""Where collectors are: a cursor for each thing they follow, and who of them is at work."""

from django.db import models


class Source(models.Model):
    """One thing that is followed, and how far. The cursor moves in the transaction of its rows.

    `state` is what going on needs besides the cursor, as JSON. `problem`: why nothing comes at
    present, empty where all is well.
    """

    class Kind(models.TextChoices):
        JOURNAL = "journal", "audit journal of a node"
        PLANE = "plane", "the plane's own trail"
        CHANGES = "changes", "change feed of an ensemble"
        METRICS = "metrics", "figures of a node"
        INDEX = "index", "index of an ensemble's znodes"

    ensemble = models.CharField(max_length=63, blank=True)
    node = models.CharField(max_length=100, blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    cursor = models.CharField(max_length=60, blank=True)
    state = models.TextField(default="{}")
    problem = models.CharField(max_length=500, blank=True)
    problem_since = models.DateTimeField(null=True)
    taken_at = models.DateTimeField(null=True, help_text="when something came last")
    looked_at = models.DateTimeField(null=True, help_text="when it answered last")
    behind = models.BigIntegerField(default=0, help_text="ms between an event and its row, lately")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ensemble", "node", "kind"], name="source_unique")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.ensemble} {self.node}".strip()


class Lease(models.Model):
    """Who collects. One row; `term` rises with each new holder, and every write names its term."""

    name = models.CharField(max_length=20, primary_key=True)
    holder = models.CharField(max_length=100, help_text="host, process, and a random part")
    term = models.BigIntegerField(default=0)
    until = models.BigIntegerField(default=0, help_text="ms since 1970; another may take it then")

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}, term {self.term}"
