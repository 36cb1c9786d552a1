"""The audit trail: what leaves a row, who sees it, what one can ask for, and its CSV."""

import csv
import io
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone

from generations import accounts, audit
from generations.models import ApiAccount, ApiKey, AuditEntry, Status, SwitchedOff, Team, User
from generations.views import export
from tests.makers import confirmed, make_account, make_person
from tests.pages import text_of

pytestmark = pytest.mark.django_db
PASSWORD = "a long password of hers"


@pytest.fixture
def account() -> ApiAccount:
    return make_account()


@pytest.fixture
def ada() -> User:
    return make_person("ada@example.com", team="", is_staff=True, is_superuser=True)


@pytest.fixture
def luc() -> User:
    return make_person("luc@example.com", role="manager")


def desk_of(user: User) -> Client:
    desk = Client(HTTP_USER_AGENT="Firefox of a test")
    desk.force_login(user)
    return desk


def deed(what: str, *, action: str = "budget.changed", at: datetime | None = None, **more) -> AuditEntry:
    row = AuditEntry(action=action, what=what, **more)
    row.at = at or timezone.now()
    row.save()
    return row


def deeds() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", "what"))


def rows_of(answer) -> list[list[str]]:
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))[1:]


# -- what leaves a row ------------------------------------------------------------------------------------------------


def test_what_is_done_to_a_key_says_which_one_and_never_what_it_is(ada, account) -> None:
    key = account.keys.get()
    desk = desk_of(ada)
    for path in (f"keys/{key.pk}/pause", f"keys/{key.pk}/pause", f"keys/{key.pk}/resume"):
        desk.post(f"/settings/{path}")
    done = AuditEntry.objects.filter(who=ada)
    assert list(done.order_by("pk").values_list("action", flat=True)) == ["key.paused", "key.resumed"]
    assert done.first().address == "127.0.0.1"
    assert done.first().agent == "Firefox of a test"
    assert not any("vv_sk_test" in what for _, what in deeds())


@pytest.mark.usefixtures("wire")
def test_a_key_is_added_tried_and_removed_in_the_trail(ada, account) -> None:
    desk_of(ada).post("/settings/keys", {"secret": "vv_sk_a_new_one_9876", "label": ""})
    new = ApiKey.objects.latest("pk")
    desk_of(ada).post(f"/settings/keys/{new.pk}/pause", {"for_good": "1"})
    actions = [action for action, _ in deeds()]
    assert actions[-3:] == ["key.added", "key.tested", "key.removed"]
    assert all("vv_sk_…9876" in what for _, what in deeds()[-3:])


def test_an_account_that_is_paused_reserved_and_said_to_be_exclusive_is_in_the_trail(ada, account, luc) -> None:
    desk, here = desk_of(ada), f"/settings/accounts/{account.pk}"
    desk.post(f"{here}/pause")
    desk.post(f"{here}/resume")
    desk.post(f"{here}/share", {"exclusive": "1"})
    desk.post(f"{here}/reserve", {"team": str(luc.teams.get().pk)})
    assert deeds()[-4:] == [
        ("account.paused", "Account Veevid"),
        ("account.resumed", "Account Veevid"),
        ("account.exclusive", "Account Veevid: nothing but Dailies spends on it"),
        ("account.reserved", "Account Veevid: for Northlight"),
    ]


def test_a_model_that_was_off_already_leaves_no_second_row(ada) -> None:
    desk = desk_of(ada)
    for on in ("0", "0", "1"):
        desk.post("/settings/models", {"mode": "sora2", "on": on})
    assert [action for action, _ in deeds()][-2:] == ["model.off", "model.on"]
    assert AuditEntry.objects.filter(action="model.off").count() == 1
    assert not SwitchedOff.objects.exists()


@pytest.mark.usefixtures("wire")
def test_who_cancels_a_colleagues_clip_is_in_the_trail_and_who_cancels_their_own_is_not(account, luc) -> None:
    mara = make_person()
    theirs, own = confirmed(mara), confirmed(luc)
    desk_of(luc).post(f"/g/{theirs.pk}/cancel")
    desk_of(luc).post(f"/g/{own.pk}/cancel")
    row = AuditEntry.objects.get(action="generation.cancelled")
    assert (row.who, row.team, row.details["generation"]) == (luc, luc.teams.get(), theirs.pk)
    assert "140 credits given back" in row.what
    own.refresh_from_db()
    assert own.status == Status.CANCELLED


def test_a_new_password_is_in_the_trail_without_its_letters(ada) -> None:
    desk = Client()
    desk.post("/accounts/login/", {"login": ada.email, "password": PASSWORD})
    new = "another long password 77"
    desk.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})
    row = AuditEntry.objects.get(who=ada)
    assert (row.action, row.what) == ("signin.password_changed", f"{ada}: a new password")
    assert new not in str(row.details)


