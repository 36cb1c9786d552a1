"""An admin answers "what did this client cost last month, by model" in a real browser, and downloads it."""

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(240)]

PASSWORD = "a long password of hers"
SEED = """
import datetime, json, random, uuid
from django.db import transaction
from django.utils import timezone
from generations import books, ledger
from generations.models import (
    ApiAccount, BalanceReading, Budget, Generation, Membership, Project, Quote, Team, User)
from tests.makers import make_person

def person(number, name, team, role="member"):
    user = User.objects.create(email=f"p{number}@example.com", name=name)  # nobody signs in as them
    Membership.objects.create(team=team, user=user, role=role)
    return user

transaction.set_autocommit(False)
dice, now = random.Random(11), timezone.now()
admin = make_person("root@example.com", role="viewer", name="Root Admin", is_staff=True, is_superuser=True)
names = ["Mara Lindqvist", "Tomás Rey", "Aiko Sato", "Jonas Weber", "Priya Nair", "Luc Martin"]
north = admin.teams.get()
people = [person(number, name, north, "member" if number else "manager") for number, name in enumerate(names)]
elsewhere = person(9, "Xeno Elsewhere", Team.objects.create(name="Southpaw"))
clients = [Project.objects.create(team=north, name=name) for name in ("Aurora Coffee", "Harbour Hotels")]
Budget.objects.create(team=north, credits=20000)
Budget.objects.create(team=north, project=clients[1], credits=4000)
Budget.objects.create(team=north, user=people[0], credits=4500)
account = ApiAccount.objects.get(demo=False)
last = (now.replace(day=1) - datetime.timedelta(days=1)).date()
told = {}
for number in range(120):
    owner = elsewhere if number % 20 == 19 else dice.choice(people[: 1 + dice.randint(0, 5)])
    team = owner.teams.get()
    project = dice.choice([None, *clients]) if team == north else None
    mode = dice.choice(["kling-3", "kling-3", "veo3", "kling-2-6", "sora2", "wan-2-6", "seedance-1.5-pro", "ltx-2-3"])
    at = now - datetime.timedelta(days=dice.randint(0, 75), hours=dice.randint(0, 20))
    price = dice.choice([20, 60, 90, 140, 250, 480])
    quote = Quote.objects.create(account=account, digest="0" * 64, billing={}, credits=price, at=at)
    row = Generation.objects.create(
        team=team, owner=owner, project=project, nonce=uuid.uuid4(), mode=mode, params={},
        generation_type="text-to-video", prompt=f"A lone walker crests the dune, take {number}", price=price,
        quote=quote, day=at.date(), created_at=at)
    ledger.hold(row)
    end = "COMPLETED" if number % 12 else "FAILED"
    if number > 112:
        continue
    row.account, row.status, row.sent_at, row.finished_at = account, end, at, at
    row.charged = (price - 2 if number % 9 == 0 else price) if end == "COMPLETED" else (price if number % 24 else 0)
    row.save()
    ledger.capture(row, row.charged) if row.charged else ledger.release(row, "failed")
    if project == clients[0] and (row.day.year, row.day.month) == (last.year, last.month):
        told[mode] = told.get(mode, 0) + row.charged
for credits, minutes in ((12540, 50), (12480, 40), (17480, 30), (17480, 2)):
    at = now - datetime.timedelta(minutes=minutes)
    BalanceReading.objects.create(account=account, credits=credits, at=at)
transaction.commit()
transaction.set_autocommit(True)
books.compare()
print(json.dumps({"month": f"{last:%B %Y}", "told": {mode: spent for mode, spent in told.items() if spent}}))
"""


@pytest.fixture(scope="module")
def dailies(make_stack: Callable[..., Dailies]) -> Dailies:
    made = make_stack(database="sqlite")
    made.start_web()
    return made


@pytest.fixture(scope="module")
def told(dailies: Dailies) -> dict[str, Any]:
    """What the ledger says of the client's month: its name, and credits by model."""
    return dailies.python(SEED)


