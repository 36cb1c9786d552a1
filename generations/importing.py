"""Brings a team's archive, as `exporting.py` writes it, into this installation.

An archive tells history: what was ordered, by whom, what it cost there and how it came out. Bringing it in orders
nothing, spends nothing, and touches no balance, budget or sum of this installation: the rows of the other ledger are
kept beside the generation, as what they are.
"""

import hashlib
import json
import re
import tarfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from generations import archive, audit, prompts
from generations.exporting import (
    CHUNK,
    CLIP_FACTS,
    CLIP_FILES,
    ENDED,
    FORMAT,
    KINDS,
    MANIFEST,
    MEDIA_FACTS,
    MEDIA_FILES,
    PIECE,
    PLAIN,
    TIMES,
    VERSION,
    CannotMove,
    Told,
)
from generations.models import (
    ApiAccount,
    Clip,
    Collection,
    CollectionItem,
    Favourite,
    Generation,
    GenerationMedia,
    Imported,
    Media,
    Membership,
    Project,
    Quote,
    Tag,
    Tagging,
    Team,
    User,
)

LISTS = ("people.jsonl", "projects.jsonl", "media.jsonl", "generations.jsonl", "collections.jsonl", "prompts.json")
SAFE_NAME = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*\.[a-z0-9]{1,8}")
LONGEST_LINE = 4 * 1024 * 1024


# -- in: where it is read ---------------------------------------------------------------------------------------------


class Source:
    """An archive to read from: names lead to bytes, and to nothing outside of it."""

    def open(self, name: str) -> IO[bytes]:
        raise NotImplementedError


class FolderIn(Source):
    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def open(self, name: str) -> IO[bytes]:
        place = self.path / _safe(name)
        if place.resolve() != place or not place.is_file():  # a link would lead out
            raise CannotMove(f"{name} is missing from the archive, or is no plain file.")
        return place.open("rb")


class TarIn(Source):
    def __init__(self, path: Path) -> None:
        try:
            self.tar = tarfile.open(path, "r:")  # noqa: SIM115 (it lives as long as the command)
            self.members: dict[str, tarfile.TarInfo] = {}
            for member in self.tar:
                if not member.isreg():
                    raise CannotMove(f"{member.name[:100]!r} in the archive is no plain file. Nothing was brought in.")
                if _safe(member.name) in self.members:
                    raise CannotMove(f"{member.name} is in the archive twice. Nothing was brought in.")
                self.members[member.name] = member
        except tarfile.TarError as problem:
            raise CannotMove(f"This is no whole tar file ({problem}). Nothing was brought in.") from None

    def open(self, name: str) -> IO[bytes]:
        member = self.members.get(_safe(name))
        file = self.tar.extractfile(member) if member else None
        if file is None:
            raise CannotMove(f"{name} is missing from the archive.")
        return file


def _safe(name: str) -> str:
    """A name that can lead nowhere but into the archive."""
    if not isinstance(name, str) or len(name) > 200 or not SAFE_NAME.fullmatch(name):
        raise CannotMove(f"{str(name)[:100]!r} is no name that an archive may hold. Nothing was brought in.")
    return name


def open_archive(path: Path) -> Source:
    if path.is_dir():
        return FolderIn(path)
    if not path.is_file():
        raise CannotMove(f"{path} is not there.")
    return TarIn(path)


def _manifest(source: Source) -> dict[str, Any]:
    """Checks what the archive says of itself, and that its lists are what they were."""
    try:
        with source.open(MANIFEST) as file:
            said = json.loads(file.read(PIECE))
        form, version, lists = said["format"], said["version"], said["lists"]
        if form != FORMAT or not isinstance(version, int) or not isinstance(said["team"], str):
            raise CannotMove("This is no archive of a team of Dailies. Nothing was brought in.")
    except CannotMove:
        raise
    except (ValueError, KeyError, TypeError):
        raise CannotMove("The archive's manifest cannot be read. Nothing was brought in.") from None
    if version > VERSION:
        raise CannotMove(
            f"The archive was written by a newer Dailies (format {version}; this one reads up to {VERSION}). "
            "Nothing was brought in."
        )
    for name in LISTS:
        with source.open(name) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != lists.get(name):  # type: ignore[arg-type]
                raise CannotMove(f"{name} in the archive is damaged. Nothing was brought in.")
    return said


