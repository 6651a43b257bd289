"""Policy as code: exported, compared, applied; twice is once, and nothing happens unsaid."""

import io
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tenants.errors import InvalidError
from tenants.models import AuditEvent, Credential, Plan, Tenant
from tenants.policy import document
from tests.harness import Node
from tests.tenants_app.api.conftest import Login

WISH = """
policy: 1
plans:
  tiny: {weight: 300}
  big:
    title: Big
    entry: operators
    limits: {znodes: 100000}
tenants:
  orders:
    title: Orders of everybody
    plan: big
    mode: permissive
    members: {alice: owner, carol: developer, bob: developer}
    credentials:
      app: {role: writer}
  fresh:
    plan: tiny
    overrides: {znodes: 50, bytes: null}
    history_days: 3
    members: {alice: owner}
"""


def diff(text: str, **options: Any) -> list[str]:
    out = StringIO()
    call_command("policy", "apply", "--file", text, stdout=out, **options)
    return out.getvalue().splitlines()


@pytest.fixture
def wish(tmp_path: Path) -> str:
    path = tmp_path / "wish.yaml"
    path.write_text(WISH)
    return str(path)


def test_a_document_is_compared_then_applied_and_again_changes_nothing(
    wish: str, served: Node, tenant: Tenant, people: dict[str, User]
) -> None:
    before = AuditEvent.objects.count()
    lines = diff(wish, dry_run=True)
    assert lines == [
        "~ plan tiny: weight: 100 -> 300",
        "+ plan big",
        "~ tenant orders: plan: 'tiny' -> 'big'",
        "~ tenant orders: mode: 'enforce' -> 'permissive'",
        "~ tenant orders: title: '' -> 'Orders of everybody'",
        "+ member orders/carol",
        "~ member orders/bob: role: 'viewer' -> 'developer'",
        "+ credential orders/app",
        "+ tenant fresh",
        "+ member fresh/alice",
        "- member orders/dan",
    ]
    assert AuditEvent.objects.count() == before, "a dry run changes nothing"
    done = diff(wish, yes=True)
    assert done[:-2] == lines
    assert done[-2].startswith("orders/app: orders:")
    assert done[-1] == "11 of 11 changes were made."
    fresh = Tenant.objects.get(slug="fresh")
    assert (fresh.overrides, fresh.history_days) == ({"znodes": 50, "bytes": None}, 3)
    assert diff(wish, yes=True) == ["Nothing to do: all of it is so already."]


def test_what_is_exported_is_what_is_there(
    wish: str, served: Node, tenant: Tenant, tmp_path: Path
) -> None:
    diff(wish, yes=True)
    path = tmp_path / "all.yaml"
    call_command("policy", "export", "--file", str(path))
    text = path.read_text()
    assert diff(str(path), yes=True) == ["Nothing to do: all of it is so already."]
    exported = yaml.safe_load(text)
    assert exported["tenants"]["orders"]["members"] == {
        "alice": "owner",
        "bob": "developer",
        "carol": "developer",
    }
    secret = Credential.objects.get(name="app").secrets.get()
    assert secret.hash not in text
    assert secret.digest_md5 not in text


