"""The tick: which rows are due, and which account and key carries them.

Every request to Veevid is reserved here first: an ApiCall row, written under the account's lock while the limits are
counted, so that all processes together stay below them and a restart forgets nothing.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from random import random
from typing import Any, TypeVar, cast

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Count, F, Max, OuterRef, Q, QuerySet, Subquery, Sum, Value, When, Window
from django.db.models.functions import Coalesce, RowNumber
from django.utils import timezone

from generations import pacing
from generations.models import (
    RENDERING,
    ApiAccount,
    ApiCall,
    ApiKey,
    BalanceReading,
    CannotDecrypt,
    Clip,
    Freeze,
    Generation,
    Status,
    Submission,
    Team,
    User,
)
from generations.models.fields import Secret
from generations.veevid import (
    AccountSuspended,
    Busy,
    KeyRefused,
    NotEnoughCredits,
    NotSent,
    Refused,
    UpstreamError,
    Veevid,
)

Answer = TypeVar("Answer")

BUSY_FOR = 15.0  # seconds, when a 429 does not say how long
STALLED_HOLDS_A_SLOT = timedelta(hours=1)
UNKNOWN_HOLDS_A_SLOT = timedelta(minutes=10)  # an unconfirmed submission may be rendering: it counts for so long
QUESTION_TIMEOUT, QUESTION_DEADLINE = 15, 20  # seconds, for a price, a status or a balance
CHECK_HOLDS_THE_LANE = timedelta(minutes=3)  # no longer, should the balance not be readable
LEASE_GRACE = timedelta(seconds=5)
WAIT_FOR_CREDITS = timedelta(minutes=5)  # a known balance that is too low counts for so long
AT_A_TIME = 50  # due rows of one kind that one tick announces
HEARD_FOR = timedelta(seconds=10)  # a bell lives so long; what was announced is not announced again before


class NoRoom(Exception):
    """No request can be sent now. `why` is a word of WAITING; `until` is when to try again."""

    def __init__(self, why: str, until: datetime) -> None:
        super().__init__(WAITING[why])
        self.why, self.until = why, until


WAITING = {
    "": "next in line",
    "turn": "others first",
    "slots": "all slots busy",
    "hour": "hour's requests used",
    "busy": "Veevid is busy",
    "checking": "checking an unknown outcome",
    "limit": "Veevid asks to wait",
    "unreachable": "Veevid unreachable, nothing spent",
    "credits": "out of credits",
    "account": "account closed by Veevid",
    "paused": "paused by an admin",
    "key": "no working key",
    "reserved": "every account is reserved for other teams",
    "disk": "the disk here is nearly full",
    "frozen": "frozen after a restore, until an admin releases it",
}


def demo_mode() -> bool:
    """True until Veevid has once taken a real key: everything works, nothing costs money.

    Without a simulator there is nothing to demonstrate with: then any real account ends it.
    """
    if not settings.SIMULATOR_URL:
        return not accounts(demo=False).exists()
    return not ApiKey.objects.filter(account__demo=False, accepted_at__isnull=False).exists()


def accounts(demo: bool) -> QuerySet[ApiAccount]:
    return ApiAccount.objects.filter(demo=demo).order_by("pk")


def accounts_for(demo: bool, team: Team | int | None) -> QuerySet[ApiAccount]:
    """The accounts that may carry a team's generations, in the order in which they are tried: its own, then the common.

    What is reserved for another team is never among them.
    """
    return accounts(demo).filter(Q(team=None) | Q(team=team)).order_by(F("team").asc(nulls_last=True), "pk")


def base_url(account: ApiAccount) -> str:
    return settings.SIMULATOR_URL if account.demo else settings.VEEVID_API_URL


# -- the limits -------------------------------------------------------------------------------------------------------


def _within(calls: QuerySet[ApiCall], now: datetime, seconds: float) -> QuerySet[ApiCall]:
    """Requests that may still count upstream: a window runs from when the answer came, or from now if none did yet."""
    since = now - timedelta(seconds=seconds)
    unanswered = Q(finished_at=None, at__gt=since - timedelta(minutes=10))
    return calls.filter(Q(finished_at__gt=since) | unanswered, at__gt=since - timedelta(minutes=10)).exclude(
        outcome=ApiCall.Outcome.NOT_SENT
    )


def requests_this_hour(account: ApiAccount, now: datetime | None = None) -> int:
    return _within(account.calls.all(), now or timezone.now(), pacing.HOUR).count()


def _holding_slots(now: datetime) -> QuerySet[Generation]:
    """Generations that upstream may be working on."""
    surely = Q(status__in=(Status.SUBMITTING, Status.PROCESSING))
    stalled = Q(status=Status.STALLED, sent_at__gt=now - STALLED_HOLDS_A_SLOT)
    unknown = Q(status=Status.UNCONFIRMED, sent_at__gt=now - UNKNOWN_HOLDS_A_SLOT)
    return Generation.objects.filter(surely | stalled | unknown)


def slots_taken(account: ApiAccount, now: datetime | None = None) -> int:
    return _holding_slots(now or timezone.now()).filter(account=account).count()


def _free_again(calls: QuerySet[ApiCall], seconds: float, limit: int, now: datetime) -> datetime:
    """When the oldest of the last `limit` requests leaves its window."""
    ends = list(_within(calls, now, seconds).order_by("-at").values_list("finished_at", flat=True)[:limit])
    oldest = min((end or now for end in ends), default=now)
    return max(oldest + timedelta(seconds=seconds), now + timedelta(seconds=1))


def _pick_key(account: ApiAccount, kind: str, now: datetime, named: ApiKey | None = None) -> ApiKey:
    """The working key used least in the last minute, or the one named. Raises NoRoom."""
    keys = [named] if named else list(account.keys.filter(state=ApiKey.State.ACTIVE))
    if not keys:
        raise NoRoom("key", now + timedelta(seconds=30))
    in_hour = requests_this_hour(account, now)
    used = {key.pk: _within(key.calls.all(), now, pacing.MINUTE).count() for key in keys}
    key = min(keys, key=lambda k: (used[k.pk], k.pk))
    if pacing.room(kind, used[key.pk], in_hour):
        return key
    if pacing.room(kind, used[key.pk], 0):
        raise NoRoom("hour", _free_again(account.calls.all(), pacing.HOUR, pacing.PER_ACCOUNT_HOUR, now))
    raise NoRoom("busy", _free_again(key.calls.all(), pacing.MINUTE, pacing.PER_KEY_MINUTE, now))


def reserve(account: ApiAccount, kind: str, generation: Generation | None = None, key: ApiKey | None = None) -> ApiCall:
    """Writes the row of one request before it is sent. Raises NoRoom when a limit would be passed.

    `key` is named only to test exactly that one.
    """
    with transaction.atomic():
        account = ApiAccount.objects.select_for_update().get(pk=account.pk)
        now = timezone.now()
        if not base_url(account):
            raise NoRoom("unreachable", now + timedelta(minutes=1))
        if account.state == ApiAccount.State.SUSPENDED:
            raise NoRoom("account", now + timedelta(minutes=1))
        if account.wait_why == "limit" and account.wait_until and account.wait_until > now:
            raise NoRoom("limit", account.wait_until)
        key = _pick_key(account, kind, now, key)
        return ApiCall.objects.create(account=account, key=key, kind=kind, generation=generation, at=now)


def disk_is_low() -> bool:
    """Below the floor nothing new is sent: a clip that is paid for must find room. Everything else goes on."""
    return shutil.disk_usage(settings.DATA_DIR).free < settings.DISK_FLOOR


def frozen() -> bool:
    """In safe mode nothing is sent with a real account: the database may not know what was sent already."""
    return Freeze.objects.filter(released_at=None).exists()


def lane(account: ApiAccount, now: datetime | None = None) -> str:
    """Why this account takes no submission now: a word of WAITING, empty when it does."""
    return lanes([account], now)[account.pk]


def lanes(asked: Iterable[ApiAccount], now: datetime | None = None) -> dict[int, str]:
    """The same for many accounts at once, with a few queries for all of them together.

    Who is found closed is not asked about further: a full house costs two queries, however many accounts there are.
    """
    now = now or timezone.now()
    no = {"disk": disk_is_low(), "frozen": frozen()}
    why = {account.pk: _shut(account, no, now) for account in asked}
    for questions in (_without_a_slot, _being_checked, _without_a_request):
        still = [pk for pk, word in why.items() if not word]
        if still:
            why |= questions(still, now)
    return why


def _shut(account: ApiAccount, no: Mapping[str, bool], now: datetime) -> str:
    """What is known without asking for this account. `no` is what stops them all."""
    if not base_url(account):
        return "unreachable"
    if no["frozen"] and not account.demo:
        return "frozen"
    if no["disk"]:
        return "disk"
    if account.state != ApiAccount.State.OPEN:
        return "paused" if account.state == ApiAccount.State.PAUSED else "account"
    if account.wait_until and account.wait_until > now:
        return account.wait_why or "busy"
    return ""


def _without_a_slot(asked: Sequence[int], now: datetime) -> dict[int, str]:
    """All slots busy, or a submission under way: one at a time, so that a balance reading brackets exactly one."""
    held = _holding_slots(now).filter(account__in=asked).values("account_id")
    rows = held.annotate(slots=Count("pk"), sending=Count("pk", filter=Q(status=Status.SUBMITTING)))
    words = ((row, "slots" if row["slots"] >= pacing.AT_ONCE else "turn" if row["sending"] else "") for row in rows)
    return {row["account_id"]: word for row, word in words if word}


def _being_checked(asked: Sequence[int], now: datetime) -> dict[int, str]:
    checks = Submission.objects.filter(account__in=asked, check_at__gt=now - CHECK_HOLDS_THE_LANE)
    return dict.fromkeys(checks.values_list("account_id", flat=True), "checking")


def _without_a_request(asked: Sequence[int], now: datetime) -> dict[int, str]:
    """No working key, or none that the minute or the hour lets send one more."""
    keys = dict(ApiKey.objects.filter(account__in=asked, state=ApiKey.State.ACTIVE).values_list("pk", "account_id"))
    by_key = _counted(ApiCall.objects.filter(key__in=keys), "key_id", pacing.MINUTE, now)
    in_hour = _counted(ApiCall.objects.filter(account__in=asked), "account_id", pacing.HOUR, now)
    least: dict[int, int] = {}
    for key, account in keys.items():
        least[account] = min(by_key.get(key, 0), least.get(account, pacing.PER_KEY_MINUTE))
    found = {}
    for account in asked:
        if account not in least:
            found[account] = "key"
        elif not pacing.room(ApiCall.Kind.GENERATE, least[account], in_hour.get(account, 0)):
            found[account] = "hour" if pacing.room(ApiCall.Kind.GENERATE, least[account], 0) else "busy"
    return found


def _counted(calls: QuerySet[ApiCall], by: str, seconds: float, now: datetime) -> dict[int, int]:
    """How many requests of each key or account count in a window."""
    return dict(_within(calls, now, seconds).values_list(by).annotate(Count("pk")))


# -- sending ----------------------------------------------------------------------------------------------------------


def reveal(key: ApiKey) -> str:
    """The plain key. Raises CannotDecrypt when its encryption key has left the ring."""
    return cast(Secret, key.secret).reveal()


def client(call: ApiCall) -> Veevid:
    """Speaks to the account of one reserved request. What only asks is given up sooner than what carries or pays."""
    if call.kind in (ApiCall.Kind.GENERATE, ApiCall.Kind.UPLOAD):
        return Veevid(base_url(call.account), reveal(call.key))
    limits = {"read_timeout": QUESTION_TIMEOUT, "deadline": QUESTION_DEADLINE}
    return Veevid(base_url(call.account), reveal(call.key), **limits)


def ask(
    call: ApiCall, question: Callable[[Veevid], Answer], keep: Callable[[Answer], None] = lambda answer: None
) -> Answer:
    """Sends one reserved request and records how it ended. What it says about the key and the account is kept.

    `keep` is given an answer before anything else is written.

    Raises UpstreamError as the client does; a key that cannot be decrypted counts as refused, and nothing was sent.
    """
    try:
        upstream = client(call)
    except (CannotDecrypt, ValueError) as problem:
        ApiKey.objects.filter(pk=call.key_id).update(state=ApiKey.State.REFUSED, checked_words=str(problem)[:300])
        _finish(call, ApiCall.Outcome.NOT_SENT, None)
        raise KeyRefused(str(problem)) from None
    try:
        answer = question(upstream)
    except UpstreamError as error:
        _finish(call, _outcome(error), error.status)
        _learn_from(call, error)
        raise
    keep(answer)
    _finish(call, ApiCall.Outcome.OK, 200, accepted_at=Coalesce("accepted_at", timezone.now()))
    _reached(call.account_id)
    return answer


def _reached(account: int) -> None:
    """Upstream answers: what was closed only because it did not is open again."""
    away = Q(wait_why="unreachable")
    ApiAccount.objects.filter(away | Q(unreachable__gt=0), pk=account).update(
        unreachable=0,
        wait_until=Case(When(away, then=None), default=F("wait_until")),
        wait_why=Case(When(away, then=Value("")), default=F("wait_why")),
    )


def _outcome(error: UpstreamError) -> str:
    if isinstance(error, NotSent):
        return ApiCall.Outcome.NOT_SENT
    if isinstance(error, Busy):
        return ApiCall.Outcome.BUSY
    return ApiCall.Outcome.REFUSED if isinstance(error, Refused) else ApiCall.Outcome.UNCLEAR


def _finish(call: ApiCall, outcome: str, status: int | None, **of_key: Any) -> None:
    now = timezone.now()
    ApiCall.objects.filter(pk=call.pk).update(finished_at=now, outcome=outcome, status=status)
    ApiKey.objects.filter(pk=call.key_id).update(used_at=now, **of_key)


def _learn_from(call: ApiCall, error: UpstreamError) -> None:
    now = timezone.now()
    account = ApiAccount.objects.filter(pk=call.account_id)
    if isinstance(error, KeyRefused):
        ApiKey.objects.filter(pk=call.key_id, state=ApiKey.State.ACTIVE).update(
            state=ApiKey.State.REFUSED, checked_at=now, checked_words=error.message[:300]
        )
    elif isinstance(error, AccountSuspended):
        account.update(state=ApiAccount.State.SUSPENDED, state_why=error.message[:500])
    elif isinstance(error, Busy):
        seconds = error.retry_after if error.retry_after is not None else BUSY_FOR
        # A submission is also refused when three generations run already: looks go on then. Any other 429 stops all.
        why = "busy" if call.kind == ApiCall.Kind.GENERATE else "limit"
        _wait(account, now + timedelta(seconds=max(seconds, 1)), why)
    elif isinstance(error, NotSent):
        account.update(unreachable=F("unreachable") + 1)
        seconds = pacing.backoff(call.account.unreachable, random())  # noqa: S311 - jitter, no secret
        _wait(account, now + timedelta(seconds=seconds), "unreachable")
    elif isinstance(error, NotEnoughCredits) and error.balance is not None:
        note_balance(call, error.balance)


def _wait(account: QuerySet[ApiAccount], until: datetime, why: str) -> None:
    """Never shortens a wait that upstream asked for."""
    account.filter(Q(wait_until=None) | Q(wait_until__lt=until)).update(wait_until=until, wait_why=why)


def note_balance(call: ApiCall, credits: int) -> None:
    """Keeps a balance that upstream told. One that was asked for lets go what waited for credits and now fits."""
    BalanceReading.objects.create(account_id=call.account_id, call=call, credits=credits)
    if call.kind not in (ApiCall.Kind.QUOTE, ApiCall.Kind.CREDITS):
        return
    fits = _for_account(call.account).filter(status=Status.QUEUED, wait_why="credits", price__lte=credits)
    fits.update(not_before=None, wait_why="")


def _for_account(account: ApiAccount) -> QuerySet[Generation]:
    """What this account may carry."""
    rows = Generation.objects.filter(quote__account__demo=account.demo)
    return rows.filter(team=account.team_id) if account.team_id else rows


# -- what is due ------------------------------------------------------------------------------------------------------

InLine = tuple[int, int, datetime, int, int]
IN_LINE = ("pk", "owner_id", "queued_at", "team_id", "price")


@dataclass(frozen=True)
class Due:
    """Primary keys of rows that somebody should look after now, by what is to be done."""

    send: Mapping[int, int]  # a generation, and the account that is free for it
    look: Sequence[int] = ()
    fetch: Sequence[int] = ()

    @property
    def submit(self) -> list[int]:
        return list(self.send)


def in_turn(queued: Iterable[tuple[int, int, datetime]], running: Counter[int]) -> list[int]:
    """Orders (generation, person, queued at): one of each person in turn, then first come.

    A person's generations under way count as turns taken.
    """
    turns = Counter(running)
    places: list[tuple[int, datetime, int]] = []
    for pk, owner, queued_at in sorted(queued, key=lambda row: (row[2], row[0])):
        places.append((turns[owner], queued_at, pk))
        turns[owner] += 1
    return [pk for _, _, pk in sorted(places)]


def queued(demo: bool, now: datetime) -> QuerySet[Generation]:
    """Everything that waits for a slot and may have one."""
    ready = Q(not_before=None) | Q(not_before__lte=now)
    return Generation.objects.filter(ready, quote__account__demo=demo, status=Status.QUEUED)


def line(demo: bool, now: datetime | None = None) -> list[int]:
    """The same, in the order in which it will be sent."""
    rows = queued(demo, now or timezone.now()).values_list("pk", "owner_id", "queued_at")
    return in_turn(rows, _under_way(demo))


def _under_way(demo: bool) -> Counter[int]:
    """How many generations of each person are under way."""
    rows = Generation.objects.filter(quote__account__demo=demo, status__in=RENDERING)
    return Counter(dict(rows.values_list("owner_id").annotate(Count("pk"))))


def short_until(known: tuple[int, datetime] | None, price: int, now: datetime) -> datetime | None:
    """Until when an account with this known balance lacks the credits for this price. None: it has them."""
    if known is None or known[0] >= price or known[1] + WAIT_FOR_CREDITS <= now:
        return None
    return known[1] + WAIT_FOR_CREDITS


def _carrier(free: Sequence[ApiAccount], team: int, price: int, now: datetime) -> ApiAccount | None:
    """Of the free accounts, a team's own before the common ones: the first that can pay, else the next that may."""
    waits: list[tuple[datetime, ApiAccount]] = []
    for account in (*(a for a in free if a.team_id == team), *(a for a in free if a.team_id is None)):
        until = short_until(expected_balance(account), price, now)
        if until is None:
            return account
        waits.append((until, account))
    return min(waits, key=lambda wait: wait[0])[1] if waits else None


