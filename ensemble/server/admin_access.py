"""Who may ask the admin port for what: tokens and the subjects of client certificates.

`Authorization: Bearer <token>`, or a certificate on the TLS connection. The right to change
includes the right to read. A token file holds one token a line, in plain text or as
`sha256:<64 hex digits>`; several hold at once, so that one can be exchanged for another. A changed
file is read again at the next request, and what cannot be read lets nobody in.
"""

import enum
import hashlib
import hmac
import logging
import os
import re
from typing import Final, final

from ensemble.errors import ConfigError
from ensemble.server.observe_config import AccessOptions

log = logging.getLogger("ensemble.admin")

TOKEN_CHARACTERS_MIN: Final = 20
TOKENS_MAX: Final = 100  # in one file
FILE_BYTES_MAX: Final = 64 << 10
HASHED: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")
READ_KEY: Final = "ensemble.admin.readTokens"
CONTROL_KEY: Final = "ensemble.admin.controlTokens"
ADVICE: Final = (
    f"set {READ_KEY} and {CONTROL_KEY} to files of tokens, "
    "or ensemble.admin.readSubjects and ensemble.admin.controlSubjects with admin.forceHttps"
)


class Right(enum.IntEnum):
    """What somebody may do; each includes the ones before."""

    NONE = 0
    READ = 1
    CONTROL = 2


def parse_tokens(text: str, where: str) -> tuple[list[bytes], list[str]]:
    """(hashes of the tokens, what is wrong with other lines: without what they hold)."""
    hashes: list[bytes] = []
    wrong: list[str] = []
    for at, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = HASHED.fullmatch(line)
        if len(hashes) == TOKENS_MAX:
            wrong.append(
                f"{where} holds more than {TOKENS_MAX} tokens, from line {at} on none counts"
            )
            break
        if match is not None:
            hashes.append(bytes.fromhex(match[1]))
        elif line.startswith("sha256:"):
            wrong.append(f"{where}, line {at}: sha256: and 64 hex digits are expected")
        elif not line.isascii() or not line.isprintable() or " " in line:
            wrong.append(f"{where}, line {at}: a token is of printable ASCII without blanks")
        elif len(line) < TOKEN_CHARACTERS_MIN:
            wrong.append(
                f"{where}, line {at}: a token of {len(line)} characters, "
                f"{TOKEN_CHARACTERS_MIN} at least are expected"
            )
        else:
            hashes.append(hashlib.sha256(line.encode("ascii")).digest())
    return hashes, wrong


@final
class TokenFile:
    """The tokens of one file, read again when it has changed."""

    def __init__(self, path: str, key: str) -> None:
        """Read it for the first time.

        Raises:
            ConfigError: it cannot be read, a line is wrong, or it holds no token.
        """
        self.path: Final = path
        self.key: Final = key
        self.seen = self.look()
        self.hashes, wrong = self.read()
        if not self.hashes and not wrong:
            wrong.append(f"{path} holds no token")
        if wrong:
            raise ConfigError(wrong[0], key)

    def look(self) -> tuple[int, int, int]:
        try:
            status = os.stat(self.path)
        except OSError:
            return (0, 0, 0)
        return (status.st_ino, status.st_mtime_ns, status.st_size)

    def read(self) -> tuple[list[bytes], list[str]]:
        try:
            with open(self.path, "rb") as file:
                raw = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            return [], [f"{self.path}: {error.strerror}"]
        if len(raw) > FILE_BYTES_MAX:
            return [], [f"{self.path} is longer than {FILE_BYTES_MAX} bytes"]
        return parse_tokens(raw.decode("utf-8", "replace"), self.path)

    def holds(self, hashed: bytes) -> bool:
        """Whether a token with this hash counts now; takes as long for any that does not."""
        seen = self.look()
        if seen != self.seen:
            self.seen = seen
            self.hashes, wrong = self.read()
            for line in wrong:
                log.error("%s: %s", self.key, line)
            log.info("%s: %d tokens of %s count now", self.key, len(self.hashes), self.path)
        found = False
        for known in self.hashes:
            found |= hmac.compare_digest(known, hashed)
        return found


@final
class AccessRules:
    """The tokens and subjects of one server."""

    def __init__(self, options: AccessOptions) -> None:
        """Read the files.

        Raises:
            ConfigError: see `TokenFile`.
        """
        self.files: Final[list[tuple[Right, TokenFile]]] = []
        if options.control_tokens:
            self.files.append((Right.CONTROL, TokenFile(options.control_tokens, CONTROL_KEY)))
        if options.read_tokens:
            self.files.append((Right.READ, TokenFile(options.read_tokens, READ_KEY)))
        self.subjects: Final[dict[str, Right]] = {}
        for subject in options.read_subjects:
            self.subjects[subject] = Right.READ
        for subject in options.control_subjects:
            self.subjects[subject] = Right.CONTROL

    @property
    def configured(self) -> bool:
        """Whether anybody was given a right. Else the port is as open as Apache's."""
        return bool(self.files or self.subjects)

    def right_of(self, authorization: str, subject: str | None) -> Right:
        """What an Authorization header and a certificate's subject are worth together."""
        right = Right.NONE
        if subject is not None:
            right = self.subjects.get(subject, Right.NONE)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            hashed = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
            for given, file in self.files:
                if file.holds(hashed):
                    right = max(right, given)
        return right
