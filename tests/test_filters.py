"""The gallery's filters, all in the URL, in any combination; the place reached; as many queries for few as for many."""

import re
from datetime import date
from itertools import combinations
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generations import filters
from generations.filters import Filters
from generations.models import (
    Collection,
    CollectionItem,
    Favourite,
    Generation,
    Mark,
    Project,
    Status,
    Tag,
    Tagging,
    Team,
    User,
)
from tests.makers import make_person
from tests.test_gallery import make_clip, make_generation

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def luc(mara) -> User:
    return make_person("luc@example.com")


@pytest.fixture
def page(client, mara):
    client.force_login(mara)
    return client


@pytest.fixture
def wanted(mara, luc) -> tuple[Generation, dict[str, Any]]:
    """A clip that fits every filter, and the filters' values."""
    team = mara.teams.get()
    project = Project.objects.create(team=team, name="Aurora")
    clip = make_generation(
        mara, prompt="A dune at golden hour", project=project, mode="veo3", day=date(2026, 3, 14), mark=Mark.KEEP
    )
    Favourite.objects.create(user=mara, generation=clip)
    collection = Collection.objects.create(team=team, owner=luc, name="For the client")
    CollectionItem.objects.create(collection=collection, generation=clip, added_by=luc)
    Tagging.objects.create(tag=Tag.objects.create(team=team, name="night & fog"), generation=clip, by=luc)
    return clip, {
        "show": "mine", "favourite": "1", "person": mara.pk, "model": "veo3", "type": "text-to-video",
        "status": "ready", "project": project.pk, "from": "2026-03-14", "to": "2026-03-14",
        "collection": collection.pk, "tag": "night & fog", "mark": "keep", "q": "dune",
    }  # fmt: skip


def shown(answer) -> list[int]:
    return [int(pk) for pk in re.findall(r'id="tile-(\d+)"', answer.content.decode())]


def test_every_filter_and_every_two_of_them_find_the_clip_that_fits(page, luc, wanted):
    clip, values = wanted
    other = make_generation(
        luc, Status.FAILED, prompt="A harbour", mode="sora2", generation_type="image-to-video", day=date(2026, 1, 1)
    )
    assert sorted(shown(page.get("/"))) == [clip.pk, other.pk]
    for names in [*((name,) for name in values), *combinations(values, 2), tuple(values)]:
        asked = {name: values[name] for name in names}
        if set(names) != {"to"}:
            assert shown(page.get("/", asked)) == [clip.pk], asked


@pytest.mark.parametrize(
    ("name", "value"),
    [("favourite", "1"), ("person", 10**6), ("model", "sora2"), ("type", "image-to-video"), ("status", "trouble"),
     ("project", 10**6), ("from", "2026-03-15"), ("to", "2026-03-13"), ("collection", 10**6), ("tag", "fog"),
     ("mark", "reject"), ("mark", "none"), ("q", "harbour")],
)  # fmt: skip
def test_a_filter_that_does_not_fit_hides_the_clip(page, wanted, name, value):
    Favourite.objects.all().delete()
    answer = page.get("/", {name: value})
    assert shown(answer) == []
    assert "Nothing matches" in answer.content.decode()


def test_the_address_of_the_filters_reads_as_the_same_filters(wanted):
    _, values = wanted
    read = Filters.read({name: str(value) for name, value in values.items()})
    assert read.values == {name: str(value) for name, value in values.items()}


def test_another_persons_hearts_and_private_collections_show_nothing(page, luc):
    clip = make_generation(luc)
    private = Collection.objects.create(team=luc.teams.get(), owner=luc, name="Mine alone", private=True)
    CollectionItem.objects.create(collection=private, generation=clip, added_by=luc)
    Favourite.objects.create(user=luc, generation=clip)
    answer = page.get("/", {"collection": private.pk})
    assert shown(answer) == []
    assert "Mine alone" not in answer.content.decode()
    assert shown(page.get("/", {"favourite": "1"})) == []


def test_another_teams_tags_collections_people_and_projects_show_nothing(page):
    stranger = make_person("stranger@example.com", team="Elsewhere")
    team, clip = stranger.teams.get(), make_generation(stranger)
    shelf = Collection.objects.create(team=team, owner=stranger, name="Secret shelf")
    CollectionItem.objects.create(collection=shelf, generation=clip, added_by=stranger)
    Tagging.objects.create(tag=Tag.objects.create(team=team, name="secret"), generation=clip, by=stranger)
    project = Project.objects.create(team=team, name="Secret client")
    for asked in ({"collection": shelf.pk}, {"tag": "secret"}, {"person": stranger.pk}, {"project": project.pk}):
        html = page.get("/", asked)
        assert shown(html) == []
        assert "Secret" not in html.content.decode()