def carrier(generation: Generation, now: datetime) -> ApiAccount | None:
    """An account that is free for this generation, if there is one."""
    mine = list(accounts_for(generation.quote.account.demo, generation.team_id))
    why = lanes(mine, now)
    return _carrier([a for a in mine if not why[a.pk]], generation.team_id, generation.price, now)


def next_on(account: ApiAccount, now: datetime | None = None) -> Due:
    """Who goes out on this one account now."""
    return Due(send=_sendable(account.demo, [account], now or timezone.now()))


def _sendable(demo: bool, asked: Iterable[ApiAccount], now: datetime) -> dict[int, int]:
    """Who goes out now: the first of the line, each with an account that is free for it."""
    everyone = list(asked) if _unannounced(demo, now).exists() else []
    why = lanes(everyone, now)
    told = now - HEARD_FOR
    free = [a for a in everyone if not why[a.pk] and (a.announced_at is None or a.announced_at <= told)]
    rows = _first_for(free[0], now) if len(free) == 1 else _first_of_each(demo, now, len(free)) if free else []
    first = {row[0]: row for row in rows}
    chosen: dict[int, int] = {}
    for pk in in_turn((row[:3] for row in first.values()), _under_way(demo)):
        _, _, _, team, price = first[pk]
        account = _carrier(free, team, price, now)
        if account:
            chosen[pk] = account.pk
            free.remove(account)
        if not free:
            break
    return chosen


