"""The gallery in a real browser: it grows as one scrolls, Back leads to the same place, new clips move nothing."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.servers import wait_for
from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(300)]

PASSWORD = "a long password of hers"
SEED = """
import json, tempfile, uuid
from pathlib import Path
from django.core.files.base import ContentFile
from django.utils import timezone
from generations import film
from generations.models import Clip, Generation, Status
from tests.makers import make_person
from tests.test_film import shoot
from tests.test_gallery import make_clip

mara = make_person(role="manager")
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    video = shoot(folder / "a.mp4", 3, sound=False, size=(640, 360))
    made = film.develop(video, folder)
    first = make_clip(mara, prompt="take 0")
    first.file.save("a.mp4", ContentFile(video.read_bytes()), save=False)
    for name in ("poster", "poster_small", "preview"):
        path = folder / getattr(made, name)
        getattr(first, name).save(path.name, ContentFile(path.read_bytes()), save=False)
    first.width, first.height = 640, 360
    first.save()
"""
MORE = """
import json, uuid
from generations.models import Clip, Generation

kept = Clip.objects.select_related("generation").order_by("pk").first()
for number in range({number}):
    copy = Generation.objects.get(pk=kept.generation_id)
    copy.pk, copy.nonce, copy.upstream_id, copy.prompt = None, uuid.uuid4(), None, "{prompt} " + str(number)
    copy.save(force_insert=True)
    clip = Clip.objects.get(pk=kept.pk)
    clip.pk, clip.generation = None, copy
    clip.save(force_insert=True)
