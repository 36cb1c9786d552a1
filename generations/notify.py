"""Finds what happened and whom to tell. Everything is read off the rows that say so anyway: no event is handed on.

A sweep looks at what is new since the last one and at what is wrong now, and writes a Notification for each person and
a Delivery for each mailbox and webhook. Each event has a key, and each is told of it once: however often a sweep comes,
however late, and from however many processes at once. outbox.py sends what is written here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Min, OuterRef, Subquery, Sum
from django.utils import timezone

from generations import access, budgets, catalogue, dispatch
from generations.models import (
    ApiAccount,
    ApiKey,
    Approval,
    BalanceReading,
    Clip,
    Delivery,
    Episode,
    Generation,
    LedgerEntry,
    News,
    Notification,
    NotificationChoice,
    SiteRules,
    Status,
    Sweep,
    User,
    Webhook,
)
from generations.words import credits

Audience = Notification.Audience
Role = access.Role
Verdict = Approval.Verdict

OVERLAP = timedelta(minutes=5)  # what was committed later than its time says, by a slow process or another clock
QUIET_FOR = timedelta(minutes=10)  # an episode is over when nothing of it was seen for so long
OUTSIDE_FOR = timedelta(days=1)
KEPT_FOR = timedelta(days=90)
LOG_FOR = timedelta(days=30)
#: By which ways each kind is told to who did not choose: in the app, by mail.
USUALLY: Mapping[str, tuple[bool, bool]] = {
    **dict.fromkeys(News.values, (True, True)),
    News.FAILED: (True, False),
    News.READY: (False, False),
}
#: Kinds whose events lie in the past: a sweep that looks back less far never finds them again.
PASSING = (News.PARKED, News.DECIDED, News.FAILED, News.READY)
TEST = "test"  # what a webhook is sent by its button


@dataclass(frozen=True)
class Event:
    """One thing to tell. `title` is what others read, `own` what the owners read. `text` leaves for no webhook."""

    kind: str
    key: str
    title: str
    team: int | None = None
    team_name: str = ""
    generation: int | None = None
    owners: frozenset[int] = frozenset()
    own: str = ""
    text: str = ""
    managers: bool = False
    admins: bool = False
    never: int | None = None  # this person is not told, whatever they are
    unless: str = ""  # the key of an event that says more; who was told that needs this no more


# -- what happened since -----------------------------------------------------------------------------------------------


def _parked(since: datetime) -> Iterator[Event]:
    rows = Approval.objects.filter(
        verdict=Verdict.OPEN, asked_at__gt=since, generation__status=Status.AWAITING_APPROVAL
    )
    for row in rows.select_related("generation__owner", "generation__team"):
        g = row.generation
        title = f"{g.owner} asks for {credits(g.price)}"
        yield replace(_about(g, News.PARKED, title), text=row.why, managers=True, admins=True, never=g.owner_id)


def _decided(since: datetime) -> Iterator[Event]:
    verdicts = {
        Verdict.APPROVED: ("was approved", "It is in the queue now."),
        Verdict.REJECTED: ("was rejected", "Nothing was charged."),
        Verdict.EXPIRED: ("expired", "Nobody decided in time. Nothing was charged."),
    }
    rows = Approval.objects.filter(decided_at__gt=since, verdict__in=verdicts)
    for row in rows.select_related("generation__owner", "generation__team", "who"):
        g = row.generation
        how, after = verdicts[Verdict(row.verdict)]
        by = f" by {row.who}" if row.who else ""
        reason = f"“{row.reason}” " if row.verdict == Verdict.REJECTED else ""
        what = f"equest for {credits(g.price)} {how}{by}"
        yield replace(
            _about(g, News.DECIDED, f"{g.owner}: r{what}"), owners=_whose(g), own=f"Your r{what}", text=reason + after
        )


def _failed(since: datetime) -> Iterator[Event]:
    rows = Generation.objects.filter(status__in=(Status.FAILED, Status.REJECTED), finished_at__gt=since)
    for g in rows.select_related("owner", "team"):
        how = "failed" if g.status == Status.FAILED else "was refused by Veevid"
        charged = f"Charged: {credits(g.charged)}." if g.charged else "Nothing was charged."
        yield replace(
            _about(g, News.FAILED, f"A clip of {g.owner} {how}"),
            owners=_whose(g),
            own=f"Your clip {how}",
            text=f"{_model(g)}. {charged}",
        )


def _ready(since: datetime, hooks: Iterable[Webhook]) -> Iterator[Event]:
    """Read only for those who asked for it."""
    rows = Clip.objects.filter(state=Clip.State.STORED, stored_at__gt=since, generation__status=Status.COMPLETED)
    if not any(News.READY in hook.kinds for hook in hooks):
        wanted = NotificationChoice.objects.filter(kind=News.READY).exclude(in_app=False, mail=False)
        rows = rows.filter(generation__owner__in=wanted.values("user"))
    for clip in rows.select_related("generation__owner", "generation__team"):
        g = clip.generation
        event = _about(g, News.READY, f"A clip of {g.owner} is ready")
        yield replace(event, owners=_whose(g), own="Your clip is ready", text=f"{_model(g)}, {credits(g.charged)}.")


def _unknown() -> Iterator[Event]:
    """All that nobody decided yet: a submission may be found out to be lost long after it was sent."""
    for g in Generation.objects.filter(status=Status.UNCONFIRMED).select_related("owner", "team"):
        event = _about(g, News.UNKNOWN, f"It is not known whether a clip of {g.owner} was charged")
        yield replace(
            event,
            key=f"{event.key}:{g.attempt}",
            owners=_whose(g),
            own="It is not known whether your clip was charged",
            text=f"{_model(g)}. {credits(g.price)} stay held until a manager or an admin decides.",
            managers=True,
        )


def _about(g: Generation, kind: str, title: str) -> Event:
    return Event(kind, f"{kind}:{g.pk}", title, team=g.team_id, team_name=g.team.name, generation=g.pk)


def _whose(g: Generation) -> frozenset[int]:
    return frozenset({g.owner_id})


def _model(g: Generation) -> str:
    return catalogue.MODELS[g.mode].name if g.mode in catalogue.MODELS else g.mode


def _budgets(now: datetime, since: datetime) -> Iterator[Event]:
    """Each is told of at four fifths and at its end, once a window; a changed or reset one is another line to cross."""
    for room in budgets.nearly_used(dispatch.demo_mode(), now, since):
        budget = room.budget
        first = budget.first_day(budget.team.day(now))
        forgiven = budget.forgiven if budget.forgiven_in == first else 0
        window = f"budget:{budget.pk}:{first}:{budget.credits}:{forgiven}"
        full = room.left <= 0
        is_what = "is used up" if full else f"is {100 * room.used // budget.credits} % used"
        yield Event(
            News.BUDGET,
            f"{window}:{100 if full else 80}",
            f"{room.name} {is_what}",
            team=budget.team_id,
            team_name=budget.team.name,
            owners=frozenset({budget.user_id} if budget.user_id else ()),
            own=f"Your budget {budgets.WITHIN[budgets.Window(budget.window)]} {is_what}",
            text=f"{room.used:,} of {credits(budget.credits)} are held or spent.",
            managers=True,
            unless="" if full else f"{window}:100",
        )


# -- what is wrong now -------------------------------------------------------------------------------------------------


def _standing(now: datetime) -> Iterator[Event]:
    """One event for each thing that is wrong. Its key is the subject of its episode."""
    yield from _low_balances()
    yield from _refused()
    yield from _out_of_credits()
    yield from _books(now)


def _low_balances() -> Iterator[Event]:
    rules = SiteRules.objects.first() or SiteRules()
    readings = BalanceReading.objects.filter(account=OuterRef("pk")).order_by("-at", "-pk")
    real = ApiAccount.objects.filter(demo=False).exclude(state=ApiAccount.State.PAUSED)
    for account in real.annotate(has=Subquery(readings.values("credits")[:1])).filter(has__lt=rules.low_balance):
        text = f"That is less than {credits(rules.low_balance)}. Clips wait when it is used up. Top it up at Veevid."
        title = f"{account} has {credits(account.has)} left"
        yield Event(News.BALANCE, f"balance:{account.pk}", title, text=text, admins=True)


def _refused() -> Iterator[Event]:
    for key in ApiKey.objects.filter(state=ApiKey.State.REFUSED, account__demo=False).select_related("account"):
        text = "It is not used any more. An admin can replace it in Settings."
        yield Event(News.KEY, f"key:{key.pk}", f"Veevid refuses the key {key} of {key.account}", text=text, admins=True)
    for account in ApiAccount.objects.filter(state=ApiAccount.State.SUSPENDED, demo=False):
        text = "Nothing is sent with it. What waits keeps its place."
        yield Event(News.KEY, f"account:{account.pk}", f"Veevid suspended {account}", text=text, admins=True)


def _out_of_credits() -> Iterator[Event]:
    """To admins once, to whose clips wait in each team, and to the team's webhooks."""
    waits = Generation.objects.filter(status=Status.QUEUED, wait_why="credits")
    sums = waits.values("team", "team__name", "owner").annotate(number=Count("pk"), least=Min("price"))
    by_team: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for row in sums.order_by("team", "owner"):
        by_team.setdefault((row["team"], row["team__name"]), []).append(row)
    after = "Nothing was charged. It goes on by itself after a top-up at Veevid."
    for (team, name), rows in by_team.items():
        yield Event(
            News.CREDITS,
            f"credits:{team}",
            f"{_clips(rows)} for credits",
            team=team,
            team_name=name,
            owners=frozenset(row["owner"] for row in rows),
            own="Your clips wait for credits",
            text=after,
        )
    everything = [row for rows in by_team.values() for row in rows]
    if everything:
        least = min(row["least"] for row in everything)
        text = f"The next needs {credits(least)} or more. {after}"
        yield Event(News.CREDITS, "credits", f"{_clips(everything)} for credits", text=text, admins=True)