def test_what_lies_in_the_bin_is_not_shown(page, mara):
    make_generation(mara, binned_at=timezone.now(), binned_by=mara)
    assert shown(page.get("/")) == []


def test_cancelled_ones_are_shown_only_when_asked_for(page, mara):
    cancelled = make_generation(mara, Status.CANCELLED)
    assert shown(page.get("/")) == []
    assert shown(page.get("/?status=cancelled")) == [cancelled.pk]


@pytest.mark.parametrize(("asked", "said"), [
    ({"from": "yesterday"}, "“yesterday” is no date"), ({"to": "2026-02-31"}, "“2026-02-31” is no date"),
    ({"from": "2026-03-02", "to": "2026-03-01"}, "The first day is after the last one"),
])  # fmt: skip
def test_dates_that_cannot_be_used_are_named(page, mara, asked, said):
    make_generation(mara)
    assert said in page.get("/", asked).content.decode()


# -- the place reached ------------------------------------------------------------------------------------------------


def more_of(answer) -> str:
    found = re.search(r'class="tile-more" href="([^"]+)"', answer.content.decode())
    return found[1].replace("&amp;", "&") if found else ""


def test_the_pages_follow_each_other_without_gaps_or_repeats_while_new_ones_arrive(page, mara):
    made = [make_generation(mara, Status.FAILED, prompt="dune").pk for _ in range(95)]
    answer, found = page.get("/?q=dune&status=trouble"), []
    while True:
        found += shown(answer)
        make_generation(mara, Status.FAILED, prompt="dune")
        if not (more := more_of(answer)):
            break
        answer = page.get("/" + more, headers=HTMX)
        assert "<html" not in answer.content.decode()
    assert found == made[::-1]


def test_the_more_link_is_a_page_of_its_own_without_htmx(page, mara):
    for _ in range(41):
        make_generation(mara, Status.FAILED)
    answer = page.get("/" + more_of(page.get("/")))
    assert "<html" in answer.content.decode()
    assert len(shown(answer)) == 1


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
@pytest.mark.parametrize(
    "place", ["x", "9" * 50, "5", "5-", "5-00000000", "-5", "5-aaaaaaaa' OR 1=1", "%00", "٣-00000000", "🜁"]
)
def test_a_place_that_is_damaged_gets_an_answer_and_shows_nothing(page, mara, place, headers):
    make_generation(mara)
    answer = page.get("/", {"after": place}, headers=headers)
    assert answer.status_code == 400
    assert shown(answer) == []
    assert "Start at the newest" in answer.content.decode()


def test_a_place_of_another_choice_or_team_gets_an_answer_and_shows_nothing(page, mara):
    for _ in range(41):
        make_generation(mara, Status.FAILED)
    place = more_of(page.get("/?status=trouble")).split("after=")[1]
    assert page.get(f"/?status=trouble&after={place}").status_code == 200
    for query in ("", "status=trouble&q=dune", "status=ready", "show=mine&status=trouble"):
        answer = page.get(f"/?{query}&after={place}")
        assert (answer.status_code, shown(answer)) == (400, [])
    another = Filters(status="trouble").place(Team.objects.create(name="Elsewhere"), 5)
    assert page.get(f"/?status=trouble&after={another}").status_code == 400


# -- what it costs ----------------------------------------------------------------------------------------------------


def test_a_view_takes_as_many_queries_for_5_clips_as_for_40_and_with_20_in_progress(page, mara):
    def view() -> int:
        with CaptureQueriesContext(connection) as queries:
            page.get("/?show=mine")
        return len(queries)

    def arrive(clips: int, working: int = 0) -> int:
        for _ in range(clips):
            make_clip(mara)
        for number in range(working):
            make_generation(mara, (Status.QUEUED, Status.PROCESSING)[number % 2], sent_at=timezone.now())
        return view()

    arrive(1)
    few, many = arrive(4), arrive(35)
    little, much = arrive(0, working=2), arrive(0, working=18)
    print(f"queries of a page with 5 and 40 clips: {few}, {many}; with 2 and 20 in progress: {little}, {much}")
    assert (few, little) == (many, much)


def test_more_than_a_thousand_are_not_counted(page, mara, monkeypatch):
    monkeypatch.setattr(filters, "COUNTED", 3)
    for _ in range(3):
        make_generation(mara)
    assert "3 clips" in page.get("/").content.decode()
    make_generation(mara)
    assert "3+ clips" in page.get("/").content.decode()
