"""Fetches a finished video, checks it, keeps it, and has its poster and preview made.

A clip is stored whole or not at all. Fetching costs no credits, so it is repeated until it works or the file is gone.
"""

import hashlib
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage
from django.db import DatabaseError, transaction
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from urllib3.exceptions import HTTPError

from generations import dispatch, veevid
from generations.models import ApiCall, Clip

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=45)  # renewed while the file comes in, so that a killed worker delays nothing for long
FETCH_TIMEOUT = (5, 30)  # seconds to connect, and between two pieces
FETCH_DEADLINE = 240  # seconds for the whole file
LARGEST = 4 * 1024**3
PIECE = 256 * 1024
DEVELOP_TIMEOUT = 120
FRAME_TIMEOUT = 20  # somebody waits for it
SLOWEST_RETRY = 3600.0
GONE_AFTER = timedelta(hours=24)  # of dead links only
MISSING = "its file is missing from our storage"
SHORT = "its file has another length than it had"
CHANGED = "its file has another content than it had"
FACTS = ("width", "height", "seconds", "fps", "sound", "extra_size")
#: How the files that are made of a clip are called, after the name that they share.
SUFFIXES = {
    "poster": ".webp",
    "poster_medium": "-medium.webp",
    "poster_small": "-small.webp",
    "preview": "-preview.mp4",
}
LEFT_AFTER = 3600  # seconds; no fetch and no upload takes so long


class CannotFetch(Exception):
    """The clip could not be fetched this time. The message is for people."""


class DeadLink(CannotFetch):
    """Upstream no longer serves this URL; it may name a fresh one."""


class NoLink(DeadLink):
    """Upstream was asked just now, and no URL that it names works."""


class Overtaken(Exception):
    """This worker lost its lease: another one has taken the clip."""


def allowed(url: str, *, demo: bool) -> bool:
    """May a clip be fetched from this URL? Hosts of VEEVID_MEDIA_HOSTS only; a `host:port` named there may be http.

    Demo clips come from the simulator, and from nowhere else.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    if demo:
        return bool(settings.SIMULATOR_URL) and parts.netloc == urlsplit(settings.SIMULATOR_URL).netloc
    if f"{host}:{port}" in settings.VEEVID_MEDIA_HOSTS:
        return parts.scheme in ("http", "https")
    return parts.scheme == "https" and port in (None, 443) and host in settings.VEEVID_MEDIA_HOSTS


def _held(clip: Clip, **fields: object) -> bool:
    """Writes to the row of a clip while it is ours: nobody else has moved its `fetch_at`."""
    mine = Clip.objects.filter(pk=clip.pk, state=Clip.State.PENDING, fetch_at=clip.fetch_at)
    return bool(mine.update(**fields))


def _keep(clip: Clip, lease: timedelta = LEASE) -> None:
    """Tells the other workers that somebody is at it. Raises Overtaken when it is one of them."""
    until = timezone.now() + lease
    if not _held(clip, fetch_at=until):
        raise Overtaken
    clip.fetch_at = until


def _download(clip: Clip, target: BinaryIO, ends: float) -> str:
    """Streams the file into `target` and returns its SHA-256. Raises CannotFetch, DeadLink."""
    _keep(clip)
    renew = time.monotonic() + LEASE.seconds / 3
    digest, size = hashlib.sha256(), 0
    session = requests.Session()
    session.trust_env = False
    try:
        with session.get(
            clip.source_url,
            stream=True,
            timeout=FETCH_TIMEOUT,
            allow_redirects=False,
            headers={"Accept-Encoding": "identity"},
        ) as answer:
            if answer.status_code in (401, 403, 404, 410):
                raise DeadLink(f"Veevid's link to the clip has ended ({answer.status_code})")
            if answer.status_code != 200:
                raise CannotFetch(f"Veevid's file server answered {answer.status_code}")
            length = answer.headers.get("Content-Length", "")
            # read1 gives what has come: waiting for a full piece would forget the lease on a slow line.
            while piece := answer.raw.read1(PIECE, decode_content=True):
                size += len(piece)
                if size > LARGEST or time.monotonic() > ends:
                    raise CannotFetch("the file is too large or comes too slowly")
                if time.monotonic() > renew:
                    _keep(clip)
                    renew = time.monotonic() + LEASE.seconds / 3
                digest.update(piece)
                target.write(piece)
    except (requests.RequestException, HTTPError) as error:
        raise CannotFetch(f"the connection broke ({type(error).__name__})") from None
    finally:
        session.close()
    _check_size(size, length, clip.expected_size)
    target.flush()
    return digest.hexdigest()


def _check_size(size: int, length: str, expected: int | None) -> None:
    """The file server's own length decides. What the status said counts without one only: it may simply be wrong."""
    if size == 0:
        raise CannotFetch("the file came empty")
    promised = int(length) if length.isdecimal() else expected
    if promised and promised != size:
        raise CannotFetch(f"the file came incomplete: {size} of {promised} bytes")


