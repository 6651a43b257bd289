"""Work on whole subtrees: asked for, looked at, confirmed, waited for; see docs/console.md.

A job is asked for below a tenant or ensemble, and is then its person's own.
"""

import base64
import binascii
import io
from collections.abc import Callable
from typing import Any, Final

from django.http import Http404, StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import access
from tenants.actions import jobs
from tenants.api.documented import documented
from tenants.api.views.base import PageQuery, Strict, View
from tenants.api.views.znodes import OfEnsemble
from tenants.api.znodes import ACL_MAX, DATA_MAX, ENCODINGS, PathField
from tenants.bulk import places
from tenants.bulk.importing import FILE_MODES
from tenants.bulk.steps import acl_of
from tenants.bulk.work import right_for, right_of
from tenants.bulk.writing import FORMS
from tenants.errors import InvalidError
from tenants.models import ApiToken, Job, Tenant

KINDS: Final = [kind.value for kind in Job.Kind if kind is not Job.Kind.UNDO]
TAKES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "duplicate": (("to",), ("ephemerals",)),
    "move": (("to",), ("ephemerals",)),
    "delete": ((), ()),
    "acl": (("entries",), ("how",)),
    "export": ((), ("form", "secrets", "zxid", "at_ms")),
    "import": (("data",), ("encoding", "mode", "acl", "ephemerals")),
    "restore": ((), ("zxid", "at_ms", "without")),
}
"""What each kind has to be given, and what it may be."""
OF_FILE: Final = ("data", "encoding")


class JobIn(Strict):
    kind = serializers.ChoiceField(choices=KINDS)
    path = PathField()
    to = PathField(required=False)
    ephemerals = serializers.ChoiceField(
        choices=["leave", "persist"], required=False, help_text="left out, or made persistent"
    )
    how = serializers.ChoiceField(choices=["set", "add", "remove"], required=False)
    entries = serializers.ListField(
        child=serializers.CharField(max_length=1_000),
        required=False,
        min_length=1,
        max_length=ACL_MAX,
        help_text="of ACLs: world:anyone:cdrwa",
    )
    form = serializers.ChoiceField(choices=list(FORMS), required=False)
    secrets = serializers.BooleanField(required=False, help_text="with the values of secret paths")
    data = serializers.CharField(  # type: ignore[assignment]  # a field, not the property
        required=False,
        trim_whitespace=False,
        max_length=DATA_MAX,
        help_text="the file to import; a larger one by the page, which takes 32 MiB",
    )
    encoding = serializers.ChoiceField(choices=ENCODINGS, required=False)
    mode = serializers.ChoiceField(
        choices=list(FILE_MODES), required=False, help_text="for what is there already"
    )
    acl = serializers.ChoiceField(
        choices=["file", "open"], required=False, help_text="of what is new: the file's, or open"
    )
    zxid = serializers.RegexField(r"^0x[0-9a-f]{1,15}$", required=False)
    at_ms = serializers.IntegerField(required=False, min_value=0, max_value=1 << 50)
    without = serializers.ListField(
        child=serializers.ChoiceField(choices=["create", "set", "delete", "acl"]),
        required=False,
        max_length=4,
    )


class JobOut(serializers.ModelSerializer[Job]):
    person = serializers.CharField(source="person.username")
    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None)
    preview = serializers.DictField(help_text="of the dry run: counts, rows, in_the_way, stops")
    errors = serializers.ListField(  # type: ignore[assignment]  # a field, not the property
        child=serializers.ListField(child=serializers.CharField()), help_text="path and reason"
    )

    class Meta:
        model = Job
        fields = (
            *("key", "kind", "state", "person", "tenant", "ensemble", "path", "preview"),
            *("total", "done", "refused", "said", "errors", "file_name", "file_bytes"),
            *("made_at", "started_at", "ended_at", "expires_at"),
        )


class JobsIn(View):
    """A tree in which jobs are asked for: a tenant's, an ensemble's."""

    def whose(self) -> dict[str, Any]:
        raise NotImplementedError

    def check_kind(self, kind: str) -> None:
        raise NotImplementedError

    @documented("Ask for work on a subtree; its dry run comes first", body=JobIn, answer=JobOut,
                status=201)  # fmt: skip
    def post(self, request: Request, **_: str) -> Response:
        given = self.given(JobIn)
        kind = given.pop("kind")
        self.check_kind(kind)
        path = given.pop("path")
        check_given(kind, given)
        sent = None
        if kind == "import":
            sent = io.BytesIO(file_of(given))
        made = jobs.make(
            self.actor,
            kind=kind,
            path=path,
            parameters=parameters_of(given),
            sent=sent,
            token=request.auth if isinstance(request.auth, ApiToken) else None,
            **self.whose(),
        )
        return Response(JobOut(made).data, status=201)


