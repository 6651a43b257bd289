"""The OpenAPI document."""

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.views.base import View


@cache
def document() -> dict[str, Any]:
    """The same for everybody: what is in it opens nothing."""
    generator: Any = SchemaGenerator  # untyped
    made: dict[str, Any] = generator().get_schema(request=None, public=True)
    return made


class SchemaView(View):
    @extend_schema(summary="This document, OpenAPI 3.1", responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request) -> Response:
        return Response(document())
