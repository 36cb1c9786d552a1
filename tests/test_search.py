"""Searching the prompts: the same answers on both databases, and none of what people type is taken for syntax."""

import json
from collections.abc import Callable

import pytest
from django.db import connection

from generations import search
from generations.models import Generation
from tests.makers import make_person
from tests.stack import Dailies
from tests.test_gallery import make_generation

PROMPTS = [
    "A lone walker crests the dune at golden hour",
    "Golden harbour, slow-motion, 35mm",
    "The harbour in slow rain, no motion at all",
    "Une dune au café, Straße im Regen",
    "Don't look down: 16:9, fog",
    "城市夜景 霓虹灯",
]
ASKED = {
    "dune": [0, 3],
    "DUNE golden": [0],
    "gold": [0, 1],  # the last word may be only begun
    "gold harbour": [],  # only the last one
    "harbour gold": [1],
    '"slow motion"': [1],
    "slow-motion": [1],
    '"golden hour': [0],  # unbalanced
    "golden -dune": [1],
    "-golden -harbour": [-1, 3, 4, 5],  # -1: the one whose prompt has changed
    '-"golden hour" dune': [3],
    "café": [3],
    "don't": [4],
    "35mm": [1],
    "16:9": [4],
    "霓虹": [5],
    "walker 城市": [],
    "un": [3],
    "nothing": [],
    "🜁 ☃": [],
    "' OR 1=1 --": [],
    "dune'; DROP TABLE generations_promptwords; --": [],
    "prompt:dune": [],
    "dune OR harbour": [],
    "dune & !golden | (": [0],
    "dune NEAR(golden, 2)": [],
    "NOT dune": [],
    "golden AND": [],
    "dune* ^dune:* dune:ABCD": [],
    "{prompt} : dune": [],
    '"" "': [],
    "- -- ---": [],
    "\\": [],
    "%": [],
    "dune\x00golden": [0],
    "dune " * 2000: [0, 3],
    "(" * 5000 + '"' * 5000: [],
}
RUN = """
import json, re
from django.test import Client
from generations.models import Generation, User
from tests.makers import make_person
from tests.test_gallery import make_generation

mara, stranger = make_person(), make_person("stranger@example.com", team="Elsewhere")
made = [make_generation(mara, prompt=prompt).pk for prompt in {prompts!r}]
make_generation(stranger, prompt=" ".join({prompts!r}))
changed, gone = make_generation(mara, prompt="zebra"), make_generation(mara, prompt="zebra")
changed.prompt = "okapi"
changed.save()
gone.delete()
client, found = Client(), {{}}
client.force_login(mara)
for typed in {asked!r}:
    answer = client.get("/", {{"q": typed}}, headers={{"Host": "localhost"}})
    tiles = [int(pk) for pk in re.findall('id="tile-([0-9]+)"', answer.content.decode())]
    found[typed] = [answer.status_code, sorted(made.index(pk) if pk in made else -1 for pk in tiles)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(request, tmp_path_factory) -> Callable[[str], dict]:
    """What one database answers to everything that is asked, found out once."""
    known: dict[str, dict] = {}

    def ask(database: str) -> dict:
        if database not in known:
            url = request.getfixturevalue("postgres_server").new_database() if database == "postgres" else ""
            dailies = Dailies(tmp_path_factory.mktemp(database), url, "", None).prepare()
            asked = [*ASKED, "okapi", "zebra"]
            known[database] = dailies.python(RUN.format(prompts=PROMPTS, asked=asked))
        return known[database]

    return ask


@pytest.mark.processes
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.parametrize("typed", ASKED, ids=lambda typed: json.dumps(typed)[:40])
def test_a_search_finds_what_it_names_in_ones_own_team(answers, database, typed):
    assert answers(database)[typed] == [200, ASKED[typed]]


@pytest.mark.processes
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_prompt_that_changes_or_goes_is_found_no_more(answers, database):
    assert answers(database)["okapi"] == [200, [-1]]
    assert answers(database)["zebra"] == [200, []]


def test_only_words_reach_the_databases():
    typed = "dune' | ('a' & !b:*) \" NEAR( \\ ; -- \x00 * ^ {x}:"
    for term in search.terms(typed):
        assert set("".join(term.words)).isdisjoint("'\"\\|&!():*^{}-\x00")


def test_a_long_search_says_that_only_its_beginning_was_used(client, db):
    client.force_login(make_person())
    make_generation(make_person("luc@example.com"))
    assert "Only the first 200 characters" in client.get("/", {"q": "dune " * 2000}).content.decode()
    assert "Only the first" not in client.get("/", {"q": "dune"}).content.decode()


def test_the_index_is_not_written_when_a_row_moves(db):
    """A row changes at every look; its prompt never does."""
    if connection.vendor != "sqlite":
        pytest.skip("the triggers of PostgreSQL name their columns, too")
    generation = make_generation(make_person())
    with connection.cursor() as cursor:
        cursor.execute("SELECT total_changes()")
        before = cursor.fetchone()[0]
        Generation.objects.filter(pk=generation.pk).update(looks=3)
        cursor.execute("SELECT total_changes()")
        assert cursor.fetchone()[0] == before + 1