def _clips(rows: Iterable[Mapping[str, Any]]) -> str:
    number = sum(row["number"] for row in rows)
    return "A clip waits" if number == 1 else f"{number:,} clips wait"


def _books(now: datetime) -> Iterator[Event]:
    """Credits that left an account otherwise, and no sooner again than after a day without any."""
    lately = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.OUTSIDE, at__gt=now - OUTSIDE_FOR, demo=False)
    sums = lately.values("account", name=F("account__name")).annotate(sum=Sum("spent")).order_by("account")
    for row in sums:
        title = f"{credits(row['sum'])} left {row['name']}, not spent by Dailies"
        text = "The balance and the books do not agree. The spend page names the times between which it happened."
        yield Event(News.BOOKS, f"books:{row['account']}", title, text=text, admins=True)


def _episodes(standing: list[Event], now: datetime) -> list[Event]:
    """Opens an episode for what is newly wrong, ends those that nothing was seen of, and keys each event by its own."""
    open_ = Episode.objects.filter(ended_at=None)
    known = dict(open_.values_list("subject", "pk"))
    new = [Episode(subject=event.key, began_at=now, seen_at=now) for event in standing if event.key not in known]
    known |= {episode.subject: episode.pk for episode in Episode.objects.bulk_create(new)}
    open_.filter(subject__in=[event.key for event in standing]).update(seen_at=now)
    open_.filter(seen_at__lt=now - QUIET_FOR).update(ended_at=now)
    return [replace(event, key=f"{event.kind}:{known[event.key]}:{event.key}") for event in standing]


