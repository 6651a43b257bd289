"""Policy as code over the API: the document as JSON or YAML, compared first, then applied."""

from collections.abc import Mapping
from io import BytesIO
from typing import IO, Any

from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api import problems
from tenants.api.documented import documented
from tenants.api.parsing import BoundedJSONParser, read_bounded
from tenants.api.problems import Problem
from tenants.api.views.base import SECRET, Strict, View
from tenants.policy import document, plan
from tenants.policy.document import Policy
from tenants.policy.plan import Comparison, Outcome, Step

YAML = "application/yaml"


class YamlParser(BaseParser):
    media_type = YAML

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        assert parser_context is not None
        return document.read(BytesIO(read_bounded(stream, parser_context)))


class YamlRenderer(BaseRenderer):
    media_type = YAML
    format = "yaml"

    def render(self, data: Any, media_type: str | None = None, context: Any = None) -> bytes:
        return document.write(data).encode()


class PolicyOut(serializers.Serializer[Any]):
    policy = serializers.IntegerField()
    plans = serializers.DictField(child=serializers.DictField())
    tenants = serializers.DictField(child=serializers.DictField())


class ApplyQuery(Strict):
    dry_run = serializers.BooleanField(default=False, help_text="only say what would be done")
    prune = serializers.BooleanField(
        default=False, help_text="retire plans and delete tenants that are not in it"
    )


class StepOut(serializers.Serializer[Any]):
    action = serializers.ChoiceField(choices=["create", "change", "remove"])
    kind = serializers.ChoiceField(choices=["plan", "tenant", "member", "credential"])
    name = serializers.CharField()
    text = serializers.CharField()


class AppliedSecretOut(serializers.Serializer[Any]):
    tenant = serializers.CharField()
    name = serializers.CharField()
    auth = serializers.CharField(help_text='for add_auth("tenant", ...); shown this once')


class AppliedOut(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField()
    changes = StepOut(many=True)
    secrets = AppliedSecretOut(many=True)


class PolicyView(View):
    renderer_classes = (JSONRenderer, YamlRenderer)

    @documented("All plans and tenants as one document", answer=PolicyOut)
    def get(self, request: Request) -> Response:
        return Response(document.export())


class PolicyApply(View):
    parser_classes = (BoundedJSONParser, YamlParser)

    @documented(
        "Make plans and tenants as a document has them",
        query=ApplyQuery,
        body=Policy,
        answer=AppliedOut,
    )
    def post(self, request: Request) -> Response:
        asked = self.asked(ApplyQuery)
        compared = Comparison(document.checked(request.data), prune=asked["prune"])
        if compared.problems:
            errors = [problems.field(at, "invalid", text) for at, text in compared.problems]
            raise Problem(400, "invalid", "; ".join(e["detail"] for e in errors[:3]), errors=errors)
        if asked["dry_run"]:
            return Response(told(compared.steps, [], dry_run=True))
        outcome = plan.apply(self.actor, compared.steps)
        if outcome.error is not None:
            raise stopped(outcome)
        said = told(outcome.done, outcome.secrets, dry_run=False)
        return Response(said, headers={SECRET: "1"} if outcome.secrets else {})


def told(steps: list[Step], secrets: list[Any], *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "changes": [
            {"action": s.action, "kind": s.kind, "name": s.name, "text": s.line} for s in steps
        ],
        "secrets": [{"tenant": s.slug, "name": s.name, "auth": s.token} for s in secrets],
    }


def stopped(outcome: Outcome) -> Problem:
    """What was done stays done, and its secrets are told: nobody sees them again."""
    assert outcome.failed is not None
    assert outcome.error is not None
    said = told(outcome.done, outcome.secrets, dry_run=False)
    return Problem(
        409,
        "partly",
        f"{outcome.failed.kind} {outcome.failed.name}: {outcome.error}. "
        f"{len(outcome.done)} changes were made before; apply the document again for the rest",
        changes=said["changes"],
        secrets=said["secrets"],
    )
