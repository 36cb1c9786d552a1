"""The gallery, the page of one generation, and every byte they serve."""

import errno
import uuid
from datetime import timedelta
from threading import BoundedSemaphore

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.utils import timezone

from generations import ledger
from generations.models import ApiAccount, Clip, Generation, LedgerEntry, Quote, Status, Submission, User
from generations.views import media
from generations.views.media import OPEN_RANGE
from tests.makers import make_account, make_person

pytestmark = pytest.mark.django_db

VIDEO = bytes(range(256)) * 8192  # 2 MiB


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def page(client, mara):
    client.force_login(mara)
    return client


def make_generation(owner: User, status: str = Status.COMPLETED, prompt: str = "A lone walker", **fields) -> Generation:
    account = ApiAccount.objects.first() or make_account()
    quote = Quote.objects.create(account=account, digest="d", billing={}, credits=140)
    values = {"mode": "veo3", "generation_type": "text-to-video", "params": {"aspect_ratio": "16:9"}, "price": 140}
    return Generation.objects.create(
        team=owner.teams.get(), owner=owner, nonce=uuid.uuid4(), status=status, prompt=prompt, quote=quote,
        **{**values, **fields},
    )  # fmt: skip


def make_clip(owner: User, **fields) -> Clip:
    generation = make_generation(owner, charged=140, finished_at=timezone.now(), took=60.0, **fields)
    ledger.hold(generation)
    ledger.capture(generation, 140)
    clip = Clip(
        generation=generation, state=Clip.State.STORED, source_url="https://cdn.veevid.ai/a.mp4", sha256="abc",
        size=len(VIDEO), width=1080, height=1920, seconds=8.0, fps=24, stored_at=timezone.now(), fetch_at=None,
    )  # fmt: skip
    clip.file.save("a.mp4", ContentFile(VIDEO), save=False)
    clip.poster.save("a.webp", ContentFile(b"poster"), save=False)
    clip.poster_small.save("s.webp", ContentFile(b"small"), save=False)
    clip.preview.save("p.mp4", ContentFile(b"preview"), save=False)
    clip.save()
    return clip


# -- the gallery ------------------------------------------------------------------------------------------------------


def test_an_empty_gallery_says_what_to_do_next(page):
    assert "Create the first clip" in page.get("/").content.decode()


def test_the_newest_clip_stands_first(page, mara):
    first, second = make_clip(mara, prompt="the older one"), make_clip(mara, prompt="the newer one")
    html = page.get("/").content.decode()
    assert html.index(f"tile-{second.generation_id}") < html.index(f"tile-{first.generation_id}")


def test_a_tile_has_the_true_ratio_of_its_clip(page, mara):
    make_clip(mara)
    assert "tile r-9x16" in page.get("/").content.decode()


def test_a_poster_comes_in_the_widths_that_there_are(page, mara):
    clip = make_clip(mara)
    base = f"/g/{clip.generation_id}/poster"
    html = page.get("/").content.decode()
    assert f'srcset="{base}/320 320w, {base} 1080w"' in html
    assert b"".join(page.get(f"{base}/320").streaming_content) == b"small"
    assert page.get(f"{base}/640").status_code == page.get(f"{base}/{10**30}").status_code == 404


def test_work_in_progress_says_when_it_will_be_ready_and_what_is_asked_about_it(page, mara):
    working = make_generation(mara, Status.PROCESSING, sent_at=timezone.now())
    html = page.get("/").content.decode()
    assert f'name="tile" value="{working.pk}-PR' in html
    assert "ready in" in html
    done = make_clip(mara)
    assert f'value="{done.generation_id}-' not in page.get("/").content.decode()


def test_longer_than_usual_says_so_and_stops_its_bar(page, mara):
    sent = timezone.now() - timedelta(minutes=10)
    make_generation(mara, Status.PROCESSING, sent_at=sent)
    tile = page.get("/").content.decode()
    assert "Taking long" in tile
    assert 'width="95%"' in tile


def test_a_failed_tile_says_that_nothing_was_charged(page, mara):
    make_generation(mara, Status.FAILED, charged=0)
    html = page.get("/").content.decode()
    assert "Nothing charged" in html
    assert "140 credits given back" in html


