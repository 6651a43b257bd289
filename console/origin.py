"""Websockets from pages of this console only.

Channels compares host names with ALLOWED_HOSTS, without the port. A browser sends a cookie to every
port of its host, so any other program on this machine that serves a page would be let in: here the
whole origin has to be the one that was asked.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from django.conf import settings

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class SameOriginValidator:
    """Refuses the handshake unless `Origin` is this host and port, or a trusted origin."""

    def __init__(self, inner: Application) -> None:
        self.inner: Final = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_own(scope["headers"]):
            await self.inner(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 4403})


def is_own(headers: list[tuple[bytes, bytes]]) -> bool:
    origins = [value.decode("latin-1").lower() for name, value in headers if name == b"origin"]
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    if len(origins) != 1 or len(hosts) != 1:
        return False
    own = f"{'https' if settings.TLS else 'http'}://{hosts[0]}"
    return origins[0] == own or origins[0] in settings.CSRF_TRUSTED_ORIGINS
