"""Invitations, joining, roles, several teams, leaving and off-boarding, as the people do it."""

import logging
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from generations import ledger, people
from generations.models import (
    Approval,
    ApprovalRule,
    AuditEntry,
    Generation,
    Invitation,
    Membership,
    Status,
    Team,
    User,
)
from tests.makers import confirmed, make_account, make_person, sent_to
from tests.pages import text_of
from veevid_site.logs import HideTokens

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"
HX = {"HX-Request": "true"}
LINK = re.compile(r"http://testserver(/join/[A-Za-z0-9_-]+)")


@pytest.fixture
def kim() -> User:
    """The manager of Northlight."""
    return make_person("kim@example.com", role="manager")


@pytest.fixture
def ada() -> User:
    """The only admin, in a team of her own."""
    return make_person("ada@example.com", team="Head office", role="manager", is_staff=True, is_superuser=True)


@pytest.fixture(autouse=True)
def account() -> None:
    make_account()


def at_desk(person: User) -> Client:
    desk = Client()
    desk.force_login(person)
    return desk


def invited(by: User, role: str = "member", email: str = "") -> str:
    """The path of a new link."""
    answer = at_desk(by).post("/team/invite", {"role": role, "email": email})
    return LINK.search(answer.content.decode()).group(1)


def new_person(**changed: str) -> dict[str, str]:
    return {"name": "Noor Haddad", "email": "Noor@example.com", "password": PASSWORD, **changed}


def deeds() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


def state() -> list[Any]:
    """Everything that a refusal must leave as it was."""
    return [
        list(User.objects.order_by("pk").values_list("pk", "is_active", "is_staff", "is_superuser")),
        list(Membership.objects.order_by("pk").values_list("team", "user", "role")),
        list(Invitation.objects.order_by("pk").values_list("pk", "used_at", "used_by", "revoked_at")),
        list(Team.objects.order_by("pk").values_list("name", "time_zone")),
        deeds(),
    ]


# -- inviting ---------------------------------------------------------------------------------------------------------


def test_an_invitation_shows_its_link_once_and_keeps_only_its_hash(kim) -> None:
    path = invited(kim, "viewer", "noor@example.com")
    row = Invitation.objects.get()
    token = path.removeprefix("/join/")
    assert len(token) >= 43  # 256 bits
    assert token not in str(Invitation.objects.values().get())
    assert (row.role, row.email, row.invited_by) == ("viewer", "noor@example.com", kim)
    assert timedelta(days=6, hours=23) < row.expires_at - timezone.now() <= timedelta(days=7)
    page = text_of(at_desk(kim).get("/team"))
    assert "noor@example.com" in page
    assert "invited by Kim" in page
    assert token not in page
    assert token not in str(AuditEntry.objects.values().get())


def test_under_htmx_the_section_alone_answers_with_the_link(kim) -> None:
    answer = at_desk(kim).post("/team/invite", {"role": "member"}, headers=HX)
    assert LINK.search(answer.content.decode())
    assert b"<html" not in answer.content


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"role": "admin"}, "viewer, member or manager"),
        ({}, "viewer, member or manager"),
        ({"role": "member", "email": "noor"}, "valid email"),
    ],
)
def test_an_invitation_that_cannot_be_is_refused(kim, said, words) -> None:
    before = state()
    answer = at_desk(kim).post("/team/invite", said)
    assert answer.status_code == 422
    assert words in text_of(answer)
    assert state() == before


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_only_managers_invite_and_change_who_is_in_the_team(kim, role) -> None:
    path = invited(kim)
    desk = at_desk(make_person("mara@example.com", role=role))
    before = state()
    place, invitation = Membership.objects.get(user=kim), Invitation.objects.get()
    for url in (
        reverse("invite"),
        reverse("revoke_invitation", args=[invitation.pk]),
        reverse("change_role", args=[place.pk]),
        reverse("remove_member", args=[place.pk]),
    ):
        assert desk.post(url, {"role": "viewer"}).status_code == 403
    assert state() == before
    assert Client().get(path).status_code == 200


def test_another_teams_people_and_invitations_are_not_there(kim) -> None:
    stranger = make_person("sam@example.com", team="Southpaw", role="manager")
    invited(kim)
    before = state()
    desk = at_desk(stranger)
    place, invitation = Membership.objects.get(user=kim), Invitation.objects.get()
    for url in (
        reverse("revoke_invitation", args=[invitation.pk]),
        reverse("change_role", args=[place.pk]),
        reverse("remove_member", args=[place.pk]),
        reverse("leave_team", args=[place.team_id]),
    ):
        assert desk.post(url, {"role": "viewer"}).status_code == 404
    assert desk.post("/teams/switch", {"team": place.team_id}).status_code == 404
    assert state() == before


