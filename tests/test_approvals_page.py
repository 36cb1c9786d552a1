"""The page of parked requests: who sees what, who decides, and what each refusal leaves untouched."""

from datetime import timedelta

import pytest
import responses
from django.utils import timezone

from generations import approvals, catalogue, ledger, lifecycle
from generations.models import Approval, ApprovalRule, AuditEntry, Budget, Generation, Project, Status, User
from tests.makers import confirmed, make_account, make_order, make_person, price_is, sent_to
from tests.pages import HTMX, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def upstream():
    with responses.mock:
        make_account()
        price_is(140)
        yield


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def luc(mara) -> User:
    return make_person("luc@example.com", role="manager")


@pytest.fixture
def parked(mara) -> Generation:
    ApprovalRule.objects.create(team=mara.teams.get(), above=100)
    return confirmed(mara)


@pytest.fixture
def desk(client, luc):
    client.force_login(luc)
    return client


def unchanged(parked: Generation) -> None:
    parked.refresh_from_db()
    assert (parked.status, ledger.totals(user=parked.owner, demo=False).held) == (Status.AWAITING_APPROVAL, 140)
    assert Approval.objects.get(generation=parked).verdict == Approval.Verdict.OPEN
    assert sent_to("generate-video") == 0


def approve(desk, parked: Generation, shown: object = 140, **more):
    return desk.post(f"/approvals/{parked.pk}/approve", {"shown": shown}, **more)


def reject(desk, parked: Generation, reason: str = "Not this month", **more):
    return desk.post(f"/approvals/{parked.pk}/reject", {"reason": reason}, **more)


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_a_manager_sees_everything_the_dialog_showed_and_the_effect_on_budgets(desk, mara):
    team = mara.teams.get()
    project = Project.objects.create(team=team, name="Alpine Rail")
    ApprovalRule.objects.create(team=team, above=100)
    Budget.objects.create(team=team, user=mara, credits=1000)
    Budget.objects.create(team=team, project=project, credits=500, window="total")
    order = make_order("grok-imagine", "image-to-video")
    order = lifecycle.Order(
        order.mode, order.generation_type, order.params, "She walks toward the light", order.media, project.pk
    )
    confirmed(mara, order=order)
    page = text_of(desk.get("/approvals"))
    for words in (
        "She walks toward the light",
        catalogue.in_words(order.mode, order.generation_type, order.params),
        "Start frame: https://example.com/a.jpg",
        "For Alpine Rail",
        "Anything above 100 credits needs approval.",
        "Mara’s budget this month</th><td>1,000</td>",
        "Alpine Rail budget in total</th><td>500</td>",
        "<td>360</td>",
        "Northlight balance</th><td>5,000</td>",
        "<td>4,860</td>",
        "expires <time",
        "Approve 140 credits",
        "Reject, give 140 credits back",
        "></textarea>",
    ):
        assert words in page, words


def test_the_navigation_counts_what_waits_for_this_manager(desk, parked, luc):
    confirmed(luc)  # one's own waits for somebody else
    assert 'count">1<span class="sr-only"> to decide' in desk.get("/queue").content.decode()


def test_members_find_no_approvals_anywhere(client, parked, mara):
    client.force_login(mara)
    assert "/approvals" not in client.get("/queue").content.decode()
    answer = client.get("/approvals")
    assert (answer.status_code, "Approvals are for managers of a team and for admins." in text_of(answer)) == (
        403,
        True,
    )


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_members_and_viewers_decide_nothing(client, parked, role):
    client.force_login(make_person("vic@example.com", role=role))
    assert [act(client, parked).status_code for act in (approve, reject)] == [403, 403]
    unchanged(parked)


def test_a_stranger_is_sent_to_the_door(client, parked):
    assert [answer.status_code for answer in (client.get("/approvals"), approve(client, parked))] == [302, 302]
    unchanged(parked)


