"""Builds the hot modules with mypyc where a C compiler is present; everything runs without, slower.

ENSEMBLE_COMPILE=1 demands the compilation, =0 leaves it out, unset: if there is a compiler.

`python setup.py compile` puts them beside the sources, and does nothing where that is done already:
it compares contents, not times, so that a checkout or a merge that changes nothing costs nothing.
"""

import glob
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
BUILD_LOG = ROOT / "build.log"

# Pure, typed, on the path of every request. The sources stay beside the compiled modules.
COMPILED = [
    "ensemble/errors.py",
    *sorted(p for p in glob.glob("ensemble/wire/*.py", root_dir=ROOT) if "__init__" not in p),
    *sorted(p for p in glob.glob("ensemble/tree/*.py", root_dir=ROOT) if "__init__" not in p),
    *sorted(p for p in glob.glob("ensemble/zab/*.py", root_dir=ROOT) if "__init__" not in p),
    "ensemble/server/stats.py",
    "ensemble/server/connection.py",
    "ensemble/server/answers.py",
    "ensemble/server/namespaces.py",
    "ensemble/server/operations.py",
    "ensemble/server/owners.py",
    "ensemble/server/decoding.py",
    *sorted(p for p in glob.glob("ensemble/tenancy/*.py", root_dir=ROOT) if "__init__" not in p),
    "ensemble/server/connections.py",
    "ensemble/server/committing.py",
    "ensemble/server/bindings.py",
    "ensemble/server/audit_paths.py",
    "ensemble/server/audit_records.py",
    "ensemble/server/audit_tap.py",
    "ensemble/server/gate.py",
    "ensemble/server/wall.py",
    "ensemble/server/session_desk.py",
    "ensemble/server/pipeline.py",
    "ensemble/server/local_sessions.py",
    "ensemble/server/write_replies.py",
    "ensemble/server/poll.py",
    "ensemble/server/client_socket.py",
    "ensemble/server/socket_table.py",
    "ensemble/server/port_turns.py",
    "ensemble/server/client_port.py",
    "ensemble/server/port_limits.py",
    "ensemble/server/log_batch.py",
    "ensemble/server/log_port.py",
    "ensemble/server/peer_socket.py",
    "ensemble/server/log_writer.py",
    "ensemble/server/contracts.py",
    "ensemble/server/shell.py",
    "ensemble/server/standalone.py",
    "ensemble/server/turns.py",
    "ensemble/server/ordering.py",
    "ensemble/server/share_exchange.py",
    "ensemble/server/replica.py",
    "ensemble/server/edge_limits.py",
    "ensemble/server/forwarding.py",
    "ensemble/server/digest_guard.py",
    "ensemble/storage/txnlog.py",
    "ensemble/storage/logreader.py",
    "ensemble/storage/logwalk.py",
    "ensemble/storage/replay.py",
]


def compiler() -> str | None:
    """The C compiler, if there is one."""
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")


def c_flags() -> list[str]:
    """As if all were one C file, though all cores compile: calls between modules are direct, and
    small functions go into their callers: 5 % fewer instructions for a read, a quarter more to do
    at the build. Other compilers than gcc spell the second flag in other ways.
    """
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    is_gcc = "gcc" in os.path.basename(command.split()[0])
    return ["-fvisibility=hidden", *(["-flto=auto", "-O3"] if is_gcc else [])]


def extensions() -> list[object]:
    """What setuptools is to build."""
    wish = os.environ.get("ENSEMBLE_COMPILE", "")
    if wish == "0" or (not wish and compiler() is None):
        return []
    try:
        from mypyc.build import mypycify
    except ImportError:
        if wish == "1":
            raise
        return []
    # Without the project's mypy settings: they name a plugin that only developers have.
    options = ["--config-file=", *COMPILED]
    modules = list(mypycify(options, opt_level="3", strip_asserts=False, multi_file=True))
    for module in modules:
        module.extra_compile_args += c_flags()
        module.extra_link_args += c_flags()
    return modules


def build_by_all_cores() -> type:
    """setuptools' `build_ext`, with as many C files at a time as there are cores."""
    from concurrent.futures import ThreadPoolExecutor

    from setuptools.command.build_ext import build_ext

    class BuildByAllCores(build_ext):
        def build_extensions(self) -> None:
            one_by_one = self.compiler.compile
            cores = len(os.sched_getaffinity(0))

            def compile(sources: list[str], *args: object, **options: object) -> list[str]:
                with ThreadPoolExecutor(cores) as pool:
                    made = pool.map(lambda source: one_by_one([source], *args, **options), sources)
                    return [file for files in made for file in files]

            self.compiler.compile = compile
            super().build_extensions()

    return BuildByAllCores


def fingerprint() -> str:
    """What the compiled modules are made of: sources, this file, the Python and its mypyc."""
    digest = hashlib.sha256(f"{sys.version} {SUFFIX}".encode())
    # The lock names the version of mypyc; asking mypyc itself would take half a second.
    for name in [*COMPILED, "setup.py", "requirements.lock"]:
        digest.update(f"\0{name}\0".encode() + (ROOT / name).read_bytes())
    return digest.hexdigest()


def fingerprint_file() -> Path:
    """Where the fingerprint of the modules that lie beside the sources is kept."""
    return ROOT / "build" / f"compiled{SUFFIX}.sha256"


def libraries() -> list[Path]:
    """Every compiled module in the tree, and the library that holds the code of all of them."""
    return [*ROOT.glob(f"*__mypyc{SUFFIX}"), *(ROOT / "ensemble").rglob(f"*{SUFFIX}")]


def is_current() -> bool:
    """Are all modules there, compiled from the sources as they are?"""
    wanted = {ROOT / (path.removesuffix(".py") + SUFFIX) for path in COMPILED}
    kept = fingerprint_file()
    return (
        wanted <= set(libraries())
        and len(list(ROOT.glob(f"*__mypyc{SUFFIX}"))) == 1
        and kept.exists()
        and kept.read_text() == fingerprint()
    )


def compile_in_place() -> int:
    """Bring the modules beside the sources up to date. Returns an exit status."""
    if is_current():
        return 0
    # A leftover of another version would be imported in place of its source.
    for library in libraries():
        library.unlink()
    if compiler() is None:
        print("no C compiler: the server runs interpreted, several times slower (Debian: gcc)")
        return 0
    print("compiling the hot modules (about a minute, only after a change)", flush=True)
    with BUILD_LOG.open("wb") as log:
        status = subprocess.run(
            [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
            cwd=ROOT,
            env={**os.environ, "ENSEMBLE_COMPILE": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if status != 0:
        print("\n".join(BUILD_LOG.read_text(errors="replace").splitlines()[-30:]))
        print(f"compiling failed, all of it is in {BUILD_LOG.name}; is python3-dev installed?")
        return 1
    return 0


def main() -> None:
    """What pip and the command line call."""
    from setuptools import setup

    modules = extensions()
    if not modules or "--inplace" not in sys.argv:
        setup(ext_modules=modules)
        return
    # Without its fingerprint a half-made build counts as none. It is taken before the sources are
    # read, so that what is edited meanwhile shows as a difference.
    fingerprint_file().unlink(missing_ok=True)
    made_of = fingerprint()
    setup(ext_modules=modules, cmdclass={"build_ext": build_by_all_cores()})
    fingerprint_file().write_text(made_of)


if __name__ == "__main__":
    if sys.argv[1:] == ["compile"]:
        sys.exit(compile_in_place())
    main()
