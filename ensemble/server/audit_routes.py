"""The audit journal over HTTP: `/audit` in pages, `/audit/head`."""

import asyncio
import json
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ensemble.errors import StorageError
from ensemble.server.admin_protocol import BadQuery, Need, number
from ensemble.server.audit_pages import LINES_MAX, read_cursor, read_page

if TYPE_CHECKING:
    from ensemble.server.admin_port import AdminPort

LINES: Final = 1_000  # of a page where the reader does not say
READERS_MAX: Final = 4  # pages that are read at the same time; more wait for their turn
JSON_LINES: Final = "application/x-ndjson"


class AuditRoutes:
    """The handlers of one admin port."""

    def __init__(self, port: "AdminPort") -> None:
        self.port: Final = port
        self.readers: Final = asyncio.Semaphore(READERS_MAX)

    def add(self, app: web.Application) -> None:
        app.router.add_get("/audit", self.pages)
        app.router.add_get("/audit/head", self.head)

    async def head(self, request: web.Request) -> web.Response:
        """How far the journal is on the disk, and which of it is committed in the tree."""
        refused = self.port.refusal("audit", request, Need.GUARDED_READ)
        if refused is not None:
            return refused
        desk = self.port.node.audit
        if desk is None:
            return missing()
        process = desk.process
        return web.json_response(
            {
                "node": desk.server_id,
                "segment": process.segment,
                "seq": process.seq,
                "hash": process.head,
                "cursor": f"{process.segment}:{process.seq}",
                "anchored_seq": desk.anchor.seq if desk.anchor is not None else -1,
                "lines": process.lines,
                "missing": process.missing,
                "restarts": process.restarts,
                "backlog_bytes": int(desk.tap.backlog_bytes),
            }
        )

    async def pages(self, request: web.Request) -> web.Response:
        """Lines behind a cursor, then one line that says the next one."""
        refused = self.port.refusal("audit", request, Need.GUARDED_READ)
        if refused is not None:
            return refused
        desk = self.port.node.audit
        if desk is None:
            return missing()
        try:
            segment, seq = read_cursor(request.query.get("after", ""))
            limit = number(request, "limit", LINES, 1, LINES_MAX)
        except (ValueError, BadQuery) as error:
            return web.json_response({"error": str(error)}, status=400)
        tenant = request.query.get("tenant", "")
        folder = desk.options.folder
        try:
            async with self.readers:
                page = await asyncio.to_thread(read_page, folder, segment, seq, limit, tenant)
        except StorageError as error:
            return web.json_response({"error": str(error)}, status=500)
        if page.gone:
            said = f"the journal is kept from segment {page.segment} on, the cursor is older"
            return web.json_response({"error": said, "oldest": page.cursor}, status=410)
        last = json.dumps({"cursor": page.cursor, "more": page.more}).encode() + b"\n"
        return web.Response(body=b"".join(page.lines) + last, content_type=JSON_LINES)


def missing() -> web.Response:
    said = "this server keeps no audit journal: ensemble.audit.journal=on"
    return web.json_response({"error": said}, status=404)
