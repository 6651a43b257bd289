"""Which version of a tenant's document each node has in force: asked at every node itself.

Over the admin port where the plane knows one, else at the node's client port.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiohttp

from ensemble.admin.provision import path_of
from ensemble.client import Client, ClientError, NoNodeError
from ensemble.client.hosts import parse_hosts
from tenants import keys
from tenants.models import Ensemble

ASK_WITHIN_S: Final = 1.5  # one node, all attempts together
ASK_EVERY_S: Final = 0.05  # while a node has not caught up yet
GONE: Final = -1  # the version of a document that is not there
NODES_MAX: Final = 64
PROBLEM_MAX: Final = 300
REFUSES: Final = "refuses the document: "  # how the answer of a node begins that does

Answer = int | str
"""The version that a node has, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A node, and how to ask it. `admin_url` empty: at its client port."""

    name: str
    client: str
    admin_url: str


def targets_of(ensemble: Ensemble) -> list[Target]:
    """The nodes to ask; without any, what the connect string names."""
    found = [
        Target(node.name, node.client, node.admin_url)
        for node in ensemble.nodes.order_by("name")[:NODES_MAX]
    ]
    if found:
        return found
    hosts, _ = parse_hosts(ensemble.hosts)
    return [Target(f"{host.name}:{host.port}", f"{host.name}:{host.port}", "") for host in hosts]


async def ask_all(
    ensemble: Ensemble, targets: list[Target], slug: str, wanted: int, within_s: float
) -> dict[str, Answer]:
    """What each node has in force, once it has `wanted`, or the time is over."""
    files = keys.keys_of(ensemble)
    key = files.operator()
    headers = {"Authorization": f"Bearer {files.token()}"}
    timeout = aiohttp.ClientTimeout(total=min(within_s, ASK_WITHIN_S))
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        answers = await asyncio.gather(
            *(
                ask(
                    target,
                    slug,
                    wanted,
                    min(within_s, ASK_WITHIN_S),
                    session,
                    lambda: key.sign(keys.PLANE_WHO),
                )
                for target in targets
            )
        )
    return {target.name: answer for target, answer in zip(targets, answers, strict=True)}


async def ask(
    target: Target,
    slug: str,
    wanted: int,
    within_s: float,
    session: aiohttp.ClientSession,
    sign: Callable[[], bytes],
) -> Answer:
    """One node, again and again until it has caught up."""
    answer: Answer = "does not answer"
    try:
        async with asyncio.timeout(within_s):
            if not target.admin_url:
                return await ask_client_port(target, slug, wanted, sign)
            while True:
                answer = await ask_admin_port(target, slug, session)
                if isinstance(answer, str) or has(answer, wanted):
                    return answer
                await asyncio.sleep(ASK_EVERY_S)
    except TimeoutError:
        return answer
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"does not answer: {str(error) or type(error).__name__}"[:PROBLEM_MAX]


def has(answer: int, wanted: int) -> bool:
    """Whether that version is the wanted one, or a later one."""
    return answer == GONE if wanted == GONE else answer >= wanted


async def ask_admin_port(target: Target, slug: str, session: aiohttp.ClientSession) -> Answer:
    url = f"{target.admin_url.rstrip('/')}/commands/tenant"
    async with session.get(url, params={"slug": slug}) as response:
        if response.status in (400, 404):
            return GONE
        if response.status != 200:
            return f"its admin port answers {response.status}: is the token the right one?"
        document = await response.json(content_type=None)
    if not isinstance(document, dict) or type(document.get("version")) is not int:
        return "its admin port does not tell which document is in force"
    if error := document.get("error"):
        return f"{REFUSES}{error}"[:PROBLEM_MAX]
    version: int = document["version"]
    return version


async def ask_client_port(
    target: Target, slug: str, wanted: int, sign: Callable[[], bytes]
) -> Answer:
    try:
        async with Client(target.client, auth=[("operator", sign())]) as client:
            while True:
                try:
                    _, stat = await client.get(path_of(slug))
                    answer = stat.version
                except NoNodeError:
                    answer = GONE
                if has(answer, wanted):
                    return answer
                await asyncio.sleep(ASK_EVERY_S)
    except ClientError as error:
        return f"does not answer: {error}"[:PROBLEM_MAX]
