"""Putting clips in order in a real browser: with the mouse, with keys alone, and with a thumb."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(300)]

PASSWORD = "a long password of hers"
CLIPS = 24
SEED = f"""
import json, uuid
from django.utils import timezone
from django.core.files.base import ContentFile
from generations import catalogue, ledger
from generations.models import ApiAccount, Clip, Generation, Quote
from tests.makers import make_person
mara, account, now = make_person(role="manager", name="Mara Lindqvist"), ApiAccount.objects.get(), timezone.now()
quote = Quote.objects.create(account=account, digest="0" * 64, billing={{}}, credits=140)
for number in range({CLIPS}):
    row = Generation.objects.create(
        team=mara.teams.get(), owner=mara, nonce=uuid.uuid4(), status="COMPLETED", mode="veo3", price=140, charged=140,
        params=catalogue.clean("veo3", "text-to-video", {{}}), generation_type="text-to-video", quote=quote,
        prompt=f"Take {{number}}", finished_at=now, took=40.0, upstream_id=f"vg_{{number}}", account=account)
    ledger.hold(row); ledger.capture(row, 140)
    clip = Clip(generation=row, state="STORED", source_url="", width=1280, height=720, seconds=8.0, size=5,
                stored_at=now, fetch_at=None, sha256=str(number))
    clip.file.save("a.mp4", ContentFile(b"video"), save=False)
    clip.save()
print(json.dumps(1))
"""


@pytest.fixture(scope="module")
def dailies(make_stack: Callable[..., Dailies], make_simulator: Callable[..., Any]) -> Dailies:
    made = make_stack(simulator=make_simulator("--speed", "100", "--balance", "5000"), database="sqlite").start()
    made.python(SEED)
    return made


@pytest.fixture(scope="module")
def state(dailies: Dailies, browser: Browser) -> Any:
    with browser.new_context(base_url=dailies.url) as context:
        page = context.new_page()
        page.goto("/accounts/login/")
        page.get_by_label("Email").fill("mara@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Gallery").wait_for(state="attached")
        return context.storage_state()


@pytest.fixture
def context(dailies: Dailies, browser: Browser, state: Any) -> Iterator[BrowserContext]:
    with browser.new_context(
        base_url=dailies.url, storage_state=state, viewport={"width": 1440, "height": 900}
    ) as made:
        made.set_default_timeout(20_000)
        yield made


@pytest.fixture
def page(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto("/")
    return page


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.getAttribute('aria-label') || ''")


def test_twenty_are_selected_with_shift_and_put_into_a_new_collection(page: Page):
    page.get_by_role("button", name="Select", exact=True).click()
    links = page.locator(".gallery .tile-link")
    links.nth(0).click()
    links.nth(19).click(modifiers=["Shift"])
    expect(page.locator("[data-sum]")).to_contain_text("20 selected · 160 s · 2,800 credits")
    expect(page.locator(".tile.is-picked")).to_have_count(20)
    page.locator("#pick [data-collect] summary").click()
    page.get_by_label("New collection").fill("First cut")
    page.get_by_role("button", name="Make it and add").click()
    expect(page.get_by_text("20 clips added to “First cut”.")).to_be_visible()
    page.goto("/collections")
    page.get_by_role("link", name="First cut").click()
    expect(page.locator(".gallery .tile")).to_have_count(20)


def test_keys_walk_the_gallery_and_put_hearts_and_marks(page: Page):
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith(f"Take {CLIPS - 1}:")
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith(f"Take {CLIPS - 2}:")
    page.keyboard.press("f")
    tile = page.locator(".tile").nth(1)
    expect(tile.locator(".tile-fav")).to_have_count(1)
    assert focused(page).startswith(f"Take {CLIPS - 2}:")
    page.keyboard.press("k")
    expect(tile.locator(".tile-mark")).to_have_text("Kept")
    page.keyboard.press("ArrowDown")
    assert not focused(page).startswith(f"Take {CLIPS - 2}:")
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("[data-sum]")).to_contain_text("3 selected")
    page.keyboard.press("Escape")
    expect(page.locator("#pick")).to_be_hidden()
    expect(page.locator(".tile.is-picked")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()


def test_letters_that_are_typed_into_a_field_are_letters(page: Page):
    page.keyboard.press("/")
    page.keyboard.type("fxckr?")
    expect(page.locator("[data-search]")).to_have_value("fxckr?")
    expect(page.locator("#pick")).to_be_hidden()
    expect(page.locator("#keys")).to_be_hidden()


def test_a_heart_leaves_the_video_of_the_clips_page_alone(page: Page):
    page.locator(".tile-link").nth(2).click()
    page.locator(".stage video").wait_for()
    page.evaluate("window.kept = document.querySelector('.stage video')")
    page.keyboard.press("f")
    expect(page.locator("#shelf [data-heart]")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("New tag").fill("Golden Hour")
    page.get_by_label("New tag").press("Enter")
    expect(page.get_by_role("link", name="golden hour")).to_be_visible()
    assert page.evaluate("window.kept === document.querySelector('.stage video')")


def test_a_thumb_swipes_to_the_next_clip_of_the_choice(dailies: Dailies, browser: Browser, state: Any):
    with browser.new_context(
        base_url=dailies.url, storage_state=state, viewport={"width": 360, "height": 760}, has_touch=True
    ) as context:
        page = context.new_page()
        page.goto("/?q=Take")
        page.locator(".tile-link").first.tap()
        expect(page.locator("[data-older]")).to_be_visible()
        first = page.url
        assert "in=q%3DTake" in first
        swipe(context, page, 300, 60)
        page.wait_for_url(lambda url: url != first)
        assert "in=q%3DTake" in page.url
        swipe(context, page, 60, 300)
        page.wait_for_url(first)


def swipe(context: BrowserContext, page: Page, start: int, end: int) -> None:
    page.wait_for_load_state()
    wire = context.new_cdp_session(page)
    for kind, x in (("touchStart", start), ("touchMove", (start + end) // 2), ("touchMove", end), ("touchEnd", None)):
        points = [] if x is None else [{"x": x, "y": 650}]
        wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


NAME = "(e => e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent)(document.activeElement)"


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until the focus is on something of that name."""
    for _ in range(120):
        if re.match(name, (page.evaluate(NAME) or "").strip()):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {name}")


def test_from_the_idea_to_the_comparison_with_keys_alone(page: Page):
    tab_to(page, "Create")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/new"))
    tab_to(page, "Prompt$")
    page.keyboard.type("Aurora over a black lake")
    tab_to(page, "Review")
    page.keyboard.press("Enter")
    page.locator("#sheet[open]").wait_for()
    tab_to(page, "Generate for")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/$"))
    expect(page.locator(".tile").first).to_contain_text("Aurora over a black lake")
    page.keyboard.press("ArrowRight")
    assert "Aurora over a black lake" in focused(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("[data-sum]")).to_contain_text("2 selected")
    tab_to(page, "Compare")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/compare"))
    tab_to(page, "Play all")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause all")).to_be_visible()
    tab_to(page, "Pick as winner")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Winner", exact=True).first).to_be_visible()
