"""What the znode browser's addresses need, for the whole tree, an ensemble's and a tenant's.

The same pages under three prefixes: `znode-data`, `ensemble-znode-data`, `tenant-znode-data`.
"""

from typing import Final

from tenants.access import Standing

READING: Final = (
    *("", "-children", "-complete", "-data", "-raw", "-check", "-acl-test", "-bookmark"),
    *("-revisions", "-revision"),
)
WRITING: Final = ("-save", "-create", "-delete")
ACL: Final = ("-acl",)
HISTORY: Final = ("-revisions", "-revision")


def routes() -> dict[str, Standing | str]:
    found: dict[str, Standing | str] = {}
    for page in READING:
        found[f"znode{page}"] = Standing.AUDITOR
        found[f"ensemble-znode{page}"] = "tree.read"
        found[f"tenant-znode{page}"] = "tenant.history" if page in HISTORY else "znode.read"
    for page in (*WRITING, *ACL):
        found[f"znode{page}"] = Standing.OPERATOR
        found[f"ensemble-znode{page}"] = "tree.change"
        found[f"tenant-znode{page}"] = "znode.acl" if page in ACL else "znode.write"
    return found


ZNODE_ROUTES: Final = routes()
