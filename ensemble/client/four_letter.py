"""The four-letter words: a question of four letters to a server, an answer as text.

Source: admin.md. No session is needed; the server closes the connection after the answer.
"""

import asyncio
import ssl
from typing import Final

from ensemble.client.errors import BadArgumentsError, ConnectionLossError

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024  # wchp and dump name every watch and session
READ_BYTES: Final = 65_536


async def four_letter(
    host: str,
    port: int,
    word: str,
    *,
    within: float = 5.0,
    tls: ssl.SSLContext | None = None,
    answer_bytes_max: int = ANSWER_BYTES_MAX,
) -> str:
    """The server's answer to `ruok`, `srvr`, `mntr`, …

    Raises:
        BadArgumentsError: `word` is not four ASCII letters.
        ConnectionLossError: no connection, no end within `within` seconds, or too long an answer.
    """
    if len(word) != 4 or not (word.isascii() and word.isalpha()):
        raise BadArgumentsError(f"{word!r} is not a four-letter word")
    try:
        async with asyncio.timeout(within):
            return await _ask(host, port, word, tls, answer_bytes_max)
    except TimeoutError:
        raise ConnectionLossError(f"{host}:{port} did not answer {word} in {within:g} s") from None
    except (OSError, UnicodeError) as error:  # the latter: a name that cannot be one
        raise ConnectionLossError(f"{host}:{port}: {error}") from error


async def _ask(host: str, port: int, word: str, tls: ssl.SSLContext | None, limit: int) -> str:
    reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        writer.write(word.encode())
        parts: list[bytes] = []
        size = 0
        while part := await reader.read(READ_BYTES):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise ConnectionLossError(f"the answer to {word} is longer than {limit} bytes")
        return b"".join(parts).decode("utf-8", "replace")
    finally:
        writer.transport.abort()
