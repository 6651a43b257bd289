"""Whether a text is right in its language, where it is not, and how it looks in good order.

Layout changes white space only: numbers, escapes, names that come twice and comments stay as they
were typed. Nothing here follows references out of the text.
"""

import json
import re
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat

import yaml

from console.formats import FormatError, from_text

CHECKED_CHARACTERS_MAX: Final = 256 * 1024  # of a larger text only whether it becomes bytes
DEPTH_MAX: Final = 200  # of what is put in order
INDENT: Final = "  "
LAID_OUT: Final = ("json", "xml")

BRACKET: Final = re.compile(r"[\[\]{}]")
YAML_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 20 times as fast

JSON_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
# Of what expat has found right: there every < ends, so that none is looked for in vain.
XML_TOKEN: Final = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<!(?:[^\[>]|\[[^\]]*\])*>|<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>|[^<]+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where: line and column count from 1."""

    line: int
    column: int
    text: str


def problem_of(text: str, format: str) -> Problem | None:
    """The first thing that is wrong with a text; None where all is well, or is not checked."""
    try:
        from_text(text, format)
    except FormatError as error:
        found = re.match(r"Line (\d+)", str(error))
        return Problem(int(found.group(1)) if found else 1, 1, str(error))
    if len(text) > CHECKED_CHARACTERS_MAX:
        return None
    if format == "json":
        return of_json(text)
    if format == "xml":
        return of_xml(text)
    if format == "yaml":
        return of_yaml(text)
    if format == "properties":
        return of_properties(text)
    return None


def of_json(text: str) -> Problem | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return Problem(error.lineno, error.colno, f"{error.msg}.")
    except RecursionError:
        return Problem(1, 1, "Nested too deeply to be read.")
    except ValueError as error:  # a number of thousands of digits
        return Problem(1, 1, f"{error}.")
    return None


def of_xml(text: str) -> Problem | None:
    parser = expat.ParserCreate()
    # A definition of entities can make a small text a huge one: it is read over, never applied.
    parser.DefaultHandler = lambda _: None
    try:
        parser.Parse(text.encode("utf-8"), True)
    except expat.ExpatError as error:
        words = expat.errors.messages[error.code]
        return Problem(error.lineno, error.offset + 1, f"{words[:1].upper()}{words[1:]}.")
    return None


def of_yaml(text: str) -> Problem | None:
    if flow_depth(text) > DEPTH_MAX:
        return None  # the parser's time grows with the square of it: 60,000 brackets take over 10 s
    try:
        for _ in yaml.parse(text, Loader=YAML_LOADER):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = error.problem or error.context or "This is no YAML"
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return Problem(line, column, f"{words[:1].upper()}{words[1:]}.")
    except yaml.YAMLError as error:
        return Problem(1, 1, f"{error}")
    return None


def flow_depth(text: str) -> int:
    """How deep brackets are in each other at most; those within quotes are counted, too."""
    depth = deepest = 0
    for found in BRACKET.finditer(text):
        depth = depth + 1 if found.group() in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def of_properties(text: str) -> Problem | None:
    for number, line in enumerate(text.split("\n"), 1):
        wrong = re.search(r"(?<!\\)(?:\\\\)*\\u(?![0-9a-fA-F]{4})", line)
        if wrong is not None and not line.lstrip().startswith(("#", "!")):
            return Problem(number, wrong.start() + 1, r"\u wants four hexadecimal digits.")
    return None


def laid_out(text: str, format: str) -> str:
    """The same text, indented.

    Raises:
        FormatError: it is not right yet, or of no language that is laid out.
    """
    if format not in LAID_OUT:
        raise FormatError(f"{format!r} is not put in order; {' and '.join(LAID_OUT)} are.")
    if len(text) > CHECKED_CHARACTERS_MAX:
        raise FormatError(
            f"{len(text):,} characters are too many to put in order; "
            f"{CHECKED_CHARACTERS_MAX:,} are the most."
        )
    problem = problem_of(text, format)
    if problem is not None:
        raise FormatError(f"Line {problem.line}, column {problem.column}: {problem.text}")
    end = "\n" if text.endswith("\n") else ""
    return (json_in_order(text) if format == "json" else xml_in_order(text)) + end


def json_in_order(text: str) -> str:
    out: list[str] = []
    depth = 0
    tokens = JSON_TOKEN.findall(text)
    for at, token in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if token in ("{", "["):
            depth += 1
            if depth > DEPTH_MAX:
                raise FormatError(f"More than {DEPTH_MAX} levels: too deep to put in order.")
            out.append(token)
            if following not in ("}", "]"):
                out.append("\n" + INDENT * depth)
        elif token in ("}", "]"):
            depth -= 1
            if tokens[at - 1] not in ("{", "["):
                out.append("\n" + INDENT * depth)
            out.append(token)
        elif token == ",":
            out.append(",\n" + INDENT * depth)
        elif token == ":":
            out.append(": ")
        else:
            out.append(token)
    return "".join(out)


def xml_in_order(text: str) -> str:
    """Elements that hold elements only are indented; where text stands between, all stays."""
    tokens = XML_TOKEN.findall(text)
    if "<!DOCTYPE" in text or "".join(tokens) != text:
        raise FormatError(
            "A text with a DOCTYPE is not put in order: it could mean something else."
        )
    mixed = mixed_elements(tokens)
    out: list[str] = []
    opened: list[int] = []
    kept = 0  # how deep within an element that stays as it is
    for at, token in enumerate(tokens):
        is_tag = token.startswith("<") and token[1:2] not in ("!", "?")
        if token.startswith("</"):
            begun = opened.pop()
            if kept:
                out.append(token)
                kept -= 1 if begun in mixed or kept > 1 else 0
                continue
            if at and tokens_between(tokens, begun, at):
                out.append("\n" + INDENT * len(opened))
            out.append(token)
            continue
        if kept:
            out.append(token)
        elif not token.startswith("<"):
            continue  # white space between elements
        else:
            out.append(("\n" if out else "") + INDENT * len(opened) + token.strip())
        if is_tag and not token.endswith("/>"):
            opened.append(at)
            if len(opened) > DEPTH_MAX:
                raise FormatError(f"More than {DEPTH_MAX} levels: too deep to put in order.")
            if kept or at in mixed:
                kept += 1
    return "".join(out)


def tokens_between(tokens: list[str], begun: int, at: int) -> bool:
    """Whether there is anything but white space in an element."""
    return any(token.strip() for token in tokens[begun + 1 : at])


def mixed_elements(tokens: list[str]) -> set[int]:
    """The elements, by the place of their opening tag, that hold text of their own."""
    found: set[int] = set()
    opened: list[int] = []
    for at, token in enumerate(tokens):
        if token.startswith("</"):
            opened.pop()
        elif not token.startswith("<") or token.startswith("<![CDATA["):
            if opened and token.strip():
                found.add(opened[-1])
        elif token[1:2] not in ("!", "?") and not token.endswith("/>"):
            opened.append(at)
    return found