def check_given(kind: str, given: dict[str, Any]) -> None:
    """Raises ValidationError where a kind is given what it does not take, or misses something."""
    needed, further = TAKES[kind]
    for name in given:
        if name not in (*needed, *further):
            raise serializers.ValidationError({name: [f"{kind} takes no {name}"]})
    for name in needed:
        if name not in given:
            raise serializers.ValidationError({name: [f"{kind} needs it"]})
    moments = ("zxid" in given) + ("at_ms" in given)
    if moments > 1 or (kind == "restore" and not moments):
        raise serializers.ValidationError({"zxid": [f"{kind} takes either zxid or at_ms"]})


def file_of(given: dict[str, Any]) -> bytes:
    text = given["data"]
    if given.get("encoding", "text") == "text":
        return str(text).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise serializers.ValidationError({"data": ["it is no base64"]}) from None


def parameters_of(given: dict[str, Any]) -> dict[str, Any]:
    """As the planners take them."""
    found = {name: value for name, value in given.items() if name not in OF_FILE}
    if "entries" in found:
        found["acl"] = found.pop("entries")
        for entry in found["acl"]:
            try:
                acl_of(entry)
            except InvalidError as error:
                raise serializers.ValidationError({"entries": [str(error)]}) from None
    if "zxid" in found:
        found["zxid"] = int(found["zxid"], 16)
    return found


class TenantJobs(JobsIn):
    def whose(self) -> dict[str, Any]:
        return {"where": Job.Where.TENANT, "tenant": self.tenant}

    def check_kind(self, kind: str) -> None:
        self.need(right_of(kind))


class EnsembleJobs(JobsIn, OfEnsemble):
    def whose(self) -> dict[str, Any]:
        return {"where": Job.Where.ENSEMBLE, "ensemble": self.ensemble.name}

    def check_kind(self, kind: str) -> None:
        self.need("tree.read" if kind == "export" else "tree.change")
        assert self.ensemble


class Jobs(View):
    @documented("Your jobs", query=PageQuery, rows=JobOut)
    def get(self, request: Request) -> Response:
        self.asked(PageQuery)
        rows = Job.objects.filter(person=self.user).select_related("person", "tenant")
        bounds = access.bounds_of(self.user)
        if bounds is not None and bounds.tenant_id is not None:
            rows = rows.filter(tenant_id=bounds.tenant_id)
        return self.page(rows, JobOut, "-pk")


class OneJob(View):
    """One job, by its key."""

    def job(self, *, own: bool = True) -> Job:
        """One's own, as long as one may do such a thing; operators see everybody's.

        Raises:
            Http404: there is none that this person may know of.
        """
        rows = Job.objects.select_related("person", "tenant__ensemble", "token")
        key = str(self.kwargs["key"])[:40]
        found = rows.filter(key=key).first()
        if found is None or (
            found.person_id != self.user.pk
            and (own or access.standing_of(self.user) is not access.Standing.OPERATOR)
        ):
            raise Http404(f"you have no job {key}; jobs are kept for a while only")
        if isinstance(found.tenant, Tenant):
            access.tenant_for(self.user, found.tenant.slug, right_for(found))
        else:
            self.need("tree.read" if found.kind == Job.Kind.EXPORT else "tree.change")
        return found

    def act(self, action: Callable[[Job], Job | None]) -> Response:
        found = self.job()
        made = action(found) or found
        made.refresh_from_db()
        return Response(JobOut(made).data)


class JobView(OneJob):
    @documented("A job: its dry run, how far it is, how it ended", answer=JobOut)
    def get(self, request: Request, key: str) -> Response:
        return Response(JobOut(self.job(own=False)).data)

    @documented("Forget a job that has ended, with its files")
    def delete(self, request: Request, key: str) -> Response:
        jobs.remove(self.actor, job=self.job())
        return Response(status=204)


class JobConfirm(OneJob):
    @documented("Have done what the dry run has shown", answer=JobOut)
    def post(self, request: Request, key: str) -> Response:
        return self.act(lambda job: jobs.confirm(self.actor, job=job))


class JobResume(OneJob):
    @documented("Go on where it was interrupted, failed or cancelled", answer=JobOut)
    def post(self, request: Request, key: str) -> Response:
        return self.act(lambda job: jobs.resume(self.actor, job=job))


class JobCancel(OneJob):
    @documented("End it; what is under way is done to its end", answer=JobOut)
    def post(self, request: Request, key: str) -> Response:
        return self.act(lambda job: jobs.cancel(self.actor, job=job))


class JobUndo(OneJob):
    @documented("A job that takes it back; its dry run comes first", answer=JobOut)
    def post(self, request: Request, key: str) -> Response:
        token = request.auth if isinstance(request.auth, ApiToken) else None
        return self.act(lambda job: jobs.undo(self.actor, job=job, token=token))


class JobFile(OneJob):
    @documented("The file of an export", file=["application/octet-stream"])
    def get(self, request: Request, key: str) -> StreamingHttpResponse:
        response = places.download(self.job())
        if response is None:
            raise Http404("it has no file: a file comes with an export that is done")
        return response
