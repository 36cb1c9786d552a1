"""Compose and the dialog with budgets, rules and projects: what they say before the click, and what they keep to."""

from collections.abc import Iterator
from typing import Any

import pytest
import responses
from django.contrib.messages import get_messages
from django.utils import timezone

from generations.models import Approval, ApprovalRule, Budget, Generation, LedgerEntry, Project, Status, Team, User
from tests.makers import confirmed, make_account, make_person, price_is, sent_to
from tests.pages import HTMX, filled, form_in, nothing_happened, review, sealed_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def team(mara) -> Team:
    return mara.teams.get()


@pytest.fixture
def project(team) -> Project:
    return Project.objects.create(team=team, name="Alpine Rail")


@pytest.fixture
def desk(client, mara) -> Iterator[Any]:
    """Mara's browser. Nothing but a price is ever asked of upstream here."""
    client.force_login(mara)
    with responses.mock:
        make_account()
        price_is(140)
        yield client


def price_of(desk, **more: Any) -> str:
    return text_of(desk.post("/new/price", filled(desk, **more), **HTMX))


def confirm(desk, answer, **more: Any):
    return desk.post("/new/confirm", {"sealed": sealed_in(answer)}, **more)


# -- the form ---------------------------------------------------------------------------------------------------------


def test_the_form_offers_the_teams_own_projects_that_are_not_archived(desk, team, project):
    Project.objects.create(team=team, name="Old campaign", archived_at=timezone.now())
    Project.objects.create(team=Team.objects.create(name="Elsewhere"), name="Theirs")
    page = desk.get("/new").content.decode()
    assert (">Alpine Rail</option>" in page, "Old campaign" in page, "Theirs" in page) == (True, False, False)


def test_a_team_without_projects_sees_no_field_for_them(desk):
    assert 'name="project"' not in desk.get("/new").content.decode()


def test_the_project_is_said_in_the_dialog_and_kept_with_the_clip_and_its_remix(desk, project):
    answer = review(desk, project=str(project.pk))
    assert "Charged to Alpine Rail." in text_of(answer)
    assert confirm(desk, answer).status_code == 303
    generation = Generation.objects.get()
    assert (generation.project, LedgerEntry.objects.get().project) == (project, project)
    assert form_in(desk.get(f"/new?from={generation.pk}").content.decode())["project"] == [str(project.pk)]
    assert "Alpine Rail" in text_of(desk.get(f"/g/{generation.pk}"))


def test_editing_again_keeps_the_project(desk, project):
    sealed = sealed_in(review(desk, project=str(project.pk)))
    assert form_in(desk.post("/new/form", {"sealed": sealed}).content.decode())["project"] == [str(project.pk)]


def test_a_project_that_is_archived_or_another_teams_is_refused_at_its_field(desk, team, project):
    theirs = Project.objects.create(team=Team.objects.create(name="Elsewhere"), name="Theirs")
    archived = Project.objects.create(team=team, name="Old", archived_at=timezone.now())
    for forged in (str(theirs.pk), str(archived.pk), "9" * 40, "x"):
        answer = review(desk, project=forged)
        assert (answer.status_code, 'id="e-project">This project is not there' in text_of(answer)) == (422, True)
    nothing_happened()


def test_a_project_archived_between_dialog_and_click_is_not_charged(desk, project):
    answer = review(desk, project=str(project.pk))
    Project.objects.update(archived_at=timezone.now())
    again = confirm(desk, answer, **HTMX)
    assert (again.status_code, "This project is not there any more." in text_of(again)) == (422, True)
    nothing_happened()


# -- what is said before anything is confirmed ------------------------------------------------------------------------


def test_the_budgets_that_apply_stand_beside_the_price_with_what_this_clip_takes(desk, mara, team, project):
    luc = make_person("luc@example.com")
    Budget.objects.create(team=team, user=mara, credits=1000)
    Budget.objects.create(team=team, user=luc, credits=1)
    Budget.objects.create(team=team, project=project, credits=500, window="total")
    confirmed(mara)
    page = price_of(desk)
    for words in (
        "Your budget this month",
        "860 credits left",
        "of 1,000 credits 0 spent, 140 held, 140 this clip",
        'Approval</span><span class="font-medium">not needed',
    ):
        assert words in page, words
    assert ("Alpine Rail budget" in page, "Luc" in page) == (False, False)
    assert "Alpine Rail budget in total" in price_of(desk, project=str(project.pk))


