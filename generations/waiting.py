"""The queue as people see it: what renders, what waits and why, what the limits still allow. Reads, changes nothing."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from generations import catalogue, dispatch, forecast, outlook, pacing, story
from generations.models import RENDERING, ApiAccount, ApiCall, ApiKey, Generation, Status, Submission, Team, User
from generations.outlook import Range
from generations.words import credits, duration_words, range_words

GAUGES, TILES = 4, 12  # accounts and slots that the page draws; of the others it says how many there are
REQUESTS_PER_CLIP = 5  # a price, the submission and about three looks


# -- limits -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """How much of what Veevid allows one account has used."""

    account: ApiAccount
    slots: int
    hour: int
    keys: Sequence[tuple[ApiKey, int]]  # active keys, and each one's requests of the last minute

    @property
    def percent(self) -> str:
        return f"{100 * self.hour / pacing.PER_ACCOUNT_HOUR:.1f}"

    @property
    def kept(self) -> int:
        """Of the hour, for prices and recovery."""
        return pacing.KEPT

    @property
    def kept_percent(self) -> str:
        return f"{100 * pacing.KEPT / pacing.PER_ACCOUNT_HOUR:.1f}"

    @property
    def kept_from(self) -> str:
        return f"{100 - 100 * pacing.KEPT / pacing.PER_ACCOUNT_HOUR:.1f}"

    @property
    def room(self) -> int:
        """About how many more clips this hour's requests are enough for."""
        return max(pacing.PER_ACCOUNT_HOUR - pacing.KEPT - self.hour, 0) // REQUESTS_PER_CLIP


def limits(account: ApiAccount, now: datetime) -> Limits:
    since = now - timedelta(seconds=pacing.MINUTE)
    recent = Q(calls__finished_at__gt=since) | Q(calls__finished_at=None, calls__at__gt=since)
    used = Count("calls", filter=recent & ~Q(calls__outcome=ApiCall.Outcome.NOT_SENT))
    keys = account.keys.filter(state=ApiKey.State.ACTIVE).annotate(used=used).order_by("pk")
    return Limits(
        account=account,
        slots=dispatch.slots_taken(account, now),
        hour=dispatch.requests_this_hour(account, now),
        keys=[(key, key.used) for key in keys],
    )


# -- the queue --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slot:
    """One of an account's places. Without a generation it is free, or its clip is another team's."""

    taken: bool
    generation: Generation | None = None
    place: story.Place | None = None
    left: Range | None = None  # None when taken: longer than usual already


@dataclass(frozen=True)
class Waiting:
    """One row of the line: why it waits and when it is likely ready."""

    generation: Generation
    position: int | None
    why: str
    more: str
    asks: bool  # for a person's attention
    eta: str

    @property
    def seconds(self) -> int:
        return catalogue.length(self.generation.mode, self.generation.params)


@dataclass(frozen=True)
class Queue:
    slots: Sequence[Slot]
    limits: Sequence[Limits]
    more_accounts: int  # whose limits are not drawn
    waiting: Sequence[Waiting]
    others: int  # waiting clips of other teams, counted in the positions
    unknown: Sequence[Waiting]
    record: forecast.Record | None  # how often what was said held
    closed: str  # why nothing new is sent now; empty while a free slot is all it takes

    @property
    def busy(self) -> int:
        return sum(slot.taken for slot in self.slots)

    @property
    def tiles(self) -> Sequence[Slot]:
        """The slots that are drawn: those in use before the free ones."""
        return sorted(self.slots, key=lambda slot: not slot.taken)[:TILES] if self.more_slots else self.slots

    @property
    def more_slots(self) -> int:
        return max(len(self.slots) - TILES, 0)

    @property
    def next_free(self) -> Range | None:
        """When a slot is likely free again; None when one is free now."""
        if not self.slots or self.busy < len(self.slots):
            return None
        left = [_free_in(slot) for slot in self.slots]
        return min(low for low, _ in left), min(high for _, high in left)


def queue(team: Team, person: User | None = None) -> Queue:
    """The line as it stands, of one team or of one person in it. Other teams' clips take slots and places, unnamed."""
    desk = story.Desk()
    demo = dispatch.demo_mode()
    accounts = list(dispatch.accounts_for(demo, team))
    slots = [slot for account in accounts for slot in _slots(account, team, desk)]
    ours = _with_media(Generation.objects.filter(team=team))
    queued = {row.pk: row for row in ours.filter(status__in=(Status.QUEUED, Status.AWAITING_APPROVAL))}
    line = dispatch.line(demo, desk.now)
    lane = desk.lane(demo, team.pk)
    unknown = ours.filter(status=Status.UNCONFIRMED).order_by("sent_at", "pk")
    waiting = _waiting(queued, line, demo, accounts, desk)
    if person:
        waiting = [row for row in waiting if row.generation.owner_id == person.pk]
        unknown = unknown.filter(owner=person)
    return Queue(
        slots=slots,
        limits=[limits(account, desk.now) for account in accounts[:GAUGES]],
        more_accounts=max(len(accounts) - GAUGES, 0),
        waiting=waiting,
        others=sum(pk not in queued for pk in line),
        unknown=[_unknown(row) for row in unknown],
        record=forecast.record(team),
        closed="" if lane in ("", "slots") else dispatch.WAITING[lane],
    )


def _with_media(rows: QuerySet[Generation]) -> QuerySet[Generation]:
    return rows.select_related("owner", "quote__account").prefetch_related("media__media")


