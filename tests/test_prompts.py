"""Saved prompts: versions, variables, who sees them, what was made from them, JSON out and in."""

import json

import pytest
import responses
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from generations import lifecycle, prompts
from generations.models import Generation, Prompt, PromptVersion, User
from tests.makers import make_account, make_order, make_person, price_is, sealed_for
from tests.pages import HTMX, form_in, nothing_happened, sealed_in, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]


@pytest.fixture
def mara() -> User:
    make_account()
    return make_person()


@pytest.fixture
def jonas(mara) -> User:
    return make_person("jonas@example.com")


def desk_of(user: User) -> Client:
    desk = Client()
    desk.force_login(user)
    return desk


@pytest.fixture
def desk(mara) -> Client:
    return desk_of(mara)


def saved(user: User, title: str = "Dunes", text: str = "A {animal} crests the dune", tags=(), shared=False) -> Prompt:
    return prompts.save(user.teams.get(), user, prompts.read(title, text, tags, shared))


def clip_of(user: User, version: PromptVersion, prompt: str = "A fox crests the dune") -> Generation:
    order = make_order(prompt=prompt)
    made = lifecycle.Order(order.mode, order.generation_type, order.params, order.prompt, order.media, None, version.pk)
    return lifecycle.confirm(user, sealed_for(user, order=made))


def titles(desk: Client, query: str = "") -> list[str]:
    return [row["prompt"].title for row in desk.get(f"/prompts{query}").context["rows"]]


# -- writing ----------------------------------------------------------------------------------------------------------


def test_a_new_prompt_has_a_first_version_and_its_author_alone_sees_it(desk, mara, jonas):
    desk.post("/prompts/add", {"title": " Dunes ", "text": "A {animal}\r\nwalks", "tags": "Slow, #Desert, slow"})
    prompt = Prompt.objects.get()
    assert (prompt.title, prompt.text, prompt.shared, prompt.author) == ("Dunes", "A {animal}\nwalks", False, mara)
    assert list(prompt.versions.values_list("number", "tags")) == [(1, ["desert", "slow"])]
    assert titles(desk) == ["Dunes"]
    assert titles(desk_of(jonas)) == []
    assert desk_of(jonas).get(prompt.get_absolute_url()).status_code == 404


def test_a_prompt_shared_with_the_team_is_seen_and_edited_by_it(mara, jonas):
    prompt = saved(mara, shared=True)
    desk = desk_of(jonas)
    desk.post(f"/prompts/{prompt.pk}/edit", {"title": "Dunes", "text": "A {bird} flies", "tags": "", "seen": "1"})
    assert list(prompt.versions.values_list("number", "author")) == [(2, jonas.pk), (1, mara.pk)]
    assert "A {bird} flies" in text_of(desk.get(prompt.get_absolute_url()))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"title": "", "text": "A walk"}, "Give it a title"),
        ({"title": "t" * 121, "text": "A walk"}, "at most 120 characters; this has 121"),
        ({"title": "Dunes", "text": " \r\n "}, "Write a prompt"),
        ({"title": "Dunes", "text": "x" * 5001}, "at most 5,000 characters; this is 5,001"),
        ({"title": "Dunes", "text": "A walk", "tags": ",".join("abcdefghijk")}, "At most 10 tags; these are 11"),
        ({"title": "Dunes", "text": "A walk", "tags": "x" * 41}, "A tag can have at most 40 characters"),
        ({"title": "\x00", "text": "\x01"}, "Give it a title"),
    ],
)
def test_what_cannot_be_kept_is_said_at_its_field_and_nothing_is_saved(desk, typed, sentence):
    answer = desk.post("/prompts/add", typed)
    assert (answer.status_code, sentence in text_of(answer)) == (422, True)
    assert 'aria-invalid="true"' in answer.content.decode()
    assert not Prompt.objects.exists()


def test_an_edit_adds_a_version_and_leaves_the_old_one_as_it_was(desk, mara):
    prompt = saved(mara, tags=["slow"])
    desk.post(f"/prompts/{prompt.pk}/edit", {"title": "Dunes 2", "text": "A fox", "tags": "fast", "seen": "1"})
    versions = prompt.versions.order_by("number").values_list("number", "title", "text", "tags")
    assert list(versions) == [(1, "Dunes", prompt.text, ["slow"]), (2, "Dunes 2", "A fox", ["fast"])]
    assert titles(desk, "?tag=fast") == ["Dunes 2"]
    assert titles(desk, "?tag=slow") == []


