"""What people are told: each kind once, to whom it concerns, by the ways they chose, and as far as they may see it."""

import re
import uuid
from datetime import timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

import pytest
import responses
import time_machine
from django.core import mail
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone

from generations import approvals, budgets, ledger, lifecycle, notify, outbox, people, sending
from generations.models import (
    ApiAccount,
    ApiKey,
    Approval,
    ApprovalRule,
    BalanceReading,
    Budget,
    Clip,
    Delivery,
    Generation,
    Membership,
    Notification,
    NotificationChoice,
    SiteRules,
    Status,
    Sweep,
    Team,
    User,
)
from tests.makers import API, accepts, confirmed, make_account, make_person, status_is

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]


@pytest.fixture(autouse=True)
def swept_before(db) -> None:
    """The first sweep of all tells nothing of the past; what a test does comes after it."""
    notify.sweep(timezone.now() - timedelta(minutes=1))


@pytest.fixture
def account() -> ApiAccount:
    return make_account()


@pytest.fixture
def luc() -> User:
    return make_person("luc@example.com")


@pytest.fixture
def mara() -> User:
    return make_person("mara@example.com", role="manager")


@pytest.fixture
def ada() -> User:
    """An admin who is in no team."""
    return make_person("ada@example.com", team="", is_staff=True, is_superuser=True)


@pytest.fixture
def mailing(settings) -> None:
    settings.MAIL = True
    settings.SITE_URL = "https://dailies.example.com"


def told(user: User) -> list[str]:
    """What stands on this person's page, newest first."""
    client = Client()
    client.force_login(user)
    page = client.get("/notifications").content.decode()
    titles = re.findall(r'class="what"[^>]*>(.*?)</a>', page)
    return [re.sub(r"<[^>]+>", "", title).removeprefix("New: ") for title in titles]


def swept(times: int = 3) -> None:
    for _ in range(times):
        notify.sweep()


def send_out() -> None:
    while pks := outbox.due():
        for pk in pks:
            outbox.deliver(pk)


def parked(by: User, credits: int = 140) -> Generation:
    ApprovalRule.objects.get_or_create(team=by.teams.get(), above=100)
    return confirmed(by, credits)


# -- each kind ---------------------------------------------------------------------------------------------------------


def test_a_parked_request_is_told_to_whoever_may_approve_it_and_not_to_who_asked(account, luc, mara, ada):
    parked(luc)
    swept()
    assert told(mara) == told(ada) == ["Luc asks for 140 credits"]
    assert told(luc) == []


def test_a_manager_who_asks_is_not_asked(account, mara):
    parked(mara)
    swept()
    assert told(mara) == []


def test_an_approval_is_told_to_who_asked(account, luc, mara):
    generation = parked(luc)
    approvals.approve(generation, mara, 140)
    swept()
    assert told(luc) == ["Your request for 140 credits was approved by Mara"]
    assert told(mara) == []  # it was decided before anybody was told that it waits


def test_a_rejection_is_told_with_its_reason(account, luc, mara):
    approvals.reject(parked(luc), mara, "Use the shorter one")
    swept()
    assert told(luc) == ["Your request for 140 credits was rejected by Mara"]
    assert Notification.objects.get(user=luc).text == "“Use the shorter one” Nothing was charged."


def test_an_expired_request_is_told_to_who_asked(account, luc, mara):
    parked(luc)
    Approval.objects.update(expires_at=timezone.now())
    approvals.expire()
    swept()
    assert told(luc) == ["Your request for 140 credits expired"]


def test_a_failed_clip_is_told_to_its_owner_and_that_nothing_was_charged(account, luc, mara):
    generation = confirmed(luc)
    accepts()
    sending.submit(generation.pk, "w")
    Generation.objects.update(next_look_at=timezone.now())
    status_is(status="failed", error_message="No.", credits_used=0)
    lifecycle.look(generation.pk)
    swept()
    assert told(luc) == ["Your clip failed"]
    assert Notification.objects.get().text.endswith(". Nothing was charged.")
    assert told(mara) == []


def test_a_refused_clip_is_told_to_its_owner(account, luc):
    generation = confirmed(luc)
    responses.post(f"{API}/generate-video", json={"error": {"message": "Not this."}}, status=400)
    sending.submit(generation.pk, "w")
    swept()
    assert told(luc) == ["Your clip was refused by Veevid"]


