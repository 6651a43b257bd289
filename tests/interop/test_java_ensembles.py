"""The Java client and Curator's recipes over an ensemble whose leader is killed again and again."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ensembles import Ensemble
from tests.subject import subject

CHECK_TIMEOUT_S = 100.0
BETWEEN_KILLS_S = 1.5
# Enough to go on over several kills; exclusion has to hold throughout.
RECIPES = [("mutex", ("-Drounds=600",)), ("leader-selector", ("-Dterms=150",))]


@pytest.fixture
def ensemble(classpath: str, tmp_path: Path) -> Iterator[Ensemble]:
    with Ensemble(tmp_path, [subject()] * 3, {"tickTime": 1000}) as one:
        one.start().wait_serving()
        yield one


class Check:
    """One of the checks in Java, running."""

    def __init__(
        self, classpath: str, program: str, name: str, servers: str, flags: tuple[str, ...]
    ) -> None:
        self.name = name
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            ["java", "-Xmx256m", *flags, "-cp", classpath, f"ensemble.{program}", name, servers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, line: str) -> bool:
        """Read what it says until it says that, or ends."""
        assert self.process.stdout is not None
        for said in self.process.stdout:
            self.lines.append(said)
            if said.strip() == line:
                return True
        return False

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


def kill_the_leader(ensemble: Ensemble) -> None:
    leader = ensemble.wait_serving()
    leader.kill9()
    ensemble.wait_leader()
    leader.start(ensemble.all)
    ensemble.wait_serving()


@pytest.mark.parametrize(("name", "flags"), RECIPES)
def test_curators_exclusion_holds_while_leaders_are_killed(
    name: str, flags: tuple[str, ...], classpath: str, ensemble: Ensemble
) -> None:
    check = Check(classpath, "CuratorChecks", name, ensemble.address, flags)
    is_over = threading.Event()
    watchdog = threading.Timer(CHECK_TIMEOUT_S, check.process.kill)
    kills = 0

    def read() -> None:
        check.until(f"ok {name}")
        is_over.set()

    reader = threading.Thread(target=read)
    try:
        watchdog.start()
        reader.start()
        while not is_over.wait(BETWEEN_KILLS_S):
            kill_the_leader(ensemble)
            kills += 1
        assert check.process.wait(20) == 0, "".join(check.lines)
    finally:
        watchdog.cancel()
        check.process.kill()
        reader.join(20)
        check.close()
    assert kills >= 2, "it was over too soon to prove anything"


@pytest.mark.parametrize(
    ("program", "name"), [("CuratorChecks", "restart"), ("ClientChecks", "reconnect")]
)
def test_java_clients_move_to_another_member_with_all_they_have(
    program: str, name: str, classpath: str, ensemble: Ensemble
) -> None:
    """Session, ephemerals, watches, locks: their server is killed, or the leader."""
    check = Check(classpath, program, name, ensemble.address, ())
    watchdog = threading.Timer(CHECK_TIMEOUT_S, check.process.kill)
    try:
        watchdog.start()
        while check.until("your turn"):
            kill_the_leader(ensemble)
            check.go_on()
        assert check.process.wait(20) == 0, "".join(check.lines)
        assert check.lines[-1] == f"ok {name}\n"
    finally:
        watchdog.cancel()
        check.close()
