"""What views share: a znode's path from a request, and errors as answers."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec, cast

from django.http import HttpRequest, HttpResponse, JsonResponse

from console.formats import FormatError
from ensemble.client import (
    BadArgumentsError,
    BadVersionError,
    ClientError,
    InvalidAclError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    QuotaExceededError,
)
from tenants.zk import UnreachableError

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

ADVICE: Final[dict[type[ClientError], tuple[int, str]]] = {
    NoNodeError: (404, "There is no znode {path}. It may have been deleted meanwhile."),
    NoAuthError: (403, "The ACL of {path} does not let the console do this."),
    BadVersionError: (409, "{path} was changed by somebody else meanwhile."),
    NodeExistsError: (409, "{path} exists already. Choose another name."),
    NotEmptyError: (409, "{path} has children. Delete them first."),
    NoChildrenForEphemeralsError: (409, "{path}: an ephemeral znode cannot have children."),
    QuotaExceededError: (409, "{path} would go beyond a quota of its namespace."),
    InvalidAclError: (400, "The ACL for {path} is not valid."),
    BadArgumentsError: (400, "Not possible for {path}: {error}"),
}


class RequestError(Exception):
    """A request that cannot be understood; the text says which part of it and what would do."""


def answering(view: View[P]) -> View[P]:
    """A view that answers JSON, also where something goes wrong: `{"error": ...}`."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (RequestError, FormatError) as error:
            return JsonResponse({"error": str(error)}, status=400)
        except UnreachableError as error:
            return JsonResponse({"error": unreachable_text(error)}, status=503)
        except ClientError as error:
            status, text = advice(error)
            return JsonResponse({"error": text}, status=status)

    return cast(View[P], wrapped)


def advice(error: ClientError) -> tuple[int, str]:
    """Status and text for an error of the server."""
    for kind, (status, text) in ADVICE.items():
        if isinstance(error, kind):
            return status, text.format(path=error.path or "the znode", error=error)
    return 502, f"ZooKeeper refused: {error}"


def unreachable_text(error: UnreachableError) -> str:
    return f"ZooKeeper does not answer: {error}. Is a server running there?"


def path_of(values: dict[str, str], name: str = "path") -> str:
    """A znode's absolute path.

    Raises:
        RequestError: it is missing or does not begin with a slash.
    """
    path = values.get(name, "")
    if not path.startswith("/"):
        raise RequestError(f"{name} is {path[:100]!r}; it must begin with a slash.")
    return path


def number_of(values: dict[str, str], name: str, default: int | None, low: int, high: int) -> int:
    """A number within bounds.

    Raises:
        RequestError: missing without a default, no number, or out of bounds.
    """
    text = values.get(name, "")
    if not text and default is not None:
        return default
    try:
        number = int(text, 0)
    except ValueError:
        raise RequestError(f"{name} is {text[:40]!r}; it must be a number.") from None
    if not low <= number <= high:
        raise RequestError(f"{name} is {number}; it must be between {low} and {high}.")
    return number
