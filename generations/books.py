"""Our books against the vendor's: every balance that Veevid tells is compared with what the ledger expects.

A reading taken while nothing of ours was under way on its account is *at rest*: from one such reading to the next the
balance must have fallen by exactly what the ledger says was spent. What is left over was spent, or bought, outside of
Dailies, and is added to the ledger with the two readings it lies between. While clips are under way, each may be
charged already or given back already, so that the books expect a range and blame nothing within it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum, When
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from generations import audit, budgets, dispatch, ledger, veevid
from generations.models import (
    ApiAccount,
    ApiCall,
    BalanceReading,
    DaySum,
    Generation,
    LedgerEntry,
    Status,
    User,
)
from generations.words import credits

SETTLES_IN = timedelta(seconds=5)  # until then, a submission that began before a reading may not be committed yet
RESTS_EVERY = timedelta(days=1)  # an account that never rests for so long is judged by its range
RESTED_FOR, LOOKS_BACK = timedelta(seconds=20), timedelta(minutes=10)
REFUNDS_WITHIN = timedelta(days=31)  # of the charge that they give back
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
    charged = LedgerEntry.objects.filter(generation__in=ended).exclude(kind=Kind.REFUND)  # that one is `known`
    spent = charged.aggregate(sum=Sum("spent", default=0))["sum"]
    known = LedgerEntry.objects.filter(account_id=reading.account_id, after=base, until__lt=reading.pk)
    other = known.aggregate(spent=Sum("spent", default=0), bought=Sum("bought", default=0))
    most = base.credits - spent - other["spent"] + other["bought"]
    at_most = Greatest("price", Coalesce("charged", "price"))  # what ended since may have been charged more
    return Expected(most - going.aggregate(sum=Sum(at_most, default=0))["sum"], most)


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
    """What was spent or bought outside of Dailies, and what of it turned out to be a refund, newest first."""
    rows = LedgerEntry.objects.filter(kind__in=(Kind.OUTSIDE, Kind.TOPUP, Kind.REFUND), demo=demo)
    return rows.select_related("account", "after", "until").order_by("-pk")


# -- what came back ---------------------------------------------------------------------------------------------------


def left_of(rise: LedgerEntry) -> int:
    """Credits of a top-up that are not the refund of a clip."""
    back = LedgerEntry.objects.filter(kind=Kind.REFUND, account_id=rise.account_id, until_id=rise.until_id)
    return rise.bought + int(back.aggregate(sum=Sum("bought", default=0))["sum"])


def refundable(rise: LedgerEntry, left: int) -> QuerySet[Generation]:
    """Clips whose charge may be what came back: charged on this account before, within a month, and not refunded yet.

    What was charged without a clip may be a part of it; what has its clip has to be all of it.
    """
    if rise.until is None or left <= 0:
        return Generation.objects.none()
    before, month = rise.until.at, rise.until.at - REFUNDS_WITHIN
    rows = Generation.objects.filter(account_id=rise.account_id, finished_at__lte=before, finished_at__gt=month)
    fits = Q(status=Status.FAILED, charged__gt=0, charged__lte=left) | Q(status=Status.COMPLETED, charged=left)
    known = LedgerEntry.objects.filter(kind=Kind.REFUND, generation=OuterRef("pk"))
    first = Case(When(status=Status.FAILED, then=0), default=1)
    return rows.filter(fits).exclude(Exists(known)).select_related("owner", "team").order_by(first, "-finished_at")


def suspects(rises: Iterable[LedgerEntry]) -> dict[int, Generation]:
    """For each top-up that is as much as a clip without a film was charged: the newest such clip. One query for all."""
    bought = {rise.pk: rise for rise in rises if rise.kind == Kind.TOPUP and rise.until}
    known = LedgerEntry.objects.filter(kind=Kind.REFUND, generation=OuterRef("pk"))
    failed = Generation.objects.filter(status=Status.FAILED, charged__in={rise.bought for rise in bought.values()})
    failed = failed.filter(account__in={rise.account_id for rise in bought.values()}).exclude(Exists(known))
    rows = list(failed.order_by("-finished_at")[:AT_A_TIME]) if bought else []
    found: dict[int, Generation] = {}
    for pk, rise in bought.items():
        fits = (row for row in rows if (row.account_id, row.charged) == (rise.account_id, rise.bought))
        row = next((row for row in fits if rise.until and row.finished_at and row.finished_at <= rise.until.at), None)
        if row:
            found[pk] = row
    return found


def refund(rise: LedgerEntry, generation: Generation, who: User, **origin: str) -> LedgerEntry:
    """Records that a rise was the refund of one clip's charge. Raises ledger.NotRefundable; nothing is changed then."""
    with transaction.atomic():
        team = budgets.lock(generation.team_id)
        ApiAccount.objects.select_for_update(of=("self",)).get(pk=rise.account_id or 0)  # one refund after the other
        if generation not in refundable(rise, left_of(rise)):
            raise ledger.NotRefundable("It was refunded already, or its charge is not what came back.")
        charged = generation.entries.get(kind=Kind.CAPTURE)
        entry = ledger.refund(generation, charged.spent, rise, f"came back, says {who.get_full_name()}")
        budgets.come_back(generation, charged.spent, charged.at)
        words = f"{generation} of {generation.owner}, {credits(charged.spent)}: what came back was its refund"
        audit.record(who, "refund.recorded", words, team=team, generation=generation.pk, **origin)
    return entry


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
        spent=Sum("entries__spent", filter=~Q(entries__kind=Kind.REFUND), default=0),
        back=Sum("entries__spent", filter=Q(entries__kind=Kind.REFUND), default=0),
        backs=Count("entries", filter=Q(entries__kind=Kind.REFUND)),
    )
    total = here.count()
    ended, open_ = rows.filter(status__in=ENDED), rows.exclude(status__in=ENDED)
    wrong = {
        "held exactly once": rows.exclude(holds=1),
        "settled exactly once, nothing left of the hold": ended.exclude(ends=1, held=0),
        "not settled before the end, all of the hold there": open_.exclude(ends=0, held=F("price"), spent=0),
        "spent is what was charged": rows.filter(charged__isnull=False).exclude(spent=F("charged")),
        "refunded at most once, never more than was charged": rows.filter(
            Q(backs__gt=1) | Q(spent__lt=-F("back")) | Q(backs=1, charged=None)
        ),
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
    back = -Sum("spent", filter=Q(kind=Kind.REFUND), default=0)
    books = {
        (*(row[name] for name in key), row["mode"]): (row["held_sum"], row["spent_sum"], row["back"])
        for row in entries.annotate(held_sum=Sum("held"), spent_sum=Sum("spent"), back=back).iterator()
    }
    sums = {
        (*(row[name] for name in key), row["mode"]): (row["held"], row["spent"], row["refunded"])
        for row in DaySum.objects.values(*key, "mode", "held", "spent", "refunded").iterator()
    }
    none = (0, 0, 0)
    wrong = [place for place in books.keys() | sums.keys() if books.get(place, none) != sums.get(place, none)]
    return Check(
        "the days sum up to the ledger", len(sums), len(wrong), ", ".join(str(place[4]) for place in wrong[:5])
    )
