"""Builds the hot modules with mypyc where a C compiler is present; everything runs without, slower.

ENSEMBLE_COMPILE=1 demands the compilation, =0 leaves it out, unset: if there is a compiler.
"""

import glob
import os
import shutil

from setuptools import setup

# Pure, typed, on the path of every request. The sources stay beside the compiled modules.
COMPILED = [
    "ensemble/errors.py",
    *sorted(p for p in glob.glob("ensemble/wire/*.py") if not p.endswith("__init__.py")),
    *sorted(p for p in glob.glob("ensemble/tree/*.py") if not p.endswith("__init__.py")),
    "ensemble/server/stats.py",
    "ensemble/server/connection.py",
    "ensemble/server/answers.py",
    "ensemble/server/pipeline.py",
    "ensemble/server/write_replies.py",
    "ensemble/server/client_port.py",
    "ensemble/server/log_writer.py",
    "ensemble/server/standalone.py",
    "ensemble/storage/txnlog.py",
    "ensemble/storage/logreader.py",
    "ensemble/storage/replay.py",
]


def extensions() -> list[object]:
    wish = os.environ.get("ENSEMBLE_COMPILE", "")
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if wish == "0" or (not wish and compiler is None):
        return []
    try:
        from mypyc.build import mypycify
    except ImportError:
        if wish == "1":
            raise
        return []
    # Without the project's mypy settings: they name a plugin that only developers have.
    return list(mypycify(["--config-file=", *COMPILED], opt_level="3", strip_asserts=False))


setup(ext_modules=extensions())
