"""How people put clips in order: hearts, marks, tags, collections.

Each deed takes clips that its person may open, and says to how many it applied and what it left out, and why. Doing a
thing twice does it once. Two people at once lose nothing: what is added are rows, and a name changes only from the name
that was read.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from generations import access, audit, budgets
from generations.models import Collection, CollectionItem, Favourite, Generation, Mark, Status, Tag, Tagging, Team, User

NOTHING = "Nothing was changed."
NAME_LENGTH = 80
TAG_LENGTH = 40
MOST_TAGS = 30  # on one clip
MOST_COLLECTIONS = 500  # of a team
SUGGESTED = 100

WATCHING = "you only watch that team"
THERE = "already so"
UNFINISHED = "without a finished clip"


class CannotOrganise(Exception):
    """It is not done. The message says why; nothing was changed."""


@dataclass
class Done:
    """To how many clips a deed applied, and what it left out: reason -> how many."""

    pks: list[int] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.pks)

    def in_words(self, deed: str) -> str:
        """`18 clips tagged. Left out: 2 already so.`"""
        said = f"{count_words(len(self))} {deed}."
        if self.left_out:
            said += " Left out: " + ", ".join(f"{number:,} {why}" for why, number in self.left_out.items()) + "."
        return said


def count_words(number: int) -> str:
    return f"{number:,} clip{'' if number == 1 else 's'}" if number else "No clip"


def _organised(who: User, clips: Iterable[Generation], done: Done) -> list[Generation]:
    """Those of teams in which the person does more than watch; the others are left out."""
    clips = list(clips)
    teams = {clip.team_id: clip.team for clip in clips}
    open_teams = {pk for pk, team in teams.items() if access.may_organise(who, team)}
    done.left_out.update(WATCHING for clip in clips if clip.team_id not in open_teams)
    return [clip for clip in clips if clip.team_id in open_teams]


# -- hearts -----------------------------------------------------------------------------------------------------------


def favour(who: User, clips: Sequence[Generation], on: bool) -> Done:
    """One's own heart on clips, or off them."""
    done, pks = Done(), [clip.pk for clip in clips]
    with transaction.atomic():
        hearts = Favourite.objects.filter(user=who, generation__in=pks)
        hearted = set(hearts.values_list("generation", flat=True))
        done.pks = [pk for pk in pks if (pk in hearted) != on]
        done.left_out.update(THERE for pk in pks if (pk in hearted) == on)
        if on:
            new = [Favourite(user=who, generation_id=pk) for pk in done.pks]
            Favourite.objects.bulk_create(new, ignore_conflicts=True)
        else:
            hearts.delete()
    return done


# -- marks ------------------------------------------------------------------------------------------------------------


def mark(who: User, clips: Sequence[Generation], word: Mark) -> Done:
    """What the team made of clips: kept, rejected, or not decided again."""
    done = Done()
    for clip in _organised(who, clips, done):
        if clip.status != Status.COMPLETED:
            done.left_out[UNFINISHED] += 1
        elif clip.mark == word:
            done.left_out[THERE] += 1
        else:
            done.pks.append(clip.pk)
    Generation.objects.filter(pk__in=done.pks).update(mark=word, marked_by=who if word else None)
    return done


# -- tags -------------------------------------------------------------------------------------------------------------


def read_tag(typed: str) -> str:
    """As it is kept: small, without spaces around. Raises CannotOrganise."""
    name = " ".join(unicodedata.normalize("NFC", typed).replace("\x00", "").lower().split())
    if not name:
        raise CannotOrganise(f"Type a tag. {NOTHING}")
    if len(name) > TAG_LENGTH:
        raise CannotOrganise(f"A tag has at most {TAG_LENGTH} characters; this has {len(name)}. {NOTHING}")
    if not any(letter.isalnum() for letter in name):
        raise CannotOrganise(f"A tag needs a letter or a figure. {NOTHING}")
    return name