def test_an_edit_that_changes_nothing_adds_nothing(desk, mara):
    prompt = saved(mara, tags=["slow"])
    same = {"title": prompt.title, "text": prompt.text, "tags": "slow", "seen": "1"}
    assert "Nothing was different" in text_of(desk.post(f"/prompts/{prompt.pk}/edit", same, follow=True))
    assert prompt.versions.count() == 1


def test_of_two_people_who_edit_at_once_the_second_is_told_and_keeps_the_text(mara, jonas):
    prompt = saved(mara, shared=True)
    first, second = desk_of(mara), desk_of(jonas)
    address = f"/prompts/{prompt.pk}/edit"
    seen = form_in(second.get(address).content.decode(), address)
    first.post(address, {"title": "Dunes", "text": "Mara's words", "tags": "", "seen": "1"})
    mine = {**seen, "text": "Jonas' words"}
    answer = second.post(address, mine)
    said = text_of(answer)
    assert answer.status_code == 409
    assert "Mara saved version 2" in said
    assert "Mara's words" in said
    kept = form_in(answer.content.decode(), address)
    assert (kept["text"], kept["seen"]) == (["Jonas' words"], ["2"])
    assert prompt.versions.count() == 2
    second.post(address, kept)
    prompt.refresh_from_db()
    assert (prompt.text, prompt.version) == ("Jonas' words", 3)


def test_a_version_is_never_changed(mara):
    version = saved(mara).versions.get()
    version.text = "something else"
    with pytest.raises(RuntimeError):
        version.save()


# -- using ------------------------------------------------------------------------------------------------------------


def test_a_prompt_without_variables_opens_compose_at_once(desk, mara):
    prompt = saved(mara, text="A fox in {{braces}}")
    answer = desk.get(f"/prompts/{prompt.pk}/use")
    form = form_in(answer.content.decode())
    assert (form["prompt"], form["version"]) == (["A fox in {braces}"], [str(prompt.versions.get().pk)])


def test_variables_are_asked_for_and_filled_in(desk, mara):
    prompt = saved(mara, text="A {animal} and a {animal} under {sky}")
    assert 'name="value.sky"' in desk.get(f"/prompts/{prompt.pk}/use").content.decode()
    answer = desk.post(f"/prompts/{prompt.pk}/use", {"value.animal": "fox {sky}", "value.sky": "stars"})
    assert form_in(answer.content.decode())["prompt"] == ["A fox {sky} and a fox {sky} under stars"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"value.animal": " "}, "Type what animal is to be."),
        ({"value.animal": "x" * 501}, "At most 500 characters; this has 501."),
    ],
)
def test_a_variable_without_a_usable_value_is_asked_for_again(desk, mara, values, sentence):
    answer = desk.post(f"/prompts/{saved(mara).pk}/use", values)
    assert (answer.status_code, sentence in text_of(answer)) == (422, True)
    nothing_happened()


def test_values_that_make_a_prompt_too_long_are_refused(desk, mara):
    prompt = saved(mara, text="{animal} " * 20)
    answer = desk.post(f"/prompts/{prompt.pk}/use", {"value.animal": "x" * 400})
    assert (answer.status_code, "3,019 characters longer than the 5,000" in text_of(answer)) == (422, True)


def test_the_clip_remembers_the_version_through_review_and_confirmation(desk, mara):
    prompt = saved(mara)
    form = form_in(desk.post(f"/prompts/{prompt.pk}/use", {"value.animal": "fox"}).content.decode())
    price_is(140)
    desk.post("/new/confirm", {"sealed": sealed_in(desk.post("/new/review", form, **HTMX))})
    clip = Generation.objects.get()
    assert (clip.prompt, clip.from_version) == ("A fox crests the dune", prompt.versions.get())
    assert "Used 1 time" in text_of(desk.get("/prompts"))
    assert "Dunes, version 1" in text_of(desk.get(f"/g/{clip.pk}"))


def test_a_remix_counts_for_the_same_version(desk, mara):
    clip = clip_of(mara, saved(mara).versions.get())
    form = form_in(desk.get(f"/new?from={clip.pk}").content.decode())
    assert form["version"] == [str(clip.from_version_id)]


def test_the_use_is_not_counted_when_its_tick_is_taken_away(desk, mara):
    prompt = saved(mara, text="A fox")
    form = form_in(desk.get(f"/prompts/{prompt.pk}/use").content.decode())
    del form["version"]
    price_is(140)
    desk.post("/new/confirm", {"sealed": sealed_in(desk.post("/new/review", form, **HTMX))})
    assert Generation.objects.get().from_version is None


