"""The language of searches: words, filters, one regular expression. Pure.

    timeout "max conn" path:/shop name:*.json in:value size:>10k changed:<1h ephemeral:no /a[0-9]+/

All that is given must hold. A word is a part of a path or a value, whatever its case.
"""

import re
from dataclasses import dataclass
from typing import Final

QUERY_MAX: Final = 1_000
WORDS_MAX: Final = 10
REGEX_MAX: Final = 200
STARS_MAX: Final = 20
NUMBER_DIGITS_MAX: Final = 12
BYTES: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
PLACES: Final = ("path", "value")
YES: Final = {"yes": True, "true": True, "no": False, "false": False}
KEYS: Final = ("path", "name", "in", "size", "changed", "ephemeral", "tenant")
LITERAL_MIN: Final = 3
REPEATED: Final = re.compile(r"([*?+]|\{([0-9]*),?[0-9]*\})[?+]?")
COMPARED: Final = re.compile(rf"(<=|>=|<|>|=|)([0-9]{{1,{NUMBER_DIGITS_MAX}}})([a-z]?)")


class QueryError(ValueError):
    """A part of a query is none. The text is for people and names the place."""

    def __init__(self, text: str, at: int = 0) -> None:
        super().__init__(f"{text} (at character {at + 1})" if at >= 0 else text)
        self.at = at


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; None: no bound there."""

    low: int | None = None
    high: int | None = None

    def holds(self, number: int) -> bool:
        return (self.low is None or number >= self.low) and (
            self.high is None or number <= self.high
        )


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for."""

    words: tuple[str, ...] = ()
    place: str = ""  # path, value; empty: either
    path: str = ""  # it and what is below; with stars: the whole path
    name: str = ""  # the last part of the path; with stars
    size: Range | None = None
    age_s: Range | None = None  # since the last change
    ephemeral: bool | None = None
    tenant: str = ""
    regex: str = ""

    @property
    def is_empty(self) -> bool:
        return self == Query()


def parse(text: str) -> Query:
    """What somebody wrote.

    Raises:
        QueryError: names what is wrong, and where.
    """
    if len(text) > QUERY_MAX:
        raise QueryError(f"the search has {len(text)} characters; use up to {QUERY_MAX}", -1)
    if "\0" in text:
        raise QueryError("a NUL is no part of a search", text.index("\0"))
    words: list[str] = []
    given: dict[str, object] = {}
    for at, token, is_quoted in tokens(text):
        if not is_quoted and is_regex(token):
            if "regex" in given:
                raise QueryError("one regular expression is enough: join them with |", at)
            given["regex"] = checked_regex(token[1:-1], at)
            continue
        key, colon, value = token.partition(":")
        if is_quoted or not colon or key.lower() not in KEYS:
            words.append(token)
            continue
        key = key.lower()
        field = {"in": "place", "changed": "age_s"}.get(key, key)
        if field in given:
            raise QueryError(f"{key}: stands twice", at)
        given[field] = read_value(key, unquoted(value), at)
    if len(words) > WORDS_MAX:
        raise QueryError(f"there are {len(words)} words; use up to {WORDS_MAX}", -1)
    return Query(words=tuple(words), **given)  # type: ignore[arg-type]  # by `read_value`


def tokens(text: str) -> list[tuple[int, str, bool]]:
    """Position, text and whether it stood in quotes, of each part.

    Raises:
        QueryError: a quote has no end.
    """
    found: list[tuple[int, str, bool]] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        begin = at
        if text[at] == '"':
            token, at = quoted(text, at)
            if token:
                found.append((begin, token, True))
            continue
        end = regex_end(text, at) if text[at] == "/" else 0
        if end:
            found.append((begin, text[at:end], False))
            at = end
            continue
        while at < len(text) and not text[at].isspace():
            if text[at] == '"' and text[at - 1] == ":":
                _, at = quoted(text, at)
            else:
                at += 1
        found.append((begin, text[begin:at], False))
    return found


def quoted(text: str, at: int) -> tuple[str, int]:
    """What stands in quotes from `at` on, a doubled one being one; and where it ends."""
    end = at + 1
    while True:
        end = text.find('"', end)
        if end < 0:
            raise QueryError('a quote has no end: close it with another "', at)
        if text[end + 1 : end + 2] != '"':
            return text[at + 1 : end].replace('""', '"'), end + 1
        end += 2


def unquoted(value: str) -> str:
    return value[1:-1].replace('""', '"') if len(value) > 1 and value[0] == '"' else value


