"""A team's clips and their history as one archive: a folder, or a tar. `importing.py` brings it into an installation.

The format stands in docs/team-archive.md. Changes nothing.
"""

import hashlib
import json
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.core.files import File
from django.utils import timezone

from generations import archive, prompts
from generations.models import (
    UNFINISHED,
    Clip,
    Collection,
    Generation,
    Media,
    Membership,
    Status,
    Team,
    User,
)

FORMAT, VERSION = "dailies-team", 1
MANIFEST = "manifest.json"
PIECE = 1024 * 1024
CHUNK = 200
ENDED = [status for status in Status if status not in (*UNFINISHED, Status.UNCONFIRMED)]
PLAIN = ("status", "mode", "generation_type", "params", "prompt", "price", "charged", "upstream_id", "upstream_words")
TIMES = ("created_at", "queued_at", "sent_at", "finished_at", "binned_at")
CLIP_FACTS = ("size", "sha256", "width", "height", "seconds", "fps", "sound")
CLIP_FILES = {"video": "file"} | {name: name for name in Clip.FILES if name != "file"}
MEDIA_FACTS = ("kind", "name", "content_type", "size", "width", "height")
MEDIA_FILES = {"file": "file", "poster": "poster"}
KINDS = ("image/jpeg", "image/png", "image/webp", "video/mp4", "video/quicktime")
SUFFIXES = {"video": ".mp4"} | archive.SUFFIXES
Told = Callable[[str], None]


class CannotMove(Exception):
    """The archive cannot be written or read. The message is for people, and says what was done."""


# -- out: where it is written -----------------------------------------------------------------------------------------


class Hashing:
    """Passes a file on and knows its SHA-256 at the end."""

    def __init__(self, source: IO[bytes] | File) -> None:
        self.source, self.digest = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self.source.read(size)
        self.digest.update(piece)
        return piece


