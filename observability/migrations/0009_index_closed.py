"""Whether an ACL keeps people from reading a znode; indexes of before are filled anew."""

import json

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from observability.router import Router


def fill_anew(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    alias = editor.connection.alias
    if alias != Router.place_of("observability"):
        return
    for source in (
        apps.get_model("observability", "Source").objects.using(alias).filter(kind="index")
    ):
        state = json.loads(source.state) | {"wanted": "ACLs are not known yet"}
        source.state = json.dumps(state)
        source.save(update_fields=["state"])


class Migration(migrations.Migration):
    dependencies = [("observability", "0008_figures")]
    operations = [
        migrations.AddField(
            model_name="znode",
            name="is_closed",
            field=models.BooleanField(
                help_text="not everybody may read it, by its ACL; null: not known", null=True
            ),
        ),
        migrations.RunPython(fill_anew, migrations.RunPython.noop),
    ]
