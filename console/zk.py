"""The console's way to the ensemble `main`: what pages and websockets of the whole tree share."""

from pathlib import Path

from django.conf import settings

from ensemble.tenancy.assertions import EVERYTHING
from tenants import reach
from tenants.reach import Name
from tenants.zk import Bridge


def credential() -> tuple[str, bytes] | None:
    """What the console signs in with at the server, if anything: `scheme:credential`."""
    text = settings.ZOOKEEPER_AUTH
    path = Path(settings.ZOOKEEPER_AUTH_FILE)
    if not text and path.exists():
        text = path.read_text().strip()
    if not text:
        return None
    scheme, _, token = text.partition(":")
    return scheme, token.encode()


def bridge() -> Bridge:
    """This process's bridge."""
    name = Name(settings.MAIN_ENSEMBLE, settings.ZOOKEEPER_HOSTS, "", EVERYTHING, "console")
    return reach.pool().bridge(name, credential)
