"""Pages of share links, for guests and for the team: axe finds nothing, and nothing scrolls sideways."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.stack import Dailies
from tests.test_accessibility import PASSWORD, SHAPES, complaints, in_shape, look
from tests.test_sharing_browser import SEED

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(600)]

LINKS = """
import json
from datetime import timedelta
from django.utils import timezone
from generations import sharing
from generations.models import Collection, CollectionItem, Generation, User

mara, clip = User.objects.get(), Generation.objects.get()
until = timezone.now() + timedelta(days=30)
every = dict(title="The new spot", expires_at=until, may_download=True, shows_prompt=True, shows_price=True,
             shows_author=True)
collection = Collection.objects.create(team=clip.team, owner=mara, name="Alpine")
place = CollectionItem.objects.create(collection=collection, generation=clip, added_by=mara).pk
def share(password="", **terms):
    return sharing.share_clips(mara, [clip], sharing.Terms(**{"expires_at": until, **terms}), password, {})
made = {
    "clip": share(**every),
    "clips": sharing.share_collection(mara, collection, sharing.Terms(**every), "", {}),
    "locked": share("open sesame"),
    "used up": share(max_views=1),
    "embedded": share(embed_on="https://a.example"),
}
for link, _ in made.values():
    sharing.begin_view(link, "Mozilla/5.0 (iPhone) Safari/604.1")
sharing.revoke(mara, share()[0], {})
tokens = {name: token for name, (_, token) in made.items()}
print(json.dumps({"tokens": tokens, "place": place, "link": made["clip"][0].pk, "clip": clip.pk}))
"""


def as_a_guest(page: Page, made: dict[str, Any]) -> Iterator[str]:
    """Opens what guests see, one after the other."""
    paths = {name: f"/s/{token}" for name, token in made["tokens"].items()}
    paths |= {"one of several": f"{paths['clips']}/{made['place']}", "player": f"{paths['embedded']}/embed"}
    for name, path in {**paths, "unknown": "/s/nothing"}.items():
        page.goto(path)
        yield f"guest, {name}"
    page.goto(paths["locked"])
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Open").click()
    page.get_by_text("This is not the password").wait_for()
    yield "guest, wrong password"


def as_a_member(page: Page, made: dict[str, Any]) -> Iterator[str]:
    page.goto(f"/share/new?g={made['clip']}")
    yield "share"
    page.get_by_label("Can be opened").fill("many")
    page.get_by_role("button", name="Make the link").click()
    page.get_by_text("Enter a whole number").wait_for()
    yield "share, something is wrong"
    page.get_by_label("Can be opened").fill("")
    page.get_by_label("Sites that may show").fill("https://a.example")
    page.get_by_role("button", name="Make the link").click()
    page.get_by_role("button", name="Copy the link").wait_for()
    yield "share, the link"
    for name, path in {"share links": "/share-links?state=all", "share link": f"/share-links/{made['link']}"}.items():
        page.goto(path)
        yield name


def test_every_page_of_share_links_is_accessible(make_stack: Callable[..., Dailies], browser: Browser):
    dailies = make_stack(database="sqlite")
    dailies.start_web()
    dailies.python(SEED)
    made = dailies.python(LINKS)
    found: dict[str, list[str]] = {}
    for shape in SHAPES:
        with in_shape(browser, dailies, shape) as context:
            page = context.new_page()
            for name in as_a_guest(page, made):
                look(page, f"{name}, {shape}", found)
            page.goto("/accounts/login/")
            page.get_by_label("Email").fill("mara@example.com")
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in", exact=True).click()
            page.get_by_role("heading", name="Gallery").wait_for(state="attached")
            for name in as_a_member(page, made):
                look(page, f"{name}, {shape}", found)
    print(f"\nsharing: {len(found)} pages checked, {sum(map(len, found.values()))} violations")
    assert not complaints(found)
