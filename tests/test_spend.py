"""Spend: what the pages and the CSV say is what the ledger holds, of any part that is asked for."""

import csv
import io
import random
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generations import accounts, books, ledger, reports
from generations.models import (
    ApiAccount,
    BalanceReading,
    Budget,
    Collection,
    CollectionItem,
    Favourite,
    Generation,
    LedgerEntry,
    Mark,
    Membership,
    Project,
    Quote,
    Status,
    Team,
    User,
)
from generations.views import chart, export
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
        generation_type="text-to-video", params={}, price=price, quote=quote,
        prompt=fields.pop("prompt", f"{mode} for {price}"),
        day=timezone.localdate(at), created_at=at or timezone.now(), **fields,
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


def lines(client, person: User, query: str = "") -> list[dict[str, str]]:
    """What a person downloads."""
    client.force_login(person)
    answer = client.get(f"/spend.csv{query}")
    assert answer.status_code == 200
    text = b"".join(answer.streaming_content).decode()
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


def charged(rows: list[dict[str, str]]) -> int:
    return sum(int(row["Charged credits"]) for row in rows)


def table(page: str) -> dict[str, int]:
    """The breakdown: each line's name and its credits."""
    section = page[page.index("Share, by model") :]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td class="r wide">.*?</td><td class="r">([\d,]+)</td>', section)
    return {
        re.sub(r"<span class=\"face.*?</span>|<[^>]+>", "", name): int(figure.replace(",", "")) for name, figure in rows
    }


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


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
        "Spent": "460 credits 3 clips, 151 credits each",
        "Held now": "1,000 credits 1 clip under way",
        "Failed": "8 credits 2 failed clips",
        "Rejected": "0 credits No clip marked so",
        "Never kept": "0 credits 0 clips: 14 days old, not marked, nobody’s favourite, in no collection, never shared",
        "Quoted": "498 credits 38 less charged",
        "Balance": "12,480 credits shared, read just now",
    }
    totals = ledger.totals(user=mara, since=ledger.month_start(), demo=False)
    assert (totals.spent, totals.held) == (460, 1000)


def test_the_table_shows_what_the_figures_are_made_of(client, mara) -> None:
    settle(make_held(mara, 250, "kling-3"), 250)
    settle(make_held(mara, 620, "wan-2-6"), None, Status.FAILED)
    held = make_held(mara, 1000, "sora2")
    page = look(client, mara)
    assert "Kling 3.0" in page
    assert "250 charged" in text_of(page)
    assert "0 charged 620 given back" in text_of(page)
    assert "1,000 held" in text_of(page)
    assert f'href="/g/{held.pk}"' in page


def test_a_clip_counts_on_the_day_of_its_confirmation(client, mara) -> None:
    old = make_held(mara, 100, at=last_month())
    settle(old, 90)  # now
    make_held(mara, 30, at=last_month())
    first = ledger.month_start().date() - timedelta(days=31)
    this, before = look(client, mara), look(client, mara, f"?from={first}&to={ledger.month_start().date()}")
    assert figures(this)["Spent"].startswith("0 credits")
    assert figures(this)["Held now"] == "0 credits Nothing under way, 30 credits more on other days"
    assert figures(before)["Spent"].startswith("90 credits")
    assert figures(before)["Held now"] == "30 credits 1 clip under way"
    assert f"/g/{old.pk}" in before
    assert f"/g/{old.pk}" not in this


def test_budgets_say_what_is_left_of_them(client, mara) -> None:
    team = mara.teams.get()
    Budget.objects.create(team=team, user=mara, credits=1000)
    Budget.objects.create(team=team, credits=600)
    Budget.objects.create(team=team, user=make_person("luc@example.com"), credits=77777)
    settle(make_held(mara, 550), 550)
    make_held(mara, 100)
    page = text_of(look(client, mara))
    assert "Your budget this month 350 credits left 550 spent, 100 held of 1,000 credits" in page
    assert "Northlight budget this month 50 credits over 550 spent, 100 held of 600 credits Used up" in page
    assert "77,777" not in page


def test_many_rows_come_in_pages(client, mara) -> None:
    for number in range(51):
        settle(make_held(mara, number + 1), number + 1)
    assert "Page 1 of 2" in look(client, mara)
    assert look(client, mara, "?page=2").count("charged</span>") == 1
    assert "Page 2 of 2" in look(client, mara, "?page=99")
    assert "Page 1 of 2" in look(client, mara, "?page=x")


