"""Accounts and keys: what comes from the environment, what is taken up again, when demo mode ends."""

import pytest
import responses
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from generations import accounts, dispatch
from generations.models import ApiAccount, ApiKey
from tests.makers import API, KEY, make_account

pytestmark = pytest.mark.django_db
K1, K2, K3 = "vv_sk_first_key_1111", "vv_sk_second_key_2222", "vv_sk_third_key_3333"
State = ApiKey.State


@pytest.fixture(autouse=True)
def upstream():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def works(upstream):
    return upstream.get(f"{API}/credits", json={"success": True, "credits": 451, "balance": 451})


@pytest.fixture
def refuses(upstream):
    return upstream.get(f"{API}/credits", json={"error": "Invalid API key"}, status=401)


def states() -> dict[str, str]:
    return {key.last4: key.state for key in ApiKey.objects.order_by("pk")}


def key_of(secret: str) -> ApiKey:
    return ApiKey.objects.get(digest=ApiKey.digest_of(secret))


# -- the environment's key --------------------------------------------------------------------------------------------


def test_the_environments_key_can_change_and_change_back() -> None:
    for secret in (K1, K2, K1):
        accounts.ensure_environment_key(secret)
    assert states() == {"1111": State.ACTIVE, "2222": State.REPLACED}
    assert dispatch.reveal(key_of(K1)) == K1
    assert ApiAccount.objects.count() == 1


def test_a_key_that_was_replaced_comes_back_when_the_environment_names_it(works) -> None:
    accounts.replace_key(make_account(K1).keys.get(), K2)
    accounts.ensure_environment_key(K1)
    assert states() == {"1111": State.ACTIVE, "2222": State.ACTIVE}


@pytest.mark.parametrize("state", [State.PAUSED, State.REFUSED])
def test_a_paused_or_refused_key_of_the_environment_stays_as_it_is(state) -> None:
    accounts.ensure_environment_key(K1)
    ApiKey.objects.update(state=state)
    accounts.ensure_environment_key(K1)
    assert states() == {"1111": state}


def test_a_rotation_in_settings_outlives_a_restart_with_the_old_environment(settings, works) -> None:
    settings.VEEVID_API_KEY = K1
    accounts.ensure_environment_key(K1)
    accounts.replace_key(key_of(K1), K2)
    accounts.ensure_environment_key(K1)
    assert states() == {"1111": State.REPLACED, "2222": State.ACTIVE}


def test_once_the_environment_has_named_another_key_it_may_name_the_old_one_again(settings, works) -> None:
    settings.VEEVID_API_KEY = K1
    accounts.ensure_environment_key(K1)
    accounts.replace_key(key_of(K1), K2)
    accounts.ensure_environment_key(K3)
    accounts.ensure_environment_key(K1)
    assert states() == {"1111": State.ACTIVE, "2222": State.ACTIVE, "3333": State.REPLACED}


@pytest.mark.parametrize("seen_before", [False, True])
def test_the_environments_key_is_no_sixth_active_one(seen_before) -> None:
    account = make_account()
    for number in range(4):
        accounts.add_key(account, f"vv_sk_more_keys_{number}")
    if seen_before:
        ApiKey.objects.create(account=account, secret=K1, last4="1111", digest=ApiKey.digest_of(K1), state="replaced")
    accounts.ensure_environment_key(K1)
    assert key_of(K1).state == State.PAUSED
    assert account.keys.filter(state=State.ACTIVE).count() == 5


# -- taken up again ---------------------------------------------------------------------------------------------------


def test_a_replaced_key_that_is_added_again_is_taken_up_where_it_was(works) -> None:
    account = make_account(K1)
    accounts.replace_key(account.keys.get(), K2)
    again = accounts.add_key(None, K1, "back")
    assert (again.account, again.state, again.label) == (account, State.ACTIVE, "back")
    assert ApiAccount.objects.count() == 1


def test_a_replaced_key_may_be_added_to_another_account(works) -> None:
    accounts.replace_key(make_account(K1).keys.get(), K2)
    other = make_account(K3)
    assert accounts.add_key(other, K1).account == other


def test_a_replaced_key_is_no_sixth_active_one_either(works) -> None:
    account = make_account(K1)
    accounts.replace_key(account.keys.get(), K2)
    for number in range(4):
        accounts.add_key(account, f"vv_sk_more_keys_{number}")
    with pytest.raises(accounts.CannotAdd, match="5 active keys"):
        accounts.add_key(account, K1)
    assert key_of(K1).state == State.REPLACED


# -- rotation ---------------------------------------------------------------------------------------------------------


