"""Fetching clips from a real file server: whole or not at all, and never from a place that was not named."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import time_machine
from django.conf import settings as live
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.management import call_command
from django.db import OperationalError
from django.db.models.query import QuerySet
from django.utils import timezone
from PIL import Image

from generations import archive, dispatch, veevid
from generations.models import ApiAccount, Clip, Generation, Status
from tests.makers import make_account, make_person
from tests.stack import Simulator
from tests.test_film import shoot
from tests.test_gallery import make_generation

pytestmark = [pytest.mark.django_db, pytest.mark.processes]


@pytest.fixture(scope="module")
def simulator(make_simulator) -> Simulator:
    limits = ("--minute-limit", "100000", "--hour-limit", "100000")
    return make_simulator("--speed", "1000", "--balance", "100000", *limits)


@pytest.fixture
def finished(simulator, settings) -> Clip:
    """A clip to fetch, of a generation that the simulator really made."""
    settings.VEEVID_API_URL, settings.VEEVID_MEDIA_HOSTS = simulator.url, [simulator.host]
    simulator.clear_faults()
    make_account(simulator.key)
    headers = {"Authorization": f"Bearer {simulator.key}"}
    body = {"mode": "grok-imagine", "generation_type": "text-to-video", "prompt": "A dune", "duration": "6"}
    made = requests.post(f"{simulator.url}/generate-video", json=body, headers=headers, timeout=10).json()
    where = f"{simulator.url}/video-generation/{made['generation_id']}/status"
    for _ in range(100):
        status = requests.get(where, headers=headers, timeout=10).json()
        if status["status"] == "completed":
            break
    generation = make_generation(
        make_person(), Status.COMPLETED, upstream_id=made["generation_id"], account=ApiAccount.objects.get()
    )
    return Clip.objects.create(generation=generation, source_url=status["video_url"])


def leftovers(settings) -> list[Path]:
    return list((settings.DATA_DIR / "tmp").glob("*")) if (settings.DATA_DIR / "tmp").exists() else []


def again(clip: Clip) -> bool:
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        return archive.fetch(clip.pk)


def not_stored(clip: Clip, words: str, settings) -> None:
    assert not archive.fetch(clip.pk)
    clip.refresh_from_db()
    assert (clip.state, clip.file.name) == (Clip.State.PENDING, "")
    assert words in clip.trouble
    assert clip.fetch_at is not None
    assert clip.fetch_at > timezone.now()
    assert leftovers(settings) == []


def test_a_clip_is_kept_with_its_poster_and_preview(finished, settings):
    assert archive.fetch(finished.pk)
    finished.refresh_from_db()
    assert (finished.state, finished.width == finished.height, finished.sound) == (Clip.State.STORED, True, True)
    assert abs(finished.seconds - 6) < 0.2
    assert finished.file.size == finished.size
    assert finished.poster.open("rb").read(4) == b"RIFF"
    assert finished.preview.size > 1000
    assert leftovers(settings) == []


def test_clips_that_were_kept_with_one_poster_get_the_others(finished, settings, tmp_path):
    archive.fetch(finished.pk)
    finished.refresh_from_db()
    old, wide = finished.poster.name, shoot(tmp_path / "wide.mp4", 0.5, size=(700, 400))
    finished.file.save("wide.mp4", ContentFile(wide.read_bytes()), save=False)
    Clip.objects.filter(pk=finished.pk).update(file=finished.file.name, width=700)
    call_command("make_posters")
    finished.refresh_from_db()
    widths = [Image.open(poster).width for poster in (finished.poster, finished.poster_medium, finished.poster_small)]
    assert widths == [700, 640, 320]
    assert finished.extra_size == sum(getattr(finished, name).size for name in archive.SUFFIXES)
    assert not finished.poster.storage.exists(old)
    assert leftovers(settings) == []
    made = finished.poster.name
    call_command("make_posters")
    finished.refresh_from_db()
    assert finished.poster.name == made, "there was nothing to do"


def test_a_clip_is_fetched_once_however_often_it_is_announced(finished):
    assert [archive.fetch(finished.pk) for _ in range(3)] == [True, False, False]


def test_a_connection_cut_in_the_middle_stores_nothing_and_is_tried_again(finished, simulator, settings):
    simulator.fault("video", "truncated")
    not_stored(finished, "broke", settings)
    assert again(finished)


def test_a_file_that_is_no_video_is_not_stored(finished, simulator, settings):
    simulator.fault("video", "text")
    not_stored(finished, "no playable video", settings)


def test_a_server_error_is_tried_again(finished, simulator, settings):
    simulator.fault("video", "error", status=500)
    not_stored(finished, "500", settings)


def test_a_link_that_has_ended_is_tried_again(finished, simulator, settings, monkeypatch):
    upstream_says(monkeypatch, finished.source_url)
    simulator.fault("video", "expired")
    not_stored(finished, "ended", settings)
    assert again(finished)


# -- when every link is dead ------------------------------------------------------------------------------------------

DAY = timedelta(hours=24)


def upstream_says(monkeypatch, link: str | Exception | None) -> list[int]:
    """The status answers with this link, or fails. A list that grows with every question."""
    asked: list[int] = []

    def ask(call, question):
        asked.append(call.pk)
        if isinstance(link, Exception):
            raise link
        return veevid.StatusAnswer("completed", "completed", link, "", None, None, None, {}, {})

    monkeypatch.setattr(dispatch, "ask", ask)
    return asked


@pytest.fixture
def dead(finished) -> Clip:
    """A clip whose link is dead."""
    Clip.objects.update(source_url=finished.source_url.replace("/videos/", "/videos/none-"))
    finished.refresh_from_db()
    return finished


def test_a_dead_link_is_replaced_at_once_by_the_one_of_the_status_without_a_new_generation(dead, simulator):
    before = simulator.submissions()
    assert archive.fetch(dead.pk)
    assert simulator.submissions() == before


def tried(clip: Clip, after: timedelta) -> str:
    """The state of a clip after a try so long from now."""
    with time_machine.travel(timezone.now() + after):
        assert not archive.fetch(clip.pk)
    clip.refresh_from_db()
    return clip.state


def test_a_link_that_stays_dead_for_a_day_is_said_to_be_lost_and_is_no_refund(dead, monkeypatch):
    upstream_says(monkeypatch, dead.source_url)
    hours = [0, 1, 5, 12, 20, 23.9, 24.1]
    states = [tried(dead, timedelta(hours=hour)) for hour in hours]
    assert states == [Clip.State.PENDING] * 6 + [Clip.State.GONE]
    assert (dead.fetch_at, dead.generation.status) == (None, Status.COMPLETED)


def test_a_clip_is_not_lost_after_ever_so_many_tries_in_less_than_a_day(dead, monkeypatch):
    upstream_says(monkeypatch, dead.source_url)
    Clip.objects.update(tries=1000)
    assert tried(dead, timedelta(0)) == Clip.State.PENDING
    assert dead.fetch_at <= timezone.now() + timedelta(hours=1)


@pytest.mark.parametrize(
    "failure",
    [veevid.NoClearAnswer("", status=500), veevid.NotSent(), veevid.Busy(status=429), veevid.KeyRefused(status=401),
     veevid.NotFound(status=404)],
    ids=lambda failure: type(failure).__name__,
)  # fmt: skip
def test_a_status_that_fails_leads_to_no_loss(dead, monkeypatch, failure):
    asked = upstream_says(monkeypatch, failure)
    Clip.objects.update(dead_since=timezone.now() - 30 * DAY)
    assert tried(dead, timedelta(0)) == Clip.State.PENDING
    assert asked


def test_a_status_that_there_is_no_room_to_ask_leads_to_no_loss(dead, monkeypatch):
    def no_room(*args):
        raise dispatch.NoRoom("hour", timezone.now())

    monkeypatch.setattr(dispatch, "reserve", no_room)
    Clip.objects.update(dead_since=timezone.now() - 30 * DAY)
    assert tried(dead, timedelta(0)) == Clip.State.PENDING


def test_a_status_that_cannot_be_asked_at_all_leads_to_no_loss(dead):
    Generation.objects.update(upstream_id=None)
    Clip.objects.update(dead_since=timezone.now() - 30 * DAY)
    assert tried(dead, timedelta(0)) == Clip.State.PENDING


def test_a_link_that_works_is_used_however_long_the_others_were_dead(dead, monkeypatch):
    upstream_says(monkeypatch, dead.source_url.replace("none-", ""))
    Clip.objects.update(dead_since=timezone.now() - 30 * DAY)
    assert archive.fetch(dead.pk)
    dead.refresh_from_db()
    assert (dead.state, dead.dead_since) == (Clip.State.STORED, None)


def test_ever_new_links_that_are_all_dead_count_as_none(dead, monkeypatch):
    upstream_says(monkeypatch, dead.source_url + "&again")
    assert tried(dead, timedelta(0)) == Clip.State.PENDING
    assert dead.fetch_at > timezone.now() + timedelta(seconds=1)
    Clip.objects.update(dead_since=timezone.now() - DAY)
    upstream_says(monkeypatch, dead.source_url + "&again")
    assert tried(dead, timedelta(minutes=1)) == Clip.State.GONE


def test_any_other_trouble_starts_the_day_anew(dead, simulator, monkeypatch):
    upstream_says(monkeypatch, dead.source_url)
    tried(dead, timedelta(0))
    assert dead.dead_since is not None
    simulator.fault("video", "error", status=500)
    tried(dead, timedelta(hours=23))
    assert dead.dead_since is None
    assert tried(dead, timedelta(hours=25)) == Clip.State.PENDING


def test_a_lost_clip_can_be_fetched_again(finished):
    Clip.objects.update(state=Clip.State.GONE, fetch_at=None, tries=40, dead_since=timezone.now() - 3 * DAY)
    assert not archive.fetch(finished.pk)
    assert archive.fetch_again(finished)
    assert not archive.fetch_again(finished)
    assert archive.fetch(finished.pk)
    assert not archive.fetch_again(finished)


def test_a_clip_that_never_had_a_link_asks_for_one_when_it_is_fetched_again(finished):
    Clip.objects.update(state=Clip.State.GONE, fetch_at=None, source_url="")
    assert archive.fetch_again(finished)
    assert archive.fetch(finished.pk)


# -- the lease --------------------------------------------------------------------------------------------------------


def test_a_worker_that_lost_its_lease_stops_and_changes_nothing(finished, simulator, monkeypatch, settings):
    theirs = timezone.now() + timedelta(seconds=40)
    real = archive.develop

    def meanwhile(video, folder):
        Clip.objects.update(fetch_at=theirs)
        raise archive.CannotFetch("of no interest any more")

    monkeypatch.setattr(archive, "develop", meanwhile)
    assert not archive.fetch(finished.pk)
    finished.refresh_from_db()
    assert (finished.fetch_at, finished.tries, finished.trouble) == (theirs, 0, "")
    monkeypatch.setattr(archive, "develop", real)
    monkeypatch.setattr(archive, "allowed", lambda url, demo: bool(Clip.objects.update(fetch_at=theirs)))
    Clip.objects.update(fetch_at=timezone.now())
    before = len(simulator.journal(endpoint="video"))
    assert not archive.fetch(finished.pk)
    assert len(simulator.journal(endpoint="video")) == before
    assert leftovers(settings) == []


def test_of_two_workers_one_stores_and_the_other_leaves_no_file(finished, monkeypatch, kept):
    real = archive.develop
    inner: list[bool] = []

    def twice(video, folder):
        made = real(video, folder)
        if not inner:
            inner.append(False)
            Clip.objects.update(fetch_at=timezone.now())
            inner[0] = archive.fetch(finished.pk)
        return made

    monkeypatch.setattr(archive, "develop", twice)
    assert not archive.fetch(finished.pk)
    finished.refresh_from_db()
    assert (inner, finished.state, len(kept())) == ([True], Clip.State.STORED, 3)


# -- half files -------------------------------------------------------------------------------------------------------


class FileServer:
    """Serves bytes as it is told: with or without a length, all at once or in drops."""

    def __init__(self) -> None:
        self.data, self.length, self.drops, self.pause = b"", None, 1, 0.0
        files = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                if files.length is not None:
                    self.send_header("Content-Length", str(files.length))
                self.end_headers()
                step = max(len(files.data) // files.drops, 1)
                for start in range(0, len(files.data), step):
                    self.wfile.write(files.data[start : start + step])
                    time.sleep(files.pause)

            def log_message(self, *args) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def files(finished, settings) -> Iterator[FileServer]:
    """A file server with the whole clip, from which it is fetched now."""
    files = FileServer()
    files.data = requests.get(finished.source_url, timeout=10).content
    threading.Thread(target=files.server.serve_forever, args=(0.02,), daemon=True).start()
    settings.VEEVID_MEDIA_HOSTS = [files.host]
    Clip.objects.update(source_url=f"http://{files.host}/clip.mp4")
    yield files
    files.server.shutdown()
    files.server.server_close()


def test_a_file_that_comes_without_a_length_is_stored_when_it_is_whole(finished, files):
    assert archive.fetch(finished.pk)


@pytest.mark.parametrize("part", [0.7, 0.99])
def test_half_a_file_that_comes_without_a_length_is_not_stored(finished, files, settings, part):
    files.data = files.data[: int(len(files.data) * part)]
    not_stored(finished, "incomplete", settings)


def test_a_file_without_a_length_must_have_the_size_that_the_status_named(finished, files, settings):
    Clip.objects.update(expected_size=len(files.data) + 7)
    not_stored(finished, f"incomplete: {len(files.data)} of {len(files.data) + 7} bytes", settings)
    Clip.objects.update(expected_size=len(files.data))
    assert again(finished)


def test_a_wrong_size_in_the_status_does_not_keep_a_whole_file_out(finished, files):
    files.length = len(files.data)
    Clip.objects.update(expected_size=len(files.data) + 7)
    assert archive.fetch(finished.pk)


def test_half_a_file_under_its_own_length_is_not_stored(finished, files, settings):
    files.data = files.data[: len(files.data) // 2]
    files.length = len(files.data)
    not_stored(finished, "incomplete", settings)


def test_a_file_that_drips_in_keeps_its_lease_and_ends_at_its_deadline(finished, files, settings, monkeypatch):
    renewed: list[object] = []
    keep = archive._keep
    monkeypatch.setattr(archive, "_keep", lambda clip, *lease: (renewed.append(clip), keep(clip, *lease)))
    monkeypatch.setattr(archive, "LEASE", timedelta(seconds=1))
    monkeypatch.setattr(archive, "FETCH_DEADLINE", 1.5)
    files.drops, files.pause = 100, 0.1
    not_stored(finished, "too slowly", settings)
    assert 4 <= len(renewed) <= 7


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(settings, tmp_path) -> Callable[[], list[Path]]:
    """Lists the files in storage, which is empty at first."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return lambda: [path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()]


