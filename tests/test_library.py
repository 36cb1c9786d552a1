"""The library of uploads: kept once, shown, used again, lent anew, deleted; and pictures taken from clips."""

import io
from datetime import timedelta
from pathlib import Path

import pytest
import responses
import time_machine
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from PIL import Image, ImageStat

from generations import archive, library, lifecycle, sending, uploads
from generations.models import Clip, Generation, LedgerEntry, Loan, Media, Status, Team, User
from tests.makers import (
    API,
    accepts,
    confirmed,
    make_account,
    make_order,
    make_person,
    price_is,
    sealed_for,
    sent_to,
    status_is,
)
from tests.pages import HTMX, form_in, nothing_happened, review, sealed_in, text_of
from tests.test_uploads import encoded, film, kept_files, picture, png_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]


@pytest.fixture
def mara(settings, tmp_path) -> User:
    settings.MEDIA_ROOT, settings.DATA_DIR = tmp_path / "media", tmp_path
    make_account()
    return make_person()


def desk_of(user: User) -> Client:
    desk = Client()
    desk.force_login(user)
    return desk


@pytest.fixture
def desk(mara) -> Client:
    return desk_of(mara)


def kept(user: User, name: str = "dune.jpg", size: tuple[int, int] = (160, 90)) -> Media:
    return uploads.keep(user.teams.get(), user, picture(size=size, name=name), "image")


def clip_from(user: User, media: Media) -> Generation:
    """A confirmed clip whose start frame this upload is."""
    order = make_order("kling-3", "image-to-video")
    sources = {"image": [f"media:{media.key}"]}
    order = lifecycle.Order(order.mode, order.generation_type, order.params, order.prompt, sources)
    return lifecycle.confirm(user, sealed_for(user, order=order))


def stored_clip(user: User, folder: Path, frames: int = 12, prompt: str = "A walk 1/2 way") -> Generation:
    generation = confirmed(user, order=make_order(prompt=prompt))
    Generation.objects.filter(pk=generation.pk).update(status=Status.COMPLETED)
    clip = Clip(generation=generation, state=Clip.State.STORED, source_url="", seconds=frames / 12)
    clip.width, clip.height, clip.size, clip.sha256 = 160, 90, 1, f"{generation.pk}"
    clip.file.save("clip.mp4", ContentFile(film(folder, frames=frames).read()), save=False)
    clip.poster.save("clip.webp", ContentFile(encoded("WEBP")), save=False)
    clip.save()
    return generation


def names(desk: Client, query: str = "") -> list[str]:
    return [media.name for media, _ in desk.get(f"/library{query}").context["rows"]]


# -- kept once --------------------------------------------------------------------------------------------------------


def test_the_same_content_is_kept_once_in_a_team(mara, settings):
    jonas = make_person("jonas@example.com")
    first = kept(mara)
    files = kept_files(settings)
    assert kept(jonas, "another name.jpg") == first
    assert (Media.objects.count(), kept_files(settings)) == (1, files)
    assert kept(make_person("ada@example.com", team="Southlight")) != first


def test_an_upload_from_before_contents_were_compared_is_recognised(mara):
    first = kept(mara)
    Media.objects.update(sha256="")
    assert kept(mara) == first
    first.refresh_from_db()
    assert len(first.sha256) == 64


def test_an_upload_whose_file_is_lost_is_stored_anew(mara):
    first = kept(mara)
    first.file.storage.delete(first.file.name)
    second = kept(mara)
    assert second != first
    assert second.file.read() == encoded()


def test_of_two_that_come_at_once_one_is_kept_and_no_file_is_left_over(mara, monkeypatch, settings):
    first = kept(mara)
    files = kept_files(settings)
    monkeypatch.setattr(uploads, "_known", lambda *_: None)
    assert kept(mara) == first
    assert kept_files(settings) == files