def test_nobody_elses_spend_is_among_ones_own(client, mara, manager) -> None:
    settle(make_held(manager, 500), 500)
    page = look(client, mara, f"?person={manager.pk}")
    assert figures(page)["Spent"].startswith("0 credits")
    assert "Nothing of yours" in page
    assert lines(client, mara, f"?person={manager.pk}") == []


def test_what_the_simulator_charged_is_not_mixed_with_money(client, mara, settings) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:9/api"
    accounts.ensure_demo()
    settle(make_held(mara, 77, account=ApiAccount.objects.get(demo=True)), 77)
    settle(make_held(mara, 5), 5)
    assert figures(look(client, mara))["Spent"].startswith("5 credits")
    assert charged(lines(client, mara)) == 5


# -- which days -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=2026-10-01&to=2026-10-31", "October 2026"),
        ("from=2026-10-03&to=2026-10-09", "3–9 October 2026"),
        ("from=2026-10-03&to=2026-10-03", "3 October 2026"),
        ("from=2026-10-03&to=2026-11-09", "3 October – 9 November 2026"),
        ("from=2025-10-03&to=2026-11-09", "3 October 2025 – 9 November 2026"),
        ("from=2024-01-01&to=2024-12-31", "2024"),
        ("to=2026-10-09", "1–9 October 2026"),
    ],
)
def test_a_range_is_said_in_words(client, mara, query, words) -> None:
    assert f">{words}<" in look(client, mara, f"?{query}")


@pytest.mark.parametrize(
    "text", ["x", "2026-13-01", "2026-02-30", "-1", "2026-1-1", "٢٠٢٦-٠١-٠١", "0001-01-01", "\x00"]
)
def test_what_is_no_day_is_said_and_this_month_is_shown(client, mara, text) -> None:
    page = look(client, mara, f"?from={text}")
    assert "is no day such as" in page
    assert f">{timezone.localtime():%B %Y}<" in page


def test_days_in_the_wrong_order_are_said(client, mara) -> None:
    assert "The first day lies after the last one" in look(client, mara, "?from=2026-10-02&to=2026-10-01")


@pytest.mark.parametrize(("days", "step"), [(31, "day"), (200, "week"), (800, "month")])
def test_the_longer_the_range_the_larger_the_steps_of_the_chart(client, mara, days, step) -> None:
    first = timezone.now() - timedelta(days=days - 1)
    settle(make_held(mara, 70, at=first), 70)
    settle(make_held(mara, 30), 30)
    page = look(client, mara, f"?from={first.date()}&to={timezone.localdate()}")
    assert f"By {step} and model" in page
    drawn = re.findall(r"<title>[^<]*: ([\d,]+) credits</title>", page)
    assert sorted(figure for figure in drawn if figure != "0") == ["30", "70"]


# -- the team's -------------------------------------------------------------------------------------------------------


def test_a_member_does_not_see_what_others_spend(client, mara, manager) -> None:
    client.force_login(mara)
    assert client.get("/spend?view=team").status_code == 403
    assert client.get("/spend.csv?view=team").status_code == 403
    assert "By person" not in look(client, mara)
    assert "?view=team" not in look(client, mara)


@pytest.mark.parametrize("path", ["/spend", "/spend.csv"])
def test_an_anonymous_visitor_signs_in_first(client, mara, path) -> None:
    assert client.get(path).headers["Location"] == f"/accounts/login/?next={path}"


def test_a_manager_sees_everybody_of_the_team_most_spent_first(client, mara, manager) -> None:
    make_person("luc@example.com", role="viewer")
    settle(make_held(mara, 300, "kling-3"), 300)
    settle(make_held(mara, 100, "veo3"), 100)
    settle(make_held(manager, 100, "veo3"), 100)
    page = look(client, manager)
    assert list(table(page).items()) == [("Mara", 400), ("Tomas", 100), ("Luc", 0)]
    assert 'aria-label="80 % of all"' in page
    assert figures(page)["Spent"] == "500 credits 3 clips, 167 credits each"


