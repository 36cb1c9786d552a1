"""The audit trail: who did what to what, when, from where."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from generations.models.money import Added
from generations.models.people import Team


class AuditEntry(Added):
    """One thing that somebody did in Settings, or to a budget, an approval, a key, a share link. Never changed."""

    at = models.DateTimeField(default=timezone.now)
    who = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="deeds")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="deeds")
    action = models.CharField(max_length=40, help_text="Such as budget.changed.")
    what = models.CharField(max_length=300, help_text="For people: which one, and how it was before and after.")
    details = models.JSONField(default=dict, blank=True)
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["-at"]),
            models.Index(fields=["team", "-at"]),
            models.Index(fields=["who", "-at"]),
        ]

    def __str__(self) -> str:
        return f"{self.action}: {self.what}"

    @property
    def in_words(self) -> str:
        """`budget.changed` is a changed budget: the action for people."""
        return self.action.replace(".", " ").replace("_", " ").capitalize()
