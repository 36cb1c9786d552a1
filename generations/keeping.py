"""What the storage holds: whether each clip is still what it was, whose bytes they are, and what a team lets go of.

A team's rule is off until a manager sets it. What it finds goes into the bin, from which anybody of the team takes it
back; nothing is deleted here. No row of the books is touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from generations import archive, audit
from generations.budgets import CannotSet
from generations.models import (
    Clip,
    CollectionItem,
    Favourite,
    Generation,
    Mark,
    Media,
    SharedClip,
    ShareLink,
    Status,
    Team,
    User,
)
from generations.words import bytes_words

CHUNK = 100  # clips that are looked at together
ALL_MISSING = 10  # so many in a row, and nothing else: that is no damage but a disk that is not there
PIECE = 200  # clips that go into the bin in one transaction
SHORTEST, LONGEST = 7, 3650  # days


# -- whether it is still there ----------------------------------------------------------------------------------------


class NotThere(Exception):
    """The whole storage seems to be away. Nothing was marked."""


@dataclass(frozen=True)
class Look:
    """At one clip: what is wrong with it, or why nobody could tell; whether it was known to be damaged before."""

    clip: Clip
    flaw: str = ""
    unknown: str = ""
    was_damaged: bool = False


def _look(clip: Clip, quick: bool) -> Look:
    damaged = clip.state == Clip.State.DAMAGED
    try:
        return Look(clip, flaw=archive.flaw(clip, quick=quick), was_damaged=damaged)
    except OSError as problem:
        return Look(clip, unknown=problem.strerror or type(problem).__name__, was_damaged=damaged)


def check(
    *,
    quick: bool = False,
    limit: int | None = None,
    since: datetime | None = None,
    unchecked_since: datetime | None = None,
    even_so: bool = False,
) -> Iterator[Look]:
    """Looks at every kept clip, oldest row first, and marks what is damaged or whole again. Raises NotThere.

    At most `limit`; only those stored from `since` on; only those not compared since `unchecked_since`, so that a run
    goes on where another was stopped. `even_so` marks them though all of a chunk are missing.
    """
    rows = Clip.objects.filter(state__in=(Clip.State.STORED, Clip.State.DAMAGED)).order_by("pk")
    if since:
        rows = rows.filter(stored_at__gte=since)
    if unchecked_since:
        rows = rows.exclude(checked_at__gte=unchecked_since)
    last, left = 0, limit
    while chunk := list(rows.filter(pk__gt=last)[: CHUNK if left is None else min(CHUNK, left)]):
        last, left = chunk[-1].pk, None if left is None else left - len(chunk)
        looks = [_look(clip, quick) for clip in chunk]
        missing = sum(look.flaw == archive.MISSING and not look.was_damaged for look in looks)
        if missing >= ALL_MISSING and missing == len(looks) and not even_so:
            raise NotThere
        known = [look for look in looks if not look.unknown]
        for look in known:
            archive.judge(look.clip, look.flaw)
        if not quick:
            Clip.objects.filter(pk__in=[look.clip.pk for look in known]).update(checked_at=timezone.now())
        yield from looks


def damaged(team: Team) -> QuerySet[Generation]:
    return Generation.objects.filter(team=team, clip__state=Clip.State.DAMAGED).order_by("-pk")


# -- whose bytes they are ---------------------------------------------------------------------------------------------


@dataclass
class Used:
    """What is kept of a person or of a team."""

    whose: User | Team
    clips: int = 0
    clip_bytes: int = 0
    uploads: int = 0
    upload_bytes: int = 0
    binned_bytes: int = 0  # of clip_bytes
    damaged: int = 0  # clips, not among `clips`

    @property
    def bytes(self) -> int:
        return self.clip_bytes + self.upload_bytes


def _used(by: str, clips: QuerySet[Clip], media: QuerySet[Media]) -> dict[int, dict[str, int]]:
    """Sums by one column (`owner` or `team`): two queries, however many rows."""
    whole = Sum(F("size") + F("extra_size"))
    binned = Sum(F("size") + F("extra_size"), filter=Q(generation__binned_at__isnull=False))
    found: dict[int, dict[str, int]] = {}
    kept = clips.filter(state=Clip.State.STORED).values(f"generation__{by}")
    counted: list[Any] = [
        *kept.annotate(clips=Count("pk"), clip_bytes=whole, binned_bytes=binned).order_by(),
        *media.values(by).annotate(uploads=Count("pk"), upload_bytes=whole).order_by(),
    ]
    for row in counted:
        key = row.pop(by) if by in row else row.pop(f"generation__{by}")
        found.setdefault(key, {}).update({name: value or 0 for name, value in row.items()})
    return found


def used_by_people(team: Team) -> list[Used]:
    """Of everybody who made or uploaded something in a team, most bytes first."""
    sums = _used("owner", Clip.objects.filter(generation__team=team), Media.objects.filter(team=team))
    people = User.objects.in_bulk(sums.keys())
    return _most_first([Used(people[pk], **values) for pk, values in sums.items()])


def used_by_teams() -> list[Used]:
    sums = _used("team", Clip.objects.all(), Media.objects.all())
    broken = Clip.objects.filter(state=Clip.State.DAMAGED).values_list("generation__team")
    for pk, number in broken.annotate(number=Count("pk")).order_by():
        sums.setdefault(pk, {})["damaged"] = number
    return _most_first([Used(team, **sums.get(team.pk, {})) for team in Team.objects.all()])


def in_all(rows: list[Used]) -> Used:
    """The sum of several lines."""
    total = Used(Team())
    for row in rows:
        for name in ("clips", "clip_bytes", "uploads", "upload_bytes", "binned_bytes"):
            setattr(total, name, getattr(total, name) + getattr(row, name))
    return total


def _most_first(rows: list[Used]) -> list[Used]:
    return sorted(rows, key=lambda used: (-used.bytes, str(used.whose)))


# -- what a team lets go of -------------------------------------------------------------------------------------------


def let_go(team: Team, days: int, now: datetime | None = None) -> QuerySet[Generation]:
    """Clips of a team that are older than so many days, and that nobody holds on to.

    Held on to: marked as kept, somebody's favourite, in a collection, shown by an open share link. What is in the bin
    already is left out.
    """
    before = (now or timezone.now()) - timedelta(days=days)
    here = OuterRef("pk")
    return Generation.objects.filter(
        ~Exists(Favourite.objects.filter(generation=here)),
        ~Exists(CollectionItem.objects.filter(generation=here)),
        ~Exists(SharedClip.objects.filter(generation=here, link__in=ShareLink.open())),
        team=team,
        status=Status.COMPLETED,
        clip__state=Clip.State.STORED,
        clip__stored_at__lt=before,
        binned_at=None,
    ).exclude(mark=Mark.KEEP)


def preview(team: Team, days: int) -> tuple[int, int]:
    """How many clips a rule of so many days would put into the bin now, and their bytes."""
    found = let_go(team, days).aggregate(clips=Count("pk"), bytes=Sum(F("clip__size") + F("clip__extra_size")))
    return found["clips"], found["bytes"] or 0


def read_days(typed: str) -> int:
    """Raises CannotSet."""
    typed = typed.strip()
    if not (typed.isascii() and typed.isdecimal() and len(typed) < 6 and SHORTEST <= int(typed) <= LONGEST):
        raise CannotSet(f"Type a number of days from {SHORTEST} to {LONGEST:,}. Nothing was changed.")
    return int(typed)


def set_rule(team: Team, who: User, days: int | None, **origin: str) -> None:
    """From now on clips that nobody holds on to go into the bin after so many days; None ends that."""
    with transaction.atomic():
        before = Team.objects.select_for_update().get(pk=team.pk).clear_after
        Team.objects.filter(pk=team.pk).update(clear_after=days)
        words = f"Clips nobody holds on to: {_rule(before)}; now {_rule(days)}"
        audit.record(who, "storage.rule", words, team=team, before=before, now=days, **origin)
    team.clear_after = days


def _rule(days: int | None) -> str:
    return f"into the bin after {days:,} days" if days else "stay"


def clear() -> int:
    """Puts a piece of what each team's rule names into the bin. How many clips that were, of all teams."""
    return sum(_clear(team) for team in Team.objects.filter(clear_after__isnull=False))


def _clear(team: Team) -> int:
    rows = let_go(team, team.clear_after or LONGEST)
    piece = list(rows.order_by("pk").values_list("pk", flat=True)[:PIECE])
    if not piece:
        return 0
    with transaction.atomic():
        gone = rows.filter(pk__in=piece).update(binned_at=timezone.now(), binned_by=None)
        if gone:
            size = Clip.objects.filter(generation__in=piece).aggregate(size=Sum("size"))["size"]
            words = f"The team's rule put {gone} clips ({bytes_words(size)}) into the bin"
            audit.record(None, "storage.cleared", words, team=team, clips=gone, newest=piece[-1])
    return gone


def newest_clearing(team: Team) -> datetime | None:
    return team.deeds.filter(action="storage.cleared").aggregate(at=Max("at"))["at"]
