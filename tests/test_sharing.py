"""Share links: what guests get, what stays hidden from them, and how a link ends."""

import io
import json
import re
import secrets
import uuid
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import responses
import time_machine
from django.core.files.base import ContentFile
from django.http import StreamingHttpResponse
from django.test import Client
from django.utils import timezone

from generations import keeping, people
from generations.models import (
    AuditEntry,
    Clip,
    Collection,
    CollectionItem,
    Generation,
    Membership,
    Quote,
    ShareLink,
    ShareView,
    Status,
    Team,
    User,
)
from generations.words import client_words, makes_previews
from tests.makers import make_account, make_order, make_person
from tests.test_permissions import addresses
from veevid_site.logs import TOKEN

pytestmark = pytest.mark.django_db

ANDROID = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36"
PROMPT, PRICE, AUTHOR = "A walker crests the dune at dawn", 1377, "Mara Lindqvist"
VIDEO = b"0123456789" * 40
HIDDEN = ("walker", "dune", "1377", "1,377", "Mara", "Lindqvist", "mara@", "vg_secret", "veevid.ai", "kling", "Kling")


@pytest.fixture
def mara() -> User:
    return make_person(name=AUTHOR)


@pytest.fixture
def lea() -> User:
    """The manager."""
    return make_person("lea@example.com", role="manager", name="Lea")


@pytest.fixture(autouse=True)
def nothing_is_sent() -> Iterator[None]:
    with responses.mock:
        yield
        assert not responses.calls


def make_clip(owner: User, sha: str = "abc", **fields: Any) -> Generation:
    from_order = make_order("kling-3")
    account = make_account() if not Quote.objects.exists() else Quote.objects.first().account
    quote = Quote.objects.create(account=account, digest=uuid.uuid4().hex, billing={}, credits=PRICE)
    given = {"mode": "kling-3", "generation_type": "text-to-video", "params": from_order.params, "prompt": PROMPT}
    row = Generation.objects.create(
        team=owner.teams.earliest("pk"), owner=owner, quote=quote, price=PRICE, charged=PRICE, nonce=uuid.uuid4(),
        status=Status.COMPLETED, upstream_id=f"vg_secret_{uuid.uuid4().hex}", **given, **fields,
    )  # fmt: skip
    clip = Clip(generation=row, state=Clip.State.STORED, source_url="https://cdn.veevid.ai/a.mp4", sha256=sha, size=5)
    clip.width, clip.height, clip.seconds = 1280, 720, 8.0
    clip.file.save("a.mp4", ContentFile(VIDEO), save=False)
    clip.poster.save("a.webp", ContentFile(b"poster"), save=False)
    clip.preview.save("p.mp4", ContentFile(b"preview"), save=False)
    clip.save()
    return row


@pytest.fixture
def clip(mara) -> Generation:
    return make_clip(mara)


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def shared(person: User, *clips: Generation, **terms: Any) -> str:
    """The address of a new link, made on the page."""
    said = {"lasts": "30", "g": [clip.pk for clip in clips], **terms}
    answer = signed_in(person).post("/share/new", said)
    assert answer.status_code == 200, answer.content.decode()
    found = re.search(r'value="http://testserver(/s/[^"]+)"', answer.content.decode())
    assert found
    return found[1]


def collection_of(person: User, *clips: Generation, **fields: Any) -> Collection:
    made = Collection.objects.create(team=person.teams.earliest("pk"), owner=person, name="Rejects of Alpine", **fields)
    for each in clips:
        CollectionItem.objects.create(collection=made, generation=each, added_by=person)
    return made


def guest() -> Client:
    return Client(headers={"user-agent": ANDROID})


def everything(link: str, place: int) -> list[str]:
    """Every address that guests have, out of the urlconf: one that is new there is new here."""
    paths = [path for path, _ in addresses() if path.startswith("s/<str:token>") and not path.endswith("/unlock")]
    token = link.removeprefix("/s/")
    return ["/" + path.replace("<str:token>", token).replace("<int:place>", str(place)) for path in paths]


def status_of(client: Client, path: str, **headers: str) -> int:
    answer = client.get(path, headers=headers)
    if isinstance(answer, StreamingHttpResponse):
        answer.getvalue()
    return answer.status_code