@pytest.mark.parametrize("day", range(1, 31))
def test_the_words_under_the_chart_keep_apart_on_a_phone(day) -> None:
    first, today = date(2026, 11, 1), date(2026, 11, day)
    drawn = chart.draw([(first, "veo3", 5)], first, date(2026, 11, 30), {"veo3": "s1"}, {}, today)
    assert drawn
    assert [words for _, words, _, now in drawn.labels if now] == ["Today"]
    middles = [float(x) - (6.5 if anchor == "end" else 0) for x, _, anchor, _ in drawn.labels]
    assert all(after - before > 12.5 for before, after in pairwise(middles)), "a word is an eighth of a phone's chart"


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


def test_a_person_who_left_the_team_is_still_in_its_books(client, mara, manager) -> None:
    settle(make_held(mara, 40), 40)
    Membership.objects.filter(user=mara).delete()
    assert table(look(client, manager)) == {"Mara": 40, "Tomas": 0}


def test_a_month_without_spending_says_so(client, manager) -> None:
    page = look(client, manager)
    assert "Nothing spent in" in page
    assert "No balance was read yet" in page


def test_how_long_the_balance_lasts_follows_the_pace_of_the_accounts_that_are_used(account, mara) -> None:
    now = timezone.now()
    past = now - timedelta(days=10)
    settle(make_held(mara, 500, at=past, sent_at=past), 500, at=past)
    assert reports.days_left(1000, demo=False, now=now) is None  # went out on no account of the pool
    paid = make_held(mara, 500, at=past)
    Generation.objects.filter(pk=paid.pk).update(account=account)
    paid.refresh_from_db()
    settle(paid, 500, at=past)
    assert reports.days_left(1000, demo=False, now=now) == 20
    assert reports.days_left(1000, demo=True, now=now) is None


# -- any part of it ---------------------------------------------------------------------------------------------------


