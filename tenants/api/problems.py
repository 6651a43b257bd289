"""Every error as problem details (RFC 9457): what happened, its code, the fields at fault."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as ModelError
from django.db import OperationalError
from django.http import Http404, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response

from ensemble.client import ClientError
from tenants.advice import advise, unreachable_text
from tenants.errors import ActionError
from tenants.keys import NoKeyError
from tenants.reach import BusyError
from tenants.zk import UnreachableError

CONTENT_TYPE: Final = "application/problem+json"
RETRY_S: Final = 2
ERRORS_MAX: Final = 50

log = logging.getLogger("tenants.api")

TITLES: Final[dict[str, str]] = {
    "invalid": "The request is not valid",
    "parse_error": "The body cannot be read",
    "not_authenticated": "Nobody is signed in",
    "authentication_failed": "The sign-in is not valid",
    "permission_denied": "Not allowed",
    "csrf": "The CSRF token is missing or wrong",
    "second-factor": "A second factor is needed first",
    "not_found": "Not found",
    "method_not_allowed": "The method is not allowed",
    "not_acceptable": "No such representation",
    "unsupported_media_type": "The body's type is not supported",
    "throttled": "Too many requests",
    "too-large": "The body is too large",
    "refused": "Refused",
    "conflict": "In conflict with what is there",
    "limit": "Beyond a limit",
    "forbidden": "Not allowed",
    "unavailable": "The ensemble cannot be reached",
    "unreachable": "The ensemble cannot be reached",
    "no-key": "The plane has no key for the ensemble",
    "busy": "Too busy",
    "database-busy": "The database is busy",
    "failed": "The server failed",
    "no-node": "No such znode",
    "no-auth": "The ACL forbids it",
    "bad-version": "Changed meanwhile",
    "file": "The file cannot be imported",
    "partly": "Only a part was done",
    "node-exists": "The znode exists",
    "not-empty": "The znode has children",
    "ephemeral-parent": "The parent is ephemeral",
    "quota-exceeded": "A quota would be exceeded",
    "invalid-acl": "The ACL is not valid",
    "bad-arguments": "Not possible",
    "zookeeper-refused": "ZooKeeper refused",
    "too-many": "More than one request may change",
    "key-reused": "The idempotency key belongs to another request",
    "key-running": "The first request with this key is not finished",
    "key-secret": "The answer held a secret, which is given once",
    "key-limit": "Too many idempotency keys",
    "precondition-failed": "It was changed meanwhile",
    "precondition-required": "Say which version is meant",
}
"""Every code that an answer may carry, with its title. docs/api.md lists them."""


class TooLarge(exceptions.APIException):
    status_code = 413
    default_code = "too-large"


class Problem(exceptions.APIException):
    """A refusal with a status and a code of TITLES."""

    def __init__(self, status: int, code: str, text: str, **extra: object) -> None:
        super().__init__(text, code)
        self.status_code = status
        self.extra = extra


def answer(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler."""
    made = problem_of(error)
    if made is None:
        log.error("a request failed: %r", error, exc_info=error)
        text = "the server failed on this request; its log has the details"
        made = 500, "failed", text, {}, {}
    status, code, detail, extra, headers = made
    response = Response(body(status, code, detail, **extra), status=status, headers=headers)
    response.content_type = CONTENT_TYPE
    response.exception = True
    return response


Made = tuple[int, str, str, dict[str, object], dict[str, str]]


def problem_of(error: Exception) -> Made | None:
    """Status, code, text, further members and headers."""
    if isinstance(error, ActionError):
        fields = [field(error.field, error.code, str(error))] if error.field else []
        headers = {"Retry-After": str(RETRY_S)} if error.status == 503 else {}
        return error.status, error.code, str(error), {"errors": fields} if fields else {}, headers
    if isinstance(error, exceptions.ValidationError):
        found = list(flatten(error.get_full_details(), ""))[:ERRORS_MAX]
        text = "; ".join(
            f"{at['field']}: {at['detail']}" if at["field"] else at["detail"] for at in found[:3]
        )
        return 400, "invalid", text, {"errors": found}, {}
    if isinstance(error, ModelError):
        found = [field(name, "invalid", text) for name, text in model_errors(error)]
        text = "; ".join(at["detail"] for at in found[:3])
        return 400, "invalid", text, {"errors": found[:ERRORS_MAX]}, {}
    if isinstance(error, exceptions.APIException):
        return of_framework(error)
    if isinstance(error, Http404):
        return 404, "not_found", str(error) or "there is nothing at this address", {}, {}
    if isinstance(error, PermissionDenied):
        return 403, "permission_denied", str(error) or "this is not allowed to you", {}, {}
    return of_ensemble(error)


def of_framework(error: exceptions.APIException) -> Made:
    headers: dict[str, str] = {}
    header = getattr(error, "auth_header", None)
    if header:
        headers["WWW-Authenticate"] = header
    wait = getattr(error, "wait", None)
    if wait is not None:
        headers["Retry-After"] = str(int(wait) + 1)
    code = getattr(error.detail, "code", "refused")
    if code not in TITLES:
        code = "refused"
    if isinstance(error, exceptions.PermissionDenied) and "CSRF" in str(error.detail):
        code = "csrf"
    extra = dict(getattr(error, "extra", {}))
    return error.status_code, code, str(error.detail), extra, headers


def of_ensemble(error: Exception) -> Made | None:
    retry = {"Retry-After": str(RETRY_S)}
    if isinstance(error, UnreachableError):
        return 503, "unreachable", unreachable_text(error), {}, retry
    if isinstance(error, NoKeyError):
        return 503, "no-key", str(error), {}, {}
    if isinstance(error, BusyError):
        return 503, "busy", str(error), {}, retry
    if isinstance(error, ClientError):
        status, code, text = advise(error)
        return status, code, text, {}, {}
    if isinstance(error, OperationalError):
        log.warning("the database did not answer: %s", error)
        return 503, "database-busy", "the database is busy or away: try again", {}, retry
    return None


def body(status: int, code: str, detail: str, **extra: object) -> dict[str, object]:
    return {
        "type": f"/api/v1/docs#{code}",
        "title": TITLES[code],
        "status": status,
        "code": code,
        "detail": detail,
        **extra,
    }


def plain(status: int, code: str, detail: str) -> JsonResponse:
    """The same, outside of DRF."""
    return JsonResponse(body(status, code, detail), status=status, content_type=CONTENT_TYPE)


def field(name: str, code: str, text: str) -> dict[str, str]:
    return {"field": name, "code": code, "detail": text}


def flatten(details: Any, at: str) -> Iterator[dict[str, str]]:
    """DRF's nested errors as a list with dotted names."""
    if isinstance(details, list):
        for index, item in enumerate(details):
            is_message = isinstance(item, Mapping) and set(item) == {"message", "code"}
            yield from flatten(item, at if is_message else join(at, str(index)))
    elif set(details) == {"message", "code"} and not isinstance(details["message"], Mapping | list):
        yield field(at, str(details["code"]), str(details["message"]))
    else:
        for name, item in details.items():
            yield from flatten(item, at if name == "non_field_errors" else join(at, str(name)))


def join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def model_errors(error: ModelError) -> Iterator[tuple[str, str]]:
    if hasattr(error, "error_dict"):
        for name, texts in error.message_dict.items():
            for text in texts:
                yield ("" if name == "__all__" else name), text
    else:
        for text in error.messages:
            yield "", text
