"""Accounts that are reserved for a team: it goes out on them first, and nobody else ever does."""

import pytest
import responses

from generations import accounts, dispatch, lifecycle, sending
from generations.models import ApiAccount, ApiCall, ApiKey, BalanceReading, Generation, LedgerEntry, Status, Team, User
from tests.makers import accepts, confirmed, make_account, make_order, make_person, price_is, sealed_for, sent_to

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("wire")]


@pytest.fixture
def common() -> ApiAccount:
    return make_account("vv_sk_common_0123456789")


@pytest.fixture
def mara() -> User:
    return make_person("mara@example.com", team="Northlight")


@pytest.fixture
def luc() -> User:
    return make_person("luc@example.com", team="Elsewhere")


@pytest.fixture
def reserved(mara) -> ApiAccount:
    """Northlight's own."""
    account = make_account("vv_sk_reserved_0123456789")
    accounts.reserve_for(account, mara.teams.get())
    return account


def send(generation: Generation) -> Generation:
    accepts(f"vg_{generation.pk}")
    sending.submit(generation.pk, "worker")
    generation.refresh_from_db()
    return generation


def test_a_teams_own_account_is_tried_before_the_common_ones(common, reserved, mara, luc):
    own, other = mara.teams.get(), luc.teams.get()
    assert list(dispatch.accounts_for(False, own)) == [reserved, common]
    assert list(dispatch.accounts_for(False, other)) == list(dispatch.accounts_for(False, None)) == [common]
    assert send(confirmed(mara)).account == reserved


def test_when_its_own_is_busy_the_team_goes_out_on_the_common_one(common, reserved, mara):
    generation = confirmed(mara)
    accounts.set_account_open(reserved, False)
    assert send(generation).account == common


def test_another_teams_clip_goes_out_on_the_common_account(common, reserved, luc):
    assert send(confirmed(luc)).account == common


def test_another_teams_clip_waits_when_only_reserved_accounts_are_left(client, common, reserved, luc):
    generation = confirmed(luc)
    asked = len(responses.calls)
    accounts.reserve_for(common, Team.objects.get(name="Northlight"))
    assert dispatch.due().submit == []
    client.force_login(luc)
    page = client.get("/queue").content.decode()
    assert "Every account is reserved for other teams" in page
    assert "when an admin has looked" in page
    send(generation)  # a message that is late, from before it was reserved
    assert (generation.status, generation.account, sent_to("generate-video")) == (Status.QUEUED, None, 0)
    assert not ApiCall.objects.filter(account=reserved).exists()
    assert LedgerEntry.objects.get().kind == LedgerEntry.Kind.HOLD
    assert len(responses.calls) == asked


def test_the_tick_sends_past_those_who_may_not_use_what_is_open(common, reserved, mara, luc):
    first, second = confirmed(luc), confirmed(mara)
    accounts.set_account_open(common, False)
    assert dispatch.due().submit == [second.pk]
    accounts.set_account_open(common, True)
    assert dispatch.due().submit == [first.pk, second.pk]


def test_a_price_is_asked_on_an_account_the_team_may_use(common, reserved, mara, luc):
    price_is(140)
    billing = make_order().billing
    assert lifecycle.quote(billing, mara.teams.get()).account == reserved
    assert lifecycle.quote(billing, luc.teams.get()).account == common  # another's price says what another has left


def test_a_team_without_any_account_is_told_so_and_nothing_is_asked(reserved, luc):
    with pytest.raises(lifecycle.NoPrice, match="reserved for other teams"):
        lifecycle.quote(make_order().billing, luc.teams.get())
    assert len(responses.calls) == 0


def test_the_balance_is_what_the_team_can_spend(client, common, reserved, mara, luc):
    BalanceReading.objects.create(account=common, credits=300)
    BalanceReading.objects.create(account=reserved, credits=5000)
    assert dispatch.balance(False, mara.teams.get())[0] == 5300
    assert dispatch.balance(False, luc.teams.get())[0] == 300
    client.force_login(luc)
    assert "5,300" not in client.get("/spend").content.decode()


def test_a_top_up_of_a_reserved_account_frees_only_its_teams_clips(common, reserved, mara, luc):
    ours, theirs = confirmed(mara), confirmed(luc)
    Generation.objects.update(wait_why="credits")
    call = dispatch.reserve(reserved, ApiCall.Kind.CREDITS)
    dispatch.note_balance(call, 5000)
    ours.refresh_from_db()
    theirs.refresh_from_db()
    assert (ours.wait_why, theirs.wait_why) == ("", "credits")


