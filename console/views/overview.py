"""The first page: is the ensemble well?"""

import asyncio
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.zk import bridge
from ensemble.client import ClientError, four_letter
from ensemble.client.hosts import parse_hosts

WORD_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class NodeHealth:
    """What a server says of itself; `problem` where it does not say anything."""

    host: str
    problem: str
    numbers: dict[str, str]


SHOWN = [
    ("zk_znode_count", "Znodes"),
    ("zk_watch_count", "Watches"),
    ("zk_ephemerals_count", "Ephemerals"),
    ("zk_num_alive_connections", "Connections"),
    ("zk_global_sessions", "Sessions"),
    ("zk_avg_latency", "Average latency, ms"),
    ("zk_max_latency", "Maximum latency, ms"),
    ("zk_outstanding_requests", "Outstanding requests"),
    ("zk_approximate_data_size", "Data, bytes"),
    ("zk_open_file_descriptor_count", "Open files"),
    ("zk_version", "Version"),
]


async def ask(host: str, port: int) -> NodeHealth:
    """`mntr` of one server, as name and value."""
    name = f"{host}:{port}"
    try:
        text = await four_letter(host, port, "mntr", within=WORD_TIMEOUT_S)
    except ClientError as error:
        return NodeHealth(name, f"does not answer: {error}", {})
    numbers = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    if not numbers:
        return NodeHealth(name, text.strip() or "an empty answer to mntr", {})
    return NodeHealth(name, "", numbers)


async def ask_all(hosts: str) -> list[NodeHealth]:
    servers, _ = parse_hosts(hosts)
    return list(await asyncio.gather(*(ask(server.name, server.port) for server in servers)))


def readable(value: str) -> str:
    """Large numbers in groups; a version without the day of its making."""
    return f"{int(value):,}" if value.isdigit() else value.split(", built on", 1)[0]


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    zookeeper = bridge()
    future = asyncio.run_coroutine_threadsafe(ask_all(zookeeper.hosts), zookeeper.loop)
    nodes = [
        {
            "host": node.host,
            "problem": node.problem,
            "mode": node.numbers.get("zk_server_state", ""),
            "rows": [
                (label, readable(node.numbers[key])) for key, label in SHOWN if key in node.numbers
            ],
        }
        for node in future.result(WORD_TIMEOUT_S * 2)
    ]
    context = {"nodes": nodes, "well": all(not node["problem"] for node in nodes)}
    return render(request, "console/pages/overview.html", context)


@require_GET
def health(request: HttpRequest) -> HttpResponse:
    """For whoever supervises the console: it answers, nothing more is said."""
    return HttpResponse("ok\n", content_type="text/plain")
