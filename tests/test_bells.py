"""The bells: what a tick announces, to whom, and how often. The broker is Celery's own, in memory."""

from collections.abc import Iterator
from datetime import timedelta
from queue import Empty

import pytest
import responses
from django.utils import timezone

from generations import dispatch, lifecycle, sending, tasks
from generations.models import ApiAccount, Clip, Generation, Status
from tests.makers import CLIP_URL, accepts, confirmed, make_account, make_person, sent_to, status_is
from veevid_site import celery_app

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire", "silent")]


def rung(queue: str = "dailies") -> list[tuple[str, list[int]]]:
    """The bells that hang in a queue: (task, arguments). They are taken out of it."""
    found: list[tuple[str, list[int]]] = []
    with celery_app.connection_for_read() as connection:
        hanging = connection.SimpleQueue(queue)
        while True:
            try:
                message = hanging.get_nowait()
            except Empty:
                return found
            message.ack()
            found.append((message.headers["task"].rsplit(".", 1)[1], message.payload[0]))


@pytest.fixture
def silent() -> Iterator[None]:
    yield
    rung()
    rung("fetches")


@pytest.fixture
def rendering() -> Generation:
    make_account()
    generation = confirmed(make_person())
    accepts()
    sending.submit(generation.pk, "worker")
    return Generation.objects.get(status=Status.PROCESSING)


def look_is_due(generation: Generation, since: float = 1) -> None:
    Generation.objects.filter(pk=generation.pk).update(next_look_at=timezone.now() - timedelta(seconds=since))


def test_a_submission_is_announced_with_the_account_that_is_free_for_it() -> None:
    account = make_account()
    generation = confirmed(make_person())
    tasks.tick()
    assert rung() == [("submit", [generation.pk, account.pk])]


def test_as_many_submissions_are_announced_as_lanes_are_free() -> None:
    accounts = [make_account(), make_account("vv_sk_of_another_account_1")]
    person = make_person()
    first, second, _ = (confirmed(person) for _ in range(3))
    tasks.tick()
    assert rung() == [("submit", [first.pk, accounts[0].pk]), ("submit", [second.pk, accounts[1].pk])]


def test_a_submission_is_announced_once_while_busy_workers_let_it_wait() -> None:
    make_account()
    person = make_person()
    confirmed(person)
    confirmed(person)
    tasks.tick()
    assert len(rung()) == 1
    tasks.tick()
    assert rung() == []


def test_a_submission_whose_bell_was_lost_is_announced_again() -> None:
    account = make_account()
    generation = confirmed(make_person())
    tasks.tick()
    rung()
    for model in (ApiAccount, Generation):
        model.objects.update(announced_at=timezone.now() - timedelta(seconds=tasks.SOON["expires"]))
    tasks.tick()
    assert rung() == [("submit", [generation.pk, account.pk])]


def test_an_account_that_gets_free_is_not_sent_to_a_clip_that_was_announced_for_another() -> None:
    first, second = make_account(), make_account("vv_sk_of_another_account_1")
    person = make_person()
    on_its_way, following = confirmed(person), confirmed(person)
    dispatch.announced(dispatch.next_on(first))
    assert dispatch.next_on(second).send == {following.pk: second.pk}
    dispatch.heard(on_its_way.pk, first.pk)  # it could not be sent
    assert dispatch.next_on(second).send == {on_its_way.pk: second.pk}


def test_an_account_is_not_announced_again_while_a_worker_takes_its_lane(monkeypatch) -> None:
    account, person = make_account(), make_person()
    first, _ = confirmed(person), confirmed(person)
    tasks.tick()
    rung()

    def not_sent(*args: object) -> bool:
        tasks.tick()
        return False

    monkeypatch.setattr(sending, "submit", not_sent)
    tasks.submit(first.pk, account.pk)
    assert rung() == []


def test_a_submission_that_was_cancelled_meanwhile_leaves_its_account_to_the_next() -> None:
    account, person = make_account(), make_person()
    first, second = confirmed(person), confirmed(person)
    tasks.tick()
    lifecycle.cancel(first, person)
    rung()
    tasks.submit(first.pk, account.pk)
    tasks.tick()
    assert rung() == [("submit", [second.pk, account.pk])]
    assert sent_to("generate-video") == 0


def test_a_look_is_announced_once_while_busy_workers_let_it_wait(rendering: Generation) -> None:
    look_is_due(rendering)
    tasks.tick()
    assert rung() == [("look", [rendering.pk])]
    tasks.tick()
    assert rung() == []


def test_a_look_whose_bell_was_lost_is_announced_again(rendering: Generation) -> None:
    look_is_due(rendering, since=60)
    Generation.objects.update(announced_at=timezone.now() - timedelta(seconds=tasks.SOON["expires"]))
    tasks.tick()
    assert rung() == [("look", [rendering.pk])]


def test_the_next_look_is_announced_however_soon_it_is_due(rendering: Generation) -> None:
    look_is_due(rendering)
    tasks.tick()
    status_is(status="processing")
    tasks.look(rendering.pk)
    look_is_due(rendering, since=0)
    rung()
    tasks.tick()
    assert rung() == [("look", [rendering.pk])]


def test_a_completed_generation_rings_for_its_clip_and_for_who_is_next(rendering: Generation) -> None:
    following, _ = confirmed(rendering.owner), confirmed(rendering.owner)
    look_is_due(rendering)
    status_is(status="completed", video_url=CLIP_URL)
    tasks.look(rendering.pk)
    assert rung() == [("submit", [following.pk, rendering.account_id])]
    assert rung("fetches") == [("fetch", [Clip.objects.get().pk])]


def test_a_submission_rings_for_who_is_next_on_its_account() -> None:
    account, person = make_account(), make_person()
    first, second, _ = (confirmed(person) for _ in range(3))
    accepts()
    tasks.submit(first.pk, account.pk)
    assert rung() == [("submit", [second.pk, account.pk])]


def test_a_look_that_finds_it_rendering_rings_nothing(rendering: Generation) -> None:
    look_is_due(rendering)
    confirmed(rendering.owner)
    status_is(status="processing")
    tasks.look(rendering.pk)
    assert (rung(), rung("fetches")) == ([], [])


def test_the_same_bell_twice_looks_once(rendering: Generation) -> None:
    look_is_due(rendering)
    status_is(status="processing")
    responses.calls.reset()
    tasks.look(rendering.pk)
    tasks.look(rendering.pk)
    assert sent_to("video-generation") == 1
