"""The collector's own process: it looks, it tells, and who kills it has not silenced it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.harness import ROOT
from tests.observability.planes import Plane

HERE = {"ENSEMBLE_ALERT_NETWORKS": "127.0.0.0/8"}
PREPARE = """
import sys, django; django.setup()
from tenants.actions import alerts, channels
from tenants.audit import PLANE
from tenants.models import Ensemble, Node
from observability.models import Source
from django.utils import timezone
channels.make(PLANE, name="hook", kind="webhook", url=sys.argv[1], severity="note")
one = Ensemble.objects.create(name="e1", hosts="127.0.0.1:1")
Node.objects.create(ensemble=one, name="node1", client="127.0.0.1:1", admin_url="http://127.0.0.1:1")
for name in ("node-gone", "quorum-lost"):
    alerts.set_rule(PLANE, name=name, is_on=name == "node-gone", threshold=None, hold_s=0)
"""


class Hook:
    """A webhook's other end: refuses the first, keeps the others."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                is_first = not hook.refused
                (hook.refused if is_first else hook.taken).append(body)
                self.send_response(503 if is_first else 204)
                self.end_headers()

            def log_message(self, *words: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.thread.join(10)
    made.server.server_close()


def test_a_node_that_is_gone_is_told_once_also_where_the_collector_is_killed(
    plane: Plane, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in HERE.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, hook.url],
        cwd=ROOT, env={**os.environ, **plane.environment()}, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    plane.collect()
    plane.wait(lambda: hook.refused, "the first message")
    plane.wait(
        lambda: plane.rows("SELECT tries FROM observability_delivery") == [(1,)], "written down"
    )
    plane.kill9()
    # What was to be tried later is due now, and the lease is over: nobody waits for it here.
    plane.execute("UPDATE observability_lease SET until = 0")
    plane.execute("UPDATE observability_delivery SET next_try_at = 0")
    plane.collect()
    plane.wait(lambda: hook.taken, "the same message, from another collector")
    plane.wait(
        lambda: plane.rows("SELECT status FROM observability_delivery") == [("sent",)], "sent"
    )
    (first,), (again,) = hook.refused, hook.taken
    assert first == again, "it is the same message, with its id"
    assert (first["event"], first["rule"], first["node"]) == ("firing", "node-gone", "node1")
    assert plane.rows("SELECT rule, status FROM observability_alert") == [("node-gone", "firing")]
