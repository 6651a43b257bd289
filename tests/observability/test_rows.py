"""Lines of the nodes' journals as rows of the trail."""

import json

from ensemble.tenancy.journal_line import NO_HASH, Line, seal
from observability.roots import Roots
from observability.rows import Entry, of_line

ROOTS = Roots({"/tenants/a": "a"})


def entries(**fields: object) -> list[Entry]:
    """What one sound line becomes."""
    text = json.dumps({"seq": 7, "time": "2026-11-21T11:54:40.147Z", **fields})
    raw, _ = seal(text.removesuffix("}"), NO_HASH)
    line = Line(raw)
    assert not line.why
    return list(of_line(line, "main", "node1", 1, ROOTS, 0))


def test_the_end_of_a_session_says_which_ephemerals_went_and_nothing_of_its_binding() -> None:
    paths = [
        {"operation": "delete", "path": "/zookeeper/tenants/a/03a1fedca13b0004"},
        {"operation": "delete", "path": "/tenants/a/lock"},
    ]
    rows = entries(operation="closeSession", tenant="a", result="Ok", paths=paths)
    assert [(row.operation, row.path) for row in rows] == [
        ("closeSession", ""),
        ("delete", "/tenants/a/lock"),
    ]


def test_a_delete_in_the_registry_by_itself_is_a_row() -> None:
    rows = entries(operation="delete", path="/zookeeper/tenants/a", result="Ok")
    assert [(row.operation, row.path) for row in rows] == [("delete", "/zookeeper/tenants/a")]
