"""How the sign-in library behaves here: operators make the accounts, secrets are encrypted."""

import base64
import hashlib
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.http import HttpRequest

from console import lockouts


class ClosedAccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # the library is untyped
    """Nobody signs up by themselves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Whose password it is; a wrong one has been counted."""
        name = str(credentials.get("username") or "").replace("\0", "")
        counted = lockouts.count(request, lockouts.PASSWORD, lockouts.folded(name), name)
        user = super().authenticate(request, **credentials)
        if user is not None:
            counted.take_back()
        return user


class SecretMfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # the library is untyped
    """Secrets of authenticator apps: who reads the database alone cannot compute codes.

    The key follows from SECRET_KEY, so that with another one people set up their apps again.
    """

    def encrypt(self, text: str) -> str:
        return fernet().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return fernet().decrypt(encrypted_text.encode()).decode()


def fernet() -> Fernet:
    key = hashlib.sha256(b"ensemble console, second factor:" + settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(key.digest()))
