"""What holds for every request: problem details, bounds, repeated requests, rates, pages."""

from datetime import timedelta
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone

from tenants.api import idempotency, rates
from tenants.api.parsing import BODY_MAX
from tenants.api.problems import TITLES
from tenants.api.rates import LEASE, Rates
from tenants.models import ApiAnswer, ApiBucket, ApiToken, MemberRole, Publication, Tenant
from tests.tenants_app.api.conftest import Caller, Login, token_of

WISH = {"name": "x", "role": "viewer", "expires_at": ""}


def wish(**change: object) -> dict[str, object]:
    return {**WISH, "expires_at": (timezone.now() + timedelta(days=1)).isoformat(), **change}


def test_an_error_is_a_problem_with_all_members(login: Login) -> None:
    answer = login("carol")("POST", "tokens", wish(role="king", name=""))
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == "/api/v1/docs#invalid"
    assert body["status"] == 400
    assert body["title"] == TITLES["invalid"]
    assert {at["field"] for at in body["errors"]} == {"role", "name"}


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"{", "no JSON"),
        (b"", "required"),
        (b"\xff", "no JSON"),
        (b'{"name": NaN}', "NaN is no number"),
        (b'{"name": "a", "name": "b"}', "stands twice"),
        (b"[" * 100_000, "nested"),
        (b"[]", "Invalid data"),
        (b'"x"', "Invalid data"),
        (b"null", ""),
    ],
)
def test_a_body_that_is_no_object_is_a_400(login: Login, raw: bytes, word: str) -> None:
    answer = login("carol")("POST", "tokens", raw)
    assert answer.status_code == 400
    assert word in answer.json()["detail"]


