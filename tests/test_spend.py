"""Spend: what the pages say is what the ledger holds."""

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generations import accounts, ledger, reports
from generations.models import (
    ApiAccount,
    BalanceReading,
    Generation,
    LedgerEntry,
    Membership,
    Quote,
    Status,
    Team,
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


@pytest.fixture
def manager(account) -> User:
    return make_person("tomas@example.com", role="manager")


def make_held(owner: User, price: int = 100, mode: str = "veo3", at: datetime | None = None, **fields) -> Generation:
    """A generation with its hold, on the first account unless another is given."""
    account = fields.pop("account", None) or ApiAccount.objects.earliest("pk")
    quote = Quote.objects.create(account=account, digest="d", billing={}, credits=price)
    generation = Generation.objects.create(
        team=fields.pop("team", None) or owner.teams.get(), owner=owner, nonce=uuid.uuid4(), mode=mode,
        generation_type="text-to-video", params={}, price=price, quote=quote, prompt=f"{mode} for {price}",
        day=timezone.localdate(at), **fields,
    )  # fmt: skip
    _move(ledger.hold(generation), at)
    return generation


def settle(
    generation: Generation, credits: int | None, status: str = Status.COMPLETED, at: datetime | None = None
) -> None:
    """The end: charged so much, or with None given back."""
    Generation.objects.filter(pk=generation.pk).update(status=status, charged=credits)
    generation.status = status
    _move(ledger.release(generation, "x") if credits is None else ledger.capture(generation, credits), at)


def _move(entry: LedgerEntry, at: datetime | None) -> None:
    if at:  # the books refuse changes: this is the past of a test
        with connection.cursor() as cursor:
            cursor.execute("UPDATE generations_ledgerentry SET at = %s WHERE id = %s", [at, entry.pk])


def last_month() -> datetime:
    return ledger.month_start() - timedelta(days=10)


def figures(page: str) -> dict[str, str]:
    """What the row of key figures says: label -> figure and the line under it."""
    cells = re.findall(r'<div class="kpi[^"]*"><div class="over">(.*?)</div>(.*?)</div>', page, re.DOTALL)
    return {label: " ".join(re.sub(r"<[^>]+>", " ", rest).split()) for label, rest in cells}


def look(client, person: User, query: str = "") -> str:
    client.force_login(person)
    answer = client.get(f"/spend{query}")
    assert answer.status_code == 200
    return answer.content.decode()


# -- one's own --------------------------------------------------------------------------------------------------------


def test_the_figures_are_the_sums_of_the_ledger(client, account, mara) -> None:
    settle(make_held(mara, 250), 250)
    settle(make_held(mara, 140), 132)  # less than was held
    settle(make_held(mara, 60), 70)  # more
    settle(make_held(mara, 620), None, Status.FAILED)
    settle(make_held(mara, 48), 8, Status.FAILED)  # failed, and charged in part
    settle(make_held(mara, 20), None, Status.CANCELLED)
    make_held(mara, 1000)
    BalanceReading.objects.create(account=account, credits=12480)
    assert figures(look(client, mara)) == {
        "Spent": "460 credits 3 clips, 153 credits each",
        "Held now": "1,000 credits 1 clip under way",
        "Failed": "8 credits 2 failed, 660 credits back",
        "Balance": "12,480 credits shared, read just now",
    }
    totals = ledger.totals(user=mara, since=ledger.month_start(), demo=False)
    assert (totals.spent, totals.held) == (460, 1000)


def test_the_table_shows_what_the_figures_are_made_of(client, mara) -> None:
    settle(make_held(mara, 250, "kling-3"), 250)
    settle(make_held(mara, 620, "wan-2-6"), None, Status.FAILED)
    held = make_held(mara, 1000, "sora2")
    page = " ".join(re.sub(r"<[^>]+>", " ", look(client, mara)).split())
    assert "Kling 3.0" in page
    assert "250 charged" in page
    assert "0 charged 620 given back" in page
    assert "1,000 held" in page
    assert f'href="/g/{held.pk}"' in look(client, mara)


def test_each_month_shows_what_was_settled_in_it(client, mara) -> None:
    old = make_held(mara, 100, at=last_month())
    settle(old, 90, at=last_month())
    still_held = make_held(mara, 30, at=last_month())
    this, before = look(client, mara), look(client, mara, f"?month={last_month():%Y-%m}")
    assert figures(this)["Spent"].startswith("0 credits")
    assert figures(before)["Spent"].startswith("90 credits")
    assert f"/g/{old.pk}" in before
    assert f"/g/{old.pk}" not in this
    assert f"/g/{still_held.pk}" in this
    assert f"month={last_month():%Y-%m}" in this


@pytest.mark.parametrize("text", ["", "x", "2026-13", "2026-00", "2999-01", "-1", "2026-1", "٢٠٢٦-٠١", "2026-11-01"])
def test_what_is_no_month_is_this_one(client, mara, text) -> None:
    assert f"{timezone.localtime():%B %Y}" in look(client, mara, f"?month={text}")


def test_months_are_calendar_months() -> None:
    february = reports.Month.read("2028-02", datetime(2028, 4, 30, tzinfo=UTC))
    assert (february.days, february.before().text, february.after().text) == (29, "2028-01", "2028-03")
    assert not february.running
    december = reports.Month.read("", datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    assert (december.text, december.end, december.running) == ("2026-12", datetime(2027, 1, 1, tzinfo=UTC), True)


def test_many_rows_come_in_pages(client, mara) -> None:
    for number in range(51):
        settle(make_held(mara, number + 1), number + 1)
    assert "Page 1 of 2" in look(client, mara)
    assert look(client, mara, "?page=2").count("charged</span>") == 1
    assert "Page 2 of 2" in look(client, mara, "?page=99")
    assert "Page 1 of 2" in look(client, mara, "?page=x")


def test_nobody_elses_spend_is_among_ones_own(client, mara, manager) -> None:
    settle(make_held(manager, 500), 500)
    page = look(client, mara)
    assert figures(page)["Spent"].startswith("0 credits")
    assert "Nothing of yours" in page


def test_what_the_simulator_charged_is_not_mixed_with_money(client, mara, settings) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:9/api"
    accounts.ensure_demo()
    settle(make_held(mara, 77, account=ApiAccount.objects.get(demo=True)), 77)
    settle(make_held(mara, 5), 5)
    assert figures(look(client, mara))["Spent"].startswith("5 credits")


# -- the team's -------------------------------------------------------------------------------------------------------


def test_a_member_does_not_see_what_others_spend(client, mara, manager) -> None:
    client.force_login(mara)
    assert client.get("/spend?view=team").status_code == 403
    assert "By person" not in look(client, mara)
    assert "?view=team" not in look(client, mara)


def test_an_anonymous_visitor_signs_in_first(client, mara) -> None:
    assert client.get("/spend").headers["Location"] == "/accounts/login/?next=/spend"


def test_a_manager_sees_everybody_of_the_team_most_spent_first(client, mara, manager) -> None:
    make_person("luc@example.com", role="viewer")
    settle(make_held(mara, 300, "kling-3"), 300)
    settle(make_held(mara, 100, "veo3"), 100)
    settle(make_held(manager, 100, "veo3"), 100)
    page = look(client, manager)
    names = re.findall(r"</span>(Mara|Tomas|Luc)</span></th>", page)
    assert names == ["Mara", "Tomas", "Luc"]
    assert 'aria-label="80 % of the team’s spend"' in page
    assert figures(page)["Spent"] == "500 credits 3 clips, 167 credits each"


def test_the_chart_and_its_table_say_the_same(client, mara, manager) -> None:
    settle(make_held(mara, 300, "kling-3"), 300)
    settle(make_held(mara, 100, "veo3"), 90)
    today = f"{timezone.localtime():%-d %B}"
    page = look(client, manager)
    assert f"<title>{today}: 390 credits</title>" in page
    row = re.search(rf"<tr><th[^>]*>{today}</th>(.*?)</tr>", page, re.DOTALL)
    assert row
    assert re.findall(r">(\d+)<", row[1]) == ["300", "90", "390"]
    assert "viewBox" not in page[page.index('class="chart"') : page.index("By person")]


def test_more_than_five_models_are_one_other(client, mara, manager) -> None:
    for price, mode in enumerate(["veo3", "kling-3", "kling-2-6", "sora2", "wan-2-6", "ltx-2-3", "grok-imagine"], 1):
        settle(make_held(mara, price, mode), price)
    page = look(client, manager)
    legend = re.findall(r'<rect class="s\d" width="10" height="10"/></svg>([^<]+)</span>', page)
    assert legend == ["Grok Imagine", "LTX 2.3", "Wan 2.6", "Sora 2", "Kling 2.6", "Other"]


def test_an_admin_sees_the_team_that_is_chosen(client, account, mara) -> None:
    elsewhere = make_person("xeno@example.com", team="Elsewhere")
    settle(make_held(elsewhere, 900), 900)
    settle(make_held(mara, 40), 40)
    admin = make_person("root@example.com", role="viewer", is_staff=True, is_superuser=True)
    page = look(client, admin)
    assert figures(page)["Spent"].startswith("40 credits")
    assert "Xeno" not in page


def test_a_person_who_left_the_team_is_still_in_its_books(client, mara, manager) -> None:
    settle(make_held(mara, 40), 40)
    Membership.objects.filter(user=mara).delete()
    assert "Mara" in look(client, manager)


def test_a_month_without_spending_says_so(client, manager) -> None:
    page = look(client, manager)
    assert "Nothing spent in" in page
    assert "Nothing was spent lately" in page


def test_how_long_the_balance_lasts_follows_the_pace(account, mara) -> None:
    now = timezone.now()
    settle(make_held(mara, 500, at=now - timedelta(days=10)), 500, at=now - timedelta(days=10))
    assert reports.days_left(1000, demo=False, now=now) == 20
    assert reports.days_left(1000, demo=True, now=now) is None


@pytest.mark.parametrize("query", ["?view=team", "?view=mine"])
def test_a_full_month_takes_no_more_queries_than_an_empty_one(client, mara, manager, query) -> None:
    settle(make_held(manager, 10), 10)
    look(client, manager, query)
    with CaptureQueriesContext(
        connection,
    ) as few:
        look(client, manager, query)
    people = [make_person(f"p{number}@example.com") for number in range(5)]
    for person in [*people, manager]:
        for mode in ("kling-3", "wan-2-6", "sora2"):
            settle(make_held(person, 20, mode, team=Team.objects.get()), 20)
    with CaptureQueriesContext(connection) as many:
        look(client, manager, query)
    print(f"spend{query}: {len(many)} queries")
    assert len(many) <= len(few)
