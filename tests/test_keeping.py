"""What the storage holds: clips that went missing, whose bytes they are, and what a team lets go of."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
import responses
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generations import archive, keeping
from generations.models import AuditEntry, Clip, Collection, Favourite, Generation, LedgerEntry, Media, Team, User
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


# -- whose bytes they are ---------------------------------------------------------------------------------------------


def test_what_is_kept_is_counted_by_person_and_for_admins_by_team(client, mara, team):
    luc, other = make_person("luc@example.com"), make_person("far@example.com", team="Southlight")
    whole_clip(mara), whole_clip(mara), whole_clip(luc), whole_clip(other)
    Clip.objects.update(size=40_000_000, extra_size=2_000_000)
    Media.objects.create(
        team=team, owner=luc, kind="image", name="a", size=900_000, extra_size=100_000, width=1, height=1
    )
    mara.is_staff = True
    mara.save()
    assert [(str(row.whose), row.clips, row.bytes) for row in keeping.used_by_people(team)] == [
        ("Mara", 2, 84_000_000),
        ("Luc", 1, 43_000_000),
    ]
    assert [(str(row.whose), row.bytes) for row in keeping.used_by_teams()] == [
        ("Northlight", 127_000_000),
        ("Southlight", 42_000_000),
    ]
    client.force_login(mara)
    said = client.get("/storage").content.decode()
    assert "127.0 MB of Northlight" in said
    assert "Southlight" in said


def test_a_manager_does_not_read_of_other_teams(page, mara):
    whole_clip(make_person("far@example.com", team="Southlight"))
    assert "Southlight" not in page.get("/storage").content.decode()


def test_the_storage_page_asks_the_same_number_of_queries_however_much_there_is(page, mara):
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            page.get("/storage?days=90")
        return len(asked)

    whole_clip(mara)
    before = queries()
    for number in range(4):
        whole_clip(make_person(f"p{number}@example.com"))
    assert queries() == before


def test_an_admin_reads_how_many_clips_of_each_team_are_damaged(client):
    admin = make_person("admin@example.com", is_staff=True)
    damage(whole_clip(make_person("far@example.com", team="Southlight")))
    client.force_login(admin)
    assert "1 damaged" in client.get("/storage").content.decode()


def test_damaged_clips_are_named_on_the_storage_page(page, mara):
    clip = whole_clip(mara, prompt="A heron at dawn")
    lose(clip)
    with pytest.raises(CommandError):
        check()
    said = page.get("/storage").content.decode()
    assert "Damaged clips" in said
    assert f'href="/g/{clip.generation_id}"' in said


# -- what a team lets go of -------------------------------------------------------------------------------------------


def old_clip(owner: User, days: int = 100, **fields) -> Clip:
    clip = whole_clip(owner, **fields)
    Clip.objects.filter(pk=clip.pk).update(stored_at=timezone.now() - timedelta(days=days))
    return clip


def binned() -> set[int]:
    return set(Generation.objects.exclude(binned_at=None).values_list("pk", flat=True))


def test_nothing_goes_before_a_manager_says_so(mara):
    old_clip(mara)
    assert keeping.clear() == 0
    assert binned() == set()


def test_what_would_go_is_said_before_and_nothing_is_changed_by_that(page, mara, team):
    old_clip(mara), old_clip(mara), whole_clip(mara)
    answer = page.get("/storage?days=90").content.decode()
    assert "2 clips, 4.2 MB, would go" in answer
    team.refresh_from_db()
    assert (team.clear_after, binned()) == (None, set())


def test_the_rule_puts_old_clips_into_the_bin_and_leaves_the_books(page, mara, team):
    old, new = old_clip(mara), whole_clip(mara)
    books = list(LedgerEntry.objects.values())
    page.post("/storage/rule", {"days": "90"})
    assert keeping.clear() == 1
    assert binned() == {old.generation_id}
    assert list(LedgerEntry.objects.values()) == books
    assert path_of(old).exists()
    assert path_of(new).exists()
    said = list(AuditEntry.objects.values_list("action", "what"))
    assert said[0] == ("storage.rule", "Clips nobody holds on to: stay; now into the bin after 90 days")
    assert said[1] == ("storage.cleared", "The team's rule put 1 clips (2.1 MB) into the bin")


def heart(clip: Clip) -> None:
    Favourite.objects.create(user=clip.generation.owner, generation=clip.generation)


def collect(clip: Clip) -> None:
    g = clip.generation
    collection = Collection.objects.create(team=g.team, owner=g.owner, name="Best")
    collection.items.create(generation=g, added_by=g.owner)


def keep(clip: Clip) -> None:
    Generation.objects.filter(pk=clip.generation_id).update(mark="keep")


def damage(clip: Clip) -> None:
    Clip.objects.filter(pk=clip.pk).update(state=Clip.State.DAMAGED)


@pytest.mark.parametrize("hold", [heart, collect, keep, damage])
def test_what_somebody_holds_on_to_stays(mara, team, hold):
    hold(old_clip(mara))
    keeping.set_rule(team, mara, 90)
    assert (keeping.clear(), binned()) == (0, set())


def test_a_rejected_clip_goes_and_another_teams_stays(mara, team):
    old = old_clip(mara)
    Generation.objects.filter(pk=old.generation_id).update(mark="reject")
    old_clip(make_person("far@example.com", team="Southlight"))
    keeping.set_rule(team, mara, 90)
    keeping.clear()
    assert binned() == {old.generation_id}


def test_the_rule_works_in_small_pieces(mara, team, monkeypatch):
    monkeypatch.setattr(keeping, "PIECE", 2)
    for _ in range(5):
        old_clip(mara)
    keeping.set_rule(team, mara, 90)
    assert [keeping.clear() for _ in range(4)] == [2, 2, 1, 0]


def test_a_rule_that_is_switched_off_takes_nothing_more(page, mara, team):
    keeping.set_rule(team, mara, 90)
    page.post("/storage/rule", {"off": "1"})
    old_clip(mara)
    assert keeping.clear() == 0


@pytest.mark.parametrize("typed", ["0", "6", "-5", "3651", "90.5", "ninety", "9" * 40, "\u0669\u0660", "90\x00"])
def test_a_number_of_days_that_cannot_be_is_refused_in_words(page, mara, team, typed):
    for answer in (page.get("/storage", {"days": typed}), page.post("/storage/rule", {"days": typed})):
        assert answer.status_code == 422
        assert "Type a number of days from 7 to 3,650. Nothing was changed." in answer.content.decode()
    team.refresh_from_db()
    assert (team.clear_after, AuditEntry.objects.count()) == (None, 0)