def test_with_a_mail_server_the_link_is_mailed_and_without_one_it_is_not(kim, settings) -> None:
    invited(kim, "member", "noor@example.com")
    assert mail.outbox == []
    settings.MAIL = True
    answer = at_desk(kim).post("/team/invite", {"role": "member", "email": "noor@example.com"})
    assert "Mailed to noor@example.com" in text_of(answer)
    (sent,) = mail.outbox
    assert sent.to == ["noor@example.com"]
    assert LINK.search(answer.content.decode()).group() in str(sent.body)


def test_a_mail_that_cannot_be_sent_leaves_the_link_to_copy(kim, settings) -> None:
    settings.MAIL, settings.EMAIL_BACKEND = True, "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    answer = at_desk(kim).post("/team/invite", {"role": "member", "email": "noor@example.com"})
    assert "could not be sent" in text_of(answer)
    assert LINK.search(answer.content.decode())


def test_an_admin_invites_into_any_team(kim, ada) -> None:
    team = Team.objects.get(name="Northlight")
    answer = at_desk(ada).post("/people/invite", {"team": team.pk, "role": "manager"})
    Client().post(LINK.search(answer.content.decode()).group(1), new_person())
    assert Membership.objects.get(user__email="noor@example.com").team == team
    before = state()
    assert at_desk(ada).post("/people/invite", {"team": "99999", "role": "manager"}).status_code == 404
    assert at_desk(ada).post("/people/invite", {"team": team.pk, "role": "owner"}).status_code == 422
    assert state() == before


# -- joining ----------------------------------------------------------------------------------------------------------


def test_a_new_person_makes_an_account_and_is_in(client, kim) -> None:
    path = invited(kim, "viewer", "noor@example.com")
    page = client.get(path)
    assert 'value="noor@example.com"' in page.content.decode()
    assert (page.headers["Referrer-Policy"], "no-store" in page.headers["Cache-Control"]) == ("same-origin", True)
    answer = client.post(path, new_person())
    assert answer.headers["Location"] == "/"
    noor = User.objects.get(email="noor@example.com")
    assert (noor.memberships.get().team.name, noor.memberships.get().role) == ("Northlight", "viewer")
    assert noor.check_password(PASSWORD)
    assert not noor.is_staff
    assert client.session["_auth_user_id"] == str(noor.pk)
    assert deeds() == ["invitation.made", "invitation.used"]


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("password", "short", "at least 12 characters"),
        ("password", "", "at least 12 characters"),
        ("password", "noor@example.com", "too similar to the email"),
        ("email", "noor", "valid email"),
        ("email", "KIM@example.com", "account with this address already"),
        ("name", "", "Type the name"),
    ],
)
def test_what_is_wrong_with_the_account_is_said_and_the_link_still_works(client, kim, field, typed, said) -> None:
    path = invited(kim)
    before = state()
    answer = client.post(path, new_person(**{field: typed}))
    assert answer.status_code == 422
    assert said in text_of(answer)
    assert PASSWORD not in answer.content.decode()
    assert state() == before
    client.post(path, new_person())
    assert User.objects.filter(email="noor@example.com").exists()


def test_somebody_signed_in_joins_with_one_button_and_works_there(kim) -> None:
    mara = make_person("mara@example.com", team="Southpaw")
    path = invited(kim, "viewer")
    desk = at_desk(mara)
    assert "Join as Mara" in text_of(desk.get(path))
    desk.post(path)
    assert {(m.team.name, m.role) for m in mara.memberships.all()} == {("Southpaw", "member"), ("Northlight", "viewer")}
    assert desk.session["team"] == Team.objects.get(name="Northlight").pk
    assert desk.post(path).headers["Location"] == "/"  # the second of two clicks


def test_signing_in_first_leads_back_to_the_link(client, kim) -> None:
    path = invited(kim)
    make_person("mara@example.com", team="Southpaw")
    href = re.search(r'href="(/accounts/login/\?next=[^"]+)"', client.get(path).content.decode()).group(1)
    said = {"login": "mara@example.com", "password": "a long password of hers", "next": path}
    assert client.post(href, said).headers["Location"] == path


