"""Sessions of Apache's servers: what `connections` or `cons` tell, which is connections alone.

They do not say what a session watches by itself, and nobody can close one from outside.
"""

import asyncio
import re
from typing import Any, Final

from ensemble.client import ClientError, four_letter
from tenants import inside
from tenants.inside import Answer
from tenants.models import Ensemble, Node

WORD_TIMEOUT_S: Final = 3.0
LINES_MAX: Final = 10_000
LIMITS: Final = (
    "Apache's servers tell of connections alone: not who holds or watches what, and nobody can "
    "close a session from outside."
)
LINE: Final = re.compile(r"\s*/(\S+?)\[\d+\]\((.*)\)")


def of_node(ensemble: Ensemble, node: Node) -> Answer:
    """Its connections, as our servers say sessions."""
    if node.admin_url:
        answer = inside.ask_one(ensemble, node, "connections")
        if answer.problem:
            return answer
        found = [*listed(answer.said, "connections"), *listed(answer.said, "secure_connections")]
        return Answer(node.name, {"sessions": [of_entry(one) for one in found[:LINES_MAX]]})
    host, _, port = node.client.rpartition(":")
    try:
        text = asyncio.run(four_letter(host.strip("[]"), int(port), "cons", within=WORD_TIMEOUT_S))
    except (ClientError, ValueError) as error:
        return Answer(node.name, problem=f"does not answer cons: {error}", status=0)
    if "not executed because it is not in the whitelist" in text:
        return Answer(node.name, problem="allow it there: 4lw.commands.whitelist=mntr,srvr,cons")
    lines = [LINE.match(line) for line in text.splitlines()[:LINES_MAX]]
    return Answer(node.name, {"sessions": [e for m in lines if m and (e := of_line(m))]})


def listed(said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = said.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def of_line(match: re.Match[str]) -> dict[str, Any]:
    """` /10.0.0.1:55[1](queued=0,recved=3,sent=3,sid=0x1,lop=GETD,est=1,to=30000,...)`."""
    fields = dict(part.split("=", 1) for part in match[2].split(",") if "=" in part)
    if not fields.get("sid", "").startswith("0x") or fields["sid"] == "0x0":
        return {}  # who asks, and who has no session yet
    return {
        "session": fields["sid"],
        "connected_here": True,
        "address": match[1],
        "queue": number(fields.get("queued")),
        "requests": number(fields.get("recved")),
        "timeout_ms": number(fields.get("to")),
        "avg_ms": number(fields.get("avglat")),
        "max_ms": number(fields.get("maxlat")),
    }


def of_entry(one: dict[str, Any]) -> dict[str, Any]:
    """The same out of the AdminServer's JSON, which says ids as signed decimals."""
    id = one.get("session_id")
    if not isinstance(id, int) or id == 0:
        return {}
    return {
        "session": f"{id & 0xFFFFFFFFFFFFFFFF:#x}",
        "connected_here": True,
        "address": str(one.get("remote_socket_address", "")).lstrip("/"),
        "queue": one.get("outstanding_requests", 0),
        "requests": one.get("packets_received", 0),
        "timeout_ms": one.get("session_timeout", 0),
        "avg_ms": one.get("avg_latency", 0),
        "max_ms": one.get("max_latency", 0),
    }


def number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0