def test_a_request_of_another_team_is_not_there(client, parked):
    client.force_login(make_person("eve@example.com", "Elsewhere", "manager"))
    assert "A lone walker" not in text_of(client.get("/approvals"))
    assert [act(client, parked).status_code for act in (approve, reject)] == [404, 404]
    unchanged(parked)


def test_an_admin_without_a_team_sees_the_requests_of_all(client, parked):
    client.force_login(make_person("root@example.com", team="", is_staff=True))
    page = text_of(client.get("/approvals"))
    assert ("A lone walker" in page, f"/g/{parked.pk}" in page) == (True, False)
    assert approve(client, parked).status_code == 302
    assert Generation.objects.get().status == Status.QUEUED


def test_what_was_decided_stands_below_with_its_reason(desk, parked, luc):
    reject(desk, parked, "Use the shorter one")
    page = text_of(desk.get("/approvals"))
    assert ("Rejected" in page, "by Luc" in page, "Use the shorter one" in page, "Nobody waits for you" in page) == (
        True, True, True, True,
    )  # fmt: skip


@pytest.mark.parametrize("path", ["approve", "reject"])
def test_a_link_alone_decides_nothing(desk, parked, path):
    assert desk.get(f"/approvals/{parked.pk}/{path}").status_code == 405
    unchanged(parked)


# -- approving --------------------------------------------------------------------------------------------------------


def test_an_approved_request_is_in_the_line_and_the_workers_hear_of_it(
    desk, parked, luc, django_capture_on_commit_callbacks, monkeypatch
):
    rung: list[bool] = []
    monkeypatch.setattr("generations.views.gate._ring_now", lambda: rung.append(True))
    with django_capture_on_commit_callbacks(execute=True):
        answer = approve(desk, parked, HTTP_USER_AGENT="Firefox")
    assert (answer.status_code, answer["Location"], rung) == (302, "/approvals", [True])
    assert Generation.objects.get().status == Status.QUEUED
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.action, entry.agent, entry.address) == (luc, "approval.approved", "Firefox", "127.0.0.1")


def test_by_htmx_the_page_comes_back_with_the_count_of_now(desk, parked):
    assert approve(desk, parked, **HTMX)["HX-Redirect"] == "/approvals"


def test_a_price_that_rose_comes_back_as_the_same_card_with_the_price_of_now(desk, parked):
    price_is(200)
    answer = approve(desk, parked, **HTMX)
    page = text_of(answer)
    assert (answer.status_code, "The price rose from 140 credits to 200 credits." in page) == (422, True)
    assert ("Approve 200 credits" in page, 'name="shown" value="200"' in page) == (True, True)
    unchanged(parked)
    assert approve(desk, parked, 200).status_code == 302
    assert Generation.objects.get().price == 200


def test_without_javascript_the_whole_page_says_that_the_price_rose(desk, parked):
    price_is(200)
    answer = approve(desk, parked)
    page = text_of(answer)
    assert (answer.status_code, "The price rose from" in page, "<h1>Approvals</h1>" in page) == (422, True, True)
    assert "Approve 200 credits" in page
    unchanged(parked)


def test_a_hard_budget_that_has_no_room_for_the_risen_price_refuses(desk, parked):
    Budget.objects.create(team=parked.team, credits=150)
    price_is(200)
    answer = approve(desk, parked, 200, **HTMX)
    assert answer.status_code == 422
    assert "10 credits left of 150, 50 credits short. Nothing more was held or charged." in text_of(answer)
    unchanged(parked)


def test_without_a_price_of_now_the_card_says_why(desk, parked):
    parked.quote.account.keys.update(state="refused")
    answer = approve(desk, parked, **HTMX)
    assert (answer.status_code, "Nothing was charged." in text_of(answer)) == (422, True)
    unchanged(parked)


@pytest.mark.parametrize("shown", ["", "-1", "1.5", "9" * 30, "x"])
def test_a_forged_price_is_not_there(desk, parked, shown):
    assert approve(desk, parked, shown).status_code == 404
    unchanged(parked)