@pytest.mark.parametrize(
    ("query", "found"),
    [("?q=dune", True), ("?q=DUNE+golden", True), ("?q=harbour", False), ("?model=veo3", True),
     ("?model=sora2", False), ("?type=text-to-video", True), ("?type=image-to-video", False), ("?status=ready", True),
     ("?status=trouble", False), ("?show=mine", True)],
)  # fmt: skip
def test_filters_in_the_url_choose_what_is_shown(page, mara, query, found):
    clip = make_clip(mara, prompt="A dune at golden hour")
    assert (f"tile-{clip.generation_id}" in page.get(f"/{query}").content.decode()) is found


@pytest.mark.parametrize("query", ["?person=-1", "?person=9" * 40, "?model=<b>", "?q=" + "%27%22%3B--" * 200,
                                   "?q=%00", "?status[]=1", "?tag=%00", "?mark=x", "?collection=x"])  # fmt: skip
def test_a_query_that_means_nothing_is_ignored(page, mara, query):
    make_clip(mara)
    assert page.get(f"/{query}").status_code == 200


# -- one generation ---------------------------------------------------------------------------------------------------


def test_the_page_shows_price_charge_and_what_happened(page, mara):
    clip = make_clip(mara)
    html = page.get(f"/g/{clip.generation_id}").content.decode()
    for words in ("Price quoted", "Charged 140 credits", "Confirmed by Mara", "Kept", "Remix", "Download"):
        assert words in html


def test_the_vendors_own_words_stay_visible_and_are_escaped(page, mara):
    generation = make_generation(mara, Status.REJECTED, upstream_words="<script>policy</script>")
    html = page.get(f"/g/{generation.pk}").content.decode()
    assert "&lt;script&gt;policy" in html
    assert "<script>policy" not in html


def test_an_unknown_outcome_says_that_nothing_is_sent_again(page, mara):
    generation = make_generation(mara, Status.UNCONFIRMED, sent_at=timezone.now())
    html = page.get(f"/g/{generation.pk}").content.decode()
    assert "Outcome unknown" in html
    assert "nothing is paid twice" in html
    assert "Try again" not in html


def test_a_queued_generation_can_be_cancelled_and_gives_its_hold_back(page, mara):
    generation = make_generation(mara, Status.QUEUED)
    ledger.hold(generation)
    html = page.post(f"/g/{generation.pk}/cancel", follow=True).content.decode()
    assert "nothing was charged" in html
    generation.refresh_from_db()
    assert generation.status == Status.CANCELLED
    assert ledger.totals(demo=False).held == 0


def test_a_generation_that_was_sent_cannot_be_cancelled(page, mara):
    generation = make_generation(mara, Status.PROCESSING, sent_at=timezone.now())
    ledger.hold(generation)
    assert "Too late" in page.post(f"/g/{generation.pk}/cancel", follow=True).content.decode()
    assert ledger.totals(demo=False).held == 140


def test_a_member_cannot_cancel_a_colleagues_generation(page, mara):
    generation = make_generation(make_person("luc@example.com"), Status.QUEUED)
    assert page.post(f"/g/{generation.pk}/cancel").status_code == 403
    generation.refresh_from_db()
    assert generation.status == Status.QUEUED
    assert not LedgerEntry.objects.exists()


def test_an_attempt_that_was_refused_for_credits_is_in_the_story(page, mara):
    generation = make_generation(mara, Status.QUEUED)
    account = generation.quote.account
    Submission.objects.create(
        generation=generation, attempt=1, account=account, key=account.keys.get(), worker="w",
        deadline=timezone.now(), outcome=Submission.Outcome.RETURNED, words="Too few credits. Nothing was charged.",
    )  # fmt: skip
    assert "Too few credits" in page.get(f"/g/{generation.pk}").content.decode()


# -- who may see ------------------------------------------------------------------------------------------------------

PATHS = ["", "/live", "/video", "/download", "/poster", "/poster/320", "/preview"]


@pytest.mark.parametrize("path", PATHS)
def test_a_strangers_generation_is_a_404(client, mara, path):
    clip = make_clip(mara)
    client.force_login(make_person("stranger@example.com", team="Elsewhere"))
    assert client.get(f"/g/{clip.generation_id}{path}").status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_somebody_signed_out_is_led_to_the_sign_in_page(client, mara, path):
    clip = make_clip(mara)
    answer = client.get(f"/g/{clip.generation_id}{path}")
    assert answer.status_code == 302
    assert "/accounts/login/" in answer["Location"]


