"""Single sign-on as the environment says it. See docs/admin-plane.md."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import yaml

from console import env
from tenants import groups
from tenants.groups import Mapped

PROVIDER_ID: Final = "sso"
CREATES: Final = ("nobody", "mapped", "everybody")
LOCAL: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class SignOn:
    """One OpenID Connect provider."""

    issuer: str
    client_id: str
    secret: str
    name: str
    groups_claim: str
    mapping: Mapped
    creates: str  # whom it makes accounts for: nobody, mapped (by a group), everybody
    origins: tuple[str, ...]  # where its pages are


def read() -> SignOn | None:
    """The provider; None where none is named.

    Raises:
        ValueError: something is missing or cannot be, with the variable's name.
    """
    issuer = os.environ.get("ENSEMBLE_OIDC_ISSUER", "").rstrip("/")
    if not issuer:
        return None
    parts = urlsplit(issuer)
    if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)):
        raise ValueError(f"ENSEMBLE_OIDC_ISSUER is {issuer!r}; use an https address")
    creates = os.environ.get("ENSEMBLE_OIDC_CREATE") or "nobody"
    if creates not in CREATES:
        raise ValueError(f"ENSEMBLE_OIDC_CREATE is {creates!r}; use {', '.join(CREATES)}")
    return SignOn(
        issuer=issuer,
        client_id=needed("ENSEMBLE_OIDC_CLIENT_ID"),
        secret=secret_in(Path(needed("ENSEMBLE_OIDC_CLIENT_SECRET_FILE"))),
        name=os.environ.get("ENSEMBLE_OIDC_NAME") or "single sign-on",
        groups_claim=os.environ.get("ENSEMBLE_OIDC_GROUPS_CLAIM") or "groups",
        mapping=mapping(),
        creates=creates,
        origins=(f"{parts.scheme}://{parts.netloc}", *env.words("ENSEMBLE_OIDC_ORIGINS", "")),
    )


def needed(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ValueError(f"{name} is not set; ENSEMBLE_OIDC_ISSUER needs it")
    return value


def secret_in(path: Path) -> str:
    try:
        secret = path.read_text().strip()
    except OSError as error:
        raise ValueError(f"ENSEMBLE_OIDC_CLIENT_SECRET_FILE: {error}") from None
    if not secret:
        raise ValueError(f"ENSEMBLE_OIDC_CLIENT_SECRET_FILE: {path} is empty")
    return secret


def mapping() -> Mapped:
    """What groups mean, from a line or a file."""
    file = os.environ.get("ENSEMBLE_OIDC_GROUPS_FILE", "")
    name = "ENSEMBLE_OIDC_GROUPS_FILE" if file else "ENSEMBLE_OIDC_GROUPS"
    try:
        if file:
            return groups.from_document(yaml.safe_load(Path(file).read_text()))
        return groups.from_text(os.environ.get("ENSEMBLE_OIDC_GROUPS", ""))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{name}: {error}") from None


def provider_settings(sign_on: SignOn) -> dict[str, object]:
    """What the sign-in library wants to know."""
    app = {
        "provider_id": PROVIDER_ID,
        "name": sign_on.name,
        "client_id": sign_on.client_id,
        "secret": sign_on.secret,
        "settings": {"server_url": sign_on.issuer},
    }
    return {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
