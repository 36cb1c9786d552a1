"""The bin: what is deleted can be taken back for a while; then its file goes, and the books stay."""

from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.utils import timezone

from generations import archive, ledger, wastebin
from generations.models import Clip, CollectionItem, Favourite, Generation, LedgerEntry, Mark, Status, User
from tests.makers import make_person
from tests.pages import text_of
from tests.test_gallery import make_clip, make_generation

pytestmark = pytest.mark.django_db

BYTES = ["/video", "/download", "/poster", "/poster/320", "/preview"]


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def page(client, mara):
    client.force_login(mara)
    return client


def throw(page, *clips: Clip):
    return page.post("/clips/bin", {"pick": [clip.generation_id for clip in clips]}, follow=True)


def is_there(clip: Clip) -> bool:
    return clip.file.storage.exists(str(clip.file.name))


def much_later():
    return timezone.now() + timedelta(days=31)


def test_a_clip_in_the_bin_is_nowhere_else(page, mara):
    clip = make_clip(mara, prompt="A lone walker")
    throw(page, clip)
    assert f"tile-{clip.generation_id}" not in page.get("/").content.decode()
    assert [page.get(f"/g/{clip.generation_id}{path}").status_code for path in BYTES] == [404] * len(BYTES)
    assert "A lone walker" in page.get("/bin").content.decode()
    assert page.get(f"/bin/{clip.generation_id}/poster").status_code == 200


def test_its_page_says_who_deleted_it_what_was_charged_and_until_when_it_can_be_had(page, mara):
    clip = make_clip(mara)
    throw(page, clip)
    words = text_of(page.get(f"/g/{clip.generation_id}"))
    for said in ("In the bin", "Mara deleted it", "Yes. 140 credits.", "in 30 days", "Take it back"):
        assert said in words


def test_it_comes_back_as_it_was(page, mara):
    clip = make_clip(mara)
    pk = clip.generation_id
    page.post("/clips/favourite", {"pick": pk})
    page.post("/clips/collect", {"pick": pk, "collection": "new", "name": "First cut"})
    throw(page, clip)
    page.post("/clips/restore", {"pick": pk})
    assert page.get(f"/g/{pk}/video").status_code == 200
    assert (Favourite.objects.count(), CollectionItem.objects.count()) == (1, 1)


def test_what_the_teams_rule_threw_away_is_kept_once_somebody_takes_it_back(page, mara):
    clip = make_clip(mara)
    Generation.objects.filter(pk=clip.generation_id).update(binned_at=timezone.now(), binned_by=None)
    page.post("/clips/restore", {"pick": [clip.generation_id]})
    row = Generation.objects.get(pk=clip.generation_id)
    assert (row.binned_at, row.mark, row.marked_by) == (None, Mark.KEEP, mara)


def test_what_a_person_threw_away_comes_back_with_the_mark_it_had(page, mara):
    clip = make_clip(mara)
    throw(page, clip)
    page.post("/clips/restore", {"pick": [clip.generation_id]})
    assert Generation.objects.get(pk=clip.generation_id).mark == Mark.NONE


def test_the_books_do_not_move(page, mara):
    clip = make_clip(mara)
    before = list(LedgerEntry.objects.order_by("pk").values())
    throw(page, clip)
    wastebin.empty(much_later())
    assert list(LedgerEntry.objects.order_by("pk").values()) == before
    assert ledger.totals(demo=False).spent == 140


def test_members_delete_their_own_and_managers_everybodys(page, client, mara):
    own, lucs = make_clip(mara), make_clip(make_person("luc@example.com"))
    assert "1 clip moved to the bin. Left out: 1 of somebody else (ask a manager)." in text_of(throw(page, own, lucs))
    client.force_login(make_person("chief@example.com", role="manager"))
    assert "1 clip moved to the bin." in text_of(throw(client, lucs))


@pytest.mark.parametrize("status", [Status.QUEUED, Status.AWAITING_APPROVAL, Status.SUBMITTING, Status.PROCESSING,
                                    Status.STALLED, Status.UNCONFIRMED])  # fmt: skip
def test_what_is_under_way_cannot_be_deleted(page, mara, status):
    row = make_generation(mara, status)
    page.post("/clips/bin", {"pick": row.pk})
    assert Generation.objects.get(pk=row.pk).binned_at is None


