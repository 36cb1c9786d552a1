"""Rows and orders that tests begin with."""

import json
from collections.abc import Sequence
from typing import Any

import responses
from django.db.models import QuerySet
from django.utils import timezone

from generations import accounts, catalogue, lifecycle
from generations.models import ApiAccount, ApiKey, AuditEntry, Generation, Membership, Team, User

KEY = "vv_sk_test_0123456789abcd"
API = "https://veevid.ai/api"
CLIP_URL = "https://cdn.veevid.ai/videos/a.mp4"


def make_account(key: str = KEY) -> ApiAccount:
    """An account whose key Veevid has taken before."""
    account = accounts.add_key(None, key).account
    ApiKey.objects.filter(account=account).update(accepted_at=timezone.now())
    QuerySet(AuditEntry).filter(action="key.added", who=None).delete()  # the trail begins with what the test does
    return account


def make_person(email: str = "mara@example.com", team: str = "Northlight", role: str = "member", **fields: Any) -> User:
    user = User.objects.create_user(email, "a long password of hers", **{"name": email.split("@")[0].title(), **fields})
    if team:
        Membership.objects.create(team=Team.objects.get_or_create(name=team)[0], user=user, role=role)
    return user


def make_order(
    mode: str = "veo3", kind: str = "text-to-video", prompt: str = "A lone walker", **values: Any
) -> lifecycle.Order:
    media = {"image-to-video": {"image": ["https://example.com/a.jpg"]}}.get(kind, {})
    return lifecycle.Order(mode, kind, catalogue.clean(mode, kind, values), prompt, media)


def price_is(credits: int, balance: int = 5000) -> responses.BaseResponse:
    """Upstream names this price from now on."""
    responses.remove(responses.POST, f"{API}/quote")
    body = {"required_credits": credits, "current_balance": balance, "sufficient": balance >= credits}
    return responses.post(f"{API}/quote", json=body)


def sealed_for(user: User, credits: int = 140, order: lifecycle.Order | None = None, balance: int = 5000) -> str:
    """A confirmation as the compose page makes it. The price is asked upstream, once."""
    order = order or make_order()
    price_is(credits, balance)
    return lifecycle.seal(user, user.teams.get(), order, lifecycle.quote(order.billing))


def confirmed(user: User, credits: int = 140, order: lifecycle.Order | None = None) -> Generation:
    return lifecycle.confirm(user, sealed_for(user, credits, order))


def sent_to(path: str) -> int:
    """How many requests went to this path of the API."""
    return sum(1 for call in responses.calls if str(call.request.url).startswith(f"{API}/{path}"))


def accepts(generation_id: str = "vg_1", **more: Any) -> responses.BaseResponse:
    body = {"generation_id": generation_id, "status": "processing", "video_url": None, **more}
    return responses.post(f"{API}/generate-video", json=body)


def status_is(generation_id: str = "vg_1", **body: Any) -> responses.BaseResponse:
    responses.remove(responses.GET, f"{API}/video-generation/{generation_id}/status")
    return responses.get(f"{API}/video-generation/{generation_id}/status", json=body)


def prices_are(prices: dict[str, int], balance: int = 5000) -> None:
    """Upstream names these prices from now on, by model."""

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        credits = prices[json.loads(request.body)["mode"]]
        body = {"required_credits": credits, "current_balance": balance, "sufficient": balance >= credits}
        return 200, {}, json.dumps(body)

    responses.remove(responses.POST, f"{API}/quote")
    responses.add_callback(responses.POST, f"{API}/quote", answer, content_type="application/json")


def sealed_together(
    user: User, prices: dict[str, int], prompts: Sequence[str] = ("A lone walker",), stop_after: int | None = None
) -> str:
    """A confirmation of every prompt with every model, each model at its price."""
    prices_are(prices)
    orders = [make_order(mode, prompt=prompt) for prompt in prompts for mode in prices]
    found = lifecycle.quote_all([order.billing for order in orders])
    priced = [(order, found.quotes[lifecycle.digest_of(order.billing)]) for order in orders]
    plan = lifecycle.Plan("matrix" if len(prompts) > 1 else "models", "A {lone}", {}, len(prices), stop_after)
    return lifecycle.seal_all(user, user.teams.get(), priced, plan)
