"""How the bytes of a znode are shown and edited: as text in some language, or as hexadecimal.

What goes out comes back unchanged: `from_text(to_text(data))` is `data` for every format that
`detect` gives.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

HEX_BYTES_A_LINE: Final = 16
SHOWN_BYTES_MAX: Final = 1 << 20  # larger data is offered as a download only

# Besides tab, line feed and carriage return nobody types control characters.
CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
LONE_RETURN: Final = re.compile(r"\r")
NAMES: Final = {"json": "JSON", "xml": "XML", "yaml": "YAML", "text": "Text", "hex": "Hex"}


class FormatError(Exception):
    """A text cannot become data: which one, where, and what would do."""


@dataclass(frozen=True)
class Shown:
    """Data as it stands in the editor."""

    format: str  # a key of NAMES
    text: str


def detect(data: bytes) -> str:
    """The format that suits the data."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "hex"
    # A browser's editor would change these: they are shown as they are, in hexadecimal.
    if CONTROL.search(text) or LONE_RETURN.search(text):
        return "hex"
    start = text.lstrip()[:1]
    if start and start in "{[":
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return "text"
        return "json"
    if start == "<":
        return "xml"
    if re.match(r"\s*(---|[\w.-]+:(\s|$))", text) and "\n" in text.strip():
        return "yaml"
    return "text"


def show(data: bytes, format: str = "") -> Shown:
    """The data as a text; as hexadecimal where the wanted format cannot hold it."""
    natural = detect(data)
    if format not in NAMES or (natural == "hex" and format != "hex"):
        format = natural
    return Shown(format, to_hex(data) if format == "hex" else data.decode("utf-8"))


def to_hex(data: bytes) -> str:
    """Pairs of digits, sixteen a line."""
    lines = range(0, len(data), HEX_BYTES_A_LINE)
    return "\n".join(data[at : at + HEX_BYTES_A_LINE].hex(" ") for at in lines)


def from_text(text: str, format: str) -> bytes:
    """The data that an edited text means.

    Raises:
        FormatError: names the place and what is wrong there.
    """
    if format not in NAMES:
        raise FormatError(f"Unknown format {format[:40]!r}: use one of {', '.join(NAMES)}.")
    if format != "hex":
        return text.encode("utf-8")
    digits = re.sub(r"\s+", "", text)
    wrong = re.search(r"[^0-9a-fA-F]", digits)
    if wrong is not None:
        raise FormatError(f"{wrong.group()!r} is not a hexadecimal digit. Use 0-9 and a-f.")
    if len(digits) % 2:
        raise FormatError(f"{len(digits)} digits: each byte takes two, so one is missing.")
    return bytes.fromhex(digits)
