"""A team's archive: out of one installation, into another, and what a damaged or forged one does."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from generations import books, dispatch, exporting, importing, ledger, prompts
from generations.models import (
    ApiAccount,
    Clip,
    Collection,
    DaySum,
    Favourite,
    Generation,
    GenerationMedia,
    Imported,
    LedgerEntry,
    Media,
    Membership,
    Project,
    Quote,
    Status,
    Tag,
    Team,
    User,
)
from tests.makers import make_person
from tests.test_gallery import VIDEO, make_clip, make_generation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_storage(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "media-of-one"


@pytest.fixture
def team() -> Team:
    """A team with some of everything."""
    mara, luc = make_person(role="manager", name="Mara Lindqvist"), make_person("luc@example.com", role="viewer")
    team = mara.teams.get()
    project = Project.objects.create(team=team, name="Alpine Rail")
    for number in range(3):
        clip = make_clip(mara, prompt=f"A lone walker, take {number}", project=project if number else None)
        Clip.objects.filter(pk=clip.pk).update(sha256=hashlib.sha256(VIDEO).hexdigest())
    failed = make_generation(luc, Status.FAILED, prompt="A crane", charged=0, finished_at=timezone.now())
    ledger.hold(failed)
    ledger.release(failed, "it failed")
    make_generation(mara, Status.PROCESSING, prompt="still rendering")
    media = Media(team=team, owner=luc, kind="image", name="start.png", content_type="image/png", size=5)
    media.width = media.height = 64
    media.file.save("start.png", ContentFile(b"image"), save=False)
    media.save()
    first = Generation.objects.earliest("pk")
    GenerationMedia.objects.create(generation=first, slot="image", media=media)
    Generation.objects.filter(pk=first.pk).update(mark="keep", marked_by=luc)
    Favourite.objects.create(user=luc, generation=first)
    Tag.objects.create(team=team, name="dunes").taggings.create(generation=first, by=mara)
    best = Collection.objects.create(team=team, owner=mara, name="Best")
    for row in Generation.objects.filter(status=Status.COMPLETED):
        best.items.create(generation=row, added_by=luc)
    prompts.save(team, mara, prompts.read("Dunes", "A dune at {time}", ["sand"], shared=True))
    return team


def gallery() -> dict[str, Any]:
    """All of a team that people see, by keys that are the same everywhere."""
    rows = Generation.objects.filter(status__in=exporting.ENDED).order_by("created_at")
    return {
        row.nonce.hex: {
            **{name: getattr(row, name) for name in (*exporting.PLAIN, *exporting.TIMES, "day", "mark", "took")},
            "owner": row.owner.email,
            "marked_by": row.marked_by and row.marked_by.email,
            "project": row.project and row.project.name,
            "quote": (row.quote.credits, row.quote.billing),
            "tags": [tag.name for tag in row.tags.all()],
            "hearts": [heart.user.email for heart in row.favourites.all()],
            "collections": [place.collection.name for place in row.places.all()],
            "media": [(use.slot, use.media and use.media.key, use.url) for use in row.media.all()],
            "clip": [getattr(clip, name) for name in exporting.CLIP_FACTS] + [kept(clip.file), kept(clip.poster)]
            if (clip := getattr(row, "clip", None))
            else None,
        }
        for row in rows
    }


def kept(file: Any) -> str:
    with file.open("rb") as content:
        return hashlib.sha256(content.read()).hexdigest()


def everything() -> dict[str, list[Any]]:
    """Every row of the database, to see that nothing was changed."""
    names = ("Generation", "Clip", "Media", "Collection", "CollectionItem", "Tagging", "Favourite", "User", "Prompt",
             "Imported", "Quote", "Membership", "LedgerEntry", "DaySum", "Budget", "BalanceReading")  # fmt: skip
    return {name: list(apps.get_model("generations", name)._base_manager.order_by("pk").values()) for name in names}


def another_installation(settings, tmp_path) -> None:
    """Empties the database, and leaves the files of the first where they are."""
    with connection.cursor() as cursor:
        for model in apps.get_app_config("generations").get_models():
            cursor.execute(f'DELETE FROM "{model._meta.db_table}"')
    settings.MEDIA_ROOT = tmp_path / "media-of-another"


@pytest.fixture(params=["folder", "tar"])
def exported(request, team, tmp_path) -> Path:
    path = tmp_path / ("northlight.tar" if request.param == "tar" else "northlight")
    call_command("export_team", team.name, str(path))
    return path


@pytest.fixture
def folder(team, tmp_path) -> Path:
    path = tmp_path / "northlight"
    call_command("export_team", team.name, str(path))
    return path


# -- there and back ---------------------------------------------------------------------------------------------------


def test_a_team_is_the_same_in_another_installation(exported, settings, tmp_path, capsys):
    before = gallery()
    another_installation(settings, tmp_path)
    call_command("import_team", str(exported))
    assert gallery() == before
    assert len(before) == 4
    said = capsys.readouterr().out
    assert "Brought in: 4 generations with 3 clips, 1 uploads, 1 collections, 1 prompts, 2 people." in said
    print(said)


def test_bringing_it_in_twice_changes_nothing(exported, settings, tmp_path):
    another_installation(settings, tmp_path)
    call_command("import_team", str(exported))
    before = everything()
    call_command("import_team", str(exported))
    assert everything() == before


def test_what_was_brought_in_is_exported_again_as_it_was(folder, settings, tmp_path):
    another_installation(settings, tmp_path)
    call_command("import_team", str(folder))
    again = tmp_path / "again"
    call_command("export_team", "Northlight", str(again))
    assert rows_of(again, "generations.jsonl") == rows_of(folder, "generations.jsonl")


def test_no_book_of_this_installation_knows_what_it_cost(exported, settings, tmp_path):
    another_installation(settings, tmp_path)
    call_command("import_team", str(exported))
    assert (LedgerEntry.objects.count(), DaySum.objects.count()) == (0, 0)
    assert [check.wrong for check in books.check()] == [0] * 6
    assert ledger.totals(team=Team.objects.get(), demo=False).spent == 0
    entries = [row.entries for row in Imported.objects.order_by("pk")]
    assert [entry["spent"] for row in entries for entry in row if entry["kind"] == "capture"] == [140, 140, 140]


def test_its_account_is_offered_nowhere(exported, settings, tmp_path):
    another_installation(settings, tmp_path)
    call_command("import_team", str(exported))
    assert ApiAccount.objects.count() == 0
    assert dispatch.demo_mode()  # there is no real account
    assert Quote.objects.first().account.state == ApiAccount.State.ELSEWHERE


def test_people_who_are_not_here_cannot_sign_in_and_nobody_becomes_a_member(exported, settings, tmp_path, client):
    another_installation(settings, tmp_path)
    luc = make_person("luc@example.com", team="")
    call_command("import_team", str(exported))
    mara = User.objects.get(email="mara@example.com")
    assert (mara.is_active, mara.has_usable_password(), mara.is_staff) == (False, False, False)
    assert Generation.objects.filter(owner=luc).count() == 1
    assert Membership.objects.count() == 0
    client.force_login(luc)
    assert client.get(f"/g/{Generation.objects.first().pk}").status_code == 404


def test_its_people_become_members_when_that_is_asked_for(folder, settings, tmp_path):
    another_installation(settings, tmp_path)
    call_command("import_team", str(folder), "--with-members")
    roles = dict(Membership.objects.values_list("user__email", "role"))
    assert roles == {"mara@example.com": "manager", "luc@example.com": "viewer"}


def test_the_page_of_a_clip_that_was_brought_in_says_where_it_came_from(folder, settings, tmp_path, client):
    another_installation(settings, tmp_path)
    call_command("import_team", str(folder))
    client.force_login(make_person("new@example.com"))
    pk = Clip.objects.first().generation_id
    page = client.get(f"/g/{pk}").content.decode()
    assert "team Northlight, exported" in page
    assert "in none here" in page
    assert "<video" in page
    assert client.get(f"/g/{pk}/video").status_code == 200
    assert client.get("/").status_code == 200


def test_history_that_is_in_another_team_here_is_refused(folder):
    before = everything()
    with pytest.raises(CommandError, match="is in team Northlight of this installation already"):
        call_command("import_team", str(folder), "--into", "Copy")
    assert everything() == before
    assert not Team.objects.filter(name="Copy").exists()


def test_a_run_that_was_stopped_goes_on(folder, settings, tmp_path, monkeypatch):
    before = gallery()
    another_installation(settings, tmp_path)
    bring, seen = importing._history_in, []

    def until_the_third(moving, row, said):
        seen.append(row)
        if len(seen) == 3:
            raise OSError(28, "No space left on device")
        bring(moving, row, said)

    monkeypatch.setattr(importing, "_history_in", until_the_third)
    with pytest.raises(CommandError, match=r"No space left on device\. What came before is in"):
        call_command("import_team", str(folder))
    assert Generation.objects.count() == 2
    assert len(list((tmp_path / "media-of-another" / "clips").rglob("*.mp4"))) == 4  # two videos, two previews
    monkeypatch.undo()
    settings.MEDIA_ROOT = tmp_path / "media-of-another"
    call_command("import_team", str(folder))
    assert gallery() == before


def test_a_clip_whose_file_is_missing_comes_as_lost(team, settings, tmp_path, capsys):
    clip = Clip.objects.first()
    Path(clip.file.path).unlink()
    call_command("export_team", team.name, str(tmp_path / "out"))
    assert "1 files that are missing" in capsys.readouterr().out
    another_installation(settings, tmp_path)
    call_command("import_team", str(tmp_path / "out"))
    states = sorted(Clip.objects.values_list("state", flat=True))
    assert states == ["GONE", "STORED", "STORED"]


def test_a_clip_that_is_not_what_it_was_comes_as_damaged(team, settings, tmp_path):
    Path(Clip.objects.first().file.path).write_bytes(b"other")
    call_command("export_team", team.name, str(tmp_path / "out"))
    another_installation(settings, tmp_path)
    call_command("import_team", str(tmp_path / "out"))
    assert Clip.objects.filter(state="DAMAGED").count() == 1


@pytest.mark.parametrize("where", ["taken", "taken.tar"])
def test_nothing_is_written_over(team, tmp_path, where):
    path = tmp_path / where
    if path.suffix:
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "mine").write_text("mine")
    with pytest.raises(CommandError, match="Nothing was written"):
        call_command("export_team", team.name, str(path))
    assert (path if path.suffix else path / "mine").read_text() == "mine"


def test_an_export_that_broke_leaves_no_tar(team, tmp_path, monkeypatch):
    def broken(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_collection_out", broken)
    with pytest.raises(CommandError, match="not complete"):
        call_command("export_team", team.name, str(tmp_path / "a.tar"))
    assert not list(tmp_path.glob("a.tar*"))


def test_an_export_says_what_it_wrote_and_what_it_left_out(team, tmp_path, capsys):
    call_command("export_team", team.name, str(tmp_path / "a.tar"))
    said = capsys.readouterr().out
    assert said.startswith("4 generations, 1 uploads, 1 collections, 13 files with 6.3 MB in ")
    assert "Left out: 1 that have not ended, 0 files that are missing." in said


def test_a_team_that_is_not_there_is_named():
    with pytest.raises(CommandError, match="no team of the name 'Nobody'"):
        call_command("export_team", "Nobody", "/tmp/never-written")


# -- damaged and forged -----------------------------------------------------------------------------------------------


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def rewrite(folder: Path, name: str, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Forges one list, with a manifest that fits it."""
    rows = rows_of(folder, name)
    change(rows)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["lists"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def manifest(**values: Any) -> Callable[[Path], None]:
    def forge(folder: Path) -> None:
        said = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(said | values))

    return forge


