"""Signing in with the company's own provider: a small OpenID provider over real HTTP, and the real web process."""

import base64
import hashlib
import json
import re
import secrets
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.stack import Dailies

pytestmark = pytest.mark.processes
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
MARA = {"sub": "u-1", "email": "Mara@northlight.example", "email_verified": True, "name": "Mara Lindqvist"}


class Provider:
    """Signs `person` in, whoever comes. Keeps to the code flow with PKCE and a client secret."""

    def __init__(self) -> None:
        self.person: dict[str, Any] = {}
        self.issuer_said = ""  # in the id_token, instead of its own name
        self.challenges: dict[str, str] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, body: Any, status: int = 200) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def do_GET(self) -> None:
                url = urllib.parse.urlsplit(self.path)
                asked = dict(urllib.parse.parse_qsl(url.query))
                if url.path == "/.well-known/openid-configuration":
                    self.answer(provider.configuration())
                elif url.path == "/authorize":
                    code = secrets.token_urlsafe(8)
                    provider.challenges[code] = asked["code_challenge"]
                    back = urllib.parse.urlencode({"code": code, "state": asked["state"]})
                    self.send_response(302)
                    self.send_header("Location", f"{asked['redirect_uri']}?{back}")
                    self.end_headers()
                elif url.path == "/userinfo":
                    self.answer(provider.person)
                else:
                    self.answer({}, 404)

            def do_POST(self) -> None:
                said = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                challenge = provider.challenges.pop(said.get("code", ""), "")
                right = (said.get("client_secret"), provider.challenge_of(said.get("code_verifier", "")))
                if right != ("a secret of the test", challenge):
                    self.answer({"error": "invalid_grant"}, 400)
                    return
                self.answer({"access_token": "t", "token_type": "Bearer", "id_token": provider.id_token()})

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @staticmethod
    def challenge_of(verifier: str) -> str:
        digest = hashlib.sha256(verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def configuration(self) -> dict[str, Any]:
        places = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            **{f"{name}_endpoint": f"{self.url}/{path}" for name, path in places.items()},
        }

    def id_token(self) -> str:
        now = int(time.time())
        said = {"iss": self.issuer_said or self.url, "aud": "dailies", "iat": now, "exp": now + 60, **self.person}
        return jwt.encode(said, KEY, algorithm="RS256", headers={"kid": "1"})


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    threading.Thread(target=made.server.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def dailies(make_stack, provider) -> Dailies:
    made = make_stack(
        database="sqlite",
        OIDC_ISSUER=provider.url,
        OIDC_CLIENT_ID="dailies",
        OIDC_CLIENT_SECRET="a secret of the test",
        OIDC_GROUPS="roles; leads=Northlight:manager, editors=Northlight:member, film=Lab:viewer",
        OIDC_NAME="Northlight ID",
    )
    made.python(
        "from tests.makers import make_person; from generations.models import Team; import json;"
        "make_person('ada@example.com', team='Head office', is_staff=True); make_person('kim@example.com');"
        "Team.objects.create(name='Lab'); print(json.dumps(1))"
    )
    made.start_web()
    return made


def sign_in(dailies: Dailies, path: str = "/accounts/oidc/company/login/") -> requests.Response:
    """As a browser does it: the form on the sign-in page, and every redirect after it."""
    browser = requests.Session()
    page = browser.get(f"{dailies.url}/accounts/login/", timeout=20).text
    assert "Continue with Northlight ID" in page
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page).group(1)
    return browser.post(dailies.url + path, {"csrfmiddlewaretoken": token}, timeout=20)


def places(dailies: Dailies, email: str) -> list[list[str]]:
    return dailies.python(
        "import json; from generations.models import Membership;"
        f"print(json.dumps([list(p) for p in Membership.objects.filter(user__email={email!r})"
        ".order_by('team__name').values_list('team__name', 'role')]))"
    )


def people_there(dailies: Dailies) -> int:
    return dailies.python("import json; from generations.models import User; print(json.dumps(User.objects.count()))")


def test_groups_open_teams_and_follow_at_every_sign_in(dailies, provider) -> None:
    provider.person = {**MARA, "roles": ["editors", "leads", "others"]}
    answer = sign_in(dailies)
    assert answer.url == f"{dailies.url}/", answer.text
    assert "Mara Lindqvist" in answer.text
    assert places(dailies, "mara@northlight.example") == [["Northlight", "manager"]]
    provider.person = {**MARA, "roles": ["editors", "film"]}
    sign_in(dailies)
    assert places(dailies, "mara@northlight.example") == [["Lab", "viewer"], ["Northlight", "member"]]
    provider.person = {**MARA, "roles": []}
    sign_in(dailies)
    assert places(dailies, "mara@northlight.example") == []


@pytest.mark.parametrize(
    ("person", "words"),
    [
        ({"sub": "u-2", "email": "sam@example.com", "roles": ["others"]}, "None of your groups opens a team"),
        ({"sub": "u-2", "email": "sam@example.com"}, "None of your groups opens a team"),
        ({"sub": "u-3", "email": "KIM@example.com", "email_verified": True, "roles": ["leads"]}, "account with kim@"),
        ({"sub": "u-4", "roles": ["leads"]}, "names no email address"),
    ],
)
def test_who_is_not_let_in_is_told_why_and_nothing_changes(dailies, provider, person, words) -> None:
    before = (people_there(dailies), places(dailies, "kim@example.com"))
    provider.person = person
    answer = sign_in(dailies)
    assert answer.status_code == 403
    assert words in answer.text
    assert (people_there(dailies), places(dailies, "kim@example.com")) == before


def test_an_answer_in_another_providers_name_signs_nobody_in(dailies, provider) -> None:
    provider.person, provider.issuer_said = {**MARA, "sub": "u-9", "roles": ["leads"]}, "https://evil.example"
    before = people_there(dailies)
    answer = sign_in(dailies)
    provider.issuer_said = ""
    assert "Not signed in" in answer.text
    assert people_there(dailies) == before


def test_the_form_may_lead_to_the_provider_and_nowhere_else(dailies, provider) -> None:
    policy = requests.get(f"{dailies.url}/accounts/login/", timeout=20).headers["Content-Security-Policy"]
    assert f"form-action 'self' {provider.url}" in policy
