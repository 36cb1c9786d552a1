"""A link from the page of a clip to a phone: with a password, with a seeking player, and gone once it is revoked."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(240)]
COMPLAINTS: list[str] = []  # what browsers wrote on their consoles

SEED = """
import json, pathlib, tempfile, uuid
from django.core.files.base import ContentFile
from generations import catalogue
from generations.models import ApiAccount, Clip, Generation, Quote
from simulator import clips
from tests.makers import make_person

mara = make_person(name="Mara Lindqvist")
film = pathlib.Path(tempfile.mkdtemp()) / "a.mp4"
plan = {"scene": "planet", "seed": 3, "ratio": "16:9", "seconds": 4, "sound": False}
clips.draw(film, plan, None, True, lambda: False)
quote = Quote.objects.create(account=ApiAccount.objects.get(), digest="0" * 64, billing={}, credits=250)
row = Generation.objects.create(
    team=mara.teams.get(), owner=mara, quote=quote, price=250, charged=250, nonce=uuid.uuid4(), status="COMPLETED",
    mode="kling-3", generation_type="text-to-video", prompt="Sunrise seen from orbit",
    params=catalogue.clean("kling-3", "text-to-video", {}))
clip = Clip(generation=row, state="STORED", source_url="", sha256="abc", width=640, height=360, seconds=4.0)
clip.file.save("a.mp4", ContentFile(film.read_bytes()), save=False)
clip.preview.save("p.mp4", ContentFile(film.read_bytes()), save=False)
clip.poster.save("a.webp", ContentFile(b""), save=False)
clip.save()
print(json.dumps(row.pk))
"""


@pytest.fixture(scope="module")
def dailies(make_stack: Callable[..., Dailies]) -> Dailies:
    made = make_stack(database="sqlite")
    made.start_web()
    return made


@pytest.fixture(scope="module")
def clip(dailies: Dailies) -> int:
    return dailies.python(SEED)


def opened(browser: Browser, dailies: Dailies, width: int, height: int) -> BrowserContext:
    context = browser.new_context(base_url=dailies.url, viewport={"width": width, "height": height})
    context.set_default_timeout(30_000)
    return context


def listened(page: Page) -> Page:
    page.on("pageerror", lambda error: COMPLAINTS.append(str(error)))
    page.on("console", lambda said: COMPLAINTS.append(said.text) if "Content Security Policy" in said.text else None)
    return page


@pytest.fixture(scope="module")
def mara(browser: Browser, dailies: Dailies, clip: int) -> Iterator[Page]:
    with opened(browser, dailies, 1440, 900) as context:
        page = listened(context.new_page())
        page.goto(f"/accounts/login/?next=/g/{clip}")
        page.get_by_label("Email").fill("mara@example.com")
        page.get_by_label("Password").fill("a long password of hers")
        page.get_by_role("button", name="Sign in", exact=True).click()
        yield page


def test_a_link_with_a_password_is_watched_elsewhere_revoked_and_gone(mara: Page, browser: Browser, dailies: Dailies):
    mara.get_by_role("link", name="Share", exact=True).click()
    mara.get_by_label("Title for guests").fill("Orbit, sunrise")
    mara.get_by_label("Password").fill("open sesame")
    mara.get_by_role("button", name="Make the link").click()
    link = mara.get_by_label("The link", exact=True).input_value()
    with opened(browser, dailies, 360, 760) as context:
        phone = listened(context.new_page())
        phone.goto(link)
        expect(phone).to_have_title("A link from Northlight")
        phone.get_by_label("Password").fill("open barley")
        phone.get_by_role("button", name="Open").click()
        expect(phone.get_by_text("This is not the password.")).to_be_visible()
        phone.get_by_label("Password").fill("open sesame")
        phone.get_by_role("button", name="Open").click()
        expect(phone.locator("p", has_text="Orbit, sunrise")).to_be_visible()
        assert "Sunrise seen" not in phone.content()
        video = phone.locator("video")
        video.evaluate("v => new Promise(done => { v.onseeked = done; v.currentTime = 3; })")
        phone.get_by_role("button", name="Play").click()
        video.evaluate("v => new Promise(done => { v.ontimeupdate = () => v.currentTime > 3.2 && done(); })")

        mara.goto("/share-links")
        expect(mara.locator(".people")).to_contain_text("1 view")
        mara.get_by_role("button", name="Revoke Orbit, sunrise").click()
        mara.get_by_role("button", name="Revoke", exact=True).click()
        expect(mara.get_by_text("The link opens nothing from now on.")).to_be_visible()

        piece = video.evaluate("v => fetch(v.src, { headers: { Range: 'bytes=0-99' } }).then(said => said.status)")
        assert piece == 410
        assert phone.reload().status == 410
        expect(phone.get_by_text("It was ended by the people who shared it.")).to_be_visible()


def test_the_player_shows_in_the_page_of_a_site_that_the_link_names_and_in_no_other(
    mara: Page, browser: Browser, dailies: Dailies, clip: int
):
    mara.goto(f"/share/new?g={clip}")
    mara.get_by_label("Sites that may show the player").fill("http://films.localhost")
    mara.get_by_role("button", name="Make the link").click()
    frame = mara.get_by_label("For the page of http://films.localhost").input_value()
    with opened(browser, dailies, 1440, 900) as context:
        context.grant_permissions(["local-network-access"])  # of the browser: from a site to this machine
        for site, shown in (("http://films.localhost", True), ("http://thief.localhost", False)):
            context.route(f"{site}/", lambda route: route.fulfill(body=frame, content_type="text/html"))
            page = context.new_page()
            page.goto(f"{site}/")
            player = page.frame_locator("iframe").locator("video")
            if shown:
                expect(player).to_be_visible()
            else:
                page.wait_for_timeout(1000)
                assert player.count() == 0


def test_nothing_was_reported_on_the_console():
    assert COMPLAINTS == []
