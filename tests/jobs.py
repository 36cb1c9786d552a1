"""The main job as real processes do it: code that runs inside an instance, and what is asked of it afterwards.

The code strings run in `manage.py shell` of the instance under test; each prints one line of JSON.
"""

import sqlite3
from contextlib import closing
from typing import Any

import psycopg

from tests.stack import Dailies

PEOPLE = """
from generations import access
from generations.models import Membership, Team, User
from tests.makers import make_person
import json
print(json.dumps([make_person(f"{name}@example.com").pk for name in ("mara", "luc", "aiko")]))
"""

CONFIRM = """
import io, json
from django.core.files.base import ContentFile
from PIL import Image
from generations import catalogue, lifecycle
from generations.models import Generation, Media, User

def picture(user):
    data = io.BytesIO()
    Image.new("RGB", (160, 90), "teal").save(data, "PNG")
    media = Media(team=user.teams.get(), owner=user, kind="image", name="start.png", content_type="image/png",
                  size=len(data.getvalue()), width=160, height=90)
    media.file.save("start.png", ContentFile(data.getvalue()))
    return f"media:{{media.key}}"

def media_for(mode, kind, user):
    found = {{}}
    for slot in catalogue.media_slots(mode, kind):
        if slot.minimum:
            found[slot.name] = [picture(user) if slot.kind == "image" else "https://example.com/source.mp4"]
    return found

people = list(User.objects.order_by("pk"))
made = []
for number, (mode, kind, prompt) in enumerate({wanted!r}):
    user = people[number % len(people)]
    params = catalogue.clean(mode, kind, {{}})
    order = lifecycle.Order(mode, kind, params, prompt, media_for(mode, kind, user))
    price = lifecycle.quote(order.billing)
    made.append(lifecycle.confirm(user, lifecycle.seal(user, user.teams.get(), order, price)).pk)
print(json.dumps(made))
"""


def add_people(dailies: Dailies) -> None:
    dailies.python(PEOPLE)


def confirm_all(dailies: Dailies, wanted: list[tuple[str, str, str]]) -> list[int]:
    """Confirms one generation for each (mode, type, prompt), by the people in turn."""
    return dailies.python(CONFIRM.format(wanted=wanted))


def clips(count: int, word: str) -> list[tuple[str, str, str]]:
    """So many cheap clips to confirm, each with a prompt of its own."""
    return [("grok-imagine", "text-to-video", f"{word} {number}") for number in range(count)]


def ask(dailies: Dailies, statement: str) -> list[tuple[Any, ...]]:
    """The rows that one SELECT finds in the instance's database; quick enough to be asked again and again."""
    url = dailies.env["DATABASE_URL"]
    if url.startswith("postgres"):
        with psycopg.connect(url) as connection:
            return connection.execute(statement).fetchall()
    with closing(sqlite3.connect(dailies.folder / "dailies.sqlite3", timeout=20)) as connection:
        return connection.execute(statement).fetchall()


def state(dailies: Dailies) -> dict[str, Any]:
    """Where everything stands: counts of generations and clips, the books, what was sent."""
    [(held, spent)] = ask(
        dailies, "SELECT coalesce(sum(held), 0), coalesce(sum(spent), 0) FROM generations_ledgerentry"
    )
    [(submissions, workers)] = ask(dailies, "SELECT count(*), count(DISTINCT worker) FROM generations_submission")
    [(requests,)] = ask(dailies, "SELECT count(*) FROM generations_apicall")
    return {
        "statuses": dict(ask(dailies, "SELECT status, count(*) FROM generations_generation GROUP BY status")),
        "clips": dict(ask(dailies, "SELECT state, count(*) FROM generations_clip GROUP BY state")),
        "held": int(held), "spent": int(spent), "submissions": submissions, "requests": requests, "workers": workers,
    }  # fmt: skip


TASKS = """
import json
from veevid_site.celery import app
answers = app.control.inspect(timeout=5).stats() or {}
print(json.dumps({name: sum(answer["total"].values()) for name, answer in answers.items()}))
"""


def tasks_done(dailies: Dailies) -> dict[str, int]:
    """How many tasks each running worker has carried out, by its own word."""
    return dailies.python(TASKS)


def all_stored(dailies: Dailies, count: int) -> bool:
    return state(dailies)["clips"].get("STORED", 0) == count


def many_keys(dailies: Dailies) -> None:
    """Four more keys, so that 30 requests a minute for each key are not what a test waits for."""
    for number in range(4):
        key = f"vv_sk_more_key_number_{number}"
        dailies.simulator.control("key", {"key": key, "account": "demo"})
        dailies.python(
            "import json; from generations import accounts; from generations.models import ApiAccount;"
            f"accounts.add_key(ApiAccount.objects.get(), {key!r}); print(json.dumps(1))"
        )


SESSION = """
import json
from django.test import Client
from generations.models import User
client = Client()
client.force_login(User.objects.get(email={email!r}), backend="django.contrib.auth.backends.ModelBackend")
print(json.dumps(client.cookies["sessionid"].value))
"""


def session_of(dailies: Dailies, email: str) -> dict[str, str]:
    """The cookies of somebody who is signed in."""
    return {"sessionid": dailies.python(SESSION.format(email=email))}
