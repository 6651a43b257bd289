"""`python -m tests.console.pictures`: the screenshots in docs/pictures, from a product that works.

Three nodes, two tenants, programs that use them for a minute and a half; then the main pages in
light and in dark, and on a phone. Whoever changes a page looks at them again.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kazoo.client import KazooClient

from tests.console import browsing
from tests.console.browsing import Running
from tests.forks import ROOT

FOLDER: Final = ROOT / "docs" / "pictures"
WORK_S: Final = 90.0
WIDE: Final = {"width": 1360, "height": 860}
PHONE: Final = {"width": 390, "height": 844}
SERVICE: Final = b"""{
  "path": "/services/svc-00007",
  "endpoint": {"host": "10.2.3.4", "port": 8080},
  "weights": [1, 2, 3],
  "labels": {"zone": "eu-1a", "tier": "gold"},
  "enabled": true
}"""
TENANTS: Final = (("payments", "Payments of all shops"), ("orders", "Orders, from cart to door"))
# Name of the picture, address, and in which theme.
PAGES: Final = (
    ("overview-light", "/", "light"),
    ("dashboard-dark", "/tenants/payments/dashboard?range=live", "dark"),
    ("ensemble-dashboard-light", "/ensembles/main/dashboard?range=live", "light"),
    ("znode-light", "/tenants/payments/znodes/at/services/svc-00007", "light"),
    ("znode-dark", "/tenants/payments/znodes/at/services/svc-00007", "dark"),
    ("search-dark", "/search?q=eu-1a", "dark"),
    ("locks-light", "/tenants/payments/locks", "light"),
    ("sessions-dark", "/ensembles/main/sessions", "dark"),
    ("tenant-light", "/tenants/payments/", "light"),
    ("tenants-dark", "/tenants/", "dark"),
    ("history-dark", "/tenants/payments/history?path=/services/svc-00007", "dark"),
    ("audit-light", "/audit", "light"),
    ("alerts-dark", "/alerts/rules", "dark"),
    ("members-light", "/members", "light"),
)
ON_PHONE: Final = (
    ("phone-overview-dark", "/", "dark"),
    ("phone-dashboard-light", "/tenants/payments/dashboard?range=live", "light"),
    ("phone-alerts-dark", "/alerts/", "dark"),
)


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        browsing.product(Path(folder), "--nodes", "3") as running,
        browsing.chromium() as chromium,
    ):
        with browsing.signed_in(chromium, running.url, running.password, viewport=WIDE) as page:
            tokens = [make_tenant(page, running, *tenant) for tenant in TENANTS]
        with work(running, tokens):
            time.sleep(WORK_S)
            for size, pages in ((WIDE, PAGES), (PHONE, ON_PHONE)):
                for name, address, theme in pages:
                    with browsing.signed_in(
                        chromium, running.url, running.password, viewport=size, color_scheme=theme
                    ) as page:
                        page.goto(running.url + address)
                        page.wait_for_timeout(1_500)
                        page.screenshot(path=str(FOLDER / f"{name}.png"))
                        print(name, flush=True)
    return 0


def make_tenant(page: Any, running: Running, slug: str, title: str) -> str:
    """Through the form; its credential."""
    page.goto(f"{running.url}/new")
    page.fill("[name=slug]", slug)
    page.fill("[name=title]", title)
    page.locator("main form button.primary").last.click()
    token = page.locator("code").filter(has_text=f"{slug}:").first
    token.wait_for()
    if slug == TENANTS[0][0]:
        page.emulate_media(color_scheme="dark")
        page.screenshot(path=str(FOLDER / "credential-dark.png"))
    return str(token.inner_text()).strip()


@contextmanager
def work(running: Running, tokens: list[str]) -> Iterator[None]:
    """Programs of both tenants, until the block ends."""
    ended = threading.Event()
    clients = [KazooClient(running.up.address, auth_data=[("tenant", token)]) for token in tokens]
    threads = [
        threading.Thread(target=use, args=(client, 0.01 * (at + 1), ended))
        for at, client in enumerate(clients)
    ]
    waiting = KazooClient(running.up.address, auth_data=[("tenant", tokens[0])])
    try:
        for client in (*clients, waiting):
            client.start(15)
        fill(clients[0])
        clients[1].ensure_path("/carts")
        lock = clients[0].Lock("/locks/nightly-report", "worker-1")
        lock.acquire()
        waiter = threading.Thread(target=wait_for, args=(waiting,), daemon=True)
        waiter.start()
        for thread in threads:
            thread.start()
        yield
        lock.release()
        waiter.join(10)
    finally:
        ended.set()
        for thread in threads:
            if thread.is_alive():
                thread.join(10)
        for client in (*clients, waiting):
            client.stop()


def fill(client: KazooClient) -> None:
    for number in range(400):
        path = f"/services/svc-{number:05d}"
        client.ensure_path(path)
        client.set(path, SERVICE.replace(b"00007", f"{number:05d}".encode()))
    for number in range(3):
        client.set("/services/svc-00007", SERVICE.replace(b"8080", f"{8081 + number}".encode()))
    for path in ("/brokers/ids", "/config/topics", "/election", "/queues/mail"):
        client.ensure_path(path)


def use(client: KazooClient, pause_s: float, ended: threading.Event) -> None:
    count = 0
    while not ended.wait(pause_s):
        client.exists("/services/svc-00007")
        client.get_children("/")
        count += 1
        if count % 20 == 0:
            client.ensure_path("/clock")
            client.set("/clock", str(count).encode())


def wait_for(client: KazooClient) -> None:
    with client.Lock("/locks/nightly-report", "worker-2"):
        pass


if __name__ == "__main__":
    sys.exit(main())
