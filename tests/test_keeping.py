"""What the storage holds: clips that went missing, whose bytes they are, and what a team lets go of."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
import responses
from django.core.management import CommandError, call_command
from django.utils import timezone

from generations import archive, keeping
from generations.models import Clip, LedgerEntry, Team, User
from tests.makers import make_person
from tests.test_gallery import VIDEO, make_clip

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_storage(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def mara() -> User:
    return make_person(role="manager")


@pytest.fixture
def page(client, mara):
    client.force_login(mara)
    return client


@pytest.fixture
def team(mara) -> Team:
    return mara.teams.get()


def whole_clip(owner: User, **fields) -> Clip:
    clip = make_clip(owner, **fields)
    Clip.objects.filter(pk=clip.pk).update(sha256=hashlib.sha256(VIDEO).hexdigest())
    clip.refresh_from_db()
    return clip


def path_of(clip: Clip) -> Path:
    return Path(clip.file.path)


def state(clip: Clip) -> str:
    return Clip.objects.get(pk=clip.pk).state


def lose(clip: Clip) -> None:
    path_of(clip).unlink()


def shorten(clip: Clip) -> None:
    path_of(clip).write_bytes(VIDEO[:-1])


def change(clip: Clip) -> None:
    path_of(clip).write_bytes(b"x" + VIDEO[1:])


# -- a clip whose file is missing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("damage", "words"), [(lose, archive.MISSING), (shorten, archive.SHORT)])
def test_the_page_of_a_clip_without_its_file_says_so_and_offers_to_fetch_it(page, mara, damage, words):
    clip = whole_clip(mara)
    damage(clip)
    answer = page.get(f"/g/{clip.generation_id}").content.decode()
    assert "Damaged here" in answer
    assert words in answer
    assert "<video" not in answer
    assert f'action="/g/{clip.generation_id}/fetch"' in answer
    assert "Yes. 140 credits." in answer
    assert "Damaged here" in page.get("/").content.decode()


def test_a_player_that_finds_no_file_marks_the_clip(page, mara):
    clip = whole_clip(mara)
    lose(clip)
    assert page.get(f"/g/{clip.generation_id}/video").status_code == 404
    assert state(clip) == Clip.State.DAMAGED


def test_a_clip_is_shown_again_when_its_file_is_back(page, mara):
    clip = whole_clip(mara)
    lose(clip)
    page.get(f"/g/{clip.generation_id}")
    assert state(clip) == Clip.State.DAMAGED
    path_of(clip).write_bytes(VIDEO)
    assert "<video" in page.get(f"/g/{clip.generation_id}").content.decode()
    assert state(clip) == Clip.State.STORED


@responses.activate
def test_a_damaged_clip_is_fetched_again_without_the_paid_request(page, mara):
    clip = whole_clip(mara)
    lose(clip)
    page.get(f"/g/{clip.generation_id}")
    before = list(LedgerEntry.objects.values())
    page.post(f"/g/{clip.generation_id}/fetch")
    assert state(clip) == Clip.State.PENDING
    assert list(LedgerEntry.objects.values()) == before
    assert len(responses.calls) == 0


def test_a_member_who_may_not_fetch_it_is_told_who_may(client, mara):
    clip = whole_clip(mara)
    lose(clip)
    client.force_login(make_person("luc@example.com"))
    answer = client.get(f"/g/{clip.generation_id}").content.decode()
    assert "A manager of the team or an admin can do that." in answer


# -- the check --------------------------------------------------------------------------------------------------------


def check(*options: str) -> None:
    call_command("check_clips", *options)


def test_a_check_of_whole_clips_prints_figures_and_ends_well(mara, capsys):
    clips = [whole_clip(mara) for _ in range(3)]
    check()
    assert "3 clips, 6.3 MB, compared to the last byte" in capsys.readouterr().out
    assert all(Clip.objects.get(pk=clip.pk).checked_at for clip in clips)


@pytest.mark.parametrize("damage", [lose, shorten, change])
def test_a_check_finds_and_marks_what_is_damaged(mara, capsys, damage):
    whole_clip(mara)
    clip = whole_clip(mara)
    damage(clip)
    with pytest.raises(CommandError, match="1 damaged"):
        check()
    assert f"generation {clip.generation_id}: its file" in capsys.readouterr().out
    assert state(clip) == Clip.State.DAMAGED


def test_a_quick_check_reads_no_content(mara):
    clip = whole_clip(mara)
    change(clip)
    check("--quick")
    assert state(clip) == Clip.State.STORED
    with pytest.raises(CommandError):
        check()
    with pytest.raises(CommandError):  # and forgives nothing
        check("--quick")
    assert state(clip) == Clip.State.DAMAGED


def test_a_check_makes_whole_what_came_back(mara, capsys):
    clip = whole_clip(mara)
    change(clip)
    with pytest.raises(CommandError):
        check()
    path_of(clip).write_bytes(VIDEO)
    check()
    assert state(clip) == Clip.State.STORED
    assert "of them 1 that had been damaged" in capsys.readouterr().out


def test_a_storage_that_is_not_there_marks_nothing(mara):
    clips = [whole_clip(mara) for _ in range(keeping.ALL_MISSING)]
    for clip in clips:
        lose(clip)
    with pytest.raises(CommandError, match="is the storage there"):
        check("--quick")
    assert {state(clip) for clip in clips} == {Clip.State.STORED}
    with pytest.raises(CommandError, match="10 damaged"):
        check("--quick", "--even-so")
    assert {state(clip) for clip in clips} == {Clip.State.DAMAGED}


def test_a_check_that_was_stopped_goes_on(mara, capsys, monkeypatch):
    monkeypatch.setattr(keeping, "CHUNK", 2)
    for _ in range(5):
        whole_clip(mara)
    check("--limit", "3")
    check("--unchecked-for", "1")
    said = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in said] == ["3 clips", "2 clips"]


def test_a_check_since_a_day_leaves_out_what_is_older(mara, capsys):
    old = whole_clip(mara)
    Clip.objects.filter(pk=old.pk).update(stored_at=timezone.now() - timedelta(days=9))
    whole_clip(mara)
    check("--since", (timezone.now() - timedelta(days=2)).strftime("%Y-%m-%d"))
    assert capsys.readouterr().out.startswith("1 clips")


@pytest.mark.parametrize("day", ["yesterday", "2026-13-45"])
def test_a_day_that_is_none_is_named(day):
    with pytest.raises(CommandError, match="--since"):
        check("--since", day)
