"""Settings: accounts, keys and models, for admins."""

import html
import logging

import pytest
import responses
from django.urls import reverse
from requests.exceptions import ConnectTimeout

from generations import accounts, catalogue, dispatch
from generations.models import ApiAccount, ApiCall, ApiKey, SwitchedOff
from tests.makers import API, KEY, make_account, make_person

pytestmark = pytest.mark.django_db
OTHER = "vv_sk_other_abcdefghijkl9876"
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def upstream():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def works(upstream):
    return upstream.get(f"{API}/credits", json={"success": True, "credits": 451, "balance": 451})


@pytest.fixture
def admin(client):
    client.force_login(make_person("mara@example.com", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def account() -> ApiAccount:
    return make_account()


def act(client, name: str, pk: int | None = None, headers: dict[str, str] | None = None, **said: str):
    return client.post(reverse(name, args=[pk] if pk else []), said, headers=headers or {})


# -- who may ----------------------------------------------------------------------------------------------------------

ACTIONS = [
    ("settings", False), ("add_key", False), ("test_key", True), ("pause_key", True), ("resume_key", True),
    ("replace_key", True), ("pause_account", True), ("resume_account", True), ("switch_model", False),
]  # fmt: skip


@pytest.mark.parametrize("role", ["viewer", "member", "manager", None])
@pytest.mark.parametrize(("name", "with_pk"), ACTIONS)
def test_only_admins_get_anywhere_near_the_keys(client, account, upstream, role, name, with_pk) -> None:
    key = account.keys.get()
    if role:
        client.force_login(make_person(role=role))
    url = reverse(name, args=[key.pk] if with_pk else [])
    said = {"secret": OTHER, "mode": "veo3", "on": "0"}
    answer = client.get(url) if name == "settings" else client.post(url, said)
    assert answer.status_code == (403 if role else 302)
    assert KEY[-4:] not in answer.content.decode()
    key.refresh_from_db()
    assert (key.state, ApiKey.objects.count(), SwitchedOff.objects.count()) == (ApiKey.State.ACTIVE, 1, 0)
    assert not upstream.calls


def test_a_member_reads_why_in_plain_words(client, account) -> None:
    client.force_login(make_person())
    assert "Settings are for admins." in client.get("/settings").content.decode()


@pytest.mark.parametrize(("name", "with_pk"), ACTIONS[1:])
def test_a_link_alone_changes_nothing(admin, account, name, with_pk) -> None:
    assert admin.get(reverse(name, args=[1] if with_pk else [])).status_code == 405


# -- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_is_shown_by_its_last_four_characters_only(admin, account) -> None:
    page = admin.get("/settings").content.decode()
    assert f"vv_sk_…{KEY[-4:]}" in page
    assert KEY not in page


def test_adding_the_first_key_ends_demo_mode_and_tries_it_out(admin, works, settings) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:9/api"
    accounts.ensure_demo()
    before = admin.get("/settings").content.decode()
    assert "A real key ends demo mode" in before
    assert "Demo (simulator)" in before
    answer = act(admin, "add_key", secret=f"  {OTHER} ", label="studio 2")
    assert answer.headers["Location"] == "/settings"
    page = admin.get("/settings").content.decode()
    assert "Demo mode is over" in page
    assert "Works. The account has 451 credits." in page
    assert "studio 2" in page
    assert "Demo (simulator)" not in page
    assert OTHER not in page
    assert not dispatch.demo_mode()


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "begins with vv_sk_"),
        ("sk_0123456789abcdef", "begins with vv_sk_"),
        ("vv_sk_with a space 123", "begins with vv_sk_"),
        ("vv_sk_demo_simulator_key", "This is the demo key"),
        (KEY, "This key is here already"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_key_that_cannot_be_taken_is_explained_at_the_field(admin, account, upstream, secret, said, headers) -> None:
    answer = act(admin, "add_key", headers=headers, secret=secret, label="studio 2")
    page = answer.content.decode()
    assert answer.status_code == 422
    assert said in page
    assert 'value="studio 2"' in page
    assert not secret or secret not in page
    assert ApiKey.objects.count() == 1
    assert not upstream.calls


def test_a_sixth_active_key_is_not_taken(admin, account, upstream) -> None:
    for number in range(4):
        accounts.add_key(account, f"vv_sk_more_keys_{number}")
    answer = act(admin, "add_key", secret=OTHER, account=str(account.pk))
    assert "Veevid allows 5 active keys" in answer.content.decode()
    assert account.keys.count() == 5
    assert not upstream.calls


def test_a_key_can_join_an_account_or_begin_another_one(admin, account, works) -> None:
    act(admin, "add_key", secret=OTHER, account=str(account.pk))
    act(admin, "add_key", secret="vv_sk_third_key_123456", account="")
    assert account.keys.count() == 2
    assert list(ApiAccount.objects.order_by("pk").values_list("name", flat=True)) == ["Veevid", "Veevid 2"]


@pytest.mark.parametrize("chosen", ["999", "x", "-1", "½"])
def test_a_key_does_not_go_to_an_account_that_is_not_there(admin, account, chosen) -> None:
    assert act(admin, "add_key", secret=OTHER, account=chosen).status_code == 404
    assert ApiKey.objects.count() == 1


def test_a_real_key_never_goes_to_the_simulator(admin, settings, upstream) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:9/api"
    accounts.ensure_demo()
    demo = ApiKey.objects.get()
    assert act(admin, "add_key", secret=OTHER, account=str(demo.account_id)).status_code == 404
    assert act(admin, "replace_key", demo.pk, secret=OTHER).status_code == 404
    assert ApiKey.objects.count() == 1
    assert not upstream.calls


def test_a_test_says_in_place_how_it_went_and_spends_one_request(admin, account, works) -> None:
    key = account.keys.get()
    page = act(admin, "test_key", key.pk, headers=HTMX).content.decode()
    assert "Works. The account has 451 credits." in page
    assert "<b>451 credits</b>" in page
    assert f'id="account-{account.pk}"' in page
    assert "<html" not in page
    assert ApiCall.objects.filter(kind=ApiCall.Kind.CREDITS).count() == 1


def test_a_refused_key_says_why_and_is_used_no_more(admin, account, upstream) -> None:
    upstream.get(f"{API}/credits", json={"error": "API key revoked"}, status=401)
    act(admin, "test_key", account.keys.get().pk)
    page = admin.get("/settings").content.decode()
    assert "Refused by Veevid" in page
    assert "API key revoked" in page
    assert "until you replace it" in page


def test_a_new_key_that_veevid_refuses_shows_at_once(admin, account, upstream) -> None:
    upstream.get(f"{API}/credits", json={"error": "Invalid API key"}, status=401)
    act(admin, "add_key", secret=OTHER, account=str(account.pk))
    assert 'data-kind="warning"' in admin.get("/settings").content.decode()
    assert account.keys.get(last4="9876").state == ApiKey.State.REFUSED


def test_a_refused_key_that_works_again_does_not_become_the_sixth_active_one(admin, account, works) -> None:
    key = account.keys.get()
    ApiKey.objects.filter(pk=key.pk).update(state=ApiKey.State.REFUSED)
    for number in range(5):
        accounts.add_key(account, f"vv_sk_more_keys_{number}")
    assert "stays unused" in act(admin, "test_key", key.pk, headers=HTMX).content.decode()
    assert account.keys.filter(state=ApiKey.State.ACTIVE).count() == 5


def test_a_key_that_upstream_repeats_in_its_error_is_not_shown(admin, account, upstream, caplog) -> None:
    upstream.get(f"{API}/credits", json={"error": f"Invalid key {KEY}"}, status=401)
    with caplog.at_level(logging.DEBUG):
        tested = act(admin, "test_key", account.keys.get().pk, headers=HTMX).content.decode()
        page = admin.get("/settings").content.decode()
    assert KEY not in tested + page + caplog.text


def test_a_key_is_paused_and_resumed(admin, account) -> None:
    key = account.keys.get()
    assert "Paused" in act(admin, "pause_key", key.pk, headers=HTMX).content.decode()
    assert dispatch.lane(account) == "key"
    assert act(admin, "resume_key", key.pk).headers["Location"] == "/settings"
    assert dispatch.lane(account) == ""


def test_resuming_a_sixth_key_is_refused_with_the_reason(admin, account) -> None:
    key = account.keys.get()
    accounts.set_key_active(key, False)
    for number in range(5):
        accounts.add_key(account, f"vv_sk_more_keys_{number}")
    assert "Veevid allows 5 active keys" in act(admin, "resume_key", key.pk, headers=HTMX).content.decode()
    key.refresh_from_db()
    assert key.state == ApiKey.State.PAUSED


def test_a_replaced_key_hands_over_to_the_new_one(admin, account, works) -> None:
    old = account.keys.get()
    assert "It is tried first" in admin.get("/settings").content.decode()
    act(admin, "replace_key", old.pk, secret=OTHER)
    page = admin.get("/settings").content.decode()
    assert account.keys.get(state=ApiKey.State.ACTIVE).last4 == "9876"
    assert "Works. The account has 451 credits." in page
    assert f"Key vv_sk_…9876 has replaced vv_sk_…{KEY[-4:]}" in page
    assert f"Test key vv_sk_…{KEY[-4:]}" not in page
    assert act(admin, "test_key", old.pk).status_code == 404


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_bad_replacement_leaves_the_old_key_in_use(admin, account, upstream, headers) -> None:
    answer = act(admin, "replace_key", account.keys.get().pk, headers=headers, secret="nonsense_typed")
    page = answer.content.decode()
    assert answer.status_code == 422
    assert f"vv_sk_…{KEY[-4:]} stays in use" in page
    assert "nonsense_typed" not in page
    assert account.keys.get().state == ApiKey.State.ACTIVE
    assert not upstream.calls


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"json": {"error": "Invalid API key"}, "status": 401}, "Veevid refuses the new key. Invalid API key"),
        ({"body": ConnectTimeout()}, "The new key could not be tried."),
        ({"json": {"error": "slow down"}, "status": 429}, "The new key could not be tried."),
    ],
)
def test_a_replacement_that_does_not_work_leaves_the_old_key_in_use(
    admin, account, upstream, answer, said, headers
) -> None:
    upstream.get(f"{API}/credits", **answer)
    refused = act(admin, "replace_key", account.keys.get().pk, headers=headers, secret=OTHER)
    page = html.unescape(refused.content.decode())
    assert refused.status_code == 422
    assert said in page
    assert f"vv_sk_…{KEY[-4:]} stays in use" in page
    assert "vv_sk_…9876" not in page
    assert account.keys.get(state=ApiKey.State.ACTIVE).last4 == KEY[-4:]


