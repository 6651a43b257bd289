"""Who may open the pages of work on subtrees, and of jobs; `routes` takes them in.

A job's own pages show it to who asked for it, and to operators: the view looks.
"""

from typing import Final

from tenants.access import Standing

OPERATIONS: Final[dict[str, str]] = {
    "duplicate": "znode.write",
    "move": "znode.write",
    "delete-tree": "znode.write",
    "acl-tree": "znode.acl",
    "export": "znode.read",
    "import": "znode.write",
    "at-time": "znode.read",
    "restore": "znode.write",
}
"""By the end of the route's name: the right in a tenant."""

READS: Final = frozenset({"export", "at-time"})

BULK_ROUTES: Final[dict[str, Standing | str]] = {
    **{f"tenant-znode-{name}": right for name, right in OPERATIONS.items()},
    **{
        f"{prefix}znode-{name}": "tree.read" if name in READS else "tree.change"
        for prefix in ("", "ensemble-")
        for name in OPERATIONS
    },
    "jobs": Standing.PERSON,
    "job": Standing.PERSON,
    "job-file": Standing.PERSON,
    "job-confirm": Standing.PERSON,
    "job-resume": Standing.PERSON,
    "job-cancel": Standing.PERSON,
    "job-undo": Standing.PERSON,
    "job-remove": Standing.PERSON,
}
