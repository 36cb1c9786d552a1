"""The uploads of a team, to use again: which there are, how often each was used, what may go."""

import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.db.models import Count, F, QuerySet, Sum
from django.utils import timezone

from generations import archive, budgets, uploads
from generations.models import Clip, GenerationMedia, Media, Team, User

logger = logging.getLogger(__name__)

NAME_LENGTH = 60  # of the prompt, in the name of a frame


class NoFrame(Exception):
    """No picture can be taken from this clip now. The message is for people."""


@dataclass(frozen=True)
class Sums:
    """Of some uploads: how many, how many bytes on our storage, how many of them clips were made from."""

    number: int
    size: int
    used: int

    @property
    def unused(self) -> int:
        return self.number - self.used


def counted(rows: QuerySet[Media]) -> QuerySet[Media]:
    """With how many clips each was used for."""
    return rows.annotate(used=Count("uses__generation", distinct=True))


def unused(rows: QuerySet[Media]) -> QuerySet[Media]:
    return rows.exclude(pk__in=GenerationMedia.objects.filter(media__isnull=False).values("media"))


def sums(rows: QuerySet[Media]) -> Sums:
    total = rows.aggregate(number=Count("pk"), size=Sum(F("size") + F("extra_size"), default=0))
    return Sums(total["number"], total["size"], total["number"] - unused(rows).count())


def remove(team: Team, chosen: Iterable[Media]) -> tuple[int, int]:
    """Deletes uploads that no clip was made from, and takes the others out of the library. How many of each.

    Confirmations take the team's lock, too: none can name an upload while it goes. Files go after their rows.
    """
    pks = [media.pk for media in chosen]
    with transaction.atomic():
        budgets.lock(team.pk)
        going = list(unused(Media.objects.filter(team=team, pk__in=pks)))
        used = [pk for pk in pks if pk not in {media.pk for media in going}]
        hidden = Media.objects.filter(team=team, pk__in=used).update(hidden_at=timezone.now())
        Media.objects.filter(pk__in=[media.pk for media in going]).delete()
        transaction.on_commit(lambda: _delete_files(going), robust=True)
    return len(going), hidden


def _delete_files(gone: Iterable[Media]) -> None:
    for media in gone:
        for field in (media.file, media.poster):
            with suppress(OSError, ValueError):
                if field.name:
                    field.storage.delete(field.name)


def frame_of(clip: Clip, user: User, at: float | None = None) -> Media:
    """A picture of a kept clip as an upload of its team: at a time, else the last. The same picture is kept once.

    Raises NoFrame; then nothing is stored.
    """
    generation = clip.generation
    words = " ".join(re.sub(r"[/\\]", " ", generation.prompt).split())[:NAME_LENGTH].strip() or "Clip"
    which = "last frame" if at is None else f"frame at {at:.1f} s"
    try:
        with archive.workshop() as folder:
            archive.frame(clip, folder / "frame.jpg", at)
            data = (folder / "frame.jpg").read_bytes()
        return uploads.keep(generation.team, user, SimpleUploadedFile(f"{words}, {which}.jpg", data), Media.Kind.IMAGE)
    except (archive.CannotFetch, OSError, ValueError) as problem:
        logger.warning("no frame of clip %s: %s", clip.pk, problem)
        raise NoFrame("No picture can be taken from this clip: its file is missing or cannot be read.") from None
    except uploads.CannotKeep as problem:
        raise NoFrame(str(problem)) from None
