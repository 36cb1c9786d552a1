"""What managers set for their team: every wrong entry is a sentence and changes nothing, every change is recorded."""

from typing import Any

import pytest
import responses
from django.utils import timezone

from generations import budgets, ledger
from generations.models import ApprovalRule, AuditEntry, Budget, Project, Status, Team, User
from tests.makers import confirmed, make_account, make_person
from tests.pages import HTMX, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def upstream():
    with responses.mock:
        make_account()
        yield


@pytest.fixture
def luc() -> User:
    return make_person("luc@example.com", role="manager")


@pytest.fixture
def team(luc) -> Team:
    return luc.teams.get()


@pytest.fixture
def mara(luc) -> User:
    return make_person()


@pytest.fixture
def desk(client, luc):
    client.force_login(luc)
    return client


def rows() -> list[Any]:
    """Everything that can be set, and the trail."""
    tables = (Budget, Project, ApprovalRule, AuditEntry, Team)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def add(desk, **more: str):
    said = {"whom": "team", "window": "month", "over": "refuse", "credits": "1000"}
    return desk.post("/team/budgets", said | more, **HTMX)


def change(desk, budget: Budget, credits: str, over: str = "refuse"):
    return desk.post(f"/team/budgets/{budget.pk}", {"credits": credits, "over": over}, **HTMX)


def recorded() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", "what"))


# -- who may ----------------------------------------------------------------------------------------------------------

ACTIONS = [
    ("/team/projects", {"name": "Alpine"}),
    ("/team/projects/{project}", {"name": "Alpine"}),
    ("/team/projects/{project}/archive", {"archived": "1"}),
    ("/team/budgets", {"whom": "team", "window": "day", "over": "refuse", "credits": "5"}),
    ("/team/budgets/{budget}", {"credits": "5", "over": "refuse"}),
    ("/team/budgets/{budget}/reset", {}),
    ("/team/budgets/{budget}/end", {}),
    ("/team/rules", {"mode": "", "above": "5"}),
    ("/team/rules/{rule}/remove", {}),
    ("/team/time-zone", {"time_zone": "Europe/Berlin"}),
]


@pytest.fixture
def there(team) -> dict[str, int]:
    return {
        "project": Project.objects.create(team=team, name="Rail").pk,
        "budget": Budget.objects.create(team=team, credits=9).pk,
        "rule": ApprovalRule.objects.create(team=team, above=9).pk,
    }


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("member", 403), (None, 302)])
@pytest.mark.parametrize(("path", "said"), ACTIONS)
def test_only_managers_and_admins_set_anything(client, there, path, said, role, status):
    before = rows()
    if role:
        client.force_login(make_person("vic@example.com", role=role))
    assert [client.get("/team").status_code, client.post(path.format(**there), said).status_code] == [status, status]
    assert rows() == before


@pytest.mark.parametrize(("path", "said"), [action for action in ACTIONS if "{" in action[0]])
def test_what_belongs_to_another_team_is_not_there(client, there, path, said):
    before = rows()
    client.force_login(make_person("eve@example.com", "Elsewhere", "manager"))
    assert client.post(path.format(**there), said).status_code == 404
    assert rows()[:4] == before[:4]


@pytest.mark.parametrize(("path", "said"), ACTIONS)
def test_every_change_is_recorded_with_its_person_and_where_it_came_from(desk, there, luc, team, path, said):
    assert desk.post(path.format(**there), said, HTTP_USER_AGENT="Firefox").status_code == 302
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.team, entry.address, entry.agent) == (luc, team, "127.0.0.1", "Firefox")


@pytest.mark.parametrize(("path", "said"), ACTIONS)
def test_a_link_alone_changes_nothing(desk, there, path, said):
    assert desk.get(path.format(**there)).status_code == 405


# -- projects ---------------------------------------------------------------------------------------------------------


