"""The first run, and signing in and out."""

import pytest
from django.urls import reverse

from generations.accounts import SETUP_TRIES, ensure_demo
from generations.models import Membership, SetupCode, User
from generations.views.gate import FirstRunMiddleware
from tests.makers import make_account, make_person

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture
def code(monkeypatch, settings) -> str:
    monkeypatch.setattr(FirstRunMiddleware, "somebody_exists", False)
    settings.SIMULATOR_URL = "http://127.0.0.1:9/api"
    ensure_demo()
    return SetupCode.issue()


def fill(client, code: str, **changed: str):
    said = {"code": code, "email": "Mara@Northlight.example", "name": "Mara Lindqvist", "password": PASSWORD}
    return client.post("/welcome/", {**said, **changed})


# -- the first run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/queue", "/settings", "/accounts/login/", "/admin/"])
def test_until_somebody_exists_every_page_leads_to_the_welcome_page(client, code, path) -> None:
    assert client.get(path).headers["Location"] == "/welcome/"
    assert b"Make yourself the admin" in client.get("/welcome/").content


def test_the_code_makes_the_first_admin_and_signs_them_in(client, code) -> None:
    answer = fill(client, code.lower().replace("-", " "))
    mara = User.objects.get()
    assert answer.headers["Location"] == "/"
    assert client.session["_auth_user_id"] == str(mara.pk)
    assert (mara.email, mara.is_staff, mara.is_superuser) == ("mara@northlight.example", True, True)
    assert mara.memberships.get().role == Membership.Role.MANAGER


def test_with_neither_simulator_nor_key_the_way_leads_to_the_key(client, code, settings) -> None:
    settings.SIMULATOR_URL = ""
    assert fill(client, code).headers["Location"] == "/settings?welcome=1"


def test_a_wrong_code_makes_nobody_and_keeps_what_was_typed_but_the_password(client, code) -> None:
    answer = fill(client, "AAAA-BBBB-CCCC")
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "not the code on the console" in page
    assert "Mara Lindqvist" in page
    assert PASSWORD not in page
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("password", "short", "at least 12 characters"),
        ("password", "", "at least 12 characters"),
        ("password", "mara@northlight.example", "too similar to the email"),
        ("email", "mara", "valid email"),
        ("name", "", "Type the name"),
        ("code", "", "Type the code"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_there_and_costs_no_try(client, code, field, typed, said) -> None:
    answer = fill(client, **{"code": code, field: typed})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert (SetupCode.objects.get().tries, User.objects.count()) == (0, 0)


def test_after_twenty_wrong_codes_not_even_the_right_one_works(client, code) -> None:
    for _ in range(SETUP_TRIES):
        answer = fill(client, "AAAA-BBBB-CCCC")
    assert "Restart Dailies for a new one" in answer.content.decode()
    assert fill(client, code).status_code == 422
    assert not User.objects.exists()
    assert SetupCode.objects.get().tries == SETUP_TRIES


def test_once_somebody_exists_the_page_only_leads_on(client, code) -> None:
    fill(client, code)
    assert client.get("/welcome/").headers["Location"] == "/"
    client.logout()
    assert client.get("/welcome/").headers["Location"] == "/accounts/login/"
    fill(client, SetupCode.issue(), email="second@example.com")
    assert User.objects.count() == 1


# -- signing in -------------------------------------------------------------------------------------------------------


def test_signing_in_leads_back_to_the_page_that_was_asked_for(client) -> None:
    make_account()
    make_person("mara@example.com")
    asked = client.get("/queue").headers["Location"]
    assert 'name="next" value="/queue"' in client.get(asked).content.decode()
    said = {"login": "mara@example.com", "password": "a long password of hers", "next": "/queue"}
    assert client.post(reverse("account_login"), said).headers["Location"] == "/queue"


def test_a_wrong_password_is_said_and_not_sent_back(client) -> None:
    make_person("mara@example.com")
    page = client.post(reverse("account_login"), {"login": "mara@example.com", "password": "not this one"}).content
    assert b"not correct" in page
    assert b"mara@example.com" in page
    assert b"not this one" not in page


def test_a_foreign_next_is_not_followed(client) -> None:
    make_person("mara@example.com")
    said = {"login": "mara@example.com", "password": "a long password of hers", "next": "https://example.org/"}
    assert client.post(reverse("account_login"), said).headers["Location"] == "/"


def test_nobody_signs_up_by_themselves(client) -> None:
    make_person("mara@example.com")
    said = {"email": "eve@example.com", "password1": PASSWORD}
    assert b"By invitation" in client.post(reverse("account_signup"), said).content
    assert User.objects.count() == 1


PAGES = [
    "account_login", "account_logout", "account_inactive", "account_signup", "account_reauthenticate", "account_email",
    "account_email_verification_sent", "account_change_password", "account_set_password", "account_reset_password",
    "account_reset_password_done", "account_reset_password_from_key_done", "account_confirm_login_code",
]  # fmt: skip


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("name", PAGES)
def test_no_page_of_the_sign_in_looks_foreign(client, name, signed_in) -> None:
    make_account()
    mara = make_person("mara@example.com")
    if signed_in:
        client.force_login(mara)
    answer = client.get(reverse(name), follow=True)
    assert answer.status_code == 200
    assert "brand-mark" in answer.content.decode()
    assert "Menu:" not in answer.content.decode()


@pytest.mark.parametrize(
    "path", ["confirm-email/abc/", "password/reset/key/1-abc/", "password/reset/key/1-set-password/"]
)
def test_links_that_lead_nowhere_say_so_in_our_look(client, path) -> None:
    make_person("mara@example.com")
    answer = client.get(f"/accounts/{path}", follow=True)
    assert "brand-mark" in answer.content.decode()


def test_the_password_page_promises_no_mail(client) -> None:
    make_person("mara@example.com")
    page = client.get(reverse("account_reset_password")).content.decode()
    assert "Ask an admin" in page
    assert "<form" not in page


def test_a_changed_password_is_taken(client) -> None:
    make_account()
    client.force_login(make_person("mara@example.com"))
    said = {"oldpassword": "a long password of hers", "password1": PASSWORD, "password2": PASSWORD}
    client.post(reverse("account_change_password"), said)
    assert User.objects.get().check_password(PASSWORD)
