"""What is installed, compiled and shipped: locks, requirements, setup.py, the Makefile."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}$")


# --- dependencies


def entries(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a lock file with what follows it on its continued lines."""
    text = (ROOT / lock).read_text().replace("\\\n", "\n    ")
    found: list[tuple[Requirement, list[str]]] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if line[0] == " ":
            found[-1][1].append(line.strip())
        else:
            found.append((Requirement(line.strip()), []))
    return found


def pins(lock: str) -> dict[str, set[str]]:
    """Versions by distribution; more than one where they differ between Pythons."""
    versions: dict[str, set[str]] = {}
    for requirement, _ in entries(lock):
        (pin,) = requirement.specifier
        versions.setdefault(canonicalize_name(requirement.name), set()).add(pin.version)
    return versions


def declared(*extras: str) -> list[Requirement]:
    texts = list(PROJECT["dependencies"])
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_one_version_and_its_hashes(lock: str) -> None:
    wrong = []
    for requirement, following in entries(lock):
        operators = [pin.operator for pin in requirement.specifier]
        hashes = [line for line in following if line]
        if operators != ["=="] or not hashes or not all(HASH.match(line) for line in hashes):
            wrong.append(str(requirement))
    assert entries(lock)
    assert not wrong


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_to_fetch_from(lock: str) -> None:
    """Where packages come from is the machine's affair."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(--(?!hash)|#|-[a-z])", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("lock", "extras"),
    [(LOCKS[0], ["console", "build"]), (LOCKS[1], ["console", "build", "dev"])],
)
def test_what_is_declared_is_locked_within_its_bounds(lock: str, extras: list[str]) -> None:
    locked = pins(lock)
    wrong = [
        f"{requirement}: locked {sorted(locked.get(name, set()))}"
        for requirement in declared(*extras)
        for name in [canonicalize_name(requirement.name)]
        if name not in locked
        or not all(requirement.specifier.contains(version) for version in locked[name])
    ]
    assert not wrong, "make lock"


def test_tests_run_with_the_versions_that_are_shipped() -> None:
    shipped, tested = pins(LOCKS[0]), pins(LOCKS[1])
    assert {name: tested.get(name) for name in shipped} == shipped


OURS = {"ensemble", "tenants", "observability", "console"}


def third_party(folder: str) -> set[str]:
    """Top-level modules that are neither Python's nor the project's, wherever they are imported."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - OURS


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("ensemble", ["otel"]),
        ("tenants", ["console"]),
        ("observability", ["console"]),
        ("console", ["console"]),
    ],
)
def test_what_is_imported_is_declared(folder: str, extras: list[str]) -> None:
    """An import that works only because something else brings it breaks at an upgrade."""
    allowed = {canonicalize_name(requirement.name) for requirement in declared(*extras)}
    brings = importlib.metadata.packages_distributions()
    imported = third_party(folder)
    assert imported, "nothing was looked at"
    wrong = {
        module: brings.get(module, [])
        for module in imported
        if not allowed & {canonicalize_name(name) for name in brings.get(module, [])}
    }
    assert not wrong


# --- the compiled modules


