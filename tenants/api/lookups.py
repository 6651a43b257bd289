"""Names in bodies, as rows; a name that is none is an error at its field."""

from django.contrib.auth.models import User

from tenants.errors import InvalidError
from tenants.models import Ensemble, Plan


def plan_named(name: str, field: str = "plan") -> Plan:
    found = Plan.objects.filter(name=name).first()
    if found is None:
        raise InvalidError(f"there is no plan {name[:70]}: see /api/v1/plans", field=field)
    return found


def ensemble_named(name: str | None, field: str = "ensemble") -> Ensemble | None:
    """None where no name is given: the plane chooses."""
    if name is None:
        return None
    found = Ensemble.objects.filter(name=name).first()
    if found is None:
        raise InvalidError(f"there is no ensemble {name[:70]}", field=field)
    return found


def person_named(username: str, field: str = "person") -> User:
    found = User.objects.filter(username=username, is_active=True).first()
    if found is None:
        raise InvalidError(
            f"there is nobody called {username[:150]!r}: send an invitation", field=field
        )
    return found
