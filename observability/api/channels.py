"""Where alerts are sent: webhooks and mail, with a test and the log of what went out.

The secret that signs a webhook's messages is in one answer, and never again.
"""

from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from observability.alerts import outbox
from observability.api.alerts import SEVERITIES, Within
from observability.models import Delivery
from tenants.actions import channels as actions
from tenants.actions.channels import ADDRESSES_MAX, URL_MAX
from tenants.alerts.places import channels_in, leads_to
from tenants.api.documented import documented
from tenants.api.views.base import SECRET, PageQuery, Strict
from tenants.models import AlertChannel

KINDS = AlertChannel.Kind.values


class ChannelOut(serializers.ModelSerializer[AlertChannel]):
    number = serializers.IntegerField(source="pk")
    tenant = serializers.CharField(source="tenant.slug", default=None, allow_null=True)
    leads_to = serializers.SerializerMethodField(
        help_text="a webhook's address is whole for those who may change it, else its host"
    )

    class Meta:
        model = AlertChannel
        fields: tuple[str, ...] = (
            *("number", "name", "kind", "tenant", "of_tenant", "leads_to", "severity"),
            *("is_on", "made_by", "made_at"),
        )

    def get_leads_to(self, row: AlertChannel) -> str:
        return leads_to(row, whole=self.context["view"].may_change)


class NewChannelOut(ChannelOut):
    secret = serializers.CharField(
        allow_null=True, help_text="signs a webhook's messages; shown this once. Null for mail"
    )

    class Meta(ChannelOut.Meta):
        fields = (*ChannelOut.Meta.fields, "secret")


class RenewedOut(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    secret = serializers.CharField(help_text="shown this once; the one before signs nothing more")


class DeliveryOut(serializers.ModelSerializer[Delivery]):
    made_at_ms = serializers.IntegerField(source="made_at")
    next_try_at_ms = serializers.SerializerMethodField(help_text="null: it is not sent any more")
    done_at_ms = serializers.IntegerField(source="done_at", allow_null=True)

    class Meta:
        model = Delivery
        fields = (
            *("message", "event", "alert", "status", "tries", "answer"),
            *("made_at_ms", "next_try_at_ms", "done_at_ms"),
        )

    def get_next_try_at_ms(self, row: Delivery) -> int | None:
        return row.next_try_at if row.status == Delivery.Status.WAITING else None


class OwnChannelIn(Strict):
    name = serializers.CharField(max_length=100)
    kind = serializers.ChoiceField(choices=KINDS)
    url = serializers.CharField(
        max_length=URL_MAX, required=False, help_text="of a webhook: https://hooks.example.com/path"
    )
    addresses = serializers.ListField(
        child=serializers.CharField(max_length=320),
        max_length=ADDRESSES_MAX,
        required=False,
        help_text="of mail",
    )
    severity = serializers.ChoiceField(
        choices=SEVERITIES, default="ticket", help_text="this one and weightier"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needs, not_its = "url", "addresses"
        if attrs["kind"] == AlertChannel.Kind.MAIL:
            needs, not_its = not_its, needs
        if needs not in attrs:
            raise serializers.ValidationError({needs: [f"a {attrs['kind']} channel needs it"]})
        if not_its in attrs:
            raise serializers.ValidationError({not_its: [f"{attrs['kind']} takes none"]})
        return attrs


class ChannelIn(OwnChannelIn):
    of_tenant = serializers.CharField(
        max_length=63, required=False, help_text="alerts of this tenant alone"
    )


class SwitchIn(Strict):
    is_on = serializers.BooleanField(
        help_text="false: nothing is sent; what waited is not sent afterwards"
    )


class Nothing(Strict):
    """A body without a key."""


class OfChannels(Within):
    @property
    def may_change(self) -> bool:
        return self.may("alert.change" if self.where is None else "tenant.alerts.channels")

    def channel(self) -> AlertChannel:
        """Raises Http404."""
        number = int(self.kwargs["number"])
        found = channels_in(self.where).filter(pk=number).first()
        if found is None:
            raise Http404(f"there is no channel {number} here")
        return found

    def shown(self, row: AlertChannel) -> Response:
        return Response(ChannelOut(row, context={"view": self}).data)

    def make(self, given: dict[str, Any]) -> Response:
        made, secret = actions.make(self.actor, tenant=self.where, **given)
        told = ChannelOut(made, context={"view": self}).data
        return Response(
            {**told, "secret": secret or None},
            status=201,
            headers={SECRET: "1"} if secret else None,
        )


class Channels(OfChannels):
    @documented("Where alerts are sent", query=PageQuery, rows=ChannelOut)
    def get(self, request: Request, **_: str) -> Response:
        self.asked(PageQuery)
        return self.page(channels_in(self.where), ChannelOut, ("name", "pk"))

    @documented("A new channel", body=ChannelIn, answer=NewChannelOut, status=201)
    def post(self, request: Request) -> Response:
        return self.make(self.given(ChannelIn))


class TenantChannels(Channels):
    @documented("A new channel of a tenant", body=OwnChannelIn, answer=NewChannelOut, status=201)
    def post(self, request: Request, slug: str) -> Response:  # type: ignore[override]  # its address
        return self.make(self.given(OwnChannelIn))


class ChannelView(OfChannels):
    @documented("A channel", answer=ChannelOut)
    def get(self, request: Request, **_: str) -> Response:
        return self.shown(self.channel())

    @documented("Send, or do not", body=SwitchIn, answer=ChannelOut)
    def patch(self, request: Request, **_: str) -> Response:
        is_on = self.given(SwitchIn)["is_on"]
        found = self.channel()
        actions.switch(self.actor, channel=found, is_on=is_on)
        found.refresh_from_db()
        return self.shown(found)

    @documented("Remove a channel, with its secret")
    def delete(self, request: Request, **_: str) -> Response:
        actions.remove(self.actor, channel=self.channel())
        return Response(status=204)


class ChannelSecret(OfChannels):
    @documented("Another secret in the place of the one before", body=Nothing, answer=RenewedOut)
    def post(self, request: Request, **_: str) -> Response:
        self.given(Nothing)
        found = self.channel()
        secret = actions.renew_secret(self.actor, channel=found)
        return Response({"number": found.pk, "secret": secret}, headers={SECRET: "1"})


class ChannelTest(OfChannels):
    @documented("Send a test; the log tells how it went", body=Nothing, answer=DeliveryOut,
                status=202)  # fmt: skip
    def post(self, request: Request, **_: str) -> Response:
        self.given(Nothing)
        return Response(DeliveryOut(outbox.ask_for_test(self.channel())).data, status=202)


class ChannelLog(OfChannels):
    @documented("What was sent, the newest first", query=PageQuery, rows=DeliveryOut)
    def get(self, request: Request, **_: str) -> Response:
        self.asked(PageQuery)
        return self.page(Delivery.objects.filter(channel=self.channel().pk), DeliveryOut, "-pk")
