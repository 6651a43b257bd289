"""Ensembles and their nodes; where SQL and a registry say different things."""

from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants import reconcile
from tenants.actions import ensembles
from tenants.actions.ensembles import NodeSpec
from tenants.api.documented import documented
from tenants.api.views.base import PageQuery, Strict, View
from tenants.models import Ensemble, Node


class NodeOut(serializers.ModelSerializer[Node]):
    class Meta:
        model = Node
        fields = ("name", "client", "admin_url")


class EnsembleOut(serializers.ModelSerializer[Ensemble]):
    nodes = NodeOut(many=True)

    class Meta:
        model = Ensemble
        fields = ("name", "title", "kind", "hosts", "takes_tenants", "created_at", "nodes")


class NodeIn(Strict):
    name = serializers.CharField(max_length=100)
    client = serializers.CharField(max_length=300, help_text="host:port")
    admin_url = serializers.CharField(
        max_length=300, allow_blank=True, default="", help_text="http://host:port, or empty"
    )


class EnsembleChangeIn(Strict):
    title = serializers.CharField(max_length=100, allow_blank=True, required=False)
    hosts = serializers.CharField(max_length=2_000, required=False, help_text="host:port,host:port")
    nodes = NodeIn(many=True, required=False)
    takes_tenants = serializers.BooleanField(required=False)


class EnsembleIn(EnsembleChangeIn):
    name = serializers.SlugField(max_length=63)
    kind = serializers.ChoiceField(choices=Ensemble.Kind.values, default="ours")
    hosts = serializers.CharField(max_length=2_000, help_text="host:port,host:port")


class DriftOut(serializers.Serializer[Any]):
    slug = serializers.CharField()
    kind = serializers.ChoiceField(choices=["changed", "missing", "unknown", "unreadable"])
    text = serializers.CharField()
    differences = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="field, SQL's value, the registry's",
    )
    repairs = serializers.ListField(child=serializers.CharField(), help_text="possible directions")


class DriftsOut(serializers.Serializer[Any]):
    results = DriftOut(many=True)


class RepairIn(Strict):
    slug = serializers.CharField(max_length=63)
    direction = serializers.ChoiceField(
        choices=["registry", "sql"], help_text="which of the two is overwritten"
    )


class RepairedOut(serializers.Serializer[Any]):
    slug = serializers.CharField()
    direction = serializers.CharField()


def ensemble_for(name: str) -> Ensemble:
    found = Ensemble.objects.prefetch_related("nodes").filter(name=name).first()
    if found is None:
        raise Http404(f"there is no ensemble {name[:70]}")
    return found


def specs(given: dict[str, Any]) -> dict[str, Any]:
    """A body with its nodes as the actions take them."""
    if "nodes" in given:
        given["nodes"] = [NodeSpec(**node) for node in given["nodes"]]
    return given


class Ensembles(View):
    @documented("The ensembles", query=PageQuery, rows=EnsembleOut)
    def get(self, request: Request) -> Response:
        self.asked(PageQuery)
        return self.page(Ensemble.objects.prefetch_related("nodes"), EnsembleOut, "name")

    @documented("Register an ensemble", body=EnsembleIn, answer=EnsembleOut, status=201)
    def post(self, request: Request) -> Response:
        given = specs(self.given(EnsembleIn))
        given.setdefault("takes_tenants", given["kind"] == Ensemble.Kind.OURS)
        made = ensembles.register(self.actor, **given)
        return Response(EnsembleOut(ensemble_for(made.name)).data, status=201)


class EnsembleView(View):
    @documented("One ensemble", answer=EnsembleOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(EnsembleOut(ensemble_for(name)).data)

    @documented("Change what is known of it", body=EnsembleChangeIn, answer=EnsembleOut)
    def patch(self, request: Request, name: str) -> Response:
        given = specs(self.given(EnsembleChangeIn))
        ensembles.change(self.actor, ensemble=ensemble_for(name), **given)
        return Response(EnsembleOut(ensemble_for(name)).data)

    @documented("Forget an ensemble without tenants; it is not touched itself", answer=None)
    def delete(self, request: Request, name: str) -> Response:
        ensembles.remove(self.actor, ensemble=ensemble_for(name))
        return Response(status=204)


class EnsembleDrift(View):
    @documented("Where SQL and the registry say different things", answer=DriftsOut)
    def get(self, request: Request, name: str) -> Response:
        found = reconcile.drift(ensemble_for(name))
        return Response(DriftsOut({"results": found}).data)


class EnsembleRepair(View):
    @documented("Make the two agree, in one direction", body=RepairIn, answer=RepairedOut)
    def post(self, request: Request, name: str) -> Response:
        given = self.given(RepairIn)
        reconcile.repair(self.actor, ensemble=ensemble_for(name), **given)
        return Response(RepairedOut(given).data)