print(json.dumps(copy.pk))
"""


@pytest.fixture(scope="module")
def dailies(tmp_path_factory) -> Iterator[Dailies]:
    dailies = Dailies(tmp_path_factory.mktemp("gallery"), "", "", None)
    dailies.prepare()
    dailies.python(SEED + MORE.format(number=159, prompt="take"))
    dailies.start_web()
    yield dailies
    dailies.end()


@pytest.fixture(scope="module")
def signed_in(dailies: Dailies, browser: Browser) -> Any:
    with browser.new_context(base_url=dailies.url) as context:
        page = context.new_page()
        page.goto("/accounts/login/")
        page.get_by_label("Email").fill("mara@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.locator(".tile").first.wait_for()
        return context.storage_state()


@pytest.fixture
def context(dailies: Dailies, browser: Browser, signed_in, request) -> Iterator[BrowserContext]:
    options = getattr(request, "param", {})
    shape: Any = {"width": 1280, "height": 800}
    context = browser.new_context(base_url=dailies.url, storage_state=signed_in, viewport=shape, **options)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto("/")
    return page


def scroll_until(page: Page, tiles: int) -> None:
    """As a person does it: to the end, and further when more has come."""

    def enough() -> bool:
        page.mouse.wheel(0, 3000)
        page.wait_for_timeout(100)
        return page.locator(".tile").count() >= tiles

    wait_for(f"{tiles} tiles", enough, 30)


def middle_tile(page: Page) -> Locator:
    """A tile near the middle: where the scrolling ended, the very middle may be a gap between two rows."""
    place = """() => [400, 380, 420, 350, 450].map(y => document.elementFromPoint(600, y)?.closest('.tile')?.id)
        .find(id => id)"""
    return page.locator(f"#{page.wait_for_function(place).json_value()}")


def top_of(tile: Locator) -> float:
    return tile.evaluate("tile => tile.getBoundingClientRect().top")


# -- growing, and coming back -----------------------------------------------------------------------------------------


def test_it_grows_as_one_scrolls_without_gaps_or_repeats(page):
    expect(page.locator(".tile")).to_have_count(40)
    scroll_until(page, 160)
    expect(page.locator(".tile-more")).to_have_count(0)
    numbers = page.locator(".tile").evaluate_all("tiles => tiles.map(tile => +tile.id.slice(5))")
    assert numbers == sorted(set(numbers), reverse=True)
    assert len(numbers) == 160


@pytest.mark.parametrize("way", ["Back", "the clip page's link"])
def test_back_leads_to_the_same_place(page, way):
    scroll_until(page, 120)
    page.mouse.wheel(0, -900)
    page.wait_for_timeout(300)
    tile = middle_tile(page)
    name, top = tile.get_attribute("id"), top_of(tile)
    count = page.locator(".tile").count()
    tile.locator(".tile-link").click()
    page.wait_for_url(re.compile("/g/"))
    if way == "Back":
        page.go_back()
    else:
        page.locator("[data-to-gallery]").click()
    expect(page.locator(f"#{name}")).to_be_in_viewport()
    wait_for("the tile to be where it was", lambda: abs(top_of(page.locator(f"#{name}")) - top) < 3, 5)
    assert page.locator(".tile").count() >= count


def test_back_from_another_choice_shows_the_choice_before(page):
    page.goto("/?q=take")
    page.goto("/?q=nothing+has+these")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.go_back()
    expect(page.locator(".tile")).to_have_count(40)


# -- previews ---------------------------------------------------------------------------------------------------------


def test_a_preview_starts_after_a_moment_and_stops_on_leaving(page):
    first, second = page.locator(".tile").nth(0), page.locator(".tile").nth(1)
    page.evaluate("""() => { const began = {}; window.began = began;
        const over = (event) => { began.at ??= event.target.closest('.tile') && performance.now(); };
        document.addEventListener('pointerover', over);
        new MutationObserver(() => { if (document.querySelector('.tile video')) began.video ??= performance.now(); })
            .observe(document.querySelector('.gallery'), { childList: true, subtree: true }); }""")
    first.hover()
    video = first.locator("video")
    page.wait_for_function("v => v.currentTime > 0.1 && !v.paused && v.muted", arg=video.element_handle())
    assert page.evaluate("began.video - began.at") >= 240
    second.hover()
    expect(first.locator("video")).to_have_count(0)
    page.mouse.move(5, 5)
    expect(page.locator(".tile video")).to_have_count(0)


def test_passing_over_starts_nothing(page):
    for place in range(3):
        page.locator(".tile").nth(place).hover()
        page.wait_for_timeout(60)
    page.mouse.move(5, 5)
    page.wait_for_timeout(500)
    expect(page.locator(".tile video")).to_have_count(0)


def test_focus_plays_as_well(page):
    page.locator(".tile-link").first.focus()
    expect(page.locator(".tile video")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tile").first.locator("video")).to_have_count(0)


@pytest.mark.parametrize("context", [{"reduced_motion": "reduce"}], indirect=True, ids=["reduced motion"])
def test_who_wants_little_motion_gets_none(page):
    page.locator(".tile").first.hover()
    page.wait_for_timeout(700)
    expect(page.locator(".tile video")).to_have_count(0)


def test_who_saves_data_loads_no_preview(context):
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/preview") else None)
    page.add_init_script("Object.defineProperty(navigator, 'connection', { value: { saveData: true } })")
    page.goto("/")
    page.locator(".tile").first.hover()
    page.wait_for_timeout(700)
    assert asked == []


def test_a_tile_loads_the_poster_that_fits(page):
    image = page.locator(".tile img").first
    page.wait_for_function("image => image.complete && image.naturalWidth", arg=image.element_handle())
    chosen = image.evaluate("image => [image.currentSrc, image.clientWidth * devicePixelRatio]")
    assert chosen[0].endswith("/poster/320") == (chosen[1] <= 320), chosen


# -- what comes while one looks (last: these add clips) ---------------------------------------------------------------


def ask_now(page: Page) -> None:
    page.evaluate("htmx.trigger('#watch', 'every', {}, false)")


def number_before(tile: Locator) -> int:
    """How many tiles stand before it. After it older ones may still come, since the end of the page is near."""
    return tile.evaluate("tile => [...document.querySelectorAll('.tile')].indexOf(tile)")


def test_new_clips_are_told_of_and_move_nothing(page, dailies):
    scroll_until(page, 80)
    tile = middle_tile(page)
    top, before = top_of(tile), number_before(tile)
    newest = dailies.python(MORE.format(number=3, prompt="fresh"))
    ask_now(page)
    pill = page.get_by_role("link", name="3 new")
    expect(pill).to_be_in_viewport()
    assert (top_of(tile), number_before(tile)) == (top, before)
    pill.click()
    expect(page.locator(".tile").first).to_have_id(f"tile-{newest}")
    expect(page.locator(".arrived")).to_have_count(0)


def test_a_clip_that_gets_ready_leaves_a_playing_preview_alone(context, dailies):
    print_pk = "print(generation.pk)"
    working = dailies.python(
        f"generation = Generation.objects.order_by('-pk').first(); {print_pk}\n"
        "generation.clip.delete(); Generation.objects.filter(pk=generation.pk)"
        ".update(status='PROCESSING', sent_at=generation.created_at)\n" + print_pk
    )
    page = context.new_page()
    page.goto("/")
    tile = page.locator(f"#tile-{working}")
    expect(tile).to_have_class(re.compile("tile-state"))
    page.locator(".tile").nth(3).hover()
    video = page.locator(".tile video")
    page.wait_for_function("v => v.currentTime > 0.1", arg=video.element_handle())
    page.evaluate("() => { window.playing = document.querySelector('.tile video'); }")
    dailies.python(
        f"clip = Clip.objects.order_by('pk').first(); clip.pk, clip.generation_id = None, {working}; clip.save()\n"
        f"print(Generation.objects.filter(pk={working}).update(status='COMPLETED', finished_at=clip.stored_at))"
    )
    expect(tile).not_to_have_class(re.compile("tile-state"))
    expect(tile.locator("img")).to_be_visible()
    assert page.evaluate("playing.isConnected")
