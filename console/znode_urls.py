"""Addresses of the znode browser; `routes_znodes` says what each needs."""

from django.urls import URLPattern, path

from console.views.znode import acls, changes, pages, revisions, tools


def browser(root: str, prefix: str) -> list[URLPattern]:
    """Below the root of a tree: nothing for the whole one, `ensembles/<name>/`, `tenants/...`."""
    parts = {
        "children": pages.children,
        "complete": pages.complete,
        "data": pages.data,
        "raw": pages.raw,
        "save": changes.save,
        "create": changes.create,
        "delete": changes.delete,
        "acl": acls.change,
        "acl-test": acls.try_out,
        "check": tools.check,
        "bookmark": tools.bookmark,
        "revisions": revisions.revisions,
        "revision": revisions.revision,
    }
    return [
        *(
            path(f"{root}znodes/{name}", view, name=f"{prefix}znode-{name}")
            for name, view in parts.items()
        ),
        path(f"{root}znodes/at/", pages.znode, {"name": ""}, name=f"{prefix}znode"),
        path(f"{root}znodes/at/<path:name>", pages.znode, name=f"{prefix}znode"),
    ]