@pytest.mark.parametrize(
    ("role", "sentence"),
    [("member", "A manager has to approve this"), ("manager", "Another manager has to approve this")],
)
def test_that_it_needs_approval_and_why_is_said_before_the_review(desk, mara, team, role, sentence):
    mara.memberships.update(role=role)
    ApprovalRule.objects.create(team=team, above=100)
    for page in (price_of(desk), text_of(review(desk))):
        assert (sentence in page, "Anything above 100 credits needs approval." in page) == (True, True)
    nothing_happened()


def test_the_dialog_shows_each_budget_before_and_after(desk, mara, team):
    Budget.objects.create(team=team, user=mara, credits=1000)
    Budget.objects.create(team=team, credits=8000, window="week")
    page = text_of(review(desk))
    for name, left, after in (
        ("Your budget this month", "1,000", "860"),
        ("Northlight budget this week", "8,000", "7,860"),
    ):
        assert f'{name}</th><td>{left}</td><td class="arrow" aria-hidden="true">→</td><td>{after}</td>' in page, name


def test_a_budget_that_only_warns_says_so_and_lets_it_pass(desk, team):
    Budget.objects.create(team=team, credits=100, over="warn")
    answer = review(desk)
    page = text_of(answer)
    assert "100 credits left of 100, 40 credits short." in page
    assert "Generate for 140 credits" in page
    assert confirm(desk, answer).status_code == 303
    assert Generation.objects.get().status == Status.QUEUED


# -- confirming -------------------------------------------------------------------------------------------------------


def test_asking_for_approval_holds_the_credits_and_sends_nothing(desk, team):
    ApprovalRule.objects.create(team=team, above=100)
    answer = review(desk)
    assert "Ask for approval: 140 credits held</button>" in text_of(answer)
    parked = confirm(desk, answer)
    said = " ".join(str(message) for message in get_messages(parked.wsgi_request))
    assert (parked.status_code, said) == (303, "Asked for approval: 140 credits held. Nothing is sent before.")
    assert (Generation.objects.get().status, LedgerEntry.objects.get().held) == (Status.AWAITING_APPROVAL, 140)
    assert Approval.objects.get().verdict == Approval.Verdict.OPEN
    assert sent_to("generate-video") == 0


def test_a_clip_over_a_hard_budget_cannot_be_confirmed_from_the_dialog(desk, team):
    Budget.objects.create(team=team, credits=100)
    answer = review(desk)
    page = text_of(answer)
    assert answer.status_code == 422
    for words in (
        "Over budget",
        "This needs 140 credits.",
        "100 credits left of 100, 40 credits short.",
        "Back to editing",
    ):
        assert words in page, words
    assert ("/new/confirm" in page, "Generate for" in page) == (False, False)
    nothing_happened()


@pytest.mark.parametrize("htmx", [HTMX, {}], ids=["htmx", "plain"])
def test_a_budget_used_up_between_dialog_and_click_refuses_with_its_sentence(desk, team, htmx):
    answer = review(desk)
    Budget.objects.create(team=team, credits=100)
    again = confirm(desk, answer, **htmx)
    page = text_of(again)
    assert again.status_code == 422
    assert "40 credits short. Nothing was held or charged." in page
    assert form_in(page, "/new/form")["sealed"], "the way back to the form is lost"
    nothing_happened()


def test_the_phone_says_over_budget_where_the_price_stands(desk, team):
    Budget.objects.create(team=team, credits=100)
    assert "<span>over budget</span>" in price_of(desk)


def test_the_phone_shows_what_is_left_of_the_tightest_budget(desk, mara, team):
    Budget.objects.create(team=team, credits=9000)
    Budget.objects.create(team=team, user=mara, credits=1000)
    page = price_of(desk)
    assert "· 1,000 credits left" in page[page.index('id="paybar-price"') :]


def test_every_page_says_what_is_left_of_ones_own_budget_and_without_one_what_was_spent(desk, mara, team):
    assert "Spent this month</span><b>0 <small>credits" in text_of(desk.get("/"))
    Budget.objects.create(team=team, user=mara, credits=1000)
    confirmed(mara, 140)
    page = text_of(desk.get("/"))
    assert "You have left</span><b>860 <small>credits" in page
    assert "Spent this month" not in page


def test_a_budget_that_only_warns_is_not_what_is_left(desk, mara, team):
    Budget.objects.create(team=team, user=mara, credits=10, over=Budget.Over.WARN)
    assert "You have left" not in text_of(desk.get("/"))
