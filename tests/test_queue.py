"""The queue: what renders, what waits, in which order, and why."""

import re
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generations import accounts, dispatch, ledger
from generations.models import (
    ApiAccount,
    ApiCall,
    Generation,
    LedgerEntry,
    Quote,
    Status,
    Submission,
    User,
)
from tests.makers import make_account, make_person

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> ApiAccount:
    return make_account()


@pytest.fixture
def mara(account) -> User:
    return make_person("mara@example.com")


def make(
    owner: User, status: str = Status.QUEUED, prompt: str = "A lone walker", price: int = 140, **fields
) -> Generation:
    account = ApiAccount.objects.earliest("pk")
    quote = Quote.objects.create(account=account, digest="d", billing={}, credits=price)
    if status != Status.QUEUED:
        fields = {"account": account, "sent_at": timezone.now() - timedelta(seconds=30), **fields}
    generation = Generation.objects.create(
        team=owner.teams.get(), owner=owner, nonce=uuid.uuid4(), mode="veo3", generation_type="text-to-video",
        params={}, price=price, quote=quote, prompt=prompt, status=status, **fields,
    )  # fmt: skip
    ledger.hold(generation)
    return generation


def make_returned(generation: Generation, said: str, attempt: int = 1) -> None:
    account = generation.quote.account
    Submission.objects.create(
        generation=generation, attempt=attempt, account=account, key=account.keys.get(), worker="w",
        deadline=timezone.now(), outcome=Submission.Outcome.RETURNED, upstream_words=said,
    )  # fmt: skip


def look(client, person: User, path: str = "/queue", **headers: str) -> str:
    client.force_login(person)
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def rows(page: str) -> list[str]:
    """The waiting list, each row in words."""
    return [words(row) for row in re.findall(r'<li id="waiting-\d+">(.*?)</li>', page, re.DOTALL)]


# -- the line ---------------------------------------------------------------------------------------------------------


def test_an_empty_queue_says_what_to_do(client, mara) -> None:
    page = words(look(client, mara))
    assert "Nothing waits" in page
    assert "sent at once" in page
    assert "0 of 3 busy" in page


def test_an_empty_queue_promises_nothing_while_the_account_is_paused(client, mara, account) -> None:
    accounts.set_account_open(account, False)
    page = words(look(client, mara))
    assert "New clips wait: paused by an admin." in page
    assert "sent at once" not in page


def test_the_list_is_in_the_order_in_which_it_will_be_sent(client, mara, account) -> None:
    luc = make_person("luc@example.com")
    for number in range(3):
        make(mara, prompt=f"mara {number}")
    make(luc, prompt="luc 0")
    line = [Generation.objects.get(pk=pk).prompt for pk in dispatch.line(demo=False)]
    shown = [re.search(r"(mara|luc) \d", row)[0] for row in rows(look(client, mara))]  # type: ignore[index]
    assert shown == line == ["mara 0", "luc 0", "mara 1", "mara 2"]


def test_each_row_has_its_place_price_and_reason(client, mara, account) -> None:
    for _ in range(3):
        make(make_person(f"p{uuid.uuid4().hex[:6]}@example.com"), Status.PROCESSING)
    make(mara, prompt="Steam over the counter", price=60)
    (row,) = rows(look(client, mara))
    assert row.startswith("1 Steam over the counter Veo 3.1 · 8 s · you All slots busy ready in ")
    assert "60 credits held" in row


def test_one_who_has_clips_running_goes_after_the_others(client, mara, account) -> None:
    make(mara, Status.PROCESSING)
    make(mara, prompt="mine")
    make(make_person("luc@example.com"), prompt="his")
    assert "Mara has one running Others go first" in rows(look(client, mara))[1]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"wait_why": "busy"}, "Veevid is busy tried again in"),
        ({"wait_why": "limit"}, "Veevid asks to wait tried again in"),
        ({"wait_why": "unreachable"}, "Veevid unreachable, nothing spent tried again in"),
        ({"state": "paused"}, "Paused by an admin"),
        ({"state": "suspended"}, "Account closed by Veevid"),
    ],
)
def test_what_holds_everything_up_is_said(client, mara, account, state, said) -> None:
    until = timezone.now() + timedelta(seconds=25) if "wait_why" in state else None
    ApiAccount.objects.update(wait_until=until, **state)
    make(mara)
    assert said in rows(look(client, mara))[0]


def test_used_up_requests_and_missing_keys_are_said(client, mara, account) -> None:
    make(mara)
    now = timezone.now()
    key = account.keys.get()
    ApiCall.objects.bulk_create(
        ApiCall(
            account=account,
            key=key,
            kind="status",
            at=now - timedelta(minutes=9),
            finished_at=now - timedelta(minutes=9),
        )
        for _ in range(195)
    )
    page = look(client, mara)
    assert "Hour's requests used" in rows(page.replace("&#x27;", "'"))[0]
    assert "195 of 200" in words(page)
    assert "Room for about 0 more clips this hour" in words(page)
    accounts.set_key_active(key, False)
    assert "No working key" in rows(look(client, mara))[0]


def test_out_of_credits_says_how_many_are_missing(client, mara, account) -> None:
    later = timezone.now() + timedelta(minutes=5)
    make_returned(make(mara, price=1320, wait_why="credits", not_before=later), "Needs 1320, has 12")
    (row,) = rows(look(client, mara))
    assert row.startswith("–")
    assert "Out of credits Needs 1,320 credits, has 12 after a top-up" in row


