"""The library in a browser, on the real stack: a saved prompt becomes a clip, its last frame the start of the next."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(300)]

PASSWORD = "a long password of hers"
SEED = """
import json
from tests.makers import make_person

print(json.dumps(make_person(name="Mara Lindqvist").pk))
"""


@pytest.fixture(scope="module")
def page(stack: Dailies, browser: Browser) -> Iterator[Page]:
    """Mara's one tab, as the tests of this module go through it in order."""
    stack.python(SEED)
    with browser.new_context(viewport={"width": 1440, "height": 900}, base_url=stack.url) as context:
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto("/accounts/login/")
        page.get_by_label("Email").fill("mara@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="No clips yet").wait_for()
        yield page


def test_what_stands_in_compose_is_saved_as_a_prompt_without_leaving_it(page: Page):
    page.goto("/new")
    page.get_by_label("Prompt", exact=True).fill("A {animal} crests the dune at {time of day}")
    page.get_by_role("button", name="Save as prompt").click()
    sheet = page.locator("#sheet")
    sheet.get_by_label("Title").fill("Dunes")
    sheet.get_by_label("Tags").fill("landscape")
    sheet.get_by_role("button", name="Save prompt").click()
    expect(sheet).to_be_hidden()
    expect(page.get_by_text("Prompt “Dunes” saved")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("A {animal} crests the dune at {time of day}")


def test_its_variables_are_asked_for_and_the_clip_remembers_its_version(page: Page):
    page.goto("/prompts")
    page.get_by_role("link", name="Use “Dunes”").click()
    page.get_by_label("animal").fill("fox")
    page.get_by_label("time of day").fill("dawn")
    page.get_by_role("button", name="To the new clip").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("A fox crests the dune at dawn")
    expect(page.get_by_label(re.compile("A use of the prompt “Dunes”, version 1"))).to_be_checked()
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_role("button", name=re.compile("Generate for")).click()
    expect(page.locator(".tile").first.locator("img")).to_be_visible(timeout=90_000)
    page.goto("/prompts")
    row = page.locator(".prompts > li")
    expect(row).to_contain_text("Used 1 time")
    expect(row.locator(".clips a")).to_have_count(1)
    row.locator(".clips a").click()
    expect(page.get_by_role("link", name="Dunes, version 1")).to_be_visible()


def test_the_last_frame_and_the_one_that_is_shown_start_new_clips(page: Page):
    clip = page.url
    page.get_by_label("More to do with this clip").click()
    page.get_by_role("button", name="Use last frame").click()
    expect(page).to_have_url(re.compile(r"/new\?from=\d+&media="))
    expect(page.locator("#slot-image .media-name")).to_have_text("A fox crests the dune at dawn, last frame.jpg")
    expect(page.locator(".price-big").first).to_contain_text(re.compile(r"\d"))
    page.goto(clip)
    page.get_by_label("Position").fill("500")  # of 1000: half of 8 seconds
    page.wait_for_function("() => document.querySelector('.stage video').currentTime > 3.5")
    page.get_by_label("More to do with this clip").click()
    with page.expect_request(lambda request: request.url.endswith("/frame")) as asked:
        page.get_by_role("button", name="Use this frame").click()
    assert "at=4.0" in (asked.value.post_data or "")
    # The quick clips of the simulator stand still: it is the same picture, which is kept once.
    expect(page.locator("#slot-image .media-name")).to_have_text("A fox crests the dune at dawn, last frame.jpg")


def test_a_picture_of_the_library_is_picked_by_keyboard(page: Page):
    page.goto("/new?type=image-to-video")
    page.locator("#slot-image summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=re.compile("Use A fox")).first).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#slot-image .media-name")).to_contain_text("A fox crests the dune at dawn")


def test_the_library_shows_both_and_deletes_the_unused_after_asking(page: Page):
    page.goto("/library")
    expect(page.locator(".uploads > li")).to_have_count(1)
    page.get_by_role("button", name="Delete all unused").click()
    page.get_by_role("button", name="Delete 1 upload").click()
    expect(page.get_by_text("1 deleted.")).to_be_visible()
    expect(page.get_by_role("heading", name="No images or videos yet")).to_be_visible()
