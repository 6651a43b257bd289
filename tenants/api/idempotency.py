"""`Idempotency-Key` on POST: what was done once is answered again, and not done again, for a day.

A secret is never kept. Where an answer held one, its repetition says so: whoever lost it rotates.
"""

import hashlib
import json
from datetime import timedelta
from typing import Any, Final

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.response import Response

from tenants.api.problems import Problem
from tenants.models.api import ApiAnswer

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
KEY_MAX: Final = 255
KEPT: Final = timedelta(hours=24)
KEYS_PER_PERSON_MAX: Final = 2_000  # of one day
BODY_KEPT_MAX: Final = 65_536
SWEEP_MAX: Final = 200


def begin(
    user: AbstractBaseUser, key: str, path: str, raw: bytes, token: str
) -> ApiAnswer | Response:
    """The row to finish, or the answer that was given before.

    Raises:
        Problem: the key is none, belongs to another request, or its request is not finished.
    """
    if not 1 <= len(key) <= KEY_MAX or not key.isascii() or not key.isprintable():
        raise Problem(400, "invalid", f"{HEADER} is 1 to {KEY_MAX} printable ASCII characters")
    digest = hashlib.sha256(f"{path} {token}\n".encode() + raw).hexdigest()
    sweep()
    mine = ApiAnswer.objects.filter(user_id=user.pk)
    kept = mine.filter(key=key).first()
    if kept is None:
        if mine.count() >= KEYS_PER_PERSON_MAX:
            raise Problem(
                429,
                "key-limit",
                f"{KEYS_PER_PERSON_MAX} keys of the last {KEPT.total_seconds() / 3600:.0f} hours "
                "are kept: send requests without a key, or wait",
            )
        try:
            with transaction.atomic():
                return ApiAnswer.objects.create(user_id=user.pk, key=key, request_hash=digest)
        except IntegrityError:  # the same request, at the same time
            kept = mine.get(key=key)
    return again(kept, digest)


def again(kept: ApiAnswer, digest: str) -> Response:
    """What a repetition is answered."""
    if kept.request_hash != digest:
        raise Problem(
            422, "key-reused", f"{HEADER} was used for another request or body: choose a new key"
        )
    if kept.status is None:
        raise Problem(
            409,
            "key-running",
            "the first request with this key is not finished, or its server ended: "
            "look whether it was done before sending it with a new key",
        )
    if kept.body is None:
        raise Problem(
            409,
            "key-secret",
            "this was done, and the answer, with a secret or too large to keep, was given then; "
            "it is not kept. Rotate or revoke what was made if it was lost",
        )
    return Response(kept.body["answer"], status=kept.status, headers={REPLAYED: "true"})


def finish(row: ApiAnswer, status: int, data: Any, *, is_secret: bool) -> None:
    """Keep the answer; where nothing was done (4xx, 5xx) the key is free again."""
    if status >= 400:
        row.delete()
        return
    row.status = status
    is_large = len(json.dumps(data, default=str)) > BODY_KEPT_MAX
    row.body = (
        None if is_secret or is_large else {"answer": json.loads(json.dumps(data, default=str))}
    )
    row.save(update_fields=["status", "body"])


def sweep() -> None:
    """Away with what is older than a day, some at a time."""
    old = ApiAnswer.objects.filter(made_at__lt=timezone.now() - KEPT).values_list("pk", flat=True)
    gone = list(old[:SWEEP_MAX])
    if gone:
        ApiAnswer.objects.filter(pk__in=gone).delete()