def test_every_page_tells_its_owner_and_the_admins_that_a_clip_waits_for_credits(client, mara, account) -> None:
    make(mara, price=1320, wait_why="credits", not_before=timezone.now() + timedelta(minutes=5))
    told = "A clip waits for credits: it needs 1,320 credits"
    admin = make_person("root@example.com", is_staff=True)
    for person, is_told in ((mara, True), (admin, True), (make_person("luc@example.com"), False)):
        client.force_login(person)
        assert (told in client.get("/").content.decode()) == is_told


def test_out_of_credits_the_last_attempts_words_count(client, mara, account) -> None:
    later = timezone.now() + timedelta(minutes=5)
    g = make(mara, price=320, wait_why="credits", not_before=later)
    make_returned(g, "Needs 320, has 12")
    make_returned(g, "Needs 320, has 99", attempt=2)
    assert "Needs 320 credits, has 99" in rows(look(client, mara))[0]


def test_a_long_line_out_of_credits_is_read_with_as_many_queries_as_a_short_one(client, mara, account) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            look(client, mara, "/queue/live", **{"HX-Request": "true"})
        return len(seen)

    def wait(number: int) -> None:
        later = timezone.now() + timedelta(minutes=5)
        for _ in range(number):
            make_returned(make(mara, wait_why="credits", not_before=later), "Needs 140, has 12")

    wait(2)
    queries()  # the first one signs in, too
    few = queries()
    wait(10)
    assert queries() == few


def test_a_clip_whose_price_could_not_be_asked_says_when_it_is_tried_again(client, mara) -> None:
    make(mara, not_before=timezone.now() + timedelta(seconds=55))
    assert "Its price is asked again tried again in 1 min" in rows(look(client, mara))[0]


def test_mine_shows_only_ones_own_with_their_real_places(client, mara, account) -> None:
    make(make_person("luc@example.com"), prompt="his")
    make(mara, prompt="mine")
    page = look(client, mara, "/queue?show=mine")
    assert [row[:6] for row in rows(page)] == ["2 mine"]
    assert 'hx-get="/queue/live?show=mine"' in page


def test_an_unknown_outcome_stands_apart_and_leads_to_its_page(client, mara) -> None:
    g = make(mara, Status.UNCONFIRMED, prompt="Rooftop garden", sent_at=timezone.now() - timedelta(minutes=12))
    page = look(client, mara)
    assert not rows(page)
    assert (
        "Rooftop garden Veo 3.1 · 8 s · you Outcome unknown A person decides: charged or not sent 12 min ago"
        in words(page)
    )
    assert f'href="/g/{g.pk}"' in page


# -- slots ------------------------------------------------------------------------------------------------------------


def test_a_slot_shows_who_and_how_long(client, mara) -> None:
    make(make_person("tomas@example.com"), Status.PROCESSING, prompt="Alpine Rail")
    page = words(look(client, mara))
    assert "1 of 3 busy" in page
    assert "Alpine Rail Tomas 0:30 elapsed" in page
    assert page.count("Free") == 2


def test_another_teams_clips_take_slots_and_places_but_are_not_named(client, mara) -> None:
    xeno = make_person("xeno@example.com", team="Elsewhere")
    make(xeno, Status.PROCESSING, prompt="secret one")
    make(xeno, prompt="secret two")
    make(mara, prompt="mine")
    page = look(client, mara)
    assert "secret" not in page
    assert "Xeno" not in page
    assert "Another team" in page
    assert "Places count 1 clip of other teams." in words(page)
    assert len(rows(page)) == 1


# -- cancelling, watching ---------------------------------------------------------------------------------------------


def test_one_cancels_ones_own_from_here_and_gets_the_hold_back(client, mara) -> None:
    g = make(mara)
    assert f'action="/g/{g.pk}/cancel"' in look(client, mara)
    assert client.post(f"/g/{g.pk}/cancel", {"next": "queue"}).headers["Location"] == "/queue"
    assert ledger.totals(user=mara, demo=False).held == 0
    assert LedgerEntry.objects.filter(kind=LedgerEntry.Kind.RELEASE).count() == 1


def test_only_a_manager_is_offered_to_cancel_what_is_not_theirs(client, mara) -> None:
    g = make(make_person("luc@example.com"))
    assert f"/g/{g.pk}/cancel" not in look(client, mara)
    assert f"/g/{g.pk}/cancel" in look(client, make_person("tomas@example.com", role="manager"))


def test_the_part_that_asks_for_itself_brings_the_count_along(client, mara) -> None:
    make(mara)
    part = look(client, mara, "/queue/live", **{"HX-Request": "true"})
    assert "<html" not in part
    assert 'id="queue"' in part
    assert re.search(r"data-queue-count hx-swap-oob[^>]*>1<", part)


def test_looking_at_the_queue_sends_nothing(client, mara, monkeypatch) -> None:
    def no(*_: object) -> None:
        raise AssertionError("a look at the queue must not ask upstream")

    monkeypatch.setattr(dispatch, "ask", no)
    make(mara, Status.PROCESSING)
    make(mara)
    look(client, mara)
    assert not ApiCall.objects.exists()


@pytest.mark.parametrize("path", ["/queue", "/queue/live"])
def test_strangers_do_not_see_the_queue(client, mara, path) -> None:
    assert client.get(path).headers["Location"] == f"/accounts/login/?next={path}"
    client.force_login(make_person("nobody@example.com", team=""))
    assert client.get(path).status_code == 403
