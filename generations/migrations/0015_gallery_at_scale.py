from django.db import migrations, models

from generations.migrations import _prompt_words


class Migration(migrations.Migration):
    dependencies = [("generations", "0014_prompts_and_library")]

    operations = [
        migrations.AddIndex(
            model_name="generation",
            index=models.Index(fields=["team", "owner", "-id"], name="generations_of_person"),
        ),
        migrations.AddIndex(
            model_name="generation",
            index=models.Index(fields=["team", "mode", "-id"], name="generations_of_model"),
        ),
        migrations.AddIndex(
            model_name="generation",
            index=models.Index(fields=["team", "day", "id"], name="generations_of_day"),
        ),
        migrations.AddIndex(
            model_name="generation",
            index=models.Index(
                fields=["team", "mark", "-id"], condition=models.Q(("mark", ""), _negated=True), name="generations_with_a_mark"
            ),
        ),
        migrations.RunPython(_prompt_words.keep, _prompt_words.forget, elidable=True),
    ]
