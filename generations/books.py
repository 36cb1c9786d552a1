"""Our books against the vendor's: every balance that Veevid tells is compared with what the ledger expects.

A reading taken while nothing of ours was under way on its account is *at rest*: from one such reading to the next the
balance must have fallen by exactly what the ledger says was spent. What is left over was spent, or bought, outside of
Dailies, and is added to the ledger with the two readings it lies between. While clips are under way, each may be
charged already or given back already, so that the books expect a range and blame nothing within it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.utils import timezone

from generations import dispatch, ledger, veevid
from generations.models import (
    ApiAccount,
    ApiCall,
    BalanceReading,
    DaySum,
    Generation,
    LedgerEntry,
    Status,
)

SETTLES_IN = timedelta(seconds=5)  # until then, a submission that began before a reading may not be committed yet
RESTS_EVERY = timedelta(days=1)  # an account that never rests for so long is judged by its range
RESTED_FOR, LOOKS_BACK = timedelta(seconds=20), timedelta(minutes=10)
AT_A_TIME = 200
ENDED = (Status.COMPLETED, Status.FAILED, Status.REJECTED, Status.CANCELLED)

Kind = LedgerEntry.Kind


# -- each balance -----------------------------------------------------------------------------------------------------


def under_way(reading: BalanceReading) -> QuerySet[Generation]:
    """What was sent with the account before a reading ended, and had not ended when it began."""
    began = reading.call.at if reading.call else reading.at
    sent = Generation.objects.filter(account_id=reading.account_id, sent_at__lte=reading.at)
    return sent.filter(Q(finished_at=None) | Q(finished_at__gte=began))


@dataclass(frozen=True)
class Expected:
    """Between what the balance should have been at a reading. Both are one when the account was at rest."""

    low: int
    high: int

    def missing(self, credits: int) -> int:
        """How many credits are missing at least; negative: how many came on top."""
        return self.low - credits if credits < self.low else min(self.high - credits, 0)


def expected(reading: BalanceReading, base: BalanceReading) -> Expected:
    """What the ledger expects at one reading, counted from an earlier one at rest."""
    going = under_way(reading)
    sent = Generation.objects.filter(account_id=reading.account_id, sent_at__gt=base.at, sent_at__lte=reading.at)
    lately = Q(finished_at__gt=base.at - SETTLES_IN)  # by an index: what ended before was not sent since either
    ended = sent.filter(lately).exclude(pk__in=going.values("pk"))
    spent = LedgerEntry.objects.filter(generation__in=ended).aggregate(sum=Sum("spent", default=0))["sum"]
    known = LedgerEntry.objects.filter(account_id=reading.account_id, after=base, until__lt=reading.pk)
    other = known.aggregate(spent=Sum("spent", default=0), bought=Sum("bought", default=0))
    most = base.credits - spent - other["spent"] + other["bought"]
    return Expected(most - going.aggregate(sum=Sum("price", default=0))["sum"], most)


def compare(now: datetime | None = None) -> None:
    """Looks at every reading that nobody looked at yet, oldest first."""
    now = now or timezone.now()
    for account in ApiAccount.objects.annotate(newest=Max("readings")).filter(newest__gt=F("examined")):
        readings = account.readings.filter(pk__gt=account.examined, at__lte=now - SETTLES_IN)
        for reading in readings.select_related("call", "account").order_by("pk")[:AT_A_TIME]:
            _compare(reading)


def _compare(reading: BalanceReading) -> None:
    """Settles the books up to one reading, once."""
    with transaction.atomic():
        account = (
            ApiAccount.objects.select_for_update(of=("self",)).select_related("compared").get(pk=reading.account_id)
        )
        if account.examined >= reading.pk:
            return
        resting = not under_way(reading).exists()
        base = account.compared
        if base and (resting or reading.at - base.at > RESTS_EVERY):
            missing = expected(reading, base).missing(reading.credits)
            if missing:
                ledger.outside(base, reading, missing)
        ApiAccount.objects.filter(pk=account.pk).update(
            examined=reading.pk, compared=reading if resting else account.compared
        )


@dataclass(frozen=True)
class State:
    """How the books of one account stand, at its newest reading."""

    reading: BalanceReading | None
    expected: Expected | None  # None: not known yet, since the account was never at rest

    @property
    def missing(self) -> int:
        return self.expected.missing(self.reading.credits) if self.reading and self.expected else 0

    @property
    def agree(self) -> bool:
        return self.expected is not None and self.missing == 0

    @property
    def resting(self) -> bool:
        return self.expected is not None and self.expected.low == self.expected.high


def state(account: ApiAccount) -> State:
    """Compares the newest reading with the books."""
    reading = account.readings.select_related("call").order_by("-pk").first()
    base = account.compared
    if reading is None or base is None:
        return State(reading, None)
    if reading == base:
        return State(reading, Expected(base.credits, base.credits))
    return State(reading, expected(reading, base))


def outside(demo: bool) -> QuerySet[LedgerEntry]:
    """What was spent or bought outside of Dailies, newest first."""
    rows = LedgerEntry.objects.filter(kind__in=(Kind.OUTSIDE, Kind.TOPUP), demo=demo)
    return rows.select_related("account", "after", "until").order_by("-pk")


def unread(now: datetime | None = None) -> list[ApiAccount]:
    """Accounts that came to rest a moment ago, and whose balance nobody has heard since."""
    now = now or timezone.now()
    lately = Generation.objects.filter(status__in=ENDED, finished_at__gt=now - LOOKS_BACK, account__isnull=False)
    ended = dict(lately.values_list("account").annotate(newest=Max("finished_at")).order_by())
    rested = [pk for pk, at in ended.items() if at < now - RESTED_FOR]
    busy = Generation.objects.filter(account__in=rested).exclude(status__in=ENDED).values("account")
    accounts = ApiAccount.objects.filter(pk__in=rested).exclude(pk__in=busy).annotate(heard=Max("readings__at"))
    return [account for account in accounts if account.heard is None or account.heard < ended[account.pk]]


def read(account: ApiAccount) -> None:
    """Asks for the balance of an account at rest: one request for each time it came to rest."""
    try:
        call = dispatch.reserve(account, ApiCall.Kind.CREDITS)
        answer = dispatch.ask(call, lambda upstream: upstream.credits())
    except (dispatch.NoRoom, veevid.UpstreamError):
        return  # it is tried again in half a minute, for a while
    dispatch.note_balance(call, answer.balance)


# -- the whole ledger -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One thing that has to be true of the books, and how many of its rows say otherwise."""

    what: str
    rows: int
    wrong: int
    which: str = ""


