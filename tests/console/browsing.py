"""A real browser for tests, and a page of somebody who is signed in."""

import atexit
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.ups import Up

playwright = pytest.importorskip("playwright.sync_api")


@dataclass
class Running:
    """What `ensemble up` serves, and the first operator's password."""

    up: Up
    url: str
    password: str


LAY_OUT = "from pathlib import Path; from console.run import lay_out; lay_out(Path({!r}))"


@functools.cache
def laid_out() -> Path:
    """What each first start makes anew: tables and static files; once for a worker's tests."""
    folder = Path(tempfile.mkdtemp(prefix="ensemble-laid-out-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    own = {"ENSEMBLE_VAR": str(folder), "DJANGO_SETTINGS_MODULE": "console.settings"}
    subprocess.run(
        [sys.executable, "-c", LAY_OUT.format(str(folder))],
        cwd=ROOT,
        env={**os.environ, **own},
        check=True,
        timeout=100,
    )
    return folder


@contextmanager
def product(folder: Path, *flags: str) -> Iterator[Running]:
    """The whole product in a folder of its own; it ends in order, and no log has a traceback."""
    up = Up(folder / "var")
    shutil.copytree(laid_out(), up.folder)
    try:
        up.start(*flags).wait_ready()
        password = re.search(r"Sign in as admin with (\S+)", up.said)
        assert password is not None, up.said
        yield Running(up, f"http://127.0.0.1:{up.console_port}", password.group(1))
        up.ask_to_stop(signal.SIGINT)
        assert up.wait_end() == 0, up.said
        assert up.said.rstrip().endswith("Stopped.")
        for log in up.folder.rglob("*.log"):
            assert "Traceback" not in log.read_text(), log.read_text()[-4_000:]
    finally:
        up.clean_up()


@contextmanager
def chromium() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextmanager
def signed_in(
    browser: "playwright.Browser", url: str, password: str, **options: object
) -> Iterator["playwright.Page"]:
    """An operator's page. Any script error or policy violation fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1300, "height": 800}, **options})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text)
            if message.type == "error" and "status of 4" not in message.text
            else None
        ),
    )
    page.goto(url + "/")
    page.fill("#id_login", "admin")
    page.fill("#id_password", password)
    page.click("button.primary")
    page.wait_for_url(url + "/")
    yield page
    context.close()
    assert problems == []
