"""Versions, tags and stars of prompts; the library of uploads. What is there becomes version 1 of itself."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


def number_what_is_there(apps, schema_editor):
    """Every prompt gets its first version, and clips that came from it point there."""
    Prompt, PromptVersion, Generation = (
        apps.get_model("generations", name) for name in ("Prompt", "PromptVersion", "Generation")
    )
    for prompt in Prompt.objects.iterator():
        version = PromptVersion.objects.create(
            prompt=prompt, number=1, title=prompt.title, text=prompt.text, author_id=prompt.author_id, at=prompt.created_at
        )
        Generation.objects.filter(from_prompt=prompt).update(from_version=version)
    Prompt.objects.update(edited_at=models.F("created_at"))
    # PostgreSQL alters no table while rows of it wait for their references to be checked.
    schema_editor.connection.check_constraints()


class Migration(migrations.Migration):

    dependencies = [
        ('generations', '0013_keeping'),
    ]

    operations = [
        migrations.CreateModel(
            name='PromptStar',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name='PromptTag',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(db_index=True, max_length=40)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='PromptVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('title', models.CharField(max_length=120)),
                ('text', models.TextField(max_length=5000)),
                ('tags', models.JSONField(default=list)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['prompt', '-number'],
            },
        ),
        migrations.AddField(
            model_name='media',
            name='hidden_at',
            field=models.DateTimeField(help_text='Out of the library since then; clips still name it.', null=True),
        ),
        migrations.AddField(
            model_name='media',
            name='sha256',
            field=models.CharField(blank=True, help_text='Empty until something of its size comes in.', max_length=64),
        ),
        migrations.AddField(
            model_name='prompt',
            name='archived_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='prompt',
            name='edited_at',
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddField(
            model_name='prompt',
            name='shared',
            field=models.BooleanField(default=False, help_text='The whole team sees and edits it.'),
        ),
        migrations.AddField(
            model_name='prompt',
            name='version',
            field=models.PositiveIntegerField(default=1),
        ),
        migrations.AddIndex(
            model_name='media',
            index=models.Index(fields=['team', '-id'], name='media_of_a_team'),
        ),
        migrations.AddIndex(
            model_name='prompt',
            index=models.Index(fields=['team', '-edited_at', '-id'], name='prompts_by_edit'),
        ),
        migrations.AddConstraint(
            model_name='media',
            constraint=models.UniqueConstraint(condition=models.Q(('sha256', ''), _negated=True), fields=('team', 'sha256'), name='a_content_once_in_a_team'),
        ),
        migrations.AddField(
            model_name='promptstar',
            name='prompt',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='stars', to='generations.prompt'),
        ),
        migrations.AddField(
            model_name='promptstar',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='starred_prompts', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='prompttag',
            name='prompt',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tags', to='generations.prompt'),
        ),
        migrations.AddField(
            model_name='promptversion',
            name='author',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='promptversion',
            name='prompt',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='generations.prompt'),
        ),
        migrations.AddField(
            model_name='generation',
            name='from_version',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='generations', to='generations.promptversion'),
        ),
        migrations.AddConstraint(
            model_name='promptstar',
            constraint=models.UniqueConstraint(fields=('user', 'prompt'), name='one_star_each'),
        ),
        migrations.AddConstraint(
            model_name='prompttag',
            constraint=models.UniqueConstraint(fields=('prompt', 'name'), name='a_tag_once_on_a_prompt'),
        ),
        migrations.AddConstraint(
            model_name='promptversion',
            constraint=models.UniqueConstraint(fields=('prompt', 'number'), name='one_version_of_a_number'),
        ),
        migrations.RunPython(number_what_is_there, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField(
            model_name='generation',
            name='from_prompt',
        ),
    ]
