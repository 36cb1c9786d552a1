"""The team's saved prompts: found, used, written, put away; taken out as JSON and brought in again."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import Coalesce, RowNumber
from django.http import HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from generations import access, catalogue, forms, prompts, variables
from generations.models import Clip, Generation, Prompt, PromptStar, PromptTag, PromptVersion, Team, User
from generations.views import composer
from generations.views.compose import View, for_makers, limited
from generations.views.gate import Request, current_team

PAGE = 30
CLIPS_OF_EACH, CLIPS_OF_ONE = 4, 12
LONGEST_SEARCH = 200
PROBLEMS_SHOWN = 20
SHOWN = {"": "All", "mine": "Mine", "starred": "Starred", "archived": "Archived"}
VALUE_LENGTH = 500


# -- the list ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What the URL asks for. Anything it cannot mean is ignored."""

    show: str = ""
    q: str = ""
    tag: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> "Asked":
        plain = {
            name: query.get(name, "").replace("\x00", "").strip()[:LONGEST_SEARCH] for name in ("show", "q", "tag")
        }
        return cls(plain["show"] if plain["show"] in SHOWN else "", plain["q"], plain["tag"].lower())

    def url(self, **changed: Any) -> str:
        values = {"show": self.show, "q": self.q, "tag": self.tag, **changed}
        return "?" + urlencode({name: value for name, value in values.items() if value})

    def apply(self, rows: QuerySet[Prompt], user: User) -> QuerySet[Prompt]:
        rows = rows.filter(archived_at__isnull=self.show != "archived")
        if self.show == "mine":
            rows = rows.filter(author=user)
        if self.show == "starred":
            rows = rows.filter(stars__user=user)
        if self.tag:
            rows = rows.filter(tags__name=self.tag)
        for word in self.q.split():
            rows = rows.filter(Q(title__icontains=word) | Q(text__icontains=word))
        return rows

    @property
    def any(self) -> bool:
        return bool(self.q or self.tag or self.show)


def _seen(request: Request) -> QuerySet[Prompt]:
    """The prompts of the team this person works in now, as far as they see them."""
    return access.prompts_for(request.user).filter(team=current_team(request)).select_related("author", "team")


def _find(request: Request, pk: int) -> Prompt:
    return get_object_or_404(_dressed(_seen(request), request.user), pk=pk)


def _dressed(rows: QuerySet[Prompt], user: User) -> QuerySet[Prompt]:
    """With how often each was used, and whether this person starred it."""
    starred = PromptStar.objects.filter(user=user, prompt=OuterRef("pk"))
    clips = Generation.objects.filter(from_version__prompt=OuterRef("pk")).order_by().values("from_version__prompt")
    used = Coalesce(Subquery(clips.annotate(number=Count("pk")).values("number")), 0)
    return rows.annotate(used=used, starred=Exists(starred))


def _last_clips(shown: Iterable[Prompt], each: int) -> dict[int, list[Generation]]:
    """The newest clips of each of these prompts, in one query."""
    rows = Generation.objects.filter(
        from_version__prompt__in=[prompt.pk for prompt in shown], clip__state=Clip.State.STORED, binned_at=None
    )
    place = Window(RowNumber(), partition_by=F("from_version__prompt"), order_by=F("pk").desc())
    newest = rows.annotate(of=F("from_version__prompt"), place=place).filter(place__lte=each)
    clips: dict[int, list[Generation]] = {}
    for row in newest.select_related("clip").order_by("-pk"):
        clips.setdefault(row.of, []).append(row)
    return clips


def _tags(rows: QuerySet[Prompt], asked: Asked) -> list[tuple[str, str, bool]]:
    """Every tag there is, with its link and whether it is chosen."""
    names = PromptTag.objects.filter(prompt__in=rows).values_list("name", flat=True).distinct().order_by("name")
    return [(name, asked.url(tag="" if name == asked.tag else name), name == asked.tag) for name in names[:100]]


@login_required
@require_safe
def page(request: Request) -> HttpResponse:
    team, asked = current_team(request), Asked.read(request.GET)
    seen = _seen(request)
    rows = (
        _dressed(asked.apply(seen, request.user), request.user).prefetch_related("tags").order_by("-edited_at", "-pk")
    )
    part = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    clips = _last_clips(part, CLIPS_OF_EACH)
    context = {
        "asked": asked,
        "part": part,
        "rows": [{"prompt": prompt, "clips": clips.get(prompt.pk, [])} for prompt in part],
        "shown": [(words, asked.url(show=key), key == asked.show) for key, words in SHOWN.items()],
        "tags": _tags(seen.filter(archived_at__isnull=asked.show != "archived"), asked),
        "clear_search_url": asked.url(q=""),
        "newer_url": asked.url(page=part.number - 1) if part.has_previous() else "",
        "older_url": asked.url(page=part.number + 1) if part.has_next() else "",
        "may_make": access.may_generate(request.user, team),
    }
    return render(request, "prompts.html", context)


