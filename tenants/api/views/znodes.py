"""Znodes of a tenant, in the caller's name and role; and of a whole ensemble, for operators.

The node holds the wall and the role: a fault of ours cannot cross them.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from ensemble.client import BadVersionError, Client, ClientError, ensure_path
from ensemble.client.errors import BadArgumentsError
from ensemble.client.paths import check_path
from tenants import access, audit, reach, znodes
from tenants.api.documented import documented
from tenants.api.problems import Problem
from tenants.api.views.base import View
from tenants.api.znodes import (
    EPHEMERAL,
    MODES,
    NO_EPHEMERAL,
    AclIn,
    AclOut,
    ChildrenOut,
    ChildrenQuery,
    CreateIn,
    PathQuery,
    ReadQuery,
    SubtreeOut,
    SubtreeQuery,
    WriteIn,
    WrittenOut,
    ZnodeOut,
    acl_of,
    acl_texts,
    data_of,
    expected,
    shown,
    stat_of,
    tag_of,
)
from tenants.errors import ActionError
from tenants.models import Ensemble
from tenants.zk import Bridge

PATHS_SHOWN_MAX: Final = 1_000
IF_MATCH: Final = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER, required=False, description='an etag, or "*"'
)

T = TypeVar("T")


class Place(View):
    """Whose tree it is: overridden by the one of tenants and the one of ensembles."""

    def bridge(self, *, reads: bool) -> Bridge:
        raise NotImplementedError

    def whose(self) -> dict[str, Any]:
        """The trail's words for it."""
        raise NotImplementedError

    def done(self, verb: str, path: str, work: Callable[[], T], **detail: object) -> T:
        """Do it, and write down that it was done or refused. Data is never written."""
        try:
            result = work()
        except (ClientError, ActionError) as error:
            self.note(verb, path, "refused", {**detail, "reason": type(error).__name__})
            raise
        self.note(verb, path, "ok", detail)
        return result

    def note(self, verb: str, path: str, result: str, detail: dict[str, object]) -> None:
        with transaction.atomic():
            audit.record(
                self.actor, verb, target=path, result=result, detail=detail, **self.whose()
            )


class OfTenant(Place):
    def bridge(self, *, reads: bool) -> Bridge:
        return reach.as_person(self.tenant, self.user, access.acting_role(self.user, self.tenant))

    def whose(self) -> dict[str, Any]:
        return {"tenant": self.tenant}


class OfEnsemble(Place):
    _ensemble: Ensemble | None = None

    @property
    def ensemble(self) -> Ensemble:
        if self._ensemble is None:
            self._ensemble = access.ensemble_named(self.kwargs["name"])
        return self._ensemble

    def bridge(self, *, reads: bool) -> Bridge:
        return reach.as_operator(self.ensemble, self.user, reads=reads)

    def whose(self) -> dict[str, Any]:
        return {"ensemble": self.ensemble.name}


