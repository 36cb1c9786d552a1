"""A request over the threshold, on the real stack: a member asks, a manager approves on a phone, the clip appears."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(300)]

PASSWORD = "a long password of hers"
SEED = """
import json
from generations.models import ApprovalRule, Budget
from tests.makers import make_person

mara, luc = make_person(name="Mara Lindqvist"), make_person("luc@example.com", role="manager", name="Luc Martin")
team = mara.teams.get()
ApprovalRule.objects.create(team=team, above=100)
Budget.objects.create(team=team, user=mara, credits=1000)
print(json.dumps(mara.pk))
"""


@pytest.fixture(scope="module")
def dailies(stack: Dailies) -> Dailies:
    stack.python(SEED)
    return stack


def visit(browser: Browser, dailies: Dailies, email: str, width: int, height: int) -> Iterator[Page]:
    with browser.new_context(viewport={"width": width, "height": height}, base_url=dailies.url) as context:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto("/accounts/login/")
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Gallery").wait_for(state="attached")
        yield page


@pytest.fixture(scope="module")
def mara(dailies: Dailies, browser: Browser) -> Iterator[Page]:
    yield from visit(browser, dailies, "mara@example.com", 1440, 900)


@pytest.fixture(scope="module")
def luc(dailies: Dailies, browser: Browser) -> Iterator[Page]:
    yield from visit(browser, dailies, "luc@example.com", 360, 760)


def test_a_member_over_the_threshold_asks_and_a_manager_approves_on_a_phone(dailies: Dailies, mara: Page, luc: Page):
    mara.goto("/new")
    mara.get_by_label("Prompt", exact=True).fill("Dunes at golden hour, a lone walker")
    mara.locator("label.model", has_text="Veo 3.1").click()
    expect(mara.locator(".price-big").first).to_contain_text("20")
    mara.locator(".seg label").filter(has_text=re.compile(r"^\s*Pro\s*$")).click()
    expect(mara.locator(".price-big").first).to_contain_text("140")
    expect(mara.locator("#price").get_by_text("A manager has to approve this.")).to_be_visible()
    mara.get_by_role("button", name="Review").locator("visible=true").click()
    mara.get_by_role("button", name="Ask for approval: 140 credits held").click()
    expect(mara).to_have_url(re.compile(r"/$"))
    tile = mara.locator(".tile").first
    expect(tile).to_contain_text("Needs approval")
    assert dailies.simulator
    assert dailies.simulator.submissions() == 0
    mara.evaluate("window.untouched = true")

    luc.goto("/")
    luc.locator(".tabbar").get_by_role("link", name="Approvals").click()
    card = luc.locator("article", has_text="Mara Lindqvist")
    for words in (
        "Dunes at golden hour",
        "Anything above 100 credits needs approval.",
        "Mara’s budget this month",
        "860",
    ):
        expect(card).to_contain_text(words)
    card.get_by_role("button", name="Approve 140 credits").click()
    expect(luc.get_by_text("Approved for 140 credits.")).to_be_visible()
    expect(luc.get_by_text("Nobody waits for you")).to_be_visible()

    expect(tile.locator("img")).to_be_visible(timeout=120_000)
    expect(tile).not_to_have_class(re.compile("tile-state"))
    assert mara.evaluate("window.untouched"), "the page was reloaded"
    assert dailies.simulator.submissions() == 1


def test_the_clips_page_tells_who_approved_it(mara: Page):
    mara.locator(".tile-link").first.click()
    for words in ("Asked for approval", "Approved by Luc", "Charged 140 credits"):
        expect(mara.get_by_text(words).first).to_be_visible()
