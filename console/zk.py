"""The console's way to the ensemble `main`: what pages and websockets of the whole tree share."""

from pathlib import Path

from django.conf import settings

from ensemble.tenancy.assertions import EVERYTHING
from tenants import keys, reach
from tenants.reach import Name
from tenants.zk import Bridge


def credential() -> tuple[str, bytes] | None:
    """What the console signs in with at the server, if anything: `scheme:credential`."""
    text = settings.ZOOKEEPER_AUTH or keys.read(Path(settings.ZOOKEEPER_AUTH_FILE))
    return keys.credential_of(text)


def bridge() -> Bridge:
    """This process's bridge."""
    name = Name(settings.MAIN_ENSEMBLE, settings.ZOOKEEPER_HOSTS, "", EVERYTHING, "console")
    return reach.pool().bridge(name, credential)