RANGES: tuple[dict[str, str], ...] = (
    {},
    {"range": "bytes=0-"},
    {"range": "bytes=5-9"},
    {"range": "bytes=-5"},
    {"if-none-match": '"abc"'},
)


def said_everywhere(client: Client, link: str, place: int) -> dict[str, list[int]]:
    return {path: [status_of(client, path, **more) for more in RANGES] for path in everything(link, place)}


# -- the end of a link ------------------------------------------------------------------------------------------------


def end_by_revoking(link: ShareLink, lea: User) -> None:
    signed_in(lea).post(f"/share-links/{link.pk}/revoke")


def end_by_time(link: ShareLink, lea: User) -> None:
    ShareLink.objects.filter(pk=link.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def end_by_leaving(link: ShareLink, lea: User) -> None:
    people.remove(lea, Membership.objects.get(user=link.made_by), {})


def end_by_watching_only(link: ShareLink, lea: User) -> None:
    people.change_role(lea, Membership.objects.get(user=link.made_by), "viewer", {})


def end_behind_our_back(link: ShareLink, lea: User) -> None:
    User.objects.filter(pk=link.made_by_id).update(is_active=False)


@pytest.mark.parametrize(
    "end", [end_by_revoking, end_by_time, end_by_leaving, end_by_watching_only, end_behind_our_back]
)
def test_from_the_next_request_on_an_ended_link_serves_no_byte(end, mara, lea, clip):
    link = shared(mara, clip, may_download="on", embed_on="https://example.com")
    row, visitor = ShareLink.objects.get(), guest()
    before = said_everywhere(visitor, link, row.items.get().pk)
    assert all(codes[0] == 200 for codes in before.values()), before
    assert sum(206 in codes for codes in before.values()) >= 5
    end(row, lea)
    after = said_everywhere(visitor, link, row.items.get().pk) | said_everywhere(guest(), link, row.items.get().pk)
    served = [path for path, codes in after.items() if {200, 206, 304} & set(codes)]
    asked = sum(map(len, after.values()))
    print(f"\n{end.__name__}: {len(after)} addresses, {asked} requests after it, {len(served)} served")
    assert not served
    assert all(set(codes) == {410} for codes in after.values()), after
    assert "Ask whoever sent it to you" in visitor.get(link).content.decode()


@pytest.mark.parametrize("fields", [{"binned_at": timezone.now()}, {}])
def test_a_clip_in_the_bin_or_without_its_file_is_gone_for_guests(fields, mara, clip):
    link = shared(mara, clip, may_download="on", embed_on="https://example.com")
    place = ShareLink.objects.get().items.get().pk
    Generation.objects.filter(pk=clip.pk).update(**fields or {"mark": ""})
    if not fields:
        Clip.objects.update(state=Clip.State.GONE)
    said = said_everywhere(guest(), link, place)
    assert not [path for path, codes in said.items() if {200, 206, 304} & set(codes)], said
    assert guest().get(link).status_code == 410


def test_a_file_that_storage_lost_is_a_quiet_404(mara, clip):
    link = shared(mara, clip)
    clip.clip.file.storage.delete(clip.clip.file.name)
    answer = guest().get(f"{link}/{ShareLink.objects.get().items.get().pk}/video")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "private, no-store")
    assert b"gallery" not in answer.content


def test_a_collection_that_its_owner_makes_private_stays_shared_by_the_owner_alone(mara, lea, clip):
    collection = collection_of(mara, clip)
    theirs = shared(lea, collection=collection.pk)
    own = shared(mara, collection=collection.pk)
    assert [guest().get(link).status_code for link in (theirs, own)] == [200, 200]
    Collection.objects.update(private=True)
    assert [guest().get(link).status_code for link in (theirs, own)] == [410, 200]


def test_a_link_to_a_deleted_collection_is_gone_and_still_listed(mara, clip):
    collection = collection_of(mara, clip)
    link = shared(mara, collection=collection.pk)
    collection.delete()
    assert guest().get(link).status_code == 410
    assert "A collection that is gone" in signed_in(mara).get("/share-links?state=all").content.decode()


