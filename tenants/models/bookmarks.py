"""Znodes that somebody wants to find again."""

from django.conf import settings
from django.db import models


class Bookmark(models.Model):
    """One person's, in one tree: the whole one of `ensemble`, or a tenant's of it.

    Names and no keys: a bookmark outlives what it points to, and opens nothing by itself.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="bookmarks"
    )
    ensemble = models.CharField(max_length=63)
    tenant = models.CharField(max_length=63, blank=True)
    path = models.CharField(max_length=1_000)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("path",)
        constraints = [
            models.UniqueConstraint(
                fields=["user", "ensemble", "tenant", "path"], name="bookmark_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.path} of {self.user}"
