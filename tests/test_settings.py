"""Wrong settings stop the start with the variable's name; the value, which may be a secret, is never repeated."""

import os
import stat
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.urls import reverse

from tests.makers import make_account, make_person
from tests.servers import clean_environment, last_json, manage

SETTING = "import json; from django.conf import settings; print(json.dumps({}))"
WRONG = {
    "DEBUG": ["perhaps-6174"],
    "PORT": ["eighty-6174", "0", "70000"],
    "SECRET_KEY": ["short-6174"],
    "SECRETS_KEYS": ["not-a-fernet-key-6174"],
    "ALLOWED_HOSTS": ["https://dailies-6174.example"],
    "CSRF_TRUSTED_ORIGINS": ["dailies-6174.example"],
    "DATABASE_URL": ["mysql://me:6174@db/dailies"],
    "REDIS_URL": ["amqp://me:6174@broker"],
    "VEEVID_API_URL": ["ftp://veevid-6174.example", "veevid-6174.example/api"],
    "VEEVID_API_KEY": ["sk_live_6174", "vv_sk_with a space 6174"],
    "VEEVID_MEDIA_HOSTS": ["https://cdn-6174.example/videos"],
    "DATA_DIR": ["/dev/null/6174"],
    "S3_BUCKET": ["Clips_6174", "ab", "s3://clips-6174"],
    "S3_ENDPOINT_URL": ["minio-6174:9000"],
    "S3_REGION": ["Frankfurt 6174"],
    "S3_DIRECT_DOWNLOADS": ["sometimes-6174"],
    "EMAIL_URL": ["mail-6174.example", "smtp://", "https://mail-6174.example"],
    "OIDC_ISSUER": ["http://login-6174.example", "login-6174.example"],
    "OIDC_GROUPS": [
        "6174",
        "groups; 6174",
        "groups; leads=6174:owner",
        "leads=6174:manager",
        "groups;",
        "; a=b:member",
    ],
}
STRANGER = "203.0.113.9"
CASES = [(name, value) for name, values in WRONG.items() for value in values]


