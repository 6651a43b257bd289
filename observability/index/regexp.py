"""Regular expressions of other people, in a process that ends whether they do or not."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from observability.index.query import QueryError

TIMEOUT_S: Final = 2.0
AT_ONCE_MAX: Final = 2  # such processes of one web process: it has more threads for pages
WAIT_S: Final = 0.5
BUSY: Final = "another search with an expression is at work: try again in a moment"
CHILD: Final = Path(__file__).with_name("regexp_child.py")

Span = tuple[int, int]
_slots: Final = threading.BoundedSemaphore(AT_ONCE_MAX)
_at_work: Final[set[str]] = set()
_lock: Final = threading.Lock()


class TooSlowError(QueryError):
    """The expression takes too long, or all places are taken. The text is for people."""

    def __init__(self, text: str) -> None:
        super().__init__(text, -1)


def fitting(
    pattern: str, rows: list[tuple[str, str]], whose: str
) -> dict[int, tuple[Span | None, Span | None]]:
    """Which of the rows (path, text) an expression fits, and where in path and text.

    `whose`: who has one place at most, so that nobody takes all of them.

    Raises:
        QueryError: it is no expression.
        TooSlowError: it was stopped.
    """
    with place(whose):
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(CHILD)],
                input=json.dumps([pattern, rows]).encode(),
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            done = None
    if done is None or done.returncode != 0:
        raise TooSlowError(
            f"the expression /{pattern[:60]}/ takes too long: make it simpler, without repeated "
            "parts within repeated parts, or add a word that narrows the search"
        )
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise QueryError(f"/{pattern[:60]}/ is no expression: {answer['error'][:200]}", -1)
    return {at: (span(path), span(text)) for at, path, text in answer["found"]}


@contextmanager
def place(whose: str) -> Iterator[None]:
    """One of the places.

    Raises:
        TooSlowError: they are taken.
    """
    with _lock:
        is_second = whose in _at_work
        if not is_second:
            _at_work.add(whose)
    if is_second:
        raise TooSlowError(BUSY)
    try:
        if not _slots.acquire(timeout=WAIT_S):
            raise TooSlowError(BUSY)
        try:
            yield
        finally:
            _slots.release()
    finally:
        with _lock:
            _at_work.discard(whose)


def span(found: list[int] | None) -> Span | None:
    return None if found is None else (found[0], found[1])