def test_a_body_beyond_the_bound_and_one_of_another_type_are_refused(login: Login) -> None:
    carol = login("carol")
    answer = carol("POST", "tokens", b" " * (BODY_MAX + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    headers = {"authorization": f"Bearer {carol.text}"}
    answer = carol.browser.post("/api/v1/tokens", {"name": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "limit=1&limit=2", "colour=red", "valid=perhaps"]
)
def test_a_query_that_is_not_understood_is_a_400(login: Login, query: str) -> None:
    answer = login("carol")("GET", f"tokens?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == query.split("=")[0]


@pytest.mark.parametrize(("method", "path"), [("GET", "me"), ("POST", "tokens"), ("GET", "schema")])
def test_a_query_where_none_is_taken_is_a_400(login: Login, method: str, path: str) -> None:
    answer = login("carol")(method, f"{path}?dry_run=true", {} if method == "POST" else None)
    assert answer.status_code == 400
    assert answer.json()["errors"][0] == {
        "field": "dry_run",
        "code": "invalid",
        "detail": "no parameter is taken here",
    }


def test_a_cursor_that_is_none_is_an_error_and_no_crash(login: Login) -> None:
    for cursor in ("x", "bz0tMQ==", "cD0lMDA=", "%00"):
        assert login("carol")("GET", f"tokens?cursor={cursor}").status_code in (400, 404)


def test_pages_show_each_row_once_though_rows_come_meanwhile(login: Login) -> None:
    carol = login("carol")
    for number in range(6):
        assert carol("POST", "tokens", wish(name=f"t{number}")).status_code == 201
    seen: list[str] = []
    address = "tokens?limit=2"
    while address:
        page = carol.get(address)
        seen += [row["name"] for row in page["results"]]
        address = (page["next"] or "").partition("/api/v1/")[2]
        assert carol("POST", "tokens", wish(name="new")).status_code == 201
    assert seen == ["t5", "t4", "t3", "t2", "t1", "t0", "test"]


# Idempotency-Key


def test_a_repeated_post_is_done_once_and_its_secret_is_given_once(login: Login) -> None:
    carol = login("carol")
    body = wish()
    first = carol("POST", "tokens", body, Idempotency_Key="k1")
    assert first.status_code == 201
    second = carol("POST", "tokens", body, Idempotency_Key="k1")
    assert (second.status_code, second.json()["code"]) == (409, "key-secret")
    assert "given" in second.json()["detail"]
    assert ApiToken.objects.filter(name="x").count() == 1
    assert first.json()["token"] not in str(list(ApiAnswer.objects.values()))


def test_a_key_for_another_body_is_a_422(login: Login) -> None:
    carol = login("carol")
    body = wish()
    assert carol("POST", "tokens", body, Idempotency_Key="k1").status_code == 201
    other = carol("POST", "tokens", {**body, "name": "y"}, Idempotency_Key="k1")
    assert (other.status_code, other.json()["code"]) == (422, "key-reused")
    dan = login("dan")
    assert dan("POST", "tokens", body, Idempotency_Key="k1").status_code == 201


def test_what_failed_may_be_repeated_with_its_key(login: Login) -> None:
    carol = login("carol")
    assert carol("POST", "tokens", wish(name=""), Idempotency_Key="k").status_code == 400
    assert carol("POST", "tokens", wish(), Idempotency_Key="k").status_code == 201


def test_a_key_whose_request_is_not_finished_says_so(login: Login, people: dict[str, User]) -> None:
    carol = login("carol")
    body = wish()
    assert carol("POST", "tokens", body, Idempotency_Key="k").status_code == 201
    ApiAnswer.objects.update(status=None)
    answer = carol("POST", "tokens", body, Idempotency_Key="k")
    assert (answer.status_code, answer.json()["code"]) == (409, "key-running")


def test_keys_are_kept_for_a_day_and_so_many(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "KEYS_PER_PERSON_MAX", 1)
    carol = login("carol")
    assert carol("POST", "tokens", wish(), Idempotency_Key="k").status_code == 201
    answer = carol("POST", "tokens", wish(), Idempotency_Key="l")
    assert (answer.status_code, answer.json()["code"]) == (429, "key-limit")
    ApiAnswer.objects.update(made_at=timezone.now() - timedelta(hours=25))
    assert carol("POST", "tokens", wish(), Idempotency_Key="k").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_key_that_is_none_is_a_400(login: Login, key: str) -> None:
    assert login("carol")("POST", "tokens", wish(), Idempotency_Key=key).status_code == 400


# Rates


def test_a_token_that_asks_too_much_waits_and_others_do_not(login: Login, settings: object) -> None:
    settings.API_BURST = 5  # type: ignore[attr-defined]
    settings.API_RATE_PER_SECOND = 0.001  # type: ignore[attr-defined]
    carol, dan = login("carol"), login("dan")
    assert [carol("GET", "me").status_code for _ in range(6)] == [200] * 5 + [429]
    answer = carol("GET", "me")
    assert answer.json()["code"] == "throttled"
    assert int(answer["Retry-After"]) > 100
    assert dan("GET", "me").status_code == 200


def test_wrong_tokens_are_counted_by_their_address(db: None, settings: object) -> None:
    settings.API_BURST = 3  # type: ignore[attr-defined]
    settings.API_RATE_PER_SECOND = 0.001  # type: ignore[attr-defined]
    wrong = Caller("ens_0000000000_x")
    assert [wrong("GET", "me").status_code for _ in range(4)] == [401] * 3 + [429]


def test_two_processes_share_a_bucket_and_it_fills_with_time(db: None, settings: object) -> None:
    settings.API_BURST = 2 * LEASE  # type: ignore[attr-defined]
    settings.API_RATE_PER_SECOND = 10  # type: ignore[attr-defined]
    one, other = Rates(), Rates()
    spent = [one.take("t1", 100.0) for _ in range(LEASE)]
    spent += [other.take("t1", 100.0) for _ in range(LEASE)]
    assert set(spent) == {0.0}
    assert one.take("t1", 100.0) == pytest.approx(0.1)
    assert other.take("t1", 100.5) == 0.0
    assert [one.take("t1", 99.0) for _ in range(2)] != [0.0, 0.0], "a clock that goes back"


def test_buckets_that_nobody_uses_go(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "SWEEP_EVERY", 2)
    taking = Rates()
    for caller in ("a1", "a2"):
        taking.take(caller, 1_000.0)
    taking.take("a3", 9_000.0)
    taking.take("a4", 9_000.0)
    assert set(ApiBucket.objects.values_list("caller", flat=True)) == {"a3", "a4"}


def test_a_busy_database_is_a_503_that_says_when_to_come_again(people: dict[str, User]) -> None:
    text = token_of(people["carol"], role=MemberRole.OWNER)[1]
    with mock.patch("tenants.api.rates.lease", side_effect=OperationalError("locked")):
        answer = Caller(text)("GET", "me")
    assert (answer.status_code, answer.json()["code"]) == (503, "database-busy")
    assert answer["Retry-After"]


def test_a_fault_of_ours_is_a_problem_without_its_story(people: dict[str, User]) -> None:
    text = token_of(people["carol"])[1]
    with mock.patch("tenants.api.views.me.Me.get", side_effect=RuntimeError("a secret")):
        answer = Caller(text)("GET", "me")
    assert (answer.status_code, answer.json()["code"]) == (500, "failed")
    assert "secret" not in answer.content.decode()


def test_of_two_requests_with_a_key_at_the_same_time_one_is_done(
    login: Login, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one comes between the look and the claim: the database decides."""
    body = wish()

    class Meanwhile:
        def __le__(self, count: int) -> bool:
            ApiAnswer.objects.create(user=people["carol"], key="k", request_hash="0" * 64)
            return False

    monkeypatch.setattr(idempotency, "KEYS_PER_PERSON_MAX", Meanwhile())
    answer = login("carol")("POST", "tokens", body, Idempotency_Key="k")
    assert (answer.status_code, answer.json()["code"]) == (422, "key-reused")
    assert not ApiToken.objects.filter(name="x").exists()


def test_a_list_costs_the_same_number_of_queries_whatever_its_length(
    login: Login,
    tenant: Tenant,
    people: dict[str, User],
    django_assert_num_queries: object,
) -> None:
    bob, ada = login("bob"), login("ada")
    for number in range(30):
        made = Tenant.objects.create(
            slug=f"t{number}", ensemble=tenant.ensemble, plan=tenant.plan, root=f"/t{number}"
        )
        Publication.objects.create(tenant=made)
        made.memberships.create(user=people["bob"], role=MemberRole.VIEWER)
    for caller in (bob, ada):
        caller.get("me")  # the lease of its rate, and `last_used_at`
    with django_assert_num_queries(2):  # type: ignore[operator]  # token, rows
        assert len(bob.get("tenants")["results"]) == 31
    with django_assert_num_queries(4):  # type: ignore[operator]  # token, groups twice, rows
        assert len(ada.get("tenants", limit=500)["results"]) == 31
    with django_assert_num_queries(2):  # type: ignore[operator]  # token, memberships
        assert len(bob.get("me")["memberships"]) == 31
