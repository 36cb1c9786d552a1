"""Hearts, marks, tags and collections, as the pages post them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from generations import shelf
from generations.models import Collection, CollectionItem, Favourite, Generation, Mark, Status, Tag, Tagging, User
from tests.makers import make_person
from tests.pages import HTMX, text_of
from tests.test_gallery import make_clip, make_generation

pytestmark = pytest.mark.django_db


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def page(client, mara):
    client.force_login(mara)
    return client


def clips_of(owner: User, number: int) -> list[int]:
    return [make_clip(owner, prompt=f"Take {each}").generation_id for each in range(number)]


def stranger_clip() -> int:
    return make_clip(make_person("stranger@example.com", team="Southlight")).generation_id


def said(answer) -> str:
    return text_of(answer)


# -- hearts -----------------------------------------------------------------------------------------------------------


def test_a_heart_is_one_persons_own(page, client, mara):
    (pk,) = clips_of(mara, 1)
    page.post("/clips/favourite", {"pick": pk})
    assert 'class="tile-fav"' in page.get("/").content.decode()
    client.force_login(make_person("luc@example.com"))
    assert 'class="tile-fav"' not in client.get("/").content.decode()


def test_two_clicks_on_a_heart_are_one_heart(page, mara):
    (pk,) = clips_of(mara, 1)
    for _ in range(2):
        page.post("/clips/favourite?on=1", {"pick": pk})
    assert Favourite.objects.count() == 1
    page.post("/clips/favourite?on=0", {"pick": pk})
    assert Favourite.objects.count() == 0


def test_a_viewer_has_hearts_and_nothing_else(client, mara):
    (pk,) = clips_of(mara, 1)
    client.force_login(make_person("viewer@example.com", role="viewer"))
    assert client.post("/clips/favourite", {"pick": pk}).status_code == 302
    for deed in ("mark", "tag", "untag", "collect", "bin"):
        assert client.post(f"/clips/{deed}", {"pick": pk, "tag": "a", "mark": "keep", "name": "A"}).status_code == 403
    assert (Favourite.objects.count(), Tag.objects.count(), Collection.objects.count()) == (1, 0, 0)


# -- several at once --------------------------------------------------------------------------------------------------


def test_a_deed_says_to_how_many_it_applied_and_what_it_left_out(page, mara):
    pks = clips_of(mara, 3)
    page.post("/clips/favourite", {"pick": pks[:1]})
    answer = page.post("/clips/favourite", {"pick": [*pks, 10**9]}, follow=True)
    assert "2 clips among your favourites now. Left out: 1 already so, 1 not there any more." in said(answer)


def test_clips_of_another_team_are_not_there(page, mara):
    foreign = stranger_clip()
    for deed in ("favourite", "mark", "tag", "collect", "uncollect", "bin", "restore", "erase", "zip"):
        answer = page.post(f"/clips/{deed}", {"pick": foreign, "tag": "a", "mark": "keep", "name": "A"})
        assert answer.status_code == 404, deed
    assert [rows.objects.count() for rows in (Favourite, Tagging, CollectionItem)] == [0, 0, 0]
    assert Generation.objects.get(pk=foreign).mark == Mark.NONE


def test_a_mixed_selection_applies_to_ones_own_team_only(page, mara):
    (own,), foreign = clips_of(mara, 1), stranger_clip()
    page.post("/clips/mark", {"pick": [own, foreign], "mark": "keep"})
    assert list(Generation.objects.exclude(mark="").values_list("pk", flat=True)) == [own]


@pytest.mark.parametrize("number", [1001, 5000])
def test_too_many_at_once_get_a_sentence_and_nothing_changes(page, mara, number):
    answer = page.post("/clips/favourite", {"pick": list(range(1, number + 1))}, **HTMX)
    assert answer.status_code == 422
    assert "Up to 1,000 clips go at once" in said(answer)
    assert not Favourite.objects.exists()


@pytest.mark.parametrize("pick", ["", "x", "-1", "9" * 40, "1; DROP TABLE"])
def test_a_name_that_means_nothing_is_not_there(page, mara, pick):
    assert page.post("/clips/favourite", {"pick": pick}).status_code == 404
    assert page.post("/clips/favourite", {}, **HTMX).status_code == 422


def test_a_deed_takes_as_many_queries_for_two_clips_as_for_twenty(page, mara):
    counts = []
    page.post("/clips/tag", {"pick": clips_of(mara, 1), "tag": "sea"})
    for number in (2, 20):
        pks = clips_of(mara, number)
        with CaptureQueriesContext(connection) as queries:
            page.post("/clips/tag", {"pick": pks, "tag": "sea"})
        counts.append(len(queries))
    print(f"queries that tag 2 and 20 clips: {counts}")
    assert counts[0] == counts[1]


def test_under_htmx_the_answer_swaps_the_tools_of_the_tiles_alone(page, mara):
    (pk,) = clips_of(mara, 1)
    html = page.post("/clips/favourite?on=1", {"pick": pk}, **HTMX).content.decode()
    assert f'id="tools-{pk}"' in html
    assert "<html" not in html
    assert "<video" not in html


# -- marks ------------------------------------------------------------------------------------------------------------


def test_a_mark_is_the_teams_and_knows_who_set_it(page, mara):
    (pk,) = clips_of(mara, 1)
    page.post("/clips/mark", {"pick": pk, "mark": "reject"})
    row = Generation.objects.get(pk=pk)
    assert (row.mark, row.marked_by) == (Mark.REJECT, mara)
    page.post("/clips/mark", {"pick": pk, "mark": ""})
    assert Generation.objects.get(pk=pk).mark == Mark.NONE


def test_what_is_no_clip_yet_is_not_marked(page, mara):
    row = make_generation(mara, Status.PROCESSING)
    assert "Left out: 1 without a finished clip" in said(
        page.post("/clips/mark", {"pick": row.pk, "mark": "keep"}, follow=True)
    )
    assert Generation.objects.get(pk=row.pk).mark == Mark.NONE


# -- tags -------------------------------------------------------------------------------------------------------------


def test_tags_are_small_and_one_of_a_kind(page, mara):
    pks = clips_of(mara, 2)
    page.post("/clips/tag", {"pick": pks, "tag": " Sea ,  GOLDEN   hour, sea"})
    assert sorted(Tag.objects.values_list("name", flat=True)) == ["golden hour", "sea"]
    assert Tagging.objects.count() == 4


@pytest.mark.parametrize(("typed", "words"), [("", "Type a tag"), (" , ,", "Type a tag"), ("x" * 41, "at most 40"),
                                              ("!?", "a letter or a figure"),
                                              (",".join(map(str, range(31))), "at most 30 tags")])  # fmt: skip
def test_a_tag_that_cannot_be_kept_gets_a_sentence(page, mara, typed, words):
    (pk,) = clips_of(mara, 1)
    answer = page.post("/clips/tag", {"pick": pk, "tag": typed}, **HTMX)
    assert answer.status_code == 422
    assert words in said(answer)
    assert not Tag.objects.exists()


def test_a_tag_that_no_clip_has_is_forgotten(page, mara):
    (pk,) = clips_of(mara, 1)
    page.post("/clips/tag", {"pick": pk, "tag": "sea"})
    page.post("/clips/untag", {"pick": pk, "tag": "sea"})
    assert not Tag.objects.exists()


def test_a_clip_takes_thirty_tags_and_no_more(page, mara):
    (pk,) = clips_of(mara, 1)
    page.post("/clips/tag", {"pick": pk, "tag": ",".join(f"t{number}" for number in range(30))})
    answer = page.post("/clips/tag", {"pick": pk, "tag": "one more"}, follow=True)
    assert "with 30 tags already" in said(answer)
    assert Tagging.objects.count() == 30
    assert not Tag.objects.filter(name="one more").exists()


def test_a_tag_renamed_into_another_joins_it(page, mara):
    one, two = clips_of(mara, 2)
    page.post("/clips/tag", {"pick": [one, two], "tag": "sea"})
    page.post("/clips/tag", {"pick": [one], "tag": "ocean"})
    page.post("/tags/rename", {"seen": "ocean", "name": "Sea"})
    assert list(Tag.objects.values_list("name", flat=True)) == ["sea"]
    assert Tagging.objects.count() == 2


def test_a_tag_is_shown_with_a_way_to_its_clips(page, mara):
    (pk,) = clips_of(mara, 1)
    page.post("/clips/tag", {"pick": pk, "tag": "<b>&sea"})
    html = page.get(f"/g/{pk}").content.decode()
    assert "&lt;b&gt;&amp;sea" in html
    assert "<b>&sea" not in html
    assert f"tile-{pk}" in page.get("/", {"tag": "<b>&sea"}).content.decode()


# -- collections ------------------------------------------------------------------------------------------------------


def test_clips_are_collected_in_the_order_in_which_they_came(page, mara):
    pks = clips_of(mara, 3)
    page.post("/clips/collect", {"pick": [pks[2], pks[0]], "collection": "new", "name": "First cut"})
    made = Collection.objects.get()
    answer = page.post("/clips/collect", {"pick": pks, "collection": made.pk}, follow=True)
    assert "1 clip added to “First cut”. Left out: 2 in it already." in said(answer)
    assert [tile["g"].pk for tile in page.get(f"/collections/{made.pk}").context["tiles"]] == [pks[2], pks[0], pks[1]]


def test_a_private_collection_is_its_owners(page, client, mara):
    page.post("/collections/new", {"name": "Ideas", "private": "1"})
    made = Collection.objects.get()
    client.force_login(make_person("chief@example.com", role="manager"))
    for path in ("", "/zip", "/rename", "/delete"):
        ask = client.post if path else client.get
        assert ask(f"/collections/{made.pk}{path}", {"name": "Mine"}).status_code == 404
    assert "Ideas" not in client.get("/collections").content.decode()
    assert Collection.objects.get().name == "Ideas"


@pytest.mark.parametrize(("name", "words"), [("", "Type the name"), ("x" * 81, "at most 80"), ("first CUT", "already")])
def test_a_name_that_cannot_be_taken_gets_a_sentence(page, mara, name, words):
    page.post("/collections/new", {"name": "First cut"})
    answer = page.post("/collections/new", {"name": name})
    assert answer.status_code == 422
    assert words in said(answer)
    assert Collection.objects.count() == 1


def test_two_who_rename_at_once_do_not_overwrite_each_other(page, client, mara):
    page.post("/collections/new", {"name": "First cut"})
    pk = Collection.objects.get().pk
    page.post(f"/collections/{pk}/rename", {"seen": "First cut", "name": "Second cut"})
    answer = page.post(f"/collections/{pk}/rename", {"seen": "First cut", "name": "Third cut"})
    assert answer.status_code == 422
    assert "It is called “Second cut” now" in said(answer)
    assert Collection.objects.get().name == "Second cut"


def test_a_clip_added_to_a_collection_that_was_deleted_meanwhile_gets_a_sentence(page, mara):
    (pk,) = clips_of(mara, 1)
    clips = list(Generation.objects.filter(pk=pk))
    made = shelf.make(mara, mara.teams.get(), "First cut", False)
    Collection.objects.filter(pk=made.pk).delete()
    with pytest.raises(shelf.CannotOrganise, match="deleted meanwhile"):
        shelf.add(mara, clips, made)


def test_a_collection_goes_without_its_clips(page, mara):
    pks = clips_of(mara, 2)
    page.post("/clips/collect", {"pick": pks, "collection": "new", "name": "First cut"})
    page.post(f"/collections/{Collection.objects.get().pk}/delete")
    assert not Collection.objects.exists()
    assert Generation.objects.count() == 2


def test_a_member_puts_clips_into_a_colleagues_collection_but_does_not_end_it(page, client, mara):
    (pk,) = clips_of(mara, 1)
    made = shelf.make(make_person("luc@example.com"), mara.teams.get(), "First cut", False)
    page.post("/clips/collect", {"pick": pk, "collection": made.pk})
    assert made.items.count() == 1
    assert page.post(f"/collections/{made.pk}/delete").status_code == 403
    assert page.post(f"/collections/{made.pk}/rename", {"seen": "First cut", "name": "X"}).status_code == 403
    assert Collection.objects.get().name == "First cut"


def test_a_clip_of_another_team_is_in_no_collection_of_this_one(page, mara):
    southern = make_clip(make_person("sue@example.com", team="Southlight")).generation
    mara.teams.through.objects.create(user=mara, team=southern.team, role="member")
    made = shelf.make(mara, mara.teams.get(name="Northlight"), "First cut", False)
    answer = page.post("/clips/collect", {"pick": southern.pk, "collection": made.pk}, follow=True)
    assert "1 of another team" in said(answer)
    assert made.items.count() == 0
