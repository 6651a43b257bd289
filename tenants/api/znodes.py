"""Znodes as the API writes them: data as text or base64, entity tags, ACLs in zkCli's words."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ensemble.client import Acl, CreateMode, Stat, parse_acl
from ensemble.client.acl import format_permissions
from ensemble.client.errors import BadArgumentsError
from ensemble.client.paths import check_path
from tenants.api.problems import Problem
from tenants.api.views.base import Strict
from tenants.znodes import CHILDREN_PAGE_MAX

ENCODINGS: Final = ("text", "base64")
TAG: Final = re.compile(r'^"(0x[0-9a-f]{1,16})-([0-9]{1,10})"$')
PATH_MAX: Final = 4_096
ACL_MAX: Final = 100
TTL_MS_MAX: Final = (1 << 40) - 1
DATA_MAX: Final = 1_400_000  # of base64: 1 MiB
MODES: Final = {
    "persistent": CreateMode.PERSISTENT,
    "sequential": CreateMode.PERSISTENT_SEQUENTIAL,
    "container": CreateMode.CONTAINER,
    "ttl": CreateMode.PERSISTENT_WITH_TTL,
    "ttl-sequential": CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL,
}
EPHEMERAL: Final = ("ephemeral", "ephemeral-sequential")
NO_EPHEMERAL: Final = (
    "an ephemeral znode lives as long as the session that made it, and a request has none: "
    "make it with a ZooKeeper client"
)


@extend_schema_field({"type": "string", "pattern": "^/", "maxLength": PATH_MAX})
class PathField(serializers.CharField):
    """An absolute path, within the tenant where it is a tenant's."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_length=PATH_MAX, trim_whitespace=False, help_text="absolute: /a/b", **options
        )

    def to_internal_value(self, data: Any) -> str:
        path = str(super().to_internal_value(data))
        try:
            return check_path(path)
        except BadArgumentsError as error:
            raise serializers.ValidationError(str(error)) from None


class PathQuery(Strict):
    path = PathField()


class ReadQuery(PathQuery):
    encoding = serializers.ChoiceField(
        choices=["auto", *ENCODINGS], default="auto", help_text="auto: text where it is UTF-8"
    )
    count_below = serializers.BooleanField(
        default=False, help_text="count all znodes below, at any depth"
    )


class ChildrenQuery(PathQuery):
    limit = serializers.IntegerField(min_value=1, max_value=CHILDREN_PAGE_MAX, default=100)
    after = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=PATH_MAX, trim_whitespace=False
    )


class SubtreeQuery(PathQuery):
    recursive = serializers.BooleanField(default=False, help_text="all below it, too")
    dry_run = serializers.BooleanField(default=False, help_text="only say what would be done")


class StatOut(serializers.Serializer[Any]):
    """64-bit transaction ids are texts in hexadecimal: many a reader of JSON would round them."""

    version = serializers.IntegerField()
    cversion = serializers.IntegerField()
    aversion = serializers.IntegerField()
    czxid = serializers.CharField()
    mzxid = serializers.CharField()
    pzxid = serializers.CharField()
    ctime_ms = serializers.IntegerField()
    mtime_ms = serializers.IntegerField()
    data_bytes = serializers.IntegerField()
    children = serializers.IntegerField()
    ephemeral_owner = serializers.CharField(allow_null=True, help_text="session, or null")


class ZnodeOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    encoding = serializers.ChoiceField(choices=ENCODINGS)
    data = serializers.CharField()  # type: ignore[assignment]  # a field, not the property
    etag = serializers.CharField(help_text="for If-Match: creation and version")
    stat = StatOut()
    below = serializers.IntegerField(required=False, help_text="where count_below was asked for")


class WrittenOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    etag = serializers.CharField()
    stat = StatOut()


class ChildOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    children = serializers.IntegerField()
    ephemeral = serializers.BooleanField()
    data_bytes = serializers.IntegerField()


class ChildrenOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    total = serializers.IntegerField(help_text="of all pages")
    results = ChildOut(many=True)
    next_after = serializers.CharField(allow_null=True, help_text="`after` of the next page")


class AclOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    acl = serializers.ListField(child=serializers.CharField())
    etag = serializers.CharField(help_text="for If-Match: creation and version of the ACL")