# -- one prompt -------------------------------------------------------------------------------------------------------


@login_required
@require_safe
def one(request: Request, pk: int) -> HttpResponse:
    prompt = _find(request, pk)
    clips = _last_clips([prompt], CLIPS_OF_ONE).get(prompt.pk, [])
    versions = prompt.versions.select_related("author").annotate(used=Count("generations")).order_by("-number")
    context = {
        "prompt": prompt,
        "clips": clips,
        "versions": versions,
        "names": variables.names_in(prompt.text),
        "tags": [tag.name for tag in prompt.tags.all()],
        "may_edit": access.may_edit_prompt(request.user, prompt),
        "may_put_away": access.may_put_away_prompt(request.user, prompt),
    }
    return render(request, "prompts/prompt.html", context)


@for_makers
@require_http_methods(["GET", "HEAD", "POST"])
def use(request: Request, team: Team, pk: int) -> HttpResponse:
    """Opens compose with the text of a prompt. Its variables are asked for first."""
    prompt = _find(request, pk)
    version = _version(prompt, request.GET.get("version", ""))
    names = variables.names_in(version.text)
    values = {name: request.POST.get(f"value.{name}", "").strip() for name in names}
    wrong = {} if request.method == "POST" else dict.fromkeys(names, "")
    for name in names if request.method == "POST" else ():
        if not values[name]:
            wrong[name] = f"Type what {name} is to be."
        elif len(values[name]) > VALUE_LENGTH:
            wrong[name] = f"At most {VALUE_LENGTH} characters; this has {len(values[name]):,}."
    text = variables.fill(version.text, values)
    too_long = len(text) - catalogue.PROMPT_LIMIT
    if wrong or (names and too_long > 0):
        asked = [(name, values[name], wrong.get(name, "")) for name in names]
        context = {"prompt": prompt, "version": version, "asked": asked, "too_long": max(too_long, 0)}
        context |= {"limit": catalogue.PROMPT_LIMIT, "value_length": VALUE_LENGTH}
        return render(request, "prompts/use.html", context, status=422 if request.method == "POST" else 200)
    draft = forms.Draft(request.GET.get("mode", ""), "", text, version=str(version.pk))
    notice = forms.settle(draft, forms.visible_models())
    forms.refit(draft)
    return render(request, "compose.html", composer.context(request, draft, notice=notice))


def _version(prompt: Prompt, number: str) -> PromptVersion:
    """The one that the address names, else the newest."""
    known = number.isascii() and number.isdecimal() and len(number) < 10
    return get_object_or_404(prompt.versions, number=int(number) if known else prompt.version)


# -- writing ----------------------------------------------------------------------------------------------------------


def _typed(post: QueryDict) -> dict[str, Any]:
    """The form as typed."""
    return {
        "title": post.get("title", ""),
        "text": post.get("text", ""),
        "tags": post.get("tags", ""),
        "shared": post.get("shared") == "1",
    }


def _form_context(typed: dict[str, Any], errors: dict[str, str] | None = None) -> dict[str, Any]:
    lengths = {"title_length": prompts.TITLE_LENGTH, "limit": catalogue.PROMPT_LIMIT}
    return {"typed": typed, "errors": errors or {}, **lengths}


@limited
@for_makers
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: Request, team: Team) -> HttpResponse:
    """The form for a new prompt: empty, or with the text of a clip or of what stands in compose."""
    text = request.POST.get("prompt", "")
    earlier = request.GET.get("from", "")
    if earlier:
        generations = access.generations_for(request.user)
        pk = int(earlier) if earlier.isdecimal() and len(earlier) < 19 else 0
        text = variables.literal(get_object_or_404(generations, pk=pk).prompt)
    return _new_form(request, _form_context({"title": "", "text": text, "tags": "", "shared": False}))


