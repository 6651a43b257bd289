"""What is observed lies in a database of its own, where settings have one."""

from typing import Any

from django.conf import settings
from django.db.models import Model

APP = "observability"


class Router:
    """Django's database router: one app in one database, everything else in the default one."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return self.place_of(model._meta.app_label)

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return self.place_of(model._meta.app_label)

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool:
        return self.place_of(one._meta.app_label) == self.place_of(other._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == self.place_of(app_label)

    @staticmethod
    def place_of(app_label: str) -> str:
        place: str = settings.OBSERVED_DATABASE if app_label == APP else "default"
        return place
