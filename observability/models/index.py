"""What lives in each tree now: a row for each znode, to be searched by path and value."""

from django.db import models


class Znode(models.Model):
    """One live znode, as the index knows it.

    Rows are written by the collector alone. `text` is what of the value can be searched; `why`
    says why that is not all of it. It stands last, so that looks at the other columns do not read
    it. Migration 0006 adds the indexes of substrings, on SQLite by triggers: a change that makes
    the table anew there (most of Django's do) has to make these anew, too.
    """

    class Why(models.TextChoices):
        """Why the text is not the whole value."""

        SECRET = "secret", "the tenant marks this path as secret"
        CUT = "cut", "longer than the index keeps"
        BINARY = "binary", "not text"
        TOKEN = "token", "the plane has no token of the control right"
        ACL = "acl", "the collector may not read it"

    ensemble = models.CharField(max_length=63)
    path = models.CharField(max_length=600, help_text="as the tree has it; a longer one is a key")
    zxid = models.BigIntegerField(help_text="of the last change of the value")
    at = models.BigIntegerField(help_text="of that change, ms since 1970")
    version = models.IntegerField()
    size = models.PositiveIntegerField(help_text="bytes of the value")
    owner = models.CharField(max_length=20, help_text="the session of an ephemeral one")
    why = models.CharField(max_length=10, choices=Why.choices, blank=True)
    principal = models.CharField(max_length=500, help_text="who changed it last, where known")
    fill = models.IntegerField(help_text="the fill that has seen it, or was at work then")
    is_gone = models.BooleanField(default=False, help_text="deleted while a fill was at work")
    is_closed = models.BooleanField(
        null=True, help_text="not everybody may read it, by its ACL; null: not known"
    )
    whole = models.TextField(blank=True, help_text="the path, where it is longer than a key")
    text = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ensemble", "path"], name="znode_path")]
        indexes = [models.Index(fields=["ensemble", "at"], name="znode_at")]

    def __str__(self) -> str:
        return f"{self.ensemble}{self.path}"
