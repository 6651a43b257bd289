"""Who belongs to a tenant, who is invited, and the tokens by which programs act for people."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from tenants.models.tenants import Tenant


class MemberRole(models.IntegerChoices):
    """Each may do what those before it may: `access.RIGHTS` says what."""

    VIEWER = 1, "viewer"
    DEVELOPER = 2, "developer"
    OWNER = 3, "owner"


class Membership(models.Model):
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.PositiveSmallIntegerField(choices=MemberRole.choices)
    from_group = models.CharField(
        max_length=200, blank=True, help_text="single sign-on gave it, and takes it away again"
    )
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-role", "user__username")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_unique"),
            models.CheckConstraint(
                condition=Q(role__gte=1, role__lte=3), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant.slug}"


class Invitation(models.Model):
    """A link that makes whoever opens it first, signed in, a member. Its secret is kept hashed."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="invitations")
    role = models.PositiveSmallIntegerField(choices=MemberRole.choices)
    note = models.CharField(max_length=200, blank=True, help_text="whom it is for")
    secret_hash = models.CharField(max_length=64, unique=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-made_at",)
        constraints = [
            models.CheckConstraint(
                condition=Q(role__gte=1, role__lte=3), name="invitation_role_known"
            )
        ]

    def __str__(self) -> str:
        return f"invitation {self.pk} to {self.tenant.slug}"


class SignInTries(models.Model):
    """Wrong passwords and codes that count: a row for each address and account (`lockouts`)."""

    place = models.CharField(max_length=12, primary_key=True, help_text="kind and keyed hash")
    times = models.JSONField(help_text="seconds of the wall clock, at most as many as are allowed")
    until = models.FloatField(db_index=True, help_text="when none of them counts any more")

    def __str__(self) -> str:
        return f"{self.place}: {len(self.times)}"


class ApiToken(models.Model):
    """A program's key to the REST API. It can do what its person can, and never more.

    `tenant` empty: all that the person reaches. `role` bounds what it may do there. The token is
    `ens_<prefix>_<secret>`; of the secret its SHA-256 is kept, as it has 256 random bits.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens"
    )
    name = models.CharField(max_length=100)
    tenant = models.ForeignKey(
        Tenant, null=True, blank=True, on_delete=models.CASCADE, related_name="api_tokens"
    )
    role = models.PositiveSmallIntegerField(choices=MemberRole.choices)
    as_operator = models.BooleanField(
        default=False, help_text="may use an operator's or auditor's rights"
    )
    prefix = models.CharField(max_length=12, unique=True)
    secret_hash = models.CharField(max_length=64)
    made_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-made_at",)
        constraints = [
            models.CheckConstraint(
                condition=Q(role__gte=1, role__lte=3), name="api_token_role_known"
            ),
            models.CheckConstraint(
                condition=Q(as_operator=False) | Q(tenant__isnull=True),
                name="api_token_operators_are_everywhere",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"
