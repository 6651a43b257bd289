"""What goes on inside: sessions, watches, ephemerals, locks and elections, slow requests.

All of it is paged, filtered by tenant where it can be, and made in slices (`paging`). Paths are the
tree's own. Values are never shown.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ensemble.server import recipes
from ensemble.server.admin_protocol import BadQuery, JsonObject, number, reply
from ensemble.server.clock import monotonic_us, wall_ms
from ensemble.server.connection import Connection
from ensemble.server.paging import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    SLICE,
    Page,
    TooManyScans,
    next_keys,
    path_of,
    session_id_of,
    session_text,
    shown,
)
from ensemble.server.slow import TURN, SlowRequest
from ensemble.tree.paths import is_within, parent_of
from ensemble.tree.watches import PERSISTENT, RECURSIVE, STANDARD
from ensemble.wire import codes

if TYPE_CHECKING:
    from ensemble.server.admin_port import AdminPort
    from ensemble.server.node import Node

CONTENDERS_MAX: Final = 10_000  # of one lock, to tell who is first
LISTED_MAX: Final = 100  # of watchers of one path, of contenders of one lock
KINDS: Final = ((STANDARD, "once"), (PERSISTENT, "persistent"), (RECURSIVE, "recursive"))
"""The three ways to watch, by their bits in the table."""

Handler = Callable[["AdminPort", web.Request], Awaitable[JsonObject]]


def answered(
    name: str, make: Handler
) -> Callable[["AdminPort", web.Request], Awaitable[web.StreamResponse]]:
    """A command's handler out of what makes its fields; few of them at a time."""

    async def handler(port: "AdminPort", request: web.Request) -> web.StreamResponse:
        try:
            async with port.scans:
                fields = await make(port, request)
        except TooManyScans as refused:
            return reply(name, {}, str(refused), 503)
        return reply(name, fields, None, is_compact="compact" in request.query)

    return handler


# Tenants of sessions and paths


def prefix_of(node: "Node", request: web.Request) -> bytes:
    """What the paths of the tenant that is asked for begin with; empty for all.

    Raises:
        BadQuery: there is no such tenant.
    """
    slug = request.query.get("tenant")
    if slug is None:
        return b""
    tenant = node.directory.by_slug.get(slug)
    if tenant is None:
        raise BadQuery(f"tenant={slug[:70]}: there is no such tenant here")
    return tenant.spec.root


def tenant_of_path(node: "Node", path: bytes) -> str | None:
    tenant = node.directory.tenant_at(path)
    return None if tenant is None else tenant.spec.slug


def tenant_of_session(node: "Node", session_id: int, conn: Connection | None) -> str | None:
    """By the ephemeral that binds it; a local session by its connection."""
    bound = node.directory.bindings.get(session_id)
    if bound is not None:
        return bound.slug
    if conn is not None and conn.seat.tenant is not None:
        return conn.seat.tenant.spec.slug
    return None


async def sessions_of(node: "Node", slug: str) -> list[int]:
    """The sessions that are bound to a tenant, and local ones of its connections here."""
    found: list[int] = []
    bindings = node.directory.bindings
    everybody = list({**bindings, **node.pipeline.session_connections})
    for begin in range(0, len(everybody), SLICE):
        for id in everybody[begin : begin + SLICE]:
            conn = node.pipeline.session_connections.get(id)
            if tenant_of_session(node, id, conn) == slug:
                found.append(id)
        await asyncio.sleep(0)
    return found


# Sessions


async def sessions(port: "AdminPort", request: web.Request) -> JsonObject:
    """Sessions of the ensemble and those that are this server's own, by id."""
    node = port.node
    page = Page(request)
    prefix_of(node, request)
    slug = request.query.get("tenant")
    known: Iterable[int]
    if "session" in request.query:
        one = session_id_of(request.query["session"], "session")
        known = [one] if is_shown(node, one, slug) else []
    elif slug is not None:
        known = await sessions_of(node, slug)
    else:
        known = node.tree.sessions
        if node.local_sessions is not None:
            known = {**node.tree.sessions, **dict.fromkeys(node.local_sessions.tracker.sessions, 0)}
    ids, more = await next_keys(known, page.after_session(), page.limit)
    entries = [session_entry(node, id) for id in ids]
    return {"sessions": entries, "next": session_text(ids[-1]) if more else None}


