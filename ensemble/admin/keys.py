"""Operators' keys: an Ed25519 key in a file, and the assertions that it signs.

The file is JSON, `{"id": "ops-1", "private": "<base64 of 32 bytes>"}`, readable by its owner only.
"""

import base64
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ensemble.admin.errors import ProvisionError
from ensemble.tenancy.assertions import (
    ASSERTION_AHEAD_MAX_MS,
    ASSERTION_PREFIX,
    EVERYTHING,
    WHO_CHARACTERS,
    WHO_MAX,
    encode_base64url,
)
from ensemble.tenancy.fields import RegistryError, read_object
from ensemble.tenancy.registry import (
    KEY_BYTES,
    KEY_ID_CHARACTERS,
    KEY_ID_MAX,
    decode_key,
    is_made_of,
)

ASSERTION_MS: Final = 10 * 60_000
KEY_FILE_BYTES_MAX: Final = 4_096


@dataclass(frozen=True, slots=True, repr=False)
class OperatorKey:
    """A key and its name, by which servers know its public half."""

    id: str
    private: bytes

    def __repr__(self) -> str:
        return f"OperatorKey({self.id!r}, ...)"  # never the key: this ends up in logs

    @property
    def public(self) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()

    @property
    def line(self) -> str:
        """The line for `ensemble.operator.keys`."""
        return f"{self.id} {base64.b64encode(self.public).decode()}"

    def sign(
        self,
        who: str,
        tenant: str = EVERYTHING,
        role: str = "admin",
        valid_ms: int = ASSERTION_MS,
        now_ms: int | None = None,
    ) -> bytes:
        """An assertion for scheme `operator`.

        Args:
            who: the person's or program's name, as the audit journal will show it.
            tenant: the one to work within, or `*` for the whole ensemble.
            role: reader, writer or admin.
            valid_ms: how long servers accept it, and keep a connection that it was presented on.
            now_ms: the wall clock.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not is_made_of(who, WHO_CHARACTERS, WHO_MAX):
            raise ProvisionError(f"{who!r} cannot be who: 1 to {WHO_MAX} of a-z A-Z 0-9 - _ . +")
        if not 1 <= valid_ms <= ASSERTION_AHEAD_MAX_MS:
            raise ProvisionError(f"{valid_ms} ms is not in 1..{ASSERTION_AHEAD_MAX_MS}")
        now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        document = {
            "key": self.id,
            "who": who,
            "tenant": tenant,
            "role": role,
            "until": now + valid_ms,
        }
        body = encode_base64url(json.dumps(document, separators=(",", ":")).encode())
        key = Ed25519PrivateKey.from_private_bytes(self.private)
        return body + b"." + encode_base64url(key.sign(ASSERTION_PREFIX + body))


def make_key(id: str) -> OperatorKey:
    """A new key.

    Raises:
        ProvisionError: the id is none.
    """
    if not is_made_of(id, KEY_ID_CHARACTERS, KEY_ID_MAX):
        raise ProvisionError(f"{id!r} cannot be a key's id: 1 to {KEY_ID_MAX} of a-z A-Z 0-9 - _ .")
    return OperatorKey(id, os.urandom(KEY_BYTES))


def save_key(key: OperatorKey, path: Path) -> None:
    """Write a new key's file; one that is there already stays as it is.

    Raises:
        ProvisionError: it is there, or cannot be written.
    """
    document = {"id": key.id, "private": base64.b64encode(key.private).decode()}
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ProvisionError(f"{path} is there already: keep it, or choose another file") from None
    except OSError as error:
        raise ProvisionError(f"{path}: {error.strerror}") from None
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(json.dumps(document) + "\n")


def load_key(path: Path) -> OperatorKey:
    """Read a key's file.

    Raises:
        ProvisionError: it is not there, or holds no key.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ProvisionError(
            f"{path}: {error.strerror}; `ensemble operator-key new` makes a key"
        ) from None
    try:
        fields = read_object(raw[:KEY_FILE_BYTES_MAX])
        id = fields.text("id", KEY_ID_MAX)
        private = decode_key(fields.text("private", KEY_ID_MAX))
        fields.end()
    except RegistryError:
        private = None
    if private is None or not is_made_of(id, KEY_ID_CHARACTERS, KEY_ID_MAX):
        raise ProvisionError(f"{path} holds no operator's key")  # and not a word of what it holds
    return OperatorKey(id, private)
