"""Two web processes over one database: wrong passwords count for both, and after a restart."""

import http.client
import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest

from tests.console.runs import Run
from tests.tenants_app.databases import environment_of_fresh, manage

pytestmark = pytest.mark.timeout(300)
MOST = 5  # wrong ones for a name
MOST_OF_ADDRESS = 10
IN, WRONG, LOCKED, CLOSED = "in", "wrong", "locked", "closed"


def knock(run: Run, name: str, password: str, address: str, start: Barrier | None = None) -> str:
    """Sign in at that process, coming from that address of this machine; how it went."""
    link = http.client.HTTPConnection("127.0.0.1", run.port, 60, source_address=(address, 0))
    link.request("GET", "/account/login/")
    page = link.getresponse()
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.read().decode())
    assert token is not None
    cookie = str(page.headers["Set-Cookie"]).split(";")[0]
    form = {"csrfmiddlewaretoken": token.group(1), "login": name, "password": password}
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    if start is not None:
        start.wait(60)
    link.request("POST", "/account/login/", urlencode(form), headers)
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    if answer.status == 302:
        return IN
    if answer.status == 503:
        assert "Nobody can sign in now" in text
        return CLOSED
    assert answer.status == 200, text
    return LOCKED if "Too many failed" in text else WRONG if "are not correct" in text else text


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any
) -> dict[str, str]:
    with django_db_blocker.unblock():
        return environment_of_fresh(tmp_path_factory.mktemp("plane") / "var")


@pytest.fixture(scope="module")
def webs(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> Iterator[tuple[Run, Run]]:
    runs = [Run(tmp_path_factory.mktemp(name), environment) for name in ("one", "two")]
    try:
        for run in runs:
            run.start("--zookeeper", "127.0.0.1:1").wait_open()
        yield runs[0], runs[1]
    finally:
        for run in runs:
            run.kill()
            assert "Traceback" not in run.log.read_text(), run.log.read_text()[-4_000:]


@contextmanager
def held(environment: dict[str, str]) -> Iterator[None]:
    """The table is somebody else's meanwhile, as in a long migration or a backup gone wrong."""
    if "DATABASE_URL" in environment:
        with psycopg.connect(environment["DATABASE_URL"]) as pg:
            pg.execute("LOCK TABLE tenants_signintries IN ACCESS EXCLUSIVE MODE")
            yield
            pg.rollback()
        return
    db = sqlite3.connect(Path(environment["ENSEMBLE_VAR"]) / "console.sqlite3")
    db.execute("BEGIN IMMEDIATE")
    yield
    db.rollback()
    db.close()


def test_a_database_that_is_held_lets_nobody_in_and_says_so(
    webs: tuple[Run, Run], environment: dict[str, str]
) -> None:
    one, two = webs
    password = one.password()
    assert knock(one, "admin", password, "127.0.4.8") == IN
    with held(environment):
        with ThreadPoolExecutor(3) as pool:
            said = pool.map(
                lambda at: knock(
                    webs[at % 2], "admin", (password, "wrong")[at % 2], f"127.0.4.{at + 1}"
                ),
                range(3),
            )
            assert list(said) == [CLOSED] * 3
    assert knock(two, "admin", password, "127.0.4.9") == IN
    for run in webs:
        assert "could not be counted" in run.log.read_text()


def test_wrong_passwords_are_counted_over_two_processes_and_a_restart(
    webs: tuple[Run, Run], environment: dict[str, str]
) -> None:
    one, two = webs
    password = one.password()
    added = manage(environment, "person", "add", "dan")
    assert added.returncode == 0, added.stderr
    found = re.search(r"\S{16,}", added.stdout)
    assert found is not None, added.stdout
    # At once, at both, each from an address of its own: it is the name that is counted.
    guesses = 2 * (MOST + 1)
    start = Barrier(guesses)
    for name in ("admin", "nobody-at-all"):
        with ThreadPoolExecutor(guesses) as pool:
            said = list(
                pool.map(
                    lambda at, name=name: knock(  # type: ignore[misc]
                        webs[at % 2], name, "wrong", f"127.0.1.{at + 1}", start
                    ),
                    range(guesses),
                )
            )
        assert sorted(said) == [LOCKED] * (guesses - MOST) + [WRONG] * MOST, name
    assert knock(one, "admin", password, "127.0.2.1") == LOCKED
    assert knock(two, "admin", password, "127.0.2.2") == LOCKED
    assert knock(two, "dan", found.group(), "127.0.2.3") == IN
    # One address, many names.
    start = Barrier(12)
    with ThreadPoolExecutor(12) as pool:
        said = list(
            pool.map(
                lambda at: knock(webs[at % 2], f"name{at}", "wrong", "127.0.3.1", start),
                range(12),
            )
        )
    assert sorted(said) == [LOCKED] * (12 - MOST_OF_ADDRESS) + [WRONG] * MOST_OF_ADDRESS
    # A restart forgets nothing.
    one.stop()
    one.start("--zookeeper", "127.0.0.1:1").wait_open()
    assert knock(one, "admin", password, "127.0.2.4") == LOCKED
    assert knock(one, "dan", found.group(), "127.0.2.5") == IN
