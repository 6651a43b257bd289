"""Session passwords: 16 bytes that let a client come back to its session.

The Java server derives them from the session id alone, and ids are shown to everybody in
ephemeralOwner: who knows an id can take the session over. Ours are keyed with a secret of this
server's data folder; the Java derivation is there for ensembles with Java members
(ensemble.sessionPassword).
"""

import hmac
import os
from typing import Final, Protocol, final

from ensemble.errors import ConfigError

PASSWORD_BYTES: Final = 16
SECRET_BYTES: Final = 32
SECRET_FILE: Final = "ensemble.secret"

JAVA_XOR: Final = 0xB3415C00
LCG_MULTIPLIER: Final = 0x5DEECE66D
LCG_MASK: Final = (1 << 48) - 1


class Passwords(Protocol):
    def of(self, session_id: int) -> bytes: ...


def matches(passwords: Passwords, session_id: int, password: bytes | None) -> bool:
    """Compared in constant time; exactly 16 bytes."""
    if password is None or len(password) != PASSWORD_BYTES:
        return False
    return hmac.compare_digest(passwords.of(session_id), password)


@final
class SecretPasswords:
    """A keyed hash of the session id."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == SECRET_BYTES
        self._secret: Final = secret

    def of(self, session_id: int) -> bytes:
        raw = (session_id & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big")
        return hmac.digest(self._secret, raw, "sha256")[:PASSWORD_BYTES]


@final
class ApachePasswords:
    """The Java server's: java.util.Random seeded with the id (client.md 3.4)."""

    def of(self, session_id: int) -> bytes:
        state = ((session_id ^ JAVA_XOR) ^ LCG_MULTIPLIER) & LCG_MASK
        out = b""
        for _ in range(4):
            state = (state * LCG_MULTIPLIER + 0xB) & LCG_MASK
            out += (state >> 16).to_bytes(4, "little")
        return out


def load_secret(data_dir: str) -> bytes:
    """The secret in `<dataDir>/ensemble.secret`; made at the first start, readable by its owner
    only.

    Raises:
        ConfigError: the file holds something else.
    """
    path = os.path.join(data_dir, SECRET_FILE)
    try:
        with open(path, "rb") as file:
            secret = file.read(SECRET_BYTES + 1)
    except FileNotFoundError:
        secret = os.urandom(SECRET_BYTES)
        fd = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o600)
            file.write(secret)
            file.flush()
            os.fsync(fd)
        os.rename(path + ".tmp", path)
    if len(secret) != SECRET_BYTES:
        raise ConfigError(f"{path} holds {len(secret)} bytes, {SECRET_BYTES} are expected")
    return secret
