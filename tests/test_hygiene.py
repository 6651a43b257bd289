"""The repository holds the project and nothing of the machines and ways that it was made on."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BYTES_MAX = 1_000_000
BINARY = {".png", ".jks", ".p12"}

# Put together here, so that this file does not hold what it looks for.
FOLDERS = ["root", "work", "home", "Users", "tmp"]
REGISTRIES = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("repo1?.maven", "(org|apache.org)"),
    ("maven.google", "com"),
    ("registry.npmjs", "org"),
    ("registry.yarnpkg", "com"),
    ("conda.anaconda", "org"),
    ("crates", "io"),
    ("proxy.golang", "org"),
    ("deb.debian", "org"),
    ("archive.ubuntu", "com"),
    ("ghcr", "io"),
    ("docker", "io"),
]
TOOLS = [
    ("cla", "ude"),
    ("anthro", "pic"),
    ("chat", "gpt"),
    ("open", "ai"),
    ("co", "pilot"),
    ("sub-?", "agents?"),
    ("ai ", "(agents?|assistants?)"),
    ("language ", "models?"),
    ("ll", "ms?"),
    ("work", "trees?"),
]
FORBIDDEN = re.compile(
    "|".join(
        [
            *(rf"(?<![\w.:~])/{folder}/(?=\w)" for folder in FOLDERS),
            *(re.escape(name).replace(r"1\?", "1?") + rf"\.{end}" for name, end in REGISTRIES),
            *(rf"(?i:\b{first}{last}\b)" for first, last in TOOLS),
            "(extra-)?index" + "-url[ =]+http",
        ]
    )
)


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if (path := ROOT / name).is_file()]


@pytest.mark.parametrize(
    "line",
    [
        "see /" + "root/notes.md",
        'open("/' + "tmp/x/zoo.cfg" + '")',
        "https://" + "pypi" + ".org/simple",
        "https://repo." + "maven.apache" + ".org/maven2",
        "https://repo1." + "maven" + ".org/maven2",
        "--extra-index" + "-url=https://example",
        "written with " + "Co" + "pilot",
        "asked an " + "LL" + "M",
    ],
)
def test_the_check_finds_what_it_looks_for(line: str) -> None:
    assert FORBIDDEN.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "create /app/tmp/x",
        "a znode /zookeeper/quota",
        "https://zookeeper.apache.org/doc",
        "User-Agent",
    ],
)
def test_the_check_leaves_the_rest_alone(line: str) -> None:
    assert not FORBIDDEN.search(line)


def test_no_path_host_or_tool_of_some_machine_is_kept() -> None:
    found = []
    for path in tracked():
        if path.suffix in BINARY:
            continue
        for number, line in enumerate(path.read_bytes().decode("latin-1").splitlines(), 1):
            if FORBIDDEN.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert tracked()
    assert not found


def test_no_large_file_is_kept() -> None:
    large = [str(path) for path in tracked() if path.stat().st_size > BYTES_MAX]
    assert not large


def test_what_is_built_or_kept_at_run_time_is_ignored() -> None:
    """Nobody commits an environment, a compiled module or a node's data by `git add .`."""
    made = [".venv/x", ".venv-kazoo/x", "var/zoo.cfg", "build/x.c", "build.log", "ensemble/a.so"]
    made += ["ensemble_zk.egg-info/x", "tests/interop/java/target/x", ".hypothesis/x"]
    done = subprocess.run(
        ["git", "check-ignore", *made], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    if done.returncode == 128:
        pytest.skip("not a git checkout")
    assert done.stdout.splitlines() == made