def test_a_version_that_somebody_else_keeps_private_is_not_taken_from_a_form(mara, jonas):
    hidden = saved(mara).versions.get()
    desk = desk_of(jonas)
    form = form_in(desk.get("/new").content.decode())
    price_is(140)
    answer = desk.post("/new/review", {**form, "prompt": "A walk", "version": hidden.pk}, **HTMX)
    assert [order.version for order in lifecycle.orders_of(lifecycle.unseal(sealed_in(answer)))] == [None]


def test_an_older_version_can_be_used_and_its_clips_stay_with_it(desk, mara):
    prompt = saved(mara, text="The first")
    clip = clip_of(mara, prompt.versions.get())
    prompts.edit(prompt, mara, prompts.read("Dunes", "The second"), 1)
    assert form_in(desk.get(f"/prompts/{prompt.pk}/use").content.decode())["prompt"] == ["The second"]
    assert form_in(desk.get(f"/prompts/{prompt.pk}/use?version=1").content.decode())["prompt"] == ["The first"]
    assert desk.get(f"/prompts/{prompt.pk}/use?version=9").status_code == 404
    clip.refresh_from_db()
    assert clip.from_version.text == "The first"


# -- from a clip, from compose ----------------------------------------------------------------------------------------


def test_a_clips_prompt_is_saved_with_its_braces_as_they_are(desk, mara):
    clip = clip_of(mara, saved(mara).versions.get(), prompt="A {fox}")
    form = form_in(desk.get(f"/prompts/new?from={clip.pk}").content.decode(), "/prompts/add")
    assert form["text"] == ["A {{fox}}"]


def test_what_stands_in_compose_is_saved_without_leaving_it(desk):
    sheet = desk.post("/prompts/new", {"prompt": "A {animal}", "mode": "veo3"}, **HTMX)
    form = form_in(sheet.content.decode(), "/prompts/add")
    assert form["text"] == ["A {animal}"]
    answer = desk.post("/prompts/add", {**form, "title": "Dunes", "shared": "1"}, **HTMX)
    assert (answer.status_code, "close-sheet" in answer["HX-Trigger"]) == (204, True)
    assert Prompt.objects.get().shared


# -- finding ----------------------------------------------------------------------------------------------------------


def test_prompts_are_found_by_words_tag_and_star(desk, mara):
    dunes, rain = saved(mara, "Dunes", "A fox", ["slow"]), saved(mara, "Rain", "Neon and a fox", ["city"])
    desk.post(f"/prompts/{rain.pk}/star", {"on": "1"})
    assert titles(desk) == ["Rain", "Dunes"]
    assert titles(desk, "?q=fox+dunes") == ["Dunes"]
    assert titles(desk, "?tag=city") == ["Rain"]
    assert titles(desk, "?show=starred") == ["Rain"]
    desk.post(f"/prompts/{rain.pk}/star", {"on": "0"})
    assert titles(desk, "?show=starred") == []
    assert dunes.stars.count() == 0


@pytest.mark.parametrize(
    "query", ["?page=99", "?page=x", "?show=zzz", "?q=%00'\"%25", "?tag=" + "x" * 5000, "?q=" + "y " * 2000]
)
def test_a_strange_address_is_answered_with_a_page(desk, mara, query):
    saved(mara)
    assert desk.get(f"/prompts{query}").status_code == 200


def test_the_list_takes_as_many_queries_for_thirty_prompts_as_for_three(desk, mara):
    def queries() -> int:
        with CaptureQueriesContext(connection) as taken:
            desk.get("/prompts")
        return len(taken)

    for number in range(3):
        clip_of(mara, saved(mara, f"Prompt {number}", tags=["slow"]).versions.get())
    few = queries()
    for number in range(27):
        saved(mara, f"More {number}", tags=["slow", "city"])
    assert queries() == few


# -- putting away -----------------------------------------------------------------------------------------------------


def test_an_unused_prompt_is_deleted_and_a_used_one_archived(desk, mara):
    unused, used = saved(mara, "Unused"), saved(mara, "Used")
    clip = clip_of(mara, used.versions.get())
    desk.post(f"/prompts/{unused.pk}/remove")
    assert "archived instead" in text_of(desk.post(f"/prompts/{used.pk}/remove", follow=True))
    assert list(Prompt.objects.values_list("title", flat=True)) == ["Used"]
    assert titles(desk) == []
    assert titles(desk, "?show=archived") == ["Used"]
    clip.refresh_from_db()
    assert clip.from_version.prompt == used
    desk.post(f"/prompts/{used.pk}/archive", {"on": "0"})
    assert titles(desk) == ["Used"]


