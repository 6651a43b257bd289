"""One trail of everything that was done: the nodes' journals and the plane's own actions."""

from django.db import models
from django.db.models import Q


class Trail(models.Model):
    """A part of a line of a journal, or an action of the plane.

    A line with several paths (a multi, the end of a session) makes a row for each, numbered by
    `part`, so that each is found by its path and operation. Rows are written by collectors alone
    and removed by `observability.retention` alone.
    """

    class Origin(models.TextChoices):
        NODE = "node", "a node's journal"
        PLANE = "plane", "the admin plane"
        COLLECTOR = "collector", "the collector, of itself"

    at = models.BigIntegerField(help_text="ms since 1970, by the clock of who wrote the line")
    origin = models.CharField(max_length=10, choices=Origin.choices)
    ensemble = models.CharField(max_length=63)
    node = models.CharField(max_length=100)
    chain = models.IntegerField(default=1, help_text="rises when a journal began anew")
    seq = models.BigIntegerField(null=True, help_text="of the line in its chain")
    part = models.IntegerField(default=0)
    tenant = models.CharField(max_length=63, help_text="whose session, else whose root")
    is_foreign = models.BooleanField(
        default=False, help_text="not by a session of the tenant, but in its root"
    )
    principal = models.CharField(max_length=500)
    person = models.CharField(max_length=500, help_text="the principal without operator:")
    operation = models.CharField(max_length=60)
    within = models.CharField(max_length=20, help_text="multi, closeSession")
    # An entry of PostgreSQL's indexes has room for so much; of a longer one `detail` has all.
    path = models.CharField(max_length=600, help_text="as the tree has it, unless is_asked")
    is_asked = models.BooleanField(default=False, help_text="the path is as the client wrote it")
    result = models.CharField(max_length=40)
    zxid = models.BigIntegerField(null=True)
    session = models.CharField(max_length=20)
    address = models.CharField(max_length=60)
    detail = models.TextField(help_text="further members of the line as JSON, or empty")
    hash = models.CharField(max_length=64)
    prev = models.CharField(max_length=64)

    class Meta:
        indexes = [
            models.Index(fields=["at"], name="trail_at"),
            models.Index(fields=["tenant", "at"], name="trail_tenant"),
            models.Index(fields=["person", "at"], name="trail_person"),
            models.Index(fields=["operation", "at"], name="trail_operation"),
            models.Index(fields=["node", "at"], name="trail_node"),
            models.Index(fields=["path", "at"], name="trail_path"),
            # Nearly everything is Ok: who looks for that walks by time.
            models.Index(fields=["result", "at"], name="trail_result", condition=~Q(result="Ok")),
            models.Index(fields=["zxid"], name="trail_zxid", condition=Q(zxid__isnull=False)),
            models.Index(fields=["ensemble", "node", "chain", "seq"], name="trail_line"),
        ]

    def __str__(self) -> str:
        return f"{self.ensemble}/{self.node} {self.seq}: {self.operation} {self.path}"


class Segment(models.Model):
    """What collecting a journal's segment has shown of its chain; outlives the rows.

    For the plane's own trail, and behind a problem, likewise. `first_problem` names the first line
    that did not hold; `anchor` what the tree's committed head says.
    """

    ensemble = models.CharField(max_length=63, blank=True)
    node = models.CharField(max_length=100, blank=True)
    chain = models.IntegerField(default=1)
    segment = models.IntegerField(default=1)
    first_seq = models.BigIntegerField(default=0)
    last_seq = models.BigIntegerField(default=0)
    last_hash = models.CharField(max_length=64, blank=True)
    lines = models.BigIntegerField(default=0)
    missing = models.BigIntegerField(default=0, help_text="records that the journal says it lost")
    problems = models.IntegerField(default=0)
    first_problem_seq = models.BigIntegerField(null=True)
    first_problem = models.CharField(max_length=500, blank=True)
    first_problem_at = models.DateTimeField(null=True)
    anchor_seq = models.BigIntegerField(null=True, help_text="last line that a quorum confirmed")
    anchor_checked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("ensemble", "node", "chain", "segment")
        constraints = [
            models.UniqueConstraint(
                fields=["ensemble", "node", "chain", "segment"], name="segment_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.ensemble}/{self.node} {self.chain}/{self.segment}: {self.problems} problems"

    @property
    def is_sound(self) -> bool:
        """Whether every line that was collected held the one before it."""
        return self.problems == 0