def read_tags(typed: str) -> list[str]:
    """Several, with commas between them."""
    names = list(dict.fromkeys(read_tag(part) for part in typed.split(",") if part.strip()))
    if len(names) > MOST_TAGS:
        raise CannotOrganise(f"A clip has at most {MOST_TAGS} tags; these are {len(names)}. {NOTHING}")
    return names or [read_tag("")]


def tags_of(team: Team) -> QuerySet[Tag]:
    """The team's tags, by name, each with how many clips have it."""
    return team.tags.annotate(number=Count("taggings")).order_by("name")


def suggested(team: Team) -> QuerySet[Tag]:
    """The most used ones first."""
    return team.tags.annotate(number=Count("taggings")).order_by("-number", "name")[:SUGGESTED]


def tag(who: User, clips: Sequence[Generation], names: Sequence[str]) -> Done:
    done = Done()
    by_team: dict[int, list[int]] = {}
    for clip in _organised(who, clips, done):
        by_team.setdefault(clip.team_id, []).append(clip.pk)
    for team, pks in by_team.items():
        with transaction.atomic():
            budgets.lock(team)  # against a tag that goes because nobody has it any more
            _tag(who, team, pks, names, done)
    return done


def _tag(who: User, team: int, pks: list[int], names: Sequence[str], done: Done) -> None:
    tags = [Tag.objects.get_or_create(team_id=team, name=name)[0] for name in names]
    there: dict[int, set[int]] = {pk: set() for pk in pks}
    for pk, held in Tagging.objects.filter(generation__in=pks).values_list("generation", "tag"):
        there[pk].add(held)
    new = []
    for pk in pks:
        missing = [each for each in tags if each.pk not in there[pk]]
        if not missing:
            done.left_out[THERE] += 1
        elif len(there[pk]) + len(missing) > MOST_TAGS:
            done.left_out[f"with {MOST_TAGS} tags already"] += 1
        else:
            done.pks.append(pk)
            new += [Tagging(tag=each, generation_id=pk, by=who) for each in missing]
    Tagging.objects.bulk_create(new, ignore_conflicts=True)
    _forget_unused(tags)


def untag(who: User, clips: Sequence[Generation], name: str) -> Done:
    done = Done()
    for clip in _organised(who, clips, done):
        with transaction.atomic():
            budgets.lock(clip.team_id)
            tags = list(Tag.objects.filter(team=clip.team_id, name=name))
            gone, _ = Tagging.objects.filter(tag__in=tags, generation=clip).delete()
            _forget_unused(tags)
        if gone:
            done.pks.append(clip.pk)
        else:
            done.left_out["without that tag"] += 1
    return done


def _forget_unused(tags: Iterable[Tag]) -> None:
    """A tag that no clip has is suggested to nobody."""
    Tag.objects.filter(pk__in=[each.pk for each in tags], taggings=None).delete()


def rename_tag(who: User, team: Team, seen: str, typed: str) -> str:
    """On every clip at once. Into a tag that there is already, the two become one. Returns the new name."""
    name = read_tag(typed)
    with transaction.atomic():
        budgets.lock(team.pk)
        old = team.tags.filter(name=seen).first()
        if old is None:
            raise CannotOrganise(f"There is no tag “{seen[:TAG_LENGTH]}” any more. {NOTHING}")
        into = team.tags.filter(name=name).exclude(pk=old.pk).first()
        if into:
            old.taggings.exclude(generation__in=into.taggings.values("generation")).update(tag=into)
            old.delete()
        else:
            team.tags.filter(pk=old.pk).update(name=name)
        audit.record(who, "tag.renamed", f"Tag {seen}: now {name}", team=team, merged=bool(into))
    return name