def test_a_collection_is_shown_as_it_is_at_the_time(mara, clip):
    collection = collection_of(mara, clip)
    link = shared(mara, collection=collection.pk)
    visitor, first = guest(), collection.items.get().pk
    later = CollectionItem.objects.create(collection=collection, generation=make_clip(mara, "def"), added_by=mara).pk
    assert f"/{later}/video" in visitor.get(f"{link}/{later}").content.decode()
    CollectionItem.objects.filter(pk=first).delete()
    assert status_of(visitor, f"{link}/{first}/video") == 404
    assert status_of(visitor, f"{link}/{later}/video") == 200


# -- what stays hidden ------------------------------------------------------------------------------------------------


def all_that_is_said(client: Client, link: str, place: int) -> str:
    """Pages and headers of every answer that a guest can get."""
    texts = []
    for path in everything(link, place):
        answer = client.get(path)
        body = b"" if isinstance(answer, StreamingHttpResponse) else answer.content
        texts.append(str(dict(answer.headers)) + body.decode())
    return "\n".join(texts)


def test_nothing_hidden_is_in_any_page_or_header(mara, clip):
    links = [shared(mara, clip, may_download="on", embed_on="https://example.com")]
    links.append(shared(mara, clip, make_clip(mara), may_download="on"))
    links.append(shared(mara, collection=collection_of(mara, clip, make_clip(mara)).pk, may_download="on"))
    for agent in (ANDROID, "Slackbot-LinkExpanding 1.0"):
        for link, row in zip(links, ShareLink.objects.order_by("pk"), strict=True):
            place = row.collection.items.first().pk if row.collection else row.items.first().pk
            said = all_that_is_said(Client(headers={"user-agent": agent}), link, place)
            leaks = [word for word in (*HIDDEN, "Alpine", f"/g/{clip.pk}", "csrf", 'hidden"') if word in said]
            assert not leaks
            assert not re.search(r'type="hidden"', said)
            assert "from Northlight" in said


def test_each_thing_is_shown_only_when_the_link_says_so(mara, clip):
    shown = {"shows_prompt": PROMPT, "shows_price": "1,377 credits", "shows_author": AUTHOR}
    for name in shown:
        page = guest().get(shared(mara, clip, **{name: "on"})).content.decode()
        assert {other: text in page for other, text in shown.items()} == {other: other == name for other in shown}


def test_a_link_with_a_password_tells_nothing_before_it(mara, clip):
    link = shared(mara, clip, password="open sesame", title="The new spot", shows_prompt="on")
    for visitor in (guest(), Client(headers={"user-agent": "Discordbot/2.0"})):
        said = all_that_is_said(visitor, link, ShareLink.objects.get().items.get().pk)
        assert not [word for word in ("The new spot", PROMPT, 'og:image"', "<video") if word in said]
        assert "A link from Northlight" in said
    assert not ShareView.objects.exists()


def test_chat_tools_get_title_and_poster_and_are_no_view(mara, clip):
    link = shared(mara, clip, title="The new spot", max_views="1")
    bot = Client(headers={"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"})
    page = bot.get(link).content.decode()
    assert '<meta property="og:title" content="The new spot">' in page
    assert f'<meta property="og:image" content="http://testserver{link}/card">' in page
    assert "<video" not in page
    assert status_of(bot, f"{link}/card") == 200
    assert status_of(bot, f"{link}/{ShareLink.objects.get().items.get().pk}/video") == 403
    assert ShareLink.objects.get().views == 0
    assert guest().get(link).status_code == 200


def test_every_answer_is_kept_nowhere_indexed_nowhere_and_sends_no_referrer(mara, clip):
    link = shared(mara, clip, may_download="on", embed_on="https://example.com")
    paths = [*everything(link, ShareLink.objects.get().items.get().pk), "/s/nothing", f"{link}/999/video"]
    for path in paths:
        headers = guest().get(path).headers
        assert headers["Cache-Control"] == "private, no-store"
        assert headers["X-Robots-Tag"] == "noindex, nofollow"
        assert headers["Referrer-Policy"] == "no-referrer"
    robots = guest().get("/robots.txt")
    assert robots.content.decode().startswith("User-agent: *\nDisallow: /\n")


