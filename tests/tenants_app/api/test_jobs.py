"""Jobs by the API: asked for, confirmed, undone, downloaded; within the token that asked."""

import json
from typing import Any

import pytest

from observability.collect.runner import new_runner
from tenants.actions import tokens
from tenants.models import Job, MemberRole, Tenant
from tests.harness import Node
from tests.tenants_app.api.conftest import COMMAND, Caller, Login, token_of

pytestmark = pytest.mark.django_db(databases=["default", "observed"])


@pytest.fixture
def dan(served: Node, login: Login) -> Caller:
    caller = login("dan")
    for path, data in (("/jobs", "1"), ("/jobs/a", "2")):
        caller("POST", "tenants/orders/znodes", {"path": path, "data": data})
    return caller


def looked(caller: Caller, **body: Any) -> dict[str, Any]:
    made = caller("POST", "tenants/orders/jobs", body)
    assert made.status_code == 201, made.content
    assert new_runner().run_one()
    found: dict[str, Any] = caller.get(f"jobs/{made.json()['key']}")
    return found


def test_a_subtree_is_deleted_undone_and_exported(dan: Caller) -> None:
    job = looked(dan, kind="delete", path="/jobs")
    assert (job["state"], job["preview"]["counts"]) == ("ready", {"delete": 2})
    assert dan("POST", f"jobs/{job['key']}/confirm", {}).json()["state"] == "waiting"
    new_runner().run_one()
    assert dan("GET", "tenants/orders/znodes?path=/jobs").status_code == 404
    undo = dan("POST", f"jobs/{job['key']}/undo", {}).json()
    new_runner().run_one()
    assert dan("POST", f"jobs/{undo['key']}/confirm", {}).status_code == 200
    new_runner().run_one()
    export = looked(dan, kind="export", path="/jobs", form="json")
    answer = dan("GET", f"jobs/{export['key']}/file")
    raw = b"".join(answer.streaming_content)
    assert [one["text"] for one in json.loads(raw)["znodes"]] == ["1", "2"]
    same = looked(dan, kind="import", path="/jobs", data=raw.decode())
    assert same["preview"]["counts"] == {"same": 2}
    assert dan("POST", f"jobs/{same['key']}/confirm", {}).status_code == 409
    assert [one["kind"] for one in dan.get("jobs")["results"]] == [
        "import",
        "export",
        "undo",
        "delete",
    ]
    assert dan("DELETE", f"jobs/{export['key']}").status_code == 204
    assert dan("GET", f"jobs/{export['key']}/file").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "delete", "path": "/a", "to": "/b"}, "to"),
        ({"kind": "move", "path": "/a"}, "to"),
        ({"kind": "restore", "path": "/a"}, "zxid"),
        ({"kind": "restore", "path": "/a", "zxid": "0x1", "at_ms": 1}, "zxid"),
        ({"kind": "export", "path": "/a", "zxid": "0x1", "at_ms": 1}, "zxid"),
        ({"kind": "acl", "path": "/a", "entries": ["world"]}, "entries"),
        ({"kind": "import", "path": "/a", "data": "!", "encoding": "base64"}, "data"),
        ({"kind": "undo", "path": "/a"}, "kind"),
        ({"kind": "delete", "path": "a"}, "path"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(
    body: dict[str, Any], field: str, login: Login, tenant: Tenant
) -> None:
    answer = login("alice")("POST", "tenants/orders/jobs", body)
    assert answer.status_code == 400
    assert [one["field"].split(".")[0] for one in answer.json()["errors"]] == [field]
    assert not Job.objects.exists()


def test_roles_and_tokens_bound_what_is_asked_for_and_confirmed(
    dan: Caller, login: Login, people: dict[str, Any]
) -> None:
    bob = login("bob")
    assert bob("POST", "tenants/orders/jobs", {"kind": "export", "path": "/"}).status_code == 201
    assert bob("POST", "tenants/orders/jobs", {"kind": "delete", "path": "/"}).status_code == 403
    owners = {"kind": "acl", "path": "/", "entries": ["world:anyone:r"]}
    assert dan("POST", "tenants/orders/jobs", owners).status_code == 403
    whole = {"kind": "delete", "path": "/x"}
    assert login("ada")("POST", "ensembles/main/jobs", whole).status_code == 403
    assert login("olga")("POST", "ensembles/none/jobs", whole).status_code == 404
    new_runner().run_one()
    job = looked(dan, kind="delete", path="/jobs/a")
    weak = Caller(token_of(people["dan"], role=MemberRole.VIEWER)[1])
    assert weak("POST", f"jobs/{job['key']}/confirm", {}).status_code == 403


def test_a_job_ends_with_the_token_that_asked_for_it(dan: Caller, people: dict[str, Any]) -> None:
    token, text = token_of(people["dan"], name="short")
    job = looked(Caller(text), kind="delete", path="/jobs/a")
    assert dan("POST", f"jobs/{job['key']}/confirm", {}).status_code == 200
    tokens.revoke(COMMAND, token=token)
    new_runner().run_one()
    found = dan.get(f"jobs/{job['key']}")
    assert (found["state"], found["done"]) == ("failed", 0)
    assert "the token that asked for it was revoked" in found["said"]
