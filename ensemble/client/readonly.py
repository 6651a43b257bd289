"""On a server that has lost its quorum and only answers reads: look for one that takes writes.

Source: client.md section 16. Apache's client asks `isro` too, with the same pauses.
"""

import asyncio
import contextlib
import ssl
from typing import Final

from ensemble.client.errors import ClientError
from ensemble.client.four_letter import four_letter
from ensemble.client.hosts import Host

PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 60.0
ANSWER_S_MAX: Final = 1.0


async def find_writable(hosts: list[Host], tls: ssl.SSLContext | None) -> Host:
    """Ask all, again and again, with growing pauses, until one says that it takes writes."""
    pause_s = PAUSE_FIRST_S
    while True:
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_MAX_S)
        for host in hosts:
            with contextlib.suppress(ClientError):
                answer = await four_letter(
                    host.name, host.port, "isro", within=ANSWER_S_MAX, tls=tls
                )
                if answer.strip() == "rw":
                    return host
