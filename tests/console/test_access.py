"""E10: every route and every websocket action stands in the access table, and the table holds."""

import pytest
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from console.access import ACTIONS, ROUTES, Role
from console.live import LiveConsumer

WRITES = ["znode-save", "znode-create", "znode-delete", "member-add", "member-remove"]


def routes(resolver: URLResolver) -> list[URLPattern]:
    found: list[URLPattern] = []
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace == "api":
                continue  # a table of its own: tests/tenants_app/api/test_access.py
            found += routes(pattern)
        else:
            found.append(pattern)
    return found


def address(name: str) -> str:
    return reverse(name, kwargs={"name": ""}) if name == "znode" else reverse(name)


@pytest.mark.django_db
def test_E10_a_route_that_is_not_in_the_table_is_open_to_nobody(operator: Browser) -> None:
    closed = [
        pattern
        for pattern in routes(get_resolver())
        if pattern.name not in ROUTES and not pattern.pattern.regex.groups
    ]
    assert closed, "the sign-in library has many pages that we do not use"
    for pattern in closed:
        assert pattern.name is not None
        assert operator.get(reverse(pattern.name)).status_code == 404, pattern.name


def test_E10_the_table_names_only_routes_that_exist() -> None:
    names = {pattern.name for pattern in routes(get_resolver())}
    assert set(ROUTES) <= names


@pytest.mark.django_db
@pytest.mark.parametrize("name", [n for n, role in ROUTES.items() if role > Role.ANYBODY])
def test_E10_strangers_are_sent_to_sign_in(name: str, client: Browser) -> None:
    for ask in (client.get, client.post):
        answer = ask(address(name))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/account/login/?next=")
        assert ask(address(name), headers={"accept": "application/json"}).status_code == 401


@pytest.mark.parametrize("name", WRITES)
def test_E10_viewers_do_not_write(name: str, viewer: Browser) -> None:
    assert ROUTES[name] is Role.OPERATOR
    assert viewer.post(address(name)).status_code == 403
    answer = viewer.post(address(name), headers={"accept": "application/json"})
    assert answer.json()["error"].startswith("Your account may read")


@pytest.mark.parametrize("name", WRITES)
def test_E10_writes_are_posts_with_a_token(name: str, operator: Browser) -> None:
    assert operator.get(address(name)).status_code == 405
    strict = Browser(enforce_csrf_checks=True)
    strict.cookies = operator.cookies
    assert strict.post(address(name)).status_code == 403


def test_E10_every_action_of_the_websocket_is_in_the_table_and_is_handled() -> None:
    assert set(ACTIONS) == {"watch", "unwatch", "seen"}
    for action in ACTIONS:
        assert callable(getattr(LiveConsumer, action))


@pytest.mark.django_db
def test_an_account_that_was_switched_off_is_out_at_once(operator: Browser) -> None:
    from django.contrib.auth.models import User

    User.objects.update(is_active=False)
    assert operator.get("/").status_code == 302


@pytest.mark.django_db
def test_every_page_carries_the_strict_policy(client: Browser) -> None:
    answer = client.get("/account/login/")
    assert answer.status_code == 200
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db
def test_signing_in_goes_back_to_where_one_wanted_to_be_but_never_elsewhere(
    client: Browser, operator: Browser
) -> None:
    for wanted, there in [("/znodes/at/a", "/znodes/at/a"), ("https://evil.example/", "/")]:
        client.logout()
        answer = client.post(
            f"/account/login/?next={wanted}",
            {"login": "olga", "password": "correct horse battery", "next": wanted},
        )
        assert answer.status_code == 302
        assert answer["Location"] == there


@pytest.mark.django_db
def test_a_wrong_password_says_so_and_not_which_half_was_wrong(client: Browser) -> None:
    answer = client.post("/account/login/", {"login": "nobody", "password": "x"})
    assert answer.status_code == 200
    assert b"not correct" in answer.content
