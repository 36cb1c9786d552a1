"""Accounts and their keys as admins handle them: add, test, pause, replace. On the floor of lifecycle.py."""

import re

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from generations import audit, dispatch, veevid
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
# Labels of the key that VEEVID_API_KEY names; the second when an admin has replaced or removed it since.
FROM_ENVIRONMENT = "from the environment"
OVERRULED = "from the environment, replaced in Settings"
ALREADY_HERE = "This key is here already. Each key can be added once."


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
        _put(account, settings.DEMO_KEY, "simulator")


def ensure_environment_key(secret: str) -> None:
    """The key of VEEVID_API_KEY takes the place of the one that was named there before.

    One that an admin paused, or that Veevid refused, stays as it is; so does one that an admin replaced or removed
    while the environment named it, until the environment has named another.
    """
    with transaction.atomic():
        accounts = ApiAccount.objects.select_for_update().order_by("pk")
        there = ApiKey.objects.filter(digest=ApiKey.digest_of(secret)).first()
        if there and (there.state != ApiKey.State.REPLACED or there.label == OVERRULED):
            return
        account = accounts.get(pk=there.account_id) if there else accounts.filter(demo=False).first()
        account = account or ApiAccount.objects.create(name="Veevid")
        ApiKey.objects.filter(label=OVERRULED).update(label=FROM_ENVIRONMENT)
        account.keys.filter(label=FROM_ENVIRONMENT, state=ApiKey.State.ACTIVE).update(state=ApiKey.State.REPLACED)
        state = ApiKey.State.ACTIVE if _room_for_active(account) else ApiKey.State.PAUSED
        key = _put(account, secret, FROM_ENVIRONMENT, state)
        _say(None, "key.added", f"Key {key} of {account}, named by VEEVID_API_KEY", {})


def _say(who: User | None, action: str, what: str, origin: dict[str, str]) -> None:
    audit.record(who, action, what, team=None, **origin)


def _put(account: ApiAccount, secret: str, label: str, state: str = ApiKey.State.ACTIVE) -> ApiKey:
    """A key's row: a new one, or the one it had before it was replaced. Raises IntegrityError for one in use."""
    key = ApiKey.objects.filter(digest=ApiKey.digest_of(secret), state=ApiKey.State.REPLACED).first()
    key = key or ApiKey(digest=ApiKey.digest_of(secret), last4=secret[-4:])
    key.account, key.label, key.secret, key.state = account, label[:80], secret, state
    key.checked_at, key.checked_words = None, ""
    key.save()
    key.refresh_from_db()  # from here on its secret is sealed
    return key


def add_key(account: ApiAccount | None, secret: str, label: str = "", who: User | None = None, **origin: str) -> ApiKey:
    """Adds a key to an account; without one, to a new real account. Nothing is sent. Raises CannotAdd.

    A key that was here before, and was replaced, is taken up again; without an account, in the one it had.
    """
    secret = _checked(secret)
    try:
        with transaction.atomic():
            if account is None:
                account = ApiAccount.objects.filter(demo=False, keys__digest=ApiKey.digest_of(secret)).first()
            account = account or ApiAccount.objects.create(name=_next_name())
            account = ApiAccount.objects.select_for_update().get(pk=account.pk)
            _check_may_be_active(account)
            key = _put(account, secret, label)
            _say(who, "key.added", f"Key {key} of {account}", origin)
            return key
    except IntegrityError:
        raise CannotAdd(ALREADY_HERE) from None


def _checked(secret: str) -> str:
    secret = secret.strip()
    if not KEY_SHAPE.fullmatch(secret):
        raise CannotAdd("A Veevid key begins with vv_sk_ and has no spaces. Check that all of it was copied.")
    if secret == settings.DEMO_KEY:
        raise CannotAdd("This is the demo key. It works in the simulator only.")
    return secret


def _next_name() -> str:
    """Veevid, Veevid 2, Veevid 3: so that several accounts can be told apart."""
    others = ApiAccount.objects.filter(demo=False).count()
    return f"Veevid {others + 1}" if others else "Veevid"


