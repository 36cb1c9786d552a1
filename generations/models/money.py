"""The books and what guards them: ledger, daily sums, budgets, approvals. Ledger rows are added, never changed."""

from datetime import date, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from generations.models.accounts import ApiAccount, BalanceReading
from generations.models.people import Project, Team
from generations.models.work import Generation

Row = TypeVar("Row", bound=models.Model)


class AppendOnly(Exception):
    """Somebody tried to change or remove a row of the books."""


class AppendOnlyQuerySet(models.QuerySet[Row]):
    def update(self, **fields: Any) -> int:
        raise AppendOnly("these rows are only ever added")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AppendOnly("these rows are only ever added")


class Added(models.Model):
    """A row that is added once and stays as it is."""

    objects = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise AppendOnly("these rows are only ever added")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly("these rows are only ever added")


class LedgerEntry(Added):
    """One movement of credits. The sum of `held` is what is held now, the sum of `spent` is what was spent.

    What a team did has its generation. What was spent or bought outside of Dailies has its account, and the two
    readings of the balance between which it happened.
    """

    class Kind(models.TextChoices):
        HOLD = "hold", "Held"
        CAPTURE = "capture", "Charged"
        RELEASE = "release", "Given back"
        ADJUST = "adjust", "Hold changed"
        REFUND = "refund", "Refunded"
        OUTSIDE = "outside", "Spent outside of Dailies"
        TOPUP = "topup", "Topped up"

    kind = models.CharField(max_length=10, choices=Kind)
    generation = models.ForeignKey(Generation, on_delete=models.PROTECT, null=True, related_name="entries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="entries")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, related_name="entries")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, related_name="entries")
    account = models.ForeignKey(ApiAccount, on_delete=models.PROTECT, null=True, related_name="entries")
    held = models.BigIntegerField(default=0, help_text="Credits: positive when held, negative when settled.")
    spent = models.BigIntegerField(default=0, help_text="Credits.")
    bought = models.BigIntegerField(default=0, help_text="Credits that came onto the account.")
    why = models.CharField(max_length=200)
    demo = models.BooleanField(default=False)
    day = models.DateField(null=True, help_text="Of the confirmation, in the team's time zone: where budgets count it.")
    after = models.ForeignKey(BalanceReading, on_delete=models.PROTECT, null=True, related_name="+")
    until = models.ForeignKey(BalanceReading, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["team", "at"]),
            models.Index(fields=["user", "at"]),
            models.Index(fields=["at"], condition=Q(kind="outside"), name="spent_outside"),
            models.Index(fields=["account", "at", "spent"], name="ledger_paid_from"),  # the pace, without its rows
        ]
        constraints = [
            models.UniqueConstraint(fields=["generation"], condition=Q(kind="hold"), name="held_once"),
            models.UniqueConstraint(fields=["generation"], condition=Q(kind="refund"), name="refunded_once"),
            models.CheckConstraint(
                condition=~Q(kind="refund") | Q(held=0, spent__lt=0, account__isnull=False), name="a_refund_gives_back"
            ),
            models.UniqueConstraint(
                fields=["generation"], condition=Q(kind__in=["capture", "release"]), name="settled_once"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["outside", "topup"], account__isnull=False, generation=None)
                | Q(
                    kind__in=["hold", "capture", "release", "adjust", "refund"],
                    generation__isnull=False,
                    team__isnull=False,
                ),
                name="of_a_generation_or_of_an_account",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.generation or self.account}"


class DaySum(models.Model):
    """The ledger summed up: what one person ordered on one day, with one model, for one project. Kept with the ledger.

    Everything counts on the day of the confirmation, however late it was settled, so that budgets and reports agree.
    """

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="sums")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="sums")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, related_name="sums")
    mode = models.CharField(max_length=40)
    demo = models.BooleanField(default=False)
    day = models.DateField()
    held = models.BigIntegerField(default=0, help_text="Credits.")
    spent = models.BigIntegerField(default=0, help_text="Credits.")
    failed_spent = models.BigIntegerField(default=0, help_text="Credits of `spent` without a clip.")
    refunded = models.BigIntegerField(
        default=0, help_text="Credits that were charged, and are not in `spent` any more."
    )
    failed_refunded = models.BigIntegerField(default=0, help_text="Credits of `refunded` that were without a clip.")
    quoted = models.BigIntegerField(default=0, help_text="Credits: the confirmed prices of what was charged.")
    confirmed = models.PositiveIntegerField(default=0)
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["team", "day", "user", "mode", "demo", "project"],
                condition=Q(project__isnull=False),
                name="one_sum_with_a_project",
            ),
            models.UniqueConstraint(
                fields=["team", "day", "user", "mode", "demo"],
                condition=Q(project=None),
                name="one_sum_without_a_project",
            ),
        ]
        indexes = [models.Index(fields=["day", "team"]), models.Index(fields=["user", "team"])]

    def __str__(self) -> str:
        return f"{self.team}, {self.day}"


