"""The console alone, as `ensemble up` starts it: makes ready what is its own, becomes Daphne."""

import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.runs import READY_TIMEOUT_S, Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    run.kill()


def test_it_makes_its_own_ready_and_shows_the_first_password_once_and_never_in_the_log(
    run: Run,
) -> None:
    run.start("--zookeeper", "127.0.0.1:1,127.0.0.1:2").wait_open()
    assert run.password() not in run.log.read_text()
    with urllib.request.urlopen(f"{run.url}/health", timeout=10) as answer:
        assert answer.read() == b"ok\n"
    assert run.stop() in (0, -signal.SIGTERM)
    run.start().wait_open()
    assert run.out.read_text() == ""
    assert run.stop() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1"])
def test_what_is_no_port_is_refused(text: str, run: Run) -> None:
    process = run.start(f"--port={text}").process
    assert process is not None
    assert process.wait(READY_TIMEOUT_S) == 2
    assert f"'{text}' is not a port" in run.log.read_text()
