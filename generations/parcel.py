"""All clips of a share link as one zip, streamed: never on the disk, never whole in memory, over once the link is."""

import json
import zipfile
from collections.abc import Iterator
from typing import Any

from django.core.cache import cache
from django.db.models import Sum
from django.utils.text import slugify

from generations import access
from generations.bundle import LEASE, MOST_BYTES, PIECE, Outlet
from generations.models import ShareLink
from generations.words import bytes_words


class CannotPack(Exception):
    """No zip. The message says why."""


def name_of(link: ShareLink, number: int) -> str:
    """What a clip is called as a file: no more than the page says."""
    return f"{slugify(link.title)[:60].strip('-') or 'clip'}-{number}.mp4"


class Parcel:
    """What the web server iterates over. One at a time for each link: each takes a thread for as long as it lasts."""

    def __init__(self, link: ShareLink) -> None:
        self._link, self._turn = link, f"zip-of-link-{link.pk}"
        size = access.shown_to_guests(link).aggregate(bytes=Sum("clip__size"))["bytes"] or 0
        if size > MOST_BYTES:
            raise CannotPack(f"A zip holds up to {bytes_words(MOST_BYTES)}. Download the clips one by one.")
        if not cache.add(self._turn, 1, LEASE):
            raise CannotPack("Somebody downloads all of it just now. Try again in a few minutes.")
        self._pieces = self._stream()

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        self._pieces.close()  # type: ignore[attr-defined]
        cache.delete(self._turn)

    def _stream(self) -> Iterator[bytes]:
        outlet, listed = Outlet(), []
        rows = access.shown_to_guests(self._link).select_related("clip", "owner")
        with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
            for number, generation in enumerate(rows.iterator(50), 1):
                info = zipfile.ZipInfo(name_of(self._link, number))
                info.file_size = generation.clip.size or 0
                try:
                    source = generation.clip.file.open("rb")
                except (OSError, ValueError):
                    continue  # its file is missing: the others are not
                with source, archive.open(info, "w") as target:
                    while piece := source.read(PIECE):
                        target.write(piece)
                        yield outlet.take()
                listed.append({"file": info.filename, **self._told(generation)})
                cache.touch(self._turn, LEASE)
                if access.closed_to_guests(ShareLink.objects.select_related("team", "made_by").get(pk=self._link.pk)):
                    return  # cut off: what is there already opens, the rest is not sent
            archive.writestr("clips.json", json.dumps(listed, indent=1, ensure_ascii=False))
        yield outlet.take()
        cache.delete(self._turn)

    def _told(self, generation: Any) -> dict[str, Any]:
        told = {"prompt": generation.prompt} if self._link.shows_prompt else {}
        told |= {"credits": generation.charged} if self._link.shows_price else {}
        return told | ({"by": generation.owner.get_full_name()} if self._link.shows_author else {})
