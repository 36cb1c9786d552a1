"""An open gallery: one question for all of its tiles in progress, only what changed comes back, and "3 new"."""

import html
import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generations import story
from generations.models import Clip, Generation, Mark, Status, User
from generations.views.gallery import SLOT, busy_pace
from tests.makers import make_person
from tests.test_gallery import make_clip, make_generation

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def no_desk_of_another_test() -> None:
    story._shared.clear()


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def page(client, mara):
    client.force_login(mara)
    return client


class Open:
    """An open page: what htmx would send from it, and what comes back."""

    def __init__(self, client, query: str = "") -> None:
        self.client = client
        self.read(client.get(f"/{query}").content.decode())

    def read(self, text: str) -> None:
        watch = re.search(r'<div id="watch".*?</div>\s*</div>', text, re.S)
        if watch:
            self.url = html.unescape(re.findall(r'hx-get="([^"]+)"', watch[0])[0])
            self.every = int(re.findall(r'hx-trigger="every (\d+)ms"', watch[0])[0])
            self.fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', watch[0]))
            self.pace = self.fields["pace"]
            self.pill = re.search(r"(\d+\+?) new", watch[0])
        found = re.findall(r'name="tile" value="(\d+)-([^"]*)"', text)
        self.tiles = {**getattr(self, "tiles", {}), **{pk: f"{pk}-{state}" for pk, state in found}}

    def ask(self):
        more = urlencode({**self.fields, "tile": list(self.tiles.values())}, doseq=True)
        answer = self.client.get(f"{self.url}&{more}", headers=HTMX)
        self.read(answer.content.decode())
        return answer


def changed(answer) -> list[int]:
    return [int(pk) for pk in re.findall(r'<article id="tile-(\d+)"', answer.content.decode())]


@pytest.fixture(autouse=True)
def still(monkeypatch):
    """The time to come is not told anew while a test runs."""
    monkeypatch.setattr("generations.views.gallery.RETOLD", 10**12)


def test_an_open_page_of_which_nothing_changed_gets_nothing(page, mara):
    make_clip(mara)
    make_generation(mara, Status.PROCESSING, sent_at=timezone.now())
    opened = Open(page)
    answer = opened.ask()
    assert (answer.status_code, answer.content) == (204, b"")


def test_only_the_tile_that_changed_comes_back_and_it_asks_no_more(page, mara):
    first, second = (make_generation(mara, Status.PROCESSING, sent_at=timezone.now()) for _ in range(2))
    opened = Open(page)
    assert sorted(opened.tiles) == sorted([str(first.pk), str(second.pk)])
    Generation.objects.filter(pk=first.pk).update(status=Status.FAILED, charged=0)
    answer = opened.ask()
    assert changed(answer) == [first.pk]
    assert 'hx-swap-oob="outerMorph"' in answer.content.decode()
    assert "Nothing charged" in answer.content.decode()
    assert f'value="{first.pk}-' not in answer.content.decode()


def test_a_clip_that_came_is_shown_with_its_poster(page, mara):
    clip = make_clip(mara)
    Clip.objects.update(state=Clip.State.PENDING)
    opened = Open(page)
    assert list(opened.tiles) == [str(clip.generation_id)]
    Clip.objects.update(state=Clip.State.STORED)
    said = opened.ask().content.decode()
    assert f"/g/{clip.generation_id}/poster" in said
    assert "data-fresh" in said


def test_the_time_to_come_is_told_anew_now_and_then(page, mara, monkeypatch):
    working = make_generation(mara, Status.PROCESSING, sent_at=timezone.now())
    opened = Open(page)
    monkeypatch.setattr("generations.views.gallery.RETOLD", 10**9)
    assert changed(opened.ask()) == [working.pk]
    assert opened.ask().status_code == 204


def test_a_tile_in_progress_is_drawn_once_for_all_who_ask(page, mara):
    working = make_generation(mara, Status.QUEUED)
    luc = Client()
    luc.force_login(make_person("luc@example.com"))
    first, second = Open(page), Open(luc)
    Generation.objects.filter(pk=working.pk).update(status=Status.PROCESSING, sent_at=timezone.now())
    with CaptureQueriesContext(connection) as drawing:
        drawn = first.ask()
    with CaptureQueriesContext(connection) as repeating:
        repeated = second.ask()
    assert changed(drawn) == changed(repeated) == [working.pk]
    assert len(repeating) < len(drawing)
    assert not any('"prompt"' in query["sql"] for query in repeating)


