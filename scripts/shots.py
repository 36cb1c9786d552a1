"""Takes a picture of every page of a running Dailies: at 360, 768 and 1440 pixels, light and dark.

    .venv/bin/python -m scripts.shots http://127.0.0.1:8000 mara@example.com PASSWORD shots/

The person must be an admin who may generate. Nothing is confirmed and nothing is changed; the review asks for a price.
Clips are taken as they are found, one of each state that the gallery shows.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from scripts.test_tools import find_chromium

WIDTHS = {360: 760, 768: 1024, 1440: 900}  # of the window, with its height
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
STATES = {"ready": "ready", "working": "rendering", "trouble": "failed", "unknown": "unknown", "cancelled": "cancelled"}
PAGES = {
    "gallery": "/",
    "nothing-matches": "/?q=nothing+has+these+words",
    "compose": "/new",
    "compose-image": "/new?type=image-to-video",
    "compose-kling": "/new?mode=kling-3",
    "library": "/library",
    "prompts": "/prompts",
    "prompts-new": "/prompts/new",
    "prompts-import": "/prompts/import",
    "several": "/new/several?model=kling-3&model=veo3&prompt=A+{animal}+in+the+snow",
    "compare-wrong": "/compare?ids=1",
    "models-by-wins": "/compare/models",
    "collections": "/collections",
    "bin": "/bin",
    "queue": "/queue",
    "spend-team": "/spend?view=team",
    "spend-by-status": "/spend?view=team&by=status",
    "spend-mine": "/spend?view=mine",
    "approvals": "/approvals",
    "audit": "/audit",
    "audit-nothing": "/audit?text=zzz",
    "share-links": "/share-links?state=all",
    "share-nothing": "/s/nothing",
    "team": "/team",
    "storage": "/storage?days=90",
    "settings": "/settings",
    "people": "/people",
    "you": "/you",
    "notifications": "/notifications",
    "second-factor": "/accounts/2fa/",
    "link-closed": "/join/nothing",
    "password": "/accounts/password/change/",
    "not-found": "/nothing-is-here",
}
SETTLED = 400  # milliseconds for prices, posters and fonts to arrive


def sign_in(browser: Browser, base: str, email: str, password: str) -> BrowserContext:
    """A signed-in context, whose cookies the others share."""
    context = browser.new_context(base_url=base)
    page = context.new_page()
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()
    if "/accounts/login" in page.url:
        sys.exit("This email address and password do not open Dailies.")
    return context


def found_clips(page: Page) -> dict[str, str]:
    """The page of one clip in each state that there is."""
    clips = {}
    for status, name in STATES.items():
        page.goto(f"/?status={status}")
        link = page.locator(".tile-link").first
        if link.count():
            clips[f"clip-{name}"] = str(link.get_attribute("href"))
    return clips


def open_review(page: Page) -> None:
    page.goto("/new")
    page.get_by_label("Prompt", exact=True).fill("A lone walker crests the dune at golden hour, slow push in")
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.locator("#sheet[open]").wait_for()


def open_menu(page: Page) -> None:
    page.goto("/")
    page.locator(".topbar .menu > summary:visible, .tabbar .menu > summary:visible").first.click()


def open_filter(page: Page) -> None:
    page.goto("/")
    filters = page.locator(".filters .menu > summary:visible")
    if filters.count():  # an empty gallery has none
        filters.first.click()


DIALOGS = {"review": open_review, "menu": open_menu, "filter": open_filter}


def walk(page: Page, clips: dict[str, str]) -> Iterator[tuple[str, bool]]:
    """Opens one thing after the other: its name, and whether the whole page is to be in the picture."""
    for name, path in {**PAGES, **clips}.items():
        page.goto(path)
        yield name, name != "gallery"
    for name, opens in DIALOGS.items():
        opens(page)
        yield name, False


def take(browser: Browser, signed_in: BrowserContext, base: str, folder: Path) -> int:
    state = signed_in.storage_state()
    clips = found_clips(signed_in.new_page())
    taken = 0
    for width, height in WIDTHS.items():
        for theme in THEMES:
            with browser.new_context(
                base_url=base,
                storage_state=state,
                viewport={"width": width, "height": height},
                device_scale_factor=2 if width < 768 else 1,
                color_scheme=theme,
            ) as context:
                page = context.new_page()
                for name, whole in walk(page, clips):
                    page.wait_for_timeout(SETTLED)
                    page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=whole)
                    taken += 1
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="where Dailies runs: http://127.0.0.1:8000")
    parser.add_argument("email")
    parser.add_argument("password")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    base = given.base.rstrip("/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--disable-gpu", "--disable-background-networking"]
        )
        with sign_in(browser, base, given.email, given.password) as signed_in:
            taken = take(browser, signed_in, base, given.folder)
        browser.close()
    print(f"{taken} pictures in {given.folder}")


if __name__ == "__main__":
    main()
