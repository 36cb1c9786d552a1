"""An invitation from the manager's page to the newcomer's gallery on a phone, and a passkey, in a real browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(240)]
PASSWORD = "a long password of hers"
COMPLAINTS: list[str] = []  # what the browser wrote on its console


@pytest.fixture(scope="module")
def dailies(make_stack) -> Dailies:
    made = make_stack(database="sqlite")
    made.python("import json; from tests.makers import make_person; print(json.dumps(make_person(role='manager').pk))")
    made.start_web()
    made.url = made.url.replace("127.0.0.1", "localhost")  # passkeys are for names
    return made


def opened(browser: Browser, dailies: Dailies, width: int, height: int) -> BrowserContext:
    context = browser.new_context(base_url=dailies.url, viewport={"width": width, "height": height})
    context.set_default_timeout(30_000)
    return context


def listened(page: Page) -> Page:
    page.on("pageerror", lambda error: COMPLAINTS.append(str(error)))
    page.on("console", lambda said: COMPLAINTS.append(said.text) if said.type == "error" else None)
    return page


@pytest.fixture(scope="module")
def mara(browser: Browser, dailies: Dailies) -> Iterator[Page]:
    """The manager's tab."""
    with opened(browser, dailies, 1440, 900) as context:
        page = listened(context.new_page())
        page.goto("/accounts/login/?next=/team")
        page.get_by_label("Email").fill("mara@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        yield page


def test_an_invitation_leads_from_the_managers_page_into_the_team(mara: Page, browser: Browser, dailies: Dailies):
    mara.get_by_label("Email").fill("noor@example.com")
    mara.get_by_role("button", name="Invite").click()
    link = mara.get_by_label("The link").input_value()
    with opened(browser, dailies, 360, 760) as context:
        phone = listened(context.new_page())
        phone.goto(link)
        expect(phone.get_by_label("Email")).to_have_value("noor@example.com")
        phone.get_by_label("Name").fill("Noor Haddad")
        phone.get_by_label("Password").fill("correct horse battery staple")
        phone.get_by_role("button", name="Make the account and join").click()
        expect(phone.get_by_text("Welcome to Northlight. You are in as member.")).to_be_visible()
        expect(phone.get_by_role("heading", name="No clips yet")).to_be_visible()
    mara.goto("/team")
    expect(mara.locator("#members")).to_contain_text("noor@example.com")
    expect(mara.locator("#invitations")).not_to_contain_text("noor@example.com")


def test_a_role_changes_in_place(mara: Page):
    mara.evaluate("window.untouched = true")
    mara.get_by_label("Role of Noor Haddad", exact=True).select_option("viewer")
    with mara.expect_response(re.compile("/role$")):
        mara.get_by_role("button", name="Change the role of Noor Haddad").click()
    expect(mara.get_by_label("Role of Noor Haddad", exact=True)).to_have_value("viewer")
    assert mara.evaluate("window.untouched")


def test_a_passkey_signs_in_without_the_password(mara: Page):
    devtools = mara.context.new_cdp_session(mara)
    devtools.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    options = {**key, "isUserVerified": True, "automaticPresenceSimulation": True}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    mara.goto("/accounts/2fa/webauthn/add/")
    mara.get_by_label("Password").fill(PASSWORD)
    mara.get_by_role("button", name="Continue").click()
    mara.get_by_role("button", name="Add the passkey").click()
    expect(mara.get_by_role("heading", name="Recovery codes")).to_be_visible()
    mara.goto("/accounts/logout/")
    mara.get_by_role("button", name="Sign out").click()
    mara.get_by_role("button", name="Use a passkey").click()
    expect(mara.get_by_role("heading", name="No clips yet")).to_be_visible()


def test_nothing_was_reported_on_the_console():
    assert COMPLAINTS == []
