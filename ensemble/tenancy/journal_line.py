"""A line of the audit journal, and how it holds the one before it.

A line is a JSON object. Its last two members are `prev`, the hash of the line before, and `hash`:
SHA-256 over the line's bytes up to and without the comma before `"hash"`. So nothing in a line can
be changed, and no line dropped, doubled or moved, without the chain telling. Who writes journals
and who collects them share this.
"""

import hashlib
import json
import re
from typing import Final, final

NO_HASH: Final = "0" * 64  # what the very first line follows
END: Final = re.compile(rb',"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"}\n')
END_BYTES: Final = len(',"prev":"') + 64 + len('","hash":"') + 64 + len('"}\n')
HASH_BYTES: Final = len(',"hash":"') + 64 + len('"}\n')
LINE_BYTES_MAX: Final = 1 << 20  # a longer one was not written by us


def seal(text: str, prev: str) -> tuple[bytes, str]:
    """The whole line of an object that `text` begins (without its brace), and its hash."""
    body = f'{text},"prev":"{prev}"'.encode("ascii")
    made = hashlib.sha256(body).hexdigest()
    return b'%b,"hash":"%b"}\n' % (body, made.encode()), made


@final
class Line:
    """One line, checked by itself: `why` says what is wrong with it, or is empty."""

    def __init__(self, raw: bytes) -> None:
        self.raw: Final = raw
        self.fields: dict[str, object] = {}
        self.prev = ""
        self.hash = ""
        self.why = self.check()

    def check(self) -> str:
        raw = self.raw
        if not raw.endswith(b"\n"):
            return "it does not end: torn"
        found = END.fullmatch(raw, max(0, len(raw) - END_BYTES))
        if found is None:
            return "it does not end with prev and hash"
        self.prev = found[1].decode()
        self.hash = found[2].decode()
        if hashlib.sha256(raw[:-HASH_BYTES]).hexdigest() != self.hash:
            return "its hash is not that of its content: edited"
        try:
            fields = json.loads(raw)
        except ValueError:
            return "it is no JSON"
        if not isinstance(fields, dict):
            return "it is no JSON object"
        self.fields = fields
        if self.number("seq") < 0:
            return "it has no number (seq)"
        return ""

    def number(self, name: str) -> int:
        """A whole number that the line carries, -1 where it does not."""
        value = self.fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else -1

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""
