"""Accounts and their keys as admins handle them: add, test, pause, replace. On the floor of lifecycle.py."""

import re

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from generations import dispatch, veevid
from generations.models import (
    ACTIVE_KEYS_PER_ACCOUNT,
    ApiAccount,
    ApiCall,
    ApiKey,
    Membership,
    SetupCode,
    Team,
    User,
)

KEY_SHAPE = re.compile(r"vv_sk_[!-~]{4,200}")
SETUP_TRIES = 20
DEFAULT_TEAM = "Studio"


class CannotAdd(Exception):
    """What an admin typed cannot be taken. The message says why."""


def ensure_team() -> Team:
    team = Team.objects.order_by("pk").first()
    return team or Team.objects.get_or_create(name=DEFAULT_TEAM)[0]


def ensure_demo() -> None:
    """The demo account, with the key the simulator was started with."""
    digest = ApiKey.digest_of(settings.DEMO_KEY)
    with transaction.atomic():
        if ApiKey.objects.filter(digest=digest).exists():
            return
        account = ApiAccount.objects.create(name="Demo", demo=True)
        _add(account, settings.DEMO_KEY, "simulator")


def ensure_environment_key(secret: str) -> None:
    """The key of VEEVID_API_KEY. One that an admin paused or that was refused stays as it is."""
    with transaction.atomic():
        if ApiKey.objects.filter(digest=ApiKey.digest_of(secret)).exists():
            return
        account = ApiAccount.objects.filter(demo=False).order_by("pk").first()
        account = account or ApiAccount.objects.create(name="Veevid")
        _make_room(account)
        _add(account, secret, "from the environment")


def _make_room(account: ApiAccount) -> None:
    """A new key of the environment replaces the one that came from there before."""
    account.keys.filter(label="from the environment", state=ApiKey.State.ACTIVE).update(state=ApiKey.State.REPLACED)


def _add(account: ApiAccount, secret: str, label: str) -> ApiKey:
    return ApiKey.objects.create(
        account=account,
        label=label[:80],
        secret=secret,
        last4=secret[-4:],
        digest=ApiKey.digest_of(secret),
    )


def add_key(account: ApiAccount | None, secret: str, label: str = "") -> ApiKey:
    """Adds a key to an account; without one, to a new real account. Nothing is sent. Raises CannotAdd."""
    secret = secret.strip()
    if not KEY_SHAPE.fullmatch(secret):
        raise CannotAdd("A Veevid key begins with vv_sk_ and has no spaces. Check that all of it was copied.")
    if secret == settings.DEMO_KEY:
        raise CannotAdd("This is the demo key. It works in the simulator only.")
    try:
        with transaction.atomic():
            if account is None:
                account = ApiAccount.objects.create(name=_next_name())
            account = ApiAccount.objects.select_for_update().get(pk=account.pk)
            _check_may_be_active(account)
            return _add(account, secret, label)
    except IntegrityError:
        raise CannotAdd("This key is here already. Each key can be added once.") from None


def _next_name() -> str:
    """Veevid, Veevid 2, Veevid 3: so that several accounts can be told apart."""
    others = ApiAccount.objects.filter(demo=False).count()
    return f"Veevid {others + 1}" if others else "Veevid"


def _check_may_be_active(account: ApiAccount) -> None:
    if account.keys.filter(state=ApiKey.State.ACTIVE).count() >= ACTIVE_KEYS_PER_ACCOUNT:
        raise CannotAdd(
            f"Veevid allows {ACTIVE_KEYS_PER_ACCOUNT} active keys for each account. Pause or replace one of them first."
        )


def set_key_active(key: ApiKey, active: bool) -> None:
    """Pauses a key, or takes it up again (also one that Veevid refused). Raises CannotAdd for a sixth active one."""
    with transaction.atomic():
        account = ApiAccount.objects.select_for_update().get(pk=key.account_id)
        keys = ApiKey.objects.filter(pk=key.pk).exclude(state=ApiKey.State.REPLACED)
        if not active:
            keys.filter(state=ApiKey.State.ACTIVE).update(state=ApiKey.State.PAUSED)
        elif keys.exclude(state=ApiKey.State.ACTIVE).exists():
            _check_may_be_active(account)
            keys.update(state=ApiKey.State.ACTIVE, checked_words="")


def replace_key(old: ApiKey, secret: str) -> ApiKey:
    """Rotation: the new key takes over, the old one is used no more. Raises CannotAdd; then the old one stays."""
    with transaction.atomic():
        changed = ApiKey.objects.filter(pk=old.pk).exclude(state=ApiKey.State.REPLACED)
        if not changed.update(state=ApiKey.State.REPLACED):
            raise CannotAdd("This key was already replaced.")
        return add_key(old.account, secret, old.label)


def test_key(key: ApiKey) -> str:
    """Asks Veevid for the balance with exactly this key, and says in a sentence how it went. Spends one request."""
    try:
        call = dispatch.reserve(key.account, ApiCall.Kind.CREDITS, key=key)
        answer = dispatch.ask(call, lambda upstream: upstream.credits())
    except dispatch.NoRoom as no:
        return f"Not tested: {no}."
    except veevid.UpstreamError as error:
        words = f"{veevid.in_plain_words(error)} {error.message}".strip()
        ApiKey.objects.filter(pk=key.pk).update(checked_at=timezone.now(), checked_words=words[:300])
        return words
    dispatch.note_balance(call, answer.balance)
    words = f"Works. The account has {answer.balance:,} credits."
    if ApiKey.objects.filter(pk=key.pk, state=ApiKey.State.REFUSED).exists():
        try:
            set_key_active(key, True)
        except CannotAdd as no:
            words = f"{words} It stays unused: {no}"
    ApiKey.objects.filter(pk=key.pk).update(checked_at=timezone.now(), checked_words=words)
    return words


def set_account_open(account: ApiAccount, opened: bool) -> None:
    """An admin's pause, or the end of one; also reopens an account that Veevid had suspended."""
    state = ApiAccount.State.OPEN if opened else ApiAccount.State.PAUSED
    ApiAccount.objects.filter(pk=account.pk).update(
        state=state, state_why="", wait_until=None, wait_why="", unreachable=0
    )


def set_exclusive(account: ApiAccount, exclusive: bool) -> None:
    """An admin's word that nothing but Dailies spends on this account, or that this is no longer so."""
    ApiAccount.objects.filter(pk=account.pk, demo=False).update(exclusive=exclusive)


# -- the first admin --------------------------------------------------------------------------------------------------


class WrongCode(Exception):
    """The set-up code is not the one on the console."""


def make_first_admin(typed: str, email: str, password: str, name: str) -> User:
    """Creates the first admin and their place in the default team. Raises WrongCode; then nobody is made."""
    with transaction.atomic():
        code = SetupCode.objects.select_for_update().filter(used_at=None).first()
        if code is None or User.objects.exists():
            raise WrongCode("Dailies is set up already. Sign in instead.")
        good = code.digest == SetupCode.digest_of(typed) and code.tries < SETUP_TRIES
        if good:
            SetupCode.objects.filter(pk=code.pk).update(used_at=timezone.now())
            user = User.objects.create_superuser(email, password, name=name)
            Membership.objects.create(team=ensure_team(), user=user, role=Membership.Role.MANAGER)
            return user
        SetupCode.objects.filter(pk=code.pk, tries__lt=SETUP_TRIES).update(tries=code.tries + 1)
    if code.tries + 1 >= SETUP_TRIES:
        raise WrongCode("Too many wrong codes. Restart Dailies for a new one.")
    raise WrongCode("This is not the code on the console. Capitals and dashes do not matter.")