def _room_for_active(account: ApiAccount, leaving: ApiKey | None = None) -> bool:
    """Whether one more key can be active, once `leaving` is gone."""
    active = account.keys.filter(state=ApiKey.State.ACTIVE)
    staying = active.exclude(pk=leaving.pk) if leaving else active
    return staying.count() < ACTIVE_KEYS_PER_ACCOUNT


def _check_may_be_active(account: ApiAccount, leaving: ApiKey | None = None) -> None:
    if not _room_for_active(account, leaving):
        raise CannotAdd(
            f"Veevid allows {ACTIVE_KEYS_PER_ACCOUNT} active keys for each account. Pause or replace one of them first."
        )


def set_key_active(key: ApiKey, active: bool, who: User | None = None, **origin: str) -> None:
    """Pauses a key, or takes it up again (also one that Veevid refused). Raises CannotAdd for a sixth active one."""
    with transaction.atomic():
        account = ApiAccount.objects.select_for_update().get(pk=key.account_id)
        keys = ApiKey.objects.filter(pk=key.pk).exclude(state=ApiKey.State.REPLACED)
        if not active:
            changed = keys.filter(state=ApiKey.State.ACTIVE).update(state=ApiKey.State.PAUSED)
        else:
            rest = keys.exclude(state=ApiKey.State.ACTIVE)
            if rest.exists():
                _check_may_be_active(account)
            changed = rest.update(state=ApiKey.State.ACTIVE, checked_words="")
        if changed:
            _say(who, "key.resumed" if active else "key.paused", f"Key {key} of {account}", origin)


def remove_key(key: ApiKey, who: User | None = None, **origin: str) -> None:
    """Takes a key that Veevid never took, such as a mistyped one, out of the list. Its requests stay on record."""
    with transaction.atomic():
        account = ApiAccount.objects.select_for_update().get(pk=key.account_id)
        if _retire(ApiKey.objects.filter(pk=key.pk, accepted_at=None, account__demo=False)):
            _say(who, "key.removed", f"Key {key} of {account}, which Veevid never took", origin)


def _retire(keys: QuerySet[ApiKey]) -> bool:
    """An admin's word stands above that of the environment at the next start."""
    if settings.VEEVID_API_KEY:
        keys.filter(digest=ApiKey.digest_of(settings.VEEVID_API_KEY)).update(label=OVERRULED)
    return bool(keys.exclude(state=ApiKey.State.REPLACED).update(state=ApiKey.State.REPLACED))


# -- one request with exactly this key --------------------------------------------------------------------------------


def replace_key(old: ApiKey, secret: str, who: User | None = None, **origin: str) -> ApiKey:
    """Rotation: the new key is tried, and takes over when Veevid takes it; the old one is used no more.

    Raises CannotAdd; then the old one stays as it was. Until it has worked the new one counts as replaced: nothing is
    sent with it, and it can be added again. Spends one request.
    """
    secret = _checked(secret)
    try:
        with transaction.atomic():
            _check_replaceable(old)
            label = "" if old.label == FROM_ENVIRONMENT else old.label
            new = _put(old.account, secret, label, ApiKey.State.REPLACED)
    except IntegrityError:
        raise CannotAdd(ALREADY_HERE) from None
    try:
        words = _try(new)
    except dispatch.NoRoom as no:
        raise CannotAdd(f"The new key could not be tried: {no}.") from None
    except veevid.KeyRefused as error:
        raise CannotAdd(f"Veevid refuses the new key. {error.message}".strip()) from None
    except veevid.UpstreamError as error:
        raise CannotAdd(f"The new key could not be tried. {_words_of(error)}") from None
    with transaction.atomic():
        _check_replaceable(old)
        _retire(ApiKey.objects.filter(pk=old.pk))
        tried = {"checked_at": timezone.now(), "checked_words": words}
        ApiKey.objects.filter(pk=new.pk).update(state=ApiKey.State.ACTIVE, **tried)
        _say(who, "key.replaced", f"Key {old} of {old.account}: now {new}", origin)
    new.refresh_from_db()
    return new


