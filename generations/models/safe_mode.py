"""Safe mode: when nothing is sent because this database is older than what was sent, and what that was."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from generations.models.work import Generation


class Freeze(models.Model):
    """From when until when nothing was sent with real accounts, and who released it."""

    at = models.DateTimeField(default=timezone.now)
    why = models.CharField(max_length=300)
    newest_at = models.DateTimeField(null=True, help_text="The newest submission in the database, at that time.")
    logs = models.JSONField(default=dict, help_text="Host -> what its log is, of those that were compared.")
    balances = models.JSONField(default=list, help_text="What the books expected of each account, and what it has.")
    released_at = models.DateTimeField(null=True)
    released_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    def __str__(self) -> str:
        return f"frozen at {self.at:%Y-%m-%d %H:%M}"


class Stray(models.Model):
    """A submission that the log outside the database knows, and the database did not. Added, never removed."""

    freeze = models.ForeignKey(Freeze, on_delete=models.PROTECT, related_name="strays")
    key = models.CharField(max_length=80, unique=True, help_text="The confirmation's nonce and the attempt.")
    nonce = models.CharField(max_length=32, blank=True, db_index=True)
    host = models.CharField(max_length=120)
    said = models.JSONField(help_text="The log's line, with what came of it.")
    generation = models.ForeignKey(Generation, on_delete=models.PROTECT, null=True, related_name="strays")
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.key