@pytest.mark.parametrize("full_at", [".mp4", ".webp", "-preview.mp4"])
def test_a_full_disk_is_not_filled_further_by_each_try(finished, settings, monkeypatch, kept, full_at):
    write = FileSystemStorage._save

    def out_of_room(storage, name, content):
        if name.endswith(full_at):
            Path(storage.path(name)).parent.mkdir(parents=True, exist_ok=True)
            Path(storage.path(name)).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(storage, name, content)

    monkeypatch.setattr(FileSystemStorage, "_save", out_of_room)
    not_stored(finished, "No space left on device", settings)
    assert kept() == []
    monkeypatch.undo()
    assert again(finished)


def database_refuses(monkeypatch, after: bool) -> None:
    """The row of a stored clip cannot be written, or is written before the connection breaks."""
    update = QuerySet.update

    def refuse(rows, **fields):
        if fields.get("state") == Clip.State.STORED:
            if after:
                update(rows, **fields)
            raise OperationalError("database or disk is full")
        return update(rows, **fields)

    monkeypatch.setattr(QuerySet, "update", refuse)


def test_files_that_no_row_will_name_do_not_stay(finished, monkeypatch, kept):
    database_refuses(monkeypatch, after=False)
    assert not archive.fetch(finished.pk)
    assert kept() == []