def _check_replaceable(old: ApiKey) -> None:
    """Under the account's lock. Raises CannotAdd."""
    account = ApiAccount.objects.select_for_update().get(pk=old.account_id)
    if not account.keys.filter(pk=old.pk).exclude(state=ApiKey.State.REPLACED).exists():
        raise CannotAdd("This key was already replaced.")
    _check_may_be_active(account, leaving=old)


def _try(key: ApiKey) -> str:
    """Asks Veevid for the balance, and says it. Raises NoRoom, UpstreamError."""
    call = dispatch.reserve(key.account, ApiCall.Kind.CREDITS, key=key)
    answer = dispatch.ask(call, lambda upstream: upstream.credits())
    dispatch.note_balance(call, answer.balance)
    return f"Works. The account has {answer.balance:,} credits."


def _words_of(error: veevid.UpstreamError) -> str:
    return f"{veevid.in_plain_words(error)} {error.message}".strip()


def test_key(key: ApiKey, who: User | None, **origin: str) -> str:
    """Asks Veevid for the balance with exactly this key, and says in a sentence how it went. Spends one request."""
    words = _test(key, who, **origin)
    _say(who, "key.tested", f"Key {key} of {key.account}: {words}", origin)
    return words


def _test(key: ApiKey, who: User | None, **origin: str) -> str:
    try:
        words = _try(key)
    except dispatch.NoRoom as no:
        return f"Not tested: {no}."
    except veevid.UpstreamError as error:
        words = _words_of(error)
        ApiKey.objects.filter(pk=key.pk).update(checked_at=timezone.now(), checked_words=words[:300])
        return words
    if ApiKey.objects.filter(pk=key.pk, state=ApiKey.State.REFUSED).exists():
        try:
            set_key_active(key, True, who, **origin)
        except CannotAdd as no:
            words = f"{words} It stays unused: {no}"
    ApiKey.objects.filter(pk=key.pk).update(checked_at=timezone.now(), checked_words=words)
    return words


# -- accounts ---------------------------------------------------------------------------------------------------------


def set_account_open(account: ApiAccount, opened: bool, who: User | None = None, **origin: str) -> None:
    """An admin's pause, or the end of one; also reopens an account that Veevid had suspended."""
    state = ApiAccount.State.OPEN if opened else ApiAccount.State.PAUSED
    with transaction.atomic():
        ApiAccount.objects.filter(pk=account.pk).update(
            state=state, state_why="", wait_until=None, wait_why="", unreachable=0
        )
        _say(who, "account.resumed" if opened else "account.paused", f"Account {account}", origin)


def set_exclusive(account: ApiAccount, exclusive: bool, who: User | None = None, **origin: str) -> None:
    """An admin's word that nothing but Dailies spends on this account, or that this is no longer so."""
    word = "nothing but Dailies spends on it" if exclusive else "others may spend on it, too"
    with transaction.atomic():
        if (
            ApiAccount.objects.filter(pk=account.pk, demo=False)
            .exclude(exclusive=exclusive)
            .update(exclusive=exclusive)
        ):
            _say(who, "account.exclusive", f"Account {account}: {word}", origin)


def reserve_for(account: ApiAccount, team: Team | None, who: User | None = None, **origin: str) -> None:
    """Only this team's clips go out on it from now on; without a team, all teams' again."""
    with transaction.atomic():
        if ApiAccount.objects.filter(pk=account.pk, demo=False).update(team=team):
            _say(who, "account.reserved", f"Account {account}: for {team or 'all teams'}", origin)


# -- the first admin --------------------------------------------------------------------------------------------------


class WrongCode(Exception):
    """The set-up code is not the one on the console."""


def make_first_admin(typed: str, email: str, password: str, name: str, **origin: str) -> User:
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
            _say(user, "admin.made", f"{user}, the first admin, with the code on the console", origin)
            return user
        SetupCode.objects.filter(pk=code.pk, tries__lt=SETUP_TRIES).update(tries=code.tries + 1)
    if code.tries + 1 >= SETUP_TRIES:
        raise WrongCode("Too many wrong codes. Restart Dailies for a new one.")
    raise WrongCode("This is not the code on the console. Capitals and dashes do not matter.")