def test_the_file_of_a_download_is_called_no_more_than_the_page_says(mara, clip):
    plain, titled = shared(mara, clip, may_download="on"), shared(mara, clip, may_download="on", title="The new spot!")
    places = [row.items.get().pk for row in ShareLink.objects.order_by("pk")]
    names = [
        guest().get(f"{link}/{p}/download")["Content-Disposition"]
        for link, p in zip((plain, titled), places, strict=True)
    ]
    assert names == ['attachment; filename="clip-1.mp4"', 'attachment; filename="the-new-spot-1.mp4"']


def test_without_leave_nothing_is_downloaded(mara, clip):
    link = shared(mara, clip)
    assert status_of(guest(), f"{link}/{ShareLink.objects.get().items.get().pk}/download") == 404
    assert "Download" not in guest().get(link).content.decode()


def test_a_link_opens_its_own_clips_alone(mara, clip):
    link, other = shared(mara, clip), shared(mara, make_clip(mara))
    place = ShareLink.objects.earliest("pk").items.get().pk
    assert status_of(guest(), f"{link}/{place}/video") == 200
    assert status_of(guest(), f"{other}/{place}/video") == 404
    assert status_of(guest(), f"{other}/{2**70}/video") == 404


def test_the_token_is_kept_nowhere_and_the_logs_hide_it(mara, clip):
    token = shared(mara, clip, password="open sesame").removeprefix("/s/")
    assert len(token) == 43  # 256 bits
    rows = str([list(model.objects.values()) for model in (ShareLink, AuditEntry)])
    assert token not in rows
    assert "open sesame" not in rows
    assert TOKEN.sub(r"\1…", f"GET /s/{token}/3/video 200") == "GET /s/…/3/video 200"


# -- views ------------------------------------------------------------------------------------------------------------


def test_a_visit_counts_once_until_an_hour_has_passed_without_a_request(mara, clip):
    link, visitor = shared(mara, clip), guest()
    with time_machine.travel("2027-01-05 12:00Z", tick=False) as clock:
        ShareLink.objects.update(expires_at=timezone.now() + timedelta(days=9))
        for minutes in (0, 50, 50, 61, 1):
            clock.shift(minutes * 60)
            visitor.get(link)
    assert ShareLink.objects.get().views == 2
    assert [view.client for view in ShareView.objects.all()] == ["Chrome on Android"] * 2


def test_the_last_view_is_watched_to_its_end_and_nobody_else_gets_in(mara, clip):
    link, (first, second, late) = shared(mara, clip, max_views="2"), (guest(), guest(), guest())
    place = ShareLink.objects.get().items.get().pk
    assert status_of(first, f"{link}/{place}/video") == 403  # not by the address of a file
    assert [visitor.get(link).status_code for visitor in (first, second, late)] == [200, 200, 410]
    for visitor in (first, second):
        assert [status_of(visitor, f"{link}/{place}/video", range=f"bytes={n}-") for n in (0, 100)] == [206, 206]
        assert visitor.get(link).status_code == 200
    assert [status_of(late, f"{link}/{place}/{what}") for what in ("video", "poster", "preview")] == [410] * 3
    assert status_of(late, f"{link}/card") == 410
    assert "used up" in late.get(link).content.decode()
    ShareLink.objects.update(revoked_at=timezone.now())
    assert status_of(first, f"{link}/{place}/video") == 410  # revoking does cut it off


def test_looking_for_the_headers_alone_is_no_view(mara, clip):
    link = shared(mara, clip)
    assert guest().head(link).status_code == 200
    assert ShareLink.objects.get().views == 0


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (ANDROID, "Chrome on Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Firefox/140.0", "Firefox on macOS"),
        ("curl/8.0", "Another program"),
        ("", "Another program"),
    ],
)
def test_the_log_says_roughly_what_somebody_looks_with(agent, words):
    assert client_words(agent) == words
    assert not makes_previews(agent)


# -- passwords and guessing -------------------------------------------------------------------------------------------


def test_the_password_opens_the_link_for_this_session_alone(mara, clip):
    link, visitor = shared(mara, clip, password="open sesame"), guest()
    place = ShareLink.objects.get().items.get().pk
    assert status_of(visitor, f"{link}/{place}/video") == 403
    assert visitor.post(f"{link}/unlock", {"password": "wrong"}).status_code == 422
    assert visitor.post(f"{link}/unlock", {"password": "open sesame"}, follow=True).status_code == 200
    assert status_of(visitor, f"{link}/{place}/video", range="bytes=0-") == 206
    assert status_of(guest(), f"{link}/{place}/video") == 403