def is_shown(node: "Node", session_id: int, slug: str | None) -> bool:
    """Whether there is such a session here, and it is the tenant's that is asked for, if any."""
    conn = node.pipeline.session_connections.get(session_id)
    if conn is None and session_id not in node.tree.sessions:
        return False
    return slug is None or tenant_of_session(node, session_id, conn) == slug


def session_entry(node: "Node", session_id: int) -> JsonObject:
    conn = node.pipeline.session_connections.get(session_id)
    session = node.tracker.get(session_id)
    is_local = node.local_sessions is not None and node.local_sessions.is_local(session_id)
    timeout_ms = node.tree.sessions.get(session_id, 0)
    if session is not None:
        timeout_ms = int(session.timeout_ms)
    entry: JsonObject = {
        "session": session_text(session_id),
        "tenant": tenant_of_session(node, session_id, conn),
        "local": is_local,
        "timeout_ms": timeout_ms,
        "ephemerals": len(node.tree.ephemerals.get(session_id, ())),
        "connected_here": conn is not None,
    }
    if session is not None and node.authority.is_leading():
        entry["expires_in_ms"] = max(0, int(session.expires_ms - node.pipeline.now_ms))
    if conn is not None:
        entry.update(connection_fields(node, conn))
    return entry


def connection_fields(node: "Node", conn: Connection) -> JsonObject:
    now_ms = int(node.pipeline.now_ms)
    first = conn.pending.first
    waited_us = 0 if first is None else max(0, monotonic_us() - int(first.arrived_us))
    return {
        "principal": conn.seat.principal,
        "identities": [f"{id.scheme}:{id.id}" for id in conn.ids if id.scheme != "digest"],
        "address": f"{conn.peer_host}:{conn.peer_port}",
        "secure": conn.secure,
        "age_ms": max(0, now_ms - int(conn.connected_ms)),
        "watches": node.watches.count_of(conn.id),
        "requests": int(conn.stats.count),
        "avg_ms": int(conn.stats.sum_ms) / max(1, int(conn.stats.count)),
        "max_ms": int(conn.stats.max_ms),
        "queue": int(conn.pending.count),
        "queue_oldest_ms": waited_us / 1_000,
        "received_bytes_waiting": conn.frames.pending(),
        "unread_bytes": int(conn.backlog_bytes()),
        "last_operations": [
            {"ago_ms": max(0, now_ms - at_ms), "op": codes.name_of_op(op), "error": error}
            for at_ms, op, error in conn.last_operations()
        ],
    }


# Watches


def kinds_of(bits: int) -> list[str]:
    return [name for bit, name in KINDS if bits & bit]


async def watches_on_paths(port: "AdminPort", request: web.Request) -> JsonObject:
    """Who watches which path, by path, or just `path=`. `table=child` for those of children."""
    node = port.node
    page = Page(request)
    root = prefix_of(node, request)
    name = request.query.get("table", "data")
    if name not in ("data", "child"):
        raise BadQuery(f"table={name[:20]}: data or child is expected")
    table = node.watches.data if name == "data" else node.watches.child
    wanted = (lambda path: is_within(path, root)) if root else None
    if "path" in request.query:
        one = path_of(request.query["path"])
        is_here = one in table and (wanted is None or wanted(one))
        paths, more = [one] if is_here else [], False
    else:
        paths, more = await next_keys(table, page.after_path(), page.limit, wanted)
    entries: list[JsonObject] = []
    for path in paths:
        watchers = table.get(path, {})  # it may have gone while others were looked for
        listed = [
            {"session": session_text(int(conn.session_id)), "kinds": kinds_of(bits)}
            for id, bits in list(watchers.items())[:LISTED_MAX]
            if (conn := node.pipeline.connections.get(id)) is not None
        ]
        entries.append(
            {
                "path": shown(path),
                "tenant": tenant_of_path(node, path),
                "watchers": len(watchers),
                "sessions": listed,
            }
        )
    return {"table": name, "paths": entries, "next": shown(paths[-1]) if more else None}