def load_setup(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_of_ensemble", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("pure", [True, False])
def test_the_modules_that_run_are_the_ones_that_are_meant(pure: bool) -> None:
    """Interpreted with ENSEMBLE_PURE=1, else compiled, where that was done: all, not some."""
    setup = load_setup(ROOT / "setup.py")
    if not pure and not setup.libraries() and not os.environ.get("CI"):
        pytest.skip("nothing is compiled; `make compile`")
    names = [path.removesuffix(".py").replace("/", ".") for path in setup.COMPILED]
    code = (
        f"import importlib; names = {names!r};"
        "print(sum(importlib.import_module(n).__file__.endswith('.py') for n in names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "ENSEMBLE_PURE": "1" if pure else "0"},
        timeout=60,
    )
    assert done.stdout.strip() == str(len(names) if pure else 0), done.stderr


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """The project's setup.py over a tree of tiny modules."""
    shutil.copy(ROOT / "setup.py", tmp_path)
    (tmp_path / "requirements.lock").write_text("mypy==1\n")
    for name in load_setup(ROOT / "setup.py").COMPILED:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.joinpath("__init__.py").touch()
        path.write_text(f"VALUE: int = {len(name)}\n")
    return tmp_path


def compiled(project: Path, name: str, suffix: str) -> Path:
    """Where the compiled module of a source lies."""
    return project / (name.removesuffix(".py") + suffix)


def pretend_compiled(project: Path) -> ModuleType:
    setup = load_setup(project / "setup.py")
    for name in setup.COMPILED:
        compiled(project, name, setup.SUFFIX).touch()
    (project / f"0123__mypyc{setup.SUFFIX}").touch()
    setup.fingerprint_file().parent.mkdir()
    setup.fingerprint_file().write_text(setup.fingerprint())
    return setup


def test_a_checkout_that_changes_no_content_compiles_nothing(small_project: Path) -> None:
    setup = pretend_compiled(small_project)
    os.utime(small_project / setup.COMPILED[0], (2_000_000_000, 2_000_000_000))
    assert setup.is_current()


def edit_a_source(project: Path, setup: ModuleType) -> None:
    (project / setup.COMPILED[-1]).write_text("VALUE: int = 8\n")


def add_a_module(project: Path, _: ModuleType) -> None:
    (project / "ensemble/wire/new.py").write_text("VALUE: int = 8\n")


def take_another_mypyc(project: Path, _: ModuleType) -> None:
    (project / "requirements.lock").write_text("mypy==2\n")


def lose_a_module(project: Path, setup: ModuleType) -> None:
    compiled(project, setup.COMPILED[0], setup.SUFFIX).unlink()


def lose_the_common_library(project: Path, _: ModuleType) -> None:
    for path in project.glob("0123__mypyc*"):
        path.unlink()


def keep_a_second_library(project: Path, setup: ModuleType) -> None:
    (project / f"4567__mypyc{setup.SUFFIX}").touch()


def break_off_the_build(_: Path, setup: ModuleType) -> None:
    setup.fingerprint_file().unlink()


@pytest.mark.parametrize(
    "change",
    [
        edit_a_source,
        add_a_module,
        take_another_mypyc,
        lose_a_module,
        lose_the_common_library,
        keep_a_second_library,
        break_off_the_build,
    ],
)
def test_what_has_changed_is_compiled_again(
    small_project: Path, change: Callable[[Path, ModuleType], None]
) -> None:
    setup = pretend_compiled(small_project)
    change(small_project, setup)
    assert not load_setup(small_project / "setup.py").is_current()


def test_without_a_compiler_nothing_old_is_left_and_the_line_says_so(
    small_project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup = pretend_compiled(small_project)
    edit_a_source(small_project, setup)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(small_project))
    assert setup.compile_in_place() == 0
    assert setup.libraries() == []
    assert "runs interpreted" in capsys.readouterr().out


def test_a_compilation_that_fails_is_an_error_with_its_words(
    small_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = load_setup(small_project / "setup.py")
    (small_project / setup.COMPILED[0]).write_text("VALUE: int = 'text'\n")
    monkeypatch.setenv("CC", "cc")
    assert setup.compile_in_place() == 1
    assert "Incompatible types" in capsys.readouterr().out
    assert not setup.is_current()


def test_the_wheel_brings_the_pages(tmp_path: Path) -> None:
    """Templates and static files are no Python: setuptools leaves them out unless told."""
    for name in ("ensemble", "console"):
        ignore = shutil.ignore_patterns("*.so", "__pycache__", ".*_cache")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "README.md", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    wanted = {
        str(path.relative_to(tmp_path))
        for name in ("ensemble", "console")
        for path in (tmp_path / name).rglob("*")
        if path.is_file()
    }
    done = subprocess.run(
        [sys.executable, "-c", "from setuptools import build_meta; build_meta.build_wheel('out')"],
        cwd=tmp_path,
        env={**os.environ, "ENSEMBLE_COMPILE": "0"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = (tmp_path / "out").glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info" not in name}
    assert shipped == wanted


# --- make and its helpers


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def verbs() -> set[str]:
    """What `make` lists."""
    return set(re.findall(r"^  make ([a-z-]+) +\S", run(["make"]).stdout, re.MULTILINE))


def test_make_alone_lists_the_verbs() -> None:
    expected = "install run test format lint types compile bench fuzz kazoo check clean lock"
    assert set(expected.split()) <= verbs()


def test_documents_name_only_verbs_that_exist() -> None:
    known = verbs()
    wrong = [
        f"{path.relative_to(ROOT)}: make {verb}"
        for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for verb in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", path.read_text(), re.MULTILINE)
        if verb not in known
    ]
    assert not wrong


@pytest.fixture
def programs(tmp_path: Path) -> Callable[..., str]:
    """A PATH on which only the named programs are found: from here, or with the given text."""

    def place(*names: str, **scripts: str) -> str:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in names:
            found = shutil.which(name)
            assert found is not None
            (folder / name).symlink_to(found)
        for name, text in scripts.items():
            path = folder / name.replace("_", "-")
            path.write_text(f"#!{folder}/sh\n{text}\n")
            path.chmod(0o755)
        return str(folder)

    return place


def test_the_ci_script_sets_ci_and_passes_the_status_on(programs: Callable[..., str]) -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    path = programs("sh", "dirname", "date", make='echo "asked for $*, CI=$CI"; exit 7')
    done = run(["sh", ".ci/run"], PATH=path, CI="")
    assert done.returncode == 7
    assert "asked for test, CI=1" in done.stdout
    assert re.search(r"exit status 7 after \d+ s", done.stdout)


def test_needs_refuses_a_purpose_it_does_not_know() -> None:
    done = run(["sh", "tests/needs.sh", "everything"])
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_without_apt_get_the_missing_packages_are_named(programs: Callable[..., str]) -> None:
    path = programs("sh", python3="exit 0")
    done = run(["sh", "tests/needs.sh", "test"], PATH=path, PYTHON="python3")
    assert done.returncode == 0
    assert "chromium" in done.stdout
    assert "tests without them skip" in done.stdout


def test_without_rights_the_command_to_install_is_printed(programs: Callable[..., str]) -> None:
    path = programs("sh", python3="exit 0", id="echo 1000", apt_get="echo called; exit 1")
    done = run(["sh", "tests/needs.sh", "test"], PATH=path, PYTHON="python3")
    assert done.returncode == 0
    assert "sudo apt-get install " in done.stdout
    assert "called" not in done.stdout


def test_without_venv_and_rights_the_set_up_stops_with_the_command(
    programs: Callable[..., str],
) -> None:
    """Debian's python3 has no ensurepip: the one thing that running cannot do without."""
    path = programs("sh", python3="exit 1", id="echo 1000", apt_get="exit 1")
    done = run(["sh", "tests/needs.sh", "venv"], PATH=path, PYTHON="python3")
    assert done.returncode == 1
    assert "sudo apt-get install python3-venv" in done.stdout


def test_what_is_missing_is_installed_after_an_update(programs: Callable[..., str]) -> None:
    """A fresh machine knows no packages before it has fetched their lists."""
    path = programs(
        *("sh", "mktemp", "rm", "tail", "touch"),
        python3="exit 1",
        id="echo 0",
        apt_get='echo "$@" >&3; [ "$1" = update ] && touch "$0.updated"; [ -e "$0.updated" ]',
    )
    done = run(["sh", "-c", "sh tests/needs.sh venv 3>&1"], PATH=path, PYTHON="python3")
    assert done.returncode == 0, done.stdout
    install = "install -y --no-install-recommends python3-venv"
    assert done.stdout.splitlines() == ["installing python3-venv", install, "update", install]
