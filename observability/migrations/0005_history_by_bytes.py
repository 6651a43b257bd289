"""Paths of the history are compared by bytes on PostgreSQL, too: a subtree is a range."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from observability.router import Router


def by_bytes(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    here = editor.connection.alias == Router.place_of("observability")
    if here and editor.connection.vendor == "postgresql":
        editor.execute(
            'ALTER TABLE observability_revision ALTER COLUMN path TYPE varchar(600) COLLATE "C"'
        )


class Migration(migrations.Migration):
    dependencies = [("observability", "0004_history")]
    operations = [migrations.RunPython(by_bytes, migrations.RunPython.noop)]
