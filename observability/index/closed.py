"""What ACLs keep from some, as far as the index knows: for those who look at kept values."""

from collections.abc import Iterable
from typing import Final

from observability.rows import PATH_MAX
from observability.samples.table import ask

AT_ONCE: Final = 500


def closed_of(ensemble: str, paths: Iterable[str]) -> set[str]:
    """Of these paths, those of znodes that not everybody may read, or of which that is not known.

    A znode that is gone, or that no fill has seen, is not among them.
    """
    wanted = sorted(set(paths))
    # Of a path that was cut it is not known which znode it was.
    found = {path for path in wanted if len(path) >= PATH_MAX}
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        marks = ", ".join(["%s"] * len(part))
        rows = ask(
            f"SELECT path, is_closed FROM observability_znode WHERE ensemble = %s "
            f"AND path IN ({marks}) AND NOT is_gone",
            (ensemble, *part),
        )
        found |= {str(path) for path, is_closed in rows if is_closed is None or is_closed}
    return found