@pytest.fixture
def agency(account, mara, manager) -> dict[str, Any]:
    """Two teams with projects, and 70 generations of all sorts over three months, by fixed dice."""
    dice = random.Random(7)
    rosa = make_person("rosa@example.com", team="Southpaw")
    teams = {team.name: team for team in Team.objects.all()}
    projects = [Project.objects.create(team=teams["Northlight"], name=name) for name in ("Aurora Coffee", "Harbour")]
    projects.append(Project.objects.create(team=teams["Southpaw"], name="Harbour"))
    for _ in range(70):
        owner = dice.choice([mara, manager, rosa])
        team = owner.teams.get()
        project = dice.choice([None, *[project for project in projects if project.team_id == team.pk]])
        price = dice.randint(1, 500)
        row = make_held(
            owner, price, dice.choice(["veo3", "kling-3", "sora2"]), project=project,
            at=timezone.now() - timedelta(days=dice.randint(0, 90)),
        )  # fmt: skip
        end = dice.choice(["ready", "ready", "less", "failed", "paid", "cancelled", "held"])
        if end in ("ready", "less"):
            settle(row, price if end == "ready" else price // 2)
        elif end == "paid":
            settle(row, price // 3 + 1, Status.FAILED)
        elif end != "held":
            settle(row, None, Status.FAILED if end == "failed" else Status.CANCELLED)
    for row in Generation.objects.filter(status=Status.COMPLETED):
        Generation.objects.filter(pk=row.pk).update(mark=dice.choice(Mark.values))
    admin = make_person("root@example.com", role="viewer", is_staff=True, is_superuser=True)
    return {"admin": admin, "teams": teams, "projects": projects, "rosa": rosa}


Keep = Callable[[Generation], bool]
AGO = timezone.localdate() - timedelta(days=91)
LATELY = timezone.localdate() - timedelta(days=40)


def parts(agency: dict[str, Any], mara: User) -> dict[str, tuple[str, Keep]]:
    """Queries of the page, and which generations each of them means."""
    north, (aurora, _, other) = agency["teams"]["Northlight"], agency["projects"]
    ever = f"?view=team&team=all&from={AGO}&to={timezone.localdate()}"
    done, failed = (Status.COMPLETED,), (Status.FAILED, Status.REJECTED)
    return {
        "everything": (ever, lambda row: True),
        "days": (
            f"?view=team&team=all&from={LATELY}&to={LATELY + timedelta(days=20)}",
            lambda row: LATELY <= row.day <= LATELY + timedelta(days=20),
        ),
        "team": (f"{ever}&team={north.pk}".replace("team=all&", ""), lambda row: row.team_id == north.pk),
        "person": (f"{ever}&person={mara.pk}", lambda row: row.owner_id == mara.pk),
        "project": (f"{ever}&project={other.pk}", lambda row: row.project_id == other.pk),
        "no project": (f"{ever}&project=none", lambda row: row.project_id is None),
        "model": (f"{ever}&model=sora2", lambda row: row.mode == "sora2"),
        "ready": (f"{ever}&status=ready", lambda row: row.status in done),
        "failed": (f"{ever}&status=failed", lambda row: row.status in failed),
        "held": (f"{ever}&status=held", lambda row: row.status == Status.QUEUED),
        "all of it": (
            f"{ever}&person={mara.pk}&project={aurora.pk}&model=veo3&status=ready",
            lambda row: (
                (row.owner_id, row.project_id, row.mode, row.status) == (mara.pk, aurora.pk, "veo3", Status.COMPLETED)
            ),
        ),
    }


@pytest.mark.parametrize(
    "name",
    ["everything", "days", "team", "person", "project", "no project", "model", "ready", "failed", "held", "all of it"],
)
def test_page_chart_and_csv_say_what_the_ledger_holds(client, agency, mara, name) -> None:
    query, means = parts(agency, mara)[name]
    wanted = [row for row in Generation.objects.all() if means(row)]
    assert wanted
    entries = LedgerEntry.objects.filter(generation__in=wanted)
    held, spent = entries.aggregate(held=Sum("held"), spent=Sum("spent")).values()
    quoted = entries.filter(kind="capture").aggregate(sum=Sum("generation__price", default=0))["sum"]
    failed = entries.exclude(generation__status=Status.COMPLETED).aggregate(sum=Sum("spent", default=0))["sum"]
    page = look(client, agency["admin"], query)
    said = {
        label: int(words.split(" ")[0].replace(",", "")) for label, words in figures(page).items() if words[0] != "N"
    }
    ready = [row for row in wanted if row.status == Status.COMPLETED]
    never = [row for row in ready if row.mark == Mark.NONE and row.day < timezone.localdate() - reports.KEPT_WITHIN]
    costs = {
        label: entries.filter(generation__in=rows).aggregate(sum=Sum("spent", default=0))["sum"]
        for label, rows in (("Rejected", [row for row in ready if row.mark == Mark.REJECT]), ("Never kept", never))
        if name not in ("failed", "held")
    }
    assert said == {"Spent": spent, "Held now": held, "Failed": failed, "Quoted": quoted} | costs
    drawn = re.findall(r"<title>[^<]*: ([\d,]+) credits?</title>", page)
    assert sum(int(figure.replace(",", "")) for figure in drawn) == (held if name == "held" else spent)
    assert sum(table(page).values()) == (held if name == "held" else spent)
    rows = lines(client, agency["admin"], query)
    assert len(rows) == len(wanted)
    assert charged(rows) == spent
    assert sum(int(row["Held credits"]) for row in rows) == held


@pytest.mark.parametrize("by", ["person", "team", "project", "model", "status"])
def test_each_table_says_what_the_ledger_holds(client, agency, by) -> None:
    query = f"?view=team&team=all&from={AGO}&to={timezone.localdate()}&by={by}"
    field = {"model": "generation__mode", "status": "generation__status", "person": "user"}.get(by, by)
    sums = LedgerEntry.objects.values_list(field).annotate(Sum("spent"), Sum("held"))
    told = [
        spent + (held if by == "status" else 0) for name, spent, held in sums.order_by(field) if name != "CANCELLED"
    ]
    shown = table(look(client, agency["admin"], query))
    assert sorted(figure for name, figure in shown.items() if name != "Root") == sorted(told)


def test_a_line_leads_to_itself_by_model(client, agency) -> None:
    page = look(client, agency["admin"], f"?view=team&team=all&from={AGO}&to={timezone.localdate()}&by=project")
    page = page[page.index("By project") :]
    for name, credits in table(page).items():
        link = re.search(rf'href="(\?[^"]*)">{re.escape(name)}</a>', page)
        assert link
        alone = look(client, agency["admin"], link[1].replace("&amp;", "&"))
        assert "By model" in alone
        assert sum(table(alone).values()) == credits


def test_an_admin_sees_the_team_that_is_chosen_or_all(client, agency) -> None:
    south = agency["teams"]["Southpaw"]
    page = look(client, agency["admin"], f"?team={south.pk}&from={AGO}&to={timezone.localdate()}")
    assert list(table(page)) == ["Rosa"]
    assert {"Mara", "Rosa", "Tomas"} <= set(table(look(client, agency["admin"], f"?team=all&from={AGO}")))


def test_an_admin_of_no_team_sees_all_spend(client, mara) -> None:
    settle(make_held(mara, 40), 40)
    admin = make_person("root@example.com", team="", is_staff=True, is_superuser=True)
    assert figures(look(client, admin))["Spent"].startswith("40 credits")


@pytest.mark.parametrize("path", ["/spend", "/spend.csv"])
def test_what_belongs_to_another_team_is_not_found(client, agency, mara, manager, path) -> None:
    south, theirs, rosa = agency["teams"]["Southpaw"], agency["projects"][2], agency["rosa"]
    for person, view in ((manager, "team"), (mara, "mine")):
        client.force_login(person)
        forged = [f"team={south.pk}", f"project={theirs.pk}", "team=99999999", "project=99999999"]
        forged += [f"person={rosa.pk}", "person=99999999"] if view == "team" else []
        for query in forged:
            assert client.get(f"{path}?view={view}&{query}").status_code == 404, query


def test_a_manager_of_one_team_sees_nothing_of_another_when_asking_for_all(client, agency, manager) -> None:
    page = look(client, manager, f"?view=team&team=all&from={AGO}")
    assert set(table(page)) == {"Mara", "Tomas", "Root"}
    assert "Southpaw" not in page
    assert {row["Team"] for row in lines(client, manager, f"?view=team&team=all&from={AGO}")} == {"Northlight"}


@pytest.mark.parametrize("query", ["person=x", "project=-1", "team=1e9", "model=no", "status=no", "by=no", "view=no"])
def test_what_means_nothing_is_ignored(client, agency, manager, query) -> None:
    assert figures(look(client, manager, f"?{query}")) == figures(look(client, manager))


@pytest.mark.parametrize(
    "query", ["?view=team", "?view=mine", "?view=team&team=all&by=project&status=ready&model=veo3"]
)
def test_many_clips_take_no_more_queries_than_few(client, account, mara, query) -> None:
    boss = make_person("boss@example.com", role="manager", is_staff=True)
    make_person("x@example.com", team="Elsewhere")
    settle(make_held(boss, 10), 10)
    look(client, boss, query)
    with CaptureQueriesContext(connection) as few:
        look(client, boss, query)
    people = [make_person(f"p{number}@example.com") for number in range(5)]
    for person in [*people, boss]:
        project = Project.objects.create(team=Team.objects.get(name="Northlight"), name=f"for {person.pk}")
        for mode in ("veo3", "wan-2-6", "sora2"):
            settle(make_held(person, 20, mode, team=project.team, project=project), 20)
    with CaptureQueriesContext(connection) as many:
        look(client, boss, query)
    print(f"spend{query}: {len(many)} queries")
    assert len(many) == len(few)


# -- CSV --------------------------------------------------------------------------------------------------------------


def test_a_line_of_the_csv_has_everything_of_a_generation(client, mara, manager) -> None:
    team = mara.teams.get()
    Team.objects.filter(pk=team.pk).update(time_zone="Asia/Tokyo")
    at = datetime.fromisoformat("2026-10-03T16:30:00+00:00")
    row = make_held(mara, 140, at=at, project=Project.objects.create(team=team, name="Aurora"), prompt="Dunes, at dawn")
    Generation.objects.filter(pk=row.pk).update(day=date(2026, 10, 4))
    settle(row, 130, at=at)
    [line] = lines(client, mara, "?from=2026-10-01&to=2026-10-31")
    assert line == {
        "Day": "2026-10-04", "Time": "01:30:00", "Time zone": "Asia/Tokyo", "Team": "Northlight", "Person": "Mara",
        "Project": "Aurora", "Model": "Veo 3.1", "Status": "Ready", "Quoted credits": "140", "Charged credits": "130",
        "Refunded credits": "0", "Held credits": "0", "Prompt": "Dunes, at dawn",
    }  # fmt: skip


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_text_of_the_csv_is_a_formula(client, mara, start) -> None:
    evil = f'{start}HYPERLINK("http://evil","x"),"'
    team = mara.teams.get()
    User.objects.filter(pk=mara.pk).update(name=evil)
    Team.objects.filter(pk=team.pk).update(name=evil)
    make_held(mara, 10, prompt=evil, project=Project.objects.create(team=team, name=evil))
    [line] = lines(client, mara)
    assert [line[name] for name in ("Team", "Person", "Project", "Prompt")] == [f"'{evil}"] * 4


def test_a_csv_longer_than_one_piece_has_every_line_once(client, mara, monkeypatch) -> None:
    monkeypatch.setattr(reports, "AT_A_TIME", 7)
    for number in range(21):
        make_held(mara, number + 1)
    assert [int(line["Held credits"]) for line in lines(client, mara)] == list(range(21, 0, -1))


def test_the_csv_begins_before_anything_is_read(client, mara) -> None:
    make_held(mara, 10)
    client.force_login(mara)
    answer = client.get("/spend.csv")
    with CaptureQueriesContext(connection) as asked:
        first = next(iter(answer.streaming_content))
    assert first.decode().startswith("\ufeffDay,Time")
    assert len(asked) == 0


@pytest.mark.parametrize(("query", "clips"), [("", 4), ("?status=ready", 3), ("?status=held", 1), ("?model=sora2", 0)])
def test_how_long_a_csv_would_be_is_known_before_it_is_read(client, mara, monkeypatch, query, clips) -> None:
    monkeypatch.setattr(export, "LONGEST", clips - 1)
    make_held(mara, 10)
    for _ in range(3):
        settle(make_held(mara, 10), 10)
    client.force_login(mara)
    answer = client.get(f"/spend.csv{query}")
    assert answer.status_code == 422
    assert f"A file takes {clips - 1} lines, and these are more. Choose fewer days." in text_of(answer.content.decode())
    monkeypatch.setattr(export, "LONGEST", clips)
    assert len(lines(client, mara, query)) == clips


def test_the_page_offers_no_csv_that_would_be_refused(client, mara, monkeypatch) -> None:
    monkeypatch.setattr(export, "LONGEST", 1)
    make_held(mara, 10)
    assert "spend.csv" in look(client, mara)
    make_held(mara, 10)
    page = look(client, mara)
    assert "spend.csv" not in page
    assert "Too many lines for a CSV: choose fewer days" in page


# -- what nobody kept -------------------------------------------------------------------------------------------------


def ready(owner: User, credits: int, days_ago: int = 20, **fields) -> Generation:
    row = make_held(owner, credits, at=timezone.now() - timedelta(days=days_ago))
    settle(row, credits)
    Generation.objects.filter(pk=row.pk).update(**fields)
    return row


LONG = "?view=team&from=2026-01-01&to=2099-12-31"


def unkept(page: str) -> dict[str, str]:
    return {name: words for name, words in figures(page).items() if name in ("Rejected", "Never kept")}


def test_what_was_rejected_and_what_nobody_kept_has_its_cost(client, mara, manager) -> None:
    team = mara.teams.get()
    ready(mara, 1, mark=Mark.REJECT)
    ready(mara, 2, 0, mark=Mark.REJECT)
    ready(mara, 4, mark=Mark.KEEP)
    Favourite.objects.create(user=manager, generation=ready(mara, 8))
    loved = ready(mara, 16)
    Favourite.objects.create(user=mara, generation=loved)
    for name in ("Best", "Second"):
        shelf = Collection.objects.create(team=team, owner=mara, name=name)
        CollectionItem.objects.create(collection=shelf, generation=loved, added_by=mara)
    CollectionItem.objects.create(collection=shelf, generation=ready(mara, 32), added_by=mara)
    ready(mara, 64)
    ready(mara, 128, 15)
    ready(mara, 256, 14)  # two weeks are not over
    settle(make_held(mara, 512, at=timezone.now() - timedelta(days=20)), 512, Status.FAILED)
    make_held(mara, 1024, at=timezone.now() - timedelta(days=20))
    assert unkept(look(client, manager, LONG)) == {
        "Rejected": "3 credits 2 clips marked so",
        "Never kept": "192 credits 2 clips: 14 days old, not marked, nobody’s favourite, in no collection, "
        "never shared",
    }


def test_a_clip_that_is_loved_and_rejected_counts_once(client, mara, manager) -> None:
    Favourite.objects.create(user=mara, generation=ready(mara, 8, mark=Mark.REJECT))
    ready(mara, 1)
    said = unkept(look(client, manager, LONG))
    assert (said["Rejected"][:9], said["Never kept"][:8]) == ("8 credits", "1 credit")


def test_what_was_refunded_cost_nothing(client, mara, manager, account) -> None:
    rise = ledger.outside(reading(account, 0, 9), reading(account, 84, 3), -84)
    for mark in (Mark.NONE, Mark.REJECT, Mark.KEEP):
        row = ready(mara, 84, mark=mark)
        Generation.objects.filter(pk=row.pk).update(account=account)
        row.account = account
        ledger.refund(row, 84, rise, "came back")
    ready(mara, 5)
    said = unkept(look(client, manager, LONG))
    assert (said["Rejected"][:9], said["Never kept"][:9]) == ("0 credits", "5 credits")


@pytest.mark.parametrize(
    ("query", "never"),
    [("&person={mara}", 1), ("&project={project}", 2), ("&model=sora2", 4), ("&status=ready", 7), ("&project=none", 5)],
)
def test_filters_narrow_what_nobody_kept(client, mara, manager, query, never) -> None:
    project = Project.objects.create(team=mara.teams.get(), name="Aurora")
    ready(mara, 1)
    for credits, fields in ((2, {"project": project}), (4, {"mode": "sora2"})):
        row = make_held(manager, credits, at=timezone.now() - timedelta(days=20), **fields)
        settle(row, credits)
    page = look(client, manager, LONG + query.format(mara=mara.pk, project=project.pk))
    assert unkept(page)["Never kept"].startswith(f"{never} credit")


def test_other_statuses_do_not_ask_what_was_kept(client, manager, mara) -> None:
    assert unkept(look(client, manager, LONG + "&status=failed")) == {}


def test_the_csv_of_nothing_is_its_head(client, mara) -> None:
    assert lines(client, mara) == []


# -- the books --------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(account) -> User:
    return make_person("root@example.com", role="member", is_staff=True, is_superuser=True)


def reading(account: ApiAccount, credits: int, ago: int) -> BalanceReading:
    return BalanceReading.objects.create(account=account, credits=credits, at=timezone.now() - timedelta(seconds=ago))


def test_an_admin_reads_that_the_books_agree(client, account, admin) -> None:
    reading(account, 12480, ago=130)
    books.compare()
    assert "Books agree: 12,480 credits, as Veevid said 2 min ago" in text_of(look(client, admin))


def test_an_admin_reads_by_how_much_the_books_disagree(client, account, admin) -> None:
    reading(account, 12480, ago=130)
    books.compare()
    reading(account, 12420, ago=0)
    said = text_of(look(client, admin))
    assert "60 credits less than our books expect: Veevid said 12,420 credits just now" in said
    assert "the books 12,480 credits" in said


def test_while_clips_are_under_way_a_range_is_expected(client, account, admin) -> None:
    reading(account, 5000, ago=130)
    books.compare()
    make_held(admin, 140, status=Status.PROCESSING, upstream_id="vg_1")
    Generation.objects.update(account=account, sent_at=timezone.now() - timedelta(seconds=60))
    reading(account, 4860, ago=0)
    said = text_of(look(client, admin))
    assert "Books agree: 4,860 credits, as Veevid said just now" in said
    assert "While 1 clip is under way, 4,860 to 5,000 credits are expected" in said


def test_what_was_spent_elsewhere_is_listed_between_its_two_times(client, account, admin) -> None:
    before, after = reading(account, 12480, ago=130), reading(account, 12420, ago=60)
    reading(account, 13420, ago=30)
    books.compare()
    said = text_of(look(client, admin))
    assert f"{before.at:%-d %b %Y, %H:%M:%S} and {after.at:%-d %b %Y, %H:%M:%S}" in said
    assert "All 60 1,000" in said


def test_books_without_a_balance_and_without_anything_elsewhere_say_so(client, account, admin) -> None:
    said = text_of(look(client, admin))
    assert "No balance was read yet" in said
    assert "Nothing: in these days, only Dailies spent on this account" in said


def test_only_admins_see_the_books(client, account, manager) -> None:
    reading(account, 12480, ago=130)
    books.compare()
    assert "Books agree" not in look(client, manager)
