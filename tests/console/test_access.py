"""E10: every route and every websocket action stands in the access table, and the table holds."""

import pytest
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse

from console.access import ACTIONS, ROUTES, AccessMiddleware
from console.live import LiveConsumer
from tenants.access import PLANE, RIGHTS, Need, Standing
from tenants.models import Tenant
from tests.console.cast import CAST, PASSWORD, ROLES, SLUG, browser_of
from tests.harness import Node

WRITES = ["znode-save", "znode-create", "znode-delete", "member-add", "member-remove"]
STANDINGS = {"": Standing.NOBODY, "ada": Standing.AUDITOR, "olga": Standing.OPERATOR}
FILLED_IN = {"slug": SLUG, "name": "app"}
"""What stands in addresses; numbers are 1."""


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
    """An address of a route: its slug is the cast's tenant."""
    pattern = next(p for p in routes(get_resolver()) if p.name == name)
    wanted = pattern.pattern.converters
    values = {key: FILLED_IN.get(key, 1) for key in wanted if key not in pattern.default_args}
    return reverse(name, kwargs=values | pattern.default_args)


def may_pass(name: str, needed: Standing | str) -> bool:
    """What the table means, said once more."""
    standing = STANDINGS.get(name, Standing.PERSON)
    if isinstance(needed, Standing):
        return standing >= needed
    if needed in PLANE:
        return standing >= PLANE[needed]
    right: Need = RIGHTS[needed]
    if standing is Standing.OPERATOR or (standing is Standing.AUDITOR and right.auditor):
        return True
    return right.member is not None and ROLES.get(name, 0) >= right.member


def door(person: AbstractBaseUser | AnonymousUser, where: str) -> object:
    """What the middleware answers; None lets the request through."""
    request = RequestFactory().get(where)
    request.user = person
    request.resolver_match = match = resolve(where)
    return AccessMiddleware(lambda _: None).process_view(  # type: ignore[arg-type,return-value]
        request, match.func, match.args, match.kwargs
    )


@pytest.mark.parametrize("name", CAST, ids=CAST.values())
def test_E10_every_route_lets_in_whom_the_table_says_and_nobody_else(
    name: str, cast: dict[str, AbstractBaseUser], tenant: Tenant, zookeeper: Node
) -> None:
    browser = browser_of(cast, name)
    let_in = 0
    for route, needed in ROUTES.items():
        where = address(route)
        if may_pass(name, needed):
            assert door(cast.get(name, AnonymousUser()), where) is None, route
            let_in += 1
            continue
        for ask in (browser.get, browser.post):
            answer = ask(where)
            if not name:
                assert answer.status_code == 302, route
                assert answer["Location"].startswith("/account/login/?next="), route
                json = ask(where, headers={"accept": "application/json"})
                assert json.status_code == 401, route
            elif name == "carol" and needed in RIGHTS:
                assert answer.status_code == 404, f"{route}: strangers must not know it exists"
            else:
                assert answer.status_code == 403, route
    assert let_in >= 4  # signing in and out


def test_E10_a_tenant_that_is_not_there_and_one_that_is_not_mine_are_one_answer(
    cast: dict[str, AbstractBaseUser], tenant: Tenant
) -> None:
    """The door itself, for a right in a tenant: the table may have no such route yet."""
    ROUTES["mfa_index"], before = "tenant.read", ROUTES["mfa_index"]
    try:
        texts = []
        for slug in (SLUG, "payment5"):
            request = RequestFactory().get("/")
            request.user = cast["carol"]
            request.resolver_match = resolve(reverse("mfa_index"))
            with pytest.raises(Http404) as refused:
                AccessMiddleware(lambda _: None).process_view(  # type: ignore[arg-type,return-value]
                    request, None, (), {"slug": slug}
                )
            texts.append(str(refused.value).replace(slug, ""))
        assert texts[0] == texts[1]
        request.user = cast["dan"]
        ROUTES["mfa_index"] = "member.change"
        del request.standing
        with pytest.raises(PermissionDenied, match="Ask an owner"):
            AccessMiddleware(lambda _: None).process_view(  # type: ignore[arg-type,return-value]
                request, None, (), {"slug": SLUG}
            )
    finally:
        ROUTES["mfa_index"] = before


def test_every_right_that_the_table_names_is_one() -> None:
    for needed in ROUTES.values():
        assert isinstance(needed, Standing) or needed in PLANE or needed in RIGHTS


def test_a_person_begins_where_persons_do_and_is_offered_nothing_of_the_whole_tree(
    cast: dict[str, AbstractBaseUser],
) -> None:
    page = browser_of(cast, "carol").get("/", follow=True)
    assert page.status_code == 200
    for words in ('href="/members"', 'href="/znodes/at/"'):
        assert words not in page.content.decode()
    refused = browser_of(cast, "carol").get("/members")
    assert "operators and auditors" in refused.content.decode()


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


@pytest.mark.django_db
def test_a_slash_too_many_leads_to_the_page_and_to_no_other_place(operator: Browser) -> None:
    answer = operator.get("/jobs/?of=all")
    assert (answer.status_code, answer["Location"]) == (302, "/jobs?of=all")
    assert operator.get("/members//")["Location"] == "/members"
    for path in ("/nothing/", "//evil.example/", "//members/", "/\\evil.example/"):
        assert operator.get("/", PATH_INFO=path).status_code == 404, path
    assert operator.post("/jobs/").status_code == 404
    answer = Browser().get("/members/")
    assert answer["Location"] == "/members", "its own check comes then"


def test_E10_the_table_names_only_routes_that_exist() -> None:
    names = {pattern.name for pattern in routes(get_resolver())}
    assert set(ROUTES) <= names


@pytest.mark.parametrize("name", WRITES)
def test_E10_auditors_do_not_write(name: str, auditor: Browser) -> None:
    assert ROUTES[name] is Standing.OPERATOR
    answer = auditor.post(address(name), headers={"accept": "application/json"})
    assert answer.status_code == 403
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
            {"login": "olga", "password": PASSWORD, "next": wanted},
        )
        assert answer.status_code == 302
        assert answer["Location"] == there


@pytest.mark.django_db
def test_a_wrong_password_says_so_and_not_which_half_was_wrong(client: Browser) -> None:
    answer = client.post("/account/login/", {"login": "nobody", "password": "x"})
    assert answer.status_code == 200
    assert b"not correct" in answer.content
