"""What somebody has asked for that takes longer than a request: work on whole subtrees."""

import secrets

from django.conf import settings
from django.db import models
from django.db.models import Q

from tenants.models.people import ApiToken
from tenants.models.tenants import Tenant

KEY_BYTES = 10


def new_key() -> str:
    return secrets.token_hex(KEY_BYTES)


class Job(models.Model):
    """One piece of work: looked at first (the dry run), confirmed by the person, then done.

    Its files (plan, upload, download) lie in `<ENSEMBLE_VAR>/jobs/<key>/` until `expires_at`.
    `done` steps of `total` are certain; whoever runs it holds `claim`, and writes nothing without.
    """

    class Kind(models.TextChoices):
        DUPLICATE = "duplicate", "duplicate"
        MOVE = "move", "move"
        DELETE = "delete", "delete"
        ACL = "acl", "change ACLs"
        EXPORT = "export", "export"
        IMPORT = "import", "import"
        RESTORE = "restore", "restore"
        UNDO = "undo", "undo"

    class State(models.TextChoices):
        ASKED = "asked", "waits for its dry run"
        LOOKING = "looking", "dry run"
        READY = "ready", "to be confirmed"
        WAITING = "waiting", "waits for its turn"
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"
        INTERRUPTED = "interrupted", "interrupted"

    class Where(models.TextChoices):
        TENANT = "tenant", "a tenant's tree"
        ENSEMBLE = "ensemble", "an ensemble's tree"
        TREE = "tree", "the whole tree"

    key = models.CharField(max_length=20, unique=True, default=new_key)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    state = models.CharField(max_length=12, choices=State.choices, default=State.ASKED)
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="jobs"
    )
    token = models.ForeignKey(
        ApiToken, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    via = models.CharField(max_length=40, help_text="what it was asked through: form, api:...")
    where = models.CharField(max_length=10, choices=Where.choices)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="jobs"
    )
    ensemble = models.CharField(max_length=63, blank=True)
    path = models.TextField(help_text="as the scope calls it")
    parameters = models.JSONField(default=dict, blank=True)
    preview = models.JSONField(default=dict, blank=True, help_text="what the dry run has found")
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0, help_text="of those done: steps that were not")
    said = models.TextField(blank=True, help_text="how it ended, in words")
    errors = models.JSONField(default=list, blank=True, help_text="the first: path and reason")
    file_name = models.CharField(max_length=200, blank=True, help_text="to be downloaded")
    file_bytes = models.PositiveBigIntegerField(default=0)
    claim = models.CharField(max_length=40, blank=True)
    beat_at = models.DateTimeField(null=True, blank=True)
    cancel_asked = models.BooleanField(default=False)
    made_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(help_text="row and files go then")

    class Meta:
        ordering = ("-pk",)
        indexes = [
            models.Index(fields=["state", "id"], name="job_state"),
            models.Index(fields=["person", "-id"], name="job_person"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(where="tenant", tenant__isnull=False)
                | Q(where__in=["ensemble", "tree"], tenant__isnull=True),
                name="job_where_has_tenant",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.path} ({self.state})"

    @property
    def is_open(self) -> bool:
        """Whether something may still happen by itself."""
        return self.state in OPEN

    @property
    def is_busy(self) -> bool:
        """Whether it is in the runner's hands: a page of it looks again."""
        return self.state in BUSY

    @property
    def name(self) -> str:
        """What has to be typed to confirm it: the last name of its path."""
        return self.path.rsplit("/", 1)[1] or "/"

    @property
    def percent(self) -> int:
        return 100 * self.done // self.total if self.total else 0


BUSY = (Job.State.ASKED, Job.State.LOOKING, Job.State.WAITING, Job.State.RUNNING)
OPEN = (*BUSY, Job.State.READY, Job.State.INTERRUPTED)
