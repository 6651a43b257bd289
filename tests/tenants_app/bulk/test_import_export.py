"""Exports and imports through jobs: the same tree, what is in the way, what does not fit."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import TestCase

from ensemble.client import parse_acl
from tenants.actions import tenants
from tenants.audit import PLANE
from tenants.bulk import places
from tenants.errors import InvalidError, LimitError
from tenants.models import Tenant
from tests.tenants_app.bulk.conftest import Desk, Do, Tree

pytestmark = pytest.mark.django_db(databases=["default", "observed"])
FULL: Tree = {
    "/a": b"parent",
    "/a/%41": b"percent",
    "/a/__data__": b"a name of ours",
    "/a/binary": bytes(range(256)),
    "/a/empty": b"",
    "/a/text": "grüße\n".encode(),
    "/a/text/below": b"x",
}
Fill = Callable[[Tree], None]
Now = Callable[[], Tree]


def exported(dan: Desk, path: str, **parameters: Any) -> bytes:
    job = dan.look("export", path, **parameters)
    assert job.state == "done", job.said
    return places.file(job, places.DOWNLOAD).read_bytes()


@pytest.mark.parametrize("form", ["json", "json.gz", "zip"])
def test_an_import_of_what_was_exported_is_the_same_tree(
    form: str, dan: Desk, fill: Fill, tree: Now, do: Do, shop: Tenant
) -> None:
    fill(FULL)
    do(lambda client: client.set_acl(f"{shop.root}/a/empty", [parse_acl("world:anyone:r")]))
    raw = exported(dan, "/a", form=form)
    dan.have_done("delete", "/a")
    assert tree() == {}
    job = dan.have_done("import", "/a", sent=io.BytesIO(raw))
    assert not places.file(job, places.UPLOAD).exists(), "the plan has all of it"
    assert (job.state, job.done, job.refused) == ("done", len(FULL), 0)
    assert tree() == FULL
    acl, _ = do(lambda client: client.get_acl(f"{shop.root}/a/empty"))
    assert acl == [parse_acl("world:anyone:r")]
    assert dan.look("import", "/a", sent=io.BytesIO(raw)).preview["counts"] == {"same": len(FULL)}


def test_what_is_there_is_kept_overwritten_or_in_the_way(dan: Desk, fill: Fill, tree: Now) -> None:
    fill({"/a": b"old", "/a/same": b"s"})
    raw = b"/a=same=s\n/a=new=n\n/a=mine\n"
    assert dan.look("import", "/", sent=io.BytesIO(raw)).preview["counts"] == {
        "kept": 1,
        "create": 1,
        "same": 1,
    }
    stopped = dan.look("import", "/", sent=io.BytesIO(raw), mode="fail")
    assert stopped.preview["stops"] == [
        "Something is there already, with another value: nothing is imported."
    ]
    job = dan.have_done("import", "/", sent=io.BytesIO(raw), mode="overwrite")
    assert tree() == {"/a": b"mine", "/a/new": b"n", "/a/same": b"s"}
    assert dan.undo(job).state == "done"
    assert tree() == {"/a": b"old", "/a/same": b"s"}


def test_values_of_secret_paths_are_in_the_file_only_where_asked_for(
    dan: Desk, fill: Fill, shop: Tenant
) -> None:
    shop.secret_paths = ["/a/key"]
    shop.save()
    fill({"/a": b"", "/a/key": b"hush"})
    plain = json.loads(exported(dan, "/a"))
    assert plain["znodes"][1]["left_out"] == "secret"
    assert "hush" not in json.dumps(plain)
    assert json.loads(exported(dan, "/a", secrets=True))["znodes"][1]["text"] == "hush"


def test_what_does_not_fit_into_the_tenant_is_said_before_anything_is_made(
    dan: Desk, tree: Now, shop: Tenant
) -> None:
    shop.overrides = {"znodes": 12}
    shop.save()
    raw = "".join(f"/n{n}=x\n" for n in range(3)).encode()
    job = dan.look("import", "/", sent=io.BytesIO(raw))
    assert "3 more znodes: shop uses 10 of 12" in job.preview["stops"][0]
    assert tree() == {}


def test_a_limit_that_is_met_on_the_way_ends_it_and_says_how_far_it_came(
    dan: Desk, tree: Now, shop: Tenant
) -> None:
    raw = "".join(f"/n{n}={'x' * 60_000}\n" for n in range(100)).encode()
    job = dan.look("import", "/", sent=io.BytesIO(raw))

    with TestCase.captureOnCommitCallbacks(execute=True):
        limits = {"bytes": 2_000_000}
        tenants.set_limits(PLANE, tenant=shop, overrides=limits, weight=None)
    job = dan.confirm(job)
    assert job.state == "failed"
    assert "quota" in job.said
    made = sum(path.startswith("/n") for path in tree())
    assert made == job.done - job.refused
    assert f"after {job.done} of 100 steps" in job.said


def test_empty_and_oversized_files_are_refused_at_once(dan: Desk) -> None:
    with pytest.raises(InvalidError, match="empty"):
        dan.ask("import", "/", sent=io.BytesIO(b""))
    with pytest.raises(InvalidError, match="more than 32 MiB"):
        dan.ask("import", "/", sent=io.BytesIO(bytes((32 << 20) + 1)))
    assert list(places.root().iterdir()) == []


def test_a_person_has_a_bounded_number_of_open_jobs(dan: Desk) -> None:
    for _ in range(10):
        dan.ask("delete", "/a")
    with pytest.raises(LimitError, match="10 jobs"):
        dan.ask("delete", "/a")
