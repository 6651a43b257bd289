"""What the plane signs in with at ensembles: files, never rows, read when they are needed.

`<ENSEMBLE_VAR>/ensembles/<name>/` holds, each readable by its owner only:

- `operator.key`: the key that signs `operator` assertions (our ensembles);
- `auth`: `scheme:credential` for the client port (Apache's: `digest:super:...`);
- `admin.read`, `admin.control`: bearer tokens of the admin ports.

`ensemble up` puts its own for the ensemble `main` (`settings.MAIN_KEYS`).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser

from ensemble.admin.errors import ProvisionError
from ensemble.admin.keys import OperatorKey, load_key
from ensemble.tenancy.assertions import WHO_MAX
from tenants.models import Ensemble

PLANE_WHO: Final = "plane"
ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_.-]")
SUFFIX_MAX: Final = 24


class NoKeyError(Exception):
    """A file that is needed is not there, or says nothing. The text is for people."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the files of one ensemble are."""

    name: str
    operator_key: Path
    auth: Path
    read_token: Path
    control_token: Path

    def operator(self) -> OperatorKey:
        """The key that signs assertions.

        Raises:
            NoKeyError: there is none, with what to do.
        """
        try:
            return load_key(self.operator_key)
        except ProvisionError as error:
            raise NoKeyError(
                f"{error}; put an operator's key for {self.name} there (docs/admin-plane.md)"
            ) from None

    def credential(self) -> tuple[str, bytes] | None:
        """A plain credential for the client port, if there is one."""
        return credential_of(read(self.auth))

    def token(self, *, control: bool = False) -> str:
        """The bearer token for admin ports; empty where there is none."""
        return read(self.control_token if control else self.read_token)


def keys_of(ensemble: Ensemble) -> Keys:
    """The files of an ensemble, whether they are there or not."""
    folder = Path(settings.VAR) / "ensembles" / ensemble.name
    given: dict[str, str] = settings.MAIN_KEYS if ensemble.name == settings.MAIN_ENSEMBLE else {}
    return Keys(
        name=ensemble.name,
        operator_key=Path(given.get("operator_key") or folder / "operator.key"),
        auth=Path(given.get("auth") or folder / "auth"),
        read_token=Path(given.get("read_token") or folder / "admin.read"),
        control_token=Path(given.get("control_token") or folder / "admin.control"),
    )


def credential_of(text: str) -> tuple[str, bytes] | None:
    """`scheme:credential` in its two parts; None where nothing is said."""
    scheme, _, token = text.partition(":")
    return (scheme, token.encode()) if scheme else None


def read(path: Path) -> str:
    """What a file says; empty where there is none."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def who_of(user: AbstractBaseUser) -> str:
    """A person's name as assertions may carry it; another one's never becomes the same.

    What they may not carry becomes +, and then the account's number follows: `a@b.c` -> `a+b.c+u7`.
    """
    name = user.get_username()
    if not ILLEGAL.search(name) and 0 < len(name) <= WHO_MAX and name != PLANE_WHO:
        return name
    return f"{ILLEGAL.sub('+', name)[: WHO_MAX - SUFFIX_MAX]}+u{user.pk}"
