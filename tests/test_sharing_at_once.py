"""Many guests at once: one limited link, one password. In threads with their own connections, on both databases."""

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

AT_ONCE = """
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from django.db import connection
from django.utils import timezone
from generations import sharing
from generations.models import ShareLink, ShareView
from tests.makers import make_person

def at_once(deeds):
    gate = Barrier(len(deeds))
    def run(deed):
        gate.wait()
        try:
            return deed()
        finally:
            connection.close()
    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(run, deeds))

def made(**fields):
    token, digest = ShareLink.new_token()
    end = timezone.now() + timedelta(days=1)
    ShareLink.objects.create(team=mara.teams.get(), made_by=mara, digest=digest, expires_at=end, **fields)
    return token

mara = make_person()
token = made(max_views=5)
let_in = at_once([lambda: sharing.begin_view(sharing.find(token), "Chrome/140 Android") for _ in range(24)])
views = [sum(let_in), ShareLink.objects.get().views, ShareView.objects.count()]

locked = made(password="not a hash")
def guess():
    try:
        sharing.unlocks(sharing.find(locked), "a guess")
        return 1
    except sharing.TooManyTries:
        return 0
sharing.TRIES = 10
looked_at = sum(at_once([guess] * 24))

revoked = made()
ended = sum(at_once([lambda: sharing.revoke(mara, sharing.find(revoked), {})] * 8))
print(json.dumps([views, looked_at, ended]))
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_no_more_get_in_than_may_and_no_more_guesses_are_looked_at(make_stack, make_simulator, database) -> None:
    dailies = make_stack(simulator=make_simulator(), database=database)
    views, looked_at, ended = dailies.python(AT_ONCE)
    print(f"\n{database}: of 24 at once {views[0]} of 5 views; of 24 guesses {looked_at} of 10 looked at")
    assert views == [5, 5, 5]
    assert looked_at == 10
    assert ended == 1
