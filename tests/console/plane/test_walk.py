"""The whole walk by forms alone, in a browser without script: from nothing to a deleted tenant.

A person signs in, makes a tenant, runs the program that the page shows, rotates its credential
under a running client, meets its limit, is suspended, deletes the tenant and brings it back.
"""

import os
import subprocess
import sys

from console.programs import VARIABLE
from tests.console import browsing
from tests.console.browsing import Running

playwright = browsing.playwright
WITHIN_S = 60

# Writes as fast as answers come, until it is told to end; says how often, and every error.
STEADY = """
import sys
from kazoo.client import KazooClient
zk = KazooClient({hosts!r}, auth_data=[("tenant", {token!r})])
zk.start(timeout=30)
zk.ensure_path("/steady")
print("runs", flush=True)
count = 0
import select
while not select.select([sys.stdin], [], [], 0)[0]:
    zk.set("/steady", str(count).encode())
    count += 1
print(count, zk.state, flush=True)
zk.stop()
"""
# What a program meets, by the name of the exception.
ONCE = """
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
zk = KazooClient({hosts!r}, auth_data=[("tenant", {token!r})])
try:
    zk.start(timeout=10)
    print(zk.create("/n-", b"", sequence=True))
except Exception as error:
    print(type(error).__name__)
finally:
    zk.stop()
"""


def run(program: str, token: str = "") -> str:
    """A program of a tenant's people, with the credential in its environment; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=WITHIN_S,
        env={**os.environ, VARIABLE: token},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def once(running: Running, token: str) -> str:
    return run(ONCE.format(hosts=running.up.address, token=token))


def sign_in(page: "playwright.Page", running: Running, name: str, password: str) -> None:
    page.goto(f"{running.url}/account/login/")
    page.fill("#id_login", name)
    page.fill("#id_password", password)
    page.click("button.primary")


def press(page: "playwright.Page", words: str) -> None:
    page.get_by_role("button", name=words, exact=True).click()


def test_the_whole_walk_by_forms_alone(running: Running, chromium: "playwright.Browser") -> None:
    with (
        browsing.signed_in(
            chromium, running.url, running.password, java_script_enabled=False
        ) as olga,
    ):
        # An operator makes an account.
        olga.goto(f"{running.url}/people/new")
        olga.fill("[name=username]", "alice")
        olga.click("form.stack button[type=submit]")
        password = olga.inner_text("#secret")

        # Its person signs in, and makes a tenant at once.
        context = chromium.new_context(java_script_enabled=False)
        alice = context.new_page()
        sign_in(alice, running, "alice", password)
        alice.goto(f"{running.url}/tenants/")
        assert "You have no tenant yet" in alice.inner_text("main")
        alice.get_by_role("link", name="Make a tenant").click()
        alice.fill("[name=slug]", "Payments!")
        alice.fill("[name=title]", "Payments of all shops")
        press(alice, "Make it")
        assert "1 to 63 of a-z" in alice.inner_text("main")
        assert alice.input_value("[name=title]") == "Payments of all shops"
        alice.fill("[name=slug]", "payments")
        press(alice, "Make it")
        first = alice.inner_text("#token")
        press(alice, "Test the connection")
        assert "It works" in alice.inner_text("#tried")

        # The program that the page shows runs as it stands.
        said = run(alice.locator("#snippet-1").text_content() or "", first)
        assert said == "world\n['hello', 'zookeeper']"
        alice.goto(f"{running.url}/tenants/payments/")
        assert "3 of 10,000" in alice.inner_text("#glance")
        alice.goto(f"{running.url}/tenants/payments/audit?of=plane")
        assert "credential.created" in alice.inner_text("main")

        # The credential is rotated under a client that goes on writing.
        steady = subprocess.Popen(
            [sys.executable, "-c", STEADY.format(hosts=running.up.address, token=first)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert steady.stdout is not None
            assert steady.stdout.readline() == "runs\n"
            alice.goto(f"{running.url}/tenants/payments/credentials")
            alice.get_by_text("Rotate").click()
            press(alice, "Make a new secret")
            second = alice.inner_text("#token")
            assert once(running, second).startswith("/n-")
            assert once(running, first).startswith("/n-"), "the old one overlaps"
            out, errors = steady.communicate("end\n", timeout=WITHIN_S)
        finally:
            steady.kill()
            steady.wait()
        count, state = out.split()
        assert steady.returncode == 0, errors
        assert int(count) > 0
        assert state == "CONNECTED"

        # The limit is met; deletes pass, more znodes do not.
        olga.goto(f"{running.url}/tenants/payments/steer")
        olga.fill("[name=limit_znodes]", "6")
        press(olga, "Set the limits")
        assert once(running, second) == "QuotaExceededError"
        alice.goto(f"{running.url}/tenants/payments/")
        assert "At its limit" in alice.inner_text("main")

        # It is suspended, with a reason that its people read; and resumed.
        olga.fill("[name=limit_znodes]", "")
        press(olga, "Set the limits")
        olga.locator("#suspend-reason").fill("unpaid")
        press(olga, "Suspend: reads only")
        assert once(running, second) == "NoAuthError"
        alice.reload()
        assert "unpaid" in alice.inner_text("main")
        press(olga, "Make it active again")
        assert once(running, second).startswith("/n-")

        # It is deleted by its name, and brought back with its credentials.
        alice.goto(f"{running.url}/tenants/payments/settings")
        alice.fill("#delete-confirm", "payment")
        press(alice, "Delete")
        assert "nothing was done" in alice.inner_text("main")
        alice.fill("#delete-confirm", "payments")
        press(alice, "Delete")
        assert "It is deleted" in alice.inner_text("main")
        assert once(running, second) in ("AuthFailedError", "KazooTimeoutError")
        press(alice, "Bring it back")
        assert once(running, second).startswith("/n-")
        context.close()


def test_with_script_the_name_is_checked_and_the_connection_tried_in_place(
    running: Running, chromium: "playwright.Browser"
) -> None:
    with browsing.signed_in(chromium, running.url, running.password) as page:
        page.goto(f"{running.url}/new")
        page.fill("#id_slug", "Not")
        page.wait_for_selector("#slug-said .problem")
        page.fill("#id_slug", "orders")
        page.wait_for_selector("#slug-said .fine")
        press(page, "Make it")
        token = page.inner_text("#token")
        press(page, "Test the connection")
        page.wait_for_selector("#tried .fine")
        assert page.inner_text("#token") == token, "the page is the same"
        page.goto(f"{running.url}/tenants/")
        page.fill("#q", "nobody-has-this-name")
        page.wait_for_selector("text=No tenant fits")
        page.fill("#q", "order")
        page.wait_for_selector("th >> text=orders")
        page.goto(f"{running.url}/plans")
        page.go_back()
        page.wait_for_selector("h1 >> text=Tenants")
        assert page.input_value("#q") == "order"