# -- the sweep ---------------------------------------------------------------------------------------------------------


def sweep(now: datetime | None = None) -> None:
    """Looks once, and writes what is to be told. The number of queries does not depend on how much there is."""
    now = now or timezone.now()
    last, _ = Sweep.objects.get_or_create(pk=1, defaults={"at": now, "began_at": now})
    since = max(last.at - OVERLAP, last.began_at)
    hooks = list(Webhook.objects.filter(removed_at=None).order_by("pk"))
    events = [
        *_parked(since),
        *_decided(since),
        *_failed(since),
        *_ready(since, hooks),
        *_unknown(),
        *_budgets(now, since),
    ]
    standing = list(_standing(now))
    with transaction.atomic():
        Sweep.objects.select_for_update().get(pk=1)
        events += _episodes(standing, now)
        _tell_people(events, now)
        _tell_webhooks(events, hooks, now)
        Sweep.objects.filter(pk=1, at__lt=now).update(at=now)


def _tell_people(events: list[Event], now: datetime) -> None:
    to = _receivers(events)
    keys = {key for event in events for key in (event.key, event.unless) if key}
    told = set(Notification.objects.filter(key__in=keys).values_list("user", "key"))
    new = [(event, user, audience) for event, user, audience in to if not _knows(told, user, event)]
    choices = _choices({user for _, user, _ in new})
    rows, mailed = [], []
    for event, user, audience in new:
        in_app, mail = choices.get((user, event.kind), USUALLY[event.kind])
        if not (in_app or (mail and settings.MAIL)):
            continue
        own = audience == Audience.OWN and event.own
        row = Notification(
            user_id=user,
            kind=event.kind,
            key=event.key,
            audience=audience,
            team_id=event.team,
            generation_id=event.generation,
            title=(own or event.title)[:200],
            text=event.text,
            in_app=in_app,
            at=now,
        )
        rows.append(row)
        if mail and settings.MAIL:
            mailed.append(row)
    Notification.objects.bulk_create(rows)
    Delivery.objects.bulk_create(
        [Delivery(notification=row, kind=row.kind, key=row.key, made_at=now, next_try_at=now) for row in mailed]
    )


