"""Several clips as one zip: streamed, with a list of what is in it, and never broken by what is not."""

import csv
import io
import json
import zipfile
from threading import BoundedSemaphore

import pytest
from django.core.files.base import ContentFile

from generations import bundle
from generations.models import Clip, Generation, User
from generations.views import media
from tests.makers import make_person
from tests.pages import text_of
from tests.test_gallery import VIDEO, make_clip, make_generation

pytestmark = pytest.mark.django_db


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def page(client, mara):
    client.force_login(mara)
    return client


@pytest.fixture(autouse=True)
def places(monkeypatch) -> None:
    """Answers that a test does not read to their end keep their places."""
    monkeypatch.setattr(media, "PLACES", BoundedSemaphore(5))


def opened(answer) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))


def listed(archive: zipfile.ZipFile) -> list[dict]:
    return json.loads(archive.read("manifest.json"))["clips"]


def download(page, *pks: int):
    return page.post("/clips/zip", {"pick": pks})


def test_the_clips_are_in_it_as_they_are_with_a_list(page, mara):
    one, two = make_clip(mara, prompt="Dune, at dusk"), make_clip(mara, prompt="Dune, at dusk")
    page.post("/clips/tag", {"pick": one.generation_id, "tag": "sea"})
    archive = opened(download(page, two.generation_id, one.generation_id))
    assert archive.testzip() is None
    names = [f"dune-at-dusk-{two.generation_id}.mp4", f"dune-at-dusk-{one.generation_id}.mp4"]
    assert archive.namelist() == [*names, "manifest.csv", "manifest.json"]
    assert archive.read(names[0]) == VIDEO
    assert archive.getinfo(names[0]).compress_type == zipfile.ZIP_STORED
    said = listed(archive)[1]
    assert (said["prompt"], said["quoted_credits"], said["charged_credits"], said["person"], said["tags"]) == (
        "Dune, at dusk", 140, 140, "Mara", ["sea"])  # fmt: skip
    assert said["parameters"] == {"aspect_ratio": "16:9"}
    assert said["address"].endswith(f"/g/{one.generation_id}")


def test_a_clip_whose_file_is_missing_is_listed_as_missing(page, mara):
    here, missing = make_clip(mara), make_clip(mara)
    missing.file.storage.delete(missing.file.name)
    archive = opened(download(page, missing.generation_id, here.generation_id))
    assert archive.testzip() is None
    assert [said["state"] for said in listed(archive)] == ["Missing: its file is not in the storage", "Here"]
    assert len([name for name in archive.namelist() if name.endswith(".mp4")]) == 1


def test_a_clip_whose_file_is_cut_off_is_listed_as_broken(page, mara):
    clip = make_clip(mara)
    clip.file.storage.delete(clip.file.name)
    clip.file.storage.save(clip.file.name, ContentFile(b"short"))
    archive = opened(download(page, clip.generation_id))
    assert listed(archive)[0]["state"].startswith("Broken: 5 of")


def test_no_cell_of_the_list_is_a_formula(page, mara):
    clip = make_clip(mara, prompt="=HYPERLINK(1)")
    archive = opened(download(page, clip.generation_id))
    rows = list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode("utf-8-sig"))))
    assert rows[0]["Prompt"] == "'=HYPERLINK(1)"
    assert rows[0]["Charged credits"] == "140"


def test_a_zip_of_five_thousand_clips_gets_a_sentence(page, mara):
    clip = make_clip(mara)
    answer = download(page, clip.generation_id, *range(10**6, 10**6 + 5000))
    assert answer.status_code == 422
    assert "Up to 1,000 clips go at once; these are 5,001" in text_of(answer)


def test_more_bytes_than_a_zip_takes_get_a_sentence(page, mara):
    clip = make_clip(mara)
    Clip.objects.update(size=bundle.MOST_BYTES + 1)
    answer = download(page, clip.generation_id)
    assert answer.status_code == 422
    assert "up to 20.0 GB" in text_of(answer)


def test_nothing_but_failed_ones_is_no_download(page, mara):
    assert download(page, make_generation(mara, "FAILED").pk).status_code == 422


def test_a_person_has_one_at_a_time(page, client, mara):
    clip = make_clip(mara)
    first = download(page, clip.generation_id)
    refused = download(page, clip.generation_id)
    assert refused.status_code == 429
    assert "A download of yours is under way" in text_of(refused)
    opened(first)
    opened(download(page, clip.generation_id))


def test_one_that_was_broken_off_gives_its_turn_back(page, mara):
    clip = make_clip(mara)
    for begun in (False, True):
        turn = bundle.Turn.take(mara)
        broken = bundle.Stream(Generation.objects.all(), [clip.generation_id], turn, "")
        if begun:
            next(iter(broken))
        broken.close()
    assert download(page, clip.generation_id).status_code == 200


def test_a_few_at_once_leave_the_server_to_the_others(client, mara):
    clip = make_clip(mara)
    people = [make_person(f"p{number}@example.com") for number in range(bundle.AT_ONCE + 1)]
    answers = []
    for person in people:
        client.force_login(person)
        answers.append(download(client, clip.generation_id))
    assert [answer.status_code for answer in answers] == [200] * bundle.AT_ONCE + [429]


def test_a_collection_comes_whole_and_in_its_order(page, mara):
    pks = [make_clip(mara, prompt=f"Take {number}").generation_id for number in range(3)]
    page.post("/clips/collect", {"pick": pks[::-1], "collection": "new", "name": "First cut"})
    answer = page.post(f"/collections/{mara.collections.get().pk}/zip")
    assert "first-cut-" in answer["Content-Disposition"]
    assert [said["prompt"] for said in listed(opened(answer))] == ["Take 2", "Take 1", "Take 0"]


def test_what_is_in_the_bin_is_in_no_zip(page, mara):
    clip = make_clip(mara)
    page.post("/clips/bin", {"pick": clip.generation_id})
    assert download(page, clip.generation_id).status_code == 404


def test_a_zip_waits_for_one_of_the_places_that_long_downloads_have(page, mara, monkeypatch):
    clip = make_clip(mara)
    monkeypatch.setattr(media, "PLACES", BoundedSemaphore(1))
    media.PLACES.acquire()
    refused = download(page, clip.generation_id)
    assert (refused.status_code, "Many files are being downloaded" in text_of(refused)) == (429, True)
    media.PLACES.release()
    whole = download(page, clip.generation_id)  # the refusal kept no turn
    assert opened(whole).testzip() is None
    assert media.PLACES.acquire(blocking=False)