def test_a_member_does_not_use_up_a_link(kim) -> None:
    path = invited(kim, "manager")
    mara = make_person("mara@example.com")
    before = state()
    answer = at_desk(mara).post(path)
    assert answer.status_code == 422
    assert "in Northlight already" in text_of(answer)
    assert state() == before


def closed(how: str, kim: User) -> None:
    row = Invitation.objects.all()
    if how == "used":
        row.update(used_at=timezone.now(), used_by=make_person("first@example.com"))
    elif how == "late":
        row.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif how == "revoked":
        row.update(revoked_at=timezone.now())
    else:
        User.objects.filter(pk=kim.pk).update(is_active=False)


@pytest.mark.parametrize(
    ("how", "words"),
    [("used", "works once"), ("late", "works for 7 days"), ("revoked", "revoked"), ("inviter gone", "may not invite")],
)
def test_a_link_that_is_closed_lets_nobody_in(client, kim, how, words) -> None:
    path = invited(kim)
    closed(how, kim)
    mara = make_person("mara@example.com", team="Southpaw")
    before = state()
    for desk, said in ((client, new_person()), (at_desk(mara), {})):
        for answer in (desk.get(path), desk.post(path, said)):
            assert answer.status_code == 410
            assert words in text_of(answer)
            assert "Nothing was changed" in text_of(answer)
    assert state() == before


def test_a_wrong_link_is_a_404_and_too_many_are_held_back(client, kim) -> None:
    path = invited(kim)
    before = state()
    codes = [client.get(f"/join/{'A' * 43}").status_code for _ in range(21)]
    assert codes == [404] * 20 + [429]
    assert client.post("/join/wrong", new_person()).status_code == 429
    assert client.get("/join/wrong", REMOTE_ADDR="10.1.1.1").status_code == 404
    assert state() == before
    assert client.get(path).status_code == 200  # a right one is never held back


def test_a_revoked_invitation_is_gone_from_the_list_and_cannot_be_revoked_again(kim) -> None:
    path = invited(kim, "member", "noor@example.com")
    url = reverse("revoke_invitation", args=[Invitation.objects.get().pk])
    desk = at_desk(kim)
    assert "noor@example.com" not in text_of(desk.post(url, headers=HX))
    assert Client().get(path).status_code == 410
    before = state()
    assert desk.post(url).status_code == 422
    assert state() == before


def test_the_logs_do_not_tell_the_token(kim, settings) -> None:
    token = invited(kim).removeprefix("/join/")
    assert settings.LOGGING["handlers"]["console"]["filters"] == ["tokens"]
    record = logging.LogRecord("django.request", 30, "", 0, "%s: %s", ("Unprocessable", f"/join/{token}"), None)
    assert HideTokens().filter(record)
    assert token not in record.getMessage()
    assert "/join/…" in record.getMessage()


# -- roles and leaving ------------------------------------------------------------------------------------------------


def test_a_manager_changes_a_role_and_it_counts_at_once(kim) -> None:
    mara = make_person("mara@example.com")
    desk = at_desk(mara)
    assert desk.get("/new").status_code == 200
    url = reverse("change_role", args=[mara.memberships.get().pk])
    assert at_desk(kim).post(url, {"role": "viewer"}, headers=HX).status_code == 200
    assert desk.get("/new").status_code == 403
    entry = AuditEntry.objects.get(action="member.role")
    assert (entry.who, entry.what, entry.address) == (kim, "Mara from member to viewer", "127.0.0.1")
    before = state()
    assert at_desk(kim).post(url, {"role": "admin"}).status_code == 422
    assert state() == before


def test_who_is_no_manager_any_more_has_no_open_links(kim) -> None:
    lea = make_person("lea@example.com", role="manager")
    path = invited(lea, "manager")
    at_desk(kim).post(reverse("change_role", args=[lea.memberships.get().pk]), {"role": "member"})
    assert Client().get(path).status_code == 410
    assert deeds()[-1] == "invitation.revoked"


def parked(owner: User) -> Generation:
    ApprovalRule.objects.get_or_create(team=owner.teams.get(), mode="", above=0)
    row = confirmed(owner)
    assert row.status == Status.AWAITING_APPROVAL
    return row


