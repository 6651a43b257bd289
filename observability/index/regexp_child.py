"""Runs as a process of its own: a regular expression over texts, within bounded time and memory.

Whoever writes an expression can make it run for years, and `re` cannot be interrupted: so it runs
where it can be killed. Reads one JSON document `[pattern, [[path, text], ...]]`, writes one: the
indexes of those that fit with the span in path and text, or why the expression is none.
"""

import json
import re
import resource
import sys

CPU_S = 2
MEMORY_BYTES = 512 << 20


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pattern, rows = json.load(sys.stdin)
    try:
        expression = re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError, MemoryError) as error:
        json.dump({"error": str(error)}, sys.stdout)
        return
    found = []
    for at, (path, text) in enumerate(rows):
        spans = [
            None if hit is None else hit.span() for hit in map(expression.search, (path, text))
        ]
        if any(span is not None for span in spans):
            found.append([at, *spans])
    json.dump({"found": found}, sys.stdout)


if __name__ == "__main__":
    main()