def _unannounced(demo: bool, now: datetime) -> QuerySet[Generation]:
    """What waits, without those that were announced for one account a moment ago: another would only find them gone."""
    return queued(demo, now).filter(Q(announced_at=None) | Q(announced_at__lte=now - HEARD_FOR))


def _first_for(account: ApiAccount, now: datetime) -> list[InLine]:
    """The first that each person has in the line for this account: a glance into the index for each person."""
    mine = _unannounced(account.demo, now).filter(owner=OuterRef("pk")).order_by("queued_at", "pk")
    if account.team_id:
        mine = mine.filter(team=account.team_id)
    first = User.objects.values_list(Subquery(mine.values("pk")[:1]), flat=True)
    return list(Generation.objects.filter(pk__in=[pk for pk in first if pk]).values_list(*IN_LINE))


def _first_of_each(demo: bool, now: datetime, most: int) -> list[InLine]:
    """The first `most` that each person has in the line for each team.

    Nobody gets more than that at once, so a long line is not read to its end.
    """
    order = (F("queued_at").asc(), F("pk").asc())
    place = Window(RowNumber(), partition_by=[F("owner_id"), F("team_id")], order_by=order)
    rows = _unannounced(demo, now).annotate(place=place).filter(place__lte=most)
    return list(rows.values_list(*IN_LINE))