def test_what_is_changed_in_djangos_admin_is_in_the_trail(ada, luc) -> None:
    path = f"/admin/generations/user/{luc.pk}/change/"
    places = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    desk_of(ada).post(path, {"email": luc.email, "name": "Lucien", "is_active": "on", **places})
    row = AuditEntry.objects.get(action="admin_site.changed")
    assert (row.who, row.address) == (ada, "127.0.0.1")
    assert "Changed Name" in row.what


def test_a_key_that_the_environment_names_is_dailies_own_deed(account) -> None:
    accounts.ensure_environment_key("vv_sk_from_outside_4321")
    row = AuditEntry.objects.latest("pk")
    assert (row.who, row.action) == (None, "key.added")
    assert "VEEVID_API_KEY" in row.what


def test_the_trail_is_the_deeds_own_transaction(ada, account, monkeypatch) -> None:
    def broken(*args, **more):
        raise RuntimeError

    monkeypatch.setattr(audit, "record", broken)
    with pytest.raises(RuntimeError):
        accounts.set_account_open(account, False, ada)
    account.refresh_from_db()
    assert account.state == ApiAccount.State.OPEN


# -- who sees it ------------------------------------------------------------------------------------------------------


def test_an_admin_sees_everything_and_a_manager_what_was_done_in_their_team(ada, luc) -> None:
    other = Team.objects.create(name="Southlight")
    deed("Budget of the north", team=luc.teams.get(), who=luc)
    deed("Budget of the south", team=other, who=ada)
    deed("A key of the site", action="key.added", who=ada)
    everything, theirs = text_of(desk_of(ada).get("/audit")), text_of(desk_of(luc).get("/audit"))
    for what in ("Budget of the north", "Budget of the south", "A key of the site"):
        assert what in everything
        assert (what in theirs) == (what == "Budget of the north")
    assert [row[6] for row in rows_of(desk_of(luc).get("/audit.csv"))] == ["Budget of the north"]


def test_another_teams_number_is_not_found_nor_is_somebody_who_did_nothing_there(ada, luc) -> None:
    other = Team.objects.create(name="Southlight")
    deed("Budget of the south", team=other, who=ada)
    for path in ("/audit", "/audit.csv"):
        for query in (f"team={other.pk}", f"person={ada.pk}", "team=999999", "before=1", "before=x"):
            answer = desk_of(luc).get(f"{path}?{query}")
            assert answer.status_code == (200 if "before" in query and path.endswith("csv") else 404), (path, query)


def test_members_are_told_that_it_is_not_for_them() -> None:
    answer = desk_of(make_person()).get("/audit")
    assert answer.status_code == 403
    assert "for managers of a team and for admins" in text_of(answer)


def test_before_anything_was_done_the_page_says_what_will_appear(luc) -> None:
    assert "Nothing was done yet" in text_of(desk_of(luc).get("/audit"))
    assert "Nothing fits this choice" in text_of(desk_of(luc).get("/audit?text=zzz"))


# -- what one can ask for ---------------------------------------------------------------------------------------------


@pytest.fixture
def trail(ada, luc) -> dict[str, AuditEntry]:
    north = luc.teams.get()
    Team.objects.filter(pk=north.pk).update(time_zone="Pacific/Auckland")
    Team.objects.create(name="Southlight")
    day = datetime(2026, 10, 3, 22, tzinfo=UTC)  # the 4th in Auckland
    return {
        "budget": deed("Team budget: 500 credits", team=north, who=luc, at=day, address="10.1.2.3"),
        "approval": deed("140 credits for Mara", action="approval.approved", team=north, who=ada, at=day),
        "expired": deed("288 credits for Mara", action="approval.expired", team=north, at=day.replace(month=11)),
        "key": deed("Key vv_sk_…1234", action="key.added", who=ada, at=day),
        "odd": deed("Something new", action="moon.landed", who=ada, at=day),
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "budget approval expired key odd"),
        ("group=approvals", "approval expired"),
        ("group=accounts", "key"),
        ("group=other", "odd"),
        ("group=nonsense", "budget approval expired key odd"),
        ("text=500+credits", "budget"),
        ("text=BUDGET", "budget"),
        ("text=10.1.2", "budget"),
        ("text=luc@", "budget"),
        ("text=%25", ""),
        ("text=%00", "budget approval expired key odd"),
        ("person=dailies", "expired"),
        ("person={ada}", "approval key odd"),
        ("team={north}", "budget approval expired"),
        ("from=2026-10-03&to=2026-10-03", "budget approval key odd"),
        ("from=2026-10-04&to=2026-10-31", ""),
        ("team={north}&from=2026-10-04&to=2026-10-04", "budget approval"),  # days of the team's own zone
        ("team={north}&to=2026-10-03", ""),
        ("from=2026-11-01", "expired"),
        ("from=yesterday", "budget approval expired key odd"),
        ("group=approvals&person={ada}&text=mara", "approval"),
    ],
)
def test_page_and_csv_show_what_is_asked_for(ada, luc, trail, query, names) -> None:
    query = query.format(ada=ada.pk, north=luc.teams.get().pk)
    expected = {trail[name].what for name in names.split()}
    page = text_of(desk_of(ada).get(f"/audit?{query}"))
    assert {row.what for row in trail.values() if row.what in page} == expected
    assert {row[6] for row in rows_of(desk_of(ada).get(f"/audit.csv?{query}"))} == expected