class Znodes(Place):
    """One znode, by its path in the query."""

    @documented("Read a znode: data and stat", query=ReadQuery, answer=ZnodeOut)
    def get(self, request: Request, **_: str) -> Response:
        asked = self.asked(ReadQuery)
        path = asked["path"]
        bridge = self.bridge(reads=True)

        async def work(client: Client) -> Any:
            return await client.get(path)

        data, stat = bridge.run(work)
        encoding, text = shown(data, asked["encoding"])
        tag = tag_of(stat, stat.version)
        found: dict[str, object] = {
            "path": path,
            "encoding": encoding,
            "data": text,
            "etag": tag,
            "stat": stat_of(stat),
        }
        if asked["count_below"]:

            async def count(client: Client) -> int:
                return await client.all_children_count(path)

            found["below"] = bridge.run(count)
        return Response(found, headers={"ETag": tag})

    @documented(
        "Write a znode, if it is the one that was read",
        query=PathQuery,
        body=WriteIn,
        answer=WrittenOut,
        headers=[IF_MATCH],
    )
    def put(self, request: Request, **_: str) -> Response:
        path = self.asked(PathQuery)["path"]
        data = data_of(self.given(WriteIn))
        version, czxid = expected(request.headers.get("If-Match"))
        bridge = self.bridge(reads=False)
        stat = self.done(
            "znode.set",
            path,
            lambda: met(
                lambda: bridge.run(lambda c: znodes.write_if(c, path, data, version, czxid))
            ),
            bytes=len(data),
        )
        tag = tag_of(stat, stat.version)
        written = {"path": path, "etag": tag, "stat": stat_of(stat)}
        return Response(written, headers={"ETag": tag})

    @documented("Create a znode", body=CreateIn, answer=WrittenOut, status=201)
    def post(self, request: Request, **_: str) -> Response:
        given = self.given(CreateIn)
        mode = MODES.get(given["mode"])
        if mode is None:
            name = given["mode"]
            text = NO_EPHEMERAL if name in EPHEMERAL else f"{name!r} is none of {', '.join(MODES)}"
            raise serializers.ValidationError({"mode": [text]})
        path, ttl_ms, data = given["path"], given["ttl_ms"], data_of(given)
        try:
            check_path(path, sequential=mode.is_sequential)
        except BadArgumentsError as error:
            raise serializers.ValidationError({"path": [str(error)]}) from None
        if mode.has_ttl != (ttl_ms is not None):
            text = "is needed for a TTL mode" if mode.has_ttl else "is for the TTL modes alone"
            raise serializers.ValidationError({"ttl_ms": [text]})
        options = {"acl": acl_of(given["acl"])} if given.get("acl") else {}

        async def work(client: Client) -> Any:
            parent = path.rpartition("/")[0]
            if given["parents"] and parent:
                await ensure_path(client, parent)
            return await client.create_with_stat(path, data, mode=mode, ttl_ms=ttl_ms, **options)

        bridge = self.bridge(reads=False)
        created, stat = self.done(
            "znode.create", path, lambda: bridge.run(work), mode=mode.name, bytes=len(data)
        )
        tag = tag_of(stat, stat.version)
        made = {"path": created, "etag": tag, "stat": stat_of(stat)}
        return Response(made, status=201, headers={"ETag": tag})

    @documented(
        "Delete a znode; recursively all below it, too",
        query=SubtreeQuery,
        answer=SubtreeOut,
        headers=[IF_MATCH],
    )
    def delete(self, request: Request, **_: str) -> Response:
        asked = self.asked(SubtreeQuery)
        path = asked["path"]
        bridge = self.bridge(reads=False)
        if asked["dry_run"]:
            return Response(planned(bridge, path, recursive=asked["recursive"]))
        version, czxid = expected(request.headers.get("If-Match"))
        if not asked["recursive"]:
            self.done(
                "znode.delete",
                path,
                lambda: met(
                    lambda: bridge.run(lambda c: znodes.delete_if(c, path, version, czxid))
                ),
            )
            return Response(finished(path, [path], 1))
        bridge.run(lambda c: check_tag(c, path, version, czxid))
        paths = znodes.subtree(bridge, path)
        done = self.done(
            "znode.delete-all", path, lambda: znodes.delete_subtree(bridge, paths), total=len(paths)
        )
        return Response(finished(path, paths, done))


class Children(Place):
    @documented(
        "The children of a znode, by name, in pages", query=ChildrenQuery, answer=ChildrenOut
    )
    def get(self, request: Request, **_: str) -> Response:
        asked = self.asked(ChildrenQuery)
        path, limit, after = asked["path"], asked["limit"], asked["after"]
        bridge = self.bridge(reads=True)
        page = bridge.run(lambda c: znodes.read_children(c, path, 0, limit, after=after))
        is_last = page.offset + len(page.rows) >= page.total
        rows = [
            {
                "name": row.name,
                "children": row.children,
                "ephemeral": row.ephemeral,
                "data_bytes": row.data_bytes,
            }
            for row in page.rows
        ]
        next_after = None if is_last or not rows else page.rows[-1].name
        found = {"path": path, "total": page.total, "results": rows, "next_after": next_after}
        return Response(found)


