"""Two people at once: one link, two admins, two managers. In threads with their own connections, on both databases."""

import pytest

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

AT_ONCE = """
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from django.db import connection
from generations import people
from generations.models import Invitation, Membership, Team, User
from tests.makers import make_person

def at_once(deeds):
    gate = Barrier(len(deeds))
    def run(deed):
        gate.wait()
        try:
            deed()
            return 1
        except people.CannotDo:
            return 0
        finally:
            connection.close()
    with ThreadPoolExecutor(len(deeds)) as pool:
        return sum(pool.map(run, deeds))

ada = make_person("ada@example.com", team="Head office", role="manager", is_staff=True)
team = Team.objects.create(name="Northlight")
guests = [make_person(f"guest{n}@example.com", team="") for n in range(6)]
let_in = []
for _ in range(5):
    invitation, token = people.invite(ada, team, "member", "", {})
    found = [people.find_invitation(token) for _ in range(8)]
    join = [lambda g=g, i=i: people.join(g, i, {}) for g, i in zip(guests, found)]
    sign_up = [lambda n=n, i=i: people.sign_up(i, f"new{i.pk}-{n}@example.com", "New", "x" * 14, {})
               for n, i in enumerate(found[6:])]
    at_once(join + sign_up)
    let_in.append(Membership.objects.filter(team=team).count())
    Membership.objects.filter(team=team).delete()
strangers = User.objects.filter(email__startswith="new", memberships=None, joined_with=None).count()

admins_left = []
for _ in range(5):
    lea = make_person(f"lea{_}@example.com", team="", is_staff=True)
    at_once([lambda: people.set_admin(ada, lea, False, {}), lambda: people.close(lea, ada, {})])
    admins_left.append(User.objects.filter(is_staff=True, is_active=True).count())
    User.objects.filter(pk=lea.pk).update(is_staff=False)
    User.objects.filter(pk=ada.pk).update(is_staff=True, is_active=True)

User.objects.update(is_staff=False)
managers_left = []
for n in range(5):
    pair = [make_person(f"m{n}{k}@example.com", team=f"Pair {n}", role="manager") for k in "ab"]
    at_once([lambda p=p: people.remove(p, p.memberships.get(), {}) for p in pair])
    managers_left.append(Membership.objects.filter(team__name=f"Pair {n}").count())
print(json.dumps([let_in, strangers, admins_left, managers_left]))
"""


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_one_gets_in_one_admin_stays_and_one_manager_stays(make_stack, make_simulator, database) -> None:
    dailies = make_stack(simulator=make_simulator(), database=database)
    let_in, strangers, admins_left, managers_left = dailies.python(AT_ONCE)
    print(f"\n{database}: let in by one link {let_in}, admins left {admins_left}, managers left {managers_left}")
    assert let_in == [1] * 5
    assert strangers == 0
    assert admins_left == [1] * 5
    assert managers_left == [1] * 5