async def watches_of_session(port: "AdminPort", request: web.Request) -> JsonObject:
    """What one session watches at this server: `session=0x...`."""
    node = port.node
    page = Page(request)
    session_id = session_id_of(request.query.get("session", ""), "session")
    conn = node.pipeline.session_connections.get(session_id)
    known: Iterable[bytes] = ()
    if conn is not None:
        known = node.watches.by_connection.get(conn.id, ())
    paths, more = await next_keys(known, page.after_path(), page.limit)
    entries: list[JsonObject] = []
    for path in paths:
        assert conn is not None, "without a connection there are no paths"
        data = node.watches.data.get(path, {}).get(conn.id, 0)
        child = node.watches.child.get(path, {}).get(conn.id, 0)
        entries.append({"path": shown(path), "data": kinds_of(data), "child": kinds_of(child)})
    return {
        "session": session_text(session_id),
        "connected_here": conn is not None,
        "watches": entries,
        "next": shown(paths[-1]) if more else None,
    }


# Ephemerals


async def ephemeral_paths(node: "Node") -> list[bytes]:
    """All of them, gathered in slices."""
    found: list[bytes] = []
    due = SLICE
    for session_id in list(node.tree.ephemerals):
        found += node.tree.ephemerals.get(session_id, ())
        if len(found) >= due:
            due = len(found) + SLICE
            await asyncio.sleep(0)
    return found


async def ephemerals(port: "AdminPort", request: web.Request) -> JsonObject:
    """Ephemerals by path, of all or of `session=0x...`."""
    node = port.node
    page = Page(request)
    root = prefix_of(node, request)
    known: Iterable[bytes]
    if "session" in request.query:
        known = node.tree.ephemerals.get(session_id_of(request.query["session"], "session"), ())
    else:
        known = await ephemeral_paths(node)
    wanted = (lambda path: is_within(path, root)) if root else None
    paths, more = await next_keys(known, page.after_path(), page.limit, wanted)
    entries: list[JsonObject] = []
    for path in paths:
        znode = node.tree.nodes.get(path)
        if znode is not None:
            entries.append(
                {
                    "path": shown(path),
                    "tenant": tenant_of_path(node, path),
                    "session": session_text(int(znode.owner)),
                    "created_ms": int(znode.ctime),
                    "data_bytes": int(znode.data_bytes()),
                }
            )
    return {"ephemerals": entries, "next": shown(paths[-1]) if more else None}


# Locks and elections


async def locks(port: "AdminPort", request: web.Request) -> JsonObject:
    """Locks, elections and semaphores of Curator and kazoo by path: who holds, who waits."""
    node = port.node
    page = Page(request)
    root = prefix_of(node, request)
    parents: set[bytes] = set()
    every = await ephemeral_paths(node)
    for begin in range(0, len(every), SLICE):
        for path in every[begin : begin + SLICE]:
            if recipes.contender(path.rpartition(b"/")[2]) is not None:
                parents.add(parent_of(path))
        await asyncio.sleep(0)
    wanted = (lambda path: is_within(path, root)) if root else None
    paths, more = await next_keys(parents, page.after_path(), page.limit, wanted)
    entries: list[JsonObject] = []
    for path in paths:
        entry = await lock_entry(node, path)
        if entry is not None:
            entries.append(entry)
    return {"locks": entries, "next": shown(paths[-1]) if more else None}


async def contenders_of(node: "Node", path: bytes) -> list[recipes.Contender]:
    """Unsorted; none where the znode has gone meanwhile."""
    top = node.tree.nodes.get(path)
    children = [] if top is None or top.children is None else list(top.children)
    found: list[recipes.Contender] = []
    for begin in range(0, len(children), SLICE):
        for child in children[begin : begin + SLICE]:
            one = recipes.contender(child.rpartition(b"/")[2])
            if one is not None:
                found.append(one)
        await asyncio.sleep(0)
    return found


