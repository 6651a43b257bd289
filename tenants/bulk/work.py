"""What a job works with: in whose name it reaches the tree, as long as the person has the right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404

from tenants import access, reach
from tenants.bulk import reading
from tenants.bulk.entries import Entry
from tenants.bulk.reading import Found, Tell
from tenants.bulk.steps import Kind
from tenants.errors import ForbiddenError
from tenants.models import Ensemble, Job, MemberRole, Tenant
from tenants.zk import Bridge

RIGHTS: Final[dict[str, str]] = {
    Job.Kind.EXPORT: "znode.read",
    Job.Kind.ACL: "znode.acl",
}
"""In a tenant; all other kinds need `znode.write`."""

Created = tuple[str, int]
"""A path, and the transaction that made the znode."""


class Facts(Protocol):
    """What others know that a client cannot ask a server."""

    def used(self, tenant: Tenant) -> dict[str, int]:
        """What a tenant uses now, by the limit's name; empty where nobody knows it."""
        ...

    def as_it_was(self, work: "Work") -> tuple[int, Iterator[Entry]]:
        """A job's subtree at the moment that its parameters name: how many, and each."""
        ...

    def kinds(self, job: Job, made: Sequence[Created]) -> dict[str, Kind]:
        """Which of these are containers or have a time to live, as far as that is known."""
        ...


KINDS_AT_ONCE: Final = 400


def right_of(kind: str) -> str:
    return RIGHTS.get(kind, "znode.write")


def right_for(job: Job) -> str:
    """The right in its tenant; who undoes something needs what doing it needs."""
    if "acl" in job.preview.get("counts", {}):
        return right_of(Job.Kind.ACL)  # which the others' holders need not have
    return right_of(str(job.parameters.get("what", job.kind)))


@dataclass(frozen=True, slots=True)
class Secrets:
    """Paths whose values are not kept anywhere, as the job's scope calls them."""

    paths: tuple[str, ...] = ()

    def has(self, path: str) -> bool:
        return any(one == "/" or path == one or path.startswith(f"{one}/") for one in self.paths)


@dataclass(frozen=True, slots=True)
class Work:
    """What a planner is given. `tell` counts, and raises where the job has to stop."""

    job: Job
    bridge: Bridge
    tell: Tell
    secrets: Secrets
    facts: Facts
    known: dict[str, Kind] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        """A parameter that is a text."""
        return str(self.job.parameters.get(name, default))

    def flag(self, name: str) -> bool:
        return bool(self.job.parameters.get(name))

    def subtree(self, path: str) -> list[Found]:
        """The znode and all below it, with what is known of how long they live.

        A stat shows neither that a znode is a container, nor its time to live.
        """
        found = reading.subtree(self.bridge, path, self.tell)
        for start in range(0, len(found), KINDS_AT_ONCE):
            part = [(one.path, int(one.stat.czxid)) for one in found[start : start + KINDS_AT_ONCE]]
            self.known.update(self.facts.kinds(self.job, part))
        return found

    def kind(self, one: Found) -> Kind:
        if one.stat.ephemeral_owner:
            return Kind("ephemeral")
        return self.known.get(one.path, Kind())


def reached(job: Job) -> Bridge:
    """The tree in the person's name, if this person still may do such a job there.

    Raises:
        ForbiddenError: not any more, with the reason.
        BusyError, NoKeyError: it cannot be reached.
    """
    user = asker(job)
    try:
        return tenants_tree(user, job) if job.where == Job.Where.TENANT else whole_tree(user, job)
    except (PermissionDenied, Http404) as error:
        raise ForbiddenError(f"{user.get_username()} may not do this any more: {error}") from None


def may_set_acls(job: Job) -> bool:
    """Whether who asked for it may change ACLs there."""
    user = asker(job)
    if job.tenant is not None:
        return access.may(user, right_of(Job.Kind.ACL), job.tenant)
    return access.standing_of(user) >= access.PLANE["tree.change"]


def sees_closed(job: Job) -> bool:
    """Whether who asked for it is shown kept values that ACLs keep from some."""
    return access.sees_closed(asker(job), job.tenant)


def asker(job: Job) -> User:
    """Who asked for it, with no more rights than the token by which they came has now.

    Raises:
        ForbiddenError: not any more, with the reason.
    """
    user = User.objects.filter(pk=job.person_id).first()
    if user is None or not user.is_active:
        raise ForbiddenError("the account of who asked for it is switched off")
    if job.token is not None:
        bound_by_token(user, job)
    return user


def bound_by_token(user: User, job: Job) -> None:
    """A job that a token has asked for reaches no further than the token does now."""
    token = job.token
    assert token is not None
    token.refresh_from_db()
    if token.revoked_at is not None:
        raise ForbiddenError("the token that asked for it was revoked")
    user.token_bounds = access.Bounds(  # type: ignore[attr-defined]  # access.bounds_of reads it
        token.tenant_id, MemberRole(token.role), token.as_operator, token.expires_at
    )


def tenants_tree(user: User, job: Job) -> Bridge:
    assert job.tenant is not None
    tenant = access.tenant_for(user, job.tenant.slug, right_for(job))
    if tenant.pk != job.tenant_id:
        raise ForbiddenError("the tenant is another one than it was: ask anew")
    return reach.as_person(tenant, user, access.acting_role(user, tenant))


def whole_tree(user: User, job: Job) -> Bridge:
    reads = job.kind == Job.Kind.EXPORT
    access.require(user, "tree.read" if reads else "tree.change")
    ensemble = ensemble_of(job)
    is_operator = access.standing_of(user) is access.Standing.OPERATOR
    return reach.as_operator(ensemble, user, reads=not is_operator)


def ensemble_of(job: Job) -> Ensemble:
    if job.tenant is not None:
        return job.tenant.ensemble
    found = Ensemble.objects.filter(name=job.ensemble).first()
    if found is None:
        raise ForbiddenError(f"there is no ensemble {job.ensemble} any more")
    return found


def secrets_of(job: Job) -> Secrets:
    """What tenants have marked as secret, in the words of the job's scope."""
    if job.tenant is not None:
        return Secrets(tuple(str(one).rstrip("/") or "/" for one in job.tenant.secret_paths))
    marked = Tenant.objects.filter(ensemble__name=job.ensemble).exclude(lifecycle="gone")
    return Secrets(
        tuple(
            (tenant.root + str(one)).rstrip("/") for tenant in marked for one in tenant.secret_paths
        )
    )


def roots_below(job: Job, path: str) -> list[str]:
    """Tenants whose roots are at or below a path of a whole tree."""
    if job.tenant is not None:
        return []
    alive = Tenant.objects.filter(ensemble__name=job.ensemble).exclude(lifecycle="gone")
    below = "/" if path == "/" else f"{path}/"
    return [one.slug for one in alive if one.root == path or one.root.startswith(below)]