def test_an_unknown_outcome_is_told_to_the_owner_and_to_managers(account, luc, mara, ada):
    generation = confirmed(luc)
    responses.post(f"{API}/generate-video", body="<html>", status=502)
    sending.submit(generation.pk, "w")
    swept()
    assert told(luc) == ["It is not known whether your clip was charged"]
    assert told(mara) == ["It is not known whether a clip of Luc was charged"]
    assert told(ada) == []


def test_a_clip_that_is_ready_is_told_to_who_wants_to_know(account, luc, mara):
    NotificationChoice.objects.create(user=luc, kind="ready", in_app=True, mail=False)
    for owner in (luc, mara):
        generation = confirmed(owner)
        Generation.objects.filter(pk=generation.pk).update(status=Status.COMPLETED, charged=140)
        Clip.objects.create(generation=generation, state=Clip.State.STORED, source_url="", stored_at=timezone.now())
    swept()
    assert told(luc) == ["Your clip is ready"]
    assert told(mara) == []


def test_clips_that_wait_for_credits_are_told_to_their_owner_and_to_admins(account, luc, mara, ada):
    generation = confirmed(luc)
    responses.post(f"{API}/generate-video", json={"error": {"message": "x"}, "required": 140, "balance": 3}, status=402)
    sending.submit(generation.pk, "w")
    assert Generation.objects.get().wait_why == "credits"
    swept()
    assert told(luc) == ["Your clips wait for credits"]
    assert "A clip waits for credits" in told(ada)
    assert told(mara) == []


def test_a_refused_key_and_a_suspended_account_are_told_to_admins(account, mara, ada):
    ApiKey.objects.update(state=ApiKey.State.REFUSED)
    ApiAccount.objects.update(state=ApiAccount.State.SUSPENDED)
    swept()
    assert sorted(told(ada)) == ["Veevid refuses the key vv_sk_…abcd of Veevid", "Veevid suspended Veevid"]
    assert told(mara) == []


def test_books_that_do_not_agree_are_told_to_admins(account, mara, ada):
    before, after = (BalanceReading.objects.create(account=account, credits=c) for c in (5000, 4700))
    ledger.outside(before, after, 300)
    swept()
    assert told(ada) == ["300 credits left Veevid, not spent by Dailies"]
    assert told(mara) == []


# -- budgets -----------------------------------------------------------------------------------------------------------


def used(team: Team, user: User, credits: int) -> None:
    ledger.hold(make_row(team, user, credits))


def make_row(team: Team, user: User, credits: int) -> Generation:
    first = Generation.objects.first() or confirmed(user, 1)
    same = {name: getattr(first, name) for name in ("quote", "mode", "generation_type", "params", "prompt")}
    return Generation.objects.create(team=team, owner=user, price=credits, nonce=uuid.uuid4(), day=team.day(), **same)


def test_a_budget_is_told_of_at_four_fifths_and_when_it_is_used_up(account, luc, mara):
    team = luc.teams.get()
    Budget.objects.create(team=team, user=luc, credits=1000)
    used(team, luc, 790)  # and 1 of the row it is made like
    swept()
    assert told(luc) == told(mara) == []
    used(team, luc, 9)
    swept()
    assert told(luc) == ["Your budget this month is 80 % used"]
    assert told(mara) == ["Budget of Luc this month is 80 % used"]
    used(team, luc, 200)
    swept()
    assert told(luc) == ["Your budget this month is used up", "Your budget this month is 80 % used"]


def test_a_budget_that_goes_below_a_line_and_over_it_again_is_told_once_a_window(account, luc, mara):
    team = luc.teams.get()
    Budget.objects.create(team=team, credits=1000, window="week")
    used(team, luc, 890)
    swept()
    big = make_row(team, luc, 500)
    ledger.hold(big)
    swept()
    ledger.release(big, "cancelled")
    swept()
    used(team, luc, 500)
    swept()
    titles = ["Budget of Northlight this week is used up", "Budget of Northlight this week is 89 % used"]
    assert told(mara) == titles
    assert told(luc) == []


