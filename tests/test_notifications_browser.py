"""On the real stack: a request is rejected, the bell of who asked shows it, and is cleared by reading."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(300)]

PASSWORD = "a long password of hers"
COMPLAINTS: list[str] = []  # what the browser wrote on its console
PARK = """
import json
from generations import approvals, lifecycle
from generations.models import ApprovalRule, Generation, User
from tests.makers import make_order, make_person

mara, luc = make_person(), make_person("luc@example.com", role="manager")
team = mara.teams.get()
ApprovalRule.objects.create(team=team)
order = make_order("grok-imagine", prompt="Dunes at golden hour")
for _ in range(2):
    lifecycle.confirm(mara, lifecycle.seal(mara, team, order, lifecycle.quote(order.billing)))
print(json.dumps(1))
"""
REJECT = """
import json
from generations import approvals
from generations.models import Generation, User
for generation in Generation.objects.order_by("pk"):
    approvals.reject(generation, User.objects.get(email="luc@example.com"), "Use the shorter one")
print(json.dumps(1))
"""
SWEPT = "import json; from generations.models import Sweep; print(json.dumps(Sweep.objects.exists()))"
TOLD = (
    "import json; from generations.models import Notification;"
    "print(json.dumps(Notification.objects.filter(kind={!r}).count()))"
)
UNREAD = (
    "import json; from generations.models import Notification;"
    "print(json.dumps(Notification.objects.update(read_at=None)))"
)


@pytest.fixture(scope="module")
def dailies(stack: Dailies) -> Dailies:
    stack.wait_for("the first sweep", lambda: stack.python(SWEPT))
    stack.python(PARK)
    stack.wait_for("the managers to be told", lambda: stack.python(TOLD.format("parked")) == 2, seconds=40)
    stack.python(REJECT)
    stack.wait_for("who asked to be told", lambda: stack.python(TOLD.format("decided")) == 2, seconds=40)
    return stack


@pytest.fixture(params=[(1440, 900), (360, 760)], ids=["wide", "phone"])
def page(request: pytest.FixtureRequest, dailies: Dailies, browser: Browser) -> Iterator[Page]:
    width, height = request.param
    with browser.new_context(viewport={"width": width, "height": height}, base_url=dailies.url) as context:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: COMPLAINTS.append(str(error)))
        page.on("console", lambda said: COMPLAINTS.append(said.text) if said.type == "error" else None)
        page.goto("/accounts/login/")
        page.get_by_label("Email").fill("mara@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("heading", name="Gallery").wait_for(state="attached")
        yield page


def test_the_bell_shows_what_is_new_and_clears_as_it_is_read(page: Page, dailies: Dailies):
    dailies.python(UNREAD)
    page.reload()
    bell = page.get_by_role("link", name="Notifications")
    expect(bell).to_contain_text("2 unread")
    bell.click()
    expect(page.get_by_text("“Use the shorter one” Nothing was charged.").first).to_be_visible()
    page.get_by_role("button", name="Mark as read").first.click()
    expect(bell).to_contain_text("1 unread")
    expect(page.get_by_role("button", name="Mark as read")).to_have_count(1)
    page.get_by_role("link", name="rejected by Luc").last.click()
    expect(page.get_by_role("heading", name="Dunes at golden hour")).to_be_visible()
    expect(page.get_by_role("link", name="Notifications")).not_to_contain_text("unread")
    page.goto("/notifications?show=unread")
    expect(page.get_by_text("Everything is read")).to_be_visible()
    assert COMPLAINTS == []


def test_all_are_marked_as_read_at_once(page: Page, dailies: Dailies):
    dailies.python(UNREAD)
    page.goto("/notifications")
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.get_by_role("link", name="Notifications")).not_to_contain_text("unread")
    expect(page.get_by_role("button", name="Mark all as read")).to_have_count(0)
