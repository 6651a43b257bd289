"""What ACLs keep from some: for those who look at kept values.

The index knows it of the znodes that are there; of those that are gone the history does, by the
last ACL that it has seen. What neither knows counts as kept from some.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from observability import acls
from observability.rows import PATH_MAX
from observability.samples.table import ask

AT_ONCE: Final = 500
GIVES: Final = "(operation = 'setACL' OR operation LIKE 'create%%')"  # a znode its ACL


def closed_of(ensemble: str, paths: Iterable[str]) -> set[str]:
    """Of these paths, those that not everybody may read, or of which that is not known."""
    wanted = sorted(set(paths))
    # Of a path that was cut it is not known which znode it was.
    found = {path for path in wanted if len(path) >= PATH_MAX}
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        there = dict(by_index(ensemble, part))
        found |= {path for path, is_open in there.items() if not is_open}
        gone = [path for path in part if path not in there]
        found |= set(gone) - set(open_by_history(ensemble, gone))
    return found


def by_index(ensemble: str, paths: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Of those that are there, whether everybody may read them."""
    for path, is_closed in ask(
        f"SELECT path, is_closed FROM observability_znode WHERE ensemble = %s "
        f"AND path IN ({marks(paths)}) AND NOT is_gone",
        (ensemble, *paths),
    ):
        yield str(path), is_closed is not None and not is_closed


def open_by_history(ensemble: str, paths: Sequence[str]) -> Iterator[str]:
    """Those whose last known ACL lets everybody read."""
    if not paths:
        return
    rows = ask(
        "SELECT r.path, r.acl FROM observability_revision r JOIN ("
        "SELECT path, max(zxid) AS zxid FROM observability_revision WHERE ensemble = %s "
        f"AND path IN ({marks(paths)}) AND {GIVES} GROUP BY path) m "
        "ON m.path = r.path AND m.zxid = r.zxid "
        f"WHERE r.ensemble = %s AND {GIVES} ORDER BY r.part",
        (ensemble, *paths, ensemble),
    )
    last = {str(path): acl for path, acl in rows}  # of a multi the last part holds
    for path, acl in last.items():
        if acls.is_open(acls.read(acl)):
            yield path


def marks(paths: Sequence[str]) -> str:
    return ", ".join(["%s"] * len(paths))