def test_a_new_password_locks_out_who_knew_the_old_one(mara, clip):
    link, visitor = shared(mara, clip, password="open sesame"), guest()
    row = ShareLink.objects.get()
    visitor.post(f"{link}/unlock", {"password": "open sesame"})
    signed_in(mara).post(f"/share-links/{row.pk}", {"lasts": "keep", "password": "another one"})
    assert status_of(visitor, f"{link}/{row.items.get().pk}/video") == 403
    assert visitor.post(f"{link}/unlock", {"password": "another one"}, follow=True).status_code == 200


def test_a_hundred_guesses_are_stopped_and_then_the_right_one_too(mara, clip):
    link = shared(mara, clip, password="guess 77")
    said = [guest().post(f"{link}/unlock", {"password": f"guess {n}"}).status_code for n in range(100)]
    print(f"\n100 guesses from one address: {said.count(422)} looked at, {said.count(429)} refused")
    assert (said.count(422), said.count(429)) == (10, 90)
    elsewhere = Client(REMOTE_ADDR="203.0.113.9")
    assert elsewhere.post(f"{link}/unlock", {"password": "guess 77"}).status_code == 302
    with time_machine.travel(timezone.now() + timedelta(hours=1, minutes=1)):
        assert guest().post(f"{link}/unlock", {"password": "guess 77"}).status_code == 302


def test_guesses_from_many_addresses_are_stopped_together(mara, clip):
    link = shared(mara, clip, password="guess 77")
    said = [
        Client(REMOTE_ADDR=f"203.0.113.{n}").post(f"{link}/unlock", {"password": f"wrong {n}"}).status_code
        for n in range(100)
    ]
    print(f"\n100 guesses from 100 addresses: {said.count(422)} looked at, {said.count(429)} refused")
    assert (said.count(422), said.count(429)) == (50, 50)


def test_ten_thousand_random_tokens_find_nothing_and_are_limited(mara, clip):
    link, prober = shared(mara, clip), Client()
    paths = ("", "/card", "/1/video", "/1/download")
    said = [prober.get(f"/s/{secrets.token_urlsafe(32)}{paths[n % 4]}").status_code for n in range(10_000)]
    print(f"\n10,000 tokens from one address: {said.count(404)} answered with 404, {said.count(429)} with 429")
    assert (said.count(404), said.count(429)) == (20, 9980)
    assert prober.get(link).status_code == 200  # a good link still opens
    assert Client(REMOTE_ADDR="203.0.113.9").get("/s/nothing").status_code == 404


# -- the embedded player ----------------------------------------------------------------------------------------------


def test_the_player_may_be_framed_where_the_link_says_and_nowhere_else(mara, clip):
    link = shared(mara, clip, embed_on="https://Example.com/, https://b.example:8443")
    embedded, page = guest().get(f"{link}/embed"), guest().get(link)
    assert "frame-ancestors https://example.com https://b.example:8443;" in embedded["Content-Security-Policy"] + ";"
    assert "X-Frame-Options" not in embedded.headers
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert page["X-Frame-Options"] == "DENY"
    assert ShareView.objects.filter(embedded=True).count() == 1


def test_without_leave_there_is_no_player_for_other_sites(mara, clip):
    answer = guest().get(f"{shared(mara, clip)}/embed")
    assert answer.status_code == 404
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("terms", "sentence"),
    [
        ({"embed_on": "example.com"}, "is not the address of a site"),
        ({"embed_on": "https://a.example; script-src *"}, "is not the address of a site"),
        ({"embed_on": "https://a.example", "password": "x"}, "cannot be embedded"),
        ({"embed_on": "https://a.example", "max_views": "3"}, "cannot be embedded"),
        ({"lasts": "never"}, "Choose for how long"),
        ({"lasts": "31"}, "Choose for how long"),
        ({"max_views": "0"}, "greater than or equal to 1"),
        ({"max_views": "many"}, "whole number"),
        ({"title": "x" * 121}, "at most 120 characters"),
    ],
)
def test_terms_that_cannot_be_are_refused_in_a_sentence(terms, sentence, mara, clip):
    answer = signed_in(mara).post("/share/new", {"lasts": "30", "g": clip.pk, **terms})
    assert answer.status_code == 422
    assert re.search(sentence, answer.content.decode())
    assert not ShareLink.objects.exists()