def test_a_clip_that_is_being_fetched_cannot_be_deleted(page, mara):
    clip = make_clip(mara)
    Clip.objects.update(state=Clip.State.PENDING)
    assert "still under way" in text_of(throw(page, clip))
    assert Generation.objects.get().binned_at is None


def test_a_failed_one_can(page, mara):
    row = make_generation(mara, Status.FAILED)
    page.post("/clips/bin", {"pick": row.pk})
    wastebin.empty(much_later())
    assert Generation.objects.get().cleared_at is not None
    assert "Deleted for good" in text_of(page.get(f"/g/{row.pk}"))


def test_after_thirty_days_the_file_goes_and_the_row_stays(page, mara):
    clip = make_clip(mara)
    throw(page, clip)
    assert wastebin.empty(timezone.now() + timedelta(days=29)) == 0
    assert is_there(clip)
    assert wastebin.empty(much_later()) == 1
    assert not is_there(clip)
    clip.refresh_from_db()
    assert (clip.state, clip.file.name, clip.sha256) == (Clip.State.DELETED, "", "abc")
    words = text_of(page.get(f"/g/{clip.generation_id}"))
    assert "Deleted for good" in words
    assert "Yes. 140 credits." in words
    assert "Take it back" not in words
    assert page.post("/clips/restore", {"pick": clip.generation_id}).status_code == 404


def test_a_manager_deletes_for_good_and_a_worker_removes_the_file(client):
    chief = make_person("chief@example.com", role="manager")
    client.force_login(chief)
    clip = make_clip(chief)
    throw(client, clip)
    client.post("/clips/erase", {"pick": clip.generation_id})
    assert client.get(f"/bin/{clip.generation_id}/poster").status_code == 404
    wastebin.empty()
    assert not is_there(clip)


def test_a_member_does_not_delete_for_good(page, mara):
    clip = make_clip(mara)
    throw(page, clip)
    assert page.post("/clips/erase", {"pick": clip.generation_id}).status_code == 403
    wastebin.empty()
    assert is_there(clip)


def test_a_storage_that_refuses_is_asked_again(page, mara, monkeypatch):
    clip = make_clip(mara)
    throw(page, clip)

    def refuse(*_: object) -> None:
        raise OSError("busy")

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "delete", refuse)
        wastebin.empty(much_later())
    assert is_there(clip)
    wastebin.empty()
    assert not is_there(clip)


# -- the same content is kept once ------------------------------------------------------------------------------------


def leaning(owner: User, clip: Clip) -> Clip:
    """Another clip, whose fetch brought the very same bytes."""
    other = Clip.objects.create(generation=make_generation(owner, charged=140), source_url="")
    assert archive._lean_on_twin(other, clip.sha256, clip.size or 0)
    other.refresh_from_db()
    return other


def test_a_clip_with_the_same_content_has_no_file_of_its_own(page, mara):
    clip = make_clip(mara)
    other = leaning(mara, clip)
    assert other.file.name == clip.file.name
    assert other.state == Clip.State.STORED
    assert (other.width, other.height, other.seconds) == (1080, 1920, 8.0)
    assert page.get(f"/g/{other.generation_id}/video").status_code == 200


def test_the_last_that_leans_on_a_file_takes_it_along(page, mara):
    clip = make_clip(mara)
    other = leaning(mara, clip)
    throw(page, clip)
    wastebin.empty(much_later())
    assert is_there(other)
    assert page.get(f"/g/{other.generation_id}/video").status_code == 200
    throw(page, other)
    wastebin.empty(much_later())
    assert not is_there(other)


def test_nobody_leans_on_a_file_that_is_not_whole(mara):
    clip = make_clip(mara)
    clip.file.storage.delete(clip.file.name)
    clip.file.storage.save(clip.file.name, ContentFile(b"short"))
    other = Clip.objects.create(generation=make_generation(mara), source_url="")
    assert not archive._lean_on_twin(other, clip.sha256, clip.size or 0)
    other.refresh_from_db()
    assert other.state == Clip.State.PENDING


def test_nobody_leans_on_what_was_deleted(page, mara):
    clip = make_clip(mara)
    throw(page, clip)
    Generation.objects.filter(pk=clip.generation_id).update(binned_at=timezone.now() - timedelta(days=40))
    wastebin.empty()
    other = Clip.objects.create(generation=make_generation(mara), source_url="")
    assert not archive._lean_on_twin(other, clip.sha256, clip.size or 0)
