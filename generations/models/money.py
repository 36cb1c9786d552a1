"""The books. Rows are added, never changed or removed."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from generations.models.people import Team
from generations.models.work import Generation


class AppendOnly(Exception):
    """Somebody tried to change or remove a row of the books."""


class LedgerQuerySet(models.QuerySet["LedgerEntry"]):
    def update(self, **fields: Any) -> int:
        raise AppendOnly("ledger rows are only ever added")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnly("ledger rows are only ever added")


class LedgerEntry(models.Model):
    """One movement of credits. The sum of `held` is what is held now, the sum of `spent` is what was spent."""

    class Kind(models.TextChoices):
        HOLD = "hold", "Held"
        CAPTURE = "capture", "Charged"
        RELEASE = "release", "Given back"

    kind = models.CharField(max_length=10, choices=Kind)
    generation = models.ForeignKey(Generation, on_delete=models.PROTECT, related_name="entries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="entries")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="entries")
    held = models.BigIntegerField(default=0, help_text="Credits: positive when held, negative when settled.")
    spent = models.BigIntegerField(default=0, help_text="Credits.")
    why = models.CharField(max_length=200)
    demo = models.BooleanField(default=False)
    at = models.DateTimeField(default=timezone.now)

    objects = LedgerQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["team", "at"]), models.Index(fields=["user", "at"])]
        constraints = [
            models.UniqueConstraint(fields=["generation"], condition=Q(kind="hold"), name="held_once"),
            models.UniqueConstraint(
                fields=["generation"], condition=Q(kind__in=["capture", "release"]), name="settled_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.generation}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise AppendOnly("ledger rows are only ever added")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly("ledger rows are only ever added")