def _knows(told: set[tuple[int, str]], user: int, event: Event) -> bool:
    return (user, event.key) in told or (bool(event.unless) and (user, event.unless) in told)


def _receivers(events: list[Event]) -> list[tuple[Event, int, str]]:
    """(event, person, as what), each person once for each event: as the owner before all else."""
    roles = access.roles_in(event.team for event in events if event.team)
    admins = list(access.admins().values_list("pk", flat=True)) if any(event.admins for event in events) else []
    found = []
    for event in events:
        there = roles.get(event.team, {}) if event.team else {}
        to: dict[int, str] = dict.fromkeys(admins, Audience.ADMINS) if event.admins else {}
        if event.managers:
            to |= {user: Audience.MANAGERS for user, role in there.items() if role == Role.MANAGER}
        to |= {user: Audience.OWN for user in event.owners if user in there}
        found += [(event, user, audience) for user, audience in to.items() if user != event.never]
    return found


def _choices(people: set[int]) -> dict[tuple[int, str], tuple[bool, bool]]:
    rows = NotificationChoice.objects.filter(user__in=people).values_list("user", "kind", "in_app", "mail")
    return {(user, kind): (in_app, mail) for user, kind, in_app, mail in rows}


def _tell_webhooks(events: list[Event], hooks: list[Webhook], now: datetime) -> None:
    """A team's webhooks hear of their team, the site's of everything; each of the kinds that were chosen for it."""
    wanted = [
        (hook, event)
        for hook in hooks
        for event in events
        if event.kind in hook.kinds and (hook.team_id is None or hook.team_id == event.team)
    ]
    keys = {key for _, event in wanted for key in (event.key, event.unless) if key}
    told = set(Delivery.objects.filter(webhook__in=hooks, key__in=keys).values_list("webhook", "key"))
    Delivery.objects.bulk_create(
        [
            Delivery(
                webhook=hook,
                kind=event.kind,
                key=event.key,
                message=_message(event, now),
                made_at=now,
                next_try_at=now,
            )
            for hook, event in wanted
            if not _knows(told, hook.pk, event)
        ]
    )


def _message(event: Event, now: datetime) -> dict[str, Any]:
    """What leaves the house: no prompt, no reason, no address of anybody."""
    about = Notification(kind=event.kind, audience=Audience.MANAGERS, generation_id=event.generation)
    return {
        "kind": event.kind,
        "at": now.isoformat(timespec="seconds"),
        "title": event.title,
        "team": event.team_name,
        "generation": event.generation,
        "path": about.get_absolute_url(),
    }


def forget(now: datetime | None = None) -> None:
    """Deletes what is too old to matter. What a sweep could still find is kept: it would be told again."""
    now = now or timezone.now()
    Delivery.objects.filter(kind__in=(*PASSING, TEST), made_at__lt=now - LOG_FOR, webhook__isnull=False).delete()
    Notification.objects.filter(kind__in=PASSING, at__lt=now - KEPT_FOR).delete()


# -- what people choose ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """One line of a person's settings."""

    kind: str
    label: str
    in_app: bool
    mail: bool


def kinds_for(user: User) -> list[str]:
    """The kinds that this person can be told at all."""
    kinds: list[str] = [News.DECIDED, News.FAILED, News.UNKNOWN, News.READY, News.BUDGET, News.CREDITS]
    if access.manages_any(user):
        kinds = [News.PARKED, *kinds]
    return [*kinds, News.BALANCE, News.KEY, News.BOOKS] if user.is_staff else kinds


def choices_of(user: User) -> list[Choice]:
    chosen = _choices({user.pk})
    return [Choice(kind, News(kind).label, *chosen.get((user.pk, kind), USUALLY[kind])) for kind in kinds_for(user)]


def choose(user: User, in_app: Iterable[str], mail: Iterable[str]) -> None:
    """Keeps what was ticked; every other kind that this person can be told is off that way."""
    shown, mailed = set(in_app), set(mail)
    with transaction.atomic():
        for kind in kinds_for(user):
            ways = {"in_app": kind in shown, "mail": kind in mailed}
            NotificationChoice.objects.update_or_create(user=user, kind=kind, defaults=ways)
