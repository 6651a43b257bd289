"""Planes as processes of their own over a database of theirs: to be killed, or run side by side."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.harness import ROOT

WITHIN_S = 60.0
PRELUDE = """
import json, os, signal, sys
import django
django.setup()
from django.core.management import call_command
from tenants import nodes, publication, reach, reconcile, registry
from tenants.actions import base, ensembles, plans, tenants
from tenants.actions.ensembles import NodeSpec
from tenants.audit import PLANE, verify
from tenants.models import AuditEvent, Ensemble, Plan, Publication, Tenant

publication.NOW_WITHIN_S = 30.0  # a busy machine is no fault
nodes.ASK_WITHIN_S = 20.0

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def tell(**what):
    print(json.dumps(what))
"""


class Plane:
    """The plane's folder; `run` is a process that imports it, does something, and ends."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = environment or {}

    def start(self, code: str) -> "subprocess.Popen[bytes]":
        inherited = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
        environment = {
            **inherited,
            "ENSEMBLE_VAR": str(self.folder),
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "PYTHONPATH": str(ROOT),
            **self.environment,
        }
        return subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, code: str, status: int = 0) -> dict[str, object]:
        """What the code tells last; `status`: how the process has to end."""
        return self.end(self.start(code), status)

    def end(self, process: "subprocess.Popen[bytes]", status: int = 0) -> dict[str, object]:
        try:
            out, errors = process.communicate(timeout=WITHIN_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        assert process.returncode == status, errors.decode(errors="replace")[-4_000:]
        lines = out.decode().splitlines()
        told: dict[str, object] = json.loads(lines[-1]) if lines else {}
        return told
