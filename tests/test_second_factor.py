"""The second factor: codes, recovery codes, and the rule that admins need one."""

import html
import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from generations.models import AuditEntry, SiteRules, User
from tests.makers import make_account, make_person
from tests.pages import text_of

pytestmark = pytest.mark.django_db
PASSWORD = "a long password of hers"


@pytest.fixture
def ada() -> User:
    make_account()
    return make_person("ada@example.com", role="manager", is_staff=True, is_superuser=True)


def signed_in(email: str) -> Client:
    desk = Client()
    desk.post("/accounts/login/", {"login": email, "password": PASSWORD})
    desk.post("/accounts/reauthenticate/", {"password": PASSWORD})  # asked for before anything of this is shown
    return desk


def code_for(secret: str, past: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time())) - past))


def set_up(desk: Client) -> str:
    """Sets up the app as a person does, and returns its key."""
    page = desk.get("/accounts/2fa/totp/activate/").content.decode()
    secret = re.search(r'id="authenticator_secret" value="([A-Z2-7]+)"', page).group(1)
    answer = desk.post("/accounts/2fa/totp/activate/", {"code": code_for(secret)})
    assert answer.status_code == 302
    return secret


def test_the_app_is_set_up_with_a_picture_that_the_csp_lets_through(ada) -> None:
    desk = signed_in("ada@example.com")
    answer = desk.get("/accounts/2fa/totp/activate/")
    page = html.unescape(answer.content.decode())
    assert 'src="data:image/svg+xml;base64,' in page
    assert "data:" in answer.headers["Content-Security-Policy"].split("img-src")[1].split(";")[0]
    assert "style=" not in page
    assert not re.findall(r"<script(?![^>]*(?:src=|application/json))", page)


def test_what_is_set_up_is_in_the_audit_trail(ada, django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        set_up(signed_in("ada@example.com"))
    row = AuditEntry.objects.get(action="signin.totp_activated")
    assert (row.who, row.address) == (ada, "127.0.0.1")
    assert row.what == "Ada: an app that shows codes was set up"


def test_a_wrong_code_sets_nothing_up(ada) -> None:
    desk = signed_in("ada@example.com")
    desk.get("/accounts/2fa/totp/activate/")
    assert "not correct" in text_of(desk.post("/accounts/2fa/totp/activate/", {"code": "000000"}))
    assert not Authenticator.objects.exists()


def test_its_secret_is_unreadable_in_the_database(ada) -> None:
    secret = set_up(signed_in("ada@example.com"))
    stored = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in stored
    assert "gAAAA" in stored


def test_signing_in_then_needs_a_code_or_a_recovery_code(ada) -> None:
    desk = signed_in("ada@example.com")
    secret = set_up(desk)
    codes = re.findall(r"<li>(\d{8})</li>", desk.get("/accounts/2fa/recovery-codes/").content.decode())
    assert len(codes) == 10
    for right in (code_for(secret, past=-1), codes[0]):
        other = signed_in("ada@example.com")
        assert other.get("/").headers["Location"].startswith("/accounts/login/")
        assert "not correct" in text_of(other.post("/accounts/2fa/authenticate/", {"code": "000000"}))
        assert other.get("/").status_code == 302
        other.post("/accounts/2fa/authenticate/", {"code": right})
        assert other.get("/").status_code == 200
    used_twice = signed_in("ada@example.com")
    used_twice.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    assert used_twice.get("/").status_code == 302


def test_admins_who_need_one_and_have_none_see_nothing_else(ada) -> None:
    lea = make_person("lea@example.com", role="manager", is_staff=True)
    mara = make_person("mara@example.com")
    SiteRules.objects.create(pk=1, admins_need_second_factor=True)
    desk = signed_in("lea@example.com")
    for path in ("/", "/settings", "/people", "/g/1/video", "/you", "/admin/", "/accounts/password/change/"):
        assert desk.get(path).headers["Location"] == "/accounts/2fa/?needed=1"
    assert desk.post(reverse("set_admin", args=[mara.pk]), {"on": "1"}).status_code == 302
    assert not User.objects.get(pk=mara.pk).is_staff
    assert "Admins need one here" in text_of(desk.get("/accounts/2fa/?needed=1"))
    set_up(desk)
    assert desk.get("/settings").status_code == 200
    assert signed_in("mara@example.com").get("/").status_code == 200
    assert lea.is_staff


def test_an_admin_asks_it_of_all_only_with_one_of_their_own(ada) -> None:
    desk = signed_in("ada@example.com")
    answer = desk.post(reverse("second_factor_rule"), {"on": "1"})
    assert answer.status_code == 422
    assert "Set up your own second factor first" in text_of(answer)
    assert not SiteRules.objects.exists()
    set_up(desk)
    desk.post(reverse("second_factor_rule"), {"on": "1"})
    assert SiteRules.objects.get().admins_need_second_factor
    assert AuditEntry.objects.latest("pk").action == "second_factor.rule"
    desk.post(reverse("second_factor_rule"), {"on": "0"})
    assert not SiteRules.objects.get().admins_need_second_factor


def test_an_admin_removes_a_lost_one_and_the_person_signs_in_with_the_password(ada) -> None:
    mara = make_person("mara@example.com")
    old = signed_in("mara@example.com")
    set_up(old)
    signed_in("ada@example.com").post(reverse("forget_second_factor", args=[mara.pk]))
    assert old.get("/").status_code == 302
    assert signed_in("mara@example.com").get("/").status_code == 200
    assert AuditEntry.objects.latest("pk").action == "second_factor.removed"


def test_the_only_admin_gets_it_removed_on_the_console(ada, capsys) -> None:
    set_up(signed_in("ada@example.com"))
    call_command("forget_second_factor", "Ada@example.com")
    assert "password alone" in capsys.readouterr().out
    assert signed_in("ada@example.com").get("/").status_code == 200
    row = AuditEntry.objects.latest("pk")
    assert (row.who, row.agent) == (None, "manage.py")
    with pytest.raises(CommandError, match="Nobody has this email address"):
        call_command("forget_second_factor", "eve@example.com")


PAGES = [
    "mfa_index", "mfa_activate_totp", "mfa_list_webauthn", "mfa_add_webauthn", "mfa_generate_recovery_codes",
    "mfa_view_recovery_codes", "mfa_deactivate_totp", "socialaccount_connections", "socialaccount_login_error",
    "socialaccount_login_cancelled", "socialaccount_signup",
]  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_no_page_of_it_looks_foreign(ada, name) -> None:
    desk = signed_in("ada@example.com")
    if name not in ("mfa_activate_totp", "mfa_index"):
        set_up(desk)
    answer = desk.get(reverse(name), follow=True)
    assert answer.status_code == (401 if name == "socialaccount_login_error" else 200)
    page = answer.content.decode()
    assert "brand-mark" in page
    assert not re.findall(r"<script(?![^>]*(?:src=|application/json))", page)
    assert "third-party" not in page.lower()
    assert "two-factor" not in page.lower()
