"""Checks an uploaded image or video and keeps it: whole and readable, or not at all. The same content once per team."""

import hashlib
import logging
import struct
import unicodedata
import uuid
import warnings
from contextlib import suppress
from pathlib import Path, PurePath

from django.core.files import File
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from PIL import Image, ImageOps, UnidentifiedImageError

from generations import archive
from generations.models import Media, Team, User

logger = logging.getLogger(__name__)

MEGABYTE = 1_000_000
LARGEST = {Media.Kind.IMAGE: 20 * MEGABYTE, Media.Kind.VIDEO: 200 * MEGABYTE}
LARGEST_REQUEST = 250 * MEGABYTE
FORMATS = {"JPEG": ("image/jpeg", ".jpg", ".jpeg"), "PNG": ("image/png", ".png"), "WEBP": ("image/webp", ".webp")}
SMALLEST_SIDE = 64
LARGEST_SIDE = 8192  # of a video
MOST_PIXELS = 50_000_000
THUMB_SIDE = 480
CODECS = ("h264", "hevc", "mpeg4", "vp9", "av1")
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
NO_IMAGE = "This is no image that Dailies can read. JPEG, PNG and WebP work. Nothing was stored."
NO_VIDEO = "This is no video that Dailies can read. MP4 and MOV work. Nothing was stored."
#: What Pillow raises for files that are damaged, or made to harm.
UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
)


class CannotKeep(Exception):
    """The file is not kept. The message says why."""


def keep(team: Team, owner: User, file: UploadedFile, kind: str) -> Media:
    """Stores one upload of a person for a team, or finds it there. Raises CannotKeep; then nothing is stored."""
    size = file.size or 0
    if size == 0:
        raise CannotKeep("The file is empty. Nothing was stored.")
    if size > LARGEST[Media.Kind(kind)]:
        what = "An image" if kind == Media.Kind.IMAGE else "A video"
        most = LARGEST[Media.Kind(kind)] // MEGABYTE
        raise CannotKeep(
            f"{what} can be at most {most} MB; this one has {size / MEGABYTE:,.0f} MB. Nothing was stored."
        )
    digest = _digest(file)
    known = _known(team, size, digest)
    if known and known.kind == kind:
        return known
    store = _keep_image if kind == Media.Kind.IMAGE else _keep_video
    try:
        return store(team, owner, file, digest)
    except IntegrityError:  # the same file came twice at once, and the other one was first
        there = Media.objects.filter(team=team, sha256=digest, kind=kind).first()
        if there is None:
            raise
        return there


def kind_of(file: UploadedFile) -> str:
    """What a file seems to be, by its first bytes. `keep` looks closely."""
    file.seek(0)
    return Media.Kind.VIDEO if file.read(8)[4:] in FIRST_BOXES else Media.Kind.IMAGE


def _digest(file: UploadedFile) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    for piece in file.chunks():
        digest.update(piece)
    return digest.hexdigest()


def _known(team: Team, size: int, digest: str) -> Media | None:
    """The team's upload with this content, if it is here and whole. It is in the library again from now on.

    Uploads from before contents were compared are read when one of their size comes in.
    """
    for old in Media.objects.filter(team=team, size=size, sha256=""):
        with suppress(OSError, ValueError, IntegrityError), old.file.open("rb") as content, transaction.atomic():
            Media.objects.filter(pk=old.pk).update(sha256=hashlib.file_digest(content, "sha256").hexdigest())
    media = Media.objects.filter(team=team, sha256=digest).first()
    if media is None:
        return None
    try:
        whole = media.file.size == size
    except FileNotFoundError:
        whole = False
    except OSError:
        raise CannotKeep("Dailies cannot store the file now. Nothing was stored.") from None
    if not whole:
        logger.error("upload %s is missing or damaged in our storage", media.key)
        Media.objects.filter(pk=media.pk).update(sha256="")
        return None
    Media.objects.filter(pk=media.pk).update(hidden_at=None)
    return media


def _keep_image(team: Team, owner: User, file: UploadedFile, digest: str) -> Media:
    with archive.workshop() as folder:
        thumb = folder / "thumb.webp"
        try:
            kind, width, height = _look_into(file, thumb)
        except UNREADABLE:
            raise CannotKeep(NO_IMAGE) from None
        content_type, *suffixes = FORMATS[kind]
        media = _media(team, owner, file, Media.Kind.IMAGE, content_type, tuple(suffixes), (width, height))
        return _store(media, file, digest, suffixes[0], thumb)