def generation(**values: Any) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, "generations.jsonl", lambda rows: rows[0].update(values))


def clip_file(name: str) -> Callable[[Path], None]:
    def forge(rows: list[dict[str, Any]]) -> None:
        rows[0]["clip"]["files"]["video"]["name"] = name

    return lambda folder: rewrite(folder, "generations.jsonl", forge)


def linked(folder: Path) -> None:
    first = folder / rows_of(folder, "generations.jsonl")[0]["clip"]["files"]["video"]["name"]
    secret = folder.parent / "secret"
    first.rename(secret)
    first.symlink_to(secret)


def other_bytes(folder: Path) -> None:
    for path in (folder / "clips").glob("*.mp4"):
        path.write_bytes(b"x" + path.read_bytes()[1:])


UPLOAD = lambda **values: lambda folder: rewrite(folder, "media.jsonl", lambda rows: rows[0].update(values))
PERSON = lambda **values: lambda folder: rewrite(folder, "people.jsonl", lambda rows: rows[0].update(values))


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing from the archive"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest cannot be read"),
        (manifest(version=2), r"written by a newer Dailies \(format 2; this one reads up to 1\)"),
        (manifest(format="zip"), "no archive of a team"),
        (manifest(team=""), "needs a name"),
        (lambda folder: (folder / "people.jsonl").write_text("{}"), "people.jsonl in the archive is damaged"),
        (generation(key="../../etc"), "generations.jsonl, line 1: it has no key"),
        (PERSON(email="not an address"), "no email address"),
    ],
)
def test_an_archive_that_is_not_right_is_refused_whole(folder, settings, tmp_path, forge, words):
    another_installation(settings, tmp_path)
    before = everything()
    forge(folder)
    with pytest.raises(CommandError, match=words):
        call_command("import_team", str(folder))
    assert everything() == before
    assert not (tmp_path / "media-of-another").exists()


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (clip_file("../../../etc/passwd"), "is no name that an archive may hold"),
        (clip_file("/etc/passwd"), "is no name that an archive may hold"),
        (clip_file("clips/nothing.mp4"), "clips/nothing.mp4 is missing from the archive"),
        (linked, "is no plain file"),
        (other_bytes, "in the archive is damaged"),
        (generation(status="QUEUED"), "It had not ended"),
        (generation(status="DONE"), "It had not ended"),
        (generation(owner="stranger@example.com"), "line 1, is not what this Dailies expects"),
        (generation(price=-1), "line 1, is not what"),
        (generation(price="free"), "line 1, is not what"),
        (generation(params=[]), "line 1, is not what"),
        (generation(day="soon"), "line 1, is not what"),
        (generation(prompt=None), "line 1, is not what"),
        (generation(mark="winner"), "line 1, is not what"),
        (UPLOAD(content_type="text/html"), "media.jsonl, line 1, is not what"),
        (UPLOAD(owner=None), "media.jsonl, line 1, is not what"),
    ],
)
def test_a_row_that_is_not_right_ends_it_and_leaves_neither_row_nor_file(folder, settings, tmp_path, forge, words):
    another_installation(settings, tmp_path)
    forge(folder)
    with pytest.raises(CommandError, match=words):
        call_command("import_team", str(folder))
    assert Generation.objects.count() == 0
    assert not list((tmp_path / "media-of-another").rglob("*.mp4"))
    assert not list((settings.DATA_DIR / "tmp").glob("*"))