def develop(video: Path, folder: Path) -> dict[str, object]:
    """Probe, poster and preview in a process of their own. Raises CannotFetch when the file is no video."""
    return json.loads(_look_into(str(video), str(folder), seconds=DEVELOP_TIMEOUT))


def frame(clip: Clip, out: Path, at: float | None = None) -> None:
    """Writes the picture that a kept clip shows at a time, else its last, as a JPEG. Raises CannotFetch, OSError."""
    video = out.with_suffix(".mp4")
    with clip.file.open("rb") as source, video.open("wb") as target:
        shutil.copyfileobj(source, target)
    _look_into("--frame", str(video), str(out), *([] if at is None else [f"{at:.3f}"]), seconds=FRAME_TIMEOUT)


def _look_into(*arguments: str, seconds: int) -> str:
    """Runs film.py in a process of its own: files that strangers made may crash or hang it. Raises CannotFetch."""
    command = [sys.executable, "-m", "generations.film", *arguments]
    try:
        done = subprocess.run(
            command, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise CannotFetch("the file took too long to check") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise CannotFetch(lines[-1] if lines and done.returncode == 1 else "the file could not be checked")
    return done.stdout


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder for one fetch, on the disk of our data, gone afterwards."""
    settings.DATA_DIR.joinpath("tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.DATA_DIR / "tmp") as folder:
        yield Path(folder)


def sweep() -> None:
    """Removes the folders of fetches and uploads that were killed."""
    for left in (settings.DATA_DIR / "tmp").glob("*"):
        with suppress(OSError):  # another worker sweeps too
            if left.lstat().st_mtime > time.time() - LEFT_AFTER:
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


@contextmanager
def shelf() -> Iterator[Callable[[FieldFile, str, File], None]]:
    """Gives a function that puts files into storage. When the block ends by an exception, none of them stays.

    A file that only came in part, on a disk that is full, goes as well.
    """
    put: list[tuple[Storage, str]] = []

    def save(field: FieldFile, name: str, content: File) -> None:
        path = field.field.generate_filename(field.instance, name)
        put.append((field.storage, path))
        field.name = field.storage.save(path, content, max_length=field.field.max_length)

    whole = False
    try:
        yield save
        whole = True
    finally:
        for storage, path in [] if whole else put:
            with suppress(OSError):
                storage.delete(path)


def fetch(pk: int) -> bool:
    """Fetches one clip, if it is due and nobody else took it. True when it is now stored."""
    now = timezone.now()
    taken = Clip.objects.filter(pk=pk, state=Clip.State.PENDING, fetch_at__lte=now).update(fetch_at=now + LEASE)
    if not taken:
        return False
    sweep()
    clip = Clip.objects.select_related("generation__account", "generation__quote__account").get(pk=pk)
    try:
        return _store_from_any_link(clip, time.monotonic() + FETCH_DEADLINE)
    except Overtaken:
        logger.warning("clip %s: another worker has taken it over", pk)
    except DeadLink as problem:
        _dead(clip, problem)
    except CannotFetch as problem:
        _try_later(clip, str(problem))
    except OSError as problem:
        _try_later(clip, f"the storage refused it ({problem.strerror})")
    return False


def fetch_again(clip: Clip) -> bool:
    """Starts anew with a clip that was given up, or is damaged here. False when it is neither."""
    fields = {"state": Clip.State.PENDING, "fetch_at": timezone.now(), "dead_since": None, "tries": 0, "trouble": ""}
    lost = (Clip.State.GONE, Clip.State.DAMAGED)
    return bool(Clip.objects.filter(pk=clip.pk, state__in=lost).update(**fields))


def flaw(clip: Clip, *, quick: bool = True) -> str:
    """What is wrong with the kept file of a clip: it is gone, has another length, another content. Empty: nothing.

    Raises OSError when the storage cannot tell. `quick` leaves the content out, and forgives none that was wrong.
    """
    try:
        size = clip.file.size
        if size != clip.size and clip.size is not None:
            return f"{SHORT}: {size:,} bytes are there, it had {clip.size:,}"
        if not quick:
            with clip.file.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != clip.sha256:
                    return CHANGED
    except (FileNotFoundError, ValueError):  # ValueError: the row names none
        return MISSING
    return CHANGED if quick and clip.trouble == CHANGED else ""


def judge(clip: Clip, found: str) -> bool:
    """Writes down what `flaw` found, when it changes anything. True when the clip is whole.

    A file that is back, because its disk is, makes the clip whole again.
    """
    before = Clip.State.STORED if found else Clip.State.DAMAGED
    now = Clip.State.DAMAGED if found else Clip.State.STORED
    rows = Clip.objects.filter(pk=clip.pk, state=before, file=clip.file.name)
    if clip.state == before and rows.update(state=now, trouble=found[:300]):
        clip.state, clip.trouble = now, found[:300]
        logger.error("clip %s: %s", clip.pk, found or "whole again")
    return clip.state == Clip.State.STORED


def look_over(clip: Clip) -> bool:
    """A quick look at a clip that people want to see now. True when it can be shown."""
    if clip.state not in (Clip.State.STORED, Clip.State.DAMAGED):
        return False
    try:
        return judge(clip, flaw(clip))
    except OSError:  # the storage is away: nobody knows
        return clip.state == Clip.State.STORED


def _store_from_any_link(clip: Clip, ends: float) -> bool:
    """By the link that we have, or by the one that the status names now. Links may live for minutes only."""
    try:
        return _store(clip, ends)
    except DeadLink as problem:
        link = _link_now(clip)
        if link is None:
            raise
        if link in ("", clip.source_url):
            raise NoLink(str(problem)) from None
    clip.source_url = link
    try:
        return _store(clip, ends)
    except DeadLink as problem:
        raise NoLink(str(problem)) from None


def _link_now(clip: Clip) -> str | None:
    """Asks the status for the link to the clip: empty when it names none, None when it could not be asked."""
    generation = clip.generation
    if generation.account is None or not generation.upstream_id:
        return None
    _keep(clip)
    try:
        call = dispatch.reserve(generation.account, ApiCall.Kind.STATUS, generation)
        answer = dispatch.ask(call, lambda upstream: upstream.status(str(generation.upstream_id)))
    except (dispatch.NoRoom, veevid.UpstreamError):
        return None
    return answer.video_url or ""


def _store(clip: Clip, ends: float) -> bool:
    if not clip.source_url:
        raise DeadLink("Veevid named no link to the clip")
    if not allowed(clip.source_url, demo=clip.generation.quote.account.demo):
        raise CannotFetch(f"its host {urlsplit(clip.source_url).hostname} is not in VEEVID_MEDIA_HOSTS")
    with workshop() as folder:
        video = folder / "clip.mp4"
        with video.open("wb") as target:
            digest = _download(clip, target, ends)
        if _lean_on_twin(clip, digest, video.stat().st_size):
            return True
        _keep(clip, LEASE + timedelta(seconds=DEVELOP_TIMEOUT))
        film = develop(video, folder)
        made = {name: folder / str(film[name]) for name in SUFFIXES if film.get(name)}
        _put(clip, {"file": video, **made})
        facts = {key: film[key] for key in ("width", "height", "seconds", "fps", "sound")}
        facts["extra_size"] = sum(path.stat().st_size for path in made.values())
        return _finish(clip, size=video.stat().st_size, sha256=digest, **facts)


def _lean_on_twin(clip: Clip, digest: str, size: int) -> bool:
    """The same content is kept once: a clip whose twin is kept takes over its files. True when it did."""
    twin = Clip.objects.filter(sha256=digest, size=size, state=Clip.State.STORED).order_by("pk").first()
    if twin is None or not look_over(twin):
        return False
    with transaction.atomic():
        # Under its lock: until we name its files, nobody empties it out of the bin.
        kept = Clip.objects.select_for_update().filter(pk=twin.pk, state=Clip.State.STORED, file=twin.file.name).first()
        if kept is None:
            return False
        names = {name: getattr(kept, name).name for name in Clip.FILES}
        facts = {name: getattr(kept, name) for name in FACTS}
        ours = Clip.objects.filter(pk=clip.pk, state=Clip.State.PENDING)
        return bool(ours.update(sha256=digest, size=size, **names, **_done(), **facts))


def throw_away(clip: Clip) -> None:
    """Removes the files of a clip that was deleted, but for those that another clip leans on. Raises OSError."""
    others = Clip.objects.filter(sha256=clip.sha256).exclude(pk=clip.pk).exclude(state=Clip.State.DELETED)
    for name in Clip.FILES:
        field: FieldFile = getattr(clip, name)
        if field and not others.filter(**{name: field.name}).exists():
            field.storage.delete(str(field.name))
    Clip.objects.filter(pk=clip.pk, state=Clip.State.DELETED).update(**dict.fromkeys(Clip.FILES, ""))


def _done() -> dict[str, object]:
    fields = {"state": Clip.State.STORED, "stored_at": timezone.now(), "fetch_at": None, "dead_since": None}
    return {**fields, "trouble": ""}


def _put(clip: Clip, made: dict[str, Path]) -> None:
    """Puts files into the storage, all or none, under a name that nothing had before."""
    name = uuid.uuid4().hex
    with shelf() as put:
        for field, path in made.items():
            with path.open("rb") as content:
                put(getattr(clip, field), name + SUFFIXES.get(field, ".mp4"), File(content))


def make_posters(clip: Clip) -> bool:
    """Makes the posters and the preview of a kept clip anew, and for its twins. Raises CannotFetch, OSError.

    False when the clip was changed meanwhile: then nothing has changed here.
    """
    before = {name: getattr(clip, name).name for name in SUFFIXES}
    with workshop() as folder:
        video = folder / "clip.mp4"
        with clip.file.open("rb") as kept, video.open("wb") as copy:
            shutil.copyfileobj(kept, copy, PIECE)
        film = develop(video, folder)
        made = {name: folder / str(film[name]) for name in SUFFIXES if film.get(name)}
        size = sum(path.stat().st_size for path in made.values())
        _put(clip, made)
    now = {name: getattr(clip, name).name if name in made else "" for name in SUFFIXES}
    # Not by its key: whoever shares the file shares its posters.
    same = Clip.objects.filter(file=clip.file.name, poster=before["poster"]).exclude(state=Clip.State.DELETED)
    changed = bool(same.update(**now, extra_size=size))
    for name in (before if changed else now).values():
        if name:
            with suppress(OSError):
                clip.file.storage.delete(name)
    return changed


def _finish(clip: Clip, **facts: object) -> bool:
    """Writes that the files of a clip are kept. False, and they are gone, when another worker was first."""
    files = [getattr(clip, name) for name in Clip.FILES if getattr(clip, name)]
    names = {field.field.name: field.name for field in files}
    try:
        stored = bool(Clip.objects.filter(pk=clip.pk, state=Clip.State.PENDING).update(**names, **_done(), **facts))
    except DatabaseError:
        logger.exception("clip %s: the database refused it", clip.pk)
        # It may have been written nevertheless. Files that a row may name stay: when not even this can be asked, too.
        stored = Clip.objects.filter(pk=clip.pk, file=clip.file.name).exists()
    if not stored:
        for field in files:
            field.delete(save=False)
    return stored


def _try_later(clip: Clip, trouble: str, dead_since: datetime | None = None) -> None:
    """An hour at most between two tries, for as long as it takes."""
    wait = min(2.0 ** min(clip.tries + 1, 12), SLOWEST_RETRY)
    _record(clip, trouble, fetch_at=timezone.now() + timedelta(seconds=wait), dead_since=dead_since)


def _dead(clip: Clip, problem: DeadLink) -> None:
    """Gives a clip up when every link has been dead for a day and upstream, asked just now, has no other."""
    since = clip.dead_since or timezone.now()
    if isinstance(problem, NoLink) and timezone.now() - since > GONE_AFTER:
        _record(clip, str(problem), state=Clip.State.GONE, fetch_at=None, dead_since=since)
    else:
        _try_later(clip, str(problem), dead_since=since)


def _record(clip: Clip, trouble: str, **fields: object) -> None:
    _held(clip, tries=clip.tries + 1, trouble=trouble[:300], source_url=clip.source_url, **fields)
    logger.warning("clip %s not fetched: %s", clip.pk, trouble)