def _slots(account: ApiAccount, team: Team, desk: story.Desk) -> list[Slot]:
    since = desk.now - dispatch.UNKNOWN_HOLDS_A_SLOT
    under_way = Q(status__in=RENDERING) | Q(status=Status.UNCONFIRMED, sent_at__gt=since)
    slots = []
    for row in _with_media(account.generations.filter(under_way)).order_by("sent_at", "pk"):
        rest = desk.outlook(account.demo).rest(row)
        left = outlook.between(rest) if rest else None
        shown = row if row.team_id == team.pk else None
        slots.append(Slot(taken=True, generation=shown, place=desk.place(row) if shown else None, left=left))
    return slots + [Slot(taken=False)] * (pacing.AT_ONCE - len(slots))


def _waiting(
    queued: dict[int, Generation], line: list[int], demo: bool, accounts: list[ApiAccount], desk: story.Desk
) -> list[Waiting]:
    """The team's rows in the order they will be sent; those that cannot be sent yet come after the line."""
    ready = desk.outlook(demo).line() if any(pk in queued for pk in line) else {}
    running = Counter(
        Generation.objects.filter(status__in=RENDERING, quote__account__demo=demo).values_list("owner_id", flat=True)
    )
    owners = set(Generation.objects.filter(pk__in=line).values_list("owner_id", flat=True))
    fewest = min((running[owner] for owner in owners), default=0)
    places = {pk: place for place, pk in enumerate(line, start=1)}
    order = sorted(queued.values(), key=lambda g: (places.get(g.pk, len(line) + 1), g.not_before or g.queued_at, g.pk))
    until = min((a.wait_until for a in accounts if a.wait_until and a.wait_until > desk.now), default=None)
    said = _last_words(queued.values())
    more = {owner: count for owner, count in running.items() if count > fewest}  # somebody goes before them
    return [_row(g, places.get(g.pk), ready.get(g.pk), more.get(g.owner_id, 0), until, said, desk) for g in order]


def short_of_credits(person: User, everybody: bool) -> str:
    """What to say while clips wait for credits: one's own, or everybody's for an admin. Empty when none does."""
    rows = Generation.objects.filter(
        status=Status.QUEUED, wait_why="credits", quote__account__demo=dispatch.demo_mode()
    )
    rows = rows if everybody else rows.filter(owner=person)
    first = rows.select_related("team", "quote__account").order_by("queued_at", "pk").first()
    if first is None:
        return ""
    known = dispatch.balance(first.quote.account.demo, first.team)
    has = f", the balance is {known[0]:,}" if known else ""
    number = rows.count()
    waits = "A clip waits for credits: it" if number == 1 else f"{number:,} clips wait for credits: the next"
    return f"{waits} needs {credits(first.price)}{has}."


def _last_words(rows: Iterable[Generation]) -> dict[int, str]:
    """What Veevid said to the last attempt of each that is out of credits, in one query."""
    short = [g.pk for g in rows if g.wait_why == "credits"]
    last = Submission.objects.filter(generation=OuterRef("pk")).order_by("-attempt").values("upstream_words")[:1]
    return dict(Generation.objects.filter(pk__in=short).values_list("pk", Subquery(last))) if short else {}


def _free_in(slot: Slot) -> Range:
    if not slot.taken:
        return 0.0, 0.0
    return slot.left or (0.0, 120.0)  # late already: any moment now, or a good while


def _row(
    g: Generation,
    position: int | None,
    ready: Range | None,
    running: int,
    until: datetime | None,
    said: Mapping[int, str],
    desk: story.Desk,
) -> Waiting:
    if g.status == Status.AWAITING_APPROVAL:
        return Waiting(g, None, "Needs approval", "A manager decides", True, "when approved")
    why = desk.why(g)
    words = dispatch.WAITING.get(why, why)
    words = words[:1].upper() + words[1:]
    if g.not_before and g.not_before > desk.now:
        return _held_back(g, why, words, said, desk.now)
    if why in ("paused", "account", "key", "reserved", "frozen"):
        return Waiting(g, position, words, "", True, "when an admin has looked")
    if why in ("busy", "limit", "unreachable"):
        return Waiting(g, position, words, "", False, _again(until, desk.now))
    if why == "hour":
        return Waiting(g, position, words, "", False, "within the hour")
    eta = f"ready in {range_words(ready)}" if ready else "not known"
    if position == 1:
        return Waiting(g, position, words if why == "slots" else "Next in line", "", False, eta)
    if running:
        own = f"{g.owner.get_short_name()} has {'one' if running == 1 else running} running"
        return Waiting(g, position, own, "Others go first", False, eta)
    return Waiting(g, position, words if why == "slots" else "Others first", "", False, eta)


def _unknown(g: Generation) -> Waiting:
    return Waiting(g, None, "Outcome unknown", "A person decides: charged or not", True, "")


def _held_back(g: Generation, why: str, words: str, said: Mapping[int, str], now: datetime) -> Waiting:
    """One that is not tried before a certain time."""
    if why == "credits":
        return Waiting(g, None, words, _with_the_word(said.get(g.pk) or ""), True, "after a top-up")
    if not g.wait_why:
        words = "Its price is asked again"
    return Waiting(g, None, words, "", False, _again(g.not_before, now))


def _with_the_word(said: str) -> str:
    """`Needs 320, has 12` -> `Needs 320 credits, has 12`; anything else as it was said."""
    figures = re.fullmatch(r"Needs (\d+), has (\d+)", said)
    return f"Needs {credits(int(figures[1]))}, has {int(figures[2]):,}" if figures else said


def _again(until: datetime | None, now: datetime) -> str:
    if until is None:
        return "soon"
    seconds = (until - now).total_seconds()
    return f"tried again in {duration_words(round(max(seconds, 1) + 9, -1))}"
