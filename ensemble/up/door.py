"""The socket on which a running `up` takes requests; `control` describes them."""

import asyncio
import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from ensemble.up.control import REQUEST_BYTES_MAX, SOCKET_FILE, short_path
from ensemble.up.errors import RefusedError
from ensemble.up.folder import SID_MAX
from ensemble.up.supervisor import Supervisor

REQUEST_WITHIN_S: Final = 5.0
CONNECTIONS_MAX: Final = 8
BACKLOG: Final = 16


class ControlDoor:
    """Listens in the supervisor's folder until `close`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor: Final = supervisor
        self.open_connections = 0
        self.server: asyncio.Server | None = None

    async def open(self) -> None:
        folder = self.supervisor.folder
        with suppress(FileNotFoundError):  # of an `up` that was killed: we hold the lock
            (folder / SOCKET_FILE).unlink()
        sock = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)  # 0600 from the first moment on
        try:
            with short_path(folder) as path:
                sock.bind(path)
        finally:
            os.umask(before)
        self.server = await asyncio.start_unix_server(
            self.serve, sock=sock, limit=REQUEST_BYTES_MAX, backlog=BACKLOG
        )

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            with suppress(FileNotFoundError):
                (self.supervisor.folder / SOCKET_FILE).unlink()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            if self.open_connections > CONNECTIONS_MAX:
                answer = refusal(f"more than {CONNECTIONS_MAX} requests at a time")
            else:
                answer = await self.answer_to(reader)
            writer.write(json.dumps(answer).encode() + b"\n")
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(REQUEST_WITHIN_S):
                    await writer.drain()
        finally:
            self.open_connections -= 1
            writer.close()

    async def answer_to(self, reader: asyncio.StreamReader) -> dict[str, object]:
        try:
            async with asyncio.timeout(REQUEST_WITHIN_S):
                line = await reader.readline()
        except TimeoutError:
            return refusal(f"no request within {REQUEST_WITHIN_S:.0f} s")
        except (ValueError, OSError):
            return refusal(f"a request is one line of at most {REQUEST_BYTES_MAX} bytes")
        try:
            return await self.perform(line)
        except RefusedError as error:
            return refusal(str(error))

    async def perform(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            raise RefusedError(f"{line[:40]!r} is not JSON") from None
        if not isinstance(request, dict):
            raise RefusedError(f"{line[:40]!r} is not an object")
        wish = request.get("do")
        supervisor = self.supervisor
        if wish == "list":
            return {"nodes": [asdict(report) for report in supervisor.reports()]}
        if wish == "add":
            return {"node": asdict(await supervisor.add_observer())}
        if wish == "remove":
            sid = request.get("id")
            if type(sid) is not int or not 1 <= sid <= SID_MAX:
                raise RefusedError(f"id is {sid!r:.40}, a number from 1 to {SID_MAX} is wanted")
            await supervisor.remove_observer(sid)
            return {"removed": sid}
        raise RefusedError(f"do is {wish!r:.40}, one of 'list', 'add', 'remove' is wanted")


def refusal(text: str) -> dict[str, object]:
    return {"error": text}
