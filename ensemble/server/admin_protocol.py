"""What a command of the admin port is: who may run it, when, and how it answers.

The commands themselves stand in `admin_commands.COMMANDS`, each with its `Access` and its `Need`.
"""

import enum
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, final

from aiohttp import web

if TYPE_CHECKING:
    from ensemble.server.admin_port import AdminPort
    from ensemble.server.node import Node

JsonObject = dict[str, object]


class Access(enum.Enum):
    """What the server must be doing, and Apache's own demand on who asks."""

    ALWAYS = "answers whether the server serves or not"
    SERVING = "answers while the server serves"
    ALL_ON_ROOT = "an Authorization header whose identities hold every permission on /"


class Need(enum.Enum):
    """Which right a command needs (admin_access). GUARDED ones never run without one.

    The others are open, as Apache's are, until a token or a subject is configured.
    """

    HEALTH = "nothing, ever"
    READ = "the right to read"
    CONTROL = "the right to change"
    GUARDED_READ = "the right to read, also where none is configured"
    GUARDED_CONTROL = "the right to change, also where none is configured"


class BadQuery(Exception):
    """A parameter of a command that cannot be; the text says which, and what is expected."""


@final
class Command:
    """One command: what it needs, and either a plain answer or a handler of its own.

    A plain answer is made in one go on the node's thread: only what is short, or what Apache's
    server has, too. Whatever grows with the tree is a handler that works in slices.
    """

    def __init__(
        self,
        name: str,
        access: Access,
        need: Need,
        answer: Callable[["Node", web.Request], JsonObject] | None,
        method: str = "GET",
        handler: Callable[["AdminPort", web.Request], Awaitable[web.StreamResponse]] | None = None,
    ) -> None:
        assert (answer is None) != (handler is None)
        self.name: Final = name
        self.access: Final = access
        self.need: Final = need
        self.answer: Final = answer
        self.method: Final = method
        self.handler: Final = handler


def reply(
    name: str,
    fields: JsonObject,
    error: str | None,
    status: int = 200,
    *,
    is_compact: bool = False,
) -> web.Response:
    """ZooKeeper's JSON: pretty, `"key" : value`, the command and its error first.

    Compact it takes less than half the time, which counts for a thousand entries.
    """
    said = {"command": name, "error": error, **fields}
    if is_compact:
        text = json.dumps(said, separators=(",", ":"))
    else:
        text = json.dumps(said, indent=2, separators=(",", " : "))
    return web.Response(text=text, status=status, content_type="application/json")


def number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    """A decimal parameter within bounds.

    Raises:
        BadQuery: it is no number, or outside of them.
    """
    raw = request.query.get(name)
    if raw is None:
        return default
    digits = raw.removeprefix("-")
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 20:
        raise BadQuery(f"{name}={raw[:40]} is no number; {least} to {most} is expected")
    value = int(raw)
    if not least <= value <= most:
        raise BadQuery(f"{name}={raw} is outside of {least} to {most}")
    return value
