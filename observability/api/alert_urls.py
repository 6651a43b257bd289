"""The addresses of alerts: on the plane, and the same below each tenant."""

from django.urls import URLPattern, path

from observability.api import alerts, channels, rules, silences

SILENCE = "alerts/silences/<int:number>"
CHANNEL = "alerts/channels/<int:number>"
ALERT = "alerts/<int:number>"


def of_both(before: str, prefix: str) -> list[URLPattern]:
    """What is there in both places."""
    return [
        path(f"{before}alerts", alerts.Alerts.as_view(), name=f"{prefix}alerts"),
        path(f"{before}alerts/counts", alerts.Counts.as_view(), name=f"{prefix}alert-counts"),
        path(before + ALERT, alerts.AlertView.as_view(), name=f"{prefix}alert"),
        path(
            f"{before}{ALERT}/acknowledge",
            alerts.Acknowledge.as_view(),
            name=f"{prefix}alert-acknowledge",
        ),
        path(
            f"{before}{ALERT}/take-back",
            alerts.TakeBack.as_view(),
            name=f"{prefix}alert-take-back",
        ),
        path(before + SILENCE, silences.SilenceView.as_view(), name=f"{prefix}alert-silence"),
        path(before + CHANNEL, channels.ChannelView.as_view(), name=f"{prefix}alert-channel"),
        path(
            f"{before}{CHANNEL}/secret",
            channels.ChannelSecret.as_view(),
            name=f"{prefix}alert-channel-secret",
        ),
        path(
            f"{before}{CHANNEL}/test",
            channels.ChannelTest.as_view(),
            name=f"{prefix}alert-channel-test",
        ),
        path(
            f"{before}{CHANNEL}/log",
            channels.ChannelLog.as_view(),
            name=f"{prefix}alert-channel-log",
        ),
    ]


TENANT = "tenants/<slug:slug>/"

urlpatterns = [
    *of_both("", ""),
    *of_both(TENANT, "tenant-"),
    path("alerts/silences", silences.Silences.as_view(), name="alert-silences"),
    path("alerts/channels", channels.Channels.as_view(), name="alert-channels"),
    path("alerts/rules", rules.Rules.as_view(), name="alert-rules"),
    path("alerts/rules/<str:name>", rules.RuleView.as_view(), name="alert-rule"),
    path(
        f"{TENANT}alerts/silences",
        silences.TenantSilences.as_view(),
        name="tenant-alert-silences",
    ),
    path(
        f"{TENANT}alerts/channels",
        channels.TenantChannels.as_view(),
        name="tenant-alert-channels",
    ),
]
