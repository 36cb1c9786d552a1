"""Clips side by side: who sees which, what differs, who wins, and a vote that hides what it should."""

import itertools
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.files.base import ContentFile
from django.utils import timezone

from generations import catalogue, comparisons, ledger
from generations.models import (
    ApiAccount,
    Batch,
    Clip,
    Comparison,
    Generation,
    Membership,
    Quote,
    Status,
    Team,
    User,
    Vote,
)
from tests.makers import make_account, make_person
from tests.pages import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def mara() -> User:
    make_account()
    return make_person()


@pytest.fixture
def desk(client, mara) -> Any:
    client.force_login(mara)
    return client


def make_clip(owner: User, mode: str = "veo3", charged: int = 100, stored: bool = True, **values: Any) -> Generation:
    kind, prompt = "text-to-video", values.pop("prompt", "A lone walker")
    batch = values.pop("batch", None)
    quote = Quote.objects.create(account=ApiAccount.objects.get(), digest="0" * 64, billing={}, credits=charged)
    row = Generation.objects.create(
        team=owner.teams.get(), owner=owner, quote=quote, price=charged, charged=charged, nonce=uuid.uuid4(), mode=mode,
        status=Status.COMPLETED, generation_type=kind, params=catalogue.clean(mode, kind, values), prompt=prompt,
        took=42.0, batch=batch,
    )  # fmt: skip
    ledger.hold(row)
    ledger.capture(row, charged)
    clip = Clip(generation=row, state=Clip.State.STORED if stored else Clip.State.PENDING, source_url="", size=5)
    clip.file.save("a.mp4", ContentFile(b"video"), save=False)
    clip.width, clip.height = 1280, 720
    clip.save()
    return row


@pytest.fixture
def three(mara) -> list[Generation]:
    return [make_clip(mara, "veo3", 100), make_clip(mara, "kling-3", 250), make_clip(mara, "sora2", 90)]


def at(clips: list[Generation]) -> str:
    return "/compare?ids=" + ",".join(str(clip.pk) for clip in clips)


def post(desk, what: str, clips: list[Generation], **more: Any):
    return desk.post(f"/compare/{what}", {"ids": ",".join(str(clip.pk) for clip in clips), **more})


def other(client_class, person: User):
    client = client_class()
    client.force_login(person)
    return client


# -- side by side -----------------------------------------------------------------------------------------------------


def test_each_clip_has_its_model_price_time_and_what_differs(desk, three):
    page = text_of(desk.get(at(three)))
    assert page.count("<video") == 3
    for words in ("Veo 3.1", "Kling 3.0", "Sora 2", "250 credits", "took 42 s"):
        assert words in page
    assert re.search(r"<dt>Length</dt><dd>8 seconds</dd>", page)
    assert page.count("<dt>Made from</dt>") == 1  # the same for all: said once


def test_ids_can_also_come_from_a_form_one_by_one(desk, three):
    query = "&".join(f"ids={clip.pk}" for clip in three)
    assert desk.get(f"/compare?{query}").status_code == 200


def test_what_was_selected_in_the_gallery_gets_an_address(desk, three):
    answer = desk.post("/compare", {"pick": [clip.pk for clip in three]})
    assert (answer.status_code, answer["Location"]) == (302, at(three))


