"""E10: every route and method of the API stands in the table, and no other is open."""

import pytest
from django.contrib.auth.models import User

from tenants import access
from tenants.api.access import ROUTES, SIGNED_IN
from tenants.api.urls import urlpatterns
from tests.tenants_app.api.conftest import Caller, Login

METHODS = ["get", "post", "put", "patch", "delete"]


def test_E10_every_route_and_method_stands_in_the_table_and_the_other_way_round() -> None:
    found = {
        str(pattern.name): {m.upper() for m in METHODS if hasattr(pattern.callback.view_class, m)}
        for pattern in urlpatterns
    }
    assert found == {name: set(methods) for name, methods in ROUTES.items()}
    assert len(urlpatterns) == len(ROUTES)


def test_E10_every_right_in_the_table_is_one() -> None:
    for pattern in urlpatterns:
        for right in ROUTES[str(pattern.name)].values():
            is_of_tenant = right in access.RIGHTS
            assert is_of_tenant or right in access.PLANE or right == SIGNED_IN
            assert not is_of_tenant or "<slug:slug>" in str(pattern.pattern), pattern


@pytest.mark.django_db
def test_E10_a_method_that_no_route_has_is_a_405_and_an_address_that_none_has_a_404(
    login: Login, people: dict[str, User]
) -> None:
    alice = login("alice")
    assert alice("DELETE", "me").status_code == 405
    for method in ("options", "trace"):
        assert alice(method, "me").status_code == 405
    answer = alice("GET", "nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert Caller()("DELETE", "me").status_code == 401
