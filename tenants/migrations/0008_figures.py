"""Objectives of plans and tenants."""

from django.db import migrations, models

import tenants.objectives


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_bulk")]

    operations = [
        migrations.AddField(
            model_name="plan",
            name="objectives",
            field=models.JSONField(
                blank=True, default=dict, validators=[tenants.objectives.check_objectives]
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="objectives",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="in the plan's place",
                validators=[tenants.objectives.check_objectives],
            ),
        ),
    ]
