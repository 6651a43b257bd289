"""Curator's recipes and Apache's own shell inside a tenant: nothing is added but the credential.

kazoo's suite in a tenant is in `test_kazoo_suite`.
"""

import asyncio
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ensemble.client import Client, walk
from tests.ensembles import Ensemble
from tests.harness import Node
from tests.interop.test_java_client import CURATOR
from tests.interop.test_java_ensembles import Check, kill_the_leader
from tests.subject import IS_OURS, subject
from tests.tenants import make_tenants, operator, start_trusting, tenant_client, trusting

RECIPES_TIMEOUT_S = 150.0
SHELL_TIMEOUT_S = 60.0
SLUG = "guest"
BINDING = re.compile(r"[0-9a-f]{16}")  # a session's znode below its tenant's document
# What the recipes work on, and what they leave behind for good; containers go when they are empty.
LEFT = {"cache", "counter", "restart-cache"}
PATHS = {
    "barrier",
    "latch",
    "mutex",
    "queue",
    "restart-latch",
    "restart-lock",
    "restart-node",
    "rw",
} | {
    "selector",
    "semaphore",
    "zookeeper",
}

pytestmark = pytest.mark.skipif(not IS_OURS, reason="tenants are ours")


async def make_guest(address: str) -> str:
    """A tenant; its credential."""
    return (await make_tenants(address, SLUG, mode="enforce"))[SLUG].decode()


async def hold_the_tree(address: str, token: str, outside: set[str]) -> None:
    """What the recipes have made is the tenant's; outside of it is what was there before."""
    async with tenant_client(address, token.encode()) as guest, operator(address) as admin:
        names = set(await guest.children("/"))
        assert names >= LEFT
        assert names <= LEFT | PATHS
        assert (await guest.get("/cache/a"))[0] == b"2"
        assert (await guest.get("/counter"))[0] == (100).to_bytes(8, "big")
        assert (await admin.get(f"/tenants/{SLUG}/cache/a"))[0] == b"2"
        assert await everything_else(admin) == outside


async def everything_else(admin: Client) -> set[str]:
    """The paths outside the tenant's root and quotas, but for the znodes of its sessions."""
    own = (f"/tenants/{SLUG}/", f"/zookeeper/quota/tenants/{SLUG}/")
    document = f"/zookeeper/tenants/{SLUG}/"
    return {
        path
        async for path in walk(admin, "/")
        if not path.startswith(own)
        and not (path.startswith(document) and BINDING.fullmatch(path.removeprefix(document)))
    }


async def begin(address: str) -> tuple[str, set[str]]:
    """The credential of a new tenant, and what there is besides."""
    token = await make_guest(address)
    async with operator(address) as admin:
        return token, await everything_else(admin)


def run_recipes(classpath: str, address: str, token: str, turn: Callable[[], None]) -> None:
    """All of Curator's checks; `turn` breaks something where one of them asks for it."""
    names = ",".join(CURATOR)
    check = Check(classpath, "CuratorChecks", names, address, (f"-Dtenant={token}",))
    watchdog = threading.Timer(RECIPES_TIMEOUT_S, check.process.kill)
    try:
        watchdog.start()
        while check.until("your turn"):
            turn()
            check.go_on()
        assert check.process.wait(20) == 0, "".join(check.lines)
        assert [line for line in check.lines if line.startswith("ok ")] == [
            f"ok {name}\n" for name in CURATOR
        ]
    finally:
        watchdog.cancel()
        check.close()


def test_curators_recipes_in_a_tenant(
    classpath: str, start_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = start_trusting(start_node, tmp_path / "keys")
    token, outside = asyncio.run(begin(node.address))

    def kill_it() -> None:
        node.kill9()
        node.start()

    run_recipes(classpath, node.address, token, kill_it)
    asyncio.run(hold_the_tree(node.address, token, outside))


def test_curators_recipes_in_a_tenant_of_three_servers(classpath: str, tmp_path: Path) -> None:
    settings = {"tickTime": 1000, **trusting(tmp_path / "keys")}
    with Ensemble(tmp_path, [subject()] * 3, settings) as ensemble:
        ensemble.start().wait_serving()
        token, outside = asyncio.run(begin(ensemble.address))
        run_recipes(classpath, ensemble.address, token, lambda: kill_the_leader(ensemble))
        asyncio.run(hold_the_tree(ensemble.address, token, outside))


# What is typed, and what the shell says to it.
REFUSED = "Insufficient permission"
CONVERSATION = [
    ("create /app hello", "Created /app"),
    ("create -e /app/e x", "Created /app/e"),
    ("create -s /app/n- y", "Created /app/n-0000000001"),
    ("get -s /app", "hello"),
    ("set /app bye", ""),
    ("get /app", "bye"),
    ("ls /", "[app, zookeeper]"),
    ("ls -R /app", "/app/n-0000000001"),
    ("getAllChildrenNumber /", "\n5\n"),
    ("getEphemerals", "/app/e"),
    ("getAcl /app", "'world,'anyone"),
    ("setAcl /app tenant:app@guest:cdrwa", ""),
    ("getAcl /app", "'tenant,'app@guest"),
    ("setquota -N 9 /app", ""),
    ("listquota /app", "countHardLimit=9"),
    ("delquota -n /app", ""),
    ("addWatch -m PERSISTENT /app", ""),
    ("sync /", "Sync is OK"),
    ("whoami", "tenant: app@guest"),
    ("ls /zookeeper", "[quota]"),
    ("get /zookeeper/tenants", "Node does not exist"),
    ("get /tenants/guest", "Node does not exist"),
    ("create /zookeeper/x y", REFUSED),
    ("delete /", "Arguments are not valid"),
    ("reconfig -remove 2", REFUSED),
    ("delete /app", "Node not empty"),
    ("create /kept here", "Created /kept"),
    ("deleteall /app", ""),
    ("ls /", "[kept, zookeeper]"),
]


def test_apaches_shell_in_a_tenant(
    classpath: str, start_node: Callable[..., Node], tmp_path: Path
) -> None:
    node = start_trusting(start_node, tmp_path / "keys")
    token, outside = asyncio.run(begin(node.address))
    typed = [f"addauth tenant {token}", *(line for line, _ in CONVERSATION), "quit"]
    shell = subprocess.run(
        ["java", "-Xmx128m", "-cp", classpath, "org.apache.zookeeper.ZooKeeperMain"]
        + ["-server", node.address],
        input="\n".join(typed) + "\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SHELL_TIMEOUT_S,
        check=False,
    )
    said = shell.stdout
    at = 0
    for line, answer in CONVERSATION:
        found = said.find(answer, at)
        assert found >= 0, f"{line}: no {answer!r} in what follows\n{said[at:]}"
        at = found + len(answer)

    async def look() -> None:
        async with tenant_client(node.address, token.encode()) as guest:
            assert sorted(await guest.children("/")) == ["kept", "zookeeper"]
            assert (await guest.get("/kept"))[0] == b"here"
        async with operator(node.address) as admin:
            assert (await admin.get(f"/tenants/{SLUG}/kept"))[0] == b"here"
            assert await everything_else(admin) == outside

    asyncio.run(look())