def test_files_that_a_row_names_stay_though_the_database_broke_off(finished, monkeypatch, kept):
    database_refuses(monkeypatch, after=True)
    assert archive.fetch(finished.pk)
    assert len(kept()) == 3


# -- what killed fetches leave ----------------------------------------------------------------------------------------


def leave_behind() -> tuple[Path, Path]:
    """The folder of a fetch that was killed long ago, and of one that goes on."""
    folders = []
    for name, age in (("killed", 3700), ("alive", 3000)):
        folder = live.DATA_DIR / "tmp" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "clip.mp4").write_bytes(b"half")
        os.utime(folder, (time.time() - age, time.time() - age))
        folders.append(folder)
    return folders[0], folders[1]


@pytest.mark.parametrize("occasion", ["fetch", "prepare"])
def test_folders_of_killed_fetches_go(finished, occasion):
    killed, alive = leave_behind()
    if occasion == "fetch":
        archive.fetch(finished.pk)
    else:
        call_command("prepare")
    assert (killed.exists(), (alive / "clip.mp4").exists()) == (False, True)
    (alive / "clip.mp4").unlink()
    alive.rmdir()


def test_a_worker_is_not_killed_before_a_slow_fetch_ends_by_itself(settings):
    longest = archive.FETCH_DEADLINE + sum(archive.FETCH_TIMEOUT) + archive.DEVELOP_TIMEOUT
    assert longest < settings.CELERY_TASK_TIME_LIMIT