def test_a_project_is_added_renamed_archived_and_taken_back(desk, team):
    assert desk.post("/team/projects", {"name": "  Alpine   Rail "}, **HTMX).status_code == 200
    project = Project.objects.get()
    assert (project.name, project.team) == ("Alpine Rail", team)
    desk.post(f"/team/projects/{project.pk}", {"name": "Alpine"})
    desk.post(f"/team/projects/{project.pk}/archive", {"archived": "1"})
    assert Project.objects.get().archived_at
    desk.post(f"/team/projects/{project.pk}/archive", {"archived": "0"})
    assert Project.objects.get().archived_at is None
    assert recorded() == [
        ("project.added", "Project Alpine Rail"),
        ("project.renamed", "Project Alpine Rail: now Alpine"),
        ("project.archived", "Project Alpine"),
        ("project.restored", "Project Alpine"),
    ]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "Type the name"),
        ("   ", "Type the name"),
        ("x" * 81, "at most 80 characters"),
        ("rail", "There is a project “Rail” already."),
    ],
)
def test_a_name_that_cannot_be_is_said_at_its_field(desk, team, name, sentence):
    other = Project.objects.create(team=team, name="Other")
    Project.objects.create(team=team, name="Rail")
    before = rows()
    for path, field in (("/team/projects", "project-wrong"), (f"/team/projects/{other.pk}", f"name-wrong-{other.pk}")):
        answer = desk.post(path, {"name": name}, **HTMX)
        assert (answer.status_code, f'id="{field}">' in text_of(answer)) == (422, True)
        assert sentence in text_of(answer)
    assert rows() == before


def test_without_javascript_the_whole_page_says_what_is_wrong(desk):
    answer = desk.post("/team/projects", {"name": ""})
    assert (answer.status_code, "<!doctype html>" in text_of(answer), "Type the name" in text_of(answer)) == (
        422, True, True,
    )  # fmt: skip


# -- budgets ----------------------------------------------------------------------------------------------------------


def test_a_budget_for_the_team_a_person_and_a_project(desk, team, luc, mara):
    project = Project.objects.create(team=team, name="Alpine")
    for whom in ("team", f"user:{mara.pk}", f"project:{project.pk}"):
        assert add(desk, whom=whom, credits="1,500").status_code == 200
    made = Budget.objects.order_by("pk")
    assert [(row.team, row.user, row.project, row.credits, row.created_by) for row in made] == [
        (team, None, None, 1500, luc),
        (team, mara, None, 1500, luc),
        (team, None, project, 1500, luc),
    ]
    assert recorded()[0] == ("budget.added", "Budget of Northlight: 1,500 credits a month, beyond it: refuse")


@pytest.mark.parametrize("typed", ["", "-1", "10.5", "1,5", "1e6", "٣", "1000000001", "9" * 40, "ten"])
def test_an_amount_that_is_no_whole_number_of_credits_is_refused(desk, team, typed):
    budget = Budget.objects.create(team=team, credits=100, window="day")
    before = rows()
    for answer in (add(desk, credits=typed), change(desk, budget, typed)):
        sentence = "Type a whole number of credits, from 0 to 1,000,000,000. Nothing was changed."
        assert (answer.status_code, sentence in text_of(answer)) == (422, True)
    assert rows() == before


def test_a_budget_below_what_is_held_or_spent_is_refused(desk, team, mara):
    confirmed(mara)
    budget = Budget.objects.create(team=team, credits=500)
    before = rows()
    answers = change(desk, budget, "139"), add(desk, whom=f"user:{mara.pk}", credits="139")
    for answer in answers:
        assert (answer.status_code, "140 credits of it are held or spent already." in text_of(answer)) == (422, True)
    assert rows() == before
    assert change(desk, budget, "140").status_code == 200


def test_a_second_budget_of_the_same_kind_is_refused(desk, team):
    budget = Budget.objects.create(team=team, credits=100, over="warn")
    Budget.objects.create(team=team, credits=100)
    before = rows()
    for answer in (add(desk), change(desk, budget, "100", "refuse")):
        assert (answer.status_code, "has such a budget already" in text_of(answer)) == (422, True)
    assert rows() == before