def test_a_whole_team_is_told_anew_at_one_moment(page, mara, monkeypatch):
    monkeypatch.setattr("generations.views.gallery.RETOLD", 15)
    make_generation(mara, Status.PROCESSING, sent_at=timezone.now())
    others = [Client() for _ in range(4)]
    for number, client in enumerate(others):
        client.force_login(make_person(f"person{number}@example.com"))
    for second in (0, 4, 8, 12):
        with time_machine.travel(timezone.now() + timedelta(seconds=second), tick=False):
            assert len({tuple(Open(client).tiles.values()) for client in (page, *others)}) == 1


def test_what_moved_on_while_it_was_drawn_is_not_kept_for_the_next(page, mara, monkeypatch):
    working = make_generation(mara, Status.QUEUED)
    row, desk = Generation.objects.filter(pk=working.pk), story.shared_desk
    first, second = Open(page), Open(page)
    row.update(status=Status.PROCESSING, sent_at=timezone.now())
    with monkeypatch.context() as patch:
        patch.setattr("generations.views.gallery.shared_desk", lambda: row.update(status=Status.FAILED) and desk())
        assert "Failed" in first.ask().content.decode()
    row.update(status=Status.PROCESSING)  # the sight that the first had
    assert "Rendering" in second.ask().content.decode()


def test_what_was_drawn_for_one_team_is_not_shown_to_another(page, mara):
    working = make_generation(mara, Status.QUEUED)
    own = Open(page)
    Generation.objects.filter(pk=working.pk).update(status=Status.PROCESSING, sent_at=timezone.now())
    assert changed(own.ask()) == [working.pk]
    stranger = Client()
    stranger.force_login(make_person("zoe@example.com", team="Elsewhere"))
    other = Open(stranger)
    other.tiles = {str(working.pk): f"{working.pk}-QU0"}
    assert other.ask().status_code == 204


def test_a_viewer_is_not_offered_to_share_a_clip_that_came(page, mara):
    clip = make_clip(mara)
    Clip.objects.update(state=Clip.State.PENDING)
    viewer = Client()
    viewer.force_login(make_person("vera@example.com", role="viewer"))
    watching, making = Open(viewer), Open(page)
    Clip.objects.update(state=Clip.State.STORED)
    share = f"?g={clip.generation_id}"
    assert share in making.ask().content.decode()
    assert share not in watching.ask().content.decode()


def test_clips_that_come_on_scrolling_have_the_tools_of_the_first_ones(page, mara, monkeypatch):
    monkeypatch.setattr("generations.views.gallery.PAGE", 1)
    older = make_clip(mara)
    make_clip(mara)
    viewer, share = Client(), f"?g={older.generation_id}"
    viewer.force_login(make_person("vera@example.com", role="viewer"))
    more = page.get("/").context["more"]
    assert share in page.get(f"/{more}", headers=HTMX).content.decode()
    assert share not in viewer.get(f"/{more}", headers=HTMX).content.decode()