async def lock_entry(node: "Node", path: bytes) -> JsonObject | None:
    """One lock; None if it has gone meanwhile."""
    found = await contenders_of(node, path)
    if not found:
        return None
    kind = recipes.kind_of(found)
    entry: JsonObject = {"path": shown(path), "tenant": tenant_of_path(node, path), "kind": kind}
    if len(found) > CONTENDERS_MAX:
        return {**entry, "contenders": len(found), "too_many": f"more than {CONTENDERS_MAX}"}
    found.sort(key=lambda one: (one.sequence, one.name))
    count = recipes.holders(found)
    entry["holding"] = count
    entry["holders"] = [contender_entry(node, path, one) for one in found[:count][:LISTED_MAX]]
    entry["waiting"] = len(found) - count
    entry["waiters"] = [contender_entry(node, path, one) for one in found[count:][:LISTED_MAX]]
    top = node.tree.nodes.get(path)
    if kind == recipes.KAZOO_SEMAPHORE and top is not None:
        data = top.data or b""
        entry["leases"] = int(data) if data.isdigit() and len(data) < 10 else None
    return entry


def contender_entry(node: "Node", parent: bytes, one: recipes.Contender) -> JsonObject:
    path = parent + b"/" + one.name if parent != b"/" else b"/" + one.name
    znode = node.tree.nodes.get(path)
    owner = 0 if znode is None else int(znode.owner)
    conn = node.pipeline.session_connections.get(owner)
    entry: JsonObject = {
        "name": shown(one.name),
        "session": session_text(owner),
        "since_ms": 0 if znode is None else int(znode.ctime),
        "address": None if conn is None else f"{conn.peer_host}:{conn.peer_port}",
    }
    if one.is_reader:
        entry["reads"] = True
    return entry


# Slow requests


async def slow_requests(port: "AdminPort", request: web.Request) -> JsonObject:
    """The last slow requests, the newest first; `after`: the number of the last one seen."""
    node = port.node
    prefix_of(node, request)
    slug = request.query.get("tenant")
    limit = number(request, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
    after = number(request, "after", 1 << 62, 0, 1 << 62)
    ahead_us = wall_ms() * 1_000 - monotonic_us()
    entries: list[JsonObject] = []
    last = 0
    more = False
    for entry in reversed(node.slow.ring):  # a bounded ring
        if entry.number >= after or (slug is not None and entry.slug != slug):
            continue
        if len(entries) == limit:
            more = True
            break
        entries.append(slow_entry(entry, ahead_us))
        last = entry.number
    return {
        "threshold_ms": node.slow.threshold_us / 1_000,
        "kept_max": node.slow.entries_max,
        "total": node.slow.total,
        "requests": entries,
        "next": str(last) if more else None,
    }


def slow_entry(entry: SlowRequest, ahead_us: int) -> JsonObject:
    """Where the time of one went, in ms."""
    sent_us = entry.sent_us or entry.ready_us
    fields: JsonObject = {
        "number": entry.number,
        "time_ms": (sent_us + ahead_us) // 1_000,
        "op": "turn" if entry.op == TURN else codes.name_of_op(entry.op),
        "total_ms": entry.total_us() / 1_000,
    }
    if entry.op == TURN:
        return {**fields, "replies_and_events": entry.size}
    return {
        **fields,
        "queue_ms": (entry.taken_us - entry.arrived_us) / 1_000,
        "commit_ms": (entry.ready_us - entry.taken_us) / 1_000,
        "reply_ms": (sent_us - entry.ready_us) / 1_000,
        "error": entry.error,
        "bytes": entry.size,
        "path": shown(entry.path),
        "zxid": f"{entry.zxid:#x}" if entry.zxid else None,
        "tenant": entry.slug or None,
        "principal": entry.principal,
        "session": session_text(entry.session_id),
        "address": f"{entry.peer_host}:{entry.peer_port}",
    }
