"""The layers of ARCHITECTURE.md: who may import whom, and what stays pure."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES_MAX = 600

# What each folder may import of the project, besides itself.
LAYERS: dict[str, set[str]] = {
    "ensemble/errors.py": set(),
    "ensemble/wire": {"ensemble.errors"},
    "ensemble/tree": {"ensemble.errors", "ensemble.wire"},
    "ensemble/storage": {"ensemble.errors", "ensemble.wire", "ensemble.tree"},
    "ensemble/zab": {"ensemble.errors", "ensemble.wire"},
    "ensemble/client": {"ensemble.errors", "ensemble.wire"},
    "ensemble/tenancy": {"ensemble.errors", "ensemble.wire", "ensemble.tree"},
    "ensemble/admin": {"ensemble.errors", "ensemble.wire", "ensemble.tenancy", "ensemble.client"},
    "ensemble/server": {
        "ensemble",
        "ensemble.errors",
        "ensemble.wire",
        "ensemble.tree",
        "ensemble.storage",
        "ensemble.zab",
        "ensemble.tenancy",
        "ensemble.client",
        "ensemble.admin",  # the command line alone, in main.py
        "ensemble.up",  # the same
    },
    "ensemble/up": {
        "ensemble.errors",
        "ensemble.client",
        "ensemble.server",  # its configuration's syntax
        "ensemble.zab",  # who the members are
        "ensemble.admin",  # the first operator's key
    },
    "tenants": {"ensemble.admin", "ensemble.client", "ensemble.errors", "ensemble.tenancy"},
    "observability": {"ensemble.client", "ensemble.errors", "ensemble.tenancy", "tenants"},
    "console": {
        "ensemble.admin",
        "ensemble.client",
        "ensemble.errors",
        "ensemble.tenancy",
        "ensemble.tree",  # the rule about ACLs, for the tester of them
        "ensemble.up",
        "observability",
        "tenants",
    },
}
PROJECT = ("ensemble", "tenants", "observability", "console", "tests")
PURE = ("ensemble/wire", "ensemble/tree", "ensemble/zab", "ensemble/tenancy")
IMPURE_MODULES = {"asyncio", "os", "random", "select", "socket", "subprocess", "threading", "time"}
HEAVY_MODULES = ("aiohttp", "click", "cryptography", "django", "jks", "opentelemetry", "uvloop")


def sources(folder: str) -> list[Path]:
    """Every source in a folder, or the one file."""
    place = ROOT / folder
    found = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert found, f"{folder} has moved: this test would look at nothing"
    return found


def imports(path: Path) -> Iterator[str]:
    """Every imported module; those for the type checker alone count, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            if node.module == "ensemble":  # `from ensemble import client`: the name is the module
                for alias in node.names:
                    known = (ROOT / "ensemble" / alias.name).exists()
                    yield f"ensemble.{alias.name}" if known else "ensemble"
            else:
                yield node.module


def layer_of(module: str) -> str:
    """`ensemble.wire.jute` belongs to `ensemble.wire`, `console.views.tree` to `console`."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "ensemble" else parts[0]


@pytest.mark.parametrize("folder", LAYERS)
def test_imports_point_one_way(folder: str) -> None:
    own = folder.removesuffix(".py").replace("/", ".")
    wrong = []
    for path in sources(folder):
        for module in imports(path):
            layer = layer_of(module)
            if layer.split(".")[0] not in PROJECT or layer == own:
                continue
            if layer not in LAYERS[folder]:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong


@pytest.mark.parametrize("folder", PURE)
def test_the_core_has_no_clock_no_sockets_and_no_chance(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources(folder)
        for module in imports(path)
        if module.split(".")[0] in IMPURE_MODULES
    ]
    assert not wrong


def test_the_server_knows_nothing_of_django() -> None:
    wrong = [
        str(path) for path in sources("ensemble") for module in imports(path) if "django" in module
    ]
    assert not wrong


def test_a_server_starts_without_loading_what_it_may_not_need() -> None:
    """A start well under a second: these libraries come when they are used, if they are."""
    code = (
        "import sys, ensemble.server.main, ensemble.server.node;"
        f"print([m for m in {HEAVY_MODULES!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("folder", ["ensemble", "console", "tests", "benchmarks"])
def test_files_fit_in_the_head(folder: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources(folder)
        if (lines := len(path.read_text().splitlines())) > LINES_MAX
    }
    for one_small_test_after_another in ("tree/test_prepare.py", "client/test_session.py"):
        long.pop(f"tests/{one_small_test_after_another}", None)
    assert not long


def test_exceptions_from_the_rules_name_the_rule() -> None:
    blanket = re.compile(r"#\s*(type:\s*ignore(?!\[)|noqa(?!:))")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("ensemble", "console", "tests", "benchmarks")
        for path in sources(folder)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if blanket.search(line) and path.name != "test_architecture.py"
    ]
    assert not wrong


def test_what_is_compiled_is_made_of_the_sources_as_they_are() -> None:
    """A module that was compiled before its last change would be tested instead of the source."""
    if not list(ROOT.glob("*__mypyc.*.so")):
        pytest.skip("nothing is compiled here")
    code = "import setup; print(setup.is_current())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == "True", f"compile again: make compile\n{done.stderr}"
