"""Every byte of clips, posters, previews and uploads, each behind the same gate as its page.

Django's FileResponse knows no Range, without which players cannot seek. An answer to an open range ("from here on") is
capped, so that slow viewers give their server thread back quickly.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from threading import BoundedSemaphore
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models.fields.files import FieldFile
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotModified,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.utils.http import parse_etags
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from generations import access, archive
from generations.models import Clip
from generations.views.gate import Request

logger = logging.getLogger(__name__)

AWAY = "The storage of the clips does not answer. Nothing is lost; try again in a moment."
BUSY = "Many files are being downloaded just now. Nothing is lost; try again in a moment."
#: A whole file over a slow line takes a thread for minutes. So many at once in one process leave threads for pages.
PLACES = BoundedSemaphore(5)
LONG_BYTES = 4 * 1024 * 1024
OPEN_RANGE = 1024 * 1024  # bytes of one answer to "from here on"
PIECE = 64 * 1024
BIGGEST_ID = 2**63 - 1
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class Unsatisfiable(Exception):
    """The range lies outside the file."""


class Missing(Http404):
    """A row names the file, and storage has none."""


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte asked for, both included; None to send everything. Raises Unsatisfiable.

    A malformed header and several pieces at once are ignored, as RFC 9110 allows: the whole file is the answer.
    """
    match = RANGE.fullmatch(header.strip())
    if not match or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        length = int(last)
        if length == 0 or size == 0:
            raise Unsatisfiable
        return max(size - length, 0), size - 1
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    end = int(last) if last else start + OPEN_RANGE - 1
    return start, min(end, size - 1)


class Long:
    """The bytes of a long answer. Until it is closed it has one of the few places that a process has for these."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces, self.open = pieces, True

    @classmethod
    def take(cls, pieces: Iterable[bytes]) -> "Long | None":
        """None: every place is taken."""
        return cls(pieces) if PLACES.acquire(blocking=False) else None

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)

    def close(self) -> None:
        if self.open:
            self.open = False
            PLACES.release()
            getattr(self.pieces, "close", bool)()


def _pieces(file: FieldFile, start: int, length: int) -> Iterator[bytes]:
    with file.open("rb") as source:
        source.seek(start)
        while length > 0:
            piece = source.read(min(PIECE, length))
            if not piece:
                return
            length -= len(piece)
            yield piece


def send(request: HttpRequest, file: FieldFile, content_type: str, etag: str) -> HttpResponseBase:
    """One stored file, whole or in part. Raises Missing (a 404) when storage has none."""
    try:
        size = file.size
    except (FileNotFoundError, ValueError):
        raise Missing("The file is missing from storage.") from None
    except OSError as problem:
        logger.error("%s cannot be read: %s", file.name, problem)
        return HttpResponse(AWAY, status=503, content_type="text/plain", headers={"Retry-After": "10"})
    tag = f'"{etag}"'
    headers: dict[str, Any] = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Cache-Control": "private, max-age=3600",
        "X-Robots-Tag": "noindex",
    }
    if tag in parse_etags(request.headers.get("If-None-Match", "")):
        return HttpResponseNotModified(headers=headers)
    wanted = None
    if request.headers.get("If-Range", tag) == tag:
        try:
            wanted = byte_range(request.headers.get("Range", ""), size)
        except Unsatisfiable:
            return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, end = wanted or (0, size - 1)
    headers["Content-Length"] = str(end - start + 1)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    body: Iterable[bytes] | None = ()
    if request.method != "HEAD":
        body = _pieces(file, start, end - start + 1)
        if end - start >= LONG_BYTES:
            body = Long.take(body)
    if body is None:
        return HttpResponse(BUSY, status=503, content_type="text/plain", headers={"Retry-After": "10"})
    return StreamingHttpResponse(body, status=206 if wanted else 200, content_type=content_type, headers=headers)


def send_clip(request: HttpRequest, clip: Clip) -> HttpResponseBase:
    """The video of a clip. One that turns out to be missing is marked, so that its page says so."""
    try:
        return send(request, clip.file, "video/mp4", clip.sha256)
    except Missing:
        archive.look_over(clip)
        raise


def _straight_from_the_bucket(clip: Clip, disposition: str) -> HttpResponseBase:
    """A link to the bucket itself that ends after a minute: big files do not pass through our threads."""
    if not archive.look_over(clip):
        raise Missing("The file is missing from storage.")
    said = {"ResponseContentDisposition": disposition, "ResponseContentType": "video/mp4"}
    link = cast(Any, clip.file.storage).url(clip.file.name, parameters=said)
    return HttpResponseRedirect(link, headers={"Cache-Control": "no-store"})


def _clip(request: Request, pk: int) -> Clip:
    if pk > BIGGEST_ID:
        raise Http404("No database counts so far.")
    return get_object_or_404(access.clips_for(request.user), generation_id=pk, state=Clip.State.STORED)


@login_required
@require_safe
def video(request: Request, pk: int) -> HttpResponseBase:
    return send_clip(request, _clip(request, pk))


@login_required
@require_safe
def download(request: Request, pk: int) -> HttpResponseBase:
    """The clip as a file with a telling name."""
    clip = _clip(request, pk)
    words = slugify(clip.generation.prompt)[:60].strip("-") or "clip"
    disposition = f'attachment; filename="{words}-{pk}.mp4"'
    if settings.S3_DIRECT_DOWNLOADS:
        return _straight_from_the_bucket(clip, disposition)
    answer = send_clip(request, clip)
    if answer.status_code in (200, 206):
        answer["Content-Disposition"] = disposition
    return answer


@login_required
@require_safe
def poster(request: Request, pk: int) -> HttpResponseBase:
    clip = _clip(request, pk)
    return send(request, clip.poster, "image/webp", f"p{clip.sha256}")


@login_required
@require_safe
def narrower_poster(request: Request, pk: int, width: int) -> HttpResponseBase:
    """A poster for small tiles. A width that there is none of is a 404."""
    clip = _clip(request, pk)
    if width not in clip.narrower:
        raise Missing("There is no poster of this width.")
    return send(request, clip.narrower[width], "image/webp", f"p{width}{clip.sha256}")


@login_required
@require_safe
def preview(request: Request, pk: int) -> HttpResponseBase:
    clip = _clip(request, pk)
    return send(request, clip.preview, "video/mp4", f"v{clip.sha256}")


@login_required
@require_safe
def upload(request: Request, key: str) -> HttpResponseBase:
    media = get_object_or_404(access.media_for(request.user), key=key)
    return send(request, media.file, media.content_type, media.key.hex)


@login_required
@require_safe
def upload_poster(request: Request, key: str) -> HttpResponseBase:
    """What to show for an upload: a video's poster, or the image itself."""
    media = get_object_or_404(access.media_for(request.user), key=key)
    if media.poster:
        return send(request, media.poster, "image/webp", f"p{media.key.hex}")
    return send(request, media.file, media.content_type, media.key.hex)