def test_a_mistyped_replacement_can_be_followed_by_the_right_one(admin, account, upstream) -> None:
    upstream.get(f"{API}/credits", json={"error": "Invalid API key"}, status=401)
    old = account.keys.get()
    act(admin, "replace_key", old.pk, secret=f"{OTHER}x")
    upstream.replace(responses.GET, f"{API}/credits", json={"success": True, "credits": 451, "balance": 451})
    act(admin, "replace_key", old.pk, secret=OTHER)
    assert account.keys.get(state=ApiKey.State.ACTIVE).last4 == "9876"


def test_the_way_back_to_a_replaced_key_is_open(admin, account, works) -> None:
    act(admin, "replace_key", account.keys.get().pk, secret=OTHER)
    act(admin, "replace_key", account.keys.get(state=ApiKey.State.ACTIVE).pk, secret=KEY)
    assert account.keys.get(state=ApiKey.State.ACTIVE).last4 == KEY[-4:]
    assert account.keys.count() == 2


@pytest.fixture
def demo(settings) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:9/api"
    accounts.ensure_demo()


def test_a_mistyped_key_does_not_end_demo_mode_and_can_be_removed(admin, demo, upstream) -> None:
    upstream.get(f"{API}/credits", json={"error": "Invalid API key"}, status=401)
    act(admin, "add_key", secret=OTHER)
    page = admin.get("/settings").content.decode()
    assert dispatch.demo_mode()
    assert "Demo mode goes on until Veevid has taken a key." in page
    assert 'data-kind="warning"' in page
    assert "Demo (simulator)" in page
    assert "Refused by Veevid" in page
    key = ApiKey.objects.get(last4="9876")
    assert 'aria-label="Remove key vv_sk_…9876"' in page
    assert "vv_sk_…9876" not in act(admin, "pause_key", key.pk, headers=HTMX, for_good="1").content.decode()
    assert "vv_sk_…9876" not in admin.get("/settings").content.decode()


