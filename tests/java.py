"""Peers on the JVM: the Java client, Curator, Apache's server; fetched by Maven once and kept."""

import fcntl
import subprocess
from pathlib import Path

from tests.needs import need

JAVA = Path(__file__).parent / "interop" / "java"
LIBRARIES = JAVA / "target" / "lib"
BUILD_TIMEOUT_S = 300.0


def java_classpath() -> str:
    """The compiled checks and all jars; skips the test where Java is missing."""
    need("java", "javac", "mvn")
    stamp = JAVA / "target" / "complete"
    sources = [JAVA / "pom.xml", *sorted(JAVA.rglob("*.java"))]
    wanted = "".join(f"{path.name} {path.stat().st_mtime_ns}\n" for path in sources)
    if not stamp.exists() or stamp.read_text() != wanted:
        # Several test processes may want it at once: one builds, the others wait for it.
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
    return f"{JAVA / 'target' / 'classes'}:{LIBRARIES}/*"
