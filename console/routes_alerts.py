"""The pages about alerts and lines of the trail, and what each needs; `routes` takes them in."""

from typing import Final

from tenants.access import Standing

ALERT_ROUTES: Final[dict[str, Standing | str]] = {
    "plane-audit-line": "audit.read",
    "tenant-audit-line": "tenant.audit",
    "search-save": "search.own",
    "search-remove": "search.own",
    "alerts": "alert.read",
    "alert": "alert.read",
    "alert-note": "alert.act",
    "alert-silences": "alert.read",
    "alert-silence": "alert.act",
    "alert-silence-end": "alert.act",
    "alert-channels": "alert.read",
    "alert-channel-new": "alert.change",
    "alert-channel": "alert.read",
    "alert-channel-act": "alert.change",
    "alert-rules": "alert.read",
    "alert-rule": "alert.change",
    "tenant-alerts": "tenant.alerts",
    "tenant-alert": "tenant.alerts",
    "tenant-alert-note": "tenant.alerts.act",
    "tenant-alert-silences": "tenant.alerts",
    "tenant-alert-silence": "tenant.alerts.act",
    "tenant-alert-silence-end": "tenant.alerts.act",
    "tenant-alert-channels": "tenant.alerts.channels",
    "tenant-alert-channel-new": "tenant.alerts.channels",
    "tenant-alert-channel": "tenant.alerts.channels",
    "tenant-alert-channel-act": "tenant.alerts.channels",
}
