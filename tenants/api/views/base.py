"""What all views of the API share: the table of rights, rates, idempotency, strict input."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from rest_framework import exceptions, serializers
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants import access
from tenants.api import idempotency, rates
from tenants.api.access import SIGNED_IN, right_of
from tenants.api.authentication import actor_of, address_of
from tenants.api.documented import TAKES_QUERY
from tenants.api.idempotency import HEADER
from tenants.api.parsing import check_length
from tenants.audit import Actor
from tenants.models import ApiToken, Tenant
from tenants.models.api import ApiAnswer

PAGE: Final = 100
PAGE_MAX: Final = 500
SECRET: Final = "X-Holds-Secret"  # a header's name; it never leaves

M = TypeVar("M", bound=Model)


class Strict(serializers.Serializer[Any]):
    """Input: a key that is not known is an error, as a misspelt one would silently do nothing."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = {
                str(name)[:60]: [f"there is no such key; there are {', '.join(self.fields)}"]
                for name in data
                if name not in self.fields
            }
            if unknown:
                raise exceptions.ValidationError(unknown)
        return super().to_internal_value(data)


class Cursor(CursorPagination):
    """Pages by a cursor: a row that comes or goes meanwhile moves nobody else's page."""

    page_size = PAGE
    page_size_query_param = "limit"
    max_page_size = PAGE_MAX
    ordering: Any = "pk"


class PageQuery(Strict):
    """What every list takes."""

    cursor = serializers.CharField(required=False, max_length=500, help_text="from `next`")
    limit = serializers.IntegerField(
        required=False, min_value=1, max_value=PAGE_MAX, default=PAGE, help_text="rows a page"
    )


class Again(Exception):
    """Carries the answer that was given before."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response: Final = response


class View(APIView):
    """A view whose methods need what `api.access.ROUTES` says, and are not reached without."""

    http_method_names = [  # noqa: RUF012  # Django has it as an instance's
        "get",
        "head",
        "post",
        "put",
        "patch",
        "delete",
    ]
    tenant: Tenant  # where the address names one
    _kept: ApiAnswer | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before the method: who it is, how fast, whether it may, whether it was done before."""
        try:
            super().initial(request, *args, **kwargs)
        except exceptions.AuthenticationFailed:
            self.check_rate(f"a{address_of(request._request)}")
            raise
        self.check_rate(caller_of(request))
        match = request.resolver_match
        assert match is not None
        method = str(request.method)
        right = right_of(match.view_name, method)
        if right is None:
            if not request.user.is_authenticated:
                raise exceptions.NotAuthenticated
            raise exceptions.MethodNotAllowed(method)
        if access.standing_of(request.user) is access.Standing.NOBODY:
            raise exceptions.NotAuthenticated("send a token: Authorization: Bearer ens_...")
        self.check_right(request, right, kwargs.get("slug"))
        self.check_query(request)
        self.begin(request)

    def check_right(self, request: Request, right: str, slug: str | None) -> None:
        """Hold the right, or raise as `access` does; and have the tenant at hand."""
        if right == SIGNED_IN:
            return
        if right in access.PLANE:
            access.require(request.user, right)
            return
        assert slug is not None, f"{right} is a right in a tenant, and the route names none"
        self.tenant = access.tenant_for(request.user, slug, right)

    def check_query(self, request: Request) -> None:
        """A parameter for a method that takes none is a mistake, as a misspelt one is."""
        method = getattr(self, "get" if request.method == "HEAD" else str(request.method).lower())
        if not getattr(method, TAKES_QUERY, False) and request.query_params:
            raise exceptions.ValidationError(
                {name: ["no parameter is taken here"] for name in request.query_params}
            )

    def check_rate(self, caller: str) -> None:
        wait_s = rates.take(caller)
        if wait_s > 0:
            raise exceptions.Throttled(
                wait_s, "more requests than this caller may send: wait as Retry-After says"
            )

    def permission_denied(
        self, request: Request, message: str | None = None, code: str | None = None
    ) -> Any:
        raise PermissionDenied(message or "this is not allowed to you")

    # What methods use

    @property
    def user(self) -> User:
        """Who it is; `initial` has refused everybody else."""
        assert isinstance(self.request.user, User)
        return self.request.user

    @property
    def actor(self) -> Actor:
        return actor_of(self.request)

    def may(self, right: str) -> bool:
        """Whether the caller holds a further right, in this tenant or on the plane."""
        if right in access.RIGHTS:
            return access.may(self.request.user, right, self.tenant)
        try:
            access.require(self.request.user, right)
        except PermissionDenied:
            return False
        return True

    def need(self, right: str) -> None:
        """Hold a further right.

        Raises:
            PermissionDenied: names it.
        """
        if not self.may(right):
            raise PermissionDenied(f"your role does not allow this ({right})")

    def given(self, serializer: type[Strict], *, partial: bool = False) -> dict[str, Any]:
        """The body, checked.

        Raises:
            ValidationError: names each field.
        """
        read = serializer(data=self.request.data, partial=partial)
        read.is_valid(raise_exception=True)
        return dict(read.validated_data)

    def asked(self, serializer: type[Strict]) -> dict[str, Any]:
        """The query string, checked: each name at most once.

        Raises:
            ValidationError: names each field.
        """
        query = self.request.query_params
        doubled = {
            name: ["stands more than once"] for name in query if len(query.getlist(name)) > 1
        }
        if doubled:
            raise exceptions.ValidationError(doubled)
        read = serializer(data=query.dict())
        read.is_valid(raise_exception=True)
        return dict(read.validated_data)

    def page(
        self,
        rows: QuerySet[M],
        serializer: type[serializers.BaseSerializer[Any]],
        ordering: str | tuple[str, ...],
        shown: Callable[[list[M]], Sequence[object]] | None = None,
    ) -> Response:
        """One page of a list. `shown`: what is told of its rows, where that is more than a row."""
        pages = Cursor()
        pages.ordering = (ordering,) if isinstance(ordering, str) else ordering
        found = pages.paginate_queryset(rows, self.request, view=self)
        context = {"view": self, "request": self.request}
        told: Any = found if shown is None or found is None else shown(found)
        answer: Any = serializer(told, many=True, context=context)
        return pages.get_paginated_response(answer.data)

    # Idempotency

    def begin(self, request: Request) -> None:
        """A POST with a key is done once; its repetition ends here, with the first's answer."""
        key = request.headers.get(HEADER)
        if request.method != "POST" or key is None:
            return
        check_length(request._request)
        token = request.auth.prefix if isinstance(request.auth, ApiToken) else ""
        raw = request._request.body
        found = idempotency.begin(self.user, key, request.get_full_path(), raw, token)
        if isinstance(found, Response):
            raise Again(found)
        self._kept = found

    def handle_exception(self, exc: Exception) -> Response:
        return exc.response if isinstance(exc, Again) else super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        is_secret = SECRET in response
        del response[SECRET]
        final = super().finalize_response(request, response, *args, **kwargs)
        if self._kept is not None:
            idempotency.finish(self._kept, final.status_code, final.data, is_secret=is_secret)
        if request.user.is_authenticated or final.status_code == 401:
            final["Cache-Control"] = "no-store"
        return final


def caller_of(request: Request) -> str:
    """Whose bucket a request comes out of."""
    if isinstance(request.auth, ApiToken):
        return f"t{request.auth.pk}"
    if request.user.is_authenticated:
        return f"u{request.user.pk}"
    return f"a{address_of(request._request)}"
