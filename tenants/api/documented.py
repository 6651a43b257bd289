"""What a method of the API says of itself in the OpenAPI document."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

TAKES_QUERY: Final = "takes_query"  # of a method: `View` refuses a query to those without one

F = TypeVar("F", bound=Callable[..., Any])
Shape = type[serializers.BaseSerializer[Any]] | serializers.BaseSerializer[Any] | None


def documented(
    summary: str,
    *,
    query: Shape = None,
    body: Shape = None,
    answer: Shape = None,
    status: int = 200,
    rows: Shape = None,
    further: dict[int, Shape] | None = None,
    headers: Sequence[OpenApiParameter] = (),
    file: Sequence[str] = (),
) -> Callable[[F], F]:
    """The document of a method: `rows` of a list with pages, or an `answer` (none: 204)."""
    responses: dict[Any, Any] = {}
    if file:
        responses = {(200, kind): OpenApiTypes.BINARY for kind in file}
    elif rows is not None:
        responses[200] = paged(rows)
    elif answer is not None:
        responses[status] = answer
    else:
        responses[status if status != 200 else 204] = OpenApiResponse(description="done")
    responses.update(further or {})
    parameters: list[Any] = [*headers]
    if query is not None:
        parameters.append(query)
    describe = extend_schema(
        summary=summary, parameters=parameters, request=body, responses=responses
    )

    def decorate(function: F) -> F:
        described: F = describe(function)
        setattr(described, TAKES_QUERY, query is not None)
        return described

    return decorate


def paged(rows: Any) -> Any:
    """A page of a list, as `View.page` answers it."""
    from drf_spectacular.utils import inline_serializer

    shape = rows if isinstance(rows, type) else type(rows)
    name = shape.__name__.removesuffix("Out")
    return inline_serializer(
        f"{name}Page",
        {
            "next": serializers.CharField(allow_null=True, help_text="the next page; null: last"),
            "previous": serializers.CharField(allow_null=True),
            "results": shape(many=True),
        },
    )


__all__ = ["OpenApiParameter", "OpenApiTypes", "documented", "paged"]
