"""Locks in a tree too large to look through: the index of searches knows where such names are.

It says where to look, nothing more: each path is then read as the person who asks.
"""

import time
from typing import Final

from observability.index import search
from observability.index.query import Query, QueryError
from observability.index.scope import Scope
from tenants import recipes

WITHIN_S: Final = 1.5  # all words together
HITS_MAX: Final = 300  # of each word
SHARE_S: Final = 0.3  # one word


def paths_of(scope: Scope, below: str) -> list[str]:
    """Where recipes may be, as the scope calls the paths."""
    found: set[str] = set()
    deadline_s = time.monotonic() + WITHIN_S
    for word in recipes.WORDS:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            break
        query = Query(words=(word,), place="path", path="" if below == "/" else below)
        try:
            hits = search.gather(
                query, scope, "", most=HITS_MAX, within_s=min(left_s, SHARE_S)
            ).hits
        except QueryError:
            continue
        for hit in hits:
            parent, _, name = hit.path.rpartition("/")
            if recipes.form_of([name]) is not None:
                found.add(parent or "/")
            elif recipes.fixed_of(hit.path) is not None:
                found.add(hit.path)
    return sorted(found)
