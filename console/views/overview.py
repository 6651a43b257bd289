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
    ("Zxid", "Zxid"),
    ("zk_avg_latency", "Average latency, ms"),
    ("zk_max_latency", "Maximum latency, ms"),
    ("zk_outstanding_requests", "Outstanding requests"),
    ("zk_num_alive_connections", "Connections"),
    ("zk_global_sessions", "Sessions"),
    ("zk_znode_count", "Znodes"),
    ("zk_ephemerals_count", "Ephemerals"),
    ("zk_watch_count", "Watches"),
    ("zk_approximate_data_size", "Data, bytes"),
    ("zk_open_file_descriptor_count", "Open files"),
    ("zk_version", "Version"),
]

# What `srvr` says; a server answers it whatever its whitelist is. `mntr` knows more.
FROM_SRVR = {
    "Mode": "zk_server_state",
    "Zxid": "Zxid",
    "Outstanding": "zk_outstanding_requests",
    "Connections": "zk_num_alive_connections",
    "Node count": "zk_znode_count",
    "Zookeeper version": "zk_version",
}


async def ask(host: str, port: int) -> NodeHealth:
    """What one server says of itself, as name and value."""
    name = f"{host}:{port}"
    try:
        srvr, mntr = await asyncio.gather(
            *(four_letter(host, port, word, within=WORD_TIMEOUT_S) for word in ("srvr", "mntr"))
        )
    except ClientError as error:
        return NodeHealth(name, f"does not answer: {error}", {})
    numbers = {}
    for line in srvr.splitlines():
        key, _, value = line.partition(": ")
        if key in FROM_SRVR:
            numbers[FROM_SRVR[key]] = value
        elif key == "Latency min/avg/max" and value.count("/") == 2:
            _, numbers["zk_avg_latency"], numbers["zk_max_latency"] = value.split("/")
    if "zk_server_state" not in numbers:
        return NodeHealth(name, srvr.strip()[:200] or "an empty answer to srvr", {})
    numbers |= dict(line.split("\t", 1) for line in mntr.splitlines() if "\t" in line)
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
