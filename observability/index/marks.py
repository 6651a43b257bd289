"""Texts with their hits marked, as pieces: whoever shows them decides how."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from observability.index.regexp import Span

AROUND: Final = 60  # characters of a value before its first hit
SNIPPET: Final = 200
SPANS_MAX: Final = 50
SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Marked:
    """A piece of a text; `is_hit`: this is what was looked for."""

    text: str
    is_hit: bool = False


def spans_of(text: str, words: Sequence[str], more: Span | None) -> list[Span]:
    """Where the words are, in order and without overlap."""
    found = [] if more is None else [more]
    if words:
        # The longest first: where one word is part of another, both are marked.
        parts = sorted(map(re.escape, words), key=len, reverse=True)
        for at, hit in enumerate(re.finditer("|".join(parts), text, re.IGNORECASE)):
            if at >= SPANS_MAX:
                break
            found.append(hit.span())
    spans: list[Span] = []
    for begin, end in sorted(found):
        if spans and begin < spans[-1][1]:
            continue
        if end > begin:
            spans.append((begin, end))
    return spans


def pieces(text: str, spans: list[Span]) -> list[Marked]:
    found = []
    at = 0
    for begin, end in spans:
        if begin > at:
            found.append(Marked(text[at:begin]))
        found.append(Marked(text[begin:end], True))
        at = end
    if at < len(text):
        found.append(Marked(text[at:]))
    return found


def marked(text: str, words: Sequence[str], more: Span | None = None) -> list[Marked]:
    """The whole text."""
    return pieces(text, spans_of(text, words, more))


def snippet(text: str, words: Sequence[str], more: Span | None = None) -> list[Marked]:
    """The part of a value around its first hit, in one line; nothing where there is no hit."""
    spans = spans_of(text, words, more)
    if not spans:
        return []
    begin = max(0, spans[0][0] - AROUND)
    end = min(len(text), max(begin + SNIPPET, spans[0][1]), spans[0][0] + SNIPPET)
    inside = [(a - begin, min(b, end) - begin) for a, b in spans if a < end]
    shown = pieces(text[begin:end], inside)
    line = [Marked(SPACES.sub(" ", one.text), one.is_hit) for one in shown]
    if begin:
        line.insert(0, Marked("… "))
    if end < len(text):
        line.append(Marked(" …"))
    return line
