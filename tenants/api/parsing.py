"""Bodies: JSON up to a bound, no doubled keys, and nothing that JSON does not know."""

import json
from collections.abc import Mapping
from typing import IO, Any, Final

from django.http import HttpRequest
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from tenants.api.problems import TooLarge

BODY_MAX: Final = 2 << 20  # a znode of 1 MiB as base64, with room
DEPTH_TEXT: Final = "the body is nested too deeply"


def read_bounded(stream: IO[bytes], context: Mapping[str, Any]) -> bytes:
    """The body, unless it is larger than BODY_MAX.

    Raises:
        TooLarge: says the bound.
    """
    check_length(context["request"]._request)
    raw = stream.read(BODY_MAX + 1)
    if len(raw) > BODY_MAX:
        raise TooLarge(f"the body has more than {BODY_MAX} bytes, which are taken at most")
    return raw


def check_length(request: HttpRequest) -> None:
    """What the header says.

    Raises:
        TooLarge: says the bound.
    """
    length = str(request.META.get("CONTENT_LENGTH") or "0")
    if length.isdigit() and int(length) > BODY_MAX:
        raise TooLarge(f"the body has {length} bytes, at most {BODY_MAX} are taken")


class BoundedJSONParser(BaseParser):
    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        assert parser_context is not None
        raw = read_bounded(stream, parser_context)
        try:
            return json.loads(
                raw.decode("utf-8"), parse_constant=no_constant, object_pairs_hook=unique
            )
        except RecursionError:
            raise ParseError(DEPTH_TEXT) from None
        except ValueError as error:
            raise ParseError(f"the body is no JSON: {error}") from None


def no_constant(text: str) -> object:
    raise ValueError(f"{text} is no number of JSON's")


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name[:40]!r} stands twice")
        found[name] = value
    return found
