"""Every page and dialog, light and dark, wide and narrow: axe finds nothing, and nothing scrolls sideways."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from tests.stack import Dailies

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.timeout(600)]

SHAPES = {"1440 light": (1440, 900, "light"), "1440 dark": (1440, 900, "dark"), "360 dark": (360, 760, "dark")}
PASSWORD = "a long password of hers"
SEED = """
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
import datetime, io, json, uuid
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from PIL import Image
from generations import accounts, catalogue, comparisons, ledger, notify, prompts, shelf, uploads, wastebin, webhooks
from generations.models import (
    ApiAccount, Approval, ApprovalRule, Batch, Budget, Clip, Forecast, Generation, GenerationMedia, Membership, Project,
    Quote, Status, Submission, User)
from tests.makers import make_person

mara = make_person(role="manager", name="Mara Lindqvist", is_staff=True, is_superuser=True)
jonas = make_person("jonas@example.com", name="Jonas Weber")
account, now = ApiAccount.objects.get(), timezone.now()
team = mara.teams.get()
project = Project.objects.create(team=team, name="Alpine Rail")
Project.objects.create(team=team, name="Last year's campaign", archived_at=now)
Budget.objects.create(team=team, credits=90000, created_by=mara)
Budget.objects.create(team=team, user=jonas, credits=1500, over="park")
Budget.objects.create(team=team, user=mara, credits=4000, over="warn", window="week")
Budget.objects.create(team=team, project=project, credits=6000, window="total")
ApprovalRule.objects.create(team=team, mode="kling-3")
accounts.reserve_for(accounts.add_key(None, "vv_sk_of_another_account").account, team)

def make(status, prompt, seconds=300, owner=mara, **fields):
    params = catalogue.clean("kling-3", "text-to-video", {})
    at = now - datetime.timedelta(seconds=seconds)
    quote = Quote.objects.create(account=account, digest="0" * 64, billing={}, credits=1250, balance=12480, at=at)
    row = Generation.objects.create(
        team=team, owner=owner, nonce=uuid.uuid4(), status=status, mode="kling-3", params=params,
        generation_type="text-to-video", prompt=prompt, quote=quote, price=1250, created_at=at, queued_at=at, **fields)
    ledger.hold(row)
    return row

def park(row, **decided):
    why = "Any Kling 3.0 needs approval.\\nBudget of Jonas Weber this month: 0 credits left, 9 credits short."
    Approval.objects.create(generation=row, why=why, expires_at=now + datetime.timedelta(days=6), **decided)
    return row

def settle(row, spent):
    ledger.capture(row, spent) if spent else ledger.release(row, "failed: nothing charged")

sent = {"account": account, "sent_at": now - datetime.timedelta(seconds=40)}
done = {**sent, "finished_at": now, "took": 38.5}
made = {}
for number, shape in enumerate([(1280, 720), (720, 1280), (1024, 1024)] * 4):
    ready = make("COMPLETED", f"A lone walker crests the dune, take {number}", upstream_id=f"vg_{number}", charged=1250,
                 **done)
    file = default_storage.save("clips/none.mp4", ContentFile(b"no video"))
    Clip.objects.create(generation=ready, state="STORED", source_url="", file=file, width=shape[0],
                        height=shape[1], seconds=5.0, fps=24.0, sound=True, size=8, stored_at=now)
    settle(ready, 1250)
    Forecast.objects.create(generation=ready, stage="queued", low=now - datetime.timedelta(minutes=1), high=now)
made["ready"] = ready.pk
broken = make("COMPLETED", "A lone walker, and the file is gone", upstream_id="vg_broken", charged=1250, **done)
Clip.objects.create(generation=broken, state="DAMAGED", source_url="", file="clips/gone.mp4", size=8, stored_at=now,
                    trouble="its file is missing from our storage")
settle(broken, 1250)
made["damaged"] = broken.pk
made["rendering"] = make("PROCESSING", "A night train crosses the pass", upstream_id="vg_r", **sent).pk
made["waiting"] = make("QUEUED", "Steam over the counter " + "and a very long prompt " * 20).pk
failed = make("FAILED", "Harbour crane ballet, drone orbit", upstream_id="vg_f", charged=0,
              upstream_words="The model could not make this video.", **done)
settle(failed, 0)
made["failed"] = failed.pk
unknown = make("UNCONFIRMED", "Rooftop garden time-lapse", **sent)
Submission.objects.create(
    generation=unknown, attempt=1, account=account, key=account.keys.get(), worker="w", deadline=now, answered_at=now,
    outcome="unclear", words="Veevid did not answer within 60 s.")
