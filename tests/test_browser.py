"""A person's first visit, in a real browser, on the very `manage.py up` that `make run` starts.

From the console's code to a clip that plays in the gallery; nothing is reloaded or clicked after the confirmation.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.test_up import CODE, Up

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(240)]

COMPLAINTS: list[str] = []  # what the browser wrote on its console
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def up(tmp_path_factory) -> Iterator[Up]:
    dailies = Up(tmp_path_factory.mktemp("browser") / "data")
    dailies.start()
    yield dailies.until_ready()
    dailies.stop()


@pytest.fixture(scope="module")
def page(up: Up, browser: Browser) -> Iterator[Page]:
    """The admin's one tab, as the tests of this module go through it in order."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=f"http://127.0.0.1:{up.port}")
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: COMPLAINTS.append(str(error)))
    page.on("console", lambda said: COMPLAINTS.append(said.text) if said.type == "error" else None)
    yield page
    context.close()


def test_the_console_code_makes_the_first_admin(up: Up, page: Page):
    page.goto("/")
    expect(page).to_have_url(re.compile("/welcome/"))
    page.get_by_label("Code from the console").fill(CODE.search(up.said()).group())
    page.get_by_label("Email").fill("mara@example.com")
    page.get_by_label(re.compile("name", re.I)).fill("Mara Lindqvist")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.goto("/")
    expect(page.get_by_role("heading", name="No clips yet")).to_be_visible()
    expect(page.get_by_text("Demo mode")).to_be_visible()


def test_the_prompt_gets_an_exact_price(page: Page):
    page.get_by_role("link", name="Create the first clip").click()
    page.get_by_label("Prompt", exact=True).fill("Dunes at golden hour, a lone walker, slow push in")
    page.locator("label.model", has_text="Veo 3.1").click()
    expect(page.locator(".price-big").first).to_contain_text("20")
    page.locator(".seg label").filter(has_text=re.compile(r"^\s*Pro\s*$")).click()
    expect(page.locator(".price-big").first).to_contain_text("140")


def test_the_confirmed_clip_plays_in_the_gallery_by_itself(page: Page):
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_role("button", name="Generate for 140 credits").click()
    expect(page).to_have_url(re.compile(r"/$"))
    tile = page.locator(".tile").first
    expect(tile).to_have_class(re.compile("tile-state"))
    page.evaluate("window.untouched = true")
    expect(tile.locator("img")).to_be_visible(timeout=90_000)
    expect(tile).not_to_have_class(re.compile("tile-state"))
    video = tile.locator("video")
    page.wait_for_function("video => video.currentTime > 0.3 && !video.paused", arg=video.element_handle())
    assert page.evaluate("window.untouched"), "the page was reloaded"


def test_the_clips_page_plays_and_seeks(page: Page):
    page.locator(".tile-link").first.click()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('.stage video').currentTime > 0.2")
    page.get_by_label("Position").fill("750")  # of 1000: three quarters of 8 seconds
    page.wait_for_function("() => document.querySelector('.stage video').currentTime >= 6")
    expect(page.get_by_text("Charged 140 credits")).to_be_visible()
    expect(page.get_by_text("Sent to Veevid, once")).to_be_visible()


def test_remix_begins_with_what_the_clip_was_made_of(page: Page):
    page.get_by_role("link", name="Remix").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(re.compile("Dunes at golden hour"))
    expect(page.locator(".price-big").first).to_contain_text("140")


def test_what_it_cost_stands_in_the_books(page: Page):
    page.goto("/spend")
    expect(page.get_by_text("140").first).to_be_visible()


def test_a_double_click_on_the_button_that_spends_makes_one_clip(page: Page):
    page.goto("/new")
    page.get_by_label("Prompt", exact=True).fill("Aurora over a black lake")
    page.locator("label.model", has_text="Grok Imagine").click()
    expect(page.get_by_text("What Grok Imagine allows from text")).to_be_visible()
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_role("button", name=re.compile("Generate for")).dblclick()
    expect(page).to_have_url(re.compile(r"/$"))
    expect(page.locator(".tile")).to_have_count(2)


def test_nothing_was_reported_on_the_console(page: Page):
    assert COMPLAINTS == []
