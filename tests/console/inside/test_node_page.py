"""One node's page: what it says itself, what the collector knows, and what it does not tell."""

import json
import time
from typing import Any

import pytest

from observability.models import Lease
from observability.samples import table
from observability.samples.totals import Totals
from observability.store import LEASE
from tenants import holders
from tenants.models import Ensemble, Node
from tenants.recipes import Participant
from tenants.sessions import Session
from tests.console.inside.test_all_ensembles import GIB, WELL
from tests.console.plane.conftest import Go, text_of

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
PAGE = "/ensembles/one/nodes/node1"


def collected(ago: int = 0, resolution: int = 1, **own: object) -> None:
    one = table.make_series("one", "node", ["node1"])["node1"]
    text = json.dumps({**WELL, "server_state": "standalone", **own})
    at = int(time.time()) - ago
    table.write(resolution, [table.row_of(one, at, 1, Totals(), {}, text)])


@pytest.fixture
def at_work(db: None) -> None:
    """A collector is at work."""
    Lease.objects.create(name=LEASE, holder="box/1", until=int(time.time() * 1_000) + 600_000)


def test_a_node_says_what_it_is_and_its_passwords_stay_masked(
    go: Go, one: Ensemble, at_work: None
) -> None:
    files = "logdir_files_bytes"
    collected(ago=7_200, resolution=60, **{files: GIB})
    collected(**{files: 2 * GIB})
    for name in ("olga", "ada"):
        page = text_of(go(name, PAGE))
        for words in (
            "standalone",
            "0x500000064",
            "Configuration it was started with",
            "clientPort=",
            "It stands alone: there are no elections.",
            "znode_count",
            "50 GiB, 50 %",
        ):
            assert words in page, words
        assert "12 GiB a day" in page or "12.0 GiB a day" in page
        assert "full in 4 days" in page
    for name, status in (("alice", 403), ("bob", 403), ("carol", 403)):
        assert go(name, PAGE).status_code == status
    assert go("olga", f"{PAGE}1").status_code == 404
    assert go("olga", "/ensembles/none/nodes/node1").status_code == 404


def test_a_node_without_an_admin_port_and_one_that_is_down_say_what_is_missing(
    go: Go, one: Ensemble, at_work: None
) -> None:
    Node.objects.create(ensemble=one, name="plain", client="127.0.0.1:1")
    page = text_of(go("olga", "/ensembles/one/nodes/plain"))
    assert "Its admin port is not registered" in page
    assert "The collector has not heard of it yet." in page
    Node.objects.create(
        ensemble=one, name="down", client="127.0.0.1:2", admin_url="http://127.0.0.1:1"
    )
    page = text_of(go("olga", "/ensembles/one/nodes/down"))
    assert "What it does not tell" in page
    assert "does not answer" in page
    assert "down: was never heard of." in page


def test_figures_that_are_hostile_are_text(go: Go, one: Ensemble, at_work: None) -> None:
    collected(version="<script>\u202e", peer_state={"a": "<b>"}, datadir_free_bytes="many")
    page = text_of(go("olga", PAGE))
    assert "<script>\u202e" not in page
    assert "&lt;script&gt;‹U+202E›" in page
    assert go("olga", "/").status_code == 200


# What looks wrong with a holder


def session(**fields: Any) -> Session:
    return Session(**{"id": "0x7", "node": "node1", "timeout_ms": 30_000, **fields})


@pytest.mark.parametrize(
    ("found", "waiting", "words"),
    [
        (session(), 3, ""),
        (session(idle_ms=holders.SILENT_MS - 1), 3, ""),
        (session(idle_ms=holders.SILENT_MS + 60_000), 0, ""),
        (session(idle_ms=holders.SILENT_MS + 60_000), 1, "has asked nothing for 11 min"),
        (session(node="", expires_in_ms=4_400), 0, "ends within 4 s"),
        (session(node=""), 0, "ends within 30 s"),
        (None, 2, "Its session is unknown"),
    ],
)
def test_a_holder_that_looks_wrong_is_marked(
    found: Session | None, waiting: int, words: str
) -> None:
    others = {1: session(id="0x1")} | ({} if found is None else {7: found})
    holder = Participant("a", "holds", 7, 1)
    hint = holders.hint_of(holder, found, others, waiting, of_tenant=False)
    assert (hint == "") == (words == "")
    assert words in hint


def test_a_tenant_hears_no_more_of_a_foreign_holder_than_that_it_is_foreign() -> None:
    foreign = Participant("a", "holds", 7, 1)
    hint = holders.hint_of(foreign, None, {1: session(id="0x1")}, 1, of_tenant=True)
    assert hint == "Its session is none of this tenant's."
