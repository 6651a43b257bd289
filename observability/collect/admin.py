"""A node's admin port, as the collector asks it."""

import json
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

ANSWER_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 2.0
BODY_BYTES_MAX: Final = 64 << 20
ERROR_MAX: Final = 300


class AskError(Exception):
    """No answer that can be used. `status` 0: no answer at all. The text is for people."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text[:ERROR_MAX])
        self.status = status


@dataclass(frozen=True, slots=True)
class Target:
    """A node, and where it is asked."""

    ensemble: str
    node: str
    url: str
    client: str = ""
    read_token: str = ""
    control_token: str = ""

    def headers(self, *, control: bool = False) -> dict[str, str]:
        token = (self.control_token if control else "") or self.read_token
        return {"Authorization": f"Bearer {token}"} if token else {}


def new_session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    return aiohttp.ClientSession(timeout=timeout, trust_env=False)


async def fetch(
    session: aiohttp.ClientSession,
    target: Target,
    path: str,
    params: dict[str, str] | None = None,
    heads: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    """Status and body; `heads` takes the answer's headers.

    Raises:
        AskError: there was no answer.
    """
    url = f"{target.url.rstrip('/')}{path}"
    try:
        async with session.get(
            url, params=params, headers=target.headers(), allow_redirects=False
        ) as answer:
            if heads is not None:
                heads.update(answer.headers)
            parts: list[bytes] = []
            size = 0
            async for part in answer.content.iter_any():
                size += len(part)
                if size > BODY_BYTES_MAX:
                    raise AskError(f"{url}: more than {BODY_BYTES_MAX} bytes")
                parts.append(part)
            return answer.status, b"".join(parts)
    except TimeoutError:  # before the others: aiohttp's own says nothing, and is one of them, too
        raise AskError(f"{url}: no answer within {ANSWER_TIMEOUT_S:.0f} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise AskError(f"{url}: {str(error) or type(error).__name__}") from None


async def fetch_json(
    session: aiohttp.ClientSession,
    target: Target,
    path: str,
    params: dict[str, str] | None = None,
    heads: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The object that it answers.

    Raises:
        AskError: none, or another status than 200.
    """
    status, body = await fetch(session, target, path, params, heads)
    if status != 200:
        raise AskError(f"{target.url}{path}: {refusal(status, body)}", status)
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise AskError(f"{target.url}{path}: the answer is no JSON object", status)
    return found


def refusal(status: int, body: bytes) -> str:
    """What a refusal says, with what to do where that is known."""
    try:
        said = json.loads(body)
        text = str(said.get("error", "")) if isinstance(said, dict) else ""
    except ValueError:
        text = body[:200].decode("utf-8", "replace")
    if status in (401, 403):
        return f"status {status}: {text}; put its token into the ensemble's folder (admin.read)"
    return f"status {status}: {text}"