class Budget(models.Model):
    """How many credits a team, one of its people, or one of its projects may spend in a while. Ended, never deleted."""

    class Window(models.TextChoices):
        DAY = "day", "a day"
        WEEK = "week", "a week"
        MONTH = "month", "a month"
        TOTAL = "total", "in total"

    class Over(models.TextChoices):
        REFUSE = "refuse", "refuse"
        PARK = "park", "ask a manager"
        WARN = "warn", "say so, and go on"

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="budgets")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="budgets")
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, related_name="budgets")
    window = models.CharField(max_length=5, choices=Window, default=Window.MONTH)
    over = models.CharField(max_length=6, choices=Over, default=Over.REFUSE, help_text="What happens beyond it.")
    credits = models.PositiveBigIntegerField()
    forgiven = models.BigIntegerField(default=0, help_text="Credits of the window that were used before it was reset.")
    forgiven_in = models.DateField(null=True, help_text="The window's first day; a total one began when it was made.")
    forgiven_at = models.DateTimeField(null=True, help_text="When it was reset.")
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(user=None) | Q(project=None), name="of_one_thing"),
            models.UniqueConstraint(
                fields=["team", "window", "over"],
                condition=Q(user=None, project=None, ended_at=None),
                name="one_budget_of_a_team",
            ),
            models.UniqueConstraint(
                fields=["team", "user", "window", "over"],
                condition=Q(user__isnull=False, ended_at=None),
                name="one_budget_of_a_person",
            ),
            models.UniqueConstraint(
                fields=["project", "window", "over"],
                condition=Q(project__isnull=False, ended_at=None),
                name="one_budget_of_a_project",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.of_whom}, {self.credits} credits {self.get_window_display()}"

    @property
    def hard(self) -> bool:
        return self.over == Budget.Over.REFUSE

    @property
    def of_whom(self) -> str:
        return str(self.user or self.project or self.team)

    def first_day(self, today: date) -> date:
        """Of the window that `today` lies in."""
        if self.window == Budget.Window.WEEK:
            return today - timedelta(days=today.weekday())
        if self.window == Budget.Window.MONTH:
            return today.replace(day=1)
        return today if self.window == Budget.Window.DAY else date.min

    def last_day(self, today: date) -> date:
        """Of the window that `today` lies in."""
        if self.window == Budget.Window.WEEK:
            return self.first_day(today) + timedelta(days=6)
        if self.window == Budget.Window.MONTH:
            return (self.first_day(today) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return today if self.window == Budget.Window.DAY else date.max


class ApprovalRule(models.Model):
    """What a manager has to approve: a price above so much, any clip of a model, or both together."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="rules")
    mode = models.CharField(max_length=40, blank=True, help_text="Of the catalogue; empty for every model.")
    above = models.PositiveIntegerField(default=0, help_text="Credits: only what costs more.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "mode"], name="one_rule_of_a_model")]

    def __str__(self) -> str:
        return f"{self.team}: {self.mode or 'any model'} above {self.above}"


class Approval(models.Model):
    """A parked request, and what became of it. Its credits are held."""

    class Verdict(models.TextChoices):
        OPEN = "", "waits for a manager"
        APPROVED = "approved", "approved"
        REJECTED = "rejected", "rejected"
        EXPIRED = "expired", "expired"
        CANCELLED = "cancelled", "cancelled"

    generation = models.OneToOneField(Generation, on_delete=models.PROTECT, related_name="approval")
    why = models.TextField(help_text="Which rules and budgets asked for it, a line each.")
    asked_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    verdict = models.CharField(max_length=10, choices=Verdict, default=Verdict.OPEN, blank=True)
    who = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="approvals")
    reason = models.CharField(max_length=500, blank=True)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["verdict", "expires_at"]), models.Index(fields=["decided_at"])]

    def __str__(self) -> str:
        return f"approval of {self.generation}"
