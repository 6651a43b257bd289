"""The group of those who read everything and change nothing."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def add(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.alias == "default":
        apps.get_model("auth", "Group").objects.get_or_create(name="auditors")


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0004_api_answers_and_rates"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
