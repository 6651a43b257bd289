"""Java's properties syntax, in which zoo.cfg is written.

Source: admin.md 5.1. `#` and `!` begin comments; a key ends at `=`, `:` or blank; a backslash goes
on in the next line or escapes; the last of several equal keys wins. Bytes are ISO-8859-1.
"""

import re

from ensemble.errors import ConfigError

PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def parse_properties(raw: bytes, source: str) -> dict[str, str]:
    """Keys and values, trimmed.

    Raises:
        ConfigError: a broken \\u escape, with file and line.
    """
    found: dict[str, str] = {}
    for number, line in logical_lines(raw.decode("iso-8859-1")):
        key, value = split_key(line)
        where = f"{source}, line {number}"
        found[unescape(key, where).strip()] = unescape(value, where).strip()
    return found


def logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines without comments and blanks, continued ones joined; with the number of their first."""
    return [(first, line) for first, _, line in logical_spans(text)]


def logical_spans(text: str) -> list[tuple[int, int, str]]:
    """The same, with the numbers of their first and last lines."""
    lines: list[tuple[int, int, str]] = []
    pending = ""
    first = 0
    natural = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(natural, 1):
        line = line.lstrip(" \t\f")
        if not pending:
            if not line or line[0] in "#!":
                continue
            first = number
        slashes = len(line) - len(line.rstrip("\\"))
        if slashes % 2:
            pending += line[:-1]
            continue
        lines.append((first, number, pending + line))
        pending = ""
    if pending:
        lines.append((first, len(natural), pending))
    return lines


def split_key(line: str) -> tuple[str, str]:
    """The key ends at the first unescaped `=`, `:` or blank."""
    at = 0
    while at < len(line) and line[at] not in "=: \t\f":
        at += 2 if line[at] == "\\" else 1
    rest = line[at:].lstrip(" \t\f")
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(" \t\f")
    return line[:at], rest


def unescape(text: str, where: str) -> str:
    if "\\" not in text:
        return text
    out: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character != "\\" or at >= len(text):
            out.append(character)
            continue
        escape = text[at]
        at += 1
        if escape == "u":
            digits = text[at : at + 4]
            try:
                out.append(chr(int(digits, 16)))
            except ValueError:
                raise ConfigError(f"{where}: \\u{digits} is no character") from None
            at += 4
        else:
            out.append(ESCAPES.get(escape, escape))
    return PAIR.sub(joined, "".join(out))


def joined(pair: re.Match[str]) -> str:
    """A character that Java writes as two."""
    return pair[0].encode("utf-16-be", "surrogatepass").decode("utf-16-be")


def escape(value: str) -> str:
    """A value as `unescape` gives it back, in ISO-8859-1."""
    out: list[str] = []
    for character in value:
        if character == "\\":
            out.append("\\\\")
        elif " " <= character <= "~":
            out.append(character)
        elif ord(character) <= 0xFFFF:
            out.append(f"\\u{ord(character):04x}")
        else:
            pair = character.encode("utf-16-be").hex()
            out.append(f"\\u{pair[:4]}\\u{pair[4:]}")
    return "".join(out)
