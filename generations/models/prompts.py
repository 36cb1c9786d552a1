"""Texts to start from: a prompt, its versions, its tags, its stars."""

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from generations.models.people import Team


class Prompt(models.Model):
    """A saved text. Title, text and tags are those of its newest version; `version` says which that is."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="prompts")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="prompts")
    shared = models.BooleanField(default=False, help_text="The whole team sees and edits it.")
    title = models.CharField(max_length=120)
    text = models.TextField(max_length=5000)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)
    edited_at = models.DateTimeField(default=timezone.now)
    archived_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["team", "-edited_at", "-id"], name="prompts_by_edit")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("prompt", args=[self.pk])


class PromptVersion(models.Model):
    """What a prompt was after one edit. Added, never changed: clips point to the version they were made from."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=120)
    text = models.TextField(max_length=5000)
    tags = models.JSONField(default=list)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["prompt", "-number"]
        constraints = [models.UniqueConstraint(fields=["prompt", "number"], name="one_version_of_a_number")]

    def __str__(self) -> str:
        return f"{self.title}, version {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise RuntimeError("a version of a prompt stays as it is")
        super().save(*args, **kwargs)


class PromptTag(models.Model):
    """A tag of a prompt's newest version, to find it by. Written small."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=40, db_index=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["prompt", "name"], name="a_tag_once_on_a_prompt")]

    def __str__(self) -> str:
        return self.name


class PromptStar(models.Model):
    """One person's own mark on a prompt."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="starred_prompts")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="stars")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "prompt"], name="one_star_each")]

    def __str__(self) -> str:
        return f"{self.user} starred {self.prompt}"