def _rows(source: Source, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line of a list, with where it stands."""
    with source.open(name) as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
            where = f"{name}, line {number}"
            try:
                row = json.loads(line)
            except ValueError:
                raise CannotMove(f"{where}, cannot be read.") from None
            if not isinstance(row, dict):
                raise CannotMove(f"{where}, is no row.")
            yield where, row


# -- in ---------------------------------------------------------------------------------------------------------------


@dataclass
class Moving:
    """One archive on its way in: what has been found and made so far."""

    source: Source
    team: Team
    origin: str
    account: ApiAccount
    people: dict[str, User] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def user(self, email: Any) -> User:
        return self.people[str(email)]

    def maybe(self, email: Any) -> User | None:
        return self.user(email) if email else None


def read(path: Path, into: str = "", with_members: bool = False, tell: Told = lambda line: None) -> Counter[str]:
    """Brings an archive in. What is here already stays as it is, so that a run goes on where another was stopped.

    Raises CannotMove. A clip is there whole, with its files and its history, or not at all.
    """
    source = open_archive(path)
    said = _manifest(source)
    name = (into or said["team"]).strip()
    if not name or len(name) > 80:
        raise CannotMove("The team needs a name of at most 80 characters. Nothing was brought in.")
    with transaction.atomic():
        team, made = Team.objects.get_or_create(name=name, defaults={"time_zone": _zone(said.get("time_zone"))})
        _refuse_another_teams(source, team)
        origin = f"team {said['team']}, exported {str(said.get('exported_at'))[:10]}"[:200]
        moving = Moving(source, team, origin, _account())
        moving.counts["teams"] += made
        _people_in(moving, with_members)
        _projects_in(moving)
        audit.record(None, "team.imported", f"History of {origin}", team=team)
    for where, row in _rows(source, "media.jsonl"):
        _one(where, _medium_in, moving, row)
    for where, row in _rows(source, "generations.jsonl"):
        _one(where, _generation_in, moving, row)
        if sum(moving.counts[word] for word in ("generations", "generations there already")) % 500 == 0:
            tell(f"{moving.counts['generations']:,} generations brought in …")
    for where, row in _rows(source, "collections.jsonl"):
        _one(where, _collection_in, moving, row)
    _prompts_in(moving)
    return moving.counts


def _zone(name: Any) -> str:
    zone = Team(name="x", time_zone=str(name))
    try:
        zone.clean_fields()
    except ValidationError:
        return "UTC"
    return zone.time_zone


def _account() -> ApiAccount:
    """What imported prices hang on: no account of ours, without a key, offered nowhere."""
    return ApiAccount.everywhere.get_or_create(
        state=ApiAccount.State.ELSEWHERE, defaults={"name": "Other installations"}
    )[0]


def _refuse_another_teams(source: Source, team: Team) -> None:
    """History that is in another team of this installation would have to be there twice."""
    keys: list[str] = []
    for where, row in _rows(source, "generations.jsonl"):
        keys.append(str(row.get("key")))
        try:
            uuid.UUID(keys[-1])
        except ValueError:
            raise CannotMove(f"{where}: it has no key. Nothing was brought in.") from None
        if len(keys) == CHUNK:
            _refuse(keys, team)
            keys.clear()
    _refuse(keys, team)


def _refuse(keys: list[str], team: Team) -> None:
    other = Generation.objects.filter(nonce__in=keys).exclude(team=team).select_related("team").first()
    if other:
        raise CannotMove(f"This history is in team {other.team} of this installation already. Nothing was brought in.")


def _one(where: str, bring: Callable[[Moving, dict[str, Any]], None], moving: Moving, row: dict[str, Any]) -> None:
    """One row of a list, as one deed."""
    try:
        bring(moving, row)
    except CannotMove as problem:
        raise CannotMove(f"{where}: {problem} What came before it is in; run it again with a whole archive.") from None
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as problem:
        raise CannotMove(
            f"{where}, is not what this Dailies expects ({type(problem).__name__}: {str(problem)[:200]}). "
            "What came before it is in."
        ) from None


def _people_in(moving: Moving, with_members: bool) -> None:
    """By their addresses. Who is not here becomes an account that nobody can sign in with."""
    for where, row in _rows(moving.source, "people.jsonl"):
        email = str(row.get("email", "")).lower()
        try:
            validate_email(email)
        except ValidationError:
            raise CannotMove(f"{where}: {email[:60]!r} is no email address. Nothing was brought in.") from None
        user = User.objects.filter(email__iexact=email).first()
        if user is None:
            user = User.objects.create_user(email, None, name=str(row.get("name") or "")[:120], is_active=False)
            moving.counts["people"] += 1
        moving.people[str(row["email"])] = user
        if with_members and row.get("role") in Membership.Role:
            Membership.objects.get_or_create(team=moving.team, user=user, defaults={"role": row["role"]})


def _projects_in(moving: Moving) -> None:
    for _, row in _rows(moving.source, "projects.jsonl"):
        name = str(row["name"])[:80]
        defaults = {"archived_at": _time(row.get("archived_at"))}
        moving.projects[name], made = Project.objects.get_or_create(team=moving.team, name=name, defaults=defaults)
        moving.counts["projects"] += made


def _time(text: Any) -> datetime | None:
    return parse_datetime(text) if text else None


def _at(text: Any) -> datetime:
    found = parse_datetime(text)
    if found is None:
        raise ValueError("no time")
    return found


def _day(text: Any) -> date:
    found = parse_date(text)
    if found is None:
        raise ValueError("no day")
    return found


def _unpack(moving: Moving, made: dict[str, Any], to: Path) -> Path:
    """Copies one file of the archive to our disk. Raises CannotMove when it is not what its row says."""
    digest, size = hashlib.sha256(), 0
    with moving.source.open(made["name"]) as source, to.open("wb") as target:
        while piece := source.read(PIECE):
            size += len(piece)
            if size > int(made["size"]):
                break
            digest.update(piece)
            target.write(piece)
    if size != made["size"] or digest.hexdigest() != made["sha256"]:
        raise CannotMove(f"{made['name']} in the archive is damaged.")
    return to


def _stored_in(
    moving: Moving, row: Model, files: dict[str, Any], columns: dict[str, str], save: Callable[[], None]
) -> None:
    """Checks the files of one row, puts them into storage and saves the row: all of it or nothing."""
    extra = 0
    with archive.workshop() as folder, archive.shelf() as put:
        name = uuid.uuid4().hex
        for what, made in files.items():
            local = _unpack(moving, made, folder / what)
            suffix = re.sub(r"^[0-9a-f]+", "", Path(made["name"]).name)
            with local.open("rb") as content:
                put(getattr(row, columns[what]), name + suffix, File(content))
            extra += 0 if what in ("video", "file") else local.stat().st_size
        if hasattr(row, "extra_size"):
            row.extra_size = extra
        with transaction.atomic():
            save()


def _check(row: Model, *names: str) -> None:
    """What a form would check of these fields: kind, length, choices. Raises ValidationError."""
    for name in names:
        column: Any = row._meta.get_field(name)
        value = getattr(row, name)
        if value is None and column.null:
            continue
        setattr(row, name, column.clean(value, row))


def _medium_in(moving: Moving, said: dict[str, Any]) -> None:
    key = uuid.UUID(said["key"])
    if Media.objects.filter(key=key).exists() or "file" not in said["files"]:
        moving.counts["uploads there already"] += 1
        return
    if said["content_type"] not in KINDS:  # it is what browsers are told that the bytes are
        raise ValueError("no kind of file that may be uploaded")
    row = Media(team=moving.team, owner=moving.user(said["owner"]), key=key, created_at=_at(said["at"]))
    for name in MEDIA_FACTS:
        setattr(row, name, said[name])
    _check(row, *MEDIA_FACTS)
    _stored_in(moving, row, said["files"], MEDIA_FILES, row.save)
    moving.counts["uploads"] += 1


def _generation_in(moving: Moving, said: dict[str, Any]) -> None:
    key = uuid.UUID(said["key"])
    if Generation.objects.filter(nonce=key).exists():
        moving.counts["generations there already"] += 1
        return
    if said["status"] not in ENDED:
        raise CannotMove("It had not ended.")
    row = Generation(team=moving.team, owner=moving.user(said["owner"]), nonce=key, day=_day(said["day"]))
    for name in PLAIN:
        setattr(row, name, said[name])
    for name in TIMES:
        setattr(row, name, _time(said[name]))
    row.took, row.mark = said["took"], said["mark"]
    row.marked_by, row.binned_by = moving.maybe(said["marked_by"]), moving.maybe(said["binned_by"])
    row.project = moving.projects[said["project"]] if said["project"] else None
    if not (isinstance(row.params, dict) and isinstance(said["quote"]["billing"], dict)):
        raise TypeError("parameters are an object")
    _check(row, *(name for name in PLAIN if name != "params"), "took", "mark")
    clip = _clip_in(row, said["clip"]) if said["clip"] else None
    files = said["clip"]["files"] if clip else {}

    def save() -> None:
        _history_in(moving, row, said)
        if clip:
            clip.generation = row
            clip.save()

    if clip:
        _stored_in(moving, clip, files, CLIP_FILES, save)
        moving.counts["clips"] += clip.state == Clip.State.STORED
    else:
        with transaction.atomic():
            save()
    moving.counts["generations"] += 1


def _clip_in(row: Generation, said: dict[str, Any]) -> Clip:
    """A clip that came with its file is stored here; one that did not is lost, as it was there."""
    clip = Clip(generation=row, fetch_at=None, stored_at=_time(said["stored_at"]), source_url="")
    for name in CLIP_FACTS:
        setattr(clip, name, said[name])
    video = said["files"].get("video")
    clip.state = Clip.State.GONE
    clip.trouble = "the archive that it came with did not hold its file"
    if video:
        whole = video["sha256"] == said["sha256"] and video["size"] == said["size"]
        clip.state = Clip.State.STORED if whole else Clip.State.DAMAGED
        clip.trouble = "" if whole else archive.CHANGED
    _check(clip, *CLIP_FACTS)
    return clip


def _history_in(moving: Moving, row: Generation, said: dict[str, Any]) -> None:
    """The rows around a generation. No row of the ledger among them."""
    quote = said["quote"]
    row.quote = Quote.objects.create(
        account=moving.account,
        digest="imported",
        billing=quote["billing"],
        credits=quote["credits"],
        at=_at(quote["at"]),
    )
    row.save()
    Imported.objects.create(generation=row, origin=moving.origin, entries=list(said["ledger"]))
    for use in said["media"]:
        medium = Media.objects.filter(key=uuid.UUID(use["media"]), team=moving.team).first() if use["media"] else None
        place = {"slot": str(use["slot"])[:20], "position": int(use["position"])}
        GenerationMedia.objects.create(generation=row, media=medium, url=_web(use["url"]), **place)
    for tagging in said["tags"]:
        tag, _ = Tag.objects.get_or_create(team=moving.team, name=str(tagging["name"])[:40])
        Tagging.objects.create(tag=tag, generation=row, by=moving.user(tagging["by"]), at=_at(tagging["at"]))
    for heart in said["favourites"]:
        Favourite.objects.create(user=moving.user(heart["by"]), generation=row, at=_at(heart["at"]))


def _web(url: Any) -> str:
    return str(url)[:2048] if str(url).startswith(("http://", "https://")) else ""


def _collection_in(moving: Moving, said: dict[str, Any]) -> None:
    owner, private = moving.user(said["owner"]), bool(said["private"])
    whose: QuerySet[Collection] = Collection.objects.filter(team=moving.team, private=private)
    if private:
        whose = whose.filter(owner=owner)
    name = str(said["name"])[:80]
    with transaction.atomic():
        row = whose.filter(name__iexact=name).first()
        if row is None:
            fields = {"owner": owner, "private": private, "created_at": _at(said["at"])}
            row = Collection.objects.create(team=moving.team, name=name, **fields)
            moving.counts["collections"] += 1
        for item in said["items"]:
            generation = Generation.objects.filter(team=moving.team, nonce=uuid.UUID(item["key"])).first()
            if generation:
                given = {"added_by": moving.user(item["by"]), "at": _at(item["at"])}
                CollectionItem.objects.get_or_create(collection=row, generation=generation, defaults=given)


def _prompts_in(moving: Moving) -> None:
    with moving.source.open("prompts.json") as file:
        data = file.read(LONGEST_LINE)
    author = next(iter(moving.people.values()), None)
    try:
        written = prompts.read_file(data) if author else []
    except prompts.CannotImport as problem:
        raise CannotMove(f"prompts.json: {problem}. What came before it is in.") from None
    here = set(moving.team.prompts.values_list("title", "text"))
    fresh = [one for one in written if (one.title, one.text) not in here]
    if author and fresh:
        moving.counts["prompts"] += prompts.bring_in(moving.team, author, fresh)[0]