def test_without_a_simulator_nothing_is_said_of_demo_mode(admin, upstream) -> None:
    upstream.get(f"{API}/credits", json={"error": "Invalid API key"}, status=401)
    assert "ends demo mode" not in admin.get("/settings").content.decode()
    act(admin, "add_key", secret=OTHER)
    assert "emo mode" not in admin.get("/settings").content.decode()


def test_a_removed_key_can_be_added_again(admin, demo, upstream) -> None:
    upstream.get(f"{API}/credits", json={"error": "Invalid API key"}, status=401)
    act(admin, "add_key", secret=OTHER)
    act(admin, "pause_key", ApiKey.objects.get(last4="9876").pk, for_good="1")
    upstream.replace(responses.GET, f"{API}/credits", json={"success": True, "credits": 451, "balance": 451})
    act(admin, "add_key", secret=OTHER)
    assert ApiKey.objects.get(last4="9876").state == ApiKey.State.ACTIVE
    assert not dispatch.demo_mode()


def test_a_key_that_could_not_be_tried_ends_demo_mode_when_its_test_works(admin, demo, upstream) -> None:
    upstream.get(f"{API}/credits", json={"error": "hiccup"}, status=500)
    act(admin, "add_key", secret=OTHER)
    assert dispatch.demo_mode()
    upstream.replace(responses.GET, f"{API}/credits", json={"success": True, "credits": 451, "balance": 451})
    answer = act(admin, "test_key", ApiKey.objects.get(last4="9876").pk, headers=HTMX)
    assert answer.headers["HX-Redirect"] == "/settings"
    assert "Demo mode is over" in admin.get("/settings").content.decode()
    assert not dispatch.demo_mode()