def test_the_queue_shows_no_account_of_another_team(client, common, reserved, mara, luc):
    def shown(person: User) -> tuple[bool, bool]:
        client.force_login(person)
        page = client.get("/queue").content.decode()
        return "0 of 6 busy" in page, f"{reserved.name}: 0 of 200 requests used" in page

    assert shown(mara) == (True, True)
    assert shown(luc) == (False, False)


def test_of_many_accounts_the_queue_draws_a_few_and_counts_the_others(client, common, mara):
    for number in range(6):
        make_account(f"vv_sk_many_{number}_0123456789")
    client.force_login(mara)
    page = client.get("/queue").content.decode()
    assert "0 of 21 busy" in page
    assert page.count("of 200 requests used") == 4
    assert "and 3 more accounts" in page
    assert "and 9 more slots" in page


def test_a_team_that_has_an_account_is_not_deleted_with_it_left_open_to_all(reserved, mara):
    with pytest.raises(Exception, match="protected"):
        mara.teams.get().delete()
    assert ApiAccount.objects.get(pk=reserved.pk).team is not None


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def admin(client):
    client.force_login(make_person("ada@example.com", is_staff=True))
    return client


def test_an_admin_reserves_an_account_and_opens_it_again(admin, common, mara):
    team = mara.teams.get()
    path = f"/settings/accounts/{common.pk}/reserve"
    page = admin.post(path, {"team": team.pk}, headers={"HX-Request": "true"}).content.decode()
    common.refresh_from_db()
    assert common.team == team
    assert "only clips of Northlight go out on it" in page
    assert f'<option value="{team.pk}" selected>Only Northlight</option>' in page
    admin.post(path, {"team": ""})
    common.refresh_from_db()
    assert common.team is None


@pytest.mark.parametrize("chosen", ["x", "9" * 30, "999999", "-1", None])
def test_an_account_is_not_reserved_for_nobody(admin, common, reserved, chosen):
    said = {} if chosen is None else {"team": chosen}
    assert admin.post(f"/settings/accounts/{reserved.pk}/reserve", said).status_code == 404
    reserved.refresh_from_db()
    assert reserved.team is not None


def test_only_admins_reserve_and_only_by_post(client, common, mara):
    path = f"/settings/accounts/{common.pk}/reserve"
    client.force_login(mara)
    assert client.post(path, {"team": mara.teams.get().pk}).status_code == 403
    client.force_login(make_person("ada@example.com", is_staff=True))
    assert client.get(path).status_code == 405
    common.refresh_from_db()
    assert common.team is None


def test_the_demo_account_is_for_everybody(admin, mara):
    demo = ApiAccount.objects.create(name="Demo", demo=True)
    assert admin.post(f"/settings/accounts/{demo.pk}/reserve", {"team": mara.teams.get().pk}).status_code == 404


def test_what_was_priced_before_the_account_was_reserved_is_asked_again_before_it_is_sent(common, reserved, luc):
    generation = confirmed(luc)
    other = make_account("vv_sk_third_0123456789")
    ApiKey.objects.filter(account=other).update(accepted_at=None)
    accounts.reserve_for(common, Team.objects.get(name="Northlight"))
    asked = sent_to("quote")
    assert send(generation).account == other
    assert sent_to("quote") == asked + 1


def test_a_confirmation_made_before_the_account_was_reserved_asks_again(common, reserved, luc):
    sealed = sealed_for(luc)
    accounts.reserve_for(common, Team.objects.get(name="Northlight"))
    with pytest.raises(lifecycle.ConfirmAgain):
        lifecycle.confirm(luc, sealed)
    assert not Generation.objects.exists()
    assert not LedgerEntry.objects.exists()


def test_who_waits_in_two_teams_does_not_keep_a_teams_own_account_idle(common, reserved, mara, luc):
    elsewhere, here = confirmed(mara), confirmed(mara)
    Generation.objects.filter(pk=elsewhere.pk).update(team=luc.teams.get())
    reserved.refresh_from_db()
    assert dispatch.next_on(reserved).send == {here.pk: reserved.pk}