def test_a_number_said_twice_is_one_clip(desk, three):
    first, second, _ = (clip.pk for clip in three)
    assert text_of(desk.get(f"/compare?ids={first},{second},{first}")).count("<video") == 2


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ("", "None is named here"),
        ("1", "One is named here"),
        ("1,1,1", "One is named here"),
        ("1,2,3,4,5,6,7", "7 are named here"),
        ("1,two", "names clips by their numbers"),
        ("1,-2", "names clips by their numbers"),
        ("1,2' OR 1=1", "names clips by their numbers"),
        ("1,٣", "names clips by their numbers"),
        ("1," + "9" * 400, "names clips by their numbers"),
        ("," * 10_000, "None is named here"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(desk, three, ids, sentence):
    answer = desk.get("/compare", {"ids": ids})
    assert (answer.status_code, sentence in text_of(answer)) == (400, True)


def test_clips_of_another_team_are_not_found(desk, three):
    foreign = make_clip(make_person("stranger@example.com", team="Southlight"))
    for what in ("winner", "open", "vote", "close"):
        assert post(desk, what, [three[0], foreign], winner=foreign.pk, clip=foreign.pk).status_code == 404
    assert desk.get(at([three[0], foreign])).status_code == 404
    assert desk.get(f"/g/{foreign.pk}/compare").status_code == 404
    assert not Comparison.objects.exists()


def test_clips_of_two_teams_of_ones_own_cannot_be_mixed(desk, mara, three):
    luc = make_person("luc@example.com", team="Southlight")
    foreign = make_clip(luc)
    Membership.objects.create(team=foreign.team, user=mara, role="member")
    answer = desk.get(at([three[0], foreign]))
    assert (answer.status_code, "belong to different teams" in text_of(answer)) == (400, True)


def test_what_to_compare_a_clip_with_is_its_batch_then_the_same_prompt(desk, mara):
    batch = Batch.objects.create(team=mara.teams.get(), owner=mara, kind="models", template="A")
    mine, mate = make_clip(mara, batch=batch, prompt="A"), make_clip(mara, "sora2", batch=batch, prompt="A")
    same, unready = make_clip(mara, "kling-3", prompt="A"), make_clip(mara, stored=False, prompt="A")
    page = desk.get(f"/g/{mine.pk}/compare").content.decode()
    offered = re.findall(r'type="checkbox"[^>]*value="(\d+)"', page)
    assert offered == [str(mate.pk), str(same.pk)]
    assert str(unready.pk) not in offered


# -- the winner -------------------------------------------------------------------------------------------------------


def test_the_winner_is_recorded_with_who_picked_it(desk, mara, three):
    answer = post(desk, "winner", three, winner=three[1].pk, was="")
    comparison = Comparison.objects.get()
    assert (answer.status_code, comparison.winner, comparison.decided_by) == (302, three[1], mara)
    assert "Winner picked by Mara" in text_of(desk.get(at(three)))


def test_the_same_clips_in_any_order_are_one_comparison(desk, three):
    for order in itertools.permutations(three):
        desk.get(at(list(order)))
        was = Comparison.objects.values_list("winner", flat=True).first() or ""
        post(desk, "winner", list(order), winner=order[0].pk, was=was)
    assert Comparison.objects.count() == 1


def test_who_picked_it_can_change_the_winner_and_a_colleague_cannot(desk, client, three):
    post(desk, "winner", three, winner=three[0].pk, was="")
    post(desk, "winner", three, winner=three[1].pk, was=three[0].pk)
    assert Comparison.objects.get().winner == three[1]
    colleague = other(type(client), make_person("jonas@example.com"))
    assert post(colleague, "winner", three, winner=three[2].pk, was=three[1].pk).status_code == 422
    assert Comparison.objects.get().winner == three[1]
    manager = other(type(client), make_person("ada@example.com", role="manager"))
    assert post(manager, "winner", three, winner=three[2].pk, was=three[1].pk).status_code == 302


def test_a_winner_picked_meanwhile_is_not_overwritten_unseen(desk, three):
    post(desk, "winner", three, winner=three[0].pk, was="")
    answer = post(desk, "winner", three, winner=three[1].pk, was="")
    assert (answer.status_code, "picked a winner meanwhile" in text_of(answer)) == (422, True)
    assert Comparison.objects.get().winner == three[0]


@pytest.mark.parametrize("winner", ["", "x", "0", "999999", "-1"])
def test_only_one_of_them_can_win(desk, three, winner):
    outside = make_clip(three[0].owner)
    for chosen in (winner, str(outside.pk)):
        assert post(desk, "winner", three, winner=chosen, was="").status_code == 422
    assert not Comparison.objects.exclude(winner=None).exists()


def test_who_only_watches_picks_no_winner_and_begins_no_vote(client, three):
    viewer = other(type(client), make_person("vera@example.com", role="viewer"))
    assert "Pick as winner" not in text_of(viewer.get(at(three)))
    assert post(viewer, "winner", three, winner=three[0].pk, was="").status_code == 403
    assert post(viewer, "open", three).status_code == 403
    assert not Comparison.objects.exists()


# -- the blind vote ---------------------------------------------------------------------------------------------------


@pytest.fixture
def voting(desk, three) -> list[Generation]:
    assert post(desk, "open", three).status_code == 302
    return three


def test_before_voting_no_model_price_or_parameter_is_on_the_page(desk, client, voting):
    jonas = make_person("jonas@example.com")
    main = re.search(r"<main.*</main>", text_of(other(type(client), jonas).get(at(voting)))).group()
    shown = [word for word in ("Veo", "Kling", "Sora", "credits", "42 s", "Length", "720p", "Open") if word in main]
    assert shown == []
    assert main.count("Vote for") == 3


def test_each_person_has_an_order_of_their_own_that_stays(client, voting):
    def order(person: User) -> list[str]:
        return re.findall(r'src="/g/(\d+)/video"', other(type(client), person).get(at(voting)).content.decode())

    people = [make_person(f"p{number}@example.com") for number in range(8)]
    orders = [order(person) for person in people]
    assert orders == [order(person) for person in people]
    assert len(set(map(tuple, orders))) > 1


def test_after_voting_models_and_prices_are_shown_and_the_result_is_not(desk, voting):
    assert post(desk, "vote", voting, clip=voting[1].pk).status_code == 302
    page = text_of(desk.get(at(voting)))
    assert "Kling 3.0" in page
    assert "Your vote" in page
    assert not re.search(r'pill num">\d+ votes?', page)


def test_one_vote_each(desk, voting):
    post(desk, "vote", voting, clip=voting[1].pk)
    again = post(desk, "vote", voting, clip=voting[0].pk)
    assert (again.status_code, "one vote each" in text_of(again)) == (422, True)
    assert [vote.generation for vote in Vote.objects.all()] == [voting[1]]


def test_whoever_watches_may_vote_too_and_the_count_is_shown_when_it_is_closed(desk, client, voting):
    viewer = other(type(client), make_person("vera@example.com", role="viewer"))
    post(viewer, "vote", voting, clip=voting[2].pk)
    post(desk, "vote", voting, clip=voting[2].pk)
    post(desk, "close", voting)
    page = text_of(desk.get(at(voting)))
    assert "The vote is closed: 2 votes." in page
    assert re.findall(r'pill num">(\d+) votes?', page) == ["0", "0", "2"]


def test_only_who_began_it_or_a_manager_closes_a_vote(client, voting):
    colleague = other(type(client), make_person("jonas@example.com"))
    assert post(colleague, "close", voting).status_code == 403
    assert Comparison.objects.get().voting
    manager = other(type(client), make_person("ada@example.com", role="manager"))
    assert post(manager, "close", voting).status_code == 302


def test_after_the_end_nobody_votes_and_none_begins_again(desk, voting):
    post(desk, "close", voting)
    assert post(desk, "vote", voting, clip=voting[0].pk).status_code == 422
    assert post(desk, "open", voting).status_code == 422
    assert post(desk, "close", voting).status_code == 422
    assert not Vote.objects.exists()


def test_while_a_vote_runs_no_winner_is_picked(desk, voting):
    assert post(desk, "winner", voting, winner=voting[0].pk, was="").status_code == 422
    assert Comparison.objects.get().winner is None


def test_a_vote_begins_only_when_every_clip_is_ready(desk, mara, three):
    assert post(desk, "open", [three[0], make_clip(mara, stored=False)]).status_code == 422
    assert not Comparison.objects.exclude(opened_at=None).exists()


def test_the_batchs_page_sends_whoever_has_not_voted_to_vote_first(desk, mara):
    batch = Batch.objects.create(team=mara.teams.get(), owner=mara, kind="models", template="A")
    clips = [make_clip(mara, "veo3", batch=batch), make_clip(mara, "sora2", batch=batch)]
    post(desk, "open", clips)
    assert desk.get(f"/batches/{batch.pk}")["Location"] == at(clips)
    assert desk.get(f"/batches/{batch.pk}/live").status_code != 200
    post(desk, "vote", clips, clip=clips[0].pk)
    assert desk.get(f"/batches/{batch.pk}").status_code == 200


# -- which model is worth it ------------------------------------------------------------------------------------------


def test_a_win_costs_everything_that_was_charged_for_the_models_clips(desk, mara):
    pairs = [(make_clip(mara, "veo3", 100), make_clip(mara, "sora2", 60)) for _ in range(3)]
    for place, pair in enumerate(pairs):
        comparisons.pick(pair, mara, pair[0 if place else 1].pk, None)
    rows = comparisons.worth(mara.teams.get(), demo=False)
    assert [(row.mode, row.wins, row.clips, row.per_win) for row in rows] == [("veo3", 2, 3, 150), ("sora2", 1, 3, 180)]
    page = text_of(desk.get("/compare/models"))
    assert re.search(r"Veo 3.1</th><td[^>]*>2 of 3</td>.*?>150</td>", page)


def test_a_clip_of_two_comparisons_is_paid_for_once(mara):
    clips = [make_clip(mara, "veo3", 100), make_clip(mara, "sora2", 60), make_clip(mara, "kling-3", 200)]
    comparisons.pick(clips, mara, clips[0].pk, None)
    comparisons.pick(clips[:2], mara, clips[0].pk, None)
    veo = comparisons.worth(mara.teams.get(), demo=False)[0]
    assert (veo.mode, veo.clips, veo.credits, veo.wins) == ("veo3", 1, 100, 2)


def test_only_decisions_of_the_period_count_and_only_those_of_the_team(desk, mara):
    with time_machine.travel(timezone.now() - timedelta(days=40), tick=False):
        old = [make_clip(mara, "kling-3"), make_clip(mara, "sora2")]
        comparisons.pick(old, mara, old[0].pk, None)
    foreign = make_person("stranger@example.com", team="Southlight")
    theirs = [make_clip(foreign, "wan-2-6"), make_clip(foreign, "sora2")]
    comparisons.pick(theirs, foreign, theirs[0].pk, None)
    ever, lately = text_of(desk.get("/compare/models")), text_of(desk.get("/compare/models?days=30"))
    assert ("Kling 3.0</th>" in ever, "Kling 3.0</th>" in lately, "Wan 2.6</th>" in ever) == (True, False, False)


@pytest.mark.parametrize("days", ["-1", "x", "9" * 50, "٣"])
def test_a_period_that_makes_no_sense_is_ever(desk, days):
    assert desk.get("/compare/models", {"days": days}).status_code == 200


def test_the_teams_name_is_the_one_the_person_works_in(desk):
    assert Team.objects.get().name in text_of(desk.get("/compare/models"))