def test_a_confirmation_outlives_the_prompt_that_it_started_from(mara):
    prompt = saved(mara)
    order = make_order()
    about = (order.mode, order.generation_type, order.params, order.prompt, order.media, None)
    sealed = sealed_for(mara, order=lifecycle.Order(*about, prompt.versions.get().pk))
    assert prompts.remove(prompt)
    assert lifecycle.confirm(mara, sealed).from_version is None


# -- JSON -------------------------------------------------------------------------------------------------------------


def sent_in(desk: Client, content: object) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = desk.post("/prompts/import/file", {"file": SimpleUploadedFile("p.json", data)}, follow=True)
    return text_of(answer)


def file_of(*rows: object, **more: object) -> dict[str, object]:
    return {"format": "dailies-prompts", "version": 1, "prompts": list(rows), **more}


def test_what_is_exported_comes_in_again_elsewhere(desk, mara):
    saved(mara, "Dunes", "A {animal}\nwalks", ["slow"], shared=True)
    saved(mara, "Rain", "Neon — “wet”")
    answer = desk.get("/prompts.json")
    assert "attachment" in answer["Content-Disposition"]
    other = desk_of(make_person("ada@example.com", team="Southlight"))
    assert "2 prompts added." in sent_in(other, answer.content)
    there = Prompt.objects.filter(team__name="Southlight").values_list("title", "text", "shared", "version")
    assert sorted(there) == [("Dunes", "A {animal}\nwalks", True, 1), ("Rain", "Neon — “wet”", False, 1)]
    assert PromptVersion.objects.filter(prompt__team__name="Southlight").count() == 2
    assert titles(other, "?tag=slow") == ["Dunes"]


def test_the_export_is_of_what_the_list_shows_and_holds_nobody_elses(desk, mara, jonas):
    saved(mara, "Dunes", tags=["slow"])
    saved(mara, "Rain")
    saved(jonas, "Private", tags=["slow"])
    rows = json.loads(desk.get("/prompts.json?tag=slow").content)["prompts"]
    assert [row["title"] for row in rows] == ["Dunes"]


def test_what_is_here_already_or_twice_in_the_file_is_skipped_and_counted(desk, mara):
    saved(mara, "Dunes", "A walk")
    same, new = {"title": "Dunes", "text": "A walk"}, {"title": "Dunes", "text": "Another walk"}
    assert "1 prompt added. 2 were here already." in sent_in(desk, file_of(same, new, new))
    assert Prompt.objects.count() == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff\xfe no json", "The file is no JSON."),
        (b"[" * 100_000, "The file is no JSON."),
        (b"[1, 2]", "no prompts of Dailies"),
        ({"format": "dailies-prompts", "version": 2, "prompts": []}, "reads version 1"),
        ({"format": "dailies-prompts", "version": 1, "prompts": {}}, "must be a list"),
        (file_of(*[{}] * 1001), "at most 1,000 prompts; this has 1,001"),
        (b" " * 5_000_001, "at most 5 MB"),
        (file_of({"title": "Dunes", "text": "ok"}, {"text": "no title"}), "Prompt 2: Give it a title"),
        (file_of({"title": "Dunes", "text": 7}), "Prompt 1: “text” must be a text."),
        (file_of({"title": "Dunes", "text": "x", "tags": ["a", None]}), "Prompt 1: “tags” must be a list of texts."),
        (file_of({"title": "Dunes", "text": "x", "shared": 1}), "Prompt 1: “shared” must be true or false."),
        (file_of({"title": "Dunes", "text": "x", "price": 1}), "“price” is not a field of a prompt."),
        (
            b'{"format": "dailies-prompts", "version": 1, "prompts": [{"title": "\\ud800", "text": "x"}]}',
            "Give it a title",
        ),
        (file_of("Dunes"), "Prompt 1: It must be an object"),
        (file_of(*[{"title": ""}] * 25), "And 5 more."),
    ],
)
def test_a_file_with_anything_wrong_in_it_is_named_by_row_and_adds_nothing(desk, content, sentence):
    said = sent_in(desk, content)
    assert sentence in said
    assert "Nothing was added." in said
    assert not Prompt.objects.exists()


def test_no_request_is_made_for_any_of_it(desk, mara):
    desk.get(f"/prompts/{saved(mara).pk}")
    assert len(responses.calls) == 0