def test_what_is_not_in_the_document_goes_only_when_told(
    tenant: Tenant, people: dict[str, User], tmp_path: Path
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("policy: 1\nplans: {}\ntenants: {}\n")
    assert diff(str(path), yes=True) == ["Nothing to do: all of it is so already."]
    lines = diff(str(path), yes=True, prune=True)
    assert lines[:2] == ["~ plan tiny: retired: False -> True", "- tenant orders"]
    assert Tenant.objects.get(slug="orders").lifecycle == "deleted"
    assert Plan.objects.get(name="tiny").retired
    path.write_text("policy: 1\n")
    assert diff(str(path), yes=True, prune=True) == ["Nothing to do: all of it is so already."]
    path.write_text("policy: 1\ntenants: {orders: {title: x}}\n")
    with pytest.raises(CommandError, match=r"tenants\.orders: orders is deleted: restore it"):
        diff(str(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("policy: 2", "policy: "),
        ("tenants: {}", "policy: This field is required"),
        ("[]", "Invalid data"),
        ("policy: 1\ncolour: red", "colour: there is no such key"),
        ("policy: 1\ntenants: {orders: {limit: 3}}", r"tenants\.orders\.limit: there is no such"),
        ("policy: 1\ntenants: {orders: {mode: open}}", r"tenants\.orders\.mode: "),
        ("policy: 1\ntenants: {orders: {plan: huge}}", r"tenants\.orders\.plan: there is no plan"),
        ("policy: 1\ntenants: {orders: {root: /else}}", r"orders\.root: .* which stays"),
        ("policy: 1\ntenants: {orders: {members: {zoe: owner}}}", "nobody called zoe"),
        ("policy: 1\ntenants: {orders: {members: {bob: king}}}", r"members\.bob: "),
        ("policy: 1\ntenants: {new: {title: x}}", r"tenants\.new\.plan: a new tenant needs"),
        ("policy: 1\ntenants: {new: {plan: tiny, ensemble: x}}", "there is no ensemble x"),
        ("policy: 1\nplans: {new: {weight: 3}}", "a new plan needs a title"),
        ("policy: 1\npolicy: 1", "stands twice"),
        ("a: &a [1]\nb: *a", "an alias"),
        ("policy: !!python/object/apply:os.getcwd []", "no YAML"),
        ("policy: [", "no YAML"),
        ("policy: \x00", "no YAML"),
        ("? [a]\n: b", "no name"),
        ("- " * 3_000, "no YAML"),
    ],
)
def test_a_document_that_is_wrong_says_where(
    tenant: Tenant, tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    before = AuditEvent.objects.count()
    with pytest.raises(CommandError, match=problem):
        diff(str(path), yes=True)
    assert AuditEvent.objects.count() == before


def test_a_role_of_a_credential_stays(tenant: Tenant, tmp_path: Path) -> None:
    Credential.objects.create(tenant=tenant, name="app", role="writer")
    path = tmp_path / "x.yaml"
    path.write_text("policy: 1\ntenants: {orders: {credentials: {app: {role: admin}}}}")
    with pytest.raises(CommandError, match="'writer' cannot become 'admin': revoke it"):
        diff(str(path))
    path.write_text("policy: 1\ntenants: {orders: {credentials: {}}}")
    assert diff(str(path), yes=True)[0] == "- credential orders/app"
    assert Credential.objects.get(name="app").revoked_at


def test_an_owner_is_there_before_the_last_one_goes(
    tenant: Tenant, people: dict[str, User], tmp_path: Path
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("policy: 1\ntenants: {orders: {members: {alice: viewer, dan: owner}}}")
    assert diff(str(path), yes=True)[-1] == "3 of 3 changes were made."
    path.write_text("policy: 1\ntenants: {orders: {members: {}}}")
    with pytest.raises(CommandError, match="is the last owner"):
        diff(str(path), yes=True)


def test_members_of_single_sign_on_are_left_to_it(tenant: Tenant, tmp_path: Path) -> None:
    tenant.memberships.filter(user__username="bob").update(from_group="viewers")
    path = tmp_path / "x.yaml"
    path.write_text("policy: 1\ntenants: {orders: {members: {alice: owner, dan: developer}}}")
    assert diff(str(path), yes=True) == ["Nothing to do: all of it is so already."]


def test_nobody_is_asked_where_nobody_is(wish: str, tenant: Tenant) -> None:
    with pytest.raises(CommandError, match="add --yes"):
        diff(wish)


def test_a_document_beyond_the_bound_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "BYTES_MAX", 10)
    with pytest.raises(InvalidError, match="more than 10 bytes"):
        document.read(io.BytesIO(b"x" * 11))


def test_the_api_exports_and_applies_the_same(
    login: Login, served: Node, tenant: Tenant, people: dict[str, User]
) -> None:
    olga = login("olga")
    text = olga("GET", "policy", Accept="application/yaml")
    assert text["Content-Type"].startswith("application/yaml")
    assert yaml.safe_load(text.content) == olga.get("policy")
    headers = {"authorization": f"Bearer {olga.text}"}

    def post(query: str) -> Any:
        return olga.browser.post(
            f"/api/v1/policy/apply{query}", WISH, content_type="application/yaml", headers=headers
        )

    planned = post("?dry_run=true").json()
    assert planned["dry_run"]
    assert len(planned["changes"]) == 11
    assert not Plan.objects.filter(name="big").exists()
    done = post("").json()
    assert len(done["changes"]) == 11
    assert done["secrets"][0]["auth"].startswith("orders:")
    assert post("").json()["changes"] == []
    wrong = olga("POST", "policy/apply", {"policy": 1, "tenants": {"orders": {"root": "/x"}}})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "tenants.orders.root")


def test_what_stops_half_way_says_what_was_done(
    login: Login, tenant: Tenant, people: dict[str, User]
) -> None:
    """The ensemble is away: members can be added, a credential's secret cannot be made."""
    wish = {
        "policy": 1,
        "tenants": {
            "orders": {"title": "New", "credentials": {"app": {"role": "writer"}}},
        },
    }
    answer = login("olga")("POST", "policy/apply", wish)
    assert (answer.status_code, answer.json()["code"]) == (409, "partly")
    assert [change["kind"] for change in answer.json()["changes"]] == ["tenant"]
    assert "credential orders/app: the plane has no key for main" in answer.json()["detail"]
    assert Tenant.objects.get(slug="orders").title == "New"