def test_ones_own_request_has_no_buttons_and_cannot_be_approved(client, parked, mara):
    mara.memberships.update(role="manager")
    client.force_login(mara)
    page = text_of(client.get("/approvals"))
    assert ("This is your own request." in page, "Approve 140" in page) == (True, False)
    for act in (approve, reject):
        answer = act(client, parked, **HTMX)
        assert (answer.status_code, "Nobody decides about their own request." in text_of(answer)) == (422, True)
    unchanged(parked)


def test_an_approval_of_a_cancelled_request_changes_nothing(desk, parked, mara):
    lifecycle.cancel(Generation.objects.get(pk=parked.pk), mara)
    answer = approve(desk, parked)
    assert (answer.status_code, "decided or cancelled already" in text_of(answer)) == (422, True)
    assert Generation.objects.get().status == Status.CANCELLED
    assert sent_to("generate-video") == ledger.totals(user=mara, demo=False).held == 0


def test_a_second_click_approves_nothing_more(desk, parked):
    approve(desk, parked)
    answer = desk.post(f"/approvals/{parked.pk}/approve", {"shown": 140}, follow=True)
    assert (answer.status_code, "You have approved this already." in text_of(answer)) == (200, True)
    assert (Generation.objects.get().status, AuditEntry.objects.count()) == (Status.QUEUED, 1)
    assert ledger.totals(user=parked.owner, demo=False).held == 140


# -- rejecting --------------------------------------------------------------------------------------------------------


def test_a_rejection_gives_the_credits_back_and_tells_the_person_why(desk, client, parked, mara):
    assert reject(desk, parked).status_code == 302
    assert ledger.totals(user=mara, demo=False).held == 0
    client.force_login(mara)
    page = text_of(client.get(f"/g/{parked.pk}"))
    for words in ("Not approved", "Luc rejected it", "“Not this month”", "Rejected by Luc", "No. 0 credits."):
        assert words in page, words


@pytest.mark.parametrize("reason", ["", "  \n "])
def test_a_rejection_without_a_reason_comes_back_at_its_field(desk, parked, reason):
    answer = reject(desk, parked, reason, **HTMX)
    page = text_of(answer)
    assert (answer.status_code, f'id="reason-wrong-{parked.pk}">Say why' in page) == (422, True)
    assert "<details open" in page.replace(' class="open:order-2"', "")
    unchanged(parked)


# -- the page of the clip ---------------------------------------------------------------------------------------------


def test_a_parked_clips_page_says_who_decides_why_and_until_when(client, parked, mara):
    client.force_login(mara)
    page = text_of(client.get(f"/g/{parked.pk}"))
    for words in (
        "A manager of Northlight has to approve this",
        "Anything above 100 credits needs approval.",
        "it expires <time",
        "Asked for approval",
        "Gives the 140 credits back.",
    ):
        assert words in page, words
    assert client.post(f"/g/{parked.pk}/cancel").status_code == 302
    assert (Generation.objects.get().status, Approval.objects.get().verdict) == ("CANCELLED", "cancelled")


def test_a_managers_view_of_a_parked_clip_leads_to_the_decision(desk, parked):
    assert f"/approvals#request-{parked.pk}" in text_of(desk.get(f"/g/{parked.pk}"))


def test_the_story_tells_who_approved_and_that_it_expired(client, parked, luc, mara):
    approvals.approve(parked, luc, shown=140)
    client.force_login(mara)
    assert "Approved by Luc" in text_of(client.get(f"/g/{parked.pk}"))
    late = confirmed(mara)
    approvals.expire(timezone.now() + timedelta(days=8))
    page = text_of(client.get(f"/g/{late.pk}"))
    assert ("No manager decided about it in time." in page, "Expired" in page) == (True, True)


def test_a_parked_row_of_the_queue_says_what_it_waits_for(desk, parked):
    page = text_of(desk.get("/queue"))
    assert ("Needs approval" in page, "A manager decides" in page, "when approved" in page) == (True, True, True)
