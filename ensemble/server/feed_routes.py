"""`GET /changes`: the change feed as JSON lines (docs/tenancy.md, "Changes as a stream")."""

import asyncio
import time
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ensemble.errors import StorageError
from ensemble.server.admin_protocol import Need
from ensemble.server.audit_chain import iso
from ensemble.server.clock import wall_ms
from ensemble.server.feed import READERS_MAX, FeedHub
from ensemble.server.feed_history import GoneError, History
from ensemble.server.feed_lines import Lines, to_line
from ensemble.wire.zxid import format_zxid

if TYPE_CHECKING:
    from ensemble.server.admin_port import AdminPort

HEARTBEAT_S: Final = 5.0
WRITE_TIMEOUT_S: Final = 30.0  # a reader that takes nothing for so long is cut
DISK_RETRY_S: Final = 0.05  # committed, and not on this server's disk yet
ZXID_MAX: Final = (1 << 63) - 1
JSON_LINES: Final = "application/x-ndjson"


class FeedRoutes:
    """The handler of one admin port."""

    def __init__(self, port: "AdminPort") -> None:
        self.port: Final = port
        self.hub: Final = FeedHub(port.node)

    def add(self, app: web.Application) -> None:
        app.router.add_get("/changes", self.changes)

    async def changes(self, request: web.Request) -> web.StreamResponse:
        """What is committed after `from`; with `follow=1` without an end."""
        query = request.query
        values = query.get("values", "") == "1"
        need = Need.GUARDED_CONTROL if values else Need.GUARDED_READ
        refused = self.port.refusal("changes", request, need)
        if refused is not None:
            return refused
        node = self.port.node
        if not node.serving or node.pipeline.read_only:
            return web.json_response({"error": "this server does not serve now"}, status=503)
        try:
            begin = read_zxid(query.get("from", ""), int(node.tree.last_zxid))
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        slug = query.get("tenant", "")
        tenant = node.directory.by_slug.get(slug) if slug else None
        if slug and tenant is None:
            return web.json_response({"error": f"no tenant {slug[:63]!r} is known"}, status=404)
        if len(self.hub.readers) >= READERS_MAX:
            said = f"{READERS_MAX} readers are served already"
            return web.json_response({"error": said}, status=503)
        if values:
            self.port.note(request, "changes with values", 200)
        view = None if tenant is None else tenant.view
        reader = FeedReader(self.hub, begin, Lines(node.directory, slug, view, values))
        try:
            return await reader.run(request, query.get("follow", "") == "1")
        finally:
            reader.close()


class FeedReader:
    """One response. `position`: the zxid up to which everything was sent."""

    def __init__(self, hub: FeedHub, begin: int, lines: Lines) -> None:
        self.hub: Final = hub
        self.lines: Final = lines
        self.position = begin
        self.event: Final = hub.join()
        self.history: History | None = None
        self.response: Final = web.StreamResponse(headers={"Content-Type": JSON_LINES})
        self.written_s = time.monotonic()

    async def run(self, request: web.Request, follow: bool) -> web.StreamResponse:
        until = int(self.hub.node.tree.last_zxid)
        try:
            found = await self.next()
        except GoneError as gone:
            return web.json_response(gone_fields(gone), status=410)
        except StorageError as error:
            return web.json_response({"error": str(error)}, status=500)
        self.response.headers["Cache-Control"] = "no-store"
        await self.response.prepare(request)
        try:
            await self.stream(found, follow, until)
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
        return self.response

    async def stream(self, found: list[tuple[int, bytes]], follow: bool, until: int) -> None:
        while True:
            if found:
                await self.send(found)
            elif not follow and self.position >= until:
                await self.write(to_line({"cursor": format_zxid(self.position)}))
                return
            else:
                await self.wait()
            try:
                found = await self.next()
            except (GoneError, StorageError) as error:
                last: dict[str, object] = {"error": str(error)}
                if isinstance(error, GoneError):
                    last = gone_fields(error)
                last["cursor"] = format_zxid(self.position)
                await self.write(to_line(last))
                return

    async def next(self) -> list[tuple[int, bytes]]:
        """The next transactions behind `position`, from memory or from the log files.

        Raises:
            GoneError, StorageError: see `History.read`.
        """
        self.event.clear()
        hub = self.hub
        if self.position >= hub.base:
            self.forget_history()
            return hub.after(self.position)
        up_to = hub.readable()
        if up_to <= self.position:
            return []
        if self.history is None:
            node = hub.node
            self.history = History(node.disk, node.layout, self.position)
        return await asyncio.to_thread(self.history.read, up_to)

    async def send(self, found: list[tuple[int, bytes]]) -> None:
        """Write the lines of a slice; where a tenant sees none of it, at times how far it is."""
        chunk = await asyncio.to_thread(self.encode, found)
        self.position = found[-1][0]
        if chunk:
            await self.write(chunk)
        elif time.monotonic() - self.written_s >= HEARTBEAT_S:
            await self.beat()

    def encode(self, found: list[tuple[int, bytes]]) -> bytes:
        return b"".join([self.lines.of(payload) for _, payload in found])

    async def wait(self) -> None:
        """Until there may be more; a line from time to time shows that the stream lives."""
        lags = self.position < self.hub.base
        timeout_s = DISK_RETRY_S if lags else HEARTBEAT_S
        try:
            await asyncio.wait_for(self.event.wait(), timeout_s)
        except TimeoutError:
            if time.monotonic() - self.written_s >= HEARTBEAT_S:
                await self.beat()

    async def beat(self) -> None:
        now = iso(wall_ms())
        await self.write(to_line({"cursor": format_zxid(self.position), "time": now}))

    async def write(self, chunk: bytes) -> None:
        await asyncio.wait_for(self.response.write(chunk), WRITE_TIMEOUT_S)
        self.written_s = time.monotonic()

    def forget_history(self) -> None:
        if self.history is not None:
            self.history.close()
            self.history = None

    def close(self) -> None:
        self.forget_history()
        self.hub.leave(self.event)


def gone_fields(gone: GoneError) -> dict[str, object]:
    return {"error": f"history is gone: {gone}", "oldest": format_zxid(gone.oldest)}


def read_zxid(text: str, now: int) -> int:
    """A zxid, as the lines have it or decimal; now where there is none.

    Raises:
        ValueError: it is none.
    """
    if not text:
        return now
    wanted = "0x and up to 16 hex digits, or a decimal number, is expected"
    try:
        zxid = int(text, 16) if text.startswith("0x") else int(text)
    except ValueError:
        raise ValueError(f"from={text[:40]!r}, {wanted}") from None
    if not 0 <= zxid <= ZXID_MAX or "_" in text or len(text) > 20:
        raise ValueError(f"from={text[:40]!r}, {wanted}")
    return zxid
