"""Fetches a finished video, checks it, keeps it, and has its poster and preview made.

A clip is stored whole or not at all. Fetching costs no credits, so it is repeated until it works or the file is gone.
"""

import hashlib
import json
import logging
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.core.files import File
from django.utils import timezone

from generations import dispatch, veevid
from generations.models import ApiCall, Clip

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=45)  # renewed while the file comes in, so that a killed worker delays nothing for long
FETCH_TIMEOUT = (5, 30)  # seconds to connect, and between two pieces
FETCH_DEADLINE = 240  # seconds for the whole file
LARGEST = 4 * 1024**3
PIECE = 256 * 1024
DEVELOP_TIMEOUT = 120
SLOWEST_RETRY = 3600.0
GONE_AFTER_DEAD_LINKS = 6


class CannotFetch(Exception):
    """The clip could not be fetched this time. The message is for people."""


class DeadLink(CannotFetch):
    """Upstream no longer serves this URL; it may name a fresh one."""


def allowed(url: str, *, demo: bool) -> bool:
    """May a clip be fetched from this URL? Hosts of VEEVID_MEDIA_HOSTS only; a `host:port` named there may be http.

    Demo clips come from the simulator, and from nowhere else.
    """
    parts = urlsplit(url)
    try:
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    if demo:
        return bool(settings.SIMULATOR_URL) and parts.netloc == urlsplit(settings.SIMULATOR_URL).netloc
    if f"{host}:{port}" in settings.VEEVID_MEDIA_HOSTS:
        return parts.scheme in ("http", "https")
    return parts.scheme == "https" and port in (None, 443) and host in settings.VEEVID_MEDIA_HOSTS


def _keep(clip: Clip, lease: timedelta = LEASE) -> None:
    """Tells the other workers that somebody is at it."""
    Clip.objects.filter(pk=clip.pk, state=Clip.State.PENDING).update(fetch_at=timezone.now() + lease)


def _download(clip: Clip, target: BinaryIO) -> str:
    """Streams the file into `target` and returns its SHA-256. Raises CannotFetch, DeadLink."""
    url, renew = clip.source_url, time.monotonic() + LEASE.seconds / 3
    ends = time.monotonic() + FETCH_DEADLINE
    digest, size = hashlib.sha256(), 0
    session = requests.Session()
    session.trust_env = False
    try:
        with session.get(
            url, stream=True, timeout=FETCH_TIMEOUT, allow_redirects=False, headers={"Accept-Encoding": "identity"}
        ) as answer:
            if answer.status_code in (401, 403, 404, 410):
                raise DeadLink(f"Veevid's link to the clip has ended ({answer.status_code})")
            if answer.status_code != 200:
                raise CannotFetch(f"Veevid's file server answered {answer.status_code}")
            length = answer.headers.get("Content-Length", "")
            for piece in answer.iter_content(PIECE):
                size += len(piece)
                if size > LARGEST or time.monotonic() > ends:
                    raise CannotFetch("the file is too large or comes too slowly")
                if time.monotonic() > renew:
                    _keep(clip)
                    renew = time.monotonic() + LEASE.seconds / 3
                digest.update(piece)
                target.write(piece)
    except requests.RequestException as error:
        raise CannotFetch(f"the connection broke ({type(error).__name__})") from None
    finally:
        session.close()
    if length.isdigit() and int(length) != size:
        raise CannotFetch(f"the file came incomplete: {size} of {length} bytes")
    if size == 0:
        raise CannotFetch("the file came empty")
    target.flush()
    return digest.hexdigest()