def test_a_key_that_was_ever_taken_is_not_removed(admin, account) -> None:
    key = account.keys.get()
    assert "Remove key" not in admin.get("/settings").content.decode()
    act(admin, "pause_key", key.pk, for_good="1")
    key.refresh_from_db()
    assert key.state == ApiKey.State.ACTIVE


@pytest.mark.parametrize("number", ["9" * 18, "9" * 30, "9" * 5000])
def test_numbers_beyond_all_rows_are_not_found(admin, account, number) -> None:
    paths = [f"keys/{number}/{act}" for act in ("test", "pause", "resume", "replace")]
    paths += [f"accounts/{number}/{act}" for act in ("pause", "resume", "share")]
    assert {admin.post(f"/settings/{path}", {"secret": OTHER}).status_code for path in paths} == {404}
    assert act(admin, "add_key", secret=OTHER, account=number).status_code == 404
    assert ApiKey.objects.count() == 1


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_an_account_is_paused_and_reopened(admin, account) -> None:
    page = admin.get("/settings").content.decode()
    assert "Pause this account?" in page
    assert "Reopen" in act(admin, "pause_account", account.pk, headers=HTMX).content.decode()
    assert dispatch.lane(account.__class__.objects.get()) == "paused"
    act(admin, "resume_account", account.pk)
    assert dispatch.lane(account.__class__.objects.get()) == ""


def test_a_suspended_account_says_veevids_reason(admin, account) -> None:
    ApiAccount.objects.update(state=ApiAccount.State.SUSPENDED, state_why="Payment failed")
    page = admin.get("/settings").content.decode()
    assert "Suspended by Veevid" in page
    assert "Payment failed" in page


# -- models -----------------------------------------------------------------------------------------------------------


def test_a_model_is_switched_off_and_on(admin, account) -> None:
    page = act(admin, "switch_model", headers=HTMX, mode="veo3", on="0").content.decode()
    assert page.count('aria-checked="false"') == 1
    assert SwitchedOff.objects.get().mode == "veo3"
    act(admin, "switch_model", mode="veo3", on="0")
    assert act(admin, "switch_model", mode="veo3", on="1").headers["Location"] == "/settings#models"
    assert not SwitchedOff.objects.exists()


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_the_last_model_stays_on(admin, account, headers) -> None:
    *others, last = catalogue.MODELS
    SwitchedOff.objects.bulk_create([SwitchedOff(mode=mode) for mode in others])
    answer = act(admin, "switch_model", headers=headers, mode=last, on="0")
    assert answer.status_code == 422
    assert "One model has to stay on" in answer.content.decode()
    assert not SwitchedOff.objects.filter(mode=last).exists()


def test_an_unknown_model_is_not_switched(admin, account) -> None:
    assert act(admin, "switch_model", mode="veo9", on="0").status_code == 404
    assert not SwitchedOff.objects.exists()


def test_the_way_to_people_is_there(admin, account) -> None:
    assert 'href="/people"' in admin.get("/settings").content.decode()
    assert reverse("admin:generations_user_changelist") in admin.get("/people").content.decode()


# -- who spends on an account -----------------------------------------------------------------------------------------


def test_an_admin_can_say_that_only_dailies_spends_on_an_account_and_take_it_back(client, db):
    account = make_account()
    client.force_login(make_person("chief@example.com", is_staff=True))
    for said, kept in (("1", True), ("0", False)):
        client.post(f"/settings/accounts/{account.pk}/share", {"exclusive": said})
        account.refresh_from_db()
        assert account.exclusive is kept


def test_a_member_cannot_say_who_spends_on_an_account(client, db):
    account = make_account()
    client.force_login(make_person())
    assert client.post(f"/settings/accounts/{account.pk}/share", {"exclusive": "1"}).status_code == 403
    account.refresh_from_db()
    assert account.exclusive is False