def due(now: datetime | None = None) -> Due:
    """What the database says is to be done now."""
    now = now or timezone.now()
    looks = Generation.objects.filter(status__in=(Status.PROCESSING, Status.STALLED))
    fetches = Clip.objects.filter(state=Clip.State.PENDING)
    return Due(
        send=_sendable(False, accounts(demo=False), now) | _sendable(True, accounts(demo=True), now),
        look=_unheard(looks, "next_look_at", now),
        fetch=_unheard(fetches, "fetch_at", now),
    )


def _unheard(rows: QuerySet[Any], when: str, now: datetime) -> list[int]:
    """What is due and was not announced since it is: workers that are busy would only find the same bell again."""
    told = Q(announced_at=None) | Q(announced_at__lt=F(when)) | Q(announced_at__lte=now - HEARD_FOR)
    waiting = rows.filter(told, **{f"{when}__lte": now}).order_by(when)
    return list(waiting.values_list("pk", flat=True)[:AT_A_TIME])


def announced(rung: Due) -> None:
    """Notes that bells were rung for these. A bell that gets lost is rung again when its time is over."""
    said = ((ApiAccount, rung.send.values()), (Generation, [*rung.send, *rung.look]), (Clip, rung.fetch))
    for model, pks in said:
        if pks:
            model.objects.filter(pk__in=list(pks)).update(announced_at=timezone.now())