made["unknown"] = unknown.pk
made["parked"] = park(make("AWAITING_APPROVAL", "She walks toward the light " * 12, owner=jonas, project=project)).pk
made["own parked"] = park(make("AWAITING_APPROVAL", "Light through the beech wood")).pk
no = park(make("CANCELLED", "A crane at dusk", owner=jonas, finished_at=now), verdict="rejected", who=mara,
          reason="Use the shorter one", decided_at=now)
settle(no, 0)
made["rejected"] = no.pk
text = "A lone {animal} crests the {place} at golden hour, slow push in, anamorphic flare"
saved = prompts.save(team, mara, prompts.read("Golden hour", text, ["landscape", "slow"], True))
prompts.edit(saved, jonas, prompts.read("Golden hour", text + ", dust in the air", ["landscape"]), 1)
prompts.star(saved, mara, True)
Generation.objects.filter(status="COMPLETED").update(from_version=saved.versions.first())
prompts.save(team, mara, prompts.read("Neon in the rain", "Neon on wet asphalt, a taxi passes"))
made["prompt"] = saved.pk
notify.sweep(now - datetime.timedelta(hours=1))
notify.sweep()
for whose in (team, None):
    webhooks.add(whose, mara, "#producers", "slack", "https://hooks.slack.com/services/T0/B0/Xyzw1234", ["budget"])
clips = list(Generation.objects.filter(clip__state="STORED").order_by("pk")[:6])
batch = Batch.objects.create(
    team=team, owner=mara, kind="matrix", template="A {animal} in the {place}", stop_after=1, stopped_at=now,
    values={"animal": ["fox", "owl"], "place": ["snow"]})
for position, row in enumerate([*clips[:3], failed]):
    Generation.objects.filter(pk=row.pk).update(batch=batch, position=position)
comparisons.pick(clips[:3], mara, clips[1].pk, None)
comparisons.open_vote(clips[3:], mara)
made |= {"batch": batch.pk, "compared": [clip.pk for clip in clips[:3]], "voted on": [clip.pk for clip in clips[3:]]}
chosen = shelf.make(mara, team, "Alpine launch", False)
shelf.add(mara, clips, chosen)
shelf.make(jonas, team, "Nothing yet", False)
shelf.tag(mara, clips, ["dune", "golden hour"])
shelf.favour(mara, clips[:2], True)
shelf.mark(mara, clips[2:3], "keep")
thrown = make("COMPLETED", "A lone walker, thrown away", upstream_id="vg_thrown", charged=1250, **done)
Clip.objects.create(generation=thrown, state="STORED", source_url="", file=file, size=8, stored_at=now)
settle(thrown, 1250)
wastebin.throw(mara, [thrown])
made["collection"] = chosen.pk
for number, size in enumerate([(1280, 720), (720, 1280), (800, 800)]):
    data = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(data, "JPEG")
    file = SimpleUploadedFile(f"dune at dawn, take {number}.jpg", data.getvalue())
    upload = uploads.keep(team, jonas if number else mara, file, "image")
GenerationMedia.objects.create(generation=failed, slot="image", media=upload)
print(json.dumps(made))
"""


FREEZE = """
import json, uuid
from django.utils import timezone
from generations import safe_mode
from generations.models import ApiAccount, Generation, Stray
account = ApiAccount.objects.earliest("pk")
freeze = safe_mode.freeze_by_hand("The log of studio-1 names 3 submissions that this database does not have.")
now = timezone.now().isoformat()
freeze.logs = {"studio-1": {"since": now}}
freeze.balances = [{"account": account.pk, "name": "Veevid", "expected": 12480, "observed": 9730, "observed_at": now}]
freeze.save()
for number, end in enumerate(["accepted", "accepted", None]):
    said = {"at": now, "account": account.pk, "account_name": "Veevid", "price": 1250, "mode": "kling-3", "attempt": 1,
            "prompt": "Lanterns rise over the harbour at blue hour, slow crane shot", "owner": "luc@example.com"}
    said |= {"end": end, "id": f"vg_7fk2{number}"} if end else {}
    Stray.objects.create(freeze=freeze, key=str(number), nonce=uuid.uuid4().hex, host="studio-1", said=said,
                         generation=Generation.objects.filter(status="PROCESSING").first() if number == 0 else None)
