"""Figures of an hour, for what looks back over weeks: objectives, dashboards."""

import importlib

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from observability.router import Router

samples = importlib.import_module("observability.migrations.0003_samples")
TABLE = "observability_sample_3600"
LIKE = "observability_sample_60"


def make(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.alias == Router.place_of("observability"):
        for statement in samples.statements(editor.connection.vendor):
            if statement.startswith(f"CREATE TABLE {LIKE} "):
                editor.execute(statement.replace(LIKE, TABLE, 1))


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.alias == Router.place_of("observability"):
        editor.execute(f"DROP TABLE {TABLE}")


class Migration(migrations.Migration):
    dependencies = [("observability", "0007_alerts")]

    operations = [migrations.RunPython(make, drop)]
