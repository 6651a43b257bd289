"""The programs of a credential's page, taken from it, compiled and run as they stand, on a node.

Where Go is there and its registry answers, Go's runs, too: seen with Go 1.26.8 and go-zookeeper
1.0.4. C's was seen with Debian's client library 3.8.0, Java's with ZooKeeper 3.9.3, Curator 5.7.1.
"""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from console.programs import BY_SASL, BY_TOKEN, CURATOR, VARIABLE, programs
from console.programs import JAVA as JAVA_CLIENT
from tenants.models import Ensemble, Plan
from tests.console.plane.conftest import Go, text_of
from tests.harness import Node
from tests.java import JAVA, LIBRARIES, java_classpath
from tests.needs import need
from tests.tenants import tenant_client

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
ENDS_WITHIN_S = 100.0  # the longest is Curator's, with a wrong secret: 9 s
FETCHED_WITHIN_S = 100.0
HEADERS = Path("/usr/include/zookeeper/zookeeper.h")
WRONG = "x" * 43
# Without what it says of the jars, and of `ZooKeeper.close`, which may be interrupted.
JAVAC = "javac -Xlint:all,-path,-classfile,-processing,-try -Werror -d strict -cp 'lib/*'"
# What a compiler of each language says with every warning on; none of it may be said.
STRICT = {
    "Hello.java": f"{JAVAC} Hello.java",
    "HelloCurator.java": f"{JAVAC} HelloCurator.java",
    "hello.c": "cc -std=c11 -Wall -Wextra -Wpedantic -Werror -DTHREADED -c hello.c -o strict.o",
    "hello.go": "go vet hello.go && test -z \"$(gofmt -l hello.go)\"",
}  # fmt: skip
# A server that refuses a secret closes the connection behind its answer. What a client has sent
# meanwhile may lose it that answer, and it says that the connection was lost.
REFUSED = {
    "hello.py": r"AuthFailedError|KazooTimeoutError",
    "hello_sasl.py": r"AuthFailedError|KazooTimeoutError",
    "HelloCurator.java": r"AuthFailedException|ConnectionLossException",
    "Hello.java": r"AuthFailedException|ConnectionLossException",
    "hello.sh": r"AuthFailed|ConnectionLoss",
    "hello.go": r"client authentication failed",
    "hello.c": r"(authentication failed|connection loss): are servers and credential right",
    "jaas.conf": r"AuthFailed|ConnectionLoss",
}
# The shell goes on after a command that failed, and ends as its last one did.
ENDS_WELL = ("hello.sh",)
FILES = [one.file for one in BY_TOKEN + BY_SASL]


@dataclass
class Page(HTMLParser):
    """What somebody copies from the page: texts of elements by id, and its programs' files."""

    text: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # of a program's name: its number
    inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("pre", "code") and (name := given.get("id")):
            self.inside = name
            self.text[name] = ""
            if file := given.get("data-file"):
                self.files[file] = name.removeprefix("run-")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("pre", "code"):
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.text[self.inside] += data


def page_of(text: str) -> Page:
    page = Page()
    page.feed(text)
    return page


@pytest.fixture
def made(go: Go, one: Ensemble, three_plans: dict[str, Plan]) -> str:
    """The page of a new tenant `orders` and its credential `app`."""
    values = {
        "slug": "orders", "title": "Orders", "plan": three_plans["small"].pk, "ensemble": one.pk,
        "credential": "app", "purpose": "",
    }  # fmt: skip
    return text_of(go("alice", "/new", values))


def prepare(file: str, folder: Path) -> None:
    """What the page says a program needs."""
    if file.endswith((".java", ".sh", ".conf")):
        java_classpath()
        (folder / "lib").symlink_to(LIBRARIES)
        (folder / "strict").mkdir()
        # Apache's, but for finding its own jars.
        shell = folder / "zkCli.sh"
        jars = shlex.quote(f"{LIBRARIES}/*")
        shell.write_text(
            f'#!/bin/sh\nexec java $JVMFLAGS -cp {jars} org.apache.zookeeper.ZooKeeperMain "$@"\n'
        )
        shell.chmod(0o755)
    if file.endswith(".c"):
        need("cc", *([] if HEADERS.exists() else ["libzookeeper-mt-dev"]))
    if file.endswith(".go"):
        fetch_go(folder)


def fetch_go(folder: Path) -> None:
    """Debian's Go is half a gigabyte, so nothing here installs it."""
    try:
        subprocess.run(["go", "version"], capture_output=True, timeout=60, check=True)
    except FileNotFoundError:
        pytest.skip("not installed: go")
    (line,) = (one.needs for one in BY_TOKEN if one.file == "hello.go")
    try:
        done = subprocess.run(
            line, shell=True, cwd=folder, capture_output=True, text=True, timeout=FETCHED_WITHIN_S
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"go-zookeeper was not fetched within {FETCHED_WITHIN_S:.0f} s")
    if done.returncode != 0:
        pytest.skip(f"go-zookeeper cannot be fetched: {done.stderr[-300:]}")