# -- who may ----------------------------------------------------------------------------------------------------------


def test_a_private_collection_is_shared_by_its_owner_alone(mara, lea, clip):
    collection = collection_of(mara, clip, private=True)
    assert signed_in(lea).get(f"/share/new?collection={collection.pk}").status_code == 404
    assert signed_in(lea).post("/share/new", {"collection": collection.pk, "lasts": "30"}).status_code == 404
    assert guest().get(shared(mara, collection=collection.pk)).status_code == 200


def test_managers_make_links_without_an_end(lea, mara, clip):
    link = shared(lea, clip, lasts="never")
    with time_machine.travel(timezone.now() + timedelta(days=4000)):
        assert guest().get(link).status_code == 200


def test_clips_of_two_teams_are_not_shared_together(mara, clip):
    Membership.objects.create(team=Team.objects.create(name="Southlight"), user=mara, role="member")
    other = make_clip(mara)
    Generation.objects.filter(pk=other.pk).update(team=Team.objects.get(name="Southlight"))
    answer = signed_in(mara).post("/share/new", {"lasts": "30", "g": [clip.pk, other.pk]})
    assert answer.status_code == 422
    assert not ShareLink.objects.exists()


def test_what_is_not_ready_is_left_out_and_said(mara, clip):
    waiting = make_clip(mara)
    Clip.objects.filter(generation=waiting).update(state=Clip.State.PENDING)
    page = signed_in(mara).get("/share/new", {"g": [clip.pk, waiting.pk]}).content.decode()
    assert "1 of what you chose is not ready" in page
    link = shared(mara, clip, waiting)
    assert ShareLink.objects.get().items.count() == 1
    assert guest().get(link).status_code == 200


def test_managers_see_and_revoke_all_links_of_the_team_and_members_their_own(mara, lea, clip):
    shared(mara, clip, title="Of Mara"), shared(lea, clip, title="Of Lea")
    pages = {person: signed_in(person).get("/share-links").content.decode() for person in (mara, lea)}
    assert ["Of Mara" in pages[mara], "Of Lea" in pages[mara]] == [True, False]
    assert ["Of Mara" in pages[lea], "Of Lea" in pages[lea]] == [True, True]
    signed_in(mara).post("/share-links/revoke", {"person": lea.pk})
    assert ShareLink.objects.filter(revoked_at=None).count() == 2
    signed_in(lea).post("/share-links/revoke", {"person": mara.pk})
    assert ShareLink.objects.get(revoked_at=None).made_by == lea


def test_closing_an_account_ends_its_links_for_good(mara, clip):
    admin = make_person("admin@example.com", is_staff=True)
    link = shared(mara, clip)
    people.close(admin, mara, {})
    people.reopen(admin, mara, {})
    assert guest().get(link).status_code == 410
    assert AuditEntry.objects.get(action="share.revoked").who == admin


def test_what_was_done_to_a_link_is_in_the_audit_trail(mara, clip):
    shared(mara, clip, password="open sesame")
    row = ShareLink.objects.get()
    signed_in(mara).post(f"/share-links/{row.pk}", {"lasts": "7", "may_download": "on"})
    signed_in(mara).post(f"/share-links/{row.pk}/revoke")
    signed_in(mara).post(f"/share-links/{row.pk}/revoke")
    done = list(AuditEntry.objects.filter(action__startswith="share").order_by("pk"))
    assert [entry.action for entry in done] == ["share.made", "share.changed", "share.revoked"]
    assert done[1].details["changed"]["may_download"] == [False, True]
    assert "password" not in done[1].details["changed"]


def test_a_change_keeps_what_was_not_touched(mara, clip):
    link = shared(mara, clip, password="open sesame")
    before = ShareLink.objects.get()
    page = signed_in(mara).get(f"/share-links/{before.pk}").content.decode()
    assert before.digest not in page
    assert before.password not in page
    signed_in(mara).post(f"/share-links/{before.pk}", {"lasts": "keep", "title": "The new spot"})
    after = ShareLink.objects.get()
    assert (after.password, after.expires_at, after.title) == (before.password, before.expires_at, "The new spot")
    signed_in(mara).post(f"/share-links/{before.pk}", {"lasts": "keep", "title": "The spot", "no_password": "on"})
    assert "The spot" in guest().get(link).content.decode()