def test_a_video_with_sides_beyond_reason_is_refused(mara, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST_SIDE", 100)
    with pytest.raises(uploads.CannotKeep, match="must have 64 to 100 pixels; this is 160 × 90"):
        uploads.keep(mara.teams.get(), mara, film(tmp_path), "video")
    assert kept_files(settings) == []


# -- shown ------------------------------------------------------------------------------------------------------------


def test_the_library_shows_what_each_is_and_how_often_it_was_used(desk, mara):
    clip_from(mara, kept(mara))
    said = text_of(desk.get("/library"))
    for words in ("dune.jpg", "Image, 160 × 90", "Used for 1 clip", "Mara", "1 file,"):
        assert words in said


def test_uploads_are_found_by_kind_name_owner_and_use(desk, mara, tmp_path):
    jonas = make_person("jonas@example.com")
    clip_from(mara, kept(mara))
    uploads.keep(mara.teams.get(), jonas, film(tmp_path), "video")
    assert names(desk) == ["take.mp4", "dune.jpg"]
    assert names(desk, "?kind=image") == ["dune.jpg"]
    assert names(desk, "?show=mine") == ["dune.jpg"]
    assert names(desk, "?show=unused") == ["take.mp4"]
    assert names(desk, "?q=TAKE") == ["take.mp4"]
    assert names(desk, "?q=%25&kind=zzz&page=9") == []


def test_another_teams_uploads_are_in_no_library_and_no_picker(mara):
    media = kept(mara)
    other = desk_of(make_person("ada@example.com", team="Southlight"))
    assert names(other) == []
    assert str(media.key) not in other.get("/new?type=image-to-video").content.decode()
    assert other.get(f"/new?media={media.key}").status_code == 404


def test_files_are_added_and_what_is_no_image_is_named(desk, tmp_path):
    files = [
        picture(),
        film(tmp_path),
        SimpleUploadedFile("notes.jpg", b"text"),
        SimpleUploadedFile("huge.png", png_of(9000, 9000)),
    ]
    said = text_of(desk.post("/library/add", {"files": files}, follow=True))
    assert "2 files in the library." in said
    assert "notes.jpg: This is no image that Dailies can read." in said
    assert "huge.png: An image can have at most 50 megapixels" in said
    assert sorted(Media.objects.values_list("kind", flat=True)) == ["image", "video"]


def test_the_page_takes_as_many_queries_for_thirty_uploads_as_for_three(desk, mara):
    def queries() -> int:
        with CaptureQueriesContext(connection) as taken:
            desk.get("/library")
        return len(taken)

    for number in range(3):
        kept(mara, size=(100 + number, 90))
    few = queries()
    for number in range(27):
        kept(mara, size=(200 + number, 90))
    assert queries() == few


# -- used again -------------------------------------------------------------------------------------------------------


def test_an_upload_is_picked_beside_upload_and_link(desk, mara):
    media = kept(mara)
    page = desk.get("/new?mode=kling-3&type=image-to-video").content.decode()
    assert f'value="image=media:{media.key}"' in page
    picked = {"mode": "kling-3", "generation_type": "image-to-video", "add": f"image=media:{media.key}"}
    slot = desk.post("/new/media?slot=image", picked, **HTMX).content.decode()
    assert f'name="image" value="media:{media.key}"' in slot
    without_scripts = desk.post("/new/form", picked).content.decode()
    assert form_in(without_scripts)["image"] == [f"media:{media.key}"]


def test_a_picked_upload_is_what_the_clip_starts_from(desk, mara):
    media = kept(mara)
    price_is(140)
    answer = review(desk, "kling-3", "image-to-video", image=f"media:{media.key}", **{"image.url": ""})
    desk.post("/new/confirm", {"sealed": sealed_in(answer)})
    assert Generation.objects.get().media.get().media == media


@pytest.mark.parametrize(
    "what", ["image=media:zzz", "image=https://example.com/a.jpg", "video=media:x", "zzz", "=", "image="]
)
def test_what_cannot_be_picked_changes_nothing(desk, what):
    fields = {"mode": "kling-3", "generation_type": "image-to-video", "add": what}
    answer = desk.post("/new/media?slot=image", fields, **HTMX)
    assert answer.status_code == 200
    assert 'name="image" value=' not in answer.content.decode()


def test_an_upload_opens_compose_as_what_it_is(desk, mara, tmp_path):
    image = kept(mara)
    video = uploads.keep(mara.teams.get(), mara, film(tmp_path), "video")
    form = form_in(desk.get(f"/new?media={image.key}").content.decode())
    assert (form["generation_type"], form["image"]) == (["image-to-video"], [f"media:{image.key}"])
    form = form_in(desk.get(f"/new?media={video.key}").content.decode())
    assert (form["generation_type"], form["video"]) == (["video-to-video"], [f"media:{video.key}"])
    assert desk.get("/new?media=zzz").status_code == 404


# -- lent anew --------------------------------------------------------------------------------------------------------


def lent() -> responses.BaseResponse:
    """Upstream takes uploads, each under a link of its own."""
    responses.remove(responses.POST, f"{API}/storage/upload")
    number = sent_to("storage/upload") + 1
    return responses.post(
        f"{API}/storage/upload", json={"url": f"https://cdn.veevid.ai/uploads/{number}.jpg", "key": "k"}
    )


def start_frame_sent(call: int = -1) -> str:
    paid = [each for each in responses.calls if str(each.request.url).endswith("/generate-video")]
    return str(paid[call].request.body)


def test_a_link_is_used_again_while_it_is_young_and_made_anew_when_it_is_old(mara):
    media = kept(mara)
    accepts("vg_1")
    lent()
    sending.submit(clip_from(mara, media).pk, "w")
    responses.remove(responses.POST, f"{API}/generate-video")
    accepts("vg_2")
    lent()
    sending.submit(clip_from(mara, media).pk, "w")
    assert sent_to("storage/upload") == 1
    with time_machine.travel(timezone.now() + sending.LOAN_LASTS + timedelta(minutes=1)):
        responses.remove(responses.POST, f"{API}/generate-video")
        accepts("vg_3")
        sending.submit(clip_from(mara, media).pk, "w")
        assert timezone.now() - Loan.objects.get().at < timedelta(minutes=1)
    assert (sent_to("storage/upload"), sent_to("generate-video")) == (2, 3)
    assert ("uploads/1.jpg" in start_frame_sent(1), "uploads/2.jpg" in start_frame_sent(2)) == (True, True)


def test_a_refusal_for_a_dead_link_ends_it_and_is_never_sent_a_second_time(mara):
    media = kept(mara)
    responses.post(f"{API}/generate-video", status=400, json={"error": "The image URL could not be fetched"})
    lent()
    refused = clip_from(mara, media)
    sending.submit(refused.pk, "w")
    refused.refresh_from_db()
    assert (refused.status, sent_to("generate-video")) == (Status.REJECTED, 1)
    assert LedgerEntry.objects.filter(generation=refused, kind="release").exists()
    assert not sending.submit(refused.pk, "w")
    responses.remove(responses.POST, f"{API}/generate-video")
    accepts("vg_2")
    lent()
    sending.submit(clip_from(mara, media).pk, "w")
    assert (sent_to("storage/upload"), sent_to("generate-video")) == (2, 2)
    assert "uploads/2.jpg" in start_frame_sent()


@pytest.mark.parametrize(("words", "loans"), [("Failed to download the input image", 0), ("The model is tired", 1)])
def test_a_clip_that_failed_over_its_image_has_it_lent_anew_next_time(mara, words, loans):
    accepts("vg_1")
    lent()
    generation = clip_from(mara, kept(mara))
    sending.submit(generation.pk, "w")
    status_is("vg_1", id="vg_1", status="failed", error_message=words)
    Generation.objects.update(next_look_at=timezone.now())
    lifecycle.look(generation.pk)
    generation.refresh_from_db()
    assert (generation.status, Loan.objects.count()) == (Status.FAILED, loans)


# -- deleted ----------------------------------------------------------------------------------------------------------


def test_deleting_asks_with_the_figures_and_changes_nothing_yet(desk, mara):
    used, unused = kept(mara), kept(mara, size=(200, 90))
    clip_from(mara, used)
    answer = desk.post("/library/delete", {"key": [used.key, unused.key]})
    assert "1 was never used: it goes for good" in text_of(answer)
    assert "1 is used by clips: it leaves the library" in text_of(answer)
    assert Media.objects.filter(hidden_at=None).count() == 2


def test_the_unused_goes_with_its_files_and_the_used_is_only_hidden(
    desk, mara, settings, django_capture_on_commit_callbacks
):
    used, unused = kept(mara), kept(mara, size=(200, 90))
    clip = clip_from(mara, used)
    with django_capture_on_commit_callbacks(execute=True):
        desk.post("/library/delete", {"key": [used.key, unused.key], "sure": "1"})
    assert names(desk) == []
    assert list(Media.objects.all()) == [used]
    assert len(kept_files(settings)) == 2
    assert desk.get(f"/media/{used.key}").status_code == 200
    assert clip.media.get().media == used
    assert form_in(desk.get(f"/new?from={clip.pk}").content.decode())["image"] == [f"media:{used.key}"]


def test_a_hidden_upload_is_back_when_its_content_comes_again(desk, mara):
    used = kept(mara)
    clip_from(mara, used)
    library.remove(mara.teams.get(), [used])
    assert kept(mara) == used
    assert names(desk) == ["dune.jpg"]


def test_all_that_is_unused_goes_at_once_and_only_ones_own(mara):
    jonas = make_person("jonas@example.com")
    used, mine, his = kept(mara), kept(mara, size=(200, 90)), kept(jonas, size=(300, 90))
    clip_from(mara, used)
    desk_of(mara).post("/library/delete", {"all": "unused", "sure": "1"})
    assert set(Media.objects.filter(hidden_at=None)) == {used, his}
    assert not Media.objects.filter(pk=mine.pk).exists()


def test_a_confirmation_that_names_a_deleted_upload_holds_nothing(desk, mara):
    media = kept(mara)
    price_is(140)
    sealed = sealed_in(review(desk, "kling-3", "image-to-video", image=f"media:{media.key}", **{"image.url": ""}))
    library.remove(mara.teams.get(), [media])
    assert "not there any more" in text_of(desk.post("/new/confirm", {"sealed": sealed}))
    nothing_happened()


@pytest.mark.parametrize("key", ["zzz", "00000000-0000-0000-0000-000000000000"])
def test_an_upload_that_is_not_there_cannot_be_deleted(desk, mara, key):
    media = kept(mara)
    assert desk.post("/library/delete", {"key": [media.key, key], "sure": "1"}).status_code == 404
    assert Media.objects.exists()


# -- pictures of clips ------------------------------------------------------------------------------------------------


def shade(media: Media) -> int:
    """How light a picture is; the films of these tests grow lighter by 9 with each of their 12 frames a second."""
    with media.file.open("rb") as file:
        return round(ImageStat.Stat(Image.open(io.BytesIO(file.read())).convert("L")).mean[0])


def test_the_last_frame_of_a_clip_becomes_the_start_of_the_next(desk, mara, tmp_path):
    clip = stored_clip(mara, tmp_path)
    answer = desk.post(f"/g/{clip.pk}/frame")
    media = Media.objects.get()
    assert answer["Location"] == f"/new?from={clip.pk}&media={media.key}"
    assert (media.name, media.width, media.height) == ("A walk 1 2 way, last frame.jpg", 160, 90)
    assert abs(shade(media) - 11 * 9) <= 3
    form = form_in(desk.get(answer["Location"]).content.decode())
    assert (form["generation_type"], form["image"]) == (["image-to-video"], [f"media:{media.key}"])
    assert form["prompt"] == [clip.prompt]


def test_the_same_frame_twice_is_one_upload(desk, mara, tmp_path):
    clip = stored_clip(mara, tmp_path)
    first, second = (desk.post(f"/g/{clip.pk}/frame")["Location"] for _ in range(2))
    assert (first == second, Media.objects.count()) == (True, 1)


@pytest.mark.parametrize(("at", "frame"), [("0", 0), ("0.5", 6), ("99", 11), ("-3", 0), ("nan", 11), ("x", 11)])
def test_a_frame_is_the_one_that_is_shown_at_its_time(desk, mara, tmp_path, at, frame):
    clip = stored_clip(mara, tmp_path)
    desk.post(f"/g/{clip.pk}/frame", {"at": at})
    assert abs(shade(Media.objects.get()) - frame * 9) <= 3


def test_a_clip_whose_file_is_no_video_or_is_lost_says_so(desk, mara, tmp_path):
    clip = stored_clip(mara, tmp_path)
    storage, name = clip.clip.file.storage, clip.clip.file.name
    Path(storage.path(name)).write_bytes(b"no video at all")
    said = text_of(desk.post(f"/g/{clip.pk}/frame", follow=True))
    assert "No picture can be taken from this clip" in said
    assert "Nothing was charged." in said
    storage.delete(name)
    with pytest.raises(library.NoFrame):
        library.frame_of(clip.clip, mara)
    assert not Media.objects.exists()


def test_a_file_that_hangs_the_decoder_is_given_up(mara, tmp_path, monkeypatch):
    clip = stored_clip(mara, tmp_path)
    monkeypatch.setattr(archive, "FRAME_TIMEOUT", 0.01)
    with pytest.raises(library.NoFrame):
        library.frame_of(clip.clip, mara)
    assert not Media.objects.exists()


def test_a_clip_of_the_team_one_does_not_work_in_now_is_not_carried_over(desk, mara, tmp_path):
    clip = stored_clip(mara, tmp_path)
    other = Team.objects.create(name="Alpha")
    other.memberships.create(user=mara, role="member")
    session = desk.session
    session["team"] = other.pk
    session.save()
    assert "Switch to that team" in text_of(desk.post(f"/g/{clip.pk}/frame", follow=True))
    assert not Media.objects.exists()