def test_who_is_removed_loses_the_teams_pages_but_the_clips_stay(kim, wire) -> None:
    mara = make_person("mara@example.com")
    queued, waiting = confirmed(mara), parked(mara)
    desk = at_desk(mara)
    assert desk.get(f"/g/{queued.pk}").status_code == 200
    at_desk(kim).post(reverse("remove_member", args=[mara.memberships.get().pk]))
    assert desk.get(f"/g/{queued.pk}").status_code == 404
    assert desk.get("/").status_code == 403
    assert at_desk(kim).get(f"/g/{queued.pk}").status_code == 200
    queued.refresh_from_db()
    waiting.refresh_from_db()
    assert (queued.status, waiting.status) == (Status.QUEUED, Status.CANCELLED)
    assert Approval.objects.get().verdict == Approval.Verdict.CANCELLED
    assert ledger.totals(user=mara, demo=False).held == queued.price
    assert sent_to("generate-video") == 0


def test_leaving_is_for_everybody(kim) -> None:
    mara = make_person("mara@example.com", role="viewer")
    desk = at_desk(mara)
    assert "Northlight" in text_of(desk.get("/you"))
    desk.post(reverse("leave_team", args=[mara.teams.get().pk]))
    assert not mara.memberships.exists()
    assert deeds() == ["member.left"]
    assert "You are in no team" in text_of(desk.get("/you"))


def test_the_last_manager_leaves_only_while_there_is_an_admin(kim) -> None:
    team, place = kim.teams.get(), kim.memberships.get()
    before = state()
    for url, said in (
        (reverse("leave_team", args=[team.pk]), {}),
        (reverse("remove_member", args=[place.pk]), {}),
        (reverse("change_role", args=[place.pk]), {"role": "member"}),
    ):
        answer = at_desk(kim).post(url, said)
        assert answer.status_code == 422
        assert "last manager of Northlight" in text_of(answer)
        assert state() == before
    make_person("ada@example.com", team="Head office", is_staff=True)
    at_desk(kim).post(reverse("leave_team", args=[team.pk]))
    assert not kim.memberships.exists()


# -- several teams ----------------------------------------------------------------------------------------------------


def in_two_teams() -> User:
    mara = make_person("mara@example.com", team="Northlight")
    Membership.objects.create(user=mara, team=Team.objects.create(name="Southpaw"), role="viewer")
    return mara


def test_the_switcher_is_there_for_several_teams_only_and_is_remembered(kim) -> None:
    assert b"/teams/switch" not in at_desk(kim).get("/").content
    mara = in_two_teams()
    desk = at_desk(mara)
    assert "Team: Northlight. Choose another" in text_of(desk.get("/"))
    answer = desk.post("/teams/switch", {"team": Team.objects.get(name="Southpaw").pk, "next": "/queue"})
    assert answer.headers["Location"] == "/queue"
    assert "Team: Southpaw. Choose another" in text_of(desk.get("/"))
    assert desk.get("/new").status_code == 403  # a viewer there


@pytest.mark.parametrize("back", ["/g/1", "https://example.org/", "//example.org", "/nothing", ""])
def test_a_switch_leads_to_the_gallery_unless_the_page_shows_the_new_team(back) -> None:
    desk = at_desk(in_two_teams())
    answer = desk.post("/teams/switch", {"team": Team.objects.get(name="Southpaw").pk, "next": back})
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize("team", ["", "x", "-1", "9" * 30, "²"])
def test_a_forged_team_is_not_there(team) -> None:
    desk = at_desk(in_two_teams())
    assert desk.post("/teams/switch", {"team": team}).status_code == 404
    assert "team" not in desk.session


def test_a_page_of_ones_other_team_opens_without_switching(wire) -> None:
    mara = make_person("mara@example.com")
    row = confirmed(mara)
    Membership.objects.create(user=mara, team=Team.objects.create(name="Aardvark"))
    desk = at_desk(mara)
    assert "Team: Aardvark" in text_of(desk.get("/"))
    assert desk.get(f"/g/{row.pk}").status_code == 200


def test_an_admin_makes_a_team_and_manages_it(ada) -> None:
    desk = at_desk(ada)
    assert desk.post("/teams/new", {"name": " Lab ", "time_zone": "Europe/Berlin"}).headers["Location"] == "/team"
    assert Team.objects.get(name="Lab").time_zone == "Europe/Berlin"
    assert "Lab" in text_of(desk.get("/team"))


@pytest.mark.parametrize(
    ("name", "zone", "words"),
    [
        ("", "UTC", "blank"),
        ("Head office", "UTC", "There is a team Head office already"),
        ("Lab", "Mars", "not a time zone"),
        ("L" * 81, "UTC", "80 characters"),
    ],
)
def test_a_team_that_cannot_be_is_not_made(ada, name, zone, words) -> None:
    before = state()
    answer = at_desk(ada).post("/teams/new", {"name": name, "time_zone": zone})
    assert answer.status_code == 422
    assert words in text_of(answer)
    assert state() == before