def test_a_heart_is_shown_to_whom_it_belongs_on_a_clip_that_came(page, mara):
    clip = make_clip(mara)
    Clip.objects.update(state=Clip.State.PENDING)
    luc = Client()
    luc.force_login(make_person("luc@example.com"))
    without, own = Open(luc), Open(page)
    mara.favourites.create(generation=clip.generation)
    Clip.objects.update(state=Clip.State.STORED)
    assert 'aria-pressed="false"' in without.ask().content.decode()
    assert 'aria-pressed="true"' in own.ask().content.decode()


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time by which questions are counted: its one number can be set."""
    now = [1_000_000.0]
    monkeypatch.setattr("generations.views.gallery.time", lambda: now[0])
    return now


@pytest.mark.parametrize(("pages", "pace"), [(1, 3), (79, 3), (81, 6), (200, 9), (1000, 12)])
def test_the_more_pages_are_open_the_less_often_each_asks(clock, pages, pace):
    for _ in range(pages * SLOT // 3):
        busy_pace("3")
    assert busy_pace("3") == pace, "as soon as they are counted"
    clock[0] += SLOT
    assert busy_pace("3") == pace, "and after that"
    clock[0] += 2 * SLOT
    assert busy_pace("12") == 3, "they are gone"


def test_an_open_page_is_told_the_new_pace(page, mara, clock):
    make_generation(mara, Status.PROCESSING, sent_at=timezone.now())
    opened = Open(page)
    for _ in range(200):
        busy_pace("3")
    clock[0] += SLOT
    assert opened.ask().status_code == 200
    assert opened.pace == "6"
    assert opened.ask().status_code == 204, "the same pace is not told twice"


def test_a_page_asks_often_only_while_it_shows_work_in_progress(page, mara):
    working = make_generation(mara, Status.QUEUED)
    opened = Open(page)
    assert opened.pace == "3"
    Generation.objects.filter(pk=working.pk).update(status=Status.CANCELLED)
    opened.ask()
    assert opened.pace == "20"


def test_pages_that_open_together_do_not_ask_together(page, mara):
    make_generation(mara, Status.QUEUED)
    times = {Open(page).every for _ in range(10)}
    assert len(times) > 5
    assert all(2550 <= every <= 3450 for every in times)


def test_what_is_new_is_counted_as_the_filters_say_and_moves_nothing(page, mara):
    make_clip(mara, prompt="A dune")
    opened, kept = Open(page, "?q=dune"), Open(page, "?mark=keep")
    assert opened.pill is None
    for prompt in ("A dune", "A harbour", "Dune again"):
        make_clip(mara, prompt=prompt)
    make_generation(mara, Status.CANCELLED, prompt="dune")
    make_generation(mara, prompt="dune", binned_at=timezone.now())
    make_generation(make_person("stranger@example.com", team="Elsewhere"), prompt="dune")
    answer = opened.ask()
    assert opened.pill[1] == "2"
    assert changed(answer) == []
    assert 'href="/?q=dune"' in answer.content.decode()
    assert opened.ask().status_code == 204, "the same number is not told twice"
    assert kept.ask().status_code == 204
    make_clip(mara, mark=Mark.KEEP)
    kept.ask()
    assert kept.pill[1] == "1"


def test_an_empty_gallery_hears_of_its_first_clip(page, mara):
    opened = Open(page)
    make_clip(mara)
    opened.ask()
    assert opened.pill[1] == "1"


def test_another_teams_tiles_never_come_back(page, mara):
    stranger = make_person("stranger@example.com", team="Elsewhere")
    secret = make_generation(stranger, Status.PROCESSING, sent_at=timezone.now(), prompt="a secret")
    opened = Open(page)
    opened.tiles = {str(secret.pk): f"{secret.pk}-QU1"}
    answer = opened.ask()
    assert (answer.status_code, changed(answer)) == (204, [])


def test_a_page_of_a_team_that_was_left_is_told_nothing(page, mara):
    opened = Open(page)
    make_clip(mara)
    opened.fields["team"] = "999"
    assert opened.ask().status_code == 204


@pytest.mark.parametrize(
    "query",
    ["tile=x", "tile=", "tile=-5", "tile=007-QUEUED", "tile=9" + "9" * 40, "newest=x", "newest=" + "9" * 40, "pace=x",
     "&".join(f"tile={number}-QUEUED" for number in range(900)), "arrived=%00", "q=%00%22"],
)  # fmt: skip
def test_a_question_that_means_nothing_gets_an_answer(page, mara, query):
    make_generation(mara, Status.QUEUED)
    assert page.get(f"/live?team={mara.teams.get().pk}&{query}").status_code in (200, 204)


def test_a_question_costs_as_many_queries_for_2_tiles_as_for_30(page, mara):
    def cost(number: int) -> tuple[int, int]:
        """When nothing changed, and when everything did."""
        for _ in range(number):
            make_generation(mara, Status.PROCESSING, sent_at=timezone.now())
        opened, found = Open(page), []
        for _ in range(2):
            story._shared.clear()
            with CaptureQueriesContext(connection) as queries:
                opened.ask()
            found.append(len(queries))
            opened.tiles = {pk: f"{pk}-another" for pk in opened.tiles}
        return found[0], found[1]

    few, many = cost(2), cost(28)
    print(f"queries of a question, with 2 and with 30 tiles (nothing changed, everything changed): {few}, {many}")
    assert few == many