@pytest.fixture(scope="module")
def signed_in(dailies: Dailies, told, browser: Browser) -> Any:
    with browser.new_context(base_url=dailies.url) as context:
        page = context.new_page()
        page.goto("/accounts/login/")
        page.get_by_label("Email").fill("root@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("heading", name="Gallery").wait_for(state="attached")
        return context.storage_state()


def opened(browser: Browser, dailies: Dailies, state: Any, width: int = 1440, theme: Any = "light") -> BrowserContext:
    context = browser.new_context(
        base_url=dailies.url, storage_state=state, viewport={"width": width, "height": 900}, color_scheme=theme
    )
    context.set_default_timeout(20_000)
    return context


@pytest.fixture
def page(browser: Browser, dailies: Dailies, signed_in) -> Iterator[Page]:
    with opened(browser, dailies, signed_in) as context:
        yield context.new_page()


def choose(page: Page, chip: str, choice: str) -> None:
    page.locator(".filters summary:visible", has_text=chip).click()
    page.get_by_role("link", name=choice, exact=True).click()


def test_what_a_client_cost_last_month_by_model(page: Page, told: dict[str, Any], tmp_path: Path):
    page.goto("/spend")
    page.locator(".filters summary:visible").first.click()  # the days
    page.get_by_role("link", name=told["month"]).click()
    choose(page, "Project", "Aurora Coffee")
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.get_by_role("heading", name="By model")).to_be_visible()
    by_model = page.locator("section", has=page.get_by_role("heading", name="By model"))
    shown = [int(text.replace(",", "")) for text in by_model.locator("tbody td:nth-child(3)").all_inner_texts()]
    assert sorted(credits for credits in shown if credits) == sorted(told["told"].values())
    total = sum(told["told"].values())
    expect(page.locator(".kpi").first).to_contain_text(f"{total:,} credits")
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("CSV")).click()
    download.value.save_as(tmp_path / "spend.csv")
    rows = list(csv.DictReader((tmp_path / "spend.csv").open(encoding="utf-8-sig", newline="")))
    assert {row["Project"] for row in rows} == {"Aurora Coffee"}
    assert sum(int(row["Charged credits"]) for row in rows) == total


def test_the_filters_work_on_a_phone(browser: Browser, dailies: Dailies, signed_in, told: dict[str, Any]):
    with opened(browser, dailies, signed_in, width=360) as context:
        page = context.new_page()
        page.goto("/spend?view=team&team=all")
        page.locator(".filters summary:visible").click()
        page.get_by_label("Model", exact=True).select_option("Veo 3.1")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page).to_have_url(re.compile("model=veo3"))
        expect(page.get_by_role("link", name="Clear", exact=True)).to_be_visible()


PATHS = {
    "team": "/spend?view=team",
    "all teams, by status": "/spend?view=team&team=all&by=status",
    "mine": "/spend?view=mine",
    "nothing": "/spend?view=team&from=2020-01-01&to=2020-01-31&model=veo3",
}


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (768, "dark"), (360, "dark"), (360, "light")])
def test_every_spend_page_is_accessible(browser: Browser, dailies: Dailies, signed_in, width: int, theme: str):
    found = []
    with opened(browser, dailies, signed_in, width, theme) as context:
        page = context.new_page()
        for name, path in PATHS.items():
            page.goto(path)
            page.locator("main details").evaluate_all("all => all.at(-1).open = true")  # the chart's table
            found += look(page, name)
        page.goto(PATHS["team"])
        page.locator(".filters summary:visible").first.click()
        found += look(page, "filters")
    assert found == []


def look(page: Page, name: str) -> list[str]:
    answer = Axe().run(page, options={"resultTypes": ["violations"]}).response
    found = [f"{name}: {rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in answer["violations"]]
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*found, f"{name}: scrolls sideways by {wider} px"] if wider > 0 else found
