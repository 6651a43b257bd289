"""The whole tree is reached as the person: the node holds the role, its journal has the name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ensemble.admin.keys import save_key
from tenants import reach
from tests.console.plane.conftest import Go
from tests.harness import Node
from tests.server.audits import JOURNAL, folder_of, of_clients, wait_for
from tests.tenants import KEY, trusting

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
JSON = {"accept": "application/json"}


@pytest.fixture(scope="module")
def journaling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = Path(tmp_path_factory.mktemp("node"))
    node = Node(folder / "node", {**trusting(folder / "keys"), **JOURNAL}, {}, []).start()
    yield node
    node.kill9()


@pytest.fixture
def main(journaling: Node, settings: Any, tmp_path: Path) -> Iterator[Node]:
    """The ensemble that the console looks at, with an operator's key for it."""
    save_key(KEY, tmp_path / "operator.key")
    settings.ZOOKEEPER_HOSTS = journaling.address
    settings.MAIN_KEYS = {"operator_key": str(tmp_path / "operator.key")}
    reach.stop()
    yield journaling
    reach.stop()


def test_what_an_operator_changes_stands_in_the_nodes_journal_under_their_name(
    go: Go, main: Node
) -> None:
    made = {"parent": "/", "name": "mine", "mode": "persistent", "text": "x"}
    assert go("olga", "/znodes/create", made, headers=JSON).status_code == 201
    shown = go("olga", "/znodes/data", None, data={"path": "/mine"}).json()
    edit = {"path": "/mine", "version": "0", "czxid": shown["czxid"], "format": "text", "text": "y"}
    assert go("olga", "/znodes/save", edit, headers=JSON).status_code == 200

    def mine(found: list[dict[str, object]]) -> list[tuple[object, object]]:
        lines = [one for one in of_clients(found) if one.get("path") == "/mine"]
        return [(one["operation"], one["principal"]) for one in lines]

    wanted = [("create", "operator:olga"), ("setData", "operator:olga")]
    assert mine(wait_for(folder_of(main), lambda found: len(mine(found)) == 2)) == wanted


def test_the_node_itself_refuses_an_auditor_what_a_faulty_page_would_let_through(
    go: Go, main: Node, cast: dict[str, Any]
) -> None:
    from console.scopes import scope_of
    from ensemble.client import NoAuthError

    assert go("ada", "/znodes/children", None, data={"path": "/"}).status_code == 200
    scope = scope_of(cast["ada"])
    assert not scope.may_write
    with pytest.raises(NoAuthError):
        scope.bridge.run(lambda client: client.create("/by-ada"))
    assert {name.who for name in reach.pool()._bridges} == {"ada"}