def test_a_stranger_cannot_cancel(client, mara):
    generation = make_generation(mara, Status.QUEUED)
    client.force_login(make_person("stranger@example.com", team="Elsewhere"))
    assert client.post(f"/g/{generation.pk}/cancel").status_code == 404


def test_somebody_in_no_team_gets_a_sentence(client, mara):
    client.force_login(make_person("new@example.com", team=""))
    answer = client.get("/")
    assert answer.status_code == 403
    assert "no team" in answer.content.decode()


# -- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [("", 200, 0, len(VIDEO) - 1), ("bytes=0-99", 206, 0, 99), ("bytes=100-100", 206, 100, 100),
     ("bytes=-10", 206, len(VIDEO) - 10, len(VIDEO) - 1), ("bytes=0-", 206, 0, OPEN_RANGE - 1),
     (f"bytes={len(VIDEO) - 5}-", 206, len(VIDEO) - 5, len(VIDEO) - 1),
     (f"bytes=0-{len(VIDEO) * 2}", 206, 0, len(VIDEO) - 1),
     ("bytes=9-2", 200, 0, len(VIDEO) - 1), ("bytes=0-1,5-6", 200, 0, len(VIDEO) - 1),
     ("pages=1-2", 200, 0, len(VIDEO) - 1), ("bytes=--5", 200, 0, len(VIDEO) - 1),
     ("bytes=-1-5", 200, 0, len(VIDEO) - 1), ("bytes=", 200, 0, len(VIDEO) - 1), ("bytes=-", 200, 0, len(VIDEO) - 1),
     (f"bytes={'9' * 40}-", 200, 0, len(VIDEO) - 1), ("bytes=\u0661-\u0662", 200, 0, len(VIDEO) - 1),
     ("bytes=" + ",".join(f"{n}-{n}" for n in range(100)), 200, 0, len(VIDEO) - 1),
     (f"bytes=-{len(VIDEO) * 3}", 206, 0, len(VIDEO) - 1)],
)  # fmt: skip
def test_a_range_gets_exactly_its_bytes(page, mara, asked, status, start, end):
    clip = make_clip(mara)
    answer = page.get(f"/g/{clip.generation_id}/video", headers={"Range": asked} if asked else {})
    body = b"".join(answer.streaming_content)
    assert (answer.status_code, body) == (status, VIDEO[start : end + 1])
    assert answer["Content-Length"] == str(len(body))
    if status == 206:
        assert answer["Content-Range"] == f"bytes {start}-{end}/{len(VIDEO)}"


@pytest.mark.parametrize("asked", [f"bytes={len(VIDEO)}-", "bytes=-0", f"bytes={10**17}-"])
def test_a_range_beyond_the_end_is_a_416_with_the_size(page, mara, asked):
    clip = make_clip(mara)
    answer = page.get(f"/g/{clip.generation_id}/video", headers={"Range": asked})
    assert answer.status_code == 416
    assert answer["Content-Range"] == f"bytes */{len(VIDEO)}"


@pytest.mark.parametrize("version", ['"other"', 'W/"abc"', "Tue, 24 Nov 2026 10:00:00 GMT", "nonsense"])
def test_a_range_of_another_version_gets_the_whole_file(page, mara, version):
    clip = make_clip(mara)
    answer = page.get(f"/g/{clip.generation_id}/video", headers={"Range": "bytes=0-1", "If-Range": version})
    assert (answer.status_code, answer["Content-Length"]) == (200, str(len(VIDEO)))


def test_a_range_of_the_same_version_gets_its_bytes(page, mara):
    clip = make_clip(mara)
    answer = page.get(f"/g/{clip.generation_id}/video", headers={"Range": "bytes=0-1", "If-Range": '"abc"'})
    assert (answer.status_code, answer["Content-Length"]) == (206, "2")


@pytest.mark.parametrize("known", ['"abc"', '"older", "abc"'])
def test_what_the_browser_has_already_is_not_sent_again(page, mara, known):
    clip = make_clip(mara)
    answer = page.get(f"/g/{clip.generation_id}/video", headers={"If-None-Match": known})
    assert (answer.status_code, answer.content) == (304, b"")