def heard(generation: int, account: int) -> None:
    """A worker has tried to send this: what became free, or is free still, may be announced again."""
    Generation.objects.filter(pk=generation, status=Status.QUEUED).update(announced_at=None)
    ApiAccount.objects.filter(pk=account).update(announced_at=None)


#: What tells how long a clip takes, as columns of Generation: its model, its length, its quality.
KIND = ("mode", "params__duration", "params__video_quality")


def kind_of(mode: str, params: Mapping[str, Any]) -> pacing.Kind:
    return mode, params.get("duration"), params.get("video_quality")


def seen(demo: bool) -> list[tuple[pacing.Kind, float]]:
    """(kind, seconds it rendered) of the last clips, newest first: what looks and forecasts go by."""
    done = Generation.objects.filter(status=Status.COMPLETED, took__isnull=False, quote__account__demo=demo)
    rows = done.order_by("-finished_at").values_list("took", *KIND)[: pacing.HISTORY]
    return [(tuple(kind), took) for took, *kind in rows]


def load(account: ApiAccount, now: datetime) -> pacing.Load:
    """What this account has to do, and what it has used of the hour."""
    calls = list(_within(account.calls.all(), now, pacing.HOUR).values_list("kind", "finished_at"))
    kinds = Counter(kind for kind, _ in calls)
    queued = _for_account(account).filter(status=Status.QUEUED).count()
    sharing = accounts_for(account.demo, account.team_id).filter(state=ApiAccount.State.OPEN).count()
    return pacing.Load(
        ends=sorted(((end or now) - now).total_seconds() + pacing.HOUR for _, end in calls),
        running=account.generations.filter(status__in=(Status.SUBMITTING, Status.PROCESSING)).count(),
        waiting=queued / max(sharing, 1),
        submitted=kinds[ApiCall.Kind.GENERATE],
        others=len(calls) - kinds[ApiCall.Kind.GENERATE] - kinds[ApiCall.Kind.STATUS],
        keys=account.keys.filter(state=ApiKey.State.ACTIVE).count(),
    )


