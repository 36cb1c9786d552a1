"""What people are told, and by which way: in the app, by mail, by webhook. notify.py writes it, outbox.py sends it."""

import base64
import secrets
from typing import cast
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from generations.models.fields import EncryptedTextField, Secret
from generations.models.people import Team
from generations.models.work import Generation


class News(models.TextChoices):
    """What can be told. The labels stand beside the switches."""

    PARKED = "parked", "A request waits for your approval"
    DECIDED = "decided", "Your request was approved, rejected, or expired"
    FAILED = "failed", "A clip of yours failed"
    UNKNOWN = "unknown", "A clip has an unknown outcome"
    READY = "ready", "A clip of yours is ready"
    BUDGET = "budget", "A budget is nearly used, or used up"
    CREDITS = "credits", "Clips wait for credits"
    BALANCE = "balance", "The balance of an account is low"
    KEY = "key", "Veevid refuses a key, or suspended an account"
    BOOKS = "books", "The books and a balance do not agree"


class Sweep(models.Model):
    """Up to when everything was looked through. One row; whoever writes what a sweep found holds it."""

    at = models.DateTimeField(default=timezone.now)
    began_at = models.DateTimeField(default=timezone.now, help_text="What happened before is not told.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="one_row_of_sweeps")]

    def __str__(self) -> str:
        return f"swept at {self.at:%H:%M:%S}"


class Episode(models.Model):
    """Something that is wrong for a while, such as a low balance: told when it begins, and again only after its end."""

    subject = models.CharField(max_length=60, help_text="What it is about: such as key:7.")
    began_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now, help_text="When it was last so.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject"], condition=Q(ended_at=None), name="one_open_episode")]

    def __str__(self) -> str:
        return f"{self.subject} since {self.began_at:%Y-%m-%d %H:%M}"


class Notification(models.Model):
    """One thing that one person is told, once. Who may not see its team any more does not see it either."""

    class Audience(models.TextChoices):
        OWN = "own", "whose it is, as long as they are in the team"
        MANAGERS = "managers", "whoever manages the team"
        ADMINS = "admins", "the site's admins"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=10, choices=News)
    key = models.CharField(max_length=120, help_text="Of the event: the same one is told once.")
    audience = models.CharField(max_length=10, choices=Audience)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, related_name="+")
    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, null=True, related_name="+")
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    in_app = models.BooleanField(default=True, help_text="False: only by mail, as this person chose.")
    at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="told_once")]
        indexes = [
            models.Index(fields=["user", "-id"], condition=Q(in_app=True), name="notifications_shown"),
            models.Index(fields=["user"], condition=Q(in_app=True, read_at=None), name="notifications_unread"),
            models.Index(fields=["key"]),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """Where one can do something about it."""
        if self.kind == News.PARKED:
            return reverse("approvals")
        if self.generation_id:
            return reverse("generation", args=[self.generation_id])
        if self.kind == News.BUDGET and self.audience != self.Audience.OWN:
            return reverse("team") + "#budgets"
        pages = {News.CREDITS: "queue", News.BALANCE: "settings", News.KEY: "settings"}
        return reverse(pages.get(News(self.kind), "spend"))


class NotificationChoice(models.Model):
    """By which ways a person wants to hear of one kind. Without a row: the kind's usual ones."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notification_choices")
    kind = models.CharField(max_length=10, choices=News)
    in_app = models.BooleanField()
    mail = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "kind"], name="one_choice_per_kind")]

    def __str__(self) -> str:
        return f"{self.user} about {self.kind}"


class Webhook(models.Model):
    """An address outside that is told, too: of one team, or of the site. Its URL is a secret and stays encrypted."""

    class Shape(models.TextChoices):
        SLACK = "slack", "Slack, or what takes its messages"
        SIGNED = "signed", "Anything else: JSON with a signature"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, related_name="webhooks")
    name = models.CharField(max_length=80)
    shape = models.CharField(max_length=6, choices=Shape)
    url = EncryptedTextField()
    masked = models.CharField(max_length=120, help_text="What people see of the URL.")
    secret = EncryptedTextField(help_text="Signs the messages; whsec_ and base64.")
    kinds = models.JSONField(default=list)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["team"], condition=Q(removed_at=None), name="webhooks_in_use")]

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def mask(url: str) -> str:
        """`https://hooks.slack.com/…wxyz`: enough to tell two of them apart."""
        parts = urlsplit(url)
        rest = url.partition(parts.netloc)[2]
        end = rest[-4:] if len(rest) > 16 else ""
        return f"{parts.scheme}://{parts.netloc}{'/…' if len(rest) > 1 else ''}{end}"[:120]

    @staticmethod
    def new_secret() -> str:
        return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()

    def plain_url(self) -> str:
        """Raises CannotDecrypt when its key has left SECRETS_KEYS."""
        return cast(Secret, self.url).reveal()

    def plain_secret(self) -> str:
        """Raises CannotDecrypt when its key has left SECRETS_KEYS."""
        return cast(Secret, self.secret).reveal()


class Delivery(models.Model):
    """One message on its way out: a notification by mail, or an event to a webhook. This table is the outbox."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waits"
        SENT = "sent", "Delivered"
        GIVEN_UP = "given_up", "Given up"
        DROPPED = "dropped", "Not sent: no longer wanted"

    notification = models.OneToOneField(Notification, on_delete=models.CASCADE, null=True, related_name="delivery")
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, null=True, related_name="deliveries")
    kind = models.CharField(max_length=10, help_text="Of News, or a test.")
    key = models.CharField(max_length=120, help_text="Of the event.")
    message = models.JSONField(default=dict, help_text="What a webhook is told.")
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    made_at = models.DateTimeField(default=timezone.now)
    next_try_at = models.DateTimeField(default=timezone.now)
    tries = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True, help_text="Of the last try, for people.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["webhook", "key"], name="sent_once"),
            models.CheckConstraint(
                condition=Q(notification=None, webhook__isnull=False) | Q(notification__isnull=False, webhook=None),
                name="by_mail_or_by_webhook",
            ),
        ]
        indexes = [
            models.Index(fields=["next_try_at"], condition=Q(state="waiting"), name="deliveries_waiting"),
            models.Index(fields=["webhook", "-id"]),
        ]

    def __str__(self) -> str:
        return f"{self.key} to {self.webhook or 'a mailbox'}"
