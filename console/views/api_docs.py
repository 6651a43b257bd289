"""The API's document as a page: made from the same OpenAPI document that programs read.

Plain HTML, so that it needs no script, nothing from elsewhere and no exception from the policy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from tenants.api.problems import TITLES
from tenants.api.views.schema import document

METHODS: Final = ("get", "post", "put", "patch", "delete")
REFERENCE: Final = "#/components/schemas/"
DEPTH_MAX: Final = 3  # of fields within fields


@dataclass(frozen=True)
class Field:
    """A line of a table."""

    name: str
    type: str
    is_required: bool
    text: str


@dataclass(frozen=True)
class Operation:
    id: str
    method: str
    path: str
    summary: str
    right: str
    parameters: list[Field]
    body: list[Field]
    answer: list[Field]
    statuses: list[str]


@dataclass(frozen=True)
class Group:
    name: str
    operations: list[Operation] = field(default_factory=list)


@require_GET
def api_docs(request: HttpRequest) -> HttpResponse:
    context = {"groups": groups(), "codes": sorted(TITLES.items())}
    return render(request, "console/pages/api_docs.html", context)


def groups() -> list[Group]:
    found: dict[str, Group] = {}
    for path, item in document()["paths"].items():
        for method in METHODS:
            if method in item:
                name = item[method]["tags"][0]
                group = found.setdefault(name, Group(name))
                group.operations.append(operation_of(path, method, item[method]))
    return [found[name] for name in sorted(found)]


def operation_of(path: str, method: str, said: dict[str, Any]) -> Operation:
    parameters = [
        Field(
            given["name"],
            f"{type_of(given['schema'])} in {given['in']}",
            given.get("required", False),
            text_of(given.get("description", ""), given["schema"]),
        )
        for given in said.get("parameters", [])
    ]
    good = [status for status in said["responses"] if status.startswith("2")]
    answers = said["responses"][good[0]] if good else {}
    return Operation(
        id=said["operationId"],
        method=method.upper(),
        path=path,
        summary=said.get("summary", ""),
        right=said.get("x-right") or "",
        parameters=parameters,
        body=list(fields_of(content(said.get("requestBody", {})), "", 0)),
        answer=list(fields_of(content(answers), "", 0)),
        statuses=sorted(said["responses"]),
    )


def content(holder: dict[str, Any]) -> dict[str, Any]:
    """The schema of the first representation."""
    for kind in holder.get("content", {}).values():
        schema: dict[str, Any] = kind.get("schema", {})
        return schema
    return {}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself, where a reference to it stands."""
    for part in schema.get("allOf", ()):
        return resolved(part)
    for part in schema.get("oneOf", ()):
        if part.get("type") != "null":
            return resolved(part)
    reference = schema.get("$ref", "")
    if not reference.startswith(REFERENCE):
        return schema
    found: dict[str, Any] = document()["components"]["schemas"][reference.removeprefix(REFERENCE)]
    return found


def fields_of(schema: dict[str, Any], prefix: str, depth: int) -> Iterator[Field]:
    """Every field, those within others with dotted names."""
    schema = resolved(schema)
    if schema.get("type") == "array":
        schema, prefix = resolved(schema["items"]), f"{prefix}[]."
    for name, inner in schema.get("properties", {}).items():
        yield Field(
            f"{prefix}{name}",
            type_of(inner),
            name in schema.get("required", ()),
            text_of(inner.get("description", ""), inner),
        )
        if depth < DEPTH_MAX:
            below = resolved(inner)
            if below.get("type") == "array" and resolved(below["items"]).get("properties"):
                yield from fields_of(below["items"], f"{prefix}{name}[].", depth + 1)
            elif below.get("properties"):
                yield from fields_of(below, f"{prefix}{name}.", depth + 1)


def type_of(schema: dict[str, Any]) -> str:
    schema = resolved(schema)
    kind = schema.get("type", "anything")
    words = [str(k) for k in kind] if isinstance(kind, list) else [str(kind)]
    if "array" in words:
        words = [f"list of {type_of(schema['items'])}" if w == "array" else w for w in words]
    text = " or ".join(words)
    return f"{text} ({schema['format']})" if "format" in schema else text


def text_of(description: str, schema: dict[str, Any]) -> str:
    """What is said of a field, with its choices and bounds."""
    schema = resolved(schema)
    parts = [description.rstrip(".")] if description else []
    if "enum" in schema:
        parts.append("one of " + ", ".join(str(value) for value in schema["enum"]))
    for key, word in (
        ("minimum", "from"),
        ("maximum", "to"),
        ("maxLength", "characters at most:"),
        ("default", "default:"),
    ):
        if key in schema and schema[key] not in ("", None, {}, []):
            parts.append(f"{word} {schema[key]}")
    return "; ".join(parts)