@pytest.mark.parametrize(("asked", "status"), [("", 200), ("bytes=0-", 416), ("bytes=-5", 416), ("bytes=0-0", 416)])
def test_an_empty_file_is_no_error_of_ours(page, mara, asked, status):
    clip = make_clip(mara)
    clip.preview.save("empty.mp4", ContentFile(b""))
    answer = page.get(f"/g/{clip.generation_id}/preview", headers={"Range": asked} if asked else {})
    assert answer.status_code == status
    assert answer["Content-Range" if asked else "Content-Length"] == ("bytes */0" if asked else "0")


def test_whole_files_leave_threads_for_pages(page, mara, monkeypatch):
    path = f"/g/{make_clip(mara).generation_id}/video"
    monkeypatch.setattr(media, "LONG_BYTES", len(VIDEO) - 1)
    monkeypatch.setattr(media, "PLACES", BoundedSemaphore(1))
    slow = page.get(path)
    refused = page.get(path)
    assert (slow.status_code, refused.status_code, refused["Retry-After"]) == (200, 503, "10")
    assert "being downloaded just now" in refused.content.decode()
    assert page.get(path, headers={"Range": "bytes=0-"}).status_code == 206  # players go on
    assert page.head(path).status_code == 200
    assert b"".join(slow.streaming_content) == VIDEO  # and is closed
    assert page.get(path).status_code == 200


def test_a_storage_that_is_away_is_said_and_marks_nothing(page, mara, monkeypatch):
    clip = make_clip(mara)

    def away(storage, name):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(FileSystemStorage, "size", away)
    answer = page.get(f"/g/{clip.generation_id}/video")
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert "does not answer" in answer.content.decode()
    clip.refresh_from_db()
    assert clip.state == Clip.State.STORED


def test_a_clip_whose_file_is_missing_is_a_404(page, mara):
    clip = make_clip(mara)
    clip.file.storage.delete(clip.file.name)
    assert page.get(f"/g/{clip.generation_id}/video").status_code == 404


def test_a_download_has_a_telling_name(page, mara):
    clip = make_clip(mara, prompt="A lone walker, golden hour")
    answer = page.get(f"/g/{clip.generation_id}/download")
    assert f'filename="a-lone-walker-golden-hour-{clip.generation_id}.mp4"' in answer["Content-Disposition"]


# -- the frame --------------------------------------------------------------------------------------------------------


def test_the_theme_is_remembered_and_leads_back(page, mara):
    answer = page.post("/theme", {"theme": "dark", "next": "/spend"})
    assert answer["Location"] == "/spend"
    assert 'data-theme="dailies-dark"' in page.get("/").content.decode()


def test_the_theme_never_leads_to_another_site(page):
    assert page.post("/theme", {"theme": "dark", "next": "https://elsewhere.example/"})["Location"] == "/"


def test_every_page_says_when_the_disk_is_nearly_full(page, settings):
    assert "nearly full" not in page.get("/").content.decode()
    settings.DISK_FLOOR = 10**18
    assert "nearly full" in page.get("/").content.decode()


# -- a clip that was lost upstream ------------------------------------------------------------------------------------


def lost_clip(owner: User) -> Clip:
    clip = make_clip(owner)
    Clip.objects.filter(pk=clip.pk).update(state=Clip.State.GONE, fetch_at=None, trouble="the link has ended")
    return clip


def test_a_lost_clip_says_that_it_was_charged_and_a_manager_can_have_it_fetched_again(client):
    chief = make_person("chief@example.com", role="manager")
    clip = lost_clip(chief)
    client.force_login(chief)
    assert "Yes. 140 credits." in client.get(f"/g/{clip.generation_id}").content.decode()
    client.post(f"/g/{clip.generation_id}/fetch")
    clip.refresh_from_db()
    assert clip.state == Clip.State.PENDING
    assert clip.fetch_at is not None


def test_a_member_cannot_have_a_lost_clip_fetched_again(page, mara):
    clip = lost_clip(mara)
    assert page.post(f"/g/{clip.generation_id}/fetch").status_code == 403
    clip.refresh_from_db()
    assert clip.state == Clip.State.GONE