class FolderOut:
    """Writes an archive as a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise CannotMove(f"{path} is not empty. Nothing was written.")

    def add(self, name: str, content: IO[bytes] | File, size: int) -> str:
        source, to = Hashing(content), self.path / name
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("wb") as target:
            while piece := source.read(PIECE):
                target.write(piece)
        return source.digest.hexdigest()

    def end(self, whole: bool) -> None:
        """A folder without a manifest is known to be incomplete."""


class TarOut:
    """Writes an archive as one tar, under a name of its own until it is whole."""

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise CannotMove(f"{path} is there already. Nothing was written.")
        self.path, self.part = path, path.with_name(path.name + ".part")
        self.tar = tarfile.open(self.part, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 (closed by `end`)

    def add(self, name: str, content: IO[bytes] | File, size: int) -> str:
        source, member = Hashing(content), tarfile.TarInfo(name)
        member.size, member.mtime = size, int(timezone.now().timestamp())
        self.tar.addfile(member, source)
        return source.digest.hexdigest()

    def end(self, whole: bool) -> None:
        self.tar.close()
        if whole:
            self.part.rename(self.path)
        else:
            self.part.unlink(missing_ok=True)


Out = FolderOut | TarOut


@contextmanager
def _box(path: Path) -> Iterator[Out]:
    box: Out = TarOut(path) if path.suffix == ".tar" else FolderOut(path)
    whole = False
    try:
        yield box
        whole = True
    finally:
        box.end(whole)


# -- out --------------------------------------------------------------------------------------------------------------


def write(team: Team, path: Path, tell: Told = lambda line: None) -> Counter[str]:
    """Writes everything of a team that has ended. How many of what there were. Raises CannotMove, OSError."""
    counts: Counter[str] = Counter()
    sums: dict[str, str] = {}
    people: set[int] = set(team.members.values_list("pk", flat=True))

    def put(name: str, rows: Iterable[dict[str, Any]]) -> None:
        """A list goes through a file on our disk: a tar has to know its length before."""
        with tempfile.TemporaryFile(dir=folder) as file:
            for row in rows:
                counts[name.partition(".")[0]] += 1
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=str).encode() + b"\n")
            size = file.tell()
            file.seek(0)
            sums[name] = box.add(name, file, size)

    with _box(path) as box, archive.workshop() as folder:
        put("projects.jsonl", ({"name": row.name, "archived_at": row.archived_at} for row in team.projects.all()))
        put("media.jsonl", (_medium_out(row, box, people, counts, tell) for row in team.media.order_by("pk")))
        put("generations.jsonl", (_generation_out(row, box, people, counts, tell) for row in _history(team)))
        put("collections.jsonl", (_collection_out(row, people) for row in team.collections.order_by("pk")))
        put("people.jsonl", _people_out(team, people))
        texts = json.dumps(prompts.exported(team.prompts.filter(archived_at=None, shared=True))).encode()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(texts)
            file.seek(0)
            sums["prompts.json"] = box.add("prompts.json", file, len(texts))
        said = {"format": FORMAT, "version": VERSION, "team": team.name, "time_zone": team.time_zone}
        said |= {"exported_at": timezone.now().isoformat(), "counts": dict(counts), "lists": sums}
        last = json.dumps(said, indent=1).encode()
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(last)
            file.seek(0)
            box.add(MANIFEST, file, len(last))
    return counts


def _history(team: Team) -> Iterator[Generation]:
    """Oldest first, a chunk at a time."""
    rows = team.generations.filter(status__in=ENDED).order_by("pk")
    rows = rows.select_related("owner", "project", "quote__account", "clip", "marked_by", "binned_by", "imported")
    rows = rows.prefetch_related("media__media", "entries", "taggings__tag", "taggings__by", "favourites__user")
    last = 0
    while chunk := list(rows.filter(pk__gt=last)[:CHUNK]):
        last = chunk[-1].pk
        yield from chunk


def _who(user: User | None, people: set[int]) -> str | None:
    if user is None:
        return None
    people.add(user.pk)
    return user.email


def _file_out(box: Out, name: str, file: Any, counts: Counter[str], tell: Told) -> dict[str, Any] | None:
    """One file of a row. One that is not there is left out, and said."""
    if not file:
        return None
    try:
        size = file.size
        with file.open("rb") as content:
            digest = box.add(name, content, size)
    except FileNotFoundError:
        counts["files missing"] += 1
        tell(f"left out, missing from storage: {file.name}")
        return None
    counts["files"] += 1
    counts["bytes"] += size
    return {"name": name, "size": size, "sha256": digest}


def _generation_out(row: Generation, box: Out, people: set[int], counts: Counter[str], tell: Told) -> dict[str, Any]:
    imported = getattr(row, "imported", None)
    entries = imported.entries if imported else [_entry_out(entry) for entry in row.entries.all()]
    clip = getattr(row, "clip", None)
    return {
        "key": row.nonce.hex,
        "owner": _who(row.owner, people),
        "project": row.project.name if row.project else None,
        "day": row.day,
        "took": row.took,
        **{name: getattr(row, name) for name in (*PLAIN, *TIMES)},
        "mark": row.mark,
        "marked_by": _who(row.marked_by, people),
        "binned_by": _who(row.binned_by, people),
        "quote": {
            "billing": row.quote.billing,
            "credits": row.quote.credits,
            "at": row.quote.at,
            "demo": row.quote.account.demo,
        },
        "media": [
            {
                "slot": use.slot,
                "position": use.position,
                "media": use.media.key.hex if use.media else None,
                "url": use.url,
            }
            for use in row.media.all()
        ],
        "ledger": entries,
        "tags": [{"name": t.tag.name, "by": _who(t.by, people), "at": t.at} for t in row.taggings.all()],
        "favourites": [{"by": _who(heart.user, people), "at": heart.at} for heart in row.favourites.all()],
        "clip": _clip_out(clip, row.nonce.hex, box, counts, tell) if clip else None,
    }


def _entry_out(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in ("kind", "held", "spent", "why", "demo", "day", "at")}


def _clip_out(clip: Clip, key: str, box: Out, counts: Counter[str], tell: Told) -> dict[str, Any]:
    files = {}
    if clip.state in (Clip.State.STORED, Clip.State.DAMAGED):
        for what, column in CLIP_FILES.items():
            made = _file_out(box, f"clips/{key}{SUFFIXES[what]}", getattr(clip, column), counts, tell)
            if made:
                files[what] = made
    facts = {name: getattr(clip, name) for name in CLIP_FACTS}
    return {"state": clip.state, "stored_at": clip.stored_at, **facts, "files": files}


def _medium_out(row: Media, box: Out, people: set[int], counts: Counter[str], tell: Told) -> dict[str, Any]:
    files = {}
    for what, column in MEDIA_FILES.items():
        file = getattr(row, column)
        suffix = Path(file.name).suffix.lower() if file else ""
        made = _file_out(box, f"media/{row.key.hex}{'-poster' if what == 'poster' else ''}{suffix}", file, counts, tell)
        if made:
            files[what] = made
    facts = {name: getattr(row, name) for name in MEDIA_FACTS}
    return {"key": row.key.hex, "owner": _who(row.owner, people), "at": row.created_at, **facts, "files": files}


def _collection_out(row: Collection, people: set[int]) -> dict[str, Any]:
    items = row.items.select_related("added_by").filter(generation__status__in=ENDED)
    return {
        "name": row.name,
        "owner": _who(row.owner, people),
        "private": row.private,
        "at": row.created_at,
        "items": [
            {"key": key.hex, "by": _who(item.added_by, people), "at": item.at}
            for item, key in ((item, item.generation.nonce) for item in items.select_related("generation"))
        ],
    }


def _people_out(team: Team, people: set[int]) -> Iterator[dict[str, Any]]:
    roles = dict(Membership.objects.filter(team=team).values_list("user", "role"))
    for user in User.objects.filter(pk__in=people).order_by("pk"):
        yield {"email": user.email, "name": user.name, "role": roles.get(user.pk)}