def tar_of(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, kind, data in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(data), "/etc/passwd"
            tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (("../escaped.json", tarfile.REGTYPE, b"{}"), "no name that an archive may hold"),
        (("/escaped.json", tarfile.REGTYPE, b"{}"), "no name that an archive may hold"),
        (("manifest.json", tarfile.SYMTYPE, b""), "no plain file"),
        (("manifest.json", tarfile.CHRTYPE, b""), "no plain file"),
        (("clips/a.mp4", tarfile.REGTYPE, b"a"), "manifest.json is missing"),
    ],
)
def test_a_forged_tar_is_refused(tmp_path, member, words):
    with pytest.raises(CommandError, match=words):
        call_command("import_team", str(tar_of(tmp_path / "a.tar", member)))
    assert Team.objects.count() == 0


def test_a_tar_that_was_cut_off_is_refused(team, tmp_path, settings):
    path = tmp_path / "a.tar"
    call_command("export_team", team.name, str(path))
    another_installation(settings, tmp_path)
    path.write_bytes(path.read_bytes()[:-400_000])
    with pytest.raises(CommandError, match=r"Nothing was brought in|missing from the archive"):
        call_command("import_team", str(path))
    assert Generation.objects.count() == 0


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no tar at all" * 100)
    for path, words in ((tmp_path / "a.tar", "no whole tar file"), (tmp_path / "nothing", "is not there")):
        with pytest.raises(CommandError, match=words):
            call_command("import_team", str(path))
