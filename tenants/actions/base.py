"""What actions share: their transaction, their refusals, and the word to the ensemble."""

import functools
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, ParamSpec, TypeVar

from django.contrib.auth.models import AbstractBaseUser, User
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import DatabaseError, IntegrityError, OperationalError, models, transaction
from django.utils import timezone

from ensemble.admin.errors import ProvisionError
from tenants.access import Standing, standing_of
from tenants.audit import Actor
from tenants.documents import draft_of
from tenants.errors import ConflictError, InvalidError, UnavailableError
from tenants.models import Publication, Tenant
from tenants.publication import publish_quietly

PUBLISHED_AT_ONCE_MAX: Final = 5  # tenants of one action; the collector sees to the others

log = logging.getLogger("tenants.actions")

P = ParamSpec("P")
R = TypeVar("R")


def action(function: Callable[P, R]) -> Callable[P, R]:
    """One transaction around it; what the database refuses becomes words for people."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with transaction.atomic():
                return function(*args, **kwargs)
        except IntegrityError as error:
            log.warning("%s: %s", function.__name__, error)
            raise ConflictError(
                "somebody else has changed the same meanwhile, nothing was done: look again"
            ) from None
        except OperationalError as error:
            log.warning("%s: %s", function.__name__, error)
            raise UnavailableError(
                "the database of the console is busy, nothing was done: try again"
            ) from None
        except DatabaseError as error:
            log.exception("%s", function.__name__)
            raise InvalidError(f"the database does not take it: {type(error).__name__}") from None

    return run


def clean(row: models.Model) -> None:
    """Have a row check itself.

    Raises:
        InvalidError, ConflictError: with the field at fault.
    """
    nobody = [  # a column that may be NULL, but that no form may leave empty: who made it
        field.name
        for field in row._meta.concrete_fields
        if field.null and not field.blank and getattr(row, field.attname) is None
    ]
    try:
        row.full_clean(exclude=nobody)
    except ValidationError as error:
        raise refusal_of(error) from None


def refusal_of(error: ValidationError) -> InvalidError | ConflictError:
    """The first thing that is wrong, as a refusal."""
    for field, problems in error.error_dict.items():
        problem = problems[0]
        text = " ".join(problem.messages)
        name = "" if field == NON_FIELD_ERRORS else field
        if problem.code in ("unique", "unique_together"):
            return ConflictError(text, field=name)
        return InvalidError(f"{name}: {text}" if name else text, field=name)
    return InvalidError(" ".join(error.messages))


def person_of(actor: Actor) -> User | None:
    """Who acts, as a row; None for the plane itself and programs of this machine."""
    user = actor.user
    return user if isinstance(user, User) and user.is_authenticated else None


def rules(actor: Actor) -> bool:
    """Whether an operator acts, or the plane itself: plans' conditions do not bind these."""
    return actor.user is None or standing_of(actor.user) is Standing.OPERATOR


def user_row(user: AbstractBaseUser) -> User:
    """A user as the rows name one."""
    assert isinstance(user, User), "the plane's users are Django's"
    return user


def hold(tenant: Tenant, *lifecycles: str) -> None:
    """Lock a tenant's row until the commit, and see it as it is now.

    Raises:
        ConflictError: it is not as it has to be (alive, where nothing else is named).
    """
    Tenant.objects.select_for_update().filter(pk=tenant.pk).values_list("pk").first()
    tenant.refresh_from_db()
    if tenant.lifecycle in (lifecycles or (Tenant.Lifecycle.ALIVE,)):
        return
    if tenant.lifecycle == Tenant.Lifecycle.DELETED:
        raise ConflictError(f"{tenant.slug} is deleted: restore it first")
    if tenant.lifecycle == Tenant.Lifecycle.GONE:
        raise ConflictError(f"{tenant.slug} is gone: what was purged cannot be brought back")
    raise ConflictError(f"{tenant.slug} is alive: there is nothing to restore")


def changed(tenant: Tenant) -> None:
    """The ensemble has to hear of a tenant: checked here, published after the commit.

    Raises:
        InvalidError: servers would not take the document.
    """
    tenant.revision += 1
    tenant.save()
    checked(tenant)
    Publication.objects.filter(tenant=tenant).update(
        wanted=tenant.revision, **waiting(timezone.now())
    )
    publish_after_commit(tenant)


def waiting(now: datetime) -> dict[str, object]:
    """The fields of a publication that begins anew."""
    return {
        "status": Publication.Status.PENDING,
        "tries": 0,
        "next_try_at": now,
        "error": "",
    }


def checked(tenant: Tenant) -> None:
    """Raises InvalidError where servers would not take a tenant's document."""
    if tenant.lifecycle == Tenant.Lifecycle.GONE:
        return
    try:
        draft_of(tenant).encode()
    except ProvisionError as error:
        raise InvalidError(str(error)) from None


def publish_after_commit(tenant: Tenant) -> None:
    """`tenant.publication`, read afterwards, says how that went."""
    transaction.on_commit(partial(publish_now, tenant), robust=True)


def publish_now(tenant: Tenant) -> None:
    publish_quietly(tenant.pk)
    cached = Tenant._meta.get_field("publication")
    if cached.is_cached(tenant):
        cached.delete_cached_value(tenant)