def regex_end(text: str, at: int) -> int:
    """Where an expression that begins here ends: behind a slash that ends a word; 0: nowhere."""
    end = at + 1
    while end < len(text):
        if text[end] == "\\":
            end += 2
            continue
        if text[end] == "/" and end > at + 1 and text[end + 1 : end + 2].strip() == "":
            return end + 1
        end += 1
    return 0


def is_regex(token: str) -> bool:
    return len(token) > 2 and token[0] == "/" and token[-1] == "/"


def checked_regex(pattern: str, at: int) -> str:
    """The expression, if it is short; whether it is one, `regexp` finds out under guard."""
    if len(pattern) > REGEX_MAX:
        raise QueryError(f"the expression has {len(pattern)} characters; up to {REGEX_MAX}", at)
    return pattern


def read_value(key: str, value: str, at: int) -> object:
    shown = value[:40]
    if not value:
        raise QueryError(f"{key}: says nothing; put a value behind the colon", at)
    if key in ("path", "name"):
        if value.count("*") > STARS_MAX:
            raise QueryError(f"{key}: has {value.count('*')} stars; use up to {STARS_MAX}", at)
        if key == "path" and not value.startswith(("/", "*")):
            raise QueryError(f"path: is {shown!r}; a path begins with /", at)
        return (value.rstrip("/") or "/") if key == "path" else value
    if key == "in":
        if value.lower() not in PLACES:
            raise QueryError(f"in: is {shown!r}; use in:path or in:value", at)
        return value.lower()
    if key == "ephemeral":
        if value.lower() not in YES:
            raise QueryError(f"ephemeral: is {shown!r}; use yes or no", at)
        return YES[value.lower()]
    if key == "size":
        return compared(key, value, at, BYTES, "size:>10k")
    if key == "changed":
        return compared(key, value, at, SECONDS, "changed:<1h")
    return value


def compared(key: str, value: str, at: int, units: dict[str, int], example: str) -> Range:
    found = COMPARED.fullmatch(value.lower())
    if found is None or found[3] not in units:
        names = ", ".join(unit for unit in units if unit)
        raise QueryError(f"{key}: is {value[:40]!r}; write it as in {example} (units: {names})", at)
    number = int(found[2]) * units[found[3]]
    sign = found[1]
    if sign in ("<", "<="):
        return Range(None, number - (sign == "<" and key == "size"))
    if sign in (">", ">="):
        return Range(number + (sign == ">" and key == "size"), None)
    return Range(None, number) if key == "changed" else Range(number, number)


def matches(pattern: str, text: str) -> bool:
    """Whether a text is what a pattern with stars says, as a whole; each star is looked for once.

    In time of the product of both lengths at worst, however many stars there are.
    """
    pattern, text = pattern.lower(), text.lower()
    first, *middle, last = pattern.split("*") if "*" in pattern else (pattern, "")
    if "*" not in pattern:
        return text == pattern
    if len(text) < len(first) + len(last) or not text.startswith(first):
        return False
    if not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def literals(pattern: str) -> list[str]:
    """Texts that whatever fits an expression must have; none where that is hard to say."""
    if "|" in pattern or "(" in pattern:
        return []
    found: list[str] = []
    run, at = "", 0
    while at < len(pattern):
        sign, at = atom(pattern, at)
        least, at = repeated(pattern, at)
        if sign and least:
            run += sign
        if not sign or least != 1:
            found.append(run)
            run = sign if sign and least > 1 else ""
    return [one for one in (*found, run) if len(one) >= LITERAL_MIN]


def atom(pattern: str, at: int) -> tuple[str, int]:
    """The character that must stand here, empty where it may be several; and where that ends."""
    sign = pattern[at]
    if sign == "\\":
        escaped = pattern[at + 1 : at + 2]
        return ("" if escaped.isalnum() else escaped), at + 2
    if sign == "[":
        end = pattern.find("]", at + (3 if pattern[at + 1 : at + 2] == "^" else 2))
        # An escaped bracket ends nothing: then nothing is said of the rest.
        closed = end >= 0 and "\\" not in pattern[at:end]
        return "", (end + 1 if closed else len(pattern))
    return ("" if sign in ".^$*+?{}" else sign), at + 1


def repeated(pattern: str, at: int) -> tuple[int, int]:
    """How often what stands before is there at least: 0, 1, or 2 for more; and where that ends."""
    found = REPEATED.match(pattern, at)
    if found is None:
        return 1, at
    sign = found[1]
    if sign in "*?":
        return 0, found.end()
    if sign == "+":
        return 2, found.end()
    return (2 if found[2].strip("0") else 0), found.end()