@pytest.mark.parametrize(
    "forged",
    [
        {"whom": "user:{stranger}"},
        {"whom": "user:{viewer}"},
        {"whom": "project:{theirs}"},
        {"whom": "project:{archived}"},
        {"whom": "user:" + "9" * 40},
        {"whom": "user:x"},
        {"whom": "everybody"},
        {"window": "year"},
        {"over": "ignore"},
    ],
)
def test_a_forged_entry_is_not_there(desk, team, forged):
    elsewhere = Team.objects.create(name="Elsewhere")
    known = {
        "stranger": make_person("eve@example.com", "Elsewhere").pk,
        "viewer": make_person("vic@example.com", role="viewer").pk,
        "theirs": Project.objects.create(team=elsewhere, name="Theirs").pk,
        "archived": Project.objects.create(team=team, name="Old", archived_at=timezone.now()).pk,
    }
    before = rows()
    assert add(desk, **{name: value.format(**known) for name, value in forged.items()}).status_code == 404
    assert rows() == before


def test_a_change_is_recorded_as_it_was_and_as_it_is(desk, team):
    budget = Budget.objects.create(team=team, credits=500)
    change(desk, budget, "700", "park")
    budget.refresh_from_db()
    assert (budget.credits, budget.over) == (700, "park")
    assert recorded() == [
        (
            "budget.changed",
            "Budget of Northlight: 500 credits a month, beyond it: refuse; "
            "now 700 credits a month, beyond it: ask a manager",
        )
    ]


def test_a_reset_and_an_end_leave_the_books_as_they_are(desk, team, mara):
    budget = Budget.objects.create(team=team, credits=500)
    generation = confirmed(mara)
    generation.status = Status.COMPLETED
    ledger.capture(generation, 140)
    desk.post(f"/team/budgets/{budget.pk}/reset")
    budget.refresh_from_db()
    assert budgets.used(budget, team.day(), demo=False) == 0
    assert ledger.totals(team=team, demo=False).spent == 140
    desk.post(f"/team/budgets/{budget.pk}/end")
    assert desk.post(f"/team/budgets/{budget.pk}/end").status_code == 404
    assert not budgets.active(team)
    assert [action for action, _ in recorded()] == ["budget.reset", "budget.ended"]


def test_the_page_shows_what_is_used_of_each_budget(desk, team, mara):
    Budget.objects.create(team=team, user=mara, credits=500, over="park")
    confirmed(mara)
    page = text_of(desk.get("/team"))
    for words in ("Mara’s budget this month", "360 credits left", "0 spent, 140 held", "Beyond it: ask a manager"):
        assert words in page, words


# -- rules, time zone -------------------------------------------------------------------------------------------------


def test_a_rule_is_set_set_again_and_removed(desk, team):
    desk.post("/team/rules", {"mode": "sora2", "above": ""})
    desk.post("/team/rules", {"mode": "sora2", "above": "200"})
    rule = ApprovalRule.objects.get()
    assert (rule.team, rule.mode, rule.above) == (team, "sora2", 200)
    assert "above 200 credits needs approval." in text_of(desk.get("/team"))
    desk.post(f"/team/rules/{rule.pk}/remove")
    assert not ApprovalRule.objects.exists()
    assert [action for action, _ in recorded()] == ["rule.set", "rule.set", "rule.removed"]


@pytest.mark.parametrize(("said", "status"), [({"above": "-5"}, 422), ({"above": "1.5"}, 422), ({"mode": "vhs"}, 404)])
def test_a_rule_that_cannot_be_changes_nothing(desk, said, status):
    before = rows()
    assert desk.post("/team/rules", {"mode": "", "above": "5"} | said, **HTMX).status_code == status
    assert rows() == before


@pytest.mark.parametrize("typed", ["", "Middle/Earth", "../../etc/passwd", "europe/berlin"])
def test_what_is_no_time_zone_is_refused(desk, typed):
    before = rows()
    answer = desk.post("/team/time-zone", {"time_zone": typed}, **HTMX)
    assert (answer.status_code, "This is not a time zone." in text_of(answer)) == (422, True)
    assert rows() == before


def test_the_time_zone_decides_when_the_day_begins(desk, team):
    desk.post("/team/time-zone", {"time_zone": "Pacific/Auckland"})
    team.refresh_from_db()
    assert team.time_zone == "Pacific/Auckland"
    assert recorded() == [("team.time_zone", "Time zone of Northlight: UTC; now Pacific/Auckland")]
