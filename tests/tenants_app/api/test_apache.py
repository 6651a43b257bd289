"""An ensemble of Apache's over the API, as what it is: its tree for operators, no tenants."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tenants import reach
from tenants.models import Plan
from tests.interop.apache import ApacheNode
from tests.tenants_app.api.conftest import Login

AT = "ensembles/legacy/znodes"


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory, classpath: str) -> Iterator[ApacheNode]:
    folder = Path(tmp_path_factory.mktemp("legacy"))
    node = ApacheNode(folder, folder / "data", classpath)
    yield node.start()
    node.kill9()


@pytest.mark.django_db
def test_a_tree_of_apaches_is_read_written_and_cleared(
    legacy: ApacheNode, login: Login, plan: Plan, people: dict[str, User]
) -> None:
    reach.stop()
    olga, ada, alice = login("olga"), login("ada"), login("alice")
    wish = {"name": "legacy", "kind": "apache", "hosts": legacy.address}
    made = olga("POST", "ensembles", wish)
    assert made.status_code == 201, made.content
    assert made.json()["takes_tenants"] is False
    answer = olga("POST", AT, {"path": "/app/a", "data": "x", "parents": True})
    assert answer.status_code == 201, answer.content
    assert ada.get(AT, path="/app/a")["data"] == "x"
    assert [r["name"] for r in ada.get(f"{AT}/children", path="/app")["results"]] == ["a"]
    assert ada("POST", AT, {"path": "/b"}).status_code == 403
    assert alice("GET", f"{AT}?path=/app").status_code == 403
    wrong = olga("PUT", f"{AT}?path=/app/a", {"data": "y"}, If_Match='"0x1-0"')
    assert wrong.status_code == 412
    right = olga("PUT", f"{AT}?path=/app/a", {"data": "y"}, If_Match=answer.json()["etag"])
    assert right.status_code == 200
    acl = {"acl": ["world:anyone:cdrwa"]}
    assert olga("PUT", f"{AT}/acl?path=/app", acl, If_Match="*").status_code == 200
    gone = olga("DELETE", f"{AT}?path=/app&recursive=true", If_Match="*")
    assert gone.json()["done"] == 2
    refused = olga("POST", "tenants", {"slug": "x", "plan": "tiny", "ensemble": "legacy"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, "ensemble")
    reach.stop()
