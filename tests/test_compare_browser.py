"""In a real browser: three models priced together, the winner picked side by side, a matrix of two by three."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.test_up import CODE, Up

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(400)]

COMPLAINTS: list[str] = []
APART = 0.3  # seconds that two clips in step may be apart when a script asks them one after the other


@pytest.fixture(scope="module")
def up(tmp_path_factory) -> Iterator[Up]:
    dailies = Up(tmp_path_factory.mktemp("compare") / "data")
    dailies.start()
    yield dailies.until_ready()
    dailies.stop()


@pytest.fixture(scope="module")
def page(up: Up, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=f"http://127.0.0.1:{up.port}")
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: COMPLAINTS.append(str(error)))
    page.on("console", lambda said: COMPLAINTS.append(said.text) if said.type == "error" else None)
    page.goto("/welcome/")
    page.get_by_label("Code from the console").fill(CODE.search(up.said()).group())
    page.get_by_label("Email").fill("mara@example.com")
    page.get_by_label(re.compile("name", re.I)).fill("Mara Lindqvist")
    page.get_by_label("Password").fill("correct horse battery staple")
    page.get_by_role("button", name="Continue").click()
    yield page
    context.close()


def credits_in(text: str) -> int:
    return int(re.search(r"([\d,]+)\s*credits", text).group(1).replace(",", ""))


def times(page: Page) -> list[float]:
    return page.evaluate("[...document.querySelectorAll('[data-compare] video')].map((video) => video.currentTime)")


def together(page: Page) -> bool:
    at = times(page)
    return max(at) - min(at) < APART


def test_three_models_are_priced_together_and_confirmed_with_one_click(page: Page):
    page.goto("/new?mode=veo3")
    page.get_by_label("Prompt", exact=True).fill("Dunes at golden hour, a lone walker, slow push in")
    page.get_by_role("button", name="Several models").click()
    expect(page.get_by_role("heading", name="Several clips")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(re.compile("Dunes at golden hour"))
    for model in ("Grok Imagine", "Veevid 1.0 Pro"):
        page.get_by_role("button", name=f"Add {model}", exact=True).click()
        expect(page.get_by_role("group", name=re.compile(model))).to_be_visible()
    total = page.locator("#price .price-big")
    expect(total).to_contain_text("credits")
    expect(page.locator("#price")).to_contain_text("for 3 clips together")
    lines = [credits_in(line) for line in page.locator("#price [aria-label='Price of each'] > li").all_inner_texts()]
    assert len(lines) == 3
    assert credits_in(total.inner_text()) == sum(lines)
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_role("button", name=re.compile(rf"Generate 3 clips for {sum(lines)} credits")).dblclick()
    expect(page).to_have_url(re.compile(r"/batches/\d+$"))
    expect(page.locator(".cell")).to_have_count(3)


def test_they_become_ready_by_themselves_and_stand_side_by_side(page: Page):
    expect(page.locator(".cell [data-preview]")).to_have_count(3, timeout=120_000)
    page.get_by_role("button", name="Compare the chosen").click()
    expect(page.locator("[data-compare] video")).to_have_count(3)
    page.wait_for_function("() => [...document.querySelectorAll('video')].every((video) => video.readyState >= 2)")


def test_they_play_pause_and_seek_in_step(page: Page):
    page.get_by_role("button", name="Play all").click()
    page.wait_for_function("() => [...document.querySelectorAll('video')].every((video) => video.currentTime > 0.4)")
    assert together(page)
    page.get_by_role("button", name="Pause all").click()
    assert page.evaluate("[...document.querySelectorAll('video')].every((video) => video.paused)")
    shortest = page.evaluate("Math.min(...[...document.querySelectorAll('video')].map((video) => video.duration))")
    longest = page.evaluate("Math.max(...[...document.querySelectorAll('video')].map((video) => video.duration))")
    page.get_by_label("Position in all clips").fill(str(round(1000 * (shortest / 2) / longest)))
    page.wait_for_function("() => [...document.querySelectorAll('video')].every((video) => !video.seeking)")
    assert all(abs(at - shortest / 2) < APART for at in times(page))


def test_the_keyboard_plays_and_steps_all_of_them(page: Page):
    page.evaluate("document.activeElement.blur()")
    before = times(page)
    page.keyboard.press("ArrowRight")
    page.wait_for_function("before => document.querySelector('video').currentTime > before + 0.5", arg=before[0])
    assert together(page)
    page.keyboard.press(" ")
    page.wait_for_function("() => [...document.querySelectorAll('video')].some((video) => !video.paused)")
    page.keyboard.press(" ")
    page.wait_for_function("() => [...document.querySelectorAll('video')].every((video) => video.paused)")


def test_sound_comes_from_one_at_a_time(page: Page):
    buttons = page.get_by_role("button", name=re.compile("Sound of clip"))
    buttons.nth(0).click()
    buttons.nth(2).click()
    assert page.evaluate("[...document.querySelectorAll('video')].map((video) => video.muted)") == [True, True, False]
    buttons.nth(2).click()
    assert page.evaluate("[...document.querySelectorAll('video')].every((video) => video.muted)")


def test_the_winner_is_picked_and_counted(page: Page):
    page.get_by_role("button", name=re.compile("Pick as winner: Grok Imagine")).click()
    expect(page.locator(".is-winner")).to_have_count(1)
    expect(page.locator(".is-winner")).to_contain_text("Grok Imagine")
    expect(page.get_by_text("Winner picked by Mara Lindqvist")).to_be_visible()
    page.get_by_role("link", name="Models by wins").click()
    expect(page.get_by_role("row", name=re.compile(r"Grok Imagine\s+1 of 1"))).to_be_visible()


def test_a_matrix_of_two_by_three_shows_its_price_first_and_becomes_a_grid(page: Page):
    page.goto("/new/several?model=grok-imagine&model=veo3&model=veevid-1.0-pro")
    page.get_by_label("Prompt", exact=True).press_sequentially("A {animal} in the snow")
    values = page.get_by_label("animal", exact=True)
    values.fill("fox\nowl")
    values.blur()
    expect(page.locator("#price")).to_contain_text("for 6 clips together")
    total = credits_in(page.locator("#price .price-big").inner_text())
    expect(page.locator("#price")).to_contain_text(re.compile(r"All ready in\s*[\d–]+ (s|min)"))
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_role("button", name=re.compile(f"Generate 6 clips for {total:,} credits")).click()
    expect(page).to_have_url(re.compile(r"/batches/\d+$"))
    expect(page.get_by_role("heading", name=re.compile("animal fox|animal owl"))).to_have_count(2)
    expect(page.locator(".cell")).to_have_count(6)
    expect(page.locator(".cell [data-preview]")).to_have_count(6, timeout=180_000)
    expect(page.locator(".kpi", has_text="Clips")).to_contain_text("6 ready")


def test_nothing_was_reported_on_the_console(page: Page):
    assert COMPLAINTS == []