def _new_form(request: Request, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """In the sheet over the page that asked, or on a page of its own."""
    template = "prompts/_new_sheet.html" if request.htmx else "prompts/new.html"
    return render(request, template, context, status=status)


@for_makers
@require_POST
def add(request: Request, team: Team) -> HttpResponse:
    typed = _typed(request.POST)
    try:
        written = prompts.read(typed["title"], typed["text"], [typed["tags"]], typed["shared"])
    except prompts.CannotSave as no:
        return _new_form(request, _form_context(typed, no.errors), 422)
    prompt = prompts.save(team, request.user, written)
    sentence = f"Prompt “{prompt}” saved{' for the team' if prompt.shared else ', for you alone'}."
    if request.htmx:
        said = {"toast": {"text": sentence, "kind": "success"}, "close-sheet": True}
        return HttpResponse(status=204, headers={"HX-Trigger": json.dumps(said)})
    messages.success(request, sentence)
    return redirect(prompt)


@for_makers
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: Request, team: Team, pk: int) -> HttpResponse:
    """Each edit is a version. Who edits one that is no longer the newest is shown both, and nothing is lost."""
    prompt = _find(request, pk)
    if request.method != "POST":
        start = _version(prompt, request.GET.get("version", ""))
        typed = {"title": start.title, "text": start.text, "tags": ", ".join(start.tags)}
        return render(request, "prompts/edit.html", {"prompt": prompt, "seen": prompt.version, **_form_context(typed)})
    typed = _typed(request.POST)
    seen = request.POST.get("seen", "")
    seen_number = int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 10 else 0
    try:
        written = prompts.read(typed["title"], typed["text"], [typed["tags"]])
        added = prompts.edit(prompt, request.user, written, seen_number)
    except prompts.CannotSave as no:
        context = {"prompt": prompt, "seen": seen_number, **_form_context(typed, no.errors)}
        return render(request, "prompts/edit.html", context, status=422)
    except prompts.EditedMeanwhile:
        prompt.refresh_from_db()
        newest = prompt.versions.select_related("author").get(number=prompt.version)
        context = {"prompt": prompt, "seen": newest.number, "newest": newest, **_form_context(typed)}
        return render(request, "prompts/edit.html", context, status=409)
    messages.success(
        request, f"Saved as version {prompt.version}." if added else "Nothing was different: no new version."
    )
    return redirect(prompt)


# -- putting away -----------------------------------------------------------------------------------------------------


@login_required
@require_POST
def star(request: Request, pk: int) -> HttpResponse:
    """One's own mark on a prompt."""
    prompt = _find(request, pk)
    on = request.POST.get("on") == "1"
    prompts.star(prompt, request.user, on)
    if request.htmx:
        return render(request, "prompts/_star.html", {"prompt": prompt, "starred": on})
    return redirect(prompt)


def _for_keepers(view: View) -> View:
    """Lets in who may share, archive and delete this prompt, and hands it on."""

    @login_required
    @require_POST
    @wraps(view)
    def guarded(request: Request, pk: int) -> HttpResponse:
        prompt = _find(request, pk)
        if not access.may_put_away_prompt(request.user, prompt):
            raise PermissionDenied("Only its author or a manager can do this. Nothing was changed.")
        return view(request, prompt)

    return guarded


@_for_keepers
def share(request: Request, prompt: Prompt) -> HttpResponse:
    on = request.POST.get("on") == "1"
    prompts.share(prompt, on)
    messages.success(request, f"The team sees “{prompt}” now." if on else f"Only {prompt.author} sees “{prompt}” now.")
    return redirect(prompt if on or prompt.author_id == request.user.pk else "prompts")


@_for_keepers
def archive(request: Request, prompt: Prompt) -> HttpResponse:
    on = request.POST.get("on") == "1"
    prompts.archive(prompt, on)
    messages.success(request, f"“{prompt}” is archived. Its clips keep it." if on else f"“{prompt}” is back.")
    return redirect("prompts" if on else prompt)


@_for_keepers
def remove(request: Request, prompt: Prompt) -> HttpResponse:
    gone = prompts.remove(prompt)
    said = "is deleted." if gone else "is archived instead of deleted: clips were made from it."
    messages.success(request, f"“{prompt}” {said}")
    return redirect("prompts")


# -- as JSON ----------------------------------------------------------------------------------------------------------


@login_required
@require_safe
def download(request: Request) -> HttpResponse:
    """What the list shows, with its filters, as a file that `bring_in` reads."""
    rows = Asked.read(request.GET).apply(_seen(request), request.user).order_by("-edited_at", "-pk")
    answer = JsonResponse(prompts.exported(rows), json_dumps_params={"indent": 1, "ensure_ascii": False})
    answer["Content-Disposition"] = f'attachment; filename="prompts-{timezone.localdate():%Y-%m-%d}.json"'
    return answer


@for_makers
@require_safe
def import_page(request: Request, team: Team) -> HttpResponse:
    return render(request, "prompts/import.html", {"most_rows": prompts.MOST_ROWS})


@limited
@for_makers
@require_POST
def bring_in(request: Request, team: Team) -> HttpResponse:
    """All prompts of a file, or none of them."""
    file = request.FILES.get("file")
    try:
        if file is None:
            raise prompts.CannotImport(["Choose a file first."])
        written = prompts.read_file(file.read(prompts.LARGEST_FILE + 1))
    except prompts.CannotImport as no:
        context = {
            "most_rows": prompts.MOST_ROWS,
            "problems": no.problems[:PROBLEMS_SHOWN],
            "problems_more": len(no.problems[PROBLEMS_SHOWN:]),
        }
        return render(request, "prompts/import.html", context, status=422)
    added, skipped = prompts.bring_in(team, request.user, written)
    here = f" {skipped:,} {'was' if skipped == 1 else 'were'} here already." if skipped else ""
    messages.success(request, f"{added:,} prompt{'' if added == 1 else 's'} added.{here}")
    return redirect("prompts")