def test_a_revoked_link_cannot_be_changed_back(mara, clip):
    link = shared(mara, clip)
    row = ShareLink.objects.get()
    ShareLink.objects.update(revoked_at=timezone.now())
    answer = signed_in(mara).post(f"/share-links/{row.pk}", {"lasts": "30"})
    assert answer.status_code == 422
    assert guest().get(link).status_code == 410


# -- many clips -------------------------------------------------------------------------------------------------------


def test_a_long_collection_comes_in_pages_and_every_clip_has_neighbours(mara, clip, monkeypatch):
    monkeypatch.setattr("generations.views.guest.PAGE", 2)
    link = shared(mara, collection=collection_of(mara, clip, *(make_clip(mara) for _ in range(2))).pk)
    places = list(CollectionItem.objects.values_list("pk", flat=True))
    first = guest().get(link).content.decode()
    assert [f"{link}/{place}/poster" in first for place in places] == [True, True, False]
    second = guest().get(f"{link}?after={places[1]}").content.decode()
    assert [f"{link}/{place}/poster" in second for place in places] == [False, False, True]
    middle = guest().get(f"{link}/{places[1]}").content.decode()
    assert f'href="{link}/{places[0]}"' in middle
    assert f'href="{link}/{places[2]}"' in middle


def test_a_page_of_guests_takes_the_same_queries_for_many_clips(mara, clip, django_assert_max_num_queries):
    collection = collection_of(mara, clip)
    link, visitor = shared(mara, collection=collection.pk), guest()
    visitor.get(link)
    for _ in range(12):
        CollectionItem.objects.create(collection=collection, generation=make_clip(mara), added_by=mara)
    with django_assert_max_num_queries(9):
        visitor.get(link)


def test_a_clip_that_an_open_link_shows_is_held_on_to(mara, clip):
    shared(mara, clip)
    Clip.objects.update(stored_at=timezone.now() - timedelta(days=400))
    assert not keeping.let_go(clip.team, 90).exists()
    ShareLink.objects.update(revoked_at=timezone.now())
    assert keeping.let_go(clip.team, 90).get() == clip


def zip_of(link: str) -> zipfile.ZipFile:
    answer = guest().get(f"{link}/zip")
    assert isinstance(answer, StreamingHttpResponse)
    return zipfile.ZipFile(io.BytesIO(answer.getvalue()))


def test_the_zip_has_every_clip_and_tells_no_more_than_the_page(mara, clip):
    plain = zip_of(shared(mara, clip, make_clip(mara), may_download="on"))
    assert plain.testzip() is None
    assert plain.namelist() == ["clip-1.mp4", "clip-2.mp4", "clips.json"]
    assert plain.read("clip-2.mp4") == VIDEO
    assert json.loads(plain.read("clips.json")) == [{"file": "clip-1.mp4"}, {"file": "clip-2.mp4"}]
    told = zip_of(shared(mara, clip, may_download="on", shows_prompt="on", shows_price="on", shows_author="on"))
    assert json.loads(told.read("clips.json")) == [
        {"file": "clip-1.mp4", "prompt": PROMPT, "credits": PRICE, "by": AUTHOR}
    ]


def test_a_zip_under_way_stops_when_its_link_ends(mara, clip):
    link = shared(mara, clip, make_clip(mara), may_download="on")
    answer = guest().get(f"{link}/zip")
    assert isinstance(answer, StreamingHttpResponse)
    pieces = iter(answer)
    sent = next(pieces)
    ShareLink.objects.update(revoked_at=timezone.now())
    assert VIDEO in sent
    assert VIDEO not in b"".join(pieces)
    answer.close()


def test_one_zip_of_a_link_at_a_time(mara, clip):
    link = shared(mara, clip, may_download="on")
    first = guest().get(f"{link}/zip")
    assert status_of(guest(), f"{link}/zip") == 429
    assert isinstance(first, StreamingHttpResponse)
    first.getvalue()
    assert status_of(guest(), f"{link}/zip") == 200
