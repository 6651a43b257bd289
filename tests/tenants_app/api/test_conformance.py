"""The API does what its OpenAPI document says: requests made up from the document, right and wrong
ones, are answered as it promises. Always the same requests, a bounded number of them.
"""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from tenants.api.schema import names
from tenants.api.views.schema import document
from tenants.models import Tenant
from tests.harness import Node
from tests.tenants_app.api.conftest import one_of_each, token_of, values_of

MADE_UP = ("/znodes", "/children", "/acl", "/history/at", "/{session}")  # that nobody has made
EXAMPLES = 3  # of each kind, for each operation
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
CONFIG: dict[str, Any] = {
    "checks": {
        "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503"]},
        # What is well formed and still refused: a name that is taken, a plan that is not there.
        "positive_data_acceptance": {"enabled": False},
        "unsupported_method": {"enabled": False},
        "missing_required_header": {"enabled": False},
        "ignored_auth": {"enabled": False},
        "use_after_free": {"enabled": False},
        "ensure_resource_availability": {"enabled": False},
        "negative_data_rejection": {
            "expected-statuses": [
                "400",
                "403",
                "404",
                "409",
                "412",
                "413",
                "415",
                "422",
                "428",
                "503",
            ]
        },
    }
}


def operations() -> list[tuple[str, str]]:
    methods = ("get", "post", "put", "patch", "delete")
    return [
        (method, path)
        for path, item in document()["paths"].items()
        for method in methods
        if method in item
    ]


@pytest.fixture(scope="module")
def described() -> Any:
    schema = schemathesis.openapi.from_dict(document(), config=SchemathesisConfig.from_dict(CONFIG))
    schema.app = get_wsgi_application()
    return schema


@pytest.fixture
def places(served: Node, tenant: Tenant, people: dict[str, User]) -> dict[str, Any]:
    """What there is, so that requests get past their address."""
    return one_of_each(tenant, people["olga"], served.address).addresses()


@pytest.mark.django_db(databases=["default", "observed"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), operations(), ids=lambda part: part)
def test_answers_are_as_the_document_says(
    method: str,
    path: str,
    mode: GenerationMode,
    described: Any,
    places: dict[str, Any],
    people: dict[str, User],
    settings: Any,
) -> None:
    settings.API_BURST = 100_000
    settings.ALLOWED_HOSTS = ["*"]
    headers = {"Authorization": f"Bearer {token_of(people['olga'])[1]}"}
    operation = described[path][method.upper()]
    cases = operation.as_strategy(mode, path_parameters=values_of(path, places))
    found = statuses(cases, headers)
    if method == "get" and mode is GenerationMode.POSITIVE and not path.endswith(MADE_UP):
        assert 200 in found, "each request failed: nothing was looked at"


def statuses(cases: Any, headers: dict[str, str]) -> set[int]:
    found: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def check(case: Any) -> None:
        with transaction.atomic():
            found.add(case.call_and_validate(headers=headers).status_code)
            transaction.set_rollback(True)

    check()
    return found


def test_the_document_has_every_route() -> None:
    assert set(names()) == set(document()["paths"])
    assert document()["openapi"].startswith("3.1")


def test_the_document_is_a_valid_one_and_made_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(path))
    assert path.stat().st_size > 100_000