def check() -> list[Check]:
    """Reads all of the books. Changes nothing."""
    return [*_check_generations(), _check_sums()]


def _check_generations() -> list[Check]:
    here = Generation.objects.filter(imported=None)  # what happened elsewhere is in the books there
    rows = here.annotate(
        holds=Count("entries", filter=Q(entries__kind=Kind.HOLD)),
        ends=Count("entries", filter=Q(entries__kind__in=(Kind.CAPTURE, Kind.RELEASE))),
        held=Sum("entries__held", default=0),
        spent=Sum("entries__spent", default=0),
    )
    total = here.count()
    ended, open_ = rows.filter(status__in=ENDED), rows.exclude(status__in=ENDED)
    wrong = {
        "held exactly once": rows.exclude(holds=1),
        "settled exactly once, nothing left of the hold": ended.exclude(ends=1, held=0),
        "not settled before the end, all of the hold there": open_.exclude(ends=0, held=F("price"), spent=0),
        "spent is what was charged": rows.filter(charged__isnull=False).exclude(spent=F("charged")),
    }
    return [
        _found(what, total, list(query.order_by("pk").values_list("pk", flat=True))) for what, query in wrong.items()
    ]


def _found(what: str, rows: int, wrong: list[int]) -> Check:
    return Check(what, rows, len(wrong), ", ".join(map(str, wrong[:10])))


def _check_sums() -> Check:
    """The sums of the days against the ledger they are sums of."""
    key = ("team_id", "user_id", "project_id", "demo", "day")
    entries = LedgerEntry.objects.filter(generation__isnull=False).values(*key, mode=F("generation__mode"))
    books = {
        (*(row[name] for name in key), row["mode"]): (row["held_sum"], row["spent_sum"])
        for row in entries.annotate(held_sum=Sum("held"), spent_sum=Sum("spent")).iterator()
    }
    sums = {
        (*(row[name] for name in key), row["mode"]): (row["held"], row["spent"])
        for row in DaySum.objects.values(*key, "mode", "held", "spent").iterator()
    }
    wrong = [place for place in books.keys() | sums.keys() if books.get(place, (0, 0)) != sums.get(place, (0, 0))]
    return Check(
        "the days sum up to the ledger", len(sums), len(wrong), ", ".join(str(place[4]) for place in wrong[:5])
    )
