"""The pages that look inside ensembles: their addresses, and what each needs."""

from typing import Final

from tenants.access import Standing

ROUTES: Final[dict[str, Standing | str]] = {
    "node": "ensemble.read",
    "sessions": "ensemble.read",
    "session": "ensemble.read",
    "session-close": "ensemble.change",
    "locks": "tree.read",
    "tenant-sessions": "session.read",
    "tenant-session": "session.read",
    "tenant-session-close": "session.close",
    "tenant-locks": "znode.read",
}
