"""The console's way to the ensemble `main`: as itself for what it watches over, and for znodes as
the person who asked, so that the node's own checks and journal see who it is.
"""

from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser

from ensemble.tenancy.assertions import EVERYTHING
from tenants import keys, reach
from tenants.models import Ensemble
from tenants.reach import Name
from tenants.zk import Bridge


def credential() -> tuple[str, bytes] | None:
    """What the console signs in with at the server, if anything: `scheme:credential`."""
    text = settings.ZOOKEEPER_AUTH or keys.read(Path(settings.ZOOKEEPER_AUTH_FILE))
    return keys.credential_of(text)


def bridge() -> Bridge:
    """The console's own, with its own credential."""
    name = Name(settings.MAIN_ENSEMBLE, settings.ZOOKEEPER_HOSTS, "", EVERYTHING, "console")
    return reach.pool().bridge(name, credential)


def bridge_as(main: Ensemble, user: AbstractBaseUser, *, reads: bool) -> Bridge:
    """In a person's name, with the role of a reader or of an operator; who calls has checked it.

    An ensemble that the console has no operator's key for knows no persons: there, and only there,
    it is the console's own way.

    Raises:
        BusyError, NoKeyError: with a text for people.
    """
    return reach.as_operator(main, user, reads=reads) if knows_persons(main) else bridge()


def knows_persons(ensemble: Ensemble) -> bool:
    """Whether the console has a key to speak in people's names there."""
    if ensemble.kind == Ensemble.Kind.APACHE:
        return False
    return keys.keys_of(ensemble).operator_key.is_file()


def main_ensemble() -> Ensemble:
    """`main` as it is registered, or as the settings have it where it is not; at their hosts."""
    name = settings.MAIN_ENSEMBLE
    found = Ensemble.objects.filter(name=name).first() or Ensemble(name=name)
    found.hosts = settings.ZOOKEEPER_HOSTS
    return found