def delete_tag(who: User, team: Team, name: str) -> int:
    """Off every clip. How many had it."""
    with transaction.atomic():
        budgets.lock(team.pk)
        old = team.tags.filter(name=name).first()
        if old is None:
            raise CannotOrganise(f"There is no tag “{name[:TAG_LENGTH]}” any more. {NOTHING}")
        number = old.taggings.count()
        old.delete()
        audit.record(who, "tag.deleted", f"Tag {name}, of {count_words(number)}", team=team)
    return number


# -- collections ------------------------------------------------------------------------------------------------------


def read_name(typed: str) -> str:
    """Raises CannotOrganise."""
    name = " ".join(typed.replace("\x00", "").split())
    if not name:
        raise CannotOrganise(f"Type the name of the collection. {NOTHING}")
    if len(name) > NAME_LENGTH:
        raise CannotOrganise(f"A name has at most {NAME_LENGTH} characters; this has {len(name)}. {NOTHING}")
    return name


def _taken(name: str) -> CannotOrganise:
    return CannotOrganise(f"There is a collection “{name}” already. {NOTHING}")


def make(who: User, team: Team, typed: str, private: bool) -> Collection:
    name = read_name(typed)
    if team.collections.count() >= MOST_COLLECTIONS:
        raise CannotOrganise(f"A team has at most {MOST_COLLECTIONS} collections. Delete one first. {NOTHING}")
    try:
        with transaction.atomic():
            return Collection.objects.create(team=team, owner=who, name=name, private=private)
    except IntegrityError:
        raise _taken(name) from None


def rename(who: User, collection: Collection, seen: str, typed: str) -> None:
    """From the name that the person saw: what somebody else changed meanwhile is not overwritten unread."""
    name = read_name(typed)
    try:
        with transaction.atomic():
            renamed = Collection.objects.filter(pk=collection.pk, name=seen).update(name=name)
            if renamed:
                audit.record(who, "collection.renamed", f"Collection {seen}: now {name}", team=collection.team)
    except IntegrityError:
        raise _taken(name) from None
    if not renamed:
        now = Collection.objects.filter(pk=collection.pk).values_list("name", flat=True).first()
        became = f"It is called “{now}” now" if now else "It was deleted"
        raise CannotOrganise(f"Somebody else changed this collection meanwhile. {became}. {NOTHING}")
    collection.name = name


def delete(who: User, collection: Collection) -> None:
    """Its clips stay where they are."""
    with transaction.atomic():
        words = f"Collection {collection}, of {count_words(collection.items.count())}"
        audit.record(who, "collection.deleted", words, team=collection.team)
        collection.delete()


def add(who: User, clips: Sequence[Generation], collection: Collection) -> Done:
    """At the end, in the order in which they are given."""
    done = Done()
    ours = [clip for clip in _organised(who, clips, done) if clip.team_id == collection.team_id]
    with transaction.atomic():
        held = Collection.objects.select_for_update().filter(pk=collection.pk).first()
        if held is None:
            raise CannotOrganise(f"The collection “{collection}” was deleted meanwhile. {NOTHING}")
        there = set(held.items.filter(generation__in=ours).values_list("generation", flat=True))
        done.pks = [clip.pk for clip in ours if clip.pk not in there]
        new = [CollectionItem(collection=held, generation_id=pk, added_by=who) for pk in done.pks]
        CollectionItem.objects.bulk_create(new, ignore_conflicts=True)
    if there:
        done.left_out["in it already"] = len(there)
    foreign = len(clips) - len(ours) - done.left_out[WATCHING]
    if foreign:
        done.left_out["of another team"] = foreign
    return done


def remove(who: User, clips: Sequence[Generation], collection: Collection) -> Done:
    done = Done()
    ours = [clip.pk for clip in _organised(who, clips, done)]
    with transaction.atomic():
        items = collection.items.filter(generation__in=ours)
        there = set(items.values_list("generation", flat=True))
        items.delete()
    done.pks = [pk for pk in ours if pk in there]
    if len(done) < len(ours):
        done.left_out["not in it"] = len(ours) - len(done)
    return done
