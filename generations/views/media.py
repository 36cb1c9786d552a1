"""Every byte of clips, posters, previews and uploads, each behind the same gate as its page.

Django's FileResponse knows no Range, without which players cannot seek. An answer to an open range ("from here on") is
capped, so that slow viewers give their server thread back quickly.
"""

import re
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models.fields.files import FieldFile
from django.http import (
    Http404,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotModified,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from generations import access
from generations.models import Clip
from generations.views.gate import Request

OPEN_RANGE = 1024 * 1024  # bytes of one answer to "from here on"
PIECE = 64 * 1024
BIGGEST_ID = 2**63 - 1
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):
    """The range lies outside the file."""


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
        if length == 0:
            raise Unsatisfiable
        return max(size - length, 0), size - 1
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    end = int(last) if last else start + OPEN_RANGE - 1
    return start, min(end, size - 1)


def _pieces(file: FieldFile, start: int, length: int) -> Iterator[bytes]:
    with file.open("rb") as source:
        source.seek(start)
        while length > 0:
            piece = source.read(min(PIECE, length))
            if not piece:
                return
            length -= len(piece)
            yield piece


def send(request: Request, file: FieldFile, content_type: str, etag: str) -> HttpResponseBase:
    """One stored file, whole or in part. A file that is missing from storage is a 404."""
    try:
        size = file.size
    except (FileNotFoundError, ValueError):
        raise Http404("The file is missing from storage.") from None
    tag = f'"{etag}"'
    headers: dict[str, Any] = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Cache-Control": "private, max-age=3600",
        "X-Robots-Tag": "noindex",
    }
    if request.headers.get("If-None-Match") == tag:
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
    body = iter(()) if request.method == "HEAD" else _pieces(file, start, end - start + 1)
    return StreamingHttpResponse(body, status=206 if wanted else 200, content_type=content_type, headers=headers)


def _clip(request: Request, pk: int) -> Clip:
    if pk > BIGGEST_ID:
        raise Http404("No database counts so far.")
    return get_object_or_404(access.clips_for(request.user), generation_id=pk, state=Clip.State.STORED)


@login_required
@require_safe
def video(request: Request, pk: int) -> HttpResponseBase:
    clip = _clip(request, pk)
    return send(request, clip.file, "video/mp4", clip.sha256)


@login_required
@require_safe
def download(request: Request, pk: int) -> HttpResponseBase:
    """The clip as a file with a telling name."""
    clip = _clip(request, pk)
    answer = send(request, clip.file, "video/mp4", clip.sha256)
    words = slugify(clip.generation.prompt)[:60].strip("-") or "clip"
    answer["Content-Disposition"] = f'attachment; filename="{words}-{pk}.mp4"'
    return answer


@login_required
@require_safe
def poster(request: Request, pk: int) -> HttpResponseBase:
    clip = _clip(request, pk)
    return send(request, clip.poster, "image/webp", f"p{clip.sha256}")


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
