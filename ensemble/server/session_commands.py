"""Ending somebody's session from the admin port: on any server that serves, with the right to
change. What the session held goes as if its client had closed it."""

import asyncio
import time
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ensemble.server.admin_protocol import BadQuery, reply
from ensemble.server.introspection import prefix_of, tenant_of_session
from ensemble.server.paging import session_id_of, session_text

if TYPE_CHECKING:
    from ensemble.server.admin_port import AdminPort
    from ensemble.server.node import Node

CLOSED_WITHIN_S: Final = 5.0
LOOK_EVERY_S: Final = 0.01
OWN: Final = b"/zookeeper/"
BY_MAX: Final = 200  # characters of who asks, for the journal
NOTE: Final = "note"  # what the journal says instead of the command's bare name


async def close_session(port: "AdminPort", request: web.Request) -> web.StreamResponse:
    """`session=0x...`; `tenant=`: only if it is that tenant's; `by=`: for the audit journal."""
    node = port.node
    text = request.query.get("session", "")
    session_id = session_id_of(text, "session")
    prefix_of(node, request)
    slug = request.query.get("tenant")
    by = request.query.get("by", "")
    if len(by) > BY_MAX:
        raise BadQuery(f"by has {len(by)} characters, at most {BY_MAX}")
    name = session_text(session_id)
    request[NOTE] = f"close_session {name}" + (f" by {by}" if by else "")
    conn = node.pipeline.session_connections.get(session_id)
    is_there = session_id in node.tree.sessions or is_local(node, session_id)
    if not is_there or (slug is not None and tenant_of_session(node, session_id, conn) != slug):
        # One answer for both: nobody learns which sessions others have.
        return reply("close_session", {"session": name}, f"{name} is no session here", 404)
    # Without the one by which the server itself knows whose session it is.
    held = sum(not path.startswith(OWN) for path in node.tree.ephemerals.get(session_id, ()))
    begin_close(node, session_id)
    deadline_s = time.monotonic() + CLOSED_WITHIN_S
    while session_id in node.tree.sessions:
        if time.monotonic() >= deadline_s:
            problem = f"not closed within {CLOSED_WITHIN_S:.0f} s: it ends when a quorum answers"
            return reply("close_session", {"session": name}, problem, 503)
        await asyncio.sleep(LOOK_EVERY_S)
    return reply("close_session", {"session": name, "ephemerals": held}, None)


def is_local(node: "Node", session_id: int) -> bool:
    return node.local_sessions is not None and bool(node.local_sessions.is_local(session_id))


def begin_close(node: "Node", session_id: int) -> None:
    """Have the leader close it; one that is this server's own ends at once."""
    node.set_clocks()
    if is_local(node, session_id):
        assert node.local_sessions is not None
        node.local_sessions.end(session_id)
        conn = node.pipeline.session_connections.pop(session_id, None)
        if conn is not None:
            node.pipeline.cut(conn, "its session was closed by an operator")
    else:
        node.pipeline.close_session(session_id)
    node.turn()
