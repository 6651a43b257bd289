"""The repository holds the project and nothing of the machines that it was made on."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Put together here, so that this file does not hold what it looks for.
FORBIDDEN = [
    r"(?<![\w.])/" + "root/",
    r"(?<![\w.])/" + "work/",
    r"(?<![\w.])/" + "home/",
    "pypi" + r"\.org",
    "repo1?" + r"\.maven",
    "files" + r"\.pythonhosted",
    "registry" + r"\.npmjs",
    r"deb\.debian" + r"\.org",
    "index" + "-url http",
]
BYTES_MAX = 1_000_000


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_path_or_host_of_some_machine_is_kept() -> None:
    pattern = re.compile("|".join(FORBIDDEN))
    found = []
    for path in tracked():
        if not path.is_file() or path.suffix in {".png", ".jks", ".p12"}:
            continue
        for number, line in enumerate(path.read_bytes().decode("latin-1").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert not found


def test_no_large_file_is_kept() -> None:
    large = [str(path) for path in tracked() if path.is_file() and path.stat().st_size > BYTES_MAX]
    assert not large
