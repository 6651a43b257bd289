"""How the bytes of a znode are shown and edited: as text in some language, or spelled out.

What goes out comes back unchanged: `from_text(show(data).text, ...)` is `data` for every format,
of gzip with the data that it came from. Whether a text is right in its language, `checks` says.
"""

import base64
import binascii
import gzip
import json
import re
import zlib
from dataclasses import dataclass
from typing import Final

HEX_BYTES_A_LINE: Final = 16
BASE64_A_LINE: Final = 76
SHOWN_BYTES_MAX: Final = 1 << 20  # larger data is offered as a download only
UNPACKED_BYTES_MAX: Final = 1 << 20  # gzip that holds more stays packed
GZIP: Final = b"\x1f\x8b"

# Besides tab, line feed and carriage return nobody types control characters.
CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
LONE_RETURN: Final = re.compile(r"\r")
# `key=value` or `key: value` a line, with comments between.
PROPERTY: Final = re.compile(r"[ \t]*([#!].*|[\w.\-/$\[\]]+[ \t]*=.*|)")
YAML: Final = re.compile(r"\s*(#.*\n\s*)*(---|-\s|[\w.\-]+:(\s|$))")
NAMES: Final = {
    "json": "JSON",
    "yaml": "YAML",
    "xml": "XML",
    "properties": "Properties",
    "text": "Text",
    "gzip": "Gzip, unpacked",
    "base64": "Base64",
    "hex": "Hex",
}
SPELLED: Final = frozenset({"hex", "base64"})  # take any bytes


class FormatError(Exception):
    """A text cannot become data: which one, where, and what would do."""


@dataclass(frozen=True)
class Shown:
    """Data as it stands in the editor. `offered`: the formats that can hold it."""

    format: str  # a key of NAMES
    text: str
    offered: tuple[str, ...] = ()


def plain(data: bytes) -> str | None:
    """The data as a text that a browser's editor leaves as it is; None where it is none."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if CONTROL.search(text) or LONE_RETURN.search(text) else text


def unpacked(data: bytes) -> str | None:
    """The text within gzip; None where that is none, or more than UNPACKED_BYTES_MAX."""
    if not data.startswith(GZIP):
        return None
    machine = zlib.decompressobj(wbits=31)
    try:
        inside = machine.decompress(data, UNPACKED_BYTES_MAX + 1)
    except zlib.error:
        return None
    if len(inside) > UNPACKED_BYTES_MAX or not machine.eof or machine.unused_data:
        return None
    return plain(inside)


def packed(text: str) -> bytes:
    """Gzip without a time in it: the same text is the same bytes."""
    return gzip.compress(text.encode("utf-8"), mtime=0)


def detect(data: bytes) -> str:
    """The format that suits the data."""
    text = plain(data)
    if text is None:
        return "hex" if unpacked(data) is None else "gzip"
    return language(text)


def language(text: str) -> str:
    """Which of the languages a text is in."""
    start = text.lstrip()[:1]
    if start and start in "{[":
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return "text"
        return "json"
    if start == "<":
        return "xml"
    if "=" in text and all(map(PROPERTY.fullmatch, text.split("\n"))):
        return "properties"
    if "\n" in text.strip() and YAML.match(text):
        return "yaml"
    return "text"


def show(data: bytes, format: str = "") -> Shown:
    """The data as a text; in the format that suits where the wanted one cannot hold it."""
    text, inside = plain(data), unpacked(data)
    offered = [
        name
        for name in NAMES
        if name in SPELLED
        or (name == "gzip" and inside is not None)
        or (name != "gzip" and text is not None)
    ]
    if format not in offered:
        format = detect(data)
    if format == "hex":
        shown = to_hex(data)
    elif format == "base64":
        shown = to_base64(data)
    else:
        shown = (inside if format == "gzip" else text) or ""
    return Shown(format, shown, tuple(offered))


def to_hex(data: bytes) -> str:
    """Pairs of digits, sixteen a line, and behind a bar what is text of them."""
    lines = []
    for at in range(0, len(data), HEX_BYTES_A_LINE):
        part = data[at : at + HEX_BYTES_A_LINE]
        readable = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{part.hex(' '):<{3 * HEX_BYTES_A_LINE - 1}}  |{readable}|")
    return "\n".join(lines)


def to_base64(data: bytes) -> str:
    text = base64.b64encode(data).decode()
    return "\n".join(text[at : at + BASE64_A_LINE] for at in range(0, len(text), BASE64_A_LINE))


def from_text(text: str, format: str, original: bytes = b"") -> bytes:
    """The data that an edited text means; `original`, what it was, stays where nothing has changed.

    Raises:
        FormatError: names the place and what is wrong there.
    """
    if format not in NAMES:
        raise FormatError(f"Unknown format {format[:40]!r}: use one of {', '.join(NAMES)}.")
    if format == "hex":
        return from_hex(text)
    if format == "base64":
        return from_base64(text)
    if format == "gzip":
        return original if original and unpacked(original) == text else packed(text)
    return text.encode("utf-8")


def from_hex(text: str) -> bytes:
    """Digits; whatever stands behind a bar is not read."""
    digits = []
    for number, line in enumerate(text.split("\n"), 1):
        part = re.sub(r"\s+", "", line.partition("|")[0])
        wrong = re.search(r"[^0-9a-fA-F]", part)
        if wrong is not None:
            raise FormatError(
                f"Line {number}: {wrong.group()!r} is not a hexadecimal digit. Use 0-9 and a-f."
            )
        digits.append(part)
    joined = "".join(digits)
    if len(joined) % 2:
        odd = next(number for number, part in enumerate(digits, 1) if len(part) % 2)
        raise FormatError(
            f"Line {odd}: {len(joined)} digits in all: each byte takes two, so one is missing."
        )
    return bytes.fromhex(joined)


def from_base64(text: str) -> bytes:
    joined = re.sub(r"\s+", "", text)
    wrong = re.search(r"[^0-9a-zA-Z+/=]", joined)
    if wrong is not None:
        raise FormatError(f"{wrong.group()!r} is not base64. Use A-Z, a-z, 0-9, + and /.")
    try:
        return base64.b64decode(joined, validate=True)
    except binascii.Error as error:
        raise FormatError(
            f"{len(joined)} characters are not base64: {error}. Four stand for three bytes."
        ) from None