def test_in_the_next_window_a_budget_is_told_of_again(account, luc, mara):
    team = luc.teams.get()
    Budget.objects.create(team=team, credits=1000, window="day")
    used(team, luc, 1000)
    swept()
    with time_machine.travel(timezone.now() + timedelta(days=1)):
        used(team, luc, 700)
        swept()
        assert len(told(mara)) == 1
        used(team, luc, 300)
        swept()
        assert len(told(mara)) == 2


def test_a_raised_budget_has_new_lines_to_cross(account, luc, mara):
    team = luc.teams.get()
    budget = Budget.objects.create(team=team, credits=1000)
    used(team, luc, 1000)
    swept()
    Budget.objects.filter(pk=budget.pk).update(credits=1200)
    swept()
    assert told(mara) == ["Budget of Northlight this month is 83 % used", "Budget of Northlight this month is used up"]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("window", ["day", "week", "month", "total"])
def test_the_sweep_counts_budgets_as_confirmations_do(account, luc, window, zone):
    Team.objects.update(time_zone=zone)
    team = luc.teams.get()
    budget = Budget.objects.create(team=team, user=luc, credits=100, window=window)
    used(team, luc, 90)
    [room] = budgets.nearly_used(False, timezone.now(), timezone.now() - timedelta(minutes=1))
    assert (room.used, room.held) == (budgets.room(budget, team.day(), False).used, 91)


# -- the balance -------------------------------------------------------------------------------------------------------


def reading(account: ApiAccount, credits: int) -> None:
    BalanceReading.objects.create(account=account, credits=credits)


def test_a_low_balance_is_told_once_and_again_when_it_falls_again_later(account, ada):
    SiteRules.objects.create(pk=1, low_balance=400)
    start = timezone.now()
    for minutes, credits, often in ((1, 900, 0), (2, 300, 1), (3, 250, 1), (4, 900, 1), (20, 900, 1), (21, 100, 2)):
        reading(account, credits)
        for _ in range(2):
            notify.sweep(start + timedelta(minutes=minutes))
        assert len(told(ada)) == often, minutes
    assert told(ada)[0] == "Veevid has 100 credits left"


def test_a_balance_around_the_line_is_not_told_again_and_again(account, ada):
    start = timezone.now()
    for minute in range(8):
        reading(account, 510 if minute % 2 else 490)
        notify.sweep(start + timedelta(minutes=minute))
    assert len(told(ada)) == 1


def test_admins_say_what_is_low(account, ada):
    reading(account, 300)
    client = Client()
    client.force_login(ada)
    client.post("/settings/low-balance", {"low_balance": "200"})
    swept()
    assert told(ada) == []
    answer = client.post("/settings/low-balance", {"low_balance": "-4"})
    assert answer.status_code == 422
    assert "Type a whole number of credits" in answer.content.decode()
    client.post("/settings/low-balance", {"low_balance": "1,000"})
    swept()
    assert told(ada) == ["Veevid has 300 credits left"]


# -- once --------------------------------------------------------------------------------------------------------------


def test_the_database_itself_takes_no_second_one(account, luc):
    row = {"user": luc, "kind": "failed", "key": "failed:1", "audience": "own", "title": "x"}
    Notification.objects.create(**row)
    with pytest.raises(IntegrityError):
        Notification.objects.create(**row)


def test_the_first_sweep_of_all_tells_nothing_of_the_past(account, luc, mara):
    Sweep.objects.all().delete()
    approvals.reject(parked(luc), mara, "no")
    swept()
    assert told(luc) == []


def test_nothing_is_lost_while_no_sweep_comes_for_days(account, luc, mara):
    approvals.reject(parked(luc), mara, "no")
    notify.sweep(timezone.now() + timedelta(days=3))
    assert len(told(luc)) == 1


@pytest.mark.parametrize("number", [1, 30])
def test_a_sweep_takes_the_same_number_of_queries_however_much_there_is(
    number, account, luc, mara, ada, django_assert_max_num_queries
):
    team = luc.teams.get()
    for each in range(number):
        Budget.objects.create(team=team, user=make_person(f"p{each}@example.com"), credits=1)
        row = parked(luc) if each == 0 else make_row(team, luc, 140)
        Generation.objects.filter(pk=row.pk).update(status=Status.UNCONFIRMED, attempt=1)
        fails = make_row(team, luc, 10)
        Generation.objects.filter(pk=fails.pk).update(status=Status.FAILED, finished_at=timezone.now())
    with django_assert_max_num_queries(40) as queries:
        notify.sweep()
    print(f"\n{number} of each: {len(queries)} queries for {Notification.objects.count()} notifications")
    assert len(queries) == SWEEP_QUERIES


