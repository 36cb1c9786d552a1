"""Clips as one zip, streamed: it is never on the disk and never whole in memory, however many clips there are.

Videos do not get smaller by packing, so they are stored as they are. The list of what is inside comes last, as CSV for
people and as JSON for programs: only then it is known which files were really there.
"""

import csv
import io
import json
import zipfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from django.core.cache import cache
from django.db.models import QuerySet, Sum
from django.utils import timezone
from django.utils.text import slugify

from generations import catalogue
from generations.models import Clip, Generation, User
from generations.words import bytes_words, plain_cell

MOST_CLIPS = 1000
MOST_BYTES = 20 * 10**9
AT_ONCE = 4  # of all people, in all processes: each takes a thread of the web server for as long as it lasts
LEASE = 600  # seconds without a step, after which a download counts as ended
PIECE = 256 * 1024
CHUNK = 50  # rows that are in memory together

HEAD = ("File", "State", "Made", "Person", "Project", "Model", "Type", "Prompt", "Parameters", "Seconds", "Bytes",
        "SHA-256", "Quoted credits", "Charged credits", "Mark", "Tags", "Address")  # fmt: skip


class CannotBundle(Exception):
    """No zip. The message says why, and what to do instead."""


class Busy(CannotBundle):
    """One is under way, or as many as the server gives at once."""


# -- one at a time ----------------------------------------------------------------------------------------------------


@dataclass
class Turn:
    """A place among the downloads that are under way; given back by `end`, or when nothing is heard of it."""

    keys: list[str] = field(default_factory=list)

    @classmethod
    def take(cls, who: User) -> "Turn":
        """Raises Busy."""
        own = f"zip-of-{who.pk}"
        if not cache.add(own, "1", LEASE):
            raise Busy("A download of yours is under way. Wait until it ends or stop it, then try again.")
        for number in range(AT_ONCE):
            if cache.add(f"zip-{number}", "1", LEASE):
                return cls([own, f"zip-{number}"])
        cache.delete(own)
        raise Busy(f"{AT_ONCE} downloads of others are under way. Try again in a few minutes.")

    def go_on(self) -> None:
        for key in self.keys:
            cache.touch(key, LEASE)

    def end(self) -> None:
        cache.delete_many(self.keys)


# -- what is in it ----------------------------------------------------------------------------------------------------


def check_size(rows: QuerySet[Generation]) -> None:
    """Before the first byte. Raises CannotBundle."""
    found = rows.filter(clip__state=Clip.State.STORED).order_by().aggregate(bytes=Sum("clip__size"))
    number = rows.count()
    if number > MOST_CLIPS:
        raise CannotBundle(
            f"A zip holds up to {MOST_CLIPS:,} clips; these are {number:,}. Download them in parts. "
            "Nothing was started."
        )
    if (found["bytes"] or 0) > MOST_BYTES:
        raise CannotBundle(
            f"A zip holds up to {bytes_words(MOST_BYTES)}; these clips have {bytes_words(found['bytes'])}. "
            "Download them in parts. Nothing was started."
        )
    if not found["bytes"]:
        raise CannotBundle("None of these clips has a file to download. Nothing was started.")


def file_name(generation: Generation) -> str:
    """Words of the prompt and the clip's number: no two are alike, on any system."""
    words = slugify(generation.prompt)[:60].strip("-") or "clip"
    return f"{words}-{generation.pk}.mp4"


def _in_chunks(rows: QuerySet[Generation], pks: list[int]) -> Iterator[Generation]:
    rows = rows.select_related("owner", "project", "team", "clip").prefetch_related("tags")
    for start in range(0, len(pks), CHUNK):
        found = rows.in_bulk(pks[start : start + CHUNK])
        yield from (found[pk] for pk in pks[start : start + CHUNK] if pk in found)


# -- the stream -------------------------------------------------------------------------------------------------------