@pytest.mark.parametrize(
    ("query", "words"),
    [("from=yesterday", "“yesterday” is no day"), ("from=2026-10-04&to=2026-10-01", "lies after the last one")],
)
def test_days_that_mean_nothing_are_said(ada, trail, query, words) -> None:
    assert words in text_of(desk_of(ada).get(f"/audit?{query}"))


def test_pages_go_on_where_the_last_one_ended_also_among_equal_times(ada) -> None:
    at = timezone.now()
    for number in range(120):
        deed(f"deed {number:03}", who=ada, at=at)
    desk, seen, query = desk_of(ada), [], ""
    for _ in range(3):
        answer = desk.get(f"/audit{query}")
        seen += [entry.what for entry in answer.context["entries"]]
        query = answer.context["older_url"]
        deed("done meanwhile", who=ada)  # a new row shifts nothing
    assert seen == [f"deed {number:03}" for number in reversed(range(120))]
    assert query == ""
    assert "Newest" in text_of(answer)


def test_many_rows_take_no_more_queries_than_few(ada, django_assert_max_num_queries, trail) -> None:
    for number in range(60):
        deed(f"deed {number}", who=ada, team=trail["budget"].team)
    with django_assert_max_num_queries(40) as few:
        desk_of(ada).get("/audit")
    for number in range(600):
        deed(f"deed {number}", who=make_person(f"p{number}@example.com") if number < 9 else ada)
    with django_assert_max_num_queries(len(few)):
        desk_of(ada).get("/audit")


# -- CSV --------------------------------------------------------------------------------------------------------------


def test_a_line_of_the_csv_says_who_did_what_when_and_from_where(ada, luc, trail) -> None:
    row = next(row for row in rows_of(desk_of(ada).get(f"/audit.csv?team={luc.teams.get().pk}")) if "500" in row[6])
    when = "2026-10-04 11:00:00"
    assert row[:5] == [when, "Pacific/Auckland", "Luc", "luc@example.com", "Northlight"]
    assert row[5:8] == ["budget.changed", "Team budget: 500 credits", "10.1.2.3"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_of_the_csv_is_a_formula(ada, start) -> None:
    deed(f"{start}cmd|' /C calc'!A0", who=ada, agent=f"{start}1+1")
    row = rows_of(desk_of(ada).get("/audit.csv"))[0]
    assert row[6].startswith(f"'{start}")
    assert row[8].startswith(f"'{start}")


def test_a_csv_longer_than_one_piece_has_every_line_once(ada, monkeypatch) -> None:
    monkeypatch.setattr(audit, "AT_A_TIME", 7)
    at = timezone.now()
    for number in range(20):
        deed(f"deed {number}", who=ada, at=at)
    assert sorted(row[6] for row in rows_of(desk_of(ada).get("/audit.csv"))) == sorted(f"deed {n}" for n in range(20))


def test_more_lines_than_a_spreadsheet_takes_are_refused_with_what_to_do(ada, monkeypatch) -> None:
    monkeypatch.setattr(export, "LONGEST", 3)
    for number in range(4):
        deed(f"deed {number}", who=ada, action="budget.changed" if number else "key.added")
    answer = desk_of(ada).get("/audit.csv")
    assert answer.status_code == 422
    assert "A file takes 3 lines, and these are more. Choose fewer days." in text_of(answer)
    assert len(rows_of(desk_of(ada).get("/audit.csv?group=money"))) == 3


def test_what_somebody_typed_is_text_on_the_page(ada) -> None:
    deed("<script>alert(1)</script>", who=ada)
    asked = quote('"><script>')
    page = desk_of(ada).get(f"/audit?text={asked}").content.decode() + desk_of(ada).get("/audit").content.decode()
    assert "<script>alert" not in page
    assert '"><script>' not in page


@pytest.mark.usefixtures("wire")
def test_a_clip_that_the_reader_may_open_is_linked(ada, luc, account) -> None:
    clip = confirmed(make_person())
    deed("140 credits", team=clip.team, who=ada, details={"generation": clip.pk})
    assert f'href="/g/{clip.pk}"' in desk_of(luc).get("/audit").content.decode()
    assert f'href="/g/{clip.pk}"' not in desk_of(ada).get("/audit").content.decode()  # of no team
