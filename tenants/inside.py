"""What nodes tell of their inside over their admin ports: sessions, watches, elections, disks.

From threads of the console. A node that hangs is given up after ASK_TIMEOUT_S and then left alone
for a while: pages ask again and again, and must not hold all threads for it.
"""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from tenants import keys
from tenants.models import Ensemble, Node

ASK_TIMEOUT_S: Final = 3.0
CHANGE_TIMEOUT_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 16 << 20
ASKING_MAX: Final = 8
NODES_MAX: Final = 64
SILENT_S: Final = 5.0  # a node that did not answer is left alone for so long
SILENT_MAX: Final = 1_000  # that are remembered
PROBLEM_MAX: Final = 300


class NoRedirect(HTTPRedirectHandler):
    """A token is for the node that was registered, and for no other address."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


OPENER: Final = build_opener(NoRedirect, ProxyHandler({}))
_silent_until: Final[dict[str, float]] = {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node said; `problem` where it did not, with what to do. `status` 0: nothing."""

    node: str
    said: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    status: int = 200


def nodes_of(ensemble: Ensemble) -> list[Node]:
    """The nodes that can be asked."""
    return list(ensemble.nodes.exclude(admin_url="").order_by("name")[:NODES_MAX])


def ask_all(
    ensemble: Ensemble,
    command: str,
    params: dict[str, str],
    nodes: Sequence[Node] | None = None,
) -> list[Answer]:
    """The same question to each node, at the same time, in their order."""
    found = nodes_of(ensemble) if nodes is None else nodes
    if not found:
        return []
    token = keys.keys_of(ensemble).token()
    with ThreadPoolExecutor(min(ASKING_MAX, len(found))) as pool:
        return list(pool.map(lambda node: ask(node, token, command, params), found))


def ask_one(ensemble: Ensemble, node: Node, command: str, **params: str) -> Answer:
    return ask(node, keys.keys_of(ensemble).token(), command, params)


def change(ensemble: Ensemble, node: Node, command: str, **params: str) -> Answer:
    """A command that changes something, with the token for that.

    Raises:
        NoKeyError: there is none.
    """
    files = keys.keys_of(ensemble)
    token = files.token(control=True)
    if not token:
        raise keys.NoKeyError(
            f"the console has no token that may change {ensemble.name}: put one of its "
            "ensemble.admin.controlTokens into admin.control (docs/admin-plane.md)"
        )
    return ask(node, token, command, params, "POST", CHANGE_TIMEOUT_S)


def ask(
    node: Node,
    token: str,
    command: str,
    params: dict[str, str],
    method: str = "GET",
    within_s: float = ASK_TIMEOUT_S,
) -> Answer:
    """One command of one node."""
    url = node.admin_url.rstrip("/")
    if method == "GET" and time.monotonic() < _silent_until.get(url, 0.0):
        return Answer(node.name, problem="did not answer a moment ago", status=0)
    query = urlencode({**params, "compact": "1"}, errors="surrogateescape")
    request = Request(f"{url}/commands/{command}?{query}", method=method)  # noqa: S310 registered
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with OPENER.open(request, timeout=within_s) as answer:
            raw = answer.read(ANSWER_BYTES_MAX + 1)
        if len(raw) > ANSWER_BYTES_MAX:
            return Answer(node.name, problem=f"answers more than {ANSWER_BYTES_MAX} bytes")
        return understood(node.name, raw, 200)
    except HTTPError as error:
        with error:
            return understood(node.name, error.read(ANSWER_BYTES_MAX), error.code)
    except (URLError, HTTPException, OSError, ValueError) as error:
        if len(_silent_until) >= SILENT_MAX:
            _silent_until.clear()
        _silent_until[url] = time.monotonic() + SILENT_S
        reason = getattr(error, "reason", error)
        return Answer(node.name, problem=f"does not answer: {reason}"[:PROBLEM_MAX], status=0)


def understood(node: str, raw: bytes, status: int) -> Answer:
    """What a body says, whatever it is."""
    try:
        said = json.loads(raw)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return Answer(node, problem="its admin port answers no JSON: is it one?", status=status)
    problem = str(said.get("error") or "")[:PROBLEM_MAX]
    if status in (401, 403):
        problem = f"{problem}; put its token into the ensemble's folder (docs/admin-plane.md)"
    elif status != 200 and not problem:
        problem = f"answers with status {status}"
    return Answer(node, said, problem, status)