class SubtreeOut(serializers.Serializer[Any]):
    path = serializers.CharField()
    dry_run = serializers.BooleanField()
    total = serializers.IntegerField(help_text="znodes, this one and all below")
    done = serializers.IntegerField()
    paths = serializers.ListField(child=serializers.CharField(), help_text="the first 1000")


class WriteIn(Strict):
    data = serializers.CharField(  # type: ignore[assignment]  # as above
        allow_blank=True, trim_whitespace=False, max_length=DATA_MAX
    )
    encoding = serializers.ChoiceField(choices=ENCODINGS, default="text")


class CreateIn(WriteIn):
    data = serializers.CharField(
        allow_blank=True, trim_whitespace=False, max_length=DATA_MAX, default=""
    )
    path = serializers.CharField(max_length=PATH_MAX, trim_whitespace=False)
    mode = serializers.CharField(max_length=40, default="persistent", help_text=", ".join(MODES))
    ttl_ms = serializers.IntegerField(
        min_value=1, max_value=TTL_MS_MAX, required=False, allow_null=True, default=None
    )
    acl = serializers.ListField(
        child=serializers.CharField(max_length=PATH_MAX),
        max_length=ACL_MAX,
        required=False,
        help_text="scheme:id:cdrwa; world:anyone:cdrwa by default",
    )
    parents = serializers.BooleanField(default=False, help_text="make what is missing above, too")


class AclIn(Strict):
    acl = serializers.ListField(
        child=serializers.CharField(max_length=PATH_MAX), min_length=1, max_length=ACL_MAX
    )


def data_of(given: dict[str, Any]) -> bytes:
    """The bytes that a body means.

    Raises:
        ValidationError: it is no base64.
    """
    if given["encoding"] == "text":
        try:
            return str(given["data"]).encode()
        except UnicodeEncodeError as error:
            raise serializers.ValidationError({"data": [str(error)]}) from None
    try:
        return base64.b64decode(given["data"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise serializers.ValidationError({"data": [f"this is no base64: {error}"]}) from None


def shown(data: bytes, encoding: str) -> tuple[str, str]:
    """Encoding and text of data.

    Raises:
        ValidationError: text is wanted, and it is none.
    """
    if encoding != "base64" and (encoding == "text" or b"\0" not in data):
        try:
            return "text", data.decode()
        except UnicodeDecodeError:
            if encoding == "text":
                raise serializers.ValidationError(
                    {"encoding": ["the data is no UTF-8: ask for base64"]}
                ) from None
    return "base64", base64.b64encode(data).decode()


def acl_of(texts: Sequence[str]) -> list[Acl]:
    """Raises ValidationError."""
    try:
        return [parse_acl(text) for text in texts]
    except BadArgumentsError as error:
        raise serializers.ValidationError({"acl": [str(error)]}) from None


def acl_texts(acl: Sequence[Acl]) -> list[str]:
    return [f"{a.id.scheme}:{a.id.id}:{format_permissions(a.perms)}" for a in acl]


def stat_of(stat: Stat) -> dict[str, object]:
    owner = stat.ephemeral_owner & 0xFFFFFFFFFFFFFFFF
    return {
        "version": stat.version,
        "cversion": stat.cversion,
        "aversion": stat.aversion,
        "czxid": hex(stat.czxid),
        "mzxid": hex(stat.mzxid),
        "pzxid": hex(stat.pzxid),
        "ctime_ms": stat.ctime,
        "mtime_ms": stat.mtime,
        "data_bytes": stat.data_bytes,
        "children": stat.num_children,
        "ephemeral_owner": hex(owner) if owner else None,
    }


def tag_of(stat: Stat, version: int) -> str:
    return f'"{hex(stat.czxid)}-{version}"'


def expected(header: str | None) -> tuple[int, int | None]:
    """Version and creation that `If-Match` wants; (-1, None) for `*`.

    Raises:
        Problem: it is missing, or none of ours.
    """
    if header is None:
        raise Problem(
            428,
            "precondition-required",
            'send If-Match with the etag that was read, or "If-Match: *" for whatever is there',
        )
    if header.strip() == "*":
        return -1, None
    found = TAG.match(header.strip())
    if found is None or int(found[2]) >= 1 << 31:
        raise Problem(
            400, "invalid", f"If-Match is {header[:60]!r}; it is an etag as it was read, or *"
        )
    return int(found[2]), int(found[1], 16)