SWEEP_QUERIES = 28


# -- who may still see it ----------------------------------------------------------------------------------------------


def test_who_left_the_team_sees_and_is_mailed_nothing_more_of_it(account, luc, mara, mailing):
    approvals.reject(parked(luc), mara, "no")
    swept()
    assert len(told(luc)) == 1
    people.remove(mara, Membership.objects.get(user=luc), {})
    assert told(luc) == []
    send_out()
    assert mail.outbox == []
    assert Delivery.objects.get(notification__user=luc).state == "dropped"


def test_who_left_before_is_not_told(account, luc, mara):
    generation = confirmed(luc)
    people.remove(mara, Membership.objects.get(user=luc), {})
    Generation.objects.filter(pk=generation.pk).update(status=Status.FAILED, finished_at=timezone.now())
    swept()
    assert not Notification.objects.filter(user=luc).exists()


def test_a_manager_who_is_one_no_more_sees_nothing_that_managers_are_told(account, luc, mara):
    parked(luc)
    swept()
    Membership.objects.filter(user=mara).update(role="viewer")
    assert told(mara) == []


def test_nobody_opens_or_reads_what_another_was_told(account, luc, mara):
    approvals.reject(parked(luc), mara, "no")
    swept()
    pk = Notification.objects.get(user=luc).pk
    client = Client()
    client.force_login(mara)
    assert client.get(f"/notifications/{pk}").status_code == 404
    assert client.post(f"/notifications/{pk}/read").status_code == 404
    assert Notification.objects.get(pk=pk).read_at is None


# -- the page ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(luc) -> Client:
    client = Client()
    client.force_login(luc)
    return client


def many(luc: User, number: int) -> None:
    row = {"user": luc, "kind": "failed", "audience": "own", "team": luc.teams.get()}
    Notification.objects.bulk_create(Notification(**row, key=f"k{n}", title=f"Clip {n}") for n in range(number))


def test_the_bell_counts_what_is_unread(luc, desk):
    many(luc, 3)
    assert '3<span class="sr-only"> unread</span>' in desk.get("/queue").content.decode()
    desk.post(f"/notifications/{Notification.objects.latest('pk').pk}/read")
    assert '2<span class="sr-only"> unread</span>' in desk.get("/queue").content.decode()


def test_following_a_notification_leads_to_its_clip_and_reads_it(account, luc, desk):
    generation = confirmed(luc)
    Generation.objects.filter(pk=generation.pk).update(status=Status.FAILED, finished_at=timezone.now())
    swept()
    pk = Notification.objects.get().pk
    answer = desk.get(f"/notifications/{pk}")
    assert answer.headers["Location"] == f"/g/{generation.pk}"
    assert Notification.objects.get().read_at is not None


def test_reading_all_leaves_what_came_meanwhile(luc, desk):
    many(luc, 3)
    until = Notification.objects.order_by("pk")[1].pk
    desk.post("/notifications/read", {"until": until})
    assert list(Notification.objects.filter(read_at=None).values_list("title", flat=True)) == ["Clip 2"]


def test_the_page_goes_on_from_the_last_one_shown(luc, desk):
    many(luc, 70)
    seen, url = [], "/notifications"
    while url:
        page = desk.get(url).content.decode()
        seen += re.findall(r"Clip \d+(?=</a>)", page)
        more = re.search(r'href="(/notifications\?after=\d+)"', page)
        url = more[1] if more else ""
    assert seen == [f"Clip {n}" for n in range(69, -1, -1)]


@pytest.mark.parametrize("after", ["x", "-1", "9" * 30, "²"])
def test_a_place_that_is_none_shows_the_newest(luc, desk, after):
    many(luc, 1)
    answer = desk.get("/notifications", {"after": after})
    assert answer.status_code == 200
    assert "Clip 0" in answer.content.decode()


def test_the_empty_page_says_what_will_be_there(desk):
    assert "Nothing to tell you yet" in desk.get("/notifications").content.decode()


# -- by mail, and what one chooses -------------------------------------------------------------------------------------


