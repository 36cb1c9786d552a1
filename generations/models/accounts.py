"""Veevid's side as we know it: accounts, their keys, every request sent, every balance seen."""

import hashlib

from django.db import models
from django.utils import timezone

from generations.models.fields import EncryptedTextField

ACTIVE_KEYS_PER_ACCOUNT = 5  # upstream's limit


class OwnAccounts(models.Manager["ApiAccount"]):
    """Without the one that imported history hangs on."""

    def get_queryset(self) -> models.QuerySet["ApiAccount"]:
        return super().get_queryset().exclude(state=ApiAccount.State.ELSEWHERE)


class ApiAccount(models.Model):
    """One paid Veevid account. All its keys share one balance, one hourly limit and three slots."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        PAUSED = "paused", "Paused"
        SUSPENDED = "suspended", "Suspended by Veevid"
        ELSEWHERE = "elsewhere", "Of another installation"  # has no key: only what was imported hangs on it

    name = models.CharField(max_length=80)
    demo = models.BooleanField(default=False, help_text="Speaks to the simulator; nothing it spends is money.")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    exclusive = models.BooleanField(
        default=False, help_text="Nothing but Dailies spends on this account: a clean balance may decide by itself."
    )
    team = models.ForeignKey(
        "Team",
        on_delete=models.PROTECT,  # never open to all by accident
        null=True,
        blank=True,
        related_name="reserved_accounts",
        help_text="Reserved: only this team's clips go out on it. Empty: for all teams.",
    )
    state_why = models.TextField(blank=True, help_text="Upstream's own words, when it closed the account.")
    announced_at = models.DateTimeField(null=True, blank=True, help_text="When a worker was told to submit with it.")
    wait_until = models.DateTimeField(null=True, blank=True, help_text="No new submission before this time.")
    wait_why = models.CharField(max_length=20, blank=True)
    unreachable = models.PositiveIntegerField(default=0, help_text="Requests in a row that could not be sent.")
    compared = models.ForeignKey(
        "BalanceReading",
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="The newest reading taken while nothing was under way: up to it the books are settled.",
    )
    examined = models.BigIntegerField(default=0, help_text="Primary key of the newest reading that was looked at.")
    created_at = models.DateTimeField(default=timezone.now)

    objects = OwnAccounts()
    everywhere = models.Manager["ApiAccount"]()

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A key of an account. The secret is encrypted; people see the last four characters."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"
        REFUSED = "refused", "Refused by Veevid"
        REPLACED = "replaced", "Replaced"

    account = models.ForeignKey(ApiAccount, on_delete=models.PROTECT, related_name="keys")
    label = models.CharField(max_length=80, blank=True)
    secret = EncryptedTextField()
    last4 = models.CharField(max_length=4)
    digest = models.CharField(max_length=64, unique=True, help_text="Tells whether a key is already here.")
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    created_at = models.DateTimeField(default=timezone.now)
    accepted_at = models.DateTimeField(null=True, blank=True, help_text="When upstream first answered to it.")
    used_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    checked_words = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"vv_sk_…{self.last4}"

    @staticmethod
    def digest_of(secret: str) -> str:
        return hashlib.sha256(b"dailies api key" + secret.encode()).hexdigest()


class ApiCall(models.Model):
    """One request to Veevid, written before it is sent. The limits are counted from these rows."""

    class Kind(models.TextChoices):
        QUOTE = "quote"
        GENERATE = "generate"
        STATUS = "status"
        CREDITS = "credits"
        UPLOAD = "upload"

    class Outcome(models.TextChoices):
        OPEN = "", "under way"
        OK = "ok"
        REFUSED = "refused"
        BUSY = "busy"
        NOT_SENT = "not sent"
        UNCLEAR = "unclear"

    account = models.ForeignKey(ApiAccount, on_delete=models.PROTECT, related_name="calls")
    key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="calls")
    generation = models.ForeignKey("Generation", on_delete=models.SET_NULL, null=True, related_name="calls")
    kind = models.CharField(max_length=10, choices=Kind)
    at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.OPEN, blank=True)
    status = models.PositiveSmallIntegerField(null=True)

    class Meta:
        indexes = [models.Index(fields=["account", "at"]), models.Index(fields=["key", "at"])]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%H:%M:%S}"


class BalanceReading(models.Model):
    """A balance that upstream told us, and the request that told it."""

    account = models.ForeignKey(ApiAccount, on_delete=models.PROTECT, related_name="readings")
    call = models.ForeignKey(ApiCall, on_delete=models.PROTECT, null=True, related_name="readings")
    credits = models.BigIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["account", "-at"])]

    def __str__(self) -> str:
        return f"{self.credits} credits at {self.at:%H:%M:%S}"


class SwitchedOff(models.Model):
    """A model of the catalogue that an admin has switched off."""

    mode = models.CharField(max_length=40, unique=True)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.mode
