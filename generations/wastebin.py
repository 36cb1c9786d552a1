"""The bin: clips that people delete are kept for BIN_DAYS, then their files go. Rows and books stay for ever.

A clip in the bin is in no gallery and none of its bytes is served; it comes back as it was. Emptying has two steps,
so that nothing is half gone: first the rows say that a clip is deleted, in one transaction, then a worker removes its
files and repeats that until the storage did it.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import BigIntegerField, Case, CharField, F, Q, Value, When
from django.utils import timezone

from generations import access, archive, audit
from generations.models import Clip, Generation, Mark, Status, Team, User
from generations.shelf import Done, count_words

logger = logging.getLogger(__name__)

FINISHED = (Status.COMPLETED, Status.FAILED, Status.REJECTED, Status.CANCELLED)
PIECE = 200  # clips that are emptied in one run

UNDER_WAY = "still under way (cancel first)"
UNKNOWN = "of unknown outcome (decide first)"
NOT_YOURS = "of somebody else (ask a manager)"


def kept_until(generation: Generation) -> datetime:
    """When its file goes by itself."""
    return (generation.binned_at or timezone.now()) + timedelta(days=settings.BIN_DAYS)


def _why_not(who: User, clip: Generation, everybodys: bool) -> str:
    if not (everybodys or access.may_bin(who, clip)):
        return NOT_YOURS
    if clip.status == Status.UNCONFIRMED:
        return UNKNOWN
    stored = getattr(clip, "clip", None)
    if clip.status not in FINISHED or (stored and stored.state == Clip.State.PENDING):
        return UNDER_WAY
    return ""


def throw(who: User, clips: Sequence[Generation]) -> Done:
    """Into the bin: one's own, or anybody's for a manager. What it cost stays in the books."""
    done, teams = Done(), {clip.team_id: clip.team for clip in clips}
    everybodys = {pk for pk, team in teams.items() if access.may_bin_any(who, team)}
    may = []
    for clip in clips:
        why = _why_not(who, clip, clip.team_id in everybodys)
        done.left_out.update([why] if why else [])
        may += [] if why else [clip.pk]
    settled = ~Q(clip__state=Clip.State.PENDING)  # none: it never had a clip
    rows = Generation.objects.filter(settled, pk__in=may, binned_at=None, status__in=FINISHED)
    _move(who, rows, done, teams.values(), "binned", binned_at=timezone.now(), binned_by=who)
    return done


def restore(who: User, clips: Sequence[Generation]) -> Done:
    """Back to where it was, with its hearts, tags and collections.

    What the team's rule had thrown away is marked as kept with it: else the rule would throw it away again.
    """
    done, teams = Done(), {clip.team_id: clip.team for clip in clips}
    rows = Generation.objects.filter(pk__in=[c.pk for c in clips], binned_at__isnull=False, cleared_at=None)
    by_the_rule = Q(binned_by=None, mark=Mark.NONE)
    mark = Case(When(by_the_rule, then=Value(Mark.KEEP.value)), default=F("mark"), output_field=CharField())
    marked_by = Case(When(by_the_rule, then=Value(who.pk)), default=F("marked_by"), output_field=BigIntegerField())
    kept = {"mark": mark, "marked_by": marked_by}
    _move(who, rows, done, teams.values(), "restored", binned_at=None, binned_by=None, **kept)
    return done


def erase(who: User, clips: Sequence[Generation]) -> Done:
    """For good, before its time. The worker that empties the bin removes the files."""
    done, teams = Done(), {clip.team_id: clip.team for clip in clips}
    may = {pk for pk, team in teams.items() if access.may_erase(who, team)}
    done.left_out.update("for a manager to delete" for clip in clips if clip.team_id not in may)
    with transaction.atomic():
        done.pks = _clear([clip.pk for clip in clips if clip.team_id in may])
        _record(who, "erased", done.pks, teams.values())
    return done


def _move(who: User, rows: object, done: Done, teams: Iterable[Team], deed: str, **fields: object) -> None:
    """One guarded UPDATE; of two people at once each clip is moved, and counted, by one of them."""
    with transaction.atomic():
        found = rows.select_for_update(of=("self",)).order_by("pk")  # type: ignore[attr-defined]
        done.pks = list(found.values_list("pk", flat=True))
        Generation.objects.filter(pk__in=done.pks).update(**fields)
        _record(who, deed, done.pks, teams)


def _record(who: User | None, deed: str, pks: Sequence[int], teams: Iterable[Team]) -> None:
    for team in teams:
        own = list(Generation.objects.filter(pk__in=pks, team=team).values_list("pk", flat=True))
        if own:
            audit.record(who, f"clips.{deed}", f"{count_words(len(own))} {deed}", team=team, generations=own[:1000])


def _clear(pks: Sequence[int]) -> list[int]:
    """The rows say from now on that these are deleted. Those that it was done to."""
    rows = Generation.objects.filter(pk__in=pks, binned_at__isnull=False, cleared_at=None)
    cleared = list(rows.select_for_update().values_list("pk", flat=True))
    Generation.objects.filter(pk__in=cleared).update(cleared_at=timezone.now())
    clips = Clip.objects.filter(generation__in=cleared)
    list(clips.select_for_update().values_list("pk"))  # a clip that is about to lean on one of them is waited for
    clips.update(state=Clip.State.DELETED, fetch_at=None)
    return cleared


def empty(now: datetime | None = None) -> int:
    """Deletes for good what was in the bin long enough, and the files of what is deleted. How many clips that were."""
    before = (now or timezone.now()) - timedelta(days=settings.BIN_DAYS)
    due = Generation.objects.filter(binned_at__lt=before, cleared_at=None).order_by("binned_at")
    pks = list(due.values_list("pk", flat=True)[:PIECE])
    cleared: list[int] = []
    if pks:
        with transaction.atomic():
            cleared = _clear(pks)
            teams = Team.objects.filter(generations__in=cleared).distinct()
            _record(None, "emptied", cleared, teams)
    _remove_files()
    return len(cleared)


def _remove_files() -> None:
    for clip in Clip.objects.filter(state=Clip.State.DELETED).exclude(file="", poster="", preview="")[:PIECE]:
        try:
            archive.throw_away(clip)
        except OSError as problem:
            logger.warning("clip %s: its file cannot be removed now (%s)", clip.pk, problem)
