"""What a test needs of the machine. Its lack is a skip with a clear word, in CI a failure."""

import os
import shutil

import pytest


def need(*programs: str) -> None:
    """Skip the test unless every program is on the path (or is a path that exists)."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    text = f"not installed: {', '.join(missing)}; `sh tests/needs.sh test` brings it"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)
