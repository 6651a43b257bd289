"""Secrets of webhooks at rest: who reads the database alone cannot sign in our name.

The key follows from SECRET_KEY; with another one channels need new secrets.
"""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class SealError(Exception):
    """The secret cannot be read: the plane has another SECRET_KEY than when it was kept."""


def seal(secret: str) -> str:
    return fernet().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Raises SealError."""
    try:
        return fernet().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise SealError(
            "the channel's secret was kept under another ENSEMBLE_SECRET_KEY: give it a new secret"
        ) from None


def fernet() -> Fernet:
    key = hashlib.sha256(b"ensemble alerts, webhook secret:" + settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(key.digest()))