class Outlet(io.RawIOBase):
    """A file that cannot be sought in and keeps only what was not taken yet."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def stream(rows: QuerySet[Generation], pks: list[int], turn: Turn, address: str) -> Generator[bytes, None, None]:
    """The zip, piece by piece. `address` is where Dailies is reached, for the links in the list."""
    outlet, listed = Outlet(), []
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        for generation in _in_chunks(rows, pks):
            turn.go_on()
            state = yield from _put(archive, outlet, generation)
            listed.append(entry(generation, state, address))
        for name, text in (("manifest.csv", as_csv(listed)), ("manifest.json", as_json(listed))):
            archive.writestr(name, text)
            yield outlet.take()
    yield outlet.take()
    turn.end()


class Stream:
    """The zip as the web server iterates over it. Its turn ends with it, however it ends, begun or not."""

    def __init__(self, rows: QuerySet[Generation], pks: list[int], turn: Turn, address: str) -> None:
        self._pieces, self._turn = stream(rows, pks, turn, address), turn

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._pieces.close()
        self._turn.end()


def _put(archive: zipfile.ZipFile, outlet: Outlet, generation: Generation) -> Generator[bytes, None, str]:
    """One clip. Returns what to say of its file; one that is missing breaks nothing."""
    clip = getattr(generation, "clip", None)
    if clip is None or clip.state != Clip.State.STORED:
        return clip.get_state_display() if clip else generation.get_status_display()
    try:
        source = clip.file.open("rb")
    except (OSError, ValueError):
        return "Missing: its file is not in the storage"
    made = timezone.localtime(generation.created_at, ZoneInfo(generation.team.time_zone))
    info = zipfile.ZipInfo(file_name(generation), made.timetuple()[:6])
    info.external_attr = 0o644 << 16
    info.file_size = clip.size or 0
    written, state = 0, "Here"
    with source, archive.open(info, "w") as target:
        try:
            while piece := source.read(PIECE):
                target.write(piece)
                written += len(piece)
                yield outlet.take()
        except OSError:
            state = "Broken: its file could not be read to the end"
    if state == "Here" and clip.size and written != clip.size:
        state = f"Broken: {written:,} of {clip.size:,} bytes are there"
    yield outlet.take()
    return state


# -- the list ---------------------------------------------------------------------------------------------------------


def entry(generation: Generation, state: str, address: str) -> dict[str, Any]:
    """What the list says about one clip."""
    clip = getattr(generation, "clip", None)
    made = timezone.localtime(generation.created_at, ZoneInfo(generation.team.time_zone))
    model = catalogue.MODELS.get(generation.mode)
    return {
        "file": file_name(generation) if state.startswith(("Here", "Broken")) else "",
        "state": state,
        "made": made.isoformat(timespec="seconds"),
        "person": generation.owner.get_full_name(),
        "project": generation.project.name if generation.project else "",
        "model": model.name if model else generation.mode,
        "type": catalogue.TYPES.get(generation.generation_type, generation.generation_type),
        "prompt": generation.prompt,
        "parameters": generation.params,
        "seconds": clip.seconds if clip else None,
        "bytes": clip.size if clip else None,
        "sha256": clip.sha256 if clip else "",
        "quoted_credits": generation.price,
        "charged_credits": generation.charged,
        "mark": generation.mark,
        "tags": sorted(tag.name for tag in generation.tags.all()),
        "address": f"{address}{generation.get_absolute_url()}",
    }


def as_csv(entries: Iterable[dict[str, Any]]) -> str:
    """No cell begins like a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    for said in entries:
        values = {**said, "parameters": json.dumps(said["parameters"], sort_keys=True), "tags": ", ".join(said["tags"])}
        writer.writerow([plain_cell(value) for value in values.values()])
    return "\ufeff" + text.getvalue()


def as_json(entries: list[dict[str, Any]]) -> str:
    return json.dumps({"format": "dailies-clips-1", "clips": entries}, indent=1, ensure_ascii=False)
