"""What views share: a znode's path from a request, and errors as answers."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.http import HttpRequest, HttpResponse, JsonResponse

from console.formats import FormatError
from ensemble.client import ClientError
from tenants.advice import advise, unreachable_text
from tenants.keys import NoKeyError
from tenants.reach import BusyError
from tenants.zk import UnreachableError

__all__ = ["RequestError", "advice", "answering", "number_of", "path_of", "unreachable_text"]

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


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
        except (NoKeyError, BusyError) as error:
            return JsonResponse({"error": f"{error}."}, status=503)
        except UnreachableError as error:
            return JsonResponse({"error": unreachable_text(error)}, status=503)
        except ClientError as error:
            status, text = advice(error)
            return JsonResponse({"error": text}, status=status)

    return cast(View[P], wrapped)


def advice(error: ClientError) -> tuple[int, str]:
    """Status and text for an error of the server."""
    status, _, text = advise(error)
    return status, text


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