def _look_into(file: UploadedFile, thumb: Path) -> tuple[str, int, int]:
    """Decodes all of an image and draws its thumbnail. Format, and width and height as they are seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        file.seek(0)
        with Image.open(file, formats=tuple(FORMATS)) as image:
            _check_measures(*image.size)
            image.verify()
        file.seek(0)
        with Image.open(file, formats=tuple(FORMATS)) as image:
            kind = str(image.format)
            image.load()
            seen = ImageOps.exif_transpose(image) or image
            width, height = seen.size
            seen.thumbnail((THUMB_SIDE, THUMB_SIDE))
            seen.convert("RGB").save(thumb, "WEBP", quality=80)
    return kind, width, height


def _check_measures(width: int, height: int) -> None:
    if min(width, height) < SMALLEST_SIDE:
        raise CannotKeep(
            f"Each side must have at least {SMALLEST_SIDE} pixels; this is {width} × {height}. Nothing was stored."
        )
    if width * height > MOST_PIXELS:
        most = MOST_PIXELS // 1_000_000
        raise CannotKeep(
            f"An image can have at most {most} megapixels; this is {width:,} × {height:,} pixels. Nothing was stored."
        )


def _keep_video(team: Team, owner: User, file: UploadedFile, digest: str) -> Media:
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[4:8] not in FIRST_BOXES:
        raise CannotKeep(NO_VIDEO)
    quicktime = head[4:8] != b"ftyp" or head[8:10] == b"qt"
    content_type, suffixes = (
        ("video/quicktime", (".mov", ".mp4")) if quicktime else ("video/mp4", (".mp4", ".mov", ".m4v"))
    )
    with archive.workshop() as folder:
        copy = folder / f"upload{suffixes[0]}"
        _copy(file, copy)
        try:
            film = archive.develop(copy, folder)
        except archive.CannotFetch:
            raise CannotKeep(NO_VIDEO) from None
        if film["codec"] not in CODECS or not film["seconds"]:
            raise CannotKeep(
                f"This video is coded as {film['codec']}. H.264 in an MP4 or MOV works. Nothing was stored."
            )
        measures = int(str(film["width"])), int(str(film["height"]))
        if min(measures) < SMALLEST_SIDE or max(measures) > LARGEST_SIDE:
            raise CannotKeep(
                f"Each side of a video must have {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels; this is {measures[0]:,} × "
                f"{measures[1]:,}. Nothing was stored."
            )
        media = _media(team, owner, file, Media.Kind.VIDEO, content_type, suffixes, measures)
        return _store(media, file, digest, suffixes[0], folder / str(film["poster"]))


def _copy(file: UploadedFile, to: Path) -> None:
    file.seek(0)
    with to.open("wb") as target:
        for piece in file.chunks():
            target.write(piece)


def _media(
    team: Team,
    owner: User,
    file: UploadedFile,
    kind: str,
    content_type: str,
    suffixes: tuple[str, ...],
    measures: tuple[int, int],
) -> Media:
    return Media(
        team=team,
        owner=owner,
        kind=kind,
        name=_name(file.name or "", suffixes),
        content_type=content_type,
        size=file.size or 0,
        width=measures[0],
        height=measures[1],
    )


def _name(given: str, suffixes: tuple[str, ...]) -> str:
    """The file's own name, without anything invisible, ending in what the file really is."""
    plain = "".join(c for c in PurePath(given.replace("\\", "/")).name if unicodedata.category(c)[0] != "C").strip()
    stem, suffix = PurePath(plain).stem, PurePath(plain).suffix
    return (stem or "upload")[:180] + (suffix if suffix.lower() in suffixes else suffixes[0])


def _store(media: Media, file: UploadedFile, digest: str, suffix: str, thumb: Path) -> Media:
    media.sha256 = digest
    name = uuid.uuid4().hex
    file.seek(0)
    try:
        with thumb.open("rb") as poster, archive.shelf() as put:
            put(media.file, name + suffix, File(file))
            put(media.poster, f"{name}-poster.webp", File(poster))
            media.extra_size = thumb.stat().st_size
            with transaction.atomic():
                media.save()
    except OSError:
        raise CannotKeep("Dailies cannot store the file now. Nothing was stored.") from None
    return media
