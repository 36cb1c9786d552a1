"""The one click that spends: once, by the right person, for the price that was shown, or not at all."""

import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import responses
import time_machine
from django.contrib.messages import get_messages
from django.utils import timezone

from generations import tasks
from generations.models import Generation, LedgerEntry, Membership, Quote, SwitchedOff, User
from tests.makers import make_account, make_person, price_is, sealed_for, sent_to
from tests.pages import HTMX, form_in, nothing_happened, review, sealed_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def mara() -> User:
    return make_person()


@pytest.fixture
def desk(client, mara) -> Iterator[Any]:
    """Mara's browser. Nothing but a price is ever asked of upstream here."""
    client.force_login(mara)
    with responses.mock:
        make_account()
        price_is(140)
        yield client


def confirm(desk, sealed: str, **more: Any):
    return desk.post("/new/confirm", {"sealed": sealed}, **more)


def said_to(answer) -> str:
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def test_a_confirmation_becomes_one_generation_with_one_hold(desk, mara):
    answer = confirm(desk, sealed_in(review(desk)))
    assert (answer.status_code, answer["Location"]) == (303, "/")
    assert said_to(answer) == "On its way: 140 credits held."
    assert (Generation.objects.get().owner, LedgerEntry.objects.get().held) == (mara, 140)
    assert sent_to("generate-video") == 0


@pytest.mark.parametrize("listens", [True, False], ids=["silent", "gone"])
def test_a_broker_that_is_away_is_not_waited_for(desk, monkeypatch, django_capture_on_commit_callbacks, listens):
    sealed = sealed_in(review(desk))
    with socket.socket() as broker:
        broker.bind(("127.0.0.1", 0))
        if listens:
            broker.listen()
        monkeypatch.setattr(tasks.tick.app.conf, "broker_write_url", f"redis://127.0.0.1:{broker.getsockname()[1]}/0")
        began = time.monotonic()
        with django_capture_on_commit_callbacks(execute=True) as bells:
            answer = confirm(desk, sealed)
    assert (answer.status_code, len(bells), Generation.objects.count()) == (303, 1, 1)
    assert time.monotonic() - began < 3


def test_the_same_confirmation_twice_is_one_generation(desk):
    sealed = sealed_in(review(desk))
    answers = [confirm(desk, sealed), confirm(desk, sealed, **HTMX), confirm(desk, sealed)]
    assert [answer.status_code for answer in answers] == [303, 200, 303]
    assert answers[1]["HX-Redirect"] == "/"
    assert "Already confirmed" in said_to(answers[2])
    assert (Generation.objects.count(), LedgerEntry.objects.count()) == (1, 1)


def test_going_back_after_an_hour_confirms_nothing_anew(desk):
    sealed = sealed_in(review(desk))
    confirm(desk, sealed)
    with time_machine.travel(timezone.now() + timedelta(hours=1)):
        assert "Already confirmed" in said_to(confirm(desk, sealed))
    assert (Generation.objects.count(), LedgerEntry.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "change", [lambda s: "", lambda s: s[:-1], lambda s: "A" + s, lambda s: s.replace(":", ".", 1)]
)
def test_an_altered_confirmation_is_refused(desk, change):
    answer = confirm(desk, change(sealed_in(review(desk))), **HTMX)
    page = text_of(answer)
    assert (answer.status_code, "was altered on its way. Nothing was charged." in page) == (422, True)
    assert "Generate for" not in page
    nothing_happened()


def test_an_old_confirmation_shows_the_price_again(desk):
    sealed = sealed_in(review(desk))
    with time_machine.travel(timezone.now() + timedelta(minutes=31)):
        answer = confirm(desk, sealed, **HTMX)
        page = text_of(answer)
        assert (answer.status_code, "older than half an hour" in page) == (422, True)
        assert "Generate for 140 credits" in page
        nothing_happened()
        assert confirm(desk, sealed_in(answer)).status_code == 303


def test_a_price_that_changed_meanwhile_is_asked_for_again(desk):
    sealed = sealed_in(review(desk))
    quote = Quote.objects.get()
    Quote.objects.create(account=quote.account, digest=quote.digest, billing=quote.billing, credits=200, balance=5000)
    answer = confirm(desk, sealed, **HTMX)
    page = text_of(answer)
    assert (answer.status_code, "The price is no longer the one you saw." in page) == (422, True)
    assert "Generate for 200 credits" in page
    nothing_happened()


def test_a_model_switched_off_meanwhile_is_not_confirmed(desk):
    sealed = sealed_in(review(desk))
    SwitchedOff.objects.create(mode="veo3")
    answer = confirm(desk, sealed, **HTMX)
    assert (answer.status_code, "switched off meanwhile" in text_of(answer)) == (422, True)
    nothing_happened()


def test_another_persons_confirmation_is_refused_and_not_shown(desk):
    luc = make_person("luc@example.com", "Elsewhere")
    sealed = sealed_for(luc)
    answer = confirm(desk, sealed, **HTMX)
    page = text_of(answer)
    assert (answer.status_code, "made for somebody else" in page, "A lone walker" in page) == (422, True, False)
    nothing_happened()


@pytest.mark.parametrize("role", ["viewer", ""])
def test_a_role_lost_since_the_review_confirms_nothing(desk, mara, role):
    sealed = sealed_in(review(desk))
    Membership.objects.filter(user=mara).update(role=role) if role else Membership.objects.all().delete()
    assert confirm(desk, sealed).status_code == 403
    nothing_happened()


def test_editing_again_without_javascript_brings_everything_back(desk):
    sealed = sealed_in(review(desk, "kling-2-6", duration="10"))
    fields = form_in(desk.post("/new/form", {"sealed": sealed}).content.decode())
    assert (fields["mode"], fields["duration"], fields["prompt"]) == (["kling-2-6"], ["10"], ["A lone walker"])


@pytest.mark.parametrize("path", ["/new/price", "/new/review", "/new/media", "/new/confirm"])
def test_nothing_is_done_by_a_get(desk, path):
    assert desk.get(path).status_code == 405


@pytest.mark.parametrize("path", ["/new", "/new/form", "/new/price", "/new/review", "/new/media", "/new/confirm"])
def test_a_stranger_is_sent_to_the_door(client, mara, path):
    answer = client.post(path) if path != "/new" else client.get(path)
    assert (answer.status_code, answer["Location"].startswith("/accounts/login/")) == (302, True)


def test_a_form_without_its_token_is_refused(desk):
    desk.handler.enforce_csrf_checks = True
    for part in ("form", "price", "review", "media", "confirm"):
        assert desk.post(f"/new/{part}", {}).status_code == 403
    nothing_happened()
