"""JAAS login files: the users that SASL DIGEST-MD5 knows.

    Server {
        org.apache.zookeeper.server.auth.DigestLoginModule required
        user_super="adminsecret"
        user_bob="bobsecret";
    };

Comments are `//`, `/* */` and `#`. Only the section that is asked for is looked at.
"""

import re
from typing import Final

from ensemble.errors import ConfigError

TOKEN: Final = re.compile(
    r'(?P<space>\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)|(?P<mark>[{};=])|"(?P<quoted>(?:[^"\\\n]|\\.)*)"'
    r"|(?P<word>[^\s{};=\"]+)",
    re.DOTALL,
)


def tokens(text: str, source: str) -> list[tuple[int, str, str]]:
    """(line, kind, text) of everything but blanks and comments."""
    found: list[tuple[int, str, str]] = []
    at = 0
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        match = TOKEN.match(text, at)
        if match is None:
            raise ConfigError(f"{source}, line {line}: {text[at : at + 20]!r} is not understood")
        at = match.end()
        kind = match.lastgroup
        if kind == "quoted":
            found.append((line, "value", re.sub(r"\\(.)", r"\1", match["quoted"])))
        elif kind != "space" and kind is not None:
            found.append((line, kind, match[kind]))
    return found


def read_users(text: str, source: str, section: str = "Server") -> dict[str, str] | None:
    """User name -> password of the section's `user_<name>` entries; None without such a section.

    Raises:
        ConfigError: with file and line.
    """
    options = read_options(text, source, section)
    if options is None:
        return None
    prefix = "user_"
    return {k.removeprefix(prefix): v for k, v in options.items() if k.startswith(prefix)}


def read_options(text: str, source: str, section: str) -> dict[str, str] | None:
    """All `key=value` entries of a section; None without such a section.

    Raises:
        ConfigError: with file and line.
    """
    options: dict[str, str] = {}
    current = ""
    key = ""
    depth = 0
    seen = False
    previous = ""
    for line, kind, token in tokens(text, source):
        if token == "{" and kind == "mark":
            depth += 1
            current = previous
            seen = seen or current == section
        elif token == "}" and kind == "mark":
            depth -= 1
            current = ""
        elif token == "=" and kind == "mark":
            key = previous
            previous = token
            continue
        elif key:
            if current == section:
                options[key] = token
            key = ""
        if depth not in (0, 1):
            raise ConfigError(f"{source}, line {line}: a brace too many")
        previous = token
    if depth != 0:
        raise ConfigError(f"{source}: a section is not closed")
    return options if seen else None