# -- bytes by any number ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["video", "download", "poster", "preview"])
@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 10**23])
def test_a_number_that_no_database_holds_is_not_found(client, number, path):
    client.force_login(make_person())
    assert client.get(f"/g/{number}/{path}").status_code == 404


@pytest.mark.parametrize("key", ["ffffffff-ffff-ffff-ffff-ffffffffffff", "9" * 30, "99999999-0000"])
def test_an_upload_that_nobody_made_is_not_found(client, key):
    client.force_login(make_person())
    assert client.get(f"/media/{key}").status_code == 404
    assert client.get(f"/media/{key}/poster").status_code == 404


# -- from where -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "good"),
    [("https://cdn.veevid.ai/a.mp4", True), ("http://cdn.veevid.ai/a.mp4", False),
     ("https://cdn.veevid.ai:8443/a.mp4", False), ("https://evil.example/cdn.veevid.ai", False),
     ("https://cdn.veevid.ai@evil.example/a.mp4", False), ("http://127.0.0.1:9000/a.mp4", True),
     ("http://127.0.0.1:9001/a.mp4", False), ("http://127.0.0.1/a.mp4", False), ("file:///etc/passwd", False),
     ("https://cdn.veevid.ai:99999/a", False), ("http://[", False), ("", False)],
)  # fmt: skip
def test_clips_come_only_from_the_hosts_that_are_named(settings, url, good):
    settings.VEEVID_MEDIA_HOSTS = ["cdn.veevid.ai", "127.0.0.1:9000"]
    assert archive.allowed(url, demo=False) is good


def test_a_clip_from_another_host_is_not_fetched(finished, settings):
    settings.VEEVID_MEDIA_HOSTS = ["cdn.veevid.ai"]
    not_stored(finished, "VEEVID_MEDIA_HOSTS", settings)
