"""Clips of one idea: confirmed together, looked at side by side, voted on."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from generations.models.people import Team


class Batch(models.Model):
    """Clips that one person confirmed together: one prompt with several models, or a matrix of prompts and models."""

    class Kind(models.TextChoices):
        MODELS = "models", "Several models"
        MATRIX = "matrix", "Prompt matrix"

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="batches")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="batches")
    kind = models.CharField(max_length=10, choices=Kind)
    nonce = models.UUIDField(unique=True, default=uuid.uuid4, help_text="Of the confirmation: twice is one batch.")
    template = models.TextField(max_length=5000, help_text="The prompt as written, with its {variables}.")
    values = models.JSONField(default=dict, help_text="Variable -> what stood in its place, in order.")
    stop_after = models.PositiveSmallIntegerField(null=True, help_text="Failures; then what waits is cancelled.")
    stopped_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["team", "-id"])]

    def __str__(self) -> str:
        return f"batch {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("batch", args=[self.pk])


class Comparison(models.Model):
    """A set of clips that was decided about: who won, and what the team voted without seeing model and price."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="comparisons")
    key = models.CharField(max_length=700, unique=True, help_text="The ids of its clips, sorted: one row for a set.")
    clips: "models.ManyToManyField[Any, Any]" = models.ManyToManyField("Generation", related_name="comparisons")
    winner = models.ForeignKey("Generation", on_delete=models.PROTECT, null=True, related_name="wins")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    opened_at = models.DateTimeField(null=True, help_text="When the blind vote began.")
    closed_at = models.DateTimeField(null=True, help_text="When it ended: names and prices are shown to all.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["team", "decided_at"])]

    def __str__(self) -> str:
        return f"comparison of {self.key}"

    @property
    def voting(self) -> bool:
        """The blind vote runs."""
        return self.opened_at is not None and self.closed_at is None


class Vote(models.Model):
    """For which clip of a blind vote one person is."""

    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="votes")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    generation = models.ForeignKey("Generation", on_delete=models.PROTECT, related_name="votes")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comparison", "user"], name="one_vote_each")]

    def __str__(self) -> str:
        return f"{self.user} for {self.generation}"