print(json.dumps(1))
"""


@pytest.fixture(scope="module")
def dailies(make_stack: Callable[..., Dailies]) -> Dailies:
    """An instance that nobody has entered yet. Only its web runs: what is under way stays under way."""
    made = make_stack(database="sqlite")
    made.start_web()
    return made


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, list[str]]]:
    """What was found, by page and shape; summed up at the end."""
    pages: dict[str, list[str]] = {}
    yield pages
    print(f"\naccessibility: {len(pages)} pages checked, {sum(map(len, pages.values()))} violations")


def look(page: Page, name: str, found: dict[str, list[str]]) -> None:
    answer = Axe().run(page, options={"resultTypes": ["violations"]}).response
    found[name] = [
        f"{rule['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for rule in answer["violations"]
        for node in rule["nodes"]
    ]
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wider > 0:
        found[name].append(f"scrolls sideways by {wider} px")


def visits(page: Page, rows: dict[str, Any]) -> Iterator[str]:
    """Opens one page or dialog after the other."""
    for name, path in addresses(rows).items():
        page.goto(path)
        yield name
    yield from menus(page, rows)
    yield from making(page)
    yield from managing(page)


def addresses(rows: dict[str, Any]) -> dict[str, str]:
    paths = {"gallery": "/", "gallery, nothing matches": "/?q=zzz", "compose": "/new", "queue": "/queue"}
    paths |= {"compose from an image": "/new?type=image-to-video", "settings": "/settings"}
    paths |= {"spend": "/spend?view=team", "my spend": "/spend?view=mine", "404": "/nothing-is-here"}
    paths |= {"people": "/people", "you": "/you", "notifications": "/notifications"}
    paths |= {"second factor": "/accounts/2fa/", "is it you?": "/accounts/2fa/totp/activate/"}
    paths |= {"a link that opens nothing": "/join/nothing"}
    paths |= {"approvals": "/approvals", "team": "/team", "audit": "/audit", "audit, nothing": "/audit?text=zzz"}
    paths |= {"storage": "/storage", "storage, what would go": "/storage?days=90", "storage, wrong": "/storage?days=x"}
    paths |= {"password": "/accounts/password/change/"}
    paths |= {"prompts": "/prompts", "a prompt": f"/prompts/{rows['prompt']}", "new prompt": "/prompts/new"}
    paths |= {
        "a prompt's variables": f"/prompts/{rows['prompt']}/use",
        "edit a prompt": f"/prompts/{rows['prompt']}/edit",
    }
    paths |= {"import prompts": "/prompts/import", "library": "/library", "library, nothing": "/library?q=zzz"}
    side_by_side = {name: ",".join(map(str, rows[name])) for name in ("compared", "voted on")}
    paths |= {"batch": f"/batches/{rows['batch']}", "compare": f"/compare?ids={side_by_side['compared']}"}
    paths |= {"compare, blind": f"/compare?ids={side_by_side['voted on']}", "compare, wrong": "/compare?ids=1"}
    paths |= {"compare with": f"/g/{rows['ready']}/compare", "models by wins": "/compare/models"}
    paths |= {"several": "/new/several?model=kling-3&model=wan-2-6&prompt=A+{animal}+in+the+snow"}
    paths |= {"collections": "/collections", "a collection": f"/collections/{rows['collection']}", "bin": "/bin"}
    paths |= {"gallery, filtered": "/?tag=dune&favourite=1&show=mine", "gallery, wrong place": "/?after=x"}
    clips = {name: pk for name, pk in rows.items() if name not in ("prompt", "batch", "collection", *side_by_side)}
    return paths | {f"clip, {name}": f"/g/{pk}" for name, pk in clips.items()}


def menus(page: Page, rows: dict[str, Any]) -> Iterator[str]:
    page.goto("/")
    page.locator(".filters .menu > summary:visible").first.click()
    assert page.locator(".filters .menu[open] .menu-box").is_visible()
    yield "filter menu"
    page.locator(".topbar .menu > summary:visible, .tabbar .menu > summary:visible").click()
    yield "account menu"
    page.goto("/?status=ready")
    page.get_by_role("button", name="Select", exact=True).click()
    page.locator(".gallery .tile-link").first.click()
    page.locator("#pick").wait_for()
    yield "gallery, choosing"
    page.goto(f"/g/{rows['ready']}")
    page.get_by_label("More to do with this clip").click()
    yield "a clip's menu"


def making(page: Page) -> Iterator[str]:
    page.goto("/new")
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_text("Write a prompt").wait_for()
    yield "compose, something is wrong"
    page.get_by_label("Prompt", exact=True).fill("A lone walker")
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_role("button", name=re.compile("Generate for")).wait_for()
    yield "confirm"
    page.goto("/new/several?model=kling-3&model=grok-imagine&prompt=A+{animal}")
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_text("Write at least one value").wait_for()
    yield "several, something is wrong"
    page.get_by_label("animal", exact=True).fill("fox")
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_role("button", name=re.compile("Generate 2 clips")).wait_for()
    yield "confirm several"
    page.goto("/new")
    page.get_by_role("button", name="Save as prompt").click()
    page.get_by_role("heading", name="Save as prompt").wait_for()
    page.get_by_role("button", name="Save prompt").click()
    page.get_by_text("Give it a title").wait_for()
    yield "save as prompt, something is wrong"
    page.goto("/new?type=image-to-video")
    page.get_by_text("From the library").first.click()
    page.get_by_role("button", name=re.compile("Use dune")).first.wait_for()
    yield "compose, picking from the library"
    page.goto("/library")
    page.get_by_label(re.compile("Choose dune")).first.check()
    page.get_by_role("button", name="Delete the chosen").click()
    page.get_by_role("button", name="Delete 1 upload").wait_for()
    yield "library, asking before deleting"
    page.goto("/new?mode=kling-3")
    page.get_by_label("Prompt", exact=True).fill("A lone walker")
    page.get_by_label("Project").select_option("Alpine Rail")
    page.get_by_role("button", name="Review").locator("visible=true").click()
    page.get_by_role("button", name=re.compile("Ask for approval")).wait_for()
    yield "confirm, needs approval"


def managing(page: Page) -> Iterator[str]:
    page.goto("/approvals")
    page.locator("summary", has_text="Reject").click()
    page.get_by_label("Why not").fill("   ")
    page.get_by_role("button", name=re.compile("Reject, give")).click()
    page.get_by_text("Say why").wait_for()
    yield "approvals, without a reason"
    page.goto("/team")
    page.get_by_label("Credits", exact=True).fill("-5")
    page.get_by_role("button", name="Add budget").click()
    page.get_by_text("Type a whole number").wait_for()
    page.locator("#budgets summary").first.click()
    yield "team, something is wrong"
    page.goto("/settings")
    page.locator("#add-hook").click()
    page.get_by_label("Name").fill("Producers")
    page.get_by_label("Address").fill("http://127.0.0.1/a")
    page.get_by_role("button", name="Add webhook").click()
    page.get_by_text("has to begin with https").wait_for()
    yield "settings, a webhook is not taken"


def in_shape(browser: Browser, dailies: Dailies, shape: str, **more) -> BrowserContext:
    width, height, theme = SHAPES[shape]
    look: Any = {"viewport": {"width": width, "height": height}, "color_scheme": theme, **more}
    context = browser.new_context(base_url=dailies.url, **look)
    context.set_default_timeout(45_000)
    return context


def complaints(found: dict[str, list[str]]) -> str:
    return "\n".join(f"{name}: {each}" for name, said in found.items() for each in said)


def test_the_welcome_page_is_accessible(dailies: Dailies, browser: Browser, found: dict[str, list[str]]):
    for shape in SHAPES:
        with in_shape(browser, dailies, shape) as context:
            page = context.new_page()
            page.goto("/")
            look(page, f"welcome, {shape}", found)
            page.get_by_role("button", name="Continue").click()
            page.get_by_text("Type the code").wait_for()
            look(page, f"welcome, something is wrong, {shape}", found)
    assert not complaints(found)


def test_every_page_behind_the_door_is_accessible(dailies: Dailies, browser: Browser, found: dict[str, list[str]]):
    rows = dailies.python(SEED)
    state = None
    for shape in SHAPES:
        with in_shape(browser, dailies, shape) as context:
            page = context.new_page()
            page.goto("/accounts/login/")
            look(page, f"sign in, {shape}", found)
            if state is None:
                page.get_by_label("Email").fill("mara@example.com")
                page.get_by_label("Password").fill(PASSWORD)
                page.get_by_role("button", name="Sign in").click()
                page.get_by_role("heading", name="Gallery").wait_for(state="attached")
                state = context.storage_state()
        with in_shape(browser, dailies, shape, storage_state=state) as context:
            page = context.new_page()
            for name in visits(page, rows):
                look(page, f"{name}, {shape}", found)
    dailies.python(FREEZE)
    for shape in SHAPES:
        with in_shape(browser, dailies, shape, storage_state=state) as context:
            page = context.new_page()
            page.goto("/queue")
            look(page, f"queue, frozen, {shape}", found)
            page.goto("/settings/safe-mode")
            look(page, f"safe mode, {shape}", found)
            page.get_by_role("button", name="Release").click()
            page.get_by_text("Your name is kept with it.").wait_for()
            look(page, f"safe mode, asking again, {shape}", found)
    assert not complaints(found)
