"""The metrics that a PromQL expression names."""

import re

STRING = re.compile(r'"[^"]*"')
GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)")
MATCHERS = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
NAME = re.compile(r"(?<![\w:.$])([a-zA-Z_][\w:]*)(\s*\()?")
WORDS = {"and", "or", "unless", "bool", "offset"}


def metrics_in(expression: str) -> set[str]:
    """Names of series; functions, labels and words are none."""
    text = GROUPING.sub(" ", MATCHERS.sub("", STRING.sub("", expression)))
    return {name for name, call in NAME.findall(text) if not call and name not in WORDS}
