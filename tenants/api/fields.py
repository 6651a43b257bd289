"""Fields that several resources share."""

from typing import Any

from rest_framework import serializers

from tenants.models import MemberRole

ROLES = {role.label: role for role in MemberRole}


class RoleField(serializers.ChoiceField):
    """A member's role by its word."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=list(ROLES), **options)

    def to_internal_value(self, data: Any) -> Any:
        return ROLES[super().to_internal_value(data)]

    def to_representation(self, value: Any) -> str:
        return MemberRole(value).label
