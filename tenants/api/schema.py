"""The OpenAPI document: what the views say of themselves, and what holds for all of them."""

import re
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from tenants.api.access import NAMESPACE, right_of
from tenants.api.problems import CONTENT_TYPE, TITLES

BASE: Final = "/api/v1/"
ALWAYS: Final = (400, 401, 403, 404, 429, 503)
OF_BODIES: Final = (409, 413, 415)
OF_CONDITIONS: Final = (412, 428)
KEY: Final = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "Done once for each key and person; repeated, the first answer comes again.",
}
PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457. `code` is for programs, `detail` for people.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(TITLES)},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {
                    "field": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


class Token(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, object]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "ens_<prefix>_<secret>"}


class Browser(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "tenants.api.authentication.BrowserAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, object]:
        return {"type": "apiKey", "in": "cookie", "name": "ensemble_session"}


def patterns() -> list[URLPattern]:
    """All routes of the API, wherever their views live."""
    (api,) = [
        resolver
        for resolver in get_resolver().url_patterns
        if isinstance(resolver, URLResolver) and resolver.namespace == NAMESPACE
    ]
    return [pattern for pattern in api.url_patterns if isinstance(pattern, URLPattern)]


@cache
def names() -> dict[str, str]:
    """The route's name by its path as the document writes it."""
    found: dict[str, str] = {}
    for pattern in patterns():
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern))
        found[BASE + path] = str(pattern.name)
    return found


class Schema(AutoSchema):
    """Names an operation after its route, says its right, and lists the errors."""

    def get_operation_id(self) -> str:
        return f"{self.method.lower()}_{names()[self.path].replace('-', '_')}"

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's own
        return ""  # a docstring is for who reads the source

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix(BASE).split("/", 1)[0]]

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        right = right_of(f"{NAMESPACE}:{names()[self.path]}", self.method)
        operation["x-right"] = right
        operation["description"] = f"Needs: {right}."
        if self.method == "POST":
            operation.setdefault("parameters", []).append(KEY)
        statuses = ALWAYS + (OF_BODIES if self.method != "GET" else ())
        statuses += (422,) if self.method == "POST" else ()
        if any(given["name"] == "If-Match" for given in operation.get("parameters", [])):
            statuses += OF_CONDITIONS
        for status in statuses:
            operation["responses"].setdefault(str(status), problem(status))
        return operation

    def _map_serializer(self, serializer: Any, direction: Any, *args: Any, **kwargs: Any) -> Any:
        from tenants.api.views.base import Strict

        made = super()._map_serializer(serializer, direction, *args, **kwargs)  # type: ignore[no-untyped-call]
        if isinstance(serializer, Strict) and made.get("type") == "object":
            made["additionalProperties"] = False
        return made


def problem(status: int) -> dict[str, object]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": HTTPStatus(status).phrase,
        "content": {CONTENT_TYPE: {"schema": schema}},
    }


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's hook at the end."""
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM
    return result
