"""A submission without a clear answer, decided by a person in a real browser. The simulator's journal is the judge.

The whole stack runs: beat, worker, web and the simulator, which accepts the clip and loses its answer, or never got it.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import jobs
from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(300)]

COMPLAINTS: list[str] = []  # what the browser wrote on its console
PASSWORD = "a long password of hers"
MANAGER = """
import json
from tests.makers import make_person
print(json.dumps(make_person(role="manager", name="Mara Lindqvist").pk))
"""


@pytest.fixture(scope="module")
def dailies(make_stack: Callable[..., Dailies], make_simulator) -> Dailies:
    made = make_stack(simulator=make_simulator("--speed", "100", "--balance", "5000"), database="sqlite").start()
    made.python(MANAGER)
    return made


@pytest.fixture(scope="module")
def page(dailies: Dailies, browser: Browser) -> Iterator[Page]:
    """The manager's tab, signed in."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=dailies.url)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: COMPLAINTS.append(str(error)))
    page.on("console", lambda said: COMPLAINTS.append(said.text) if said.type == "error" else None)
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill("mara@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Gallery").wait_for(state="attached")
    yield page
    context.close()


def books(dailies: Dailies, prompt: str) -> tuple[int, int]:
    """What the ledger holds and has spent for one prompt."""
    (row,) = jobs.ask(
        dailies,
        "SELECT coalesce(sum(l.held), 0), coalesce(sum(l.spent), 0) FROM generations_ledgerentry l "
        f"JOIN generations_generation g ON g.id = l.generation_id WHERE g.prompt = '{prompt}'",
    )
    return row


def price(dailies: Dailies, prompt: str) -> int:
    return jobs.ask(dailies, f"SELECT price FROM generations_generation WHERE prompt = '{prompt}'")[0][0]


def accepted(dailies: Dailies, prompt: str) -> list[str]:
    """Ids of what the simulator accepted, and charged, with this prompt."""
    return [row["id"] for row in dailies.simulator.generations() if row["prompt"] == prompt]


def lose(dailies: Dailies, page: Page, prompt: str, kind: str, **options: object) -> None:
    """Confirms a clip whose answer gets lost, waits for the evidence, and opens its page from the queue."""
    dailies.simulator.fault("generate", kind, **options)
    jobs.confirm_all(dailies, [("grok-imagine", "text-to-video", prompt)])
    read = (
        f"SELECT count(*) FROM generations_evidence e JOIN generations_submission s ON s.id = e.submission_id "
        f"JOIN generations_generation g ON g.id = s.generation_id WHERE g.prompt = '{prompt}'"
    )
    dailies.wait_for("the balance is read", lambda: jobs.ask(dailies, read)[0][0], 60)
    page.goto("/queue")
    page.get_by_role("link", name=re.compile(f"Review.*{prompt}")).click()
    expect(page.get_by_role("main").get_by_text("Outcome unknown")).to_be_visible()
    assert dailies.simulator.submissions(prompt=prompt) == 1
    assert books(dailies, prompt) == (price(dailies, prompt), 0)


def agree(page: Page, opens: str, says: str, button: re.Pattern[str] | str) -> None:
    """Presses a button that asks again: once taken back, once meant."""
    for answer in ("Back", button):
        page.get_by_role("button", name=opens).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(says)
        dialog.get_by_role("button", name=answer).click()
        expect(dialog).to_be_hidden()


def test_a_clip_found_on_veevids_site_is_adopted_and_plays(dailies: Dailies, page: Page):
    prompt = "Dunes at golden hour"
    lose(dailies, page, prompt, "reset", when="after")
    expect(page.get_by_text("exactly this price, and nothing else of ours")).to_be_visible()
    (there,) = accepted(dailies, prompt)
    page.get_by_label("It is there: its generation id").fill("vg_not_there")
    page.get_by_role("button", name="Adopt this clip").click()
    expect(page.get_by_role("alert")).to_contain_text("knows no generation with this id")
    page.get_by_label("It is there: its generation id").fill(there)
    page.get_by_role("button", name="Adopt this clip").click()
    expect(page.get_by_text("Decided by Mara")).to_be_visible()
    page.get_by_role("button", name="Play").click(timeout=60_000)
    page.wait_for_function("() => document.querySelector('.stage video').currentTime > 0.2")
    assert dailies.simulator.submissions(prompt=prompt) == 1
    assert books(dailies, prompt) == (0, price(dailies, prompt))


def test_one_marked_as_charged_is_settled_without_a_clip_and_nothing_is_sent(dailies: Dailies, page: Page):
    prompt = "A night train crosses the pass"
    lose(dailies, page, prompt, "hang", seconds=1, when="before")
    agree(page, "Mark as charged…", "settled as spent", "Mark as charged")
    expect(page.get_by_text("Decided by Mara")).to_be_visible()
    expect(page.get_by_text("This clip failed").first).to_be_visible()
    assert books(dailies, prompt) == (0, price(dailies, prompt))
    assert dailies.simulator.submissions(prompt=prompt) == 1
    assert accepted(dailies, prompt) == []


def test_one_released_is_sent_exactly_once_more_and_plays(dailies: Dailies, page: Page):
    prompt = "Steam over the counter"
    lose(dailies, page, prompt, "reset", when="before")
    expect(page.get_by_text("The balance is unchanged").first).to_be_visible()
    agree(page, "Release and send again…", "paid a second time", re.compile("Send again for"))
    expect(page.get_by_text("Decided by Mara")).to_be_visible()
    page.get_by_role("button", name="Play").click(timeout=60_000)
    page.wait_for_function("() => document.querySelector('.stage video').currentTime > 0.2")
    assert dailies.simulator.submissions(prompt=prompt) == 2
    assert len(accepted(dailies, prompt)) == 1
    assert books(dailies, prompt) == (0, price(dailies, prompt))
    kinds = "SELECT kind FROM generations_decision ORDER BY id"
    assert [kind for (kind,) in jobs.ask(dailies, kinds)] == ["adopt", "charged", "again"]


def test_the_vendors_balance_fell_by_what_was_accepted_and_no_more(dailies: Dailies, page: Page):
    paid = 0
    for row in dailies.simulator.generations():
        paid += price(dailies, row["prompt"])
    assert dailies.simulator.balance() == 5000 - paid
    print(f"\n{dailies.simulator.submissions()} submissions, {len(dailies.simulator.generations())} accepted")


def test_nothing_was_reported_on_the_console(page: Page):
    assert [said for said in COMPLAINTS if "422" not in said] == []
