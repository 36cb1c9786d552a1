"""Uploads: whole and readable, or not at all. Whatever comes in is answered with a sentence."""

import errno
import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import pytest
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from PIL import Image

from generations import uploads
from generations.models import Media, User
from tests.makers import make_person

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
WORDS = "This is no image that Dailies can read."


def file_named(name: str, data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, "image/jpeg")


def encoded(kind: str = "JPEG", size: tuple[int, int] = (160, 90), **how) -> bytes:
    data = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(data, kind, **how)
    return data.getvalue()


def picture(kind: str = "JPEG", size: tuple[int, int] = (160, 90), name: str = "dune.jpg") -> SimpleUploadedFile:
    return file_named(name, encoded(kind, size))


def film(folder: Path, name: str = "take.mp4", codec: str = "libx264", frames: int = 12) -> SimpleUploadedFile:
    path = folder / name
    with av.open(str(path), "w") as target:
        stream = cast(av.VideoStream, target.add_stream(codec, rate=12))
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame(160, 90, "rgb24")
            frame.planes[0].update(bytes([number * 9 % 256]) * frame.planes[0].buffer_size)
            frame.pts, frame.time_base = number, Fraction(1, 12)
            target.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        target.mux(stream.encode(None))
    return SimpleUploadedFile(name, path.read_bytes(), "video/mp4")


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it has these measures and holds no picture of that size."""
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture
def mara(settings, tmp_path) -> User:
    settings.MEDIA_ROOT = tmp_path / "media"
    return make_person()


@pytest.fixture
def browser(client, mara):
    client.force_login(mara)
    return client


def kept_files(settings) -> list[Path]:
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


def send(browser, file, slot: str = "image", kind: str = "image-to-video", mode: str = "kling-3", **more):
    fields = {"mode": mode, "generation_type": kind, f"{slot}.file": file, **more}
    return browser.post(f"/new/media?slot={slot}", fields, **HTMX)


def refused(answer, sentence: str, settings) -> None:
    page = answer.content.decode()
    assert (answer.status_code, sentence in page) == (422, True), page
    assert 'id="e-' in page
    assert not Media.objects.exists()
    assert kept_files(settings) == []


@pytest.mark.parametrize(
    ("kind", "name", "stored", "content_type"),
    [
        ("JPEG", "dune.jpg", "dune.jpg", "image/jpeg"),
        ("PNG", "dune.png", "dune.png", "image/png"),
        ("WEBP", "dune.webp", "dune.webp", "image/webp"),
        ("PNG", "really a png.jpg", "really a png.png", "image/png"),
        ("JPEG", "../../etc/passwd", "passwd.jpg", "image/jpeg"),
        ("JPEG", "a\u202egpj.exe", "agpj.jpg", "image/jpeg"),
    ],
)
def test_an_image_is_kept_as_it_is_under_an_honest_name(browser, mara, kind, name, stored, content_type):
    answer = send(browser, picture(kind, name=name))
    media = Media.objects.get()
    assert answer.status_code == 200
    assert (media.name, media.content_type, media.owner, media.team) == (stored, content_type, mara, mara.teams.get())
    assert (media.width, media.height) == (160, 90)
    assert media.file.read() == encoded(kind)
    assert Image.open(media.poster).format == "WEBP"
    assert f'value="media:{media.key}"' in answer.content.decode()


def test_a_photo_taken_upright_is_measured_upright_and_not_changed(browser):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(exif=exif)
    send(browser, file_named("upright.jpg", data))
    media = Media.objects.get()
    assert (media.width, media.height, media.file.read() == data) == (90, 160, True)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("fake.jpg", b"I am text, not an image", WORDS),
        ("page.jpg", b"<!doctype html><script>alert(1)</script>", WORDS),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>', WORDS),
        ("nothing.jpg", b"", "The file is empty."),
        ("half.jpg", encoded(size=(800, 600))[:2000], WORDS),
        ("half.png", encoded("PNG", size=(800, 600))[:900], WORDS),
        ("tiny.png", encoded("PNG", size=(63, 200)), "at least 64 pixels; this is 63 × 200"),
        ("moving.gif", encoded("GIF"), WORDS),
        ("scan.tiff", encoded("TIFF"), WORDS),
        ("huge.png", png_of(9000, 9000), "at most 50 megapixels; this is 9,000 × 9,000 pixels"),
        ("bomb.png", png_of(60000, 60000), WORDS),
        ("empty.png", png_of(640, 480), WORDS),
    ],
)
def test_what_is_no_usable_image_is_refused_at_its_place(browser, settings, name, data, sentence):
    refused(send(browser, file_named(name, data)), sentence, settings)


def test_an_image_of_40_megabytes_is_refused(browser, settings):
    large = file_named("large.jpg", encoded() + bytes(40_000_000))
    refused(send(browser, large), "An image can be at most 20 MB; this one has 40 MB.", settings)


def test_a_refused_file_leaves_what_was_there(browser):
    there = "https://example.com/a.jpg"
    answer = send(browser, file_named("fake.jpg", b"text"), image=there)
    assert (answer.status_code, there in answer.content.decode()) == (422, True)


def test_a_second_start_frame_takes_the_place_of_the_first(browser):
    answer = send(browser, picture(), image="https://example.com/a.jpg")
    assert "example.com" not in answer.content.decode()


def test_references_are_added_up_to_three(browser):
    where = {"slot": "images", "kind": "reference-to-video", "mode": "veo3"}
    answer = send(browser, [picture(), picture(size=(170, 90))], **where)
    assert answer.content.decode().count('name="images" value="media:') == 2
    there = [f"media:{media.key}" for media in Media.objects.all()]
    answer = send(browser, [picture(size=(180, 90)), picture(size=(190, 90))], images=there, **where)
    assert (answer.status_code, Media.objects.count()) == (422, 2)


def test_a_medium_can_be_taken_out(browser):
    fields = {"mode": "kling-3", "generation_type": "image-to-video", "image": "https://example.com/a.jpg"}
    answer = browser.post("/new/media?slot=image", {**fields, "remove": "image:0"}, **HTMX)
    assert (answer.status_code, "example.com" in answer.content.decode()) == (200, False)


def test_a_link_becomes_a_medium(browser):
    fields = {"mode": "kling-3", "generation_type": "image-to-video", "image.url": "https://example.com/a.jpg"}
    answer = browser.post("/new/media?slot=image", fields, **HTMX)
    assert 'name="image" value="https://example.com/a.jpg"' in answer.content.decode()


def test_a_place_that_the_model_does_not_have_is_not_found(browser):
    assert send(browser, picture(), slot="video").status_code == 404
    assert not Media.objects.exists()


# -- videos -----------------------------------------------------------------------------------------------------------

VIDEO = {"slot": "video", "kind": "video-to-video", "mode": "wan-2-6"}


@pytest.mark.parametrize(("name", "content_type"), [("take.mp4", "video/mp4"), ("take.mov", "video/quicktime")])
def test_a_video_is_kept_with_a_poster(browser, tmp_path, name, content_type):
    assert send(browser, film(tmp_path, name), **VIDEO).status_code == 200
    media = Media.objects.get()
    assert (media.kind, media.name, media.content_type) == ("video", name, content_type)
    assert (media.width, media.height) == (160, 90)
    assert Image.open(media.poster).format == "WEBP"


@pytest.mark.parametrize(
    "data",
    [b"I am text, not a video", b"\0\0\0\x18ftypmp42" + bytes(4000), encoded("PNG"), b"#EXTM3U\nfile:///etc/passwd\n"],
)
def test_what_is_no_video_is_refused(browser, settings, data):
    refused(send(browser, file_named("take.mp4", data), **VIDEO), "This is no video that Dailies can read.", settings)


def test_a_video_in_a_foreign_coding_is_named(browser, settings, tmp_path):
    answer = send(browser, film(tmp_path, "take.mov", "mjpeg"), **VIDEO)
    refused(answer, "This video is coded as mjpeg.", settings)


def test_a_video_of_more_than_200_megabytes_is_refused_unopened(mara):
    file = SimpleUploadedFile("take.mp4", b"x")
    file.size = 201_000_000
    with pytest.raises(uploads.CannotKeep, match="A video can be at most 200 MB"):
        uploads.keep(mara.teams.get(), mara, file, "video")


def test_half_a_video_is_refused(browser, settings, tmp_path):
    whole = film(tmp_path, "take.mov", frames=60).read()
    for data in (whole[: len(whole) // 2], whole[:-200]):
        refused(send(browser, file_named("take.mov", data), **VIDEO), "This is no video", settings)


def test_a_playlist_named_like_a_video_is_refused(browser, settings, tmp_path):
    film(tmp_path, "secret.mp4")
    for text in (f"ffconcat version 1.0\nfile {tmp_path}/secret.mp4\n", "#1  ftyp\nffconcat version 1.0\n"):
        refused(send(browser, file_named("take.mp4", text.encode()), **VIDEO), "This is no video", settings)


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full_at", [".jpg", "-poster.webp"])
def test_a_full_disk_is_said_and_keeps_no_part_of_a_file(browser, settings, monkeypatch, full_at):
    write = FileSystemStorage._save

    def out_of_room(storage, name, content):
        if name.endswith(full_at):
            Path(storage.path(name)).parent.mkdir(parents=True, exist_ok=True)
            Path(storage.path(name)).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(storage, name, content)

    monkeypatch.setattr(FileSystemStorage, "_save", out_of_room)
    refused(send(browser, picture()), "Dailies cannot store the file now. Nothing was stored.", settings)


def test_a_row_that_cannot_be_written_leaves_no_file(mara, settings, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("database or disk is full")

    monkeypatch.setattr(Media, "save", refuse)
    with pytest.raises(OperationalError):
        uploads.keep(mara.teams.get(), mara, picture(), "image")
    assert kept_files(settings) == []