@dataclass
class Ended:
    status: int
    said: str
    errors: str


def run(line: str, folder: Path, token: str | None) -> Ended:
    """A line of the shell, in a folder; it ends in time, with everything that it has started."""
    env = {**os.environ, "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env.pop(VARIABLE, None)
    if token is not None:
        env[VARIABLE] = token
    process = subprocess.Popen(
        ["sh", "-c", line], cwd=folder, env=env, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        said, errors = process.communicate(timeout=ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, errors = process.communicate()
        pytest.fail(f"{line} has not ended: {said}{errors}")
    return Ended(process.returncode, said, errors)


def put(file: str, page: Page, folder: Path) -> str:
    """Keep a program as the page says; the line that runs it."""
    number = page.files[file]
    (folder / file).write_text(page.text[f"snippet-{number}"])
    return page.text[f"run-{number}"]


@pytest.mark.parametrize("file", FILES)
def test_a_program_of_the_page_works_and_ends_where_the_secret_is_wrong(
    file: str, go: Go, made: str, registry_node: Node, tmp_path: Path
) -> None:
    prepare(file, tmp_path)
    page = page_of(made)
    token = page.text["token"]
    assert page.text["export"] == f"export {VARIABLE}='{token}'"
    line = put(file, page, tmp_path)
    if file != "jaas.conf":  # JAAS has no other way
        assert token.partition(":")[2] not in page.text[f"snippet-{page.files[file]}"]
    if file in STRICT:
        strict = run(STRICT[file], tmp_path, token)
        assert (strict.status, strict.said + strict.errors) == (0, "")

    async def value() -> bytes:
        async with tenant_client(registry_node.address, token.encode()) as client:
            return (await client.get("/hello"))[0]

    for _ in range(2):  # a program is started more than once
        ended = run(line, tmp_path, token)
        assert ended.status == 0, ended
        if file == "jaas.conf":
            assert "SaslAuthenticated" in ended.said
            assert ended.said.splitlines()[-1] == "[zookeeper]"
        else:
            _, world, names = ended.said.partition("world\n")
            assert world, ended
            assert set(re.findall(r"\w+", names)) >= {"hello", "zookeeper"}, ended
            assert asyncio.run(value()) == b"world"

    values = {"token": f"orders:{WRONG}", "name": "app"}
    tried = text_of(go("alice", "/tenants/orders/try", values))
    assert "does not take this credential" in tried
    line = put(file, page_of(tried), tmp_path)
    ended = run(line, tmp_path, values["token"])
    assert ended.status == (0 if file in ENDS_WELL else 1), ended
    assert re.search(REFUSED[file], ended.said + ended.errors), ended
    assert "world\n" not in ended.said


@pytest.mark.parametrize("file", [one.file for one in BY_TOKEN if one.file != "hello.go"])
def test_a_program_without_the_variable_says_so_or_ends(
    file: str, made: str, tmp_path: Path
) -> None:
    prepare(file, tmp_path)
    ended = run(put(file, page_of(made), tmp_path), tmp_path, None)
    assert ended.status in (1, 2), ended
    assert re.search(rf"{VARIABLE}|System.getenv|bad arguments", ended.errors), ended


def test_a_credential_without_sasl_is_shown_no_programs_of_it(go: Go, made: str) -> None:
    assert page_of(made).text["sasl"] == "app@orders"
    sent = {"name": "plain", "role": "writer"}
    plain = page_of(text_of(go("alice", "/tenants/orders/credentials/new", sent)))
    assert set(plain.files) == {one.file for one in BY_TOKEN}
    assert not {"sasl", "password"} & set(plain.text)
    tried = text_of(
        go("alice", "/tenants/orders/try", {"token": plain.text["token"], "name": "plain"})
    )
    assert "It works" in tried
    assert page_of(tried).files == plain.files


def test_the_jars_that_java_is_told_to_take_are_those_that_it_was_run_with() -> None:
    pom = re.sub(r"\s", "", (JAVA / "pom.xml").read_text())
    for one in (CURATOR, JAVA_CLIENT):
        group, artifact, version = one.needs.split()[0].split(":")
        # Of Curator the tests take the recipes, which bring the framework of the same version.
        name = artifact.replace("curator-framework", "curator-recipes")
        assert (
            f"<groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}<" in pom
        )


def test_servers_stand_in_programs_as_every_client_takes_them() -> None:
    for one in programs("a, b:2182,[::1]", "app@shop", "secret", sasl=True):
        whole = one.run + one.text
        assert "@" not in whole.replace("app@shop", "").replace('"$@"', "")
        if one.file != "hello.sh":
            assert "a:2181,b:2182,[::1]:2181" in whole
