"""kazoo's own test suite, from its package, against our server in place of Apache's.

Its harness starts `java … QuorumPeerMain zoo.cfg`; `kazoo_suite/java` stands in on the path. Of the
493 tests Apache ZooKeeper 3.9.3 passes 490 with three servers and skips 3; with one server it fails
the 7 that need a quorum, too. Ours has to do the same; and once more with every client inside a
tenant, where nothing is added but the credential.
"""

import hashlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from ensemble.admin.keys import make_key, save_key
from tests.harness import ROOT
from tests.java import java_classpath
from tests.needs import need
from tests.ports import free_ports
from tests.subject import IS_OURS

SUITE = Path(__file__).parent / "kazoo_suite"
VENV = ROOT / ".venv-kazoo"
PASSED_MIN = {"1": 483, "3": 490, "3-tenant": 485}  # by the number of servers
# The suite takes minutes each time: `make kazoo` runs it in all ways, `make test` leaves it out.
RUNS = os.environ.get("KAZOO_RUNS", "").split(",")
PORTS = 50  # ten for each server and observer
INSTALL_TIMEOUT_S = 300.0
SUITE_TIMEOUT_S = 900.0


def environment() -> Path:
    """The Python of a virtual environment with kazoo as it was when its suite was written."""
    python = VENV / "bin" / "python"
    requirements = SUITE / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    stamp = VENV / "complete"
    if not stamp.exists() or stamp.read_text() != digest:
        for command in (
            [sys.executable, "-m", "venv", str(VENV)],
            [str(python), "-m", "pip", "install", "-q", "-r", str(requirements)],
        ):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        stamp.write_text(digest)
    return python


@pytest.mark.timeout(INSTALL_TIMEOUT_S + SUITE_TIMEOUT_S)
@pytest.mark.parametrize("run", RUNS)
def test_kazoos_own_suite_passes_as_with_apaches_server(run: str, tmp_path: Path) -> None:
    if not run:
        pytest.skip("it takes minutes: make kazoo")
    need("sh")
    servers, _, tenant = run.partition("-")
    plugins, more = [], {}
    if tenant:
        key = make_key("tests")
        save_key(key, tmp_path / "key")
        (tmp_path / "operator.keys").write_text(key.line + "\n")
        plugins = ["-p", "tenant_plugin"]
        more = {
            "ENSEMBLE_FLAGS": f"-Densemble.operator.keys={tmp_path / 'operator.keys'}",
            "ENSEMBLE_PROVISION": f"{sys.executable} -m tests.interop.provision {tmp_path / 'key'}",
            "PYTHONPATH": str(SUITE),
        }
    report = tmp_path / "report.xml"
    suite = subprocess.run(
        [str(environment()), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
        + plugins
        + ["--pyargs", "kazoo.tests", "--timeout=60", f"--junitxml={report}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SUITE_TIMEOUT_S,
        env={
            # With CI set it would test how kazoo's own CI is set up.
            **{name: value for name, value in os.environ.items() if name != "CI"},
            "PATH": f"{SUITE}:{os.environ['PATH']}" if IS_OURS else os.environ["PATH"],
            "ENSEMBLE_ROOT": str(ROOT),
            "ENSEMBLE_PYTHON": sys.executable,
            "ZOOKEEPER_CLASSPATH": str(SUITE) if IS_OURS else java_classpath(),
            "ZOOKEEPER_CLUSTER_SIZE": servers,
            "ZOOKEEPER_PORT_OFFSET": str(free_ports(PORTS, in_a_row=True)[0]),
            "ZOOKEEPER_VERSION": "3.9.3",
            **more,
        },
    )
    assert report.exists(), suite.stdout[-4000:] + suite.stderr[-4000:]
    failed, passed = set(), 0
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
        elif case.find("skipped") is None:
            passed += 1
    listed = SUITE / f"expected-{run}.txt"
    lines = listed.read_text().splitlines() if listed.exists() else []
    expected = {line for line in lines if line and not line.startswith("#")}
    assert failed == expected, suite.stdout[-20_000:]
    assert passed >= PASSED_MIN[run]