@dataclass
class Pace:
    """What the looks and forecasts of one account go by at one moment, asked for once."""

    account: ApiAccount
    now: datetime = field(default_factory=timezone.now)

    @cached_property
    def seen(self) -> list[tuple[pacing.Kind, float]]:
        return seen(self.account.demo)

    @cached_property
    def load(self) -> pacing.Load:
        return load(self.account, self.now)

    def stalled_after(self, generation: Generation) -> float:
        """After how many seconds it takes so long that it may never end."""
        return pacing.stalled_after(pacing.samples(self.seen, kind_of(generation.mode, generation.params))[0])

    def next_look(self, generation: Generation, elapsed: float) -> datetime:
        """When to ask again about a generation that has rendered for `elapsed` seconds."""
        like, usual = pacing.samples(self.seen, kind_of(generation.mode, generation.params))
        wait = pacing.next_look(elapsed, like, self.load, usual, pacing.turn(generation.pk))
        return self.now + timedelta(seconds=wait)


def expected_balance(account: ApiAccount) -> tuple[int, datetime] | None:
    """What one account should have now by our books, and when the reading behind that was taken."""
    reading = account.readings.order_by("-pk").first()
    return (since(reading), reading.at) if reading else None


def balance(demo: bool, team: Team | None = None) -> tuple[int, datetime] | None:
    """What a team's accounts together should have now, and when the oldest of their readings was taken. None: none was.

    Without a team: the accounts that are there for all.

    Each account's newest reading, less what was accepted since, plus what was given back since.
    """
    newest = (
        BalanceReading.objects.filter(account__in=accounts_for(demo, team)).values("account").annotate(newest=Max("pk"))
    )
    readings = list(BalanceReading.objects.filter(pk__in=[row["newest"] for row in newest]))
    if not readings:
        return None
    return sum(since(reading) for reading in readings), min(reading.at for reading in readings)


def since(reading: BalanceReading) -> int:
    """What an account should have now: what it had, less what was accepted since, plus what was given back since."""
    moved_since = Q(finished_at=None) | Q(finished_at__gt=reading.at)
    rows = Generation.objects.filter(moved_since, account_id=reading.account_id).exclude(upstream_id=None)
    later = Coalesce(Sum(Coalesce("charged", "price"), filter=Q(sent_at__gt=reading.at)), 0)
    back = Coalesce(Sum(F("price") - F("charged"), filter=Q(sent_at__lte=reading.at, finished_at__gt=reading.at)), 0)
    moved = rows.aggregate(later=later, back=back)
    return reading.credits - moved["later"] + moved["back"]