def develop(video: Path, folder: Path) -> dict[str, object]:
    """Probe, poster and preview in a process of their own. Raises CannotFetch when the file is no video."""
    command = [sys.executable, "-m", "generations.film", str(video), str(folder)]
    try:
        done = subprocess.run(
            command, cwd=settings.BASE_DIR, capture_output=True, text=True, timeout=DEVELOP_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise CannotFetch("the file took too long to check") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise CannotFetch(lines[-1] if lines and done.returncode == 1 else "the file could not be checked")
    return json.loads(done.stdout)


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder for one fetch, on the disk of our data, gone afterwards."""
    settings.DATA_DIR.joinpath("tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.DATA_DIR / "tmp") as folder:
        yield Path(folder)


def fetch(pk: int) -> bool:
    """Fetches one clip, if it is due and nobody else took it. True when it is now stored."""
    now = timezone.now()
    taken = Clip.objects.filter(pk=pk, state=Clip.State.PENDING, fetch_at__lte=now).update(fetch_at=now + LEASE)
    if not taken:
        return False
    clip = Clip.objects.select_related("generation__account", "generation__quote__account").get(pk=pk)
    try:
        if not allowed(clip.source_url, demo=clip.generation.quote.account.demo):
            raise CannotFetch(f"its host {urlsplit(clip.source_url).hostname} is not in VEEVID_MEDIA_HOSTS")
        return _store(clip)
    except DeadLink as problem:
        _try_later(clip, str(problem), fresh_url=_fresh_link(clip), dead=True)
    except (CannotFetch, OSError) as problem:
        words = str(problem) if isinstance(problem, CannotFetch) else f"the disk refused it ({problem.strerror})"
        _try_later(clip, words)
    return False


def _store(clip: Clip) -> bool:
    with workshop() as folder:
        video = folder / "clip.mp4"
        with video.open("wb") as target:
            digest = _download(clip, target)
        _keep(clip, LEASE + timedelta(seconds=DEVELOP_TIMEOUT))
        film = develop(video, folder)
        name = uuid.uuid4().hex
        saved = []
        for field, made, suffix in (
            (clip.file, video, ".mp4"),
            (clip.poster, folder / str(film["poster"]), ".webp"),
            (clip.preview, folder / str(film["preview"]), "-preview.mp4"),
        ):
            with made.open("rb") as content:
                field.save(name + suffix, File(content), save=False)
            saved.append(field)
        stored = Clip.objects.filter(pk=clip.pk, state=Clip.State.PENDING).update(
            state=Clip.State.STORED,
            file=clip.file.name,
            poster=clip.poster.name,
            preview=clip.preview.name,
            size=video.stat().st_size,
            sha256=digest,
            width=film["width"],
            height=film["height"],
            seconds=film["seconds"],
            fps=film["fps"],
            sound=film["sound"],
            stored_at=timezone.now(),
            fetch_at=None,
            trouble="",
        )
        if not stored:  # another worker was first: our copies go
            for field in saved:
                field.delete(save=False)
        return bool(stored)


def _try_later(clip: Clip, trouble: str, fresh_url: str | None = None, dead: bool = False) -> None:
    tries = clip.tries + 1
    fields: dict[str, object] = {"tries": tries, "trouble": trouble[:300]}
    if dead and fresh_url is None and tries >= GONE_AFTER_DEAD_LINKS:
        fields |= {"state": Clip.State.GONE, "fetch_at": None}
    else:
        wait = min(2.0 ** min(tries, 12), SLOWEST_RETRY)
        fields["fetch_at"] = timezone.now() + timedelta(seconds=1 if fresh_url else wait)
        fields["source_url"] = fresh_url or clip.source_url
    Clip.objects.filter(pk=clip.pk, state=Clip.State.PENDING).update(**fields)
    logger.warning("clip %s not fetched: %s", clip.pk, trouble)


def _fresh_link(clip: Clip) -> str | None:
    """Asks the status once more for a link that works. None when there is no new one."""
    generation = clip.generation
    if generation.account is None or not generation.upstream_id:
        return None
    try:
        call = dispatch.reserve(generation.account, ApiCall.Kind.STATUS, generation)
        answer = dispatch.ask(call, lambda upstream: upstream.status(str(generation.upstream_id)))
    except (dispatch.NoRoom, veevid.UpstreamError):
        return None
    return answer.video_url if answer.video_url and answer.video_url != clip.source_url else None
