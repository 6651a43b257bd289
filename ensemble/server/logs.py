"""Logs: one line an event on standard error, as text or as JSON.

What clients and peers can put into a line (paths, names, addresses) is escaped, so nobody can forge
a line or colour a terminal (trust.md 5.3, log injection), and cut to a bound.
"""

import json
import logging
import sys
import time
from typing import Final

MESSAGE_CHARACTERS_MAX: Final = 4_000
TRACE_CHARACTERS_MAX: Final = 40_000


def escape(text: str, characters_max: int = MESSAGE_CHARACTERS_MAX) -> str:
    """Control and direction characters as escapes, long texts cut."""
    if len(text) > characters_max:
        text = f"{text[:characters_max]}… ({len(text)} characters)"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class TextFormatter(logging.Formatter):
    """`2026-11-21T03:00:00.123Z INFO node: text`."""

    def format(self, record: logging.LogRecord) -> str:
        text = escape(record.getMessage())
        if record.exc_info:
            text += " | " + escape(self.formatException(record.exc_info), TRACE_CHARACTERS_MAX)
        name = record.name.removeprefix("ensemble.")
        return f"{timestamp(record.created)} {record.levelname} {name}: {text}"


class AuditFormatter(logging.Formatter):
    """The same for lines whose values are escaped already, so that the TABs between them stay."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{timestamp(record.created)} {record.levelname} audit: {record.getMessage()}"


class JsonFormatter(logging.Formatter):
    """The same as one JSON object a line."""

    def __init__(self, escaped: bool = False) -> None:
        super().__init__()
        self.escaped: Final = escaped

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage() if self.escaped else escape(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


def timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1_000):03d}Z"


def set_up_logs(level: str, form: str) -> None:
    """Send everything of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
