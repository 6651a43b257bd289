"""What the API remembers: answers to repeated requests, and how fast each caller has been."""

from django.conf import settings
from django.db import models


class ApiAnswer(models.Model):
    """The answer to a POST with an `Idempotency-Key`, kept for a day.

    `status` empty: the request has begun and its answer is not known. `body` is null where the
    answer held a secret: that is never kept.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_answers"
    )
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64, help_text="SHA-256 of address, token and body")
    made_at = models.DateTimeField(auto_now_add=True, db_index=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    body = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "key"], name="api_answer_key_unique")
        ]

    def __str__(self) -> str:
        return f"{self.key} of {self.user_id}"


class ApiBucket(models.Model):
    """How many requests a caller has left, shared by all web processes."""

    caller = models.CharField(max_length=70, primary_key=True, help_text="t12, u7, a192.0.2.1")
    left = models.FloatField()
    at = models.FloatField(help_text="seconds of the wall clock when `left` was right")

    def __str__(self) -> str:
        return f"{self.caller}: {self.left:.0f}"