def test_a_replacement_that_is_refused_never_becomes_active(refuses) -> None:
    old = make_account(K1).keys.get()
    with pytest.raises(accounts.CannotAdd, match="Veevid refuses the new key"):
        accounts.replace_key(old, K2)
    assert states() == {"1111": State.ACTIVE, "2222": State.REPLACED}


def test_no_replacement_is_tried_for_a_key_that_was_replaced_meanwhile(works) -> None:
    old = make_account(K1).keys.get()
    accounts.replace_key(old, K2)
    with pytest.raises(accounts.CannotAdd, match="already replaced"):
        accounts.replace_key(old, K3)
    assert len(works.calls) == 1
    assert states() == {"1111": State.REPLACED, "2222": State.ACTIVE}


def test_one_of_five_active_keys_can_be_replaced_but_a_paused_one_not_by_a_sixth(works) -> None:
    account = make_account(K1)
    accounts.set_key_active(key_of(K1), False)
    for number in range(5):
        accounts.add_key(account, f"vv_sk_more_keys_{number}")
    with pytest.raises(accounts.CannotAdd, match="5 active keys"):
        accounts.replace_key(key_of(K1), K2)
    accounts.replace_key(key_of("vv_sk_more_keys_0"), K2)
    assert account.keys.filter(state=State.ACTIVE).count() == 5


def test_every_change_of_a_key_locks_its_account_first(works) -> None:
    """Two that lock account and key in different orders would wait for each other forever."""
    account = make_account(K1)
    changes = [
        lambda: accounts.add_key(account, K2),
        lambda: accounts.set_key_active(key_of(K2), False),
        lambda: accounts.replace_key(key_of(K1), K3),
        lambda: accounts.remove_key(key_of(K2)),
        lambda: accounts.ensure_environment_key("vv_sk_fourth_key_4444"),
    ]
    for change in changes:
        with CaptureQueriesContext(connection) as seen:
            change()
        for statements in transactions([query["sql"] for query in seen]):
            writes = [
                i for i, sql in enumerate(statements) if sql.startswith(("UPDATE", "INSERT")) and KEYS in sql[:60]
            ]
            locks = [i for i, sql in enumerate(statements) if sql.startswith("SELECT") and ACCOUNTS in sql]
            assert not writes or (locks and min(locks) < min(writes)), statements


KEYS, ACCOUNTS = '"generations_apikey"', 'FROM "generations_apiaccount"'


def transactions(statements: list[str]) -> list[list[str]]:
    """What was said between each SAVEPOINT and its RELEASE."""
    found: list[list[str]] = []
    inside = False
    for sql in statements:
        if sql.startswith("SAVEPOINT"):
            inside = True
            found.append([])
        elif sql.startswith("RELEASE"):
            inside = False
        elif inside:
            found[-1].append(sql)
    return found


# -- demo mode --------------------------------------------------------------------------------------------------------


@pytest.fixture
def simulator(settings) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:9/api"
    accounts.ensure_demo()


def test_demo_mode_ends_with_the_first_answer_to_a_real_key(simulator, works) -> None:
    key = accounts.add_key(None, K1)
    assert dispatch.demo_mode()
    accounts.test_key(key, None)
    assert not dispatch.demo_mode()


def test_a_refused_key_does_not_end_demo_mode(simulator, refuses) -> None:
    accounts.test_key(accounts.add_key(None, K1), None)
    assert states()["1111"] == State.REFUSED
    assert dispatch.demo_mode()


@pytest.mark.parametrize("state", State.values)
def test_demo_mode_does_not_come_back(simulator, state) -> None:
    make_account()
    ApiKey.objects.filter(account__demo=False).update(state=state)
    assert not dispatch.demo_mode()


def test_what_the_demo_key_did_ends_nothing(simulator) -> None:
    ApiKey.objects.update(accepted_at=timezone.now())
    assert dispatch.demo_mode()


def test_without_a_simulator_any_real_account_ends_demo_mode(settings) -> None:
    assert not settings.SIMULATOR_URL
    assert dispatch.demo_mode()
    accounts.ensure_environment_key(K1)
    assert not dispatch.demo_mode()


def test_only_what_was_never_taken_is_removed(simulator) -> None:
    make_account()
    mistyped = accounts.add_key(None, K1)
    for key in (mistyped, key_of(KEY), ApiKey.objects.get(account__demo=True)):
        accounts.remove_key(key)
    assert set(states().values()) == {State.ACTIVE, State.REPLACED}
    assert key_of(K1).state == State.REPLACED


def test_a_removed_key_of_the_environment_does_not_come_back_at_the_next_start(settings) -> None:
    settings.VEEVID_API_KEY = K1
    accounts.ensure_environment_key(K1)
    accounts.remove_key(key_of(K1))
    accounts.ensure_environment_key(K1)
    assert states() == {"1111": State.REPLACED}