def test_an_admin_steps_into_a_team_in_plain_sight(ada, kim) -> None:
    at_desk(ada).post(reverse("step_in", args=[kim.teams.get().pk]))
    assert ada.memberships.get(team=kim.teams.get()).role == "manager"
    assert deeds() == ["member.stepped_in"]


# -- admins, and closing accounts -------------------------------------------------------------------------------------


def test_the_pages_of_admins_are_for_admins(kim, ada) -> None:
    before = state()
    for desk, code in ((at_desk(kim), 403), (Client(), 302)):
        assert desk.get("/people").status_code == code
        for name, args in (
            ("set_admin", [kim.pk]),
            ("set_person_open", [ada.pk]),
            ("forget_second_factor", [ada.pk]),
            ("second_factor_rule", []),
            ("make_team", []),
            ("invite_anywhere", []),
            ("step_in", [ada.teams.get().pk]),
        ):
            said = {"on": "1", "name": "Lab", "role": "manager", "team": ada.teams.get().pk}
            assert desk.post(reverse(name, args=args), said).status_code == code
    assert state() == before


def test_an_admin_makes_another_and_unmakes_them(ada, kim) -> None:
    url = reverse("set_admin", args=[kim.pk])
    at_desk(ada).post(url, {"on": "1"})
    kim.refresh_from_db()
    assert (kim.is_staff, kim.is_superuser) == (True, True)
    at_desk(ada).post(url, {"on": "0"})
    kim.refresh_from_db()
    assert (kim.is_staff, kim.is_superuser) == (False, False)
    assert deeds() == ["admin.made", "admin.unmade"]


def test_the_last_admin_stays(ada) -> None:
    desk = at_desk(ada)
    before = state()
    for url in (
        reverse("set_admin", args=[ada.pk]),
        reverse("set_person_open", args=[ada.pk]),
        reverse("leave_team", args=[ada.teams.get().pk]),
    ):
        answer = desk.post(url, {"on": "0"})
        assert answer.status_code == 422
        assert "last admin" in text_of(answer)
        assert state() == before


def test_a_closed_account_ends_its_sessions_at_once_and_keeps_everything_else(ada, wire) -> None:
    mara = make_person("mara@example.com")
    queued, waiting = confirmed(mara), parked(mara)
    desk, image = at_desk(mara), f"/g/{queued.pk}/poster"
    assert desk.get("/").status_code == 200
    url = reverse("set_person_open", args=[mara.pk])
    answer = at_desk(ada).post(url, {"on": "0"}, follow=True)
    assert "One parked request was cancelled" in text_of(answer)
    assert desk.get("/").headers["Location"].startswith("/accounts/login/")
    assert desk.get(image).headers["Location"].startswith("/accounts/login/")
    queued.refresh_from_db()
    waiting.refresh_from_db()
    assert (queued.status, waiting.status) == (Status.QUEUED, Status.CANCELLED)
    assert queued.owner == mara
    assert mara.memberships.count() == 1
    said = {"login": "mara@example.com", "password": "a long password of hers"}
    assert Client().post("/accounts/login/", said).headers.get("Location") == "/accounts/inactive/"
    at_desk(ada).post(url, {"on": "1"})
    assert desk.get("/").status_code == 302  # the old session stays ended
    assert Client().post("/accounts/login/", said).headers["Location"] == "/"
    assert deeds() == ["person.closed", "person.reopened"]


def test_a_closed_account_is_not_made_an_admin(ada) -> None:
    mara = make_person("mara@example.com", is_active=False)
    before = state()
    answer = at_desk(ada).post(reverse("set_admin", args=[mara.pk]), {"on": "1"})
    assert answer.status_code == 422
    assert state() == before


def test_an_admin_who_is_none_any_more_decides_nothing(ada, kim) -> None:
    """The page was opened while she was one; the deed asks again under the lock."""
    lea = make_person("lea@example.com", is_staff=True)
    User.objects.filter(pk=lea.pk).update(is_staff=False)
    before = state()
    with pytest.raises(people.CannotDo, match="not an admin any more"):
        people.set_admin(lea, kim, True, {})
    with pytest.raises(people.CannotDo, match="not an admin any more"):
        people.close(lea, kim, {})
    assert state() == before