def test_a_mail_says_what_happened_and_where(account, luc, mara, mailing):
    approvals.reject(parked(luc), mara, "Use the shorter one")
    swept()
    send_out()
    [letter] = mail.outbox
    assert letter.to == ["luc@example.com"]
    assert letter.subject == "Dailies: Your request for 140 credits was rejected by Mara"
    assert "Use the shorter one" in letter.body
    assert f"https://dailies.example.com/g/{Generation.objects.get().pk}" in letter.body
    assert "A lone walker" not in letter.body  # a prompt may be confidential
    send_out()
    assert len(mail.outbox) == 1


def test_without_a_mail_server_nothing_is_put_into_the_outbox(account, luc, mara):
    approvals.reject(parked(luc), mara, "no")
    swept()
    assert not Delivery.objects.exists()
    assert len(told(luc)) == 1


@pytest.mark.parametrize(("ways", "page", "mails"), [("in_app", 1, 0), ("mail", 0, 1), ("", 0, 0)])
def test_each_person_chooses_the_ways(account, luc, mara, mailing, desk, ways, page, mails):
    desk.post("/you/notifications", {ways: ["decided"]} if ways else {})
    approvals.reject(parked(luc), mara, "no")
    swept()
    send_out()
    assert (len(told(luc)), len(mail.outbox)) == (page, mails)
    assert len(told(mara)) == 0


def test_the_choices_stand_on_ones_own_page_as_they_were_made(luc, desk, mara):
    desk.post("/you/notifications", {"in_app": ["ready"], "mail": ["failed"]})
    page = desk.get("/you").content.decode()
    assert re.findall(r'name="(in_app|mail)" value="(\w+)" checked', page) == [("mail", "failed"), ("in_app", "ready")]
    assert "A request waits for your approval" not in page
    client = Client()
    client.force_login(mara)
    assert "A request waits for your approval" in client.get("/you").content.decode()


def test_kinds_that_do_not_exist_or_are_for_others_are_not_kept(luc, desk):
    desk.post("/you/notifications", {"in_app": ["balance", "nonsense"], "mail": ["key"]})
    assert not NotificationChoice.objects.exclude(in_app=False, mail=False).exists()
    assert not NotificationChoice.objects.filter(kind__in=["balance", "key", "nonsense"]).exists()


def test_a_mail_server_that_is_away_is_tried_again_later(account, luc, mara, mailing, monkeypatch):
    approvals.reject(parked(luc), mara, "no")
    notify.sweep()
    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", refuse(ConnectionRefusedError()))
    [pk] = outbox.due()
    outbox.deliver(pk)
    assert outbox.due() == []
    monkeypatch.undo()
    later = timezone.now() + timedelta(seconds=31)
    assert outbox.due(later) == [pk]
    outbox.deliver(pk, later)
    assert Delivery.objects.get().state == "sent"


def test_one_address_that_is_refused_does_not_hold_the_others_up(account, luc, mara, mailing, monkeypatch):
    noor = make_person("noor@example.com")
    for owner in (luc, noor):
        approvals.reject(parked(owner), mara, "no")
    notify.sweep()
    real = mail.get_connection().__class__.send_messages

    def send(self: Any, letters: Any) -> Any:
        if letters[0].to == ["luc@example.com"]:
            raise SMTPRecipientsRefused({"luc@example.com": (550, b"no such user")})
        return real(self, letters)

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", send)
    send_out()
    assert [letter.to for letter in mail.outbox] == [["noor@example.com"]]
    assert Delivery.objects.get(notification__user=luc).state == "waiting"


def refuse(error: Exception) -> Any:
    def send(*_: Any) -> None:
        raise error

    return send


# -- what goes ---------------------------------------------------------------------------------------------------------


def test_old_ones_are_forgotten_but_what_could_be_told_again_is_kept(account, luc, mara):
    approvals.reject(parked(luc), mara, "no")
    Budget.objects.create(team=luc.teams.get(), credits=1, window="total")
    used(luc.teams.get(), luc, 50)
    swept()
    notify.sweep(timezone.now() + timedelta(days=99))
    notify.forget(timezone.now() + timedelta(days=100))
    assert {row.kind for row in Notification.objects.all()} == {"budget"}
    notify.sweep(timezone.now() + timedelta(days=100))
    assert Notification.objects.count() == 1
