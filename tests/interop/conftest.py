"""Peers: the Java client, Curator and Apache's server, fetched by Maven once and kept."""

import subprocess
from pathlib import Path

import pytest

from tests.needs import need

JAVA = Path(__file__).parent / "java"
BUILD_TIMEOUT_S = 300.0


@pytest.fixture(scope="session")
def classpath(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The compiled checks and all jars."""
    need("java", "javac", "mvn")
    stamp = JAVA / "target" / "complete"
    sources = [JAVA / "pom.xml", *sorted(JAVA.rglob("*.java"))]
    wanted = "".join(f"{path.name} {path.stat().st_mtime_ns}\n" for path in sources)
    if not stamp.exists() or stamp.read_text() != wanted:
        # Several test processes may want it at once: one builds, the others wait for it.
        import fcntl

        JAVA.joinpath("target").mkdir(exist_ok=True)
        with (JAVA / "target" / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not stamp.exists() or stamp.read_text() != wanted:
                done = subprocess.run(
                    ["mvn", "-q", "-B", "compile", "dependency:copy-dependencies"]
                    + ["-DoutputDirectory=target/lib", "-DincludeScope=runtime"],
                    cwd=JAVA,
                    capture_output=True,
                    text=True,
                    timeout=BUILD_TIMEOUT_S,
                )
                assert done.returncode == 0, done.stdout + done.stderr
                stamp.write_text(wanted)
    return f"{JAVA / 'target' / 'classes'}:{JAVA / 'target' / 'lib'}/*"