class AclView(Place):
    @documented("The ACL of a znode", query=PathQuery, answer=AclOut)
    def get(self, request: Request, **_: str) -> Response:
        path = self.asked(PathQuery)["path"]

        async def work(client: Client) -> Any:
            return await client.get_acl(path)

        acl, stat = self.bridge(reads=True).run(work)
        tag = tag_of(stat, stat.aversion)
        return Response({"path": path, "acl": acl_texts(acl), "etag": tag}, headers={"ETag": tag})

    @documented(
        "Set the ACL of a znode; recursively of all below it, too",
        query=SubtreeQuery,
        body=AclIn,
        answer=SubtreeOut,
        headers=[IF_MATCH],
    )
    def put(self, request: Request, **_: str) -> Response:
        asked = self.asked(SubtreeQuery)
        path = asked["path"]
        acl = acl_of(self.given(AclIn)["acl"])
        bridge = self.bridge(reads=False)
        if asked["dry_run"]:
            return Response(planned(bridge, path, recursive=asked["recursive"]))
        version, czxid = expected(request.headers.get("If-Match"))
        detail = {"acl": acl_texts(acl)[:10]}
        if not asked["recursive"]:
            self.done(
                "znode.acl",
                path,
                lambda: met(
                    lambda: bridge.run(lambda c: znodes.set_acl_if(c, path, acl, version, czxid))
                ),
                **detail,
            )
            return Response(finished(path, [path], 1))
        bridge.run(lambda c: check_tag(c, path, version, czxid, of_acl=True))
        paths = znodes.subtree(bridge, path)
        done = self.done(
            "znode.acl-all",
            path,
            lambda: znodes.set_acl_of_subtree(bridge, paths, acl),
            total=len(paths),
            **detail,
        )
        return Response(finished(path, paths, done))


def met(work: Callable[[], T]) -> T:
    """What a condition says that was not met: 412."""
    try:
        return work()
    except BadVersionError as error:
        raise changed_meanwhile(str(error.path)) from None


def changed_meanwhile(path: str) -> Problem:
    return Problem(
        412, "precondition-failed", f"{path} was changed meanwhile: read it again, then decide"
    )


async def check_tag(
    client: Client, path: str, version: int, czxid: int | None, *, of_acl: bool = False
) -> None:
    """The top of a subtree is the one that was read."""
    stat = await client.exists(path)
    if stat is None or czxid is None:
        return
    if stat.czxid != czxid or version != (stat.aversion if of_acl else stat.version):
        raise changed_meanwhile(path)


def planned(bridge: Bridge, path: str, *, recursive: bool) -> dict[str, object]:
    """What would be done."""
    if recursive:
        paths = znodes.subtree(bridge, path)
    else:

        async def look(client: Client) -> Any:
            return await client.get_acl(path)  # a NoNodeError, where it is not there

        bridge.run(look)
        paths = [path]
    return {**finished(path, paths, 0), "dry_run": True}


def finished(path: str, paths: list[str], done: int) -> dict[str, object]:
    return {
        "path": path,
        "dry_run": False,
        "total": len(paths),
        "done": done,
        "paths": paths[:PATHS_SHOWN_MAX],
    }


class TenantZnodes(OfTenant, Znodes):
    pass


class TenantChildren(OfTenant, Children):
    pass


class TenantAcl(OfTenant, AclView):
    pass


class EnsembleZnodes(OfEnsemble, Znodes):
    pass


class EnsembleChildren(OfEnsemble, Children):
    pass


class EnsembleAcl(OfEnsemble, AclView):
    pass
