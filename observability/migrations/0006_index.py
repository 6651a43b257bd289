"""The index of live znodes, with what finds substrings where the database has that."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from observability.index import substrings
from observability.router import Router


def add_substrings(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    connection = editor.connection
    if connection.alias != Router.place_of("observability"):
        return
    if connection.vendor == "postgresql":
        # By bytes, as in the trail: a subtree is a range.
        editor.execute(
            'ALTER TABLE observability_znode ALTER COLUMN path TYPE varchar(600) COLLATE "C"'
        )
    substrings.make(connection)


def remove_substrings(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    connection = editor.connection
    if connection.alias == Router.place_of("observability") and connection.vendor == "sqlite":
        editor.execute(f"DROP TABLE IF EXISTS {substrings.TRIGRAMS}")


class Migration(migrations.Migration):
    dependencies = [("observability", "0005_history_by_bytes")]
    operations = [
        migrations.CreateModel(
            name="Znode",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ensemble", models.CharField(max_length=63)),
                (
                    "path",
                    models.CharField(
                        help_text="as the tree has it; a longer one is a key", max_length=600
                    ),
                ),
                ("zxid", models.BigIntegerField(help_text="of the last change of the value")),
                ("at", models.BigIntegerField(help_text="of that change, ms since 1970")),
                ("version", models.IntegerField()),
                ("size", models.PositiveIntegerField(help_text="bytes of the value")),
                (
                    "owner",
                    models.CharField(help_text="the session of an ephemeral one", max_length=20),
                ),
                (
                    "why",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("secret", "the tenant marks this path as secret"),
                            ("cut", "longer than the index keeps"),
                            ("binary", "not text"),
                            ("token", "the plane has no token of the control right"),
                            ("acl", "the collector may not read it"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "principal",
                    models.CharField(help_text="who changed it last, where known", max_length=500),
                ),
                (
                    "fill",
                    models.IntegerField(help_text="the fill that has seen it, or was at work then"),
                ),
                (
                    "is_gone",
                    models.BooleanField(
                        default=False, help_text="deleted while a fill was at work"
                    ),
                ),
                (
                    "whole",
                    models.TextField(
                        blank=True, help_text="the path, where it is longer than a key"
                    ),
                ),
                ("text", models.TextField(blank=True)),
            ],
            options={
                "indexes": [models.Index(fields=["ensemble", "at"], name="znode_at")],
                "constraints": [
                    models.UniqueConstraint(fields=("ensemble", "path"), name="znode_path")
                ],
            },
        ),
        migrations.AlterField(
            model_name="source",
            name="kind",
            field=models.CharField(
                choices=[
                    ("journal", "audit journal of a node"),
                    ("plane", "the plane's own trail"),
                    ("changes", "change feed of an ensemble"),
                    ("metrics", "figures of a node"),
                    ("index", "index of an ensemble's znodes"),
                ],
                max_length=10,
            ),
        ),
        migrations.RunPython(add_substrings, remove_substrings),
    ]
