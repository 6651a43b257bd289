"""The API's page: made from the document, complete, under the strict policy."""

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser

from console.views.api_docs import groups
from tenants.api.problems import TITLES
from tenants.api.views.schema import document


def test_every_operation_and_every_code_is_on_the_page(auditor: Browser) -> None:
    answer = auditor.get("/api/v1/docs")
    assert answer.status_code == 200
    text = answer.content.decode()
    wanted = [
        operation["operationId"]
        for item in document()["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    assert len(wanted) > 80
    for anchor in (*wanted, *TITLES):
        assert text.count(f'id="{anchor}"') == 1, anchor
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "<script>" not in text
    assert "style=" not in text


def test_fields_are_named_with_type_bound_and_choice(auditor: Browser) -> None:
    operations = {one.id: one for group in groups() for one in group.operations}
    made = {row.name: row for row in operations["post_tenants"].body}
    assert made["slug"].is_required
    assert "one of observe, permissive, enforce" in made["mode"].text
    answer = [row.name for row in operations["get_tenants"].answer]
    assert "results[].slug" in answer
    read = {row.name: row for row in operations["get_tenant_znodes"].parameters}
    assert read["path"].type == "string in query"


@pytest.mark.django_db
def test_it_is_for_who_is_signed_in(client: Browser) -> None:
    assert client.get("/api/v1/docs").status_code == 302
    client.force_login(User.objects.create_user("carol"))
    assert client.get("/api/v1/docs").status_code == 200