def setting(expression: str, **env: str) -> object:
    return last_json(
        manage(clean_environment(**env), "shell", "-v0", "--no-imports", "-c", SETTING.format(expression)).stdout
    )


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_wrong_value_stops_the_start_with_the_variables_name(name: str, value: str, tmp_path: Path) -> None:
    done = manage(clean_environment(**{"DATA_DIR": str(tmp_path), name: value}), "check", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert said.startswith(f"Dailies cannot start. {name}: ")
    assert "Traceback" not in said
    assert "6174" not in said


HALVES = [
    ("OIDC_CLIENT_ID", {"OIDC_ISSUER": "https://login-6174.example"}),
    ("OIDC_CLIENT_SECRET", {"OIDC_ISSUER": "https://login-6174.example", "OIDC_CLIENT_ID": "6174"}),
    ("OIDC_ISSUER", {"OIDC_CLIENT_ID": "6174", "OIDC_CLIENT_SECRET": "6174"}),
    ("OIDC_ISSUER", {"OIDC_GROUPS": "groups; leads=6174:manager"}),
    ("S3_BUCKET", {"S3_ENDPOINT_URL": "http://minio-6174:9000"}),
    ("S3_BUCKET", {"S3_DIRECT_DOWNLOADS": "true"}),
    ("EMAIL_FROM", {"EMAIL_URL": "smtp://mail-6174.example"}),
]


@pytest.mark.parametrize(("missing", "given"), HALVES)
def test_half_a_configuration_stops_the_start_and_names_what_is_missing(missing, given, tmp_path: Path) -> None:
    done = manage(clean_environment(DATA_DIR=str(tmp_path), **given), "check", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert said.startswith(f"Dailies cannot start. {missing}: is needed, too, when ")
    assert "6174" not in said


def test_mail_goes_where_one_url_says(tmp_path: Path) -> None:
    given = {"EMAIL_URL": "smtp+tls://me:p%40ss@mail.example.com:587", "EMAIL_FROM": "dailies@example.com"}
    asked = "[settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS, settings.EMAIL_HOST_PASSWORD]"
    assert setting(asked, DATA_DIR=str(tmp_path), **given) == ["mail.example.com", 587, True, "p@ss"]


def test_groups_are_read_with_their_claim(tmp_path: Path) -> None:
    given = {"OIDC_ISSUER": "https://login.example", "OIDC_CLIENT_ID": "d", "OIDC_CLIENT_SECRET": "s"}
    given["OIDC_GROUPS"] = "https://example/groups; cn=leads=North light:manager, /all=Lab:viewer"
    mapped = [["cn=leads", "North light", "manager"], ["/all", "Lab", "viewer"]]
    asked = "[settings.OIDC_CLAIM, settings.OIDC_GROUPS]"
    assert setting(asked, DATA_DIR=str(tmp_path), **given) == ["https://example/groups", mapped]


def test_it_starts_with_no_variable_set_but_the_folder(tmp_path: Path) -> None:
    assert setting("[settings.PORT, settings.DEBUG]", DATA_DIR=str(tmp_path)) == [8000, False]


def test_secrets_made_at_the_first_start_are_kept_and_private(tmp_path: Path) -> None:
    both = "[settings.SECRET_KEY, settings.SECRETS_KEYS]"
    assert setting(both, DATA_DIR=str(tmp_path)) == setting(both, DATA_DIR=str(tmp_path))
    secrets = [tmp_path / "secret-key", tmp_path / "secrets-key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_an_https_origin_makes_cookies_secure(tmp_path: Path) -> None:
    cookies = "[settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE]"
    here = {"DATA_DIR": str(tmp_path), "CSRF_TRUSTED_ORIGINS": "https://dailies.example.com"}
    assert setting(cookies, **here) == [True, True]


@pytest.mark.parametrize(("origin", "proxies"), [("https://dailies.example.com", 1), ("http://dailies.example", 0)])
def test_an_https_origin_says_that_a_proxy_names_the_visitor(origin: str, proxies: int, tmp_path: Path) -> None:
    here = {"DATA_DIR": str(tmp_path), "CSRF_TRUSTED_ORIGINS": origin}
    assert setting("settings.ALLAUTH_TRUSTED_PROXY_COUNT", **here) == proxies


@pytest.mark.django_db
def test_behind_the_proxy_a_strangers_tries_lock_nobody_else_out(client, settings) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    make_account()
    make_person("mara@example.com")
    wrong = {"login": "nobody@example.com", "password": "a guess"}
    right = {"login": "mara@example.com", "password": "a long password of hers"}
    tries = [client.post("/accounts/login/", wrong, headers=seen_from(f"forged, {STRANGER}")) for _ in range(40)]
    assert tries[-1].status_code == 429
    assert client.post("/accounts/login/", right, headers=seen_from(STRANGER)).status_code == 429
    assert client.post("/accounts/login/", right, headers=seen_from("198.51.100.7")).status_code == 302


def seen_from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["account_reset_password", "account_email"])
@pytest.mark.parametrize("said", [{"email": "mara@example.com"}, {"email": "eve@example.com", "action_add": "1"}])
def test_nobody_can_have_a_link_mailed(client, mailoutbox, name, said) -> None:
    make_account()
    mara = make_person("mara@example.com")
    client.force_login(mara)
    answer = client.post(reverse(name), said)
    assert answer.status_code == 200
    assert "admin" in answer.content.decode()
    assert mailoutbox == []
    assert not EmailAddress.objects.filter(email="eve@example.com").exists()


def test_what_would_be_mailed_is_not_logged_either(tmp_path: Path) -> None:
    assert "dummy" in str(setting("settings.EMAIL_BACKEND", DATA_DIR=str(tmp_path)))


def test_the_brokers_socket_fits_a_long_folder_name(tmp_path: Path) -> None:
    socket = setting("str(settings.BROKER_SOCKET)", DATA_DIR=str(tmp_path / ("long" * 30)))
    assert len(os.fsencode(str(socket))) <= 100
